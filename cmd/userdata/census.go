package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-5df914be/userdata"
	"github.com/seed-5df914be/userdata/internal/pages"
)

// A census is how many records a file has, and where its bytes are.
type census struct {
	schema  userdata.Schema
	records map[string]int // by table
	size    int64          // of the file
	free    int64          // bytes on pages that hold nothing, or are lost

	// What is in the buckets, by table, without what the pages take besides. Only
	// measure fills these in.
	data, indexes map[string]int64
	other         int64 // the library's own
}

// census counts the file's records by its pages, which takes no longer than reading
// them.
func (a *app) census(cmd *cobra.Command, fn func(ctx context.Context, db *userdata.DB, c *census) error) error {
	db, err := a.open(cmd, a.options(cmd, true)) // alone, so that the pages stay as they are
	if err != nil {
		return err
	}
	defer db.Close()
	f, err := os.Open(a.path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	report, err := pages.Check(f, info.Size())
	if err != nil {
		return err
	}
	if err := report.Err(); err != nil {
		return fmt.Errorf("%w: %w", userdata.ErrCorrupt, err)
	}
	c := &census{schema: db.Schema(), records: map[string]int{}, size: info.Size(), free: int64(report.Free+report.Leaked) * int64(report.PageSize)}
	for _, b := range report.Buckets {
		c.records[b.Name] = int(b.Entries)
	}
	return fn(cmd.Context(), db, c)
}

// measure adds up the bytes of the records.
func (c *census) measure(ctx context.Context, db *userdata.DB, p *progress) error {
	c.data, c.indexes = map[string]int64{}, map[string]int64{}
	return db.Store().View(ctx, func(snap userdata.Snapshot) error {
		names, err := snap.Buckets()
		if err != nil {
			return err
		}
		for _, bucket := range names {
			n, size := 0, int64(0)
			err := snap.Scan(bucket, userdata.Range{}, func(key, value []byte) bool {
				n++
				size += int64(len(key) + len(value))
				if n%4096 == 0 {
					p.report(bucket, n, c.records[bucket])
				}
				return ctx.Err() == nil
			})
			if err := errors.Join(err, ctx.Err()); err != nil {
				return err
			}
			switch index, isIndex := strings.CutPrefix(bucket, "_index/"); {
			case isIndex:
				table, _, _ := strings.Cut(index, "/")
				c.indexes[table] += size
			case strings.HasPrefix(bucket, "_"):
				c.other += size
			default:
				c.data[bucket] += size
			}
		}
		return nil
	})
}

func (a *app) tables() *cobra.Command {
	c := &cobra.Command{
		Use:     "tables",
		Short:   "Print the tables with their columns and number of records",
		Example: "  userdata tables\n  userdata tables -o json",
		Args:    cobra.NoArgs,
	}
	a.addOutputFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.census(cmd, func(_ context.Context, _ *userdata.DB, c *census) error {
			if a.format != "" {
				var records [][]any
				for _, t := range c.schema.Tables {
					records = append(records, []any{t.Name, c.records[t.Name], columnWords(t), indexWords(t)})
				}
				return a.writeAll(cmd, []string{"table", "records", "columns", "indexes"}, records)
			}
			for i, t := range c.schema.Tables {
				if i > 0 {
					fmt.Fprintln(cmd.OutOrStdout())
				}
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s  records: %d\n", t, c.records[t.Name]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return c
}

// columnWords returns the columns of a table as a list.
func columnWords(t userdata.TableSchema) []any {
	out := make([]any, len(t.Columns))
	for i, c := range t.Columns {
		out[i] = c.String()
	}
	return out
}

// indexWords returns the indexes of a table as a list.
func indexWords(t userdata.TableSchema) []any {
	out := make([]any, len(t.Indexes))
	for i, x := range t.Indexes {
		out[i] = x.String()
	}
	return out
}

// measuredAtOnce is the size of the largest file whose overview says how many bytes
// each table has: reading them takes no time that anybody notices.
const measuredAtOnce = 64 << 20

// overview prints what is in a file, and what to do next.
func (a *app) overview(cmd *cobra.Command) error {
	return a.census(cmd, func(ctx context.Context, db *userdata.DB, c *census) error {
		w := cmd.OutOrStdout()
		fmt.Fprintf(w, "%s: %s, %s, %s free\n", printable(a.path), sizeText(c.size), plural(len(c.schema.Tables), "table"), sizeText(c.free))
		if len(c.schema.Tables) == 0 {
			_, err := fmt.Fprintf(w, "\nNext:\n  userdata --db %s put Brad \"Brad's data\"\n", shellWord(a.path))
			return err
		}
		if c.size <= measuredAtOnce {
			if err := c.measure(ctx, db, newProgress(cmd, "read")); err != nil {
				return err
			}
		}
		fmt.Fprintln(w)
		s := style{format: "table", zone: a.zone(), width: width(w), colors: colors(w)}
		out := newOutput(w, s, []string{"table", "records", "size", "columns"})
		for _, t := range c.schema.Tables {
			if err := out.write([]any{t.Name, numberCell(countText(c.records[t.Name])), c.sizeCell(t.Name), columnList(t)}); err != nil {
				return err
			}
		}
		if err := out.close(); err != nil {
			return err
		}
		return a.printNext(cmd, c)
	})
}

// A numberCell is a text that stands at the right of its column, as numbers do.
type numberCell string

// sizeCell returns how many bytes a table takes with its indexes, nil if nobody has
// added them up.
func (c *census) sizeCell(table string) any {
	if c.data == nil {
		return nil
	}
	return numberCell(sizeText(c.data[table] + c.indexes[table]))
}

// columnList returns the names of a table's columns, the key marked.
func columnList(t userdata.TableSchema) string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
		if c.Key {
			names[i] += "*"
		}
	}
	return strings.Join(names, " ")
}

// printNext says what to do next.
func (a *app) printNext(cmd *cobra.Command, c *census) error {
	name, most := c.schema.Tables[0].Name, 0
	for _, t := range c.schema.Tables {
		if n := c.records[t.Name]; n > most {
			name, most = t.Name, n
		}
	}
	db := ""
	if a.path != defaultPath {
		db = " --db " + shellWord(a.path)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "\nNext:\n  userdata list %s%s --limit 10\n  userdata schema %s%s\n  userdata grep TEXT%s\n  userdata --help\n", name, db, name, db, db)
	return err
}

// shellWord returns a word as a shell takes it.
func shellWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./\\:") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(printable(s), "'", `'\''`) + "'"
}

func (a *app) stats() *cobra.Command {
	c := &cobra.Command{
		Use:   "stats",
		Short: "Print how many bytes tables and indexes take, and what compact would free",
		Long: `Stats reads the whole file and adds up the bytes of keys and values, of the tables
and of their indexes. Free is what compact gives back to the system; the pages of a
file have some room besides, which new records use first.`,
		Example: "  userdata stats\n  userdata stats -o json",
		Args:    cobra.NoArgs,
	}
	a.addOutputFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.census(cmd, func(ctx context.Context, db *userdata.DB, c *census) error {
			p := newProgress(cmd, "read")
			err := c.measure(ctx, db, p)
			p.end()
			if err != nil {
				return err
			}
			var records [][]any
			var used int64
			for _, t := range c.schema.Tables {
				n, average := c.records[t.Name], int64(0)
				if n > 0 {
					average = c.data[t.Name] / int64(n)
				}
				used += c.data[t.Name] + c.indexes[t.Name]
				records = append(records, []any{t.Name, n, c.data[t.Name], average, c.indexes[t.Name]})
			}
			if err := a.writeAll(cmd, []string{"table", "records", "bytes", "average", "indexes"}, records); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.ErrOrStderr(), "file %s, records and indexes %s, reclaimable %s (by 'compact')\n", sizeText(c.size), sizeText(used+c.other), sizeText(c.free))
			return err
		})
	}
	return c
}

func (a *app) top() *cobra.Command {
	n := 10
	c := &cobra.Command{
		Use:               "top [TABLE]",
		Short:             "Print the largest records, of one table or of all",
		Example:           "  userdata top --limit 5",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeTables,
	}
	c.Flags().IntVarP(&n, "limit", "n", n, "this `number` of records")
	a.addOutputFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if n < 0 {
			return usageError{fmt.Errorf("--limit %d: it can't be negative", n)}
		}
		return a.read(cmd, func(ctx context.Context, db *userdata.DB) error {
			names := tableNames(db.Schema())
			if len(args) > 0 {
				t, err := tableNamed(db, args[0])
				if err != nil {
					return err
				}
				names = []string{t.Name()}
			}
			p := newProgress(cmd, "read")
			found, err := largest(ctx, db, names, n, p)
			p.end()
			if err != nil {
				return err
			}
			records := make([][]any, len(found))
			for i, r := range found {
				records[i] = []any{r.table, r.key, r.size}
			}
			return a.writeAll(cmd, []string{"table", "key", "bytes"}, records)
		})
	}
	return c
}

// A sized is a record and how many bytes it takes.
type sized struct {
	table string
	key   string
	size  int
}

// largest returns the largest records, the largest first.
func largest(ctx context.Context, db *userdata.DB, names []string, n int, p *progress) ([]sized, error) {
	var found []sized
	s := db.NewSession()
	defer s.Close()
	for _, name := range names {
		t, err := db.Rows(name)
		if err != nil {
			return nil, err
		}
		seen := 0
		for row, err := range t.Select(s).Untracked().Rows(ctx) {
			if err != nil {
				return nil, err
			}
			if seen++; seen%4096 == 0 {
				p.report(name, seen, 0)
			}
			size := 0
			for _, e := range row.Values() {
				size += sizeOf(e.Value)
			}
			if len(found) == n && (n == 0 || size <= found[n-1].size) {
				continue
			}
			at, _ := slices.BinarySearchFunc(found, size, func(r sized, size int) int { return size - r.size - 1 })
			found = slices.Insert(found, at, sized{name, keyText(t, row), size})
			found = found[:min(n, len(found))]
		}
	}
	return found, nil
}

// sizeOf returns about how many bytes a value takes in a file.
func sizeOf(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case []byte:
		return len(v)
	case []any:
		n := 1
		for _, e := range v {
			n += sizeOf(e)
		}
		return n
	case []userdata.Entry:
		n := 1
		for _, e := range v {
			n += sizeOf(e.Key) + sizeOf(e.Value)
		}
		return n
	case nil, bool:
		return 1
	}
	return 8
}

// fileExists reports whether there is something at a path.
func fileExists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
