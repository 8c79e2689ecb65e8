package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-5df914be/userdata"
)

// importFormats are what --format of import takes.
var importFormats = []string{"json", "jsonl", "csv", "tsv"}

// An importing is what the flags of import say.
type importing struct {
	format, key, number      string
	create, dryRun, noHeader bool
	ignore, replace, merge   bool
	columns                  string
	types                    []string
	batch                    int
}

func (a *app) importCommand() *cobra.Command {
	var m importing
	c := &cobra.Command{
		Use:   "import TABLE [FILE]",
		Short: "Take in records from JSON, JSON lines, CSV or TSV",
		Long: `Import adds the records of a file, or of stdin, to a table: all of them, or none if
anything is wrong with one. Errors say the line and the column.

The format is that of the file's name (.json, .jsonl, .csv, .tsv, and with .zst after
it), or else what the beginning looks like. JSON is an array of objects, or objects one
after the other. The first line of CSV and TSV names the columns. An empty cell is null
in a column that may be null, else an empty text or the zero value; bytes are base64,
what is nested is JSON. Text must be UTF-8.

With --create the table is made: its columns are those of the data, and their types
what all values are: bool, int64, float64, time (RFC 3339), else string, and of JSON
also arrays and objects. Numbers with zeros before them stay text.`,
		Example: `  printf 'name,age\nAda,36\n' | userdata import people --create --key name
  userdata export userdata users.csv && userdata import userdata users.csv --replace
  userdata export userdata | userdata import copies --create --key user_id --db new.db`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeTables,
	}
	f := c.Flags()
	f.StringVarP(&m.format, "format", "f", "", "`format` of what is read: "+strings.Join(importFormats, ", "))
	f.BoolVar(&m.create, "create", false, "make the table, and the file if there is none")
	f.StringVar(&m.key, "key", "", "the `column` that is the key of the table that is made (default: id)")
	f.StringVar(&m.number, "number", "", "number the records from 1 in a `column` of that name, as their key")
	f.StringArrayVar(&m.types, "type", nil, "the type of a column that is made, as in `zip=string`; may be repeated")
	f.BoolVar(&m.ignore, "ignore", false, "leave records alone whose key is there already")
	f.BoolVar(&m.replace, "replace", false, "replace records whose key is there already")
	f.BoolVar(&m.merge, "merge", false, "change only the columns that the data has of records whose key is there already")
	f.IntVar(&m.batch, "batch", 0, "commit every `n` records, and keep those if a later one fails (default: all or nothing)")
	f.BoolVar(&m.dryRun, "dry-run", false, "check everything, and change nothing")
	f.BoolVar(&m.noHeader, "no-header", false, "the first line of CSV or TSV is a record; --columns names the columns")
	f.StringVar(&m.columns, "columns", "", "the `names` of the columns for --no-header: id,name,time")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(toCompletions(importFormats), cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if err := m.check(cmd); err != nil {
			return err
		}
		in := newInput(cmd, append(args, "")[1])
		defer in.remove()
		if m.create {
			return m.runCreate(a, cmd, args[0], in)
		}
		return m.run(a, cmd, args[0], in)
	}
	return c
}

// notTogether are flags that exclude each other.
var notTogether = [][]string{{"ignore", "replace", "merge"}, {"key", "number"}, {"dry-run", "batch"}, {"create", "batch"}}

// check refuses flags that make no sense.
func (m *importing) check(cmd *cobra.Command) error {
	for _, names := range notTogether {
		var given []string
		for _, name := range names {
			if cmd.Flags().Changed(name) {
				given = append(given, "--"+name)
			}
		}
		if len(given) > 1 {
			return usageError{fmt.Errorf("%s do not go together", strings.Join(given, " and "))}
		}
	}
	switch {
	case m.format != "" && formatOf("x."+m.format) == "" || m.format == "parquet" || m.format == "md" || m.format == "msgpack":
		return usageError{fmt.Errorf("--format %s: there is no such format%s", printable(m.format), didYouMean(m.format, importFormats))}
	case m.noHeader != (m.columns != ""):
		return usageError{errors.New("--no-header and --columns belong together")}
	case !m.create && (m.key != "" || len(m.types) > 0):
		return usageError{errors.New("--key and --type are for a table that is made: with --create")}
	case cmd.Flags().Changed("batch") && m.batch < 1:
		return usageError{fmt.Errorf("--batch %d: it must be 1 or more", m.batch)}
	}
	return nil
}

// mode returns what becomes of records that are there already.
func (m *importing) mode() int {
	switch {
	case m.ignore:
		return ignoreExisting
	case m.replace:
		return replaceExisting
	case m.merge:
		return mergeExisting
	}
	return addOnly
}

