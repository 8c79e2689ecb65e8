package userdata

import (
	"bytes"
	"cmp"
	"fmt"
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

// A reindexer works out the net change of all indexes of a table.
type reindexer struct {
	lists   [][]*entryChange // for each index, what is removed or put, each by itself
	memory  slab[entryChange]
	entries []indexEntry // of one record in one index
	was, is row
	faults  []error
}

// addAll takes in what happens to the records of some slots.
func (r *reindexer) addAll(t *table, slots []*slot) {
	if len(t.indexes) == 0 {
		return
	}
	r.was, r.is = newRow(t), newRow(t)
	for _, sl := range slots {
		r.add(sl)
	}
}

// add takes in what happens to one record.
func (r *reindexer) add(sl *slot) {
	var was, is *row
	var err error
	if sl.remove != nil {
		was = &r.was
		err = was.own(sl.table, bytesOf(sl.key), bytesOf(sl.remove.baseline))
	}
	if sl.put != nil && err == nil {
		is = &r.is
		err = sl.rowPut(is)
	}
	for i, x := range sl.table.indexes {
		if err == nil && !x.same(was, is) {
			err = r.addTo(i, x, sl, was, is)
		}
	}
	if err != nil {
		r.faults = append(r.faults, sl.fault(err))
	}
}

// rowPut makes r the record that is put. Of a record at fault it has those
// columns that are in order, and nil for the others.
func (sl *slot) rowPut(r *row) error {
	if sl.value != nil {
		return r.own(sl.table, bytesOf(sl.key), sl.value)
	}
	r.table, r.key, r.known = sl.table, bytesOf(sl.key), len(r.columns)
	for i, c := range sl.table.stored {
		r.columns[i], _ = c.codec.bytes(c.at(sl.put.ptr))
	}
	return nil
}

// knows reports whether the row has all columns of the index, which that of a
// record at fault may lack.
func (x *index) knows(r *row) bool {
	for _, c := range x.columns {
		if b, err := r.column(c); b == nil && err == nil {
			return false
		}
	}
	return true
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
	if was == nil || is == nil {
		return false
	}
	for _, c := range x.columns {
		a, errA := was.column(c)
		b, errB := is.column(c)
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			return false
		}
	}
	return true
}

// addTo takes in what happens to one record in the i-th index.
func (r *reindexer) addTo(i int, x *index, sl *slot, was, is *row) (err error) {
	if was != nil {
		if r.entries, err = x.appendEntries(r.entries[:0], was); err != nil {
			return err
		}
		for _, e := range r.entries {
			c := r.change(i, x, e.key)
			c.removed, c.removedFrom = e.value, sl
		}
	}
	if is == nil || !x.knows(is) {
		return nil
	}
	if r.entries, err = x.appendEntries(r.entries[:0], is); err != nil {
		return err
	}
	for _, e := range r.entries {
		c := r.change(i, x, e.key)
		c.put, c.putFrom = e.value, sl
	}
	return nil
}

// change adds a change of one entry, whose key is the caller's no more.
func (r *reindexer) change(i int, x *index, key []byte) *entryChange {
	c := r.memory.next()
	c.index, c.key = x, lentText(key)
	r.lists[i] = append(r.lists[i], c)
	return c
}

// net returns what happens to the entries of the i-th index, by their keys, each once. Two
// records that have the same one are a fault.
func (r *reindexer) net(i int) []*entryChange {
	list := r.lists[i]
	sortByKey(list, func(c *entryChange) string { return c.key })
	kept := list[:0]
	for _, c := range list {
		n := len(kept)
		if n == 0 || kept[n-1].key != c.key {
			kept = append(kept, c)
			continue
		}
		first := kept[n-1]
		if c.removed != nil {
			first.removed, first.removedFrom = c.removed, c.removedFrom
		}
		switch {
		case c.put == nil:
		case first.put != nil:
			r.faults = append(r.faults, c.clash(first.put))
		default:
			first.put, first.putFrom = c.put, c.putFrom
		}
	}
	return kept
}

// clash is the error for a record whose values in a unique index are another's.
func (c *entryChange) clash(other []byte) error {
	x, sl := c.index, c.putFrom
	r := newRow(sl.table)
	var values []string
	if sl.rowPut(&r) == nil {
		for _, col := range x.columns {
			if p, err := r.peek(col); err == nil {
				values = append(values, col.name+" "+formatValue(col, p))
			}
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
	ch := Change{Bucket: c.index.bucket, Key: bytesOf(c.key), Value: c.put}
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
		return c.clash(found)
	}
	sl := cmp.Or(c.removedFrom, c.putFrom)
	return sl.fault(&RecordError{Column: c.index.columnNames(), Err: corruptf("index %s does not hold what the record says", c.index.name)})
}
