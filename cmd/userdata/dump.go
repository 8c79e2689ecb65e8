package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"

	"github.com/seed-5df914be/userdata"
)

// A dump is text, an object of JSON a line:
//
//	{"userdata_dump":1}                     first
//	{"migration":"2026-10-drop-drafts"}     each that the file has had
//	{"table":{"name":"notes",...}}          each table's schema
//	{"records":"notes","count":2}           then so many records of a table
//	{"id":1,"title":"Milk"}
//	{"id":2,"title":"Bread"}
//	{"end":2}                               last, with the number of all records
const dumpVersion = 1

func (a *app) dump() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "dump [TARGET]",
		Short: "Write the whole file as text, which restore makes a file of again",
		Long: `Dump writes all tables, their columns and indexes, the names of the migrations that
the file has had, and all records, as lines of JSON: to a file, packed if its name ends
in .zst, or to stdout. It is one state of the file: programs that share it wait until
it is written. The history of the schema is not in it: backup copies that too.`,
		Example: `  userdata dump all.jsonl.zst
  userdata dump | grep -c Brad`,
		Args: cobra.MaximumNArgs(1),
	}
	c.Flags().BoolVar(&force, "force", false, "replace TARGET if it exists")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		return a.read(cmd, func(ctx context.Context, db *userdata.DB) error {
			d := &dumper{cmd: cmd, db: db}
			path := append(args, "-")[0]
			if path == "-" {
				return d.write(ctx, cmd.OutOrStdout())
			}
			err := writeFile(path, force, func(f *os.File) error {
				if !strings.HasSuffix(path, ".zst") {
					return d.write(ctx, f)
				}
				enc, err := zstd.NewWriter(f, zstd.WithEncoderConcurrency(1))
				if err != nil {
					return err
				}
				return errors.Join(d.write(ctx, enc), enc.Close())
			})
			if err != nil {
				return err
			}
			return saySize(cmd, path, "with "+plural(d.n, "record"))
		})
	}
	return c
}

// A dumper writes a dump.
type dumper struct {
	cmd  *cobra.Command
	db   *userdata.DB
	w    *bufio.Writer
	line []byte
	n    int
}

