package userdata

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"rsc.io/ordered"
)

// An index keeps a table's keys under the values of some columns, in the order
// of those values. Tags declare it:
//
//	userdata:"title,index"                  an index of this column, named title
//	userdata:"slug,unique"                  one in which no two records have the same value
//	userdata:"author,index=by_author_time"  the first column of a composite index,
//	userdata:"time,index=by_author_time"    and the second: in the order of the fields,
//	userdata:"author,unique=one_a_day:2"    or in that of the places which are given
//
// A column may be in several indexes. A slice of what has an order has an entry
// for each different element; in a composite index it comes last. Null comes
// before every value, NaN before every other number, and -0 is 0. A unique index
// allows any number of records with a null in it.
//
// An index has a bucket of its own, with an entry for each record:
//
//	not unique:          values, key  ->  the length of values, as a uvarint
//	unique:              values       ->  key
//	unique, with a null: values, key  ->  key
//
// Values are encoded by rsc.io/ordered: none is a prefix of another. So records
// that share values are side by side, in the order of their keys, and adding one
// costs the same however many they are.
type index struct {
	name    string
	bucket  string
	unique  bool
	columns []*column
	multi   bool // the last column is a slice: one entry for each different element
}

// indexPrefix begins the names of the buckets of indexes.
const indexPrefix = "_index/"

// indexBucket returns the name of an index's bucket.
func indexBucket(table, index string) string { return indexPrefix + table + "/" + index }

// nullByte stands for null in an index: ordered's reversed infinity, before all else.
const nullByte = 0x00

// An indexTag is the word "index" or "unique" in a tag.
type indexTag struct {
	name   string // "" for an index of the one column
	place  int    // in a composite index, from 1; 0 for the next
	unique bool
}

// parseIndexTag reads what follows "index" or "unique": nothing, "name" or "name:2".
func parseIndexTag(word, value string, hasValue bool) (indexTag, error) {
	t := indexTag{unique: word == "unique"}
	if !hasValue {
		return t, nil
	}
	name, place, placed := strings.Cut(value, ":")
	if err := checkName(name); err != nil {
		return t, fmt.Errorf("tag word %q: %w; write %s=by_author, or %s alone for an index of this column", word+"="+value, err, word, word)
	}
	t.name = name
	if placed {
		n, err := strconv.Atoi(place)
		if err != nil || n < 1 || strconv.Itoa(n) != place {
			return t, invalidf("tag word %q: the place in an index is a positive number, as in %s=%s:1", word+"="+value, word, name)
		}
		t.place = n
	}
	return t, nil
}

// A declaredIndex is an index as the tags of a type declare it.
type declaredIndex struct {
	name    string
	unique  bool
	named   bool // else it is of the one column that it is called after
	members []indexMember
}

type indexMember struct {
	column *column
	place  int
}

// declare takes in one indexTag of a column.
func (rt *recordType) declare(c *column, t indexTag) error {
	if c.appendOrdered == nil && c.elements == nil {
		return invalidf("%s can't be indexed, since it has no order: remove the word from the tag", c.codec.typ)
	}
	named := t.name != ""
	if !named {
		t.name = c.name
	}
	i := slices.IndexFunc(rt.indexes, func(d *declaredIndex) bool { return d.name == t.name })
	if i < 0 {
		rt.indexes = append(rt.indexes, &declaredIndex{t.name, t.unique, named, []indexMember{{c, t.place}}})
		return nil
	}
	d := rt.indexes[i]
	first := d.members[0].column
	switch {
	case d.unique != t.unique:
		return invalidf("index %s is unique in one place and not in another, %s: write the same word in both", t.name, first.goName)
	case !d.named || !named:
		return invalidf("index %s is that of the column %s alone: give the other another name", t.name, t.name)
	case slices.ContainsFunc(d.members, func(m indexMember) bool { return m.column == c }):
		return invalidf("index %s has the column %s twice: remove one of the words", t.name, c.name)
	}
	d.members = append(d.members, indexMember{c, t.place})
	return nil
}

// checkIndexes puts the columns of each index in order.
func (rt *recordType) checkIndexes() error {
	slices.SortFunc(rt.indexes, func(a, b *declaredIndex) int { return strings.Compare(a.name, b.name) })
	for _, d := range rt.indexes {
		next := 1
		for i := range d.members {
			if d.members[i].place == 0 {
				d.members[i].place = next
			}
			next = d.members[i].place + 1
		}
		slices.SortStableFunc(d.members, func(a, b indexMember) int { return cmp.Compare(a.place, b.place) })
		for i, m := range d.members {
			switch {
			case m.place != i+1:
				return invalidf("index %s: %s has place %d: give its columns the places 1 to %d, each once", d.name, m.column.goName, m.place, len(d.members))
			case m.column.elements != nil && i < len(d.members)-1:
				return invalidf("index %s: %s is a slice, which may only come last: give it place %d", d.name, m.column.goName, len(d.members))
			case m.column.key && i == 0:
				return invalidf("index %s: it begins with the key %s, in whose order the table is already: remove the word from its tag", d.name, m.column.goName)
			}
		}
	}
	return nil
}

