package userdata

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// progressStep is how many records pass between two calls of Options.Progress.
const progressStep = 1000

// without declares a table without some of its indexes.
func (db *DB) without(t *table, missing []*index) {
	own := *t
	own.sum = &schemaSum{}
	own.indexes = slices.DeleteFunc(slices.Clone(t.indexes), func(x *index) bool { return slices.Contains(missing, x) })
	db.put(&own)
}

// A builder makes the entries of indexes for the records that a table has.
type builder struct {
	tx       writeTx
	table    *table
	indexes  []*index
	sorters  []*sorter
	progress *progress
}

// build adds the entries of the indexes for all records of the table, which are
// as the table has them.
func (e *evolution) build(t *table, indexes []*index) (err error) {
	if len(indexes) == 0 {
		return nil
	}
	b := &builder{tx: e.tx, table: t, indexes: indexes}
	if b.progress, err = e.progressOf(t.name); err != nil {
		return err
	}
	defer func() {
		for _, s := range b.sorters {
			err = errors.Join(err, s.close())
		}
	}()
	for range indexes {
		b.sorters = append(b.sorters, newSorter(e.tx.sortRoom(), sortMemory/len(indexes)))
	}
	if err := b.collect(); err != nil {
		return err
	}
	for i := range indexes {
		if err := b.write(i); err != nil {
			return err
		}
	}
	return nil
}

// collect hands the entries of all records to the sorters.
func (b *builder) collect() error {
	r := row{columns: make([][]byte, len(b.table.stored))}
	var failed error
	err := b.tx.Scan(b.table.name, Range{}, func(key, value []byte) bool {
		if failed = r.open(b.table, key, value); failed != nil {
			return false
		}
		for i, x := range b.indexes {
			entries, err := x.entries(&r)
			if err != nil {
				failed = b.table.entryError("open", key, err)
				return false
			}
			for _, entry := range entries {
				if failed = b.sorters[i].add(entry); failed != nil {
					return false
				}
			}
		}
		failed = b.progress.step()
		return failed == nil
	})
	return errors.Join(failed, err)
}

// maxClashes is how many records an error names that a unique index can't hold.
const maxClashes = 10

// write puts the entries of one index, in order.
func (b *builder) write(i int) error {
	x := b.indexes[i]
	var last indexEntry
	var clashes []error
	err := b.sorters[i].each(func(e indexEntry) error {
		switch {
		case x.unique && last.key != nil && bytes.Equal(last.key, e.key):
			if len(clashes) == maxClashes {
				return nil
			}
			clash, err := b.clash(x, last, e)
			clashes = append(clashes, clash)
			return err
		case clashes != nil:
			last = e
			return nil
		}
		last = e
		return b.tx.put(x.bucket, e.key, e.value)
	})
	if err == nil && clashes != nil {
		err = fmt.Errorf("userdata: open: %w: unique index %s can't be built: %w", ErrSchema, x.name, errors.Join(clashes...))
	}
	return err
}

// clash describes two records that have one entry in a unique index.
func (b *builder) clash(x *index, first, second indexEntry) (clash, err error) {
	key := second.value // in a unique index, the record's
	value, err := b.tx.Get(b.table.name, key)
	if err != nil {
		return nil, err
	}
	if _, err := b.table.open(key, value); err != nil {
		return nil, err
	}
	c := entryChange{index: x, putFrom: &slot{table: b.table, key: string(key), value: value}}
	return c.clash(first.value), nil
}
