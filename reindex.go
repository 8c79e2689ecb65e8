package userdata

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// An entryChange is what a commit does to one entry of an index: it removes
// what one record had there, puts what another, or the same, has there now.
type entryChange struct {
	index *index
	key   string

	removed, put         []byte // the entry's value; nil if it is not there before, or after
	removedFrom, putFrom *slot
}

type entryKey struct {
	bucket string
	key    string
}

// A reindexer works out the net change of all indexes.
type reindexer struct {
	changes map[entryKey]*entryChange
	faults  []error
}

func (r *reindexer) change(x *index, key []byte) *entryChange {
	k := entryKey{x.bucket, string(key)}
	if r.changes[k] == nil {
		r.changes[k] = &entryChange{index: x, key: k.key}
	}
	return r.changes[k]
}

// add takes in what happens to one record.
func (r *reindexer) add(sl *slot) {
	if len(sl.table.indexes) == 0 {
		return
	}
	var was, is *row
	var err error
	if sl.remove != nil {
		was, err = sl.row(sl.remove.baseline)
	}
	if sl.put != nil && err == nil {
		is, err = sl.rowPut()
	}
	for _, x := range sl.table.indexes {
		if err == nil && !x.same(was, is) {
			err = r.addTo(x, sl, was, is)
		}
	}
	if err != nil {
		r.faults = append(r.faults, sl.fault(err))
	}
}

// row opens a stored value of the slot's record.
func (sl *slot) row(value []byte) (*row, error) {
	r, err := sl.table.open([]byte(sl.key), value)
	return &r, err
}

// rowPut opens the value of the record that is put. Of a record at fault it has
// those columns that are in order, and nil for the others.
func (sl *slot) rowPut() (*row, error) {
	if sl.value != nil {
		return sl.row(sl.value)
	}
	r := newRow(sl.table)
	r.key, r.known = []byte(sl.key), len(r.columns)
	for i, c := range sl.table.stored {
		r.columns[i], _ = c.codec.bytes(c.at(sl.put.ptr))
	}
	return &r, nil
}

// knows reports whether the row has all columns of the index, which that of a
// record at fault may lack.
func (x *index) knows(r *row) bool {
	return !slices.ContainsFunc(x.columns, func(c *column) bool { return r.columns[c.place] == nil })
}

// fault returns an error about the slot's record.
func (sl *slot) fault(err error) error { return sl.table.entryError("", []byte(sl.key), err) }

// entryError returns an error about a record, for one that tells the column.
func (t *table) entryError(op string, key []byte, err error) error {
	re := &RecordError{Op: op, Table: t.name, Key: t.keyValue(key), Err: err}
	if inner, ok := err.(*RecordError); ok {
		re.Column, re.Err = inner.Column, inner.Err
	}
	return re
}

// same reports whether a record has the same entries before and after, without
// working them out.
func (x *index) same(was, is *row) bool {
	return was != nil && is != nil && !slices.ContainsFunc(x.columns, func(c *column) bool {
		return !bytes.Equal(was.columns[c.place], is.columns[c.place])
	})
}

// addTo takes in what happens to one record in one index.
func (r *reindexer) addTo(x *index, sl *slot, was, is *row) error {
	if was != nil {
		entries, err := x.entries(was)
		if err != nil {
			return err
		}
		for _, e := range entries {
			c := r.change(x, e.key)
			c.removed, c.removedFrom = e.value, sl
		}
	}
	if is == nil || !x.knows(is) {
		return nil
	}
	entries, err := x.entries(is)
	if err != nil {
		return err
	}
	for _, e := range entries {
		c := r.change(x, e.key)
		if c.put != nil {
			r.faults = append(r.faults, x.clash(sl, is, c.put))
			continue
		}
		c.put, c.putFrom = e.value, sl
	}
	return nil
}

// clash is the error for a record whose values in a unique index are another's.
func (x *index) clash(sl *slot, r *row, other []byte) error {
	var values []string
	for _, c := range x.columns {
		p := c.codec.newValue()
		if decodeValue(c.codec, r.columns[c.place], p) == nil {
			values = append(values, c.name+" "+formatValue(c, p))
		}
	}
	return &RecordError{
		Table: sl.table.name, Key: sl.table.keyValue([]byte(sl.key)), Column: x.columnNames(),
		Err: fmt.Errorf("%w: record %s has %s", ErrExists, sl.table.formatKey(other), strings.Join(values, ", ")),
	}
}

func (x *index) columnNames() string {
	names := make([]string, len(x.columns))
	for i, c := range x.columns {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}

// change returns the change to the store, and whether there is one.
func (c *entryChange) change() (Change, bool) {
	ch := Change{Bucket: c.index.bucket, Key: []byte(c.key), Value: c.put}
	if c.removed != nil && c.put != nil && bytes.Equal(c.removed, c.put) {
		return ch, false
	}
	switch {
	case !c.index.unique: // the key has the record's key in it: nobody else's
	case c.removed != nil:
		ch.Expect, ch.Before = ExpectBytes, c.removed
	default:
		ch.Expect = ExpectNothing
	}
	return ch, true
}

// explain returns the error for an entry that is not what was expected.
func (c *entryChange) explain(found []byte) error {
	if c.removed == nil {
		if r, err := c.putFrom.row(c.putFrom.value); err == nil {
			return c.index.clash(c.putFrom, r, found)
		}
	}
	sl := cmp.Or(c.removedFrom, c.putFrom)
	return sl.fault(&RecordError{Column: c.index.columnNames(), Err: corruptf("index %s does not hold what the record says", c.index.name)})
}