// tableIndexes returns the type's indexes for a table.
func (rt *recordType) tableIndexes(table string) []*index {
	var out []*index
	for _, d := range rt.indexes {
		x := &index{name: d.name, bucket: indexBucket(table, d.name), unique: d.unique}
		for _, m := range d.members {
			x.columns = append(x.columns, m.column)
			x.multi = m.column.elements != nil
		}
		out = append(out, x)
	}
	return out
}

func (x *index) schema() IndexSchema {
	s := IndexSchema{Name: x.name, Unique: x.unique}
	for _, c := range x.columns {
		s.Columns = append(s.Columns, c.name)
	}
	return s
}

// An indexEntry is a key and value in an index's bucket.
type indexEntry struct{ key, value []byte }

// entries returns the entries of a stored record, sorted and each once.
func (x *index) entries(r *row) ([]indexEntry, error) { return x.appendEntries(nil, r) }

// appendEntries is entries, into memory of the caller's.
func (x *index) appendEntries(out []indexEntry, r *row) ([]indexEntry, error) {
	values, null, err := x.appendValues(nil, r)
	if err != nil {
		return out, err
	}
	if !x.multi {
		return x.appendEntry(out, r, values, null)
	}
	c := x.columns[len(x.columns)-1]
	p, err := r.peek(c)
	if err != nil {
		return out, columnError(c, err)
	}
	for _, values := range c.elements(values, p) {
		if out, err = x.appendEntry(out, r, values, null); err != nil {
			return out, err
		}
	}
	return out, nil
}

// appendEntry appends the entry with these values, one of which may be null.
func (x *index) appendEntry(out []indexEntry, r *row, values []byte, null bool) ([]indexEntry, error) {
	e := indexEntry{key: values}
	if x.unique {
		e.value = bytes.Clone(r.key)
	} else {
		e.value = uvarintOf(len(values))
	}
	if !x.unique || null {
		e.key = append(e.key, r.key...)
	}
	if len(e.key) > MaxKeySize {
		return out, &RecordError{Column: x.columns[0].name, Err: fmt.Errorf("%w: index %s would have a key of %d bytes, at most %d", ErrTooLarge, x.name, len(e.key), MaxKeySize)}
	}
	return append(out, e), nil
}

// uvarintOf returns a number as a uvarint, which must not be changed.
func uvarintOf(n int) []byte {
	if n < len(shortUvarints) {
		return shortUvarints[n : n+1 : n+1]
	}
	return binary.AppendUvarint(nil, uint64(n))
}

// shortUvarints are those of one byte, one after the other.
var shortUvarints = func() (all [0x80]byte) {
	for i := range all {
		all[i] = byte(i)
	}
	return all
}()

// appendValues appends the ordered forms of the record's values in the columns
// that have one value each, and reports whether one is null.
func (x *index) appendValues(b []byte, r *row) (values []byte, null bool, err error) {
	for _, c := range x.columns {
		if c.elements != nil {
			continue
		}
		p, err := r.peek(c)
		if err != nil {
			return nil, false, columnError(c, err)
		}
		var isNull bool
		b, isNull = c.appendNullable(b, p)
		null = null || isNull
	}
	return b, null, nil
}

// columnError returns an error about a column with the cause that a row gave.
func columnError(c *column, err error) error {
	if inner, ok := err.(*RecordError); ok {
		err = inner.Err
	}
	return &RecordError{Column: c.name, Err: err}
}

// appendNullable appends the ordered form of the value at p, and reports
// whether that is null.
func (c *column) appendNullable(b []byte, p unsafe.Pointer) ([]byte, bool) {
	n := len(b)
	b = c.appendOrdered(b, p)
	return b, c.nullable && b[n] == nullByte
}

// key returns the key of the record that an entry is about.
func (x *index) key(key, value []byte) ([]byte, error) {
	if x.unique {
		if len(value) == 0 {
			return nil, corruptf("index %s: an entry without a key", x.name)
		}
		return value, nil
	}
	n, size := binary.Uvarint(value)
	if size <= 0 || size != len(value) || n >= uint64(len(key)) {
		return nil, corruptf("index %s: an entry without a key", x.name)
	}
	return key[n:], nil
}

