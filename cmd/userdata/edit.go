package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-5df914be/userdata"
)

func (a *app) edit() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "edit [TABLE] KEY",
		Short: "Change a record in your editor",
		Long: `Edit opens a record in the editor that VISUAL or EDITOR names, as YAML or as JSON,
and writes what you have changed when the editor ends. If someone else has changed
the record meanwhile nothing is written, and the exit status is 5. Nothing is locked
while you edit. What can't be written stays in the file that you edited.`,
		Example: `  userdata edit Brad
  EDITOR=nano userdata edit userdata Brad --json`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeKeys,
	}
	c.Flags().BoolVar(&asJSON, "json", false, "edit JSON instead of YAML")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		name, key := splitKey(args)
		return a.write(cmd, func(ctx context.Context, db *userdata.DB) error {
			t, err := tableNamed(db, name)
			if err != nil {
				return err
			}
			s := db.NewSession() // one for all: so the commit sees what others have changed
			defer s.Close()
			row, err := rowOf(ctx, s, t, key)
			if err != nil {
				return err
			}
			ctx = context.WithoutCancel(ctx) // an interrupt is for the editor
			e := &editing{cmd: cmd, table: t, row: row, key: key, json: asJSON}
			return e.run(ctx, s)
		})
	}
	return c
}

// An editing is a record in an editor.
type editing struct {
	cmd   *cobra.Command
	table *userdata.RowTable
	row   *userdata.Row
	key   string
	json  bool
	path  string // of the file that the editor has
}

// run edits until the text can be written, or the user gives up.
func (e *editing) run(ctx context.Context, s *userdata.Session) error {
	text, err := e.text()
	if err != nil {
		return err
	}
	if err := e.create(text); err != nil {
		return err
	}
	original, err := parseYAML(text)
	if err != nil {
		return fmt.Errorf("the record can't be edited as text: %w", err)
	}
	for {
		changed, err := e.once(ctx, s, original)
		switch {
		case err == nil && !changed:
			fmt.Fprintln(e.cmd.ErrOrStderr(), "nothing was changed")
			return os.Remove(e.path)
		case err == nil:
			return os.Remove(e.path)
		case errors.Is(err, userdata.ErrConflict), !canAsk(e.cmd):
			return fmt.Errorf("%w\nwhat you wrote is kept in %s", err, e.path)
		}
		fmt.Fprintln(e.cmd.ErrOrStderr(), printable(err.Error()))
		if confirm(e.cmd, false, "Edit it again?") != nil {
			return fmt.Errorf("%w: what you wrote is kept in %s", errDeclined, e.path)
		}
	}
}

// text returns the record for the editor.
func (e *editing) text() ([]byte, error) {
	if !e.json {
		head := fmt.Sprintf("# %s %s: save to change it, leave it as it is to change nothing\n", e.table.Name(), printable(e.key))
		return appendYAML([]byte(head), e.row.Values())
	}
	var b bytes.Buffer
	b.WriteString("{\n")
	values := e.row.Values()
	for i, v := range values {
		b.Write(append(appendJSONString([]byte("  "), v.Key.(string)), ": "...))
		b.Write(appendJSON(nil, v.Value))
		if i < len(values)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("}\n")
	return b.Bytes(), nil
}

// create writes the text to a new file that nobody else may read.
func (e *editing) create(text []byte) error {
	pattern := "userdata-*.yaml"
	if e.json {
		pattern = "userdata-*.json"
	}
	f, err := os.CreateTemp("", pattern)
	if err != nil {
		return err
	}
	e.path = f.Name()
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// once runs the editor and writes what came of it. It reports whether anything was
// changed.
func (e *editing) once(ctx context.Context, s *userdata.Session, original map[string][]byte) (bool, error) {
	if err := e.runEditor(ctx); err != nil {
		return false, err
	}
	text, err := os.ReadFile(e.path)
	if err != nil {
		return false, err
	}
	edited, err := parseYAML(text)
	if err != nil {
		return false, err
	}
	changed, err := e.set(original, edited)
	if err != nil || !changed {
		return false, err
	}
	return true, s.Commit(ctx)
}

// set sets the columns whose text has changed; all of them or none.
func (e *editing) set(original, edited map[string][]byte) (changed bool, err error) {
	types, key := newColumnTypes(e.table), keyColumn(e.table).Name
	var entries []userdata.Entry
	for _, name := range columnNames(e.table) {
		text, ok := edited[name]
		if !ok {
			return false, fmt.Errorf("column %s is missing: write null, or an empty text, for none", name)
		}
		delete(edited, name)
		if bytes.Equal(text, original[name]) {
			continue
		}
		if name == key {
			return false, fmt.Errorf("%s is the key: it can't be changed by edit: put a record with the new key, and delete the old one", name)
		}
		v, err := types.value(name, text)
		var plain string
		if err != nil && json.Unmarshal(text, &plain) == nil { // a time without a zone, or 1e3, which YAML takes for text
			v, err = types.textValue(name, plain)
		}
		if err != nil {
			return false, err
		}
		entries = append(entries, userdata.Entry{Key: name, Value: v})
	}
	for name := range edited {
		return false, checkColumn(e.table, name)
	}
	if len(entries) == 0 {
		return false, nil
	}
	return true, assign(e.row, stamped(e.table, entries))
}

// runEditor runs the editor on the file and waits for it.
func (e *editing) runEditor(ctx context.Context) error {
	fallback := "vi"
	if runtime.GOOS == "windows" {
		fallback = "notepad"
	}
	words := strings.Fields(cmp.Or(os.Getenv("VISUAL"), os.Getenv("EDITOR"), fallback))
	if len(words) == 0 {
		words = []string{fallback}
	}
	c := exec.CommandContext(ctx, words[0], append(words[1:], e.path)...)
	c.Stdin, c.Stdout, c.Stderr = e.cmd.InOrStdin(), e.cmd.ErrOrStderr(), e.cmd.ErrOrStderr()
	if err := c.Run(); err != nil {
		return fmt.Errorf("the editor %s: %w: EDITOR names another", words[0], err)
	}
	return nil
}