// read begins to read the records of an input. It reports whether they are JSON.
func (m *importing) read(in *input) (records recordReader, isJSON bool, closer io.Closer, err error) {
	r, err := in.open()
	if err != nil {
		return nil, false, nil, err
	}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	begin := bufio.NewReaderSize(r, 64<<10)
	format := m.format
	if format == "" {
		format = formatOf(in.name)
	}
	switch format {
	case "":
		head, _ := begin.Peek(4 << 10)
		format = looksLike(head)
	case "parquet", "md", "msgpack":
		return nil, false, nil, usageError{fmt.Errorf("%s: import reads %s", printable(in.name), strings.Join(importFormats, ", "))}
	}
	var columns []string
	if m.noHeader {
		columns = strings.Split(m.columns, ",")
	}
	switch format {
	case "csv":
		records, err = newCellReader(begin, in.name, ',', columns)
	case "tsv":
		records, err = newCellReader(begin, in.name, '\t', columns)
	default:
		records, isJSON = newObjectReader(begin, in.name), true
	}
	if m.number != "" {
		records = &numbered{records, m.number, 0}
	}
	return records, isJSON, r, err
}

// looksLike returns the format that the beginning of an input looks like.
func looksLike(head []byte) string {
	head = bytes.TrimPrefix(head, []byte("\ufeff"))
	line, _, _ := bytes.Cut(head, []byte("\n"))
	switch text := bytes.TrimSpace(head); {
	case len(text) > 0 && (text[0] == '{' || text[0] == '['):
		return "json"
	case bytes.IndexByte(line, '\t') >= 0 && bytes.IndexByte(line, ',') < 0:
		return "tsv"
	}
	return "csv"
}

// numbered numbers records in a column of their own.
type numbered struct {
	recordReader
	column string
	n      int
}

func (r *numbered) next() (*record, error) {
	rec, err := r.recordReader.next()
	if err != nil {
		return nil, err
	}
	r.n++
	number := field{r.column, strconv.AppendInt(nil, int64(r.n), 10), rec.place}
	return &record{rec.place, append([]field{number}, rec.fields...)}, nil
}

// readAhead is how many records are read before it is decided how they are written.
const readAhead = 10_000

// A resumed reads records that were read before, and then the others.
type resumed struct {
	held []*record
	recordReader
}

func (r *resumed) next() (*record, error) {
	if len(r.held) > 0 {
		first := r.held[0]
		r.held = r.held[1:]
		return first, nil
	}
	return r.recordReader.next()
}

// ahead reads the first records. It reports whether they are all.
func ahead(records recordReader) (r *resumed, all bool, err error) {
	r = &resumed{nil, records}
	for len(r.held) < readAhead {
		rec, err := records.next()
		if errors.Is(err, io.EOF) {
			return r, true, nil
		}
		if err != nil {
			return nil, false, err
		}
		r.held = append(r.held, rec.clone())
	}
	return r, false, nil
}

// errDryRun ends an import that is to change nothing.
var errDryRun = errors.New("dry run")

// run puts the records into a table that is there.
func (m *importing) run(a *app, cmd *cobra.Command, name string, in *input) error {
	if !fileExists(a.path) {
		return fmt.Errorf("there is no file %s: --create makes one, --db names another", printable(a.path))
	}
	records, isJSON, closer, err := m.read(in)
	if err != nil {
		return err
	}
	defer closer.Close()
	p := newProgress(cmd, "import")
	defer p.end()
	var l *loader
	err = a.write(cmd, func(ctx context.Context, db *userdata.DB) error {
		t, err := tableNamed(db, name)
		if err != nil {
			return err
		}
		l = newLoader(t, in.name, isJSON, m.mode(), nil, func(n int) { p.report(name, n, 0) })
		return m.write(ctx, db, l, records)
	})
	p.end()
	return m.say(cmd, l, err)
}

// write puts the records into the file: few of them in a commit, many in a copy of
// the file that takes its place.
func (m *importing) write(ctx context.Context, db *userdata.DB, l *loader, records recordReader) error {
	if m.batch > 0 {
		s := db.NewSession()
		defer s.Close()
		return l.all(ctx, s, records, m.batch)
	}
	first, all, err := ahead(records)
	if err != nil {
		return err
	}
	if !all {
		return db.Bulk(ctx, func(ctx context.Context, s *userdata.Session) error {
			if err := l.all(ctx, s, first, loadStep); err != nil || !m.dryRun {
				return err
			}
			return errDryRun
		})
	}
	s := db.NewSession()
	defer s.Close()
	if !m.dryRun {
		return l.all(ctx, s, first, readAhead+1)
	}
	step, err := l.read(first, readAhead+1)
	if err == nil {
		err = l.put(ctx, s, step)
	}
	if err != nil {
		return err
	}
	if err := s.Flush(ctx); err != nil {
		return l.placed(err)
	}
	return errDryRun
}