// check makes sure that an entry is one of the record's.
func (x *index) check(r *row, e indexEntry) error {
	has, err := x.has(r, e)
	if err == nil && !has {
		err = &RecordError{Column: x.columnNames(), Err: corruptf("index %s has the record under other values", x.name)}
	}
	return err
}

// has reports whether an entry is one of the record's.
func (x *index) has(r *row, e indexEntry) (bool, error) {
	if x.multi {
		entries, err := x.entries(r)
		return slices.ContainsFunc(entries, func(own indexEntry) bool {
			return bytes.Equal(own.key, e.key) && bytes.Equal(own.value, e.value)
		}), err
	}
	values, null, err := x.appendValues(r.entry[:0], r)
	if err != nil {
		return false, err
	}
	own := values
	if !x.unique || null {
		own = append(own, r.key...)
	}
	r.entry = own
	if x.unique {
		return bytes.Equal(own, e.key) && bytes.Equal(r.key, e.value), nil
	}
	return bytes.Equal(own, e.key) && bytes.Equal(uvarintOf(len(values)), e.value), nil
}

// orderedAppender returns what appends values of a type in an encoding whose
// bytes sort as the values do; nil for types without an order.
func orderedAppender(c *valueCodec) func(b []byte, p unsafe.Pointer) []byte {
	if c.compare == nil {
		return nil
	}
	return orderedKind(c.typ)
}

func orderedKind(t reflect.Type) func(b []byte, p unsafe.Pointer) []byte {
	switch k := t.Kind(); {
	case t.ConvertibleTo(timeType) && k == reflect.Struct:
		return func(b []byte, p unsafe.Pointer) []byte {
			t := (*time.Time)(p)
			return appendOrderedUint(appendOrderedInt(b, t.Unix()), uint64(t.Nanosecond()))
		}
	case k == reflect.Bool:
		return func(b []byte, p unsafe.Pointer) []byte {
			if *(*bool)(p) {
				return appendOrderedUint(b, 1)
			}
			return appendOrderedUint(b, 0)
		}
	case k >= reflect.Int && k <= reflect.Int64:
		load := intLoader(t.Size())
		return func(b []byte, p unsafe.Pointer) []byte { return appendOrderedInt(b, load(p)) }
	case k >= reflect.Uint && k <= reflect.Uint64:
		load := uintLoader(t.Size())
		return func(b []byte, p unsafe.Pointer) []byte { return appendOrderedUint(b, load(p)) }
	case k == reflect.Float32 || k == reflect.Float64:
		return func(b []byte, p unsafe.Pointer) []byte {
			return ordered.Append(b, reflect.NewAt(t, p).Elem().Float()+0) // -0 is 0; NaN comes first
		}
	case k == reflect.String:
		return func(b []byte, p unsafe.Pointer) []byte { return appendOrderedText(b, bytesOf(*(*string)(p))) }
	case k == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return func(b []byte, p unsafe.Pointer) []byte {
			s := *(*[]byte)(p)
			if s == nil {
				return append(b, nullByte)
			}
			return appendOrderedText(b, s)
		}
	case k == reflect.Array && t.Elem().Kind() == reflect.Uint8 && t.Len() > 0:
		return func(b []byte, p unsafe.Pointer) []byte {
			return appendOrderedText(b, unsafe.Slice((*byte)(p), t.Len()))
		}
	case k == reflect.Pointer:
		return orderedPointer(t)
	}
	return nil
}

func orderedPointer(t reflect.Type) func(b []byte, p unsafe.Pointer) []byte {
	elem := orderedKind(t.Elem())
	return func(b []byte, p unsafe.Pointer) []byte {
		if isNil(p) {
			return append(b, nullByte)
		}
		n := len(b)
		if b = elem(b, *(*unsafe.Pointer)(p)); b[n] == nullByte {
			return appendOrderedText(b[:n], nil) // a pointer to a nil []byte is stored as one to an empty one
		}
		return b
	}
}

// elementAppender returns, for a slice type whose elements have an order, what
// makes one ordered form of each different element after a prefix.
func elementAppender(c *valueCodec) func(prefix []byte, p unsafe.Pointer) [][]byte {
	if c.elem == nil || c.typ.Kind() != reflect.Slice || c.elem.typ.Kind() == reflect.Pointer {
		return nil
	}
	t, elem := c.typ, orderedAppender(c.elem)
	if elem == nil {
		return nil
	}
	return func(prefix []byte, p unsafe.Pointer) [][]byte {
		s := reflect.NewAt(t, p).Elem()
		out := make([][]byte, s.Len())
		for i := range out {
			out[i] = elem(slices.Clip(prefix), s.Index(i).Addr().UnsafePointer())
		}
		slices.SortFunc(out, bytes.Compare)
		return slices.CompactFunc(out, bytes.Equal)
	}
}
