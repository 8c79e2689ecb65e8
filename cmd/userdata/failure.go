package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-5df914be/userdata"
)

// The exit statuses.
const (
	exitOK       = 0
	exitError    = 1
	exitUsage    = 2
	exitDamaged  = 3
	exitNotFound = 4
	exitConflict = 5
	exitLocked   = 6
)

// usageError is an error in how the command was called.
type usageError struct{ error }

// Unwrap returns the cause.
func (e usageError) Unwrap() error { return e.error }

// report prints an error, with what to try, and returns the exit status.
func report(stderr io.Writer, cmd *cobra.Command, err error) int {
	status := exitStatus(err)
	if text := err.Error(); text != "" {
		fmt.Fprintln(stderr, printableLines(text))
	}
	switch {
	case status == exitUsage:
		fmt.Fprintf(stderr, "Try '%s --help'.\n", cmd.CommandPath())
	case status == exitLocked:
		fmt.Fprintln(stderr, "Try again when the program that has the file open has ended. Programs that open it with Options.Shared take turns with this tool.")
	case status == exitDamaged && cmd.Name() == "check":
		fmt.Fprintln(stderr, "Try 'userdata salvage NEWFILE' to save what can be read.")
	case status == exitDamaged && cmd.Name() != "salvage":
		fmt.Fprintln(stderr, "Try 'userdata check' to see what is damaged, and 'userdata salvage NEWFILE' to save what can be read.")
	}
	return status
}

// printableLines returns text with what does not print escaped, but for the ends of
// its lines.
func printableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return strings.Join(lines, "\n")
}

// exitStatus maps an error to the status that scripts test for.
func exitStatus(err error) int {
	var usage usageError
	var record noRecord
	var table noTable
	var match noMatch
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &record), errors.As(err, &table), errors.As(err, &match):
		return exitNotFound
	case errors.Is(err, userdata.ErrCorrupt):
		return exitDamaged
	case errors.Is(err, userdata.ErrConflict):
		return exitConflict
	case errors.Is(err, userdata.ErrLocked):
		return exitLocked
	}
	return exitError
}