// write writes the file as it is at one time.
func (d *dumper) write(ctx context.Context, w io.Writer) error {
	d.w = bufio.NewWriterSize(w, 256<<10)
	history, err := d.db.History(ctx)
	if err != nil {
		return err
	}
	d.entry("userdata_dump", dumpVersion)
	for _, v := range history {
		for _, name := range v.Migrations {
			d.entry("migration", name)
		}
	}
	for _, t := range d.db.Schema().Tables {
		d.entry("table", schemaEntries(t))
	}
	err = d.db.View(ctx, func(s *userdata.Session) error {
		for _, t := range d.db.Schema().Tables {
			if err := d.records(ctx, s, t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	d.entry("end", d.n)
	return d.w.Flush()
}

// entry writes a line that has one name, and more if they are given.
func (d *dumper) entry(name string, value any, more ...userdata.Entry) {
	d.line = appendJSON(d.line[:0], append([]userdata.Entry{{Key: name, Value: value}}, more...))
	d.w.Write(append(d.line, '\n')) // the error stays, for Flush
}

// schemaEntries returns a table's schema as a dump has it.
func schemaEntries(t userdata.TableSchema) []userdata.Entry {
	columns, indexes := []any{}, []any{}
	for _, c := range t.Columns {
		columns = append(columns, []userdata.Entry{{Key: "name", Value: c.Name}, {Key: "type", Value: c.Type}, {Key: "size", Value: c.Size}, {Key: "key", Value: c.Key}, {Key: "nullable", Value: c.Nullable}})
	}
	for _, x := range t.Indexes {
		parts := []any{}
		for _, c := range x.Columns {
			parts = append(parts, c)
		}
		indexes = append(indexes, []userdata.Entry{{Key: "name", Value: x.Name}, {Key: "columns", Value: parts}, {Key: "unique", Value: x.Unique}})
	}
	return []userdata.Entry{{Key: "name", Value: t.Name}, {Key: "columns", Value: columns}, {Key: "indexes", Value: indexes}}
}

// records writes the records of a table.
func (d *dumper) records(ctx context.Context, s *userdata.Session, schema userdata.TableSchema) error {
	t, err := d.db.Rows(schema.Name)
	if err != nil {
		return err
	}
	total, err := t.Select(s).Count(ctx)
	if err != nil {
		return err
	}
	p := newProgress(d.cmd, "dump")
	defer p.end()
	d.entry("records", schema.Name, userdata.Entry{Key: "count", Value: total})
	n := 0
	for row, err := range t.Select(s).Untracked().Rows(ctx) {
		if err != nil {
			return err
		}
		for _, c := range schema.Columns {
			if v, err := row.Get(c.Name); err == nil && v != nil && isInsideItself(c) {
				return fmt.Errorf("%s %s: column %s has a type with itself inside, which no program can make again from text: 'userdata backup' copies it", t.Name(), printable(keyText(t, row)), c.Name)
			}
		}
		if d.line, err = appendRowJSON(d.line[:0], row); err != nil {
			return err
		}
		if _, err := d.w.Write(append(d.line, '\n')); err != nil {
			return err
		}
		n++
		p.report(schema.Name, n, total)
	}
	d.n += n
	if n != total {
		return fmt.Errorf("%s: %d records were counted, and %d read", schema.Name, total, n)
	}
	return nil
}

// isInsideItself reports whether a column's type has itself inside: its values can be
// shown, but not made.
func isInsideItself(c userdata.ColumnSchema) bool { return strings.Contains(c.Type, "^") }

func (a *app) restore() *cobra.Command {
	c := &cobra.Command{
		Use:   "restore [DUMP]",
		Short: "Make a new file of what dump has written",
		Long: `Restore makes the file that --db names, which must not be there yet, of a dump: the
same tables, indexes and records. The file appears when it is complete.`,
		Example: "  userdata dump all.jsonl.zst && userdata restore all.jsonl.zst --db new.db",
		Args:    cobra.MaximumNArgs(1),
	}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if fileExists(a.path) {
			return fmt.Errorf("there is a file %s already: restore makes a new one: --db names another", printable(a.path))
		}
		in := newInput(cmd, append(args, "")[0])
		r, err := in.open()
		if err != nil {
			return err
		}
		defer r.Close()
		p := newProgress(cmd, "restore")
		defer p.end()
		d := &restorer{in: in.name, records: newObjectReader(r, in.name), report: p.report}
		if err := d.head(); err != nil {
			return err
		}
		opts := a.options(cmd, false)
		for _, name := range d.migrations {
			opts.Migrations = append(opts.Migrations, userdata.Migration{Name: name})
		}
		if err := newFile(cmd.Context(), a.path, opts, d.fill); err != nil {
			return fmt.Errorf("%w\nno file was made", err)
		}
		p.end()
		return saySize(cmd, a.path, "with "+plural(d.n, "record"))
	}
	return c
}

// A restorer reads a dump.
type restorer struct {
	in         string
	records    *objectReader
	report     func(what string, done, total int)
	migrations []string
	tables     map[string]*userdata.RowTable
	create     []userdata.Mapped
	pending    *record // the first line that is not of the head
	n          int
}

// line reads the next line. Its first field is what it is about.
func (d *restorer) line() (*record, error) {
	r, err := d.records.next()
	if errors.Is(err, io.EOF) {
		err = &badInput{d.in, d.records.text.place(d.records.text.passed), errors.New("the dump is not complete: its last line is missing")}
	}
	if err == nil && len(r.fields) == 0 {
		err = d.fault(r.place, errors.New("an empty line of a dump"))
	}
	return r, err
}

func (d *restorer) fault(at place, err error) error { return &badInput{d.in, at, err} }

// head reads what comes before the records.
func (d *restorer) head() error {
	d.tables = map[string]*userdata.RowTable{}
	first, err := d.line()
	if err != nil {
		return err
	}
	if f := first.fields[0]; f.name != "userdata_dump" || string(f.text) != strconv.Itoa(dumpVersion) {
		return d.fault(first.place, fmt.Errorf("this is no dump of version %d, which begins with {\"userdata_dump\":%d}", dumpVersion, dumpVersion))
	}
	for {
		r, err := d.line()
		if err != nil {
			return err
		}
		switch f := r.fields[0]; f.name {
		case "migration":
			var name string
			if err := json.Unmarshal(f.text, &name); err != nil {
				return d.fault(f.place, err)
			}
			if !slices.Contains(d.migrations, name) {
				d.migrations = append(d.migrations, name)
			}
		case "table":
			if err := d.table(&f); err != nil {
				return err
			}
		default:
			d.pending = r.clone()
			return nil
		}
	}
}

// table reads the schema of a table.
func (d *restorer) table(f *field) error {
	var schema userdata.TableSchema
	dec := json.NewDecoder(bytes.NewReader(f.text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&schema); err != nil {
		return d.fault(f.place, err)
	}
	t, err := userdata.NewRowTable(schema)
	if err == nil && d.tables[schema.Name] != nil {
		err = fmt.Errorf("table %s is there twice", schema.Name)
	}
	if err != nil {
		return d.fault(f.place, err)
	}
	d.tables[schema.Name] = t
	d.create = append(d.create, t)
	return nil
}

// fill puts the records into a new file.
func (d *restorer) fill(ctx context.Context, db *userdata.DB) error {
	return db.Bulk(ctx, func(ctx context.Context, s *userdata.Session) error {
		for {
			r := d.pending
			if d.pending = nil; r == nil {
				var err error
				if r, err = d.line(); err != nil {
					return err
				}
			}
			f := r.fields[0]
			switch {
			case f.name == "end" && string(f.text) == strconv.Itoa(d.n):
				return d.finish()
			case f.name == "end":
				return d.fault(f.place, fmt.Errorf("the dump had %s records, and %d were found", f.text, d.n))
			case f.name != "records" || len(r.fields) != 2 || r.fields[1].name != "count":
				return d.fault(f.place, errors.New("records, or the end, are expected here"))
			}
			if err := d.load(ctx, s, &f, string(r.fields[1].text)); err != nil {
				return err
			}
		}
	}, d.create...)
}

// finish refuses what comes after the end.
func (d *restorer) finish() error {
	r, err := d.records.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		err = d.fault(r.place, errors.New("something follows the end of the dump"))
	}
	return err
}

// load reads the records of a table.
func (d *restorer) load(ctx context.Context, s *userdata.Session, f *field, count string) error {
	var name string
	total, err := strconv.Atoi(count)
	if err = errors.Join(json.Unmarshal(f.text, &name), err); err != nil {
		return d.fault(f.place, err)
	}
	t := d.tables[name]
	if t == nil {
		return d.fault(f.place, fmt.Errorf("the dump has no table %q", printable(name)))
	}
	l := newLoader(t, d.in, true, addOnly, nil, func(n int) { d.report(name, n, total) })
	err = l.all(ctx, s, &limited{d, total}, loadStep)
	d.n += l.done
	return err
}

// limited reads so many records.
type limited struct {
	d *restorer
	n int
}

func (l *limited) next() (*record, error) {
	if l.n == 0 {
		return nil, io.EOF
	}
	l.n--
	return l.d.line()
}
