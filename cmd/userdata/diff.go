package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-5df914be/userdata"
)

// errDifferent is the outcome of a diff of files that are not equal: an exit status
// without a message.
var errDifferent = errors.New("")

func (a *app) diff() *cobra.Command {
	var format string
	var quiet bool
	c := &cobra.Command{
		Use:   "diff A B",
		Short: "Compare two files by table and key: exit status 1 if they differ",
		Long: `Diff prints what B has otherwise than A: tables, columns and indexes, and records by
their keys: + added, - removed, ~ changed, with the columns that changed. Columns that
only one of the files has are said once, and not compared. Neither file is held in
memory. The exit status is 0 if they are equal, 1 if they differ, as that of diff(1).`,
		Example: `  userdata backup copy.db && userdata diff userdata.db copy.db
  userdata put Zoe hi && userdata backup copy.db && userdata diff userdata.db copy.db -o jsonl`,
		Args: cobra.ExactArgs(2),
	}
	c.Flags().StringVarP(&format, "output", "o", "text", "`format`: text or jsonl")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing: the exit status tells")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if format != "text" && format != "jsonl" {
			return usageError{fmt.Errorf("-o %s: there is no such format: text and jsonl are", printable(format))}
		}
		d := &differ{cmd: cmd, quiet: quiet, w: bufio.NewWriter(cmd.OutOrStdout())}
		if format == "text" {
			d.style = &style{zone: a.zone(), colors: colors(cmd.OutOrStdout())}
		}
		for i, path := range args {
			one := *a
			one.path = path
			opts := a.options(cmd, true)
			opts.Shared = true
			db, err := one.open(cmd, opts)
			if errors.As(err, new(noFile)) {
				err = fmt.Errorf("there is no file %s: %w", printable(path), fs.ErrNotExist)
			}
			if err != nil {
				return err
			}
			defer db.Close()
			d.sides[i].db = db
			d.sides[i].s = db.NewSession()
			defer d.sides[i].s.Close()
		}
		err := d.run(cmd.Context())
		if errors.Is(err, errDifferent) && quiet {
			return err
		}
		if flush := d.w.Flush(); flush != nil {
			return flush
		}
		return err
	}
	return c
}

// A differ compares two files.
type differ struct {
	cmd   *cobra.Command
	w     *bufio.Writer
	style *style // of text; nil for JSON lines
	quiet bool
	sides [2]struct {
		db *userdata.DB
		s  *userdata.Session
	}
	different bool
}

// run compares everything. It returns errDifferent if anything is different.
func (d *differ) run(ctx context.Context) error {
	a, b := d.sides[0].db.Schema().Tables, d.sides[1].db.Schema().Tables
	for len(a) > 0 || len(b) > 0 {
		var err error
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Name < b[0].Name:
			err = d.schema(a[0].Name, "- the table")
			a = a[1:]
		case len(a) == 0 || a[0].Name > b[0].Name:
			err = d.schema(b[0].Name, "+ the table")
			b = b[1:]
		default:
			err = d.table(ctx, a[0], b[0])
			a, b = a[1:], b[1:]
		}
		if err != nil {
			return err
		}
	}
	if d.different {
		return errDifferent
	}
	return nil
}

// found notes a difference. It returns errDifferent if nothing is to be printed.
func (d *differ) found() error {
	d.different = true
	if d.quiet {
		return errDifferent
	}
	return nil
}

// schema prints a difference of the schema.
func (d *differ) schema(table, text string) error {
	if err := d.found(); err != nil {
		return err
	}
	if d.style == nil {
		return d.object(userdata.Entry{Key: "table", Value: table}, userdata.Entry{Key: "change", Value: "schema"}, userdata.Entry{Key: "schema", Value: text})
	}
	color := "32"
	if text[0] == '-' {
		color = "31"
	}
	_, err := fmt.Fprintf(d.w, "%s\n", colored(*d.style, color, table+": "+text))
	return err
}

// object prints a line of JSON.
func (d *differ) object(entries ...userdata.Entry) error {
	_, err := d.w.Write(append(appendJSON(nil, entries), '\n'))
	return err
}

// table compares a table that both files have.
func (d *differ) table(ctx context.Context, a, b userdata.TableSchema) error {
	if err := d.schemas(a, b); err != nil {
		return err
	}
	var common []string
	key := [2]userdata.ColumnSchema{}
	for _, c := range a.Columns {
		if c.Key {
			key[0] = c
		}
		if i := slices.IndexFunc(b.Columns, func(o userdata.ColumnSchema) bool { return o.Name == c.Name }); i >= 0 {
			common = append(common, c.Name)
		}
	}
	for _, c := range b.Columns {
		if c.Key {
			key[1] = c
		}
	}
	if key[0].Name != key[1].Name || key[0].Type != key[1].Type {
		return d.schema(a.Name, "~ the keys differ: the records can't be compared")
	}
	return d.records(ctx, a.Name, key[0].Name, common)
}

