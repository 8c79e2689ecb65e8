package userdata

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// An evolution brings the tables in a store to what the program declares: first
// by its migrations, then by what Open does without being asked. Without a
// transaction it is a plan: it works out what would be done and changes nothing.
type evolution struct {
	ctx  context.Context
	db   *DB
	snap Snapshot
	tx   writeTx // nil for a plan

	fresh  bool                   // the store is empty
	stored map[string]TableSchema // in the store
	tables map[string]TableSchema // the same, as far as it has come

	record  schemaRecord
	ran     []string // names of migrations
	changes []string // what was done, for people
	current bool     // the store is as it should be: nothing else was looked at
	bulk    bool     // records or entries of tables are written
}

// newEvolution reads the schema that a store has.
func newEvolution(ctx context.Context, db *DB, snap Snapshot, tx writeTx) (*evolution, error) {
	e := &evolution{ctx: ctx, db: db, snap: snap, tx: tx, stored: map[string]TableSchema{}, tables: map[string]TableSchema{}}
	var err error
	if e.fresh, err = checkFormat(snap); err != nil {
		return nil, err
	}
	if _, err := getInternal(snap, schemaRecordTable, schemaKey, &e.record); err != nil {
		return nil, err
	}
	err = scanInternal(snap, schemaTable, func(s *TableSchema) {
		e.stored[s.Name], e.tables[s.Name] = *s, *s
	})
	return e, err
}

// run does everything: migrations, then the declared tables.
func (e *evolution) run() error {
	if err := e.migrate(); err != nil {
		return err
	}
	return e.settle(e.db.sorted())
}

// pending reports whether there is anything to write.
func (e *evolution) pending() bool { return e.fresh || len(e.changes) > 0 || len(e.ran) > 0 }

// note says what is done, in the log and in the list of changes.
func (e *evolution) note(lines ...string) {
	e.changes = append(e.changes, lines...)
	if e.tx == nil || e.fresh {
		return
	}
	for _, line := range lines {
		e.db.log.InfoContext(e.ctx, "userdata: schema: "+line)
	}
}

// settle makes the tables in the store what the program declares, if that needs
// no word of the program's. Else the error lists every difference of every table.
func (e *evolution) settle(tables []*table) error {
	var diffs []*tableDiff
	var refused []string
	for _, t := range tables {
		from, found := e.tables[t.name]
		if !found {
			e.note(t.name + ": create the table")
			e.tables[t.name] = t.schema()
			continue
		}
		d := diffTable(from, t)
		refused = append(refused, d.refusals()...)
		diffs = append(diffs, d)
	}
	if len(refused) > 0 {
		return e.refusal(diffs, refused)
	}
	for _, d := range diffs {
		if err := e.take(d); err != nil {
			return err
		}
	}
	return nil
}

// refusal is the error for tables that the file has otherwise.
func (e *evolution) refusal(diffs []*tableDiff, refused []string) error {
	hint, err := e.newer(diffs)
	if err != nil {
		return err
	}
	return fmt.Errorf("userdata: open: %w:\n  %s%s", ErrSchema, strings.Join(refused, "\n  "), hint)
}

// take does what a difference asks for.
func (e *evolution) take(d *tableDiff) error {
	if d.empty() {
		return nil
	}
	e.note(d.taken...)
	e.bulk = e.bulk || d.rewrite || len(d.build) > 0
	name := d.table.name
	e.tables[name] = d.want
	if e.tx == nil {
		return nil
	}
	if d.rewrite {
		if err := e.rewriteTable(name, d.recoder().value); err != nil {
			return err
		}
	}
	for _, x := range d.drop {
		if err := e.tx.deleteBucket(indexBucket(name, x.Name)); err != nil {
			return err
		}
	}
	return e.build(d.table, d.build)
}

// dropIndexes removes a table's indexes from the store; what is declared of them
// is built again in the end.
func (e *evolution) dropIndexes(name string, which func(IndexSchema) bool) error {
	s := e.tables[name]
	kept := []IndexSchema(nil)
	for _, x := range s.Indexes {
		if !which(x) {
			kept = append(kept, x)
			continue
		}
		if e.tx != nil {
			if err := e.tx.deleteBucket(indexBucket(name, x.Name)); err != nil {
				return err
			}
		}
	}
	s.Indexes = kept
	e.tables[name] = s
	return nil
}

// pageRecords and pageBytes are how much is read of a table before it is written.
const (
	pageRecords = 1000
	pageBytes   = 1 << 20
)

// rewriteTable replaces the value of each record of a table.
func (e *evolution) rewriteTable(name string, recode func(key, value []byte) ([]byte, error)) error {
	return e.eachPage(name, func(key, value []byte) (Change, error) {
		now, err := recode(key, value)
		return Change{Key: bytes.Clone(key), Value: now}, err
	}, func(page []Change) error { return e.putAll(name, page) })
}

// putAll writes a page of records to a bucket.
func (e *evolution) putAll(bucket string, page []Change) error {
	for _, ch := range page {
		if err := e.tx.put(bucket, ch.Key, ch.Value); err != nil {
			return err
		}
	}
	return nil
}

// eachPage reads a table page by page: recode makes a change of each record, while
// its bytes are there, and write gets those of a page. The last key of a page
// is where the next begins.
func (e *evolution) eachPage(name string, recode func(key, value []byte) (Change, error), write func(page []Change) error) error {
	p, err := e.progressOf(name)
	if err != nil {
		return err
	}
	from := []byte(nil)
	for {
		var page []Change
		var failed error
		last, size := []byte(nil), 0
		err := e.tx.Scan(name, Range{From: from}, func(key, value []byte) bool {
			ch, err := recode(key, value)
			if err != nil {
				failed = err
				return false
			}
			page = append(page, ch)
			size += len(ch.Key) + len(ch.Value)
			if len(page) == pageRecords || size >= pageBytes {
				last = bytes.Clone(key)
			}
			failed = p.step()
			return failed == nil && last == nil
		})
		if err := errors.Join(failed, err); err != nil {
			return err
		}
		if err := write(page); err != nil || last == nil {
			return err
		}
		from = after(last)
	}
}

// A progress counts the records that are done, and ends a long work when its
// context does.
type progress struct {
	e           *evolution
	table       string
	done, total int
}

// progressOf counts the records of a table, which are about to be read.
func (e *evolution) progressOf(name string) (*progress, error) {
	p := &progress{e: e, table: name}
	err := e.tx.Scan(name, Range{}, func(_, _ []byte) bool { p.total++; return true })
	return p, err
}

func (p *progress) step() error {
	p.done++
	if p.done%progressStep != 0 && p.done != p.total {
		return nil
	}
	p.e.db.progress(p.table, p.done, p.total)
	if err := p.e.ctx.Err(); err != nil {
		return fmt.Errorf("userdata: open: table %s: %w", p.table, err)
	}
	return nil
}

// clone returns a copy whose lists are its own.
func (t TableSchema) clone() TableSchema {
	t.Columns = slices.Clone(t.Columns)
	t.Indexes = slices.Clone(t.Indexes)
	for i := range t.Indexes {
		t.Indexes[i].Columns = slices.Clone(t.Indexes[i].Columns)
	}
	return t
}

// column returns the place of a column, or -1.
func (t TableSchema) column(name string) int {
	return slices.IndexFunc(t.Columns, func(c ColumnSchema) bool { return c.Name == name })
}
