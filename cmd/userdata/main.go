// Command userdata keeps and finds userdata records in a file.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/seed-5df914be/userdata"
	"github.com/spf13/cobra"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

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

// noUser is the error for an id that has no record.
type noUser string

func (id noUser) Error() string {
	return fmt.Sprintf("The user '%s' does not exist.", printable(string(id)))
}

// run is main with everything handed in. It returns the exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, err)
	status := exitStatus(err)
	if status == exitUsage {
		fmt.Fprintf(stderr, "Try '%s --help'.\n", cmd.CommandPath())
	}
	return status
}

// exitStatus maps an error to the status that scripts test for.
func exitStatus(err error) int {
	var usage usageError
	var missing noUser
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &missing):
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

// newRoot returns the command with all of its subcommands.
func newRoot() *cobra.Command {
	a := &app{}
	root := &cobra.Command{
		Use:   "userdata",
		Short: "Keep userdata records in a file",
		Long: `Userdata keeps records of users in one file: an id of at most 32 characters,
data of at most 640, and the time of the last change.

Exit status: 0 done, 1 error, 2 wrong usage, 3 damaged file, 4 no such user,
5 changed by someone else meanwhile, 6 file in use by another process.`,
		Example:           "  userdata put Brad \"Brad's data\"\n  userdata list --prefix B",
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentFlags().StringVar(&a.path, "db", "userdata.db", "the `file` that holds the records")
	root.PersistentFlags().BoolVar(&a.echo, "echo", false, "print each thing that the library does to stderr")
	root.AddCommand(a.put(), a.get(), a.list(), a.update(), a.delete(), a.exists(), a.tables(), a.tour())
	for _, c := range root.Commands() {
		check := c.Args
		c.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{fmt.Errorf("%s: %w", cmd.CommandPath(), err)}
			}
			return nil
		}
	}
	root.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageError{fmt.Errorf("there is no command %q", args[0])}
		}
		return nil
	}
	root.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return root
}