// runCreate makes the table, and the file if there is none, with the records in it.
func (m *importing) runCreate(a *app, cmd *cobra.Command, name string, in *input) error {
	if err := m.refuseTable(a, cmd, name); err != nil {
		return err
	}
	if err := in.keep(); err != nil {
		return err
	}
	p := newProgress(cmd, "look at")
	defer p.end()
	f, schema, err := m.find(cmd.Context(), in, name, func(n int) { p.report(name, n, 0) })
	p.end()
	if err != nil {
		return err
	}
	t, err := userdata.NewRowTable(schema)
	if err != nil {
		return err
	}
	records, isJSON, closer, err := m.read(in)
	if err != nil {
		return err
	}
	defer closer.Close()
	p.verb = "import"
	l := newLoader(t, in.name, isJSON, m.mode(), f.given, func(n int) { p.report(name, n, f.records) })
	fill := func(ctx context.Context, db *userdata.DB) error {
		return db.Bulk(ctx, func(ctx context.Context, s *userdata.Session) error {
			if err := l.all(ctx, s, records, loadStep); err != nil || !m.dryRun {
				return err
			}
			return errDryRun
		}, t)
	}
	if fileExists(a.path) {
		err = a.write(cmd, fill)
	} else {
		err = newFile(cmd.Context(), a.path, a.options(cmd, false), fill)
	}
	p.end()
	if err == nil || errors.Is(err, errDryRun) {
		m.sayCreated(cmd, f, schema)
	}
	return m.say(cmd, l, err)
}

// refuseTable is an error if the table is there already.
func (m *importing) refuseTable(a *app, cmd *cobra.Command, name string) error {
	if !fileExists(a.path) {
		return nil
	}
	return a.read(cmd, func(_ context.Context, db *userdata.DB) error {
		if _, err := db.Rows(name); err == nil {
			return fmt.Errorf("there is a table %s already: leave --create out to add to it: %w", name, fs.ErrExist)
		}
		return nil
	})
}

// find finds the table that an input makes.
func (m *importing) find(ctx context.Context, in *input, name string, report func(n int)) (*finder, userdata.TableSchema, error) {
	none := userdata.TableSchema{}
	given := map[string]string{}
	for _, text := range m.types {
		column, typ, ok := strings.Cut(text, "=")
		if !ok || column == "" || typ == "" {
			return nil, none, usageError{fmt.Errorf("--type %s: write it as in zip=string", printable(text))}
		}
		given[column] = typ
	}
	records, isJSON, closer, err := m.read(in)
	if err != nil {
		return nil, none, err
	}
	defer closer.Close()
	f, err := find(ctx, records, in.name, isJSON, given, report)
	if err != nil {
		return nil, none, err
	}
	if f.records == 0 {
		return nil, none, fmt.Errorf("%s has no records to find the columns from", printable(in.name))
	}
	for column := range given {
		if f.found[column] == nil {
			return nil, none, usageError{fmt.Errorf("--type %s: there is no such column%s", printable(column), didYouMean(column, f.names))}
		}
	}
	key := m.key
	if m.number != "" {
		key = m.number
	}
	schema, err := f.schema(name, key)
	return f, schema, err
}

// sayCreated says what the table is that was made.
func (m *importing) sayCreated(cmd *cobra.Command, f *finder, schema userdata.TableSchema) {
	for _, name := range f.names {
		if column := cleanName(name); column != name {
			fmt.Fprintf(cmd.ErrOrStderr(), "column %q is called %s\n", printable(name), column)
		}
	}
	fmt.Fprint(cmd.ErrOrStderr(), schema.String())
}

// say says how many records were taken in, or that none were.
func (m *importing) say(cmd *cobra.Command, l *loader, err error) error {
	end := ""
	switch {
	case errors.Is(err, errDryRun):
		end = " (dry run: nothing was changed)"
	case err != nil && l != nil && m.batch > 0 && l.committed > 0:
		return fmt.Errorf("%w\nthe first %s of the input were taken in", err, plural(l.committed, "record"))
	case err != nil && l != nil:
		return fmt.Errorf("%w\nnothing was changed", err)
	case err != nil:
		return err
	}
	_, err = fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s added, %s changed, %s unchanged%s\n", l.t.Name(), countText(l.added), countText(l.changed), countText(l.unchanged), end)
	return err
}
