package userdata

import (
	"bytes"
	"fmt"
	"slices"
)

// progressStep is how many records pass between two calls of Options.Progress.
const progressStep = 1000

// A builder brings the indexes of a table in the file in step with the declared
// ones.
type builder struct {
	db      *DB
	snap    Snapshot
	changes *ChangeSet
	entries []Change // what is done to entries: first what is built, then what is dropped
}

// table does it: stored is the table's schema in the file, which differs from the
// declared one in indexes only, if at all.
func (b *builder) table(t *table, stored TableSchema) error {
	want := t.schema()
	var build []*index
	for _, x := range t.indexes {
		if !slices.ContainsFunc(stored.Indexes, x.schema().equal) {
			build = append(build, x)
		}
	}
	var drop []string
	for _, s := range stored.Indexes {
		if !slices.ContainsFunc(want.Indexes, s.equal) {
			drop = append(drop, s.Name)
		}
	}
	switch {
	case build == nil && drop == nil:
		return nil
	case b.db.readOnly: // the file stays as it is: make do without
		b.db.without(t, build)
		return nil
	}
	if err := b.build(t, build); err != nil {
		return err
	}
	for _, name := range drop {
		if err := b.drop(indexBucket(t.name, name)); err != nil {
			return err
		}
	}
	return b.finish(&want)
}

// finish hands on the changes. An index that changed has been built and dropped:
// of the entries that it had and has, what was built stays.
func (b *builder) finish(want *TableSchema) error {
	slices.SortStableFunc(b.entries, func(x, y Change) int { return x.compare(&y) })
	b.entries = slices.CompactFunc(b.entries, func(x, y Change) bool { return x.compare(&y) == 0 })
	b.changes.Changes = append(b.changes.Changes, b.entries...)
	return b.changes.add(schemaTable, want)
}

func (x IndexSchema) equal(y IndexSchema) bool {
	return x.Name == y.Name && x.Unique == y.Unique && slices.Equal(x.Columns, y.Columns)
}

// without declares a table without some of its indexes.
func (db *DB) without(t *table, missing []*index) {
	own := *t
	own.indexes = slices.DeleteFunc(slices.Clone(t.indexes), func(x *index) bool { return slices.Contains(missing, x) })
	db.tables[t.name], db.types[t.typ] = &own, &own
}

// drop removes all entries of a bucket.
func (b *builder) drop(bucket string) error {
	return b.snap.Scan(bucket, Range{}, func(key, _ []byte) bool {
		b.entries = append(b.entries, Change{Bucket: bucket, Key: bytes.Clone(key)})
		return true
	})
}

// build adds the entries of the indexes for all records of the table.
func (b *builder) build(t *table, indexes []*index) error {
	if len(indexes) == 0 {
		return nil
	}
	total := 0
	if err := b.snap.Scan(t.name, Range{}, func(_, _ []byte) bool { total++; return true }); err != nil {
		return err
	}
	owners := make([]map[string][]byte, len(indexes)) // of each entry of a unique index, its record's key
	for i := range owners {
		owners[i] = map[string][]byte{}
	}
	r := row{columns: make([][]byte, len(t.stored))}
	done := 0
	var failed error
	err := b.snap.Scan(t.name, Range{}, func(key, value []byte) bool {
		if failed = r.open(t, key, value); failed != nil {
			return false
		}
		for i, x := range indexes {
			if failed = b.index(t, x, &r, owners[i]); failed != nil {
				return false
			}
		}
		if done++; done%progressStep == 0 || done == total {
			b.db.progress(t.name, done, total)
		}
		return true
	})
	if failed != nil {
		return failed
	}
	return err
}

// index adds a record's entries in one index.
func (b *builder) index(t *table, x *index, r *row, owners map[string][]byte) error {
	entries, err := x.entries(r)
	if err != nil {
		return t.entryError("open", r.key, err)
	}
	for _, e := range entries {
		if x.unique {
			if other := owners[string(e.key)]; other != nil {
				sl := &slot{table: t, key: string(r.key)}
				return fmt.Errorf("userdata: open: %w: unique index %s can't be built: %w", ErrSchema, x.name, x.clash(sl, r, other))
			}
			owners[string(e.key)] = e.value
		}
		b.entries = append(b.entries, Change{Bucket: x.bucket, Key: e.key, Value: e.value})
	}
	return nil
}
