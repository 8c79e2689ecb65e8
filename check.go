package userdata

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxProblems is how many problems a CheckReport holds.
const maxProblems = 1000

// A CheckReport is what [BoltStore.Check] found.
type CheckReport struct {
	Tables []CheckedTable // by name

	// Pages counts the pages of the file, Free those of them that hold nothing, Lost
	// those that are neither in use nor known to be free. Lost pages are no problem
	// as long as no records are missing; Compact gets them back.
	Pages, Free, Lost uint64

	Problems []error // what is wrong; each is ErrCorrupt
	Omitted  int     // problems beyond the first 1,000
}

// A CheckedTable is a table that was looked at.
type CheckedTable struct {
	Name    string
	Records int // that can be read
}

// Err returns nil if there are no problems, and otherwise an error that tells them
// and is [ErrCorrupt].
func (r *CheckReport) Err() error {
	if len(r.Problems) == 0 {
		return nil
	}
	err := errors.Join(r.Problems...)
	if r.Omitted > 0 {
		err = fmt.Errorf("%w\nand %d more", err, r.Omitted)
	}
	return err
}

// note adds a problem.
func (r *CheckReport) note(err error) {
	switch {
	case err == nil:
	case len(r.Problems) == maxProblems:
		r.Omitted++
	default:
		if !errors.Is(err, ErrCorrupt) {
			err = corruptf("%w", err)
		}
		r.Problems = append(r.Problems, err)
	}
}

// Check looks at all there is in the file: the structure of its pages, the sum of
// each bucket, the checksum of each record, that it decodes to what its table's schema
// says and encodes to the same bytes, and that the entries of the indexes are those
// that the records imply. It goes on after what it finds, and reports it. Reads go on
// meanwhile; commits wait. [Options.Progress] is told how far it is, table by table.
//
// The error is nil if the whole file was looked at: see [CheckReport.Err] for what is
// wrong in it. Errors: the context's, [ErrClosed], [ErrLocked], and those of the file
// system.
func (s *BoltStore) Check(ctx context.Context) (*CheckReport, error) {
	if err := s.calls.enter(); err != nil {
		return nil, err
	}
	defer s.calls.leave()
	report, err := s.check(ctx)
	if err != nil {
		return nil, fmt.Errorf("userdata: check %s: %w", s.path, err)
	}
	return report, nil
}

func (s *BoltStore) check(ctx context.Context) (*CheckReport, error) {
	if err := s.lockWriter(ctx); err != nil {
		return nil, err
	}
	defer s.unlockWriter()
	p, err := s.beginView(ctx)
	if err != nil {
		return nil, err
	}
	defer s.endView(p)
	report := &CheckReport{}
	if err := s.checkPages(report); err != nil {
		return nil, err
	}
	c := &checker{ctx: ctx, report: report, progress: s.opts.Progress}
	err = p.view(func(snap Snapshot) error {
		c.snap = snap
		return c.run()
	})
	if errors.Is(err, ErrCorrupt) {
		report.note(err) // where it had to end
		err = ctx.Err()
	}
	return report, err
}

// A checker checks the contents of a snapshot.
type checker struct {
	ctx      context.Context
	snap     Snapshot
	report   *CheckReport
	progress func(table string, done, total int) // nil if nobody wants to know
}

// run checks all buckets.
func (c *checker) run() error {
	names, err := c.snap.Buckets()
	c.report.note(err)
	tables, err := c.tables()
	if err != nil {
		return err
	}
	indexes := map[string]bool{}
	for _, t := range tables {
		for _, x := range t.indexes {
			indexes[x.bucket] = true
		}
	}
	for _, name := range names {
		if snap, ok := c.snap.(*boltSnapshot); ok {
			c.report.note(verifySum(snap, name))
		}
		_, known := tables[name]
		switch {
		case known, indexes[name]: // below
		case strings.HasPrefix(name, "_") && !strings.HasPrefix(name, indexPrefix):
			c.internal(name)
		default:
			c.report.note(c.empty(name))
		}
		if err := c.ctx.Err(); err != nil {
			return err
		}
	}
	for _, name := range sortedKeys(tables) {
		if err := c.table(tables[name]); err != nil {
			return err
		}
	}
	return nil
}

