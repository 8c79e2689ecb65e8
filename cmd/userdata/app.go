package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/seed-5df914be/userdata"
)

// An app holds the flags that all commands have, and those that many have.
type app struct {
	path   string
	echo   bool
	utc    bool
	format string
}

// defaultPath is the file that is used if neither --db nor USERDATA_DB names one.
const defaultPath = "userdata.db"

// addFlags gives the root the flags that all commands have.
func (a *app) addFlags(root *cobra.Command) {
	path := cmp.Or(os.Getenv("USERDATA_DB"), defaultPath)
	root.PersistentFlags().StringVar(&a.path, "db", path, "the `file` that holds the records; the variable USERDATA_DB names another default")
	root.PersistentFlags().Lookup("db").DefValue = defaultPath
	root.PersistentFlags().BoolVar(&a.echo, "echo", false, "print each thing that the library does to stderr")
	root.PersistentFlags().BoolVar(&a.utc, "utc", false, "show times in UTC, not in local time")
	_ = root.MarkPersistentFlagFilename("db")
}

// An echoHandler prints the library's lines as they are.
type echoHandler struct {
	w interface{ Write([]byte) (int, error) }
}

func (h *echoHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h *echoHandler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *echoHandler) WithGroup(string) slog.Handler            { return h }
func (h *echoHandler) Handle(_ context.Context, r slog.Record) error {
	_, err := fmt.Fprintln(h.w, printable(r.Message))
	return err
}

// options returns how the file is opened for a command.
func (a *app) options(cmd *cobra.Command, readOnly bool) *userdata.Options {
	opts := &userdata.Options{ReadOnly: readOnly, Program: "userdata (the tool)"}
	if a.echo {
		opts.Logger = slog.New(&echoHandler{cmd.ErrOrStderr()})
	}
	return opts
}
