package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"

	"github.com/seed-5df914be/userdata"
)

// exportFormats are what -o of export takes.
var exportFormats = []string{"jsonl", "json", "csv", "tsv", "parquet", "md", "msgpack"}

func (a *app) export() *cobra.Command {
	var sel selection
	var force bool
	c := &cobra.Command{
		Use:   "export TABLE [FILE]",
		Short: "Write records as JSON lines, JSON, CSV, TSV or Parquet",
		Long: `Export writes the records of a table, all or some, to a file, or to stdout. The
format is that of the file's name, or of -o; a name that ends in .zst is packed with
zstd. The file appears when it is complete: if anything fails there is none.

JSON and JSON lines give back the same records when they are imported. CSV and TSV do
too, but for the difference of null and an empty text. In Parquet what is nested is a
column of JSON; times have microseconds, or nanoseconds if one of the column needs
those, or are text if they need those and are of centuries that have no room for them.`,
		Example: `  userdata export userdata users.csv
  userdata export userdata users.jsonl.zst
  userdata export userdata -o json --where 'user_id startsWith "B"'`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeTables,
	}
	sel.addFlags(a, c)
	c.Flags().Lookup("output").Usage = "`format`: " + strings.Join(exportFormats, ", ") + " (default: that of the file's name, else jsonl)"
	c.Flags().BoolVar(&force, "force", false, "replace FILE if it exists")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		path := append(args, "-")[1]
		if a.format == "" && path != "-" {
			if a.format = formatOf(path); a.format == "" {
				return usageError{fmt.Errorf("%s does not say the format: -o does, one of %s", printable(path), strings.Join(exportFormats, ", "))}
			}
		}
		if a.format == "" {
			a.format = "jsonl"
		}
		if !slices.Contains(exportFormats, a.format) {
			return usageError{fmt.Errorf("-o %s: there is no such format%s", printable(a.format), didYouMean(a.format, exportFormats))}
		}
		if err := sel.check(cmd); err != nil {
			return err
		}
		e := &exporting{a: a, cmd: cmd, sel: &sel}
		return a.read(cmd, func(ctx context.Context, db *userdata.DB) error {
			t, err := tableNamed(db, args[0])
			if err != nil {
				return err
			}
			s := db.NewSession()
			defer s.Close()
			if sel.explain || sel.count {
				return a.printRows(ctx, cmd, s, t, &sel, func(q userdata.RowQuery) (userdata.RowQuery, error) { return q, nil })
			}
			began := versionOf(ctx, db)
			defer func() {
				if began != versionOf(ctx, db) {
					fmt.Fprintln(cmd.ErrOrStderr(), "the file was changed meanwhile: records may be of before and after; 'backup' first, and export that, for one state")
				}
			}()
			if path == "-" {
				_, err := e.write(ctx, s, t, cmd.OutOrStdout())
				return err
			}
			n := 0
			err = writeFile(path, force, func(f *os.File) (err error) {
				n, err = e.packed(ctx, s, t, f, strings.HasSuffix(path, ".zst"))
				return err
			})
			if err != nil {
				return err
			}
			return saySize(cmd, path, "with "+plural(n, "record"))
		})
	}
	return c
}

// versionOf returns the version that a file is at; 0 if it can't be read.
func versionOf(ctx context.Context, db *userdata.DB) (version uint64) {
	_ = db.Store().View(ctx, func(snap userdata.Snapshot) error {
		version = snap.Version()
		return nil
	})
	return version
}

// exporting is one call of export.
type exporting struct {
	a   *app
	cmd *cobra.Command
	sel *selection
}

// packed writes the records to a file, packed if that is wanted.
func (e *exporting) packed(ctx context.Context, s *userdata.Session, t *userdata.RowTable, f io.Writer, pack bool) (n int, err error) {
	if !pack {
		return e.write(ctx, s, t, f)
	}
	enc, err := zstd.NewWriter(f, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return 0, err
	}
	n, err = e.write(ctx, s, t, enc)
	return n, errors.Join(err, enc.Close())
}

// write writes the records, and returns how many there are.
func (e *exporting) write(ctx context.Context, s *userdata.Session, t *userdata.RowTable, w io.Writer) (n int, err error) {
	names, err := e.sel.names(t)
	if err != nil {
		return 0, err
	}
	out, err := e.output(ctx, s, t, names, w)
	if err != nil {
		return 0, err
	}
	p := newProgress(e.cmd, "export")
	defer p.end()
	total := 0
	if p.w != nil {
		if total, err = t.Select(s).Count(ctx); err != nil {
			return 0, err
		}
	}
	err = e.each(ctx, s, t, names, func(values []any) error {
		n++
		p.report(t.Name(), n, total)
		return out.write(values)
	})
	if err != nil {
		return n, err
	}
	return n, out.close()
}

// each calls fn with the values of each record.
func (e *exporting) each(ctx context.Context, s *userdata.Session, t *userdata.RowTable, names []string, fn func(values []any) error) error {
	q, c, err := e.sel.query(ctx, s, t)
	if err != nil {
		return err
	}
	for row, err := range q.Untracked().Rows(ctx) {
		if err == nil {
			err = c.fault()
		}
		if err != nil {
			return err
		}
		values, err := valuesOf(row, names)
		if err == nil {
			err = fn(values)
		}
		if err != nil {
			return err
		}
	}
	return c.fault()
}

// output returns the output of the format that is asked for.
func (e *exporting) output(ctx context.Context, s *userdata.Session, t *userdata.RowTable, names []string, w io.Writer) (output, error) {
	if e.a.format != "parquet" {
		return newOutput(w, style{format: e.a.format, zone: e.a.zone(), escape: isTerminal(w)}, names), nil
	}
	if isTerminal(w) {
		return nil, usageError{errors.New("a terminal does not show Parquet: name a file")}
	}
	forms := map[string]timeForm{}
	if times := timeColumns(t, names); len(times) > 0 {
		err := e.each(ctx, s, t, times, func(values []any) error {
			for i, v := range values {
				f := forms[times[i]]
				f.note(v)
				forms[times[i]] = f
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return newParquetOutput(bufio.NewWriterSize(w, 256<<10), t, names, forms)
}

// timeColumns returns those of the columns that are times.
func timeColumns(t *userdata.RowTable, names []string) []string {
	var out []string
	for _, c := range t.Columns() {
		if c.Type == "time" && slices.Contains(names, c.Name) {
			out = append(out, c.Name)
		}
	}
	return out
}