// tables returns the tables that the schema in the file declares.
func (c *checker) tables() (map[string]*table, error) {
	tables := map[string]*table{}
	err := c.snap.Scan(schemaTable.name, Range{}, func(key, value []byte) bool {
		stored := &TableSchema{}
		if err := schemaTable.decode(key, value, pointerTo(stored)); err != nil {
			c.report.note(err)
			return true
		}
		t, err := rowTableOf(*stored)
		if err != nil {
			c.report.note(err)
			return true
		}
		tables[stored.Name] = t.table
		return true
	})
	c.report.note(err)
	return tables, c.ctx.Err()
}

// empty finds entries of a table or an index that the schema does not have: one that
// was dropped leaves an empty bucket.
func (c *checker) empty(bucket string) error {
	n := 0
	err := c.snap.Scan(bucket, Range{}, func(_, _ []byte) bool { n++; return true })
	if err == nil && n > 0 {
		err = fmt.Errorf("userdata: bucket %s: %w", bucket, corruptf("%d entries, but the schema has no such table or index", n))
	}
	return err
}

// internal checks the records of a table of the package's own.
func (c *checker) internal(name string) {
	seed := checksumSeed(name)
	c.report.note(c.snap.Scan(name, Range{}, func(key, value []byte) bool {
		if _, err := verifyChecksum(seed, key, value); err != nil {
			c.report.note(&RecordError{Op: "check", Table: name, Key: bytes.Clone(key), Err: err})
		}
		return true
	}))
}

// table checks the records of a table, and its indexes.
func (c *checker) table(t *table) error {
	total := 0
	if snap, ok := c.snap.(*boltSnapshot); ok {
		if sum, err := snap.sum(t.name); err == nil {
			total = int(sum.count())
		}
	}
	done, readable := 0, 0
	err := c.snap.Scan(t.name, Range{}, func(key, value []byte) bool {
		faults := len(c.report.Problems) + c.report.Omitted
		c.record(t, key, value)
		if len(c.report.Problems)+c.report.Omitted == faults {
			readable++
		}
		if done++; done%progressStep == 0 && c.progress != nil {
			c.progress(t.name, done, max(total, done))
		}
		return done%progressStep != 0 || c.ctx.Err() == nil
	})
	c.report.note(err)
	c.report.Tables = append(c.report.Tables, CheckedTable{t.name, readable})
	for _, x := range t.indexes {
		c.report.note(c.index(t, x))
	}
	if c.progress != nil {
		c.progress(t.name, done, done)
	}
	return c.ctx.Err()
}

// record checks one record, and that the indexes have its entries.
func (c *checker) record(t *table, key, value []byte) {
	p := t.newRecord()
	if err := t.decode(key, value, p); err != nil {
		c.report.note(err)
		return
	}
	e := newEncoder()
	defer e.free()
	again, err := t.encode(e, p)
	if err != nil || !bytes.Equal(again, key) || !bytes.Equal(e.bytes(), value) {
		c.report.note(t.recordError("check", key, "", errors.Join(corruptf("encodes to other bytes"), err)))
		return
	}
	r, err := t.open(key, value)
	if err != nil {
		c.report.note(err)
		return
	}
	for _, x := range t.indexes {
		entries, err := x.entries(&r)
		if err != nil {
			c.report.note(t.recordError("check", key, "", err))
		}
		for _, entry := range entries {
			found, err := c.snap.Get(x.bucket, entry.key)
			if err == nil && !bytes.Equal(found, entry.value) {
				err = t.recordError("check", key, "", corruptf("index %s does not lead to it", x.name))
			}
			c.report.note(err)
		}
	}
}

// index checks that each entry of an index is of a record that implies it.
func (c *checker) index(t *table, x *index) error {
	return c.snap.Scan(x.bucket, Range{}, func(key, value []byte) bool {
		if err := c.entry(t, x, key, value); err != nil {
			c.report.note(fmt.Errorf("userdata: table %s, index %s, entry %x: %w", t.name, x.name, key, err))
		}
		return true
	})
}

// entry checks one entry of an index.
func (c *checker) entry(t *table, x *index, key, value []byte) error {
	of, err := x.key(key, value)
	if err != nil {
		return err
	}
	stored, err := c.snap.Get(t.name, of)
	if err != nil {
		return err
	}
	if stored == nil {
		return corruptf("leads to %s, which is not there", t.formatKey(of))
	}
	r, err := t.open(of, stored)
	if err != nil {
		return nil // said before
	}
	entries, err := x.entries(&r)
	if err != nil {
		return nil // said before
	}
	same := func(e indexEntry) bool { return bytes.Equal(e.key, key) && bytes.Equal(e.value, value) }
	if !slices.ContainsFunc(entries, same) {
		return corruptf("leads to %s, which has other values", t.formatKey(of))
	}
	return nil
}
