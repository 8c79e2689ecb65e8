package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// formats are what -o takes.
var formats = []string{"table", "json", "jsonl", "csv", "tsv", "md", "msgpack"}

// An output writes records in one format.
type output interface {
	// write writes a record: its values, in the order of the columns.
	write(values []any) error

	// close writes what is still to come. It is for records that are complete: an
	// error leaves the output without its end.
	close() error
}

// A style is how an output is to look.
type style struct {
	format string
	zone   *time.Location // of the times in a table
	width  int            // of a line; 0 if there is no limit
	colors bool
	escape bool // what does not print, also in formats for programs
}

// addOutputFlag gives a command the flag -o.
func (a *app) addOutputFlag(c *cobra.Command) {
	c.Flags().StringVarP(&a.format, "output", "o", "", "`format`: "+strings.Join(formats, ", ")+" (default: table on a terminal, else jsonl)")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(toCompletions(formats), cobra.ShellCompDirectiveNoFileComp))
}

// style returns how a command's output is to look. The format is that of -o, or
// what is usual for who reads it.
func (a *app) style(cmd *cobra.Command) (style, error) {
	w := cmd.OutOrStdout()
	s := style{format: a.format, zone: a.zone(), width: width(w), colors: colors(w), escape: isTerminal(w)}
	switch {
	case s.format == "" && isTerminal(w):
		s.format = "table"
	case s.format == "":
		s.format = "jsonl"
	case !slices.Contains(formats, s.format):
		return s, usageError{fmt.Errorf("-o %s: there is no such format%s", printable(s.format), didYouMean(s.format, formats))}
	}
	return s, nil
}

// zone returns the zone that times are shown in.
func (a *app) zone() *time.Location {
	if a.utc {
		return time.UTC
	}
	return time.Local
}

// output returns the output of a command, for records of these columns.
func (a *app) output(cmd *cobra.Command, columns []string) (output, error) {
	s, err := a.style(cmd)
	if err != nil {
		return nil, err
	}
	return newOutput(cmd.OutOrStdout(), s, columns), nil
}

// newOutput returns an output in a format that there is.
func newOutput(w io.Writer, s style, columns []string) output {
	buffered := bufio.NewWriterSize(w, 64<<10)
	switch s.format {
	case "table":
		return &tableOutput{w: buffered, style: s, columns: columns}
	case "csv":
		return newSeparated(buffered, s, columns, ',')
	case "tsv":
		return newSeparated(buffered, s, columns, '\t')
	case "md":
		return &markdownOutput{w: buffered, style: s, columns: columns}
	case "msgpack":
		return newMsgpackOutput(buffered, columns)
	}
	return &jsonOutput{w: buffered, columns: columns, list: s.format == "json"}
}

// writeAll writes records to a command's output.
func (a *app) writeAll(cmd *cobra.Command, columns []string, records [][]any) error {
	out, err := a.output(cmd, columns)
	if err != nil {
		return err
	}
	for _, r := range records {
		if err := out.write(r); err != nil {
			return err
		}
	}
	return out.close()
}
