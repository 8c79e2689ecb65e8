package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/seed-5df914be/userdata"
	"github.com/spf13/cobra"
)

// An app holds the flags that all commands have.
type app struct {
	path string
	echo bool
}

var table, columns = userdata.UserdataTable, userdata.UserdataColumns

// options returns how the file is opened for a command.
func (a *app) options(cmd *cobra.Command, readOnly bool) *userdata.Options {
	opts := &userdata.Options{ReadOnly: readOnly}
	if a.echo {
		opts.Logger = slog.New(&echoHandler{cmd.ErrOrStderr()})
	}
	return opts
}

// read runs fn with a session on the file, which must exist.
func (a *app) read(cmd *cobra.Command, fn func(ctx context.Context, s *userdata.Session) error) error {
	db, err := userdata.Open(a.path, a.options(cmd, true), table)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no file %s: 'put' makes one, --db names another", a.path)
	}
	if err != nil {
		return err
	}
	defer db.Close()
	s := db.NewSession()
	defer s.Close()
	return fn(cmd.Context(), s)
}

// write runs fn in a transaction on the file. If create is false it must exist.
func (a *app) write(cmd *cobra.Command, create bool, fn func(ctx context.Context, s *userdata.Session) error) error {
	if _, err := os.Stat(a.path); !create && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no file %s: 'put' makes one, --db names another", a.path)
	}
	db, err := userdata.Open(a.path, a.options(cmd, false), table)
	if err != nil {
		return err
	}
	err = db.Transact(cmd.Context(), func(s *userdata.Session) error { return fn(cmd.Context(), s) })
	return errors.Join(err, db.Close())
}

// find returns the record of a user.
func find(ctx context.Context, s *userdata.Session, id string) (*userdata.Userdata, error) {
	u, err := table.Get(ctx, s, id)
	if errors.Is(err, userdata.ErrNotFound) {
		return nil, noUser(id)
	}
	return u, err
}

// An echoHandler prints the library's lines as they are.
type echoHandler struct {
	w interface{ Write([]byte) (int, error) }
}

func (h *echoHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h *echoHandler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *echoHandler) WithGroup(string) slog.Handler            { return h }
func (h *echoHandler) Handle(_ context.Context, r slog.Record) error {
	_, err := fmt.Fprintln(h.w, r.Message)
	return err
}

// printable returns text with control characters shown as escapes, so that a
// value can't play tricks on the terminal.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strconv.IsPrint(r) {
			b.WriteRune(r)
		} else {
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}

// parseTime reads a point in time; one without a zone is local.
func parseTime(s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usageError{fmt.Errorf("%q is no time: write 2026-10-12, \"2026-10-12 19:58\" or 2026-10-12T19:58:00Z", s)}
}