// schemas compares the columns and indexes of a table.
func (d *differ) schemas(a, b userdata.TableSchema) error {
	lines := func(t userdata.TableSchema) (out []string) {
		for _, c := range t.Columns {
			out = append(out, c.String())
		}
		for _, x := range t.Indexes {
			out = append(out, x.String())
		}
		slices.Sort(out)
		return out
	}
	was, is := lines(a), lines(b)
	for _, line := range was {
		if !slices.Contains(is, line) {
			if err := d.schema(a.Name, "- "+line); err != nil {
				return err
			}
		}
	}
	for _, line := range is {
		if !slices.Contains(was, line) {
			if err := d.schema(a.Name, "+ "+line); err != nil {
				return err
			}
		}
	}
	return nil
}

// A rowStream is the records of a table, in the order of their keys.
type rowStream struct {
	next func() (*userdata.Row, error, bool)
	stop func()
	t    *userdata.RowTable
	row  *userdata.Row // nil after the last
	key  any
}

// stream begins to read a table.
func (d *differ) stream(ctx context.Context, side int, table string) (*rowStream, error) {
	t, err := d.sides[side].db.Rows(table)
	if err != nil {
		return nil, err
	}
	r := &rowStream{t: t}
	r.next, r.stop = iter.Pull2(t.Select(d.sides[side].s).Untracked().Rows(ctx))
	return r, nil
}

// advance goes to the next record.
func (r *rowStream) advance(key string) (err error) {
	row, err, more := r.next()
	if !more {
		r.row = nil
		return nil
	}
	if err != nil {
		return err
	}
	r.row = row
	r.key, err = row.Get(key)
	return err
}

// records compares the records of a table, going through both files side by side.
func (d *differ) records(ctx context.Context, table, key string, common []string) error {
	a, err := d.stream(ctx, 0, table)
	if err != nil {
		return err
	}
	defer a.stop()
	b, err := d.stream(ctx, 1, table)
	if err != nil {
		return err
	}
	defer b.stop()
	p := newProgress(d.cmd, "compare")
	defer p.end()
	err = errors.Join(a.advance(key), b.advance(key))
	for n := 1; err == nil && (a.row != nil || b.row != nil); n++ {
		p.report(table, n, 0)
		order := 0
		switch {
		case b.row == nil:
			order = -1
		case a.row == nil:
			order = 1
		default:
			order = compareKeys(a.key, b.key)
		}
		switch {
		case order < 0:
			if err = d.change(a.t, a.row, nil, columnNames(a.t)); err == nil {
				err = a.advance(key)
			}
		case order > 0:
			if err = d.change(b.t, nil, b.row, columnNames(b.t)); err == nil {
				err = b.advance(key)
			}
		default:
			if err = d.change(a.t, a.row, b.row, common); err == nil {
				err = errors.Join(a.advance(key), b.advance(key))
			}
		}
	}
	return err
}

// compareKeys compares two keys as the file orders them.
func compareKeys(a, b any) int {
	switch x := a.(type) {
	case string:
		return strings.Compare(x, b.(string))
	case []byte:
		return bytes.Compare(x, b.([]byte))
	case time.Time:
		return x.Compare(b.(time.Time))
	}
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	if x.CanUint() {
		return cmp.Compare(x.Uint(), y.Uint())
	}
	return cmp.Compare(x.Int(), y.Int())
}

// change prints what became of one record, if it is not as it was.
func (d *differ) change(t *userdata.RowTable, old, now *userdata.Row, columns []string) error {
	c := change{table: t.Name(), columns: columns}
	var err error
	row := now
	if old != nil {
		row = old
		if c.old, err = valuesOf(old, columns); err != nil {
			return err
		}
	}
	if now != nil {
		if c.now, err = valuesOf(now, columns); err != nil {
			return err
		}
	}
	if old != nil && now != nil && equalValues(c.old, c.now) {
		return nil
	}
	if err := d.found(); err != nil {
		return err
	}
	if d.style != nil {
		c.key = keyText(t, row)
		return c.print(d.w, *d.style)
	}
	key, err := row.Get(keyColumn(t).Name)
	if err != nil {
		return err
	}
	return d.object(append([]userdata.Entry{{Key: "table", Value: t.Name()}, {Key: "key", Value: key}}, c.entries()...)...)
}

// entries returns a change as JSON has it: a record that came or went, or the old and
// the new value of each column that changed.
func (c *change) entries() []userdata.Entry {
	record := func(values []any) []userdata.Entry {
		var out []userdata.Entry
		for i, name := range c.columns {
			out = append(out, userdata.Entry{Key: name, Value: values[i]})
		}
		return out
	}
	switch {
	case c.old == nil:
		return []userdata.Entry{{Key: "change", Value: "added"}, {Key: "new", Value: record(c.now)}}
	case c.now == nil:
		return []userdata.Entry{{Key: "change", Value: "removed"}, {Key: "old", Value: record(c.old)}}
	}
	var columns []userdata.Entry
	for i, name := range c.columns {
		if !equalValues(c.old[i], c.now[i]) {
			columns = append(columns, userdata.Entry{Key: name, Value: []userdata.Entry{{Key: "old", Value: c.old[i]}, {Key: "new", Value: c.now[i]}}})
		}
	}
	return []userdata.Entry{{Key: "change", Value: "changed"}, {Key: "columns", Value: columns}}
}
