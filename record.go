package userdata

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"unsafe"

	"github.com/seed-5df914be/userdata/internal/wire"
)

// maxLent is the largest stored value whose bytes the strings of a record may
// share. They live together as a rule, and one allocation serves them all; but
// a string that the program keeps for itself keeps the whole value, and that
// should not be a surprise.
const maxLent = 1 << 10

// How many bytes of records, and of stored values, are allocated at once at the most: by a query
// less for a loop than for a list, since who keeps one record keeps those beside it. Of either
// size six or four fit Go's runs of 56 KB, of which the allocator fetches one each time;
// powers of two would be fetched one by one. Eight bytes are for what Go knows of pointers.
// For records that are got by key, of which a program may well keep one in many, it is far less.
const (
	pageRoom = 9472 - 8
	listRoom = 14336 - 8
	getRoom  = 1024 - 8
)

// encode writes the record at p to e, which is empty, its checksum included, and
// returns its key. What does not fit is one error a column, joined; the rest is
// written all the same.
func (t *table) encode(e *encoder, p unsafe.Pointer) (key []byte, err error) {
	if key, err = t.keyOf(p); err == nil {
		if b, ok := t.append(e.buf.AvailableBuffer(), p); ok {
			e.buf.Write(b)
			appendChecksum(e, t.seed, key)
			return key, nil
		}
	}
	return t.encodePlain(e, p)
}

// append appends the map of the record at p, without its checksum. It returns
// false if a column can't be stored.
func (t *table) append(b []byte, p unsafe.Pointer) ([]byte, bool) {
	b = wire.AppendMap(b, len(t.stored))
	ok := true
	for i := 0; ok && i < len(t.stored); i++ {
		c := t.stored[i]
		b, ok = c.codec.append(append(b, c.encodedName...), c.at(p), 0)
	}
	return b, ok
}

// matches reports whether the record at p is stored as the value, which has been
// found to be in order: it compares the fields with the bytes, and stops at the
// first that differs.
func (t *table) matches(value []byte, p unsafe.Pointer) bool {
	_, pos := wire.Map(value)
	for _, c := range t.stored {
		if pos += len(c.encodedName); pos >= len(value) {
			return false
		}
		n := c.codec.match(value[pos:], c.at(p))
		if n == 0 {
			return false
		}
		pos += n
	}
	return pos == len(value)-checksumSize
}

// encodePlain is encode through the msgpack library: the reference, and what
// says what is wrong.
func (t *table) encodePlain(e *encoder, p unsafe.Pointer) (key []byte, err error) {
	var faults []error
	keyIsFine := true
	e.enc.EncodeMapLen(len(t.stored))
	for _, c := range t.stored {
		e.buf.Write(c.encodedName)
		if err := c.codec.encode(e, c.at(p)); err != nil {
			faults = append(faults, &RecordError{Table: t.name, Column: c.name, Err: err})
			keyIsFine = keyIsFine && c != t.key
		}
	}
	if key, err = t.keyOf(p); err != nil && keyIsFine {
		faults = append(faults, err)
	}
	appendChecksum(e, t.seed, key)
	return key, errors.Join(faults...)
}

// decode reads a stored value to the record at p.
func (t *table) decode(key, value []byte, p unsafe.Pointer) error {
	if _, err := verifyChecksum(t.seed, key, value); err != nil {
		return t.recordError("read", key, "", err)
	}
	return t.decodeVerified(key, value, p, nil)
}

// decodeOwn is decode for bytes that are the caller's and never change: those
// of short values the record's strings may share.
func (t *table) decodeOwn(key, value []byte, p unsafe.Pointer) error {
	if _, err := verifyChecksum(t.seed, key, value); err != nil {
		return t.recordError("read", key, "", err)
	}
	return t.decodeVerified(key, value, p, lentBy(value))
}

// decodeVerified is decode for a value whose checksum was found to be right.
func (t *table) decodeVerified(key, value []byte, p unsafe.Pointer, mem *textRoom) error {
	if t.parse(key, value[:len(value)-checksumSize], p, mem) {
		return nil
	}
	reflect.NewAt(t.typ, p).Elem().SetZero()
	return t.decodePlain(key, value, p)
}

// parse reads the map of a stored value to the record at p, and reports whether
// it is in order: if not, decodePlain says why.
func (t *table) parse(key, b []byte, p unsafe.Pointer, mem *textRoom) bool {
	n, pos := wire.Map(b)
	if pos == 0 || n != len(t.stored) {
		return false
	}
	for _, c := range t.stored {
		if !c.begins(b[pos:]) {
			return false
		}
		pos += len(c.encodedName)
		size := c.codec.parse(b[pos:], c.at(p), 0, mem)
		if size == 0 {
			return false
		}
		pos += size
	}
	return pos == len(b) && t.keyCodec.equal(key, t.key.at(p))
}

// decodePlain is decode, into the zero record at p, through the msgpack library:
// the reference, and what says what is wrong.
func (t *table) decodePlain(key, value []byte, p unsafe.Pointer) error {
	row, err := t.open(key, value)
	if err != nil {
		return err
	}
	for i, c := range t.stored {
		if err := decodeCanonical(c.codec, row.columns[i], c.at(p)); err != nil {
			return t.recordError("read", key, c.name, err)
		}
	}
	return nil
}

// A row is a stored value taken apart: the msgpack of each column, in the order
// of table.stored. Its slices are the store's.
type row struct {
	table   *table
	key     []byte
	value   []byte
	columns [][]byte // up to known

	// known is how many columns were found, and rest is what comes after them: see
	// column.
	known int
	rest  []byte

	// memory has, for each column that peek was asked for, where its value goes.
	memory []unsafe.Pointer

	record unsafe.Pointer // the record, if somebody has decoded it

	entry []byte // memory for an entry of an index
}

// newRow returns a row for records of the table.
func newRow(t *table) row { return row{table: t, columns: make([][]byte, len(t.stored))} }

// open verifies a stored value and finds its columns.
func (t *table) open(key, value []byte) (row, error) {
	r := newRow(t)
	return r, r.open(t, key, value)
}

// open is table.open into a row that is used again.
func (r *row) open(t *table, key, value []byte) error {
	r.table, r.key, r.value, r.known, r.record = t, key, value, len(t.stored), nil
	b, err := verifyChecksum(t.seed, key, value)
	if err != nil {
		return t.recordError("read", key, "", err)
	}
	n, size, err := wire.MapHeader(b)
	if err != nil {
		return t.recordError("read", key, "", corruptf("%w", err))
	}
	b = b[size:]
	for i := range n {
		name, size, err := wire.String(b)
		if err != nil {
			return t.recordError("read", key, "", corruptf("name of column %d: %w", i, err))
		}
		if i >= len(t.stored) || string(name) != t.stored[i].name {
			return t.misfit(key, i, string(name))
		}
		b = b[size:]
		if size, err = wire.Next(b); err != nil {
			return t.recordError("read", key, t.stored[i].name, corruptf("%w", err))
		}
		r.columns[i], b = b[:size], b[size:]
	}
	switch {
	case n < len(t.stored):
		return t.recordError("read", key, t.stored[n].name, corruptf("column is missing"))
	case len(b) > 0:
		return t.recordError("read", key, "", corruptf("%d bytes after the record", len(b)))
	}
	return r.checkKey(t)
}

// skim is open for a scan, which passes over most records: it verifies the
// checksum, and then looks at a column, and at those before it, when it is asked for.
// What is wrong in one that nobody asks for shows when the record is decoded.
func (r *row) skim(t *table, key, value []byte) error {
	r.table, r.key, r.value, r.known, r.record = t, key, value, 0, nil
	b, err := verifyChecksum(t.seed, key, value)
	if err != nil {
		return t.recordError("read", key, "", err)
	}
	n, pos := wire.Map(b)
	if n != len(t.stored) {
		return r.fault()
	}
	r.rest = b[pos:]
	return nil
}

// own is skim for a value that is the session's own, which was verified when it was read,
// or never was anywhere else.
func (r *row) own(t *table, key, value []byte) error {
	r.table, r.key, r.value, r.known, r.record = t, key, value, 0, nil
	n, pos := wire.Map(value)
	if n != len(t.stored) {
		return r.fault()
	}
	r.rest = value[pos : len(value)-checksumSize]
	return nil
}

// fault says what is wrong with a value that is no record of the table.
func (r *row) fault() error {
	if _, err := r.table.open(r.key, r.value); err != nil {
		return err
	}
	return r.table.recordError("read", r.key, "", corruptf("not a record"))
}

// column returns the msgpack of a column: one value, but not known to be canonical
// inside.
func (r *row) column(c *column) ([]byte, error) {
	known, b := r.known, r.rest
	if known > c.place {
		return r.columns[c.place], nil
	}
	for _, next := range r.table.stored[known : c.place+1] {
		if !next.begins(b) {
			return nil, r.fault()
		}
		b = b[len(next.encodedName):]
		size := wire.Skip(b)
		if size == 0 {
			return nil, r.fault()
		}
		r.columns[known], b = b[:size], b[size:]
		known++
	}
	r.known, r.rest = known, b
	return r.columns[c.place], nil
}

// peek returns the address of a column's value, which is good as long as the row
// stands for the same record, and the store's bytes are valid.
func (r *row) peek(c *column) (unsafe.Pointer, error) {
	if r.record != nil {
		return c.at(r.record), nil
	}
	if r.memory == nil {
		r.memory = make([]unsafe.Pointer, len(r.columns))
	}
	p := r.memory[c.place]
	if p == nil {
		p = c.codec.newApart()
		r.memory[c.place] = p
	}
	b, err := r.column(c)
	if err != nil {
		return nil, err
	}
	if n := c.codec.parse(b, p, 0, lent); n == len(b) && n > 0 {
		return p, nil
	}
	r.memory[c.place] = nil
	return r.table.decodeColumn(r, c)
}

// sound returns the msgpack of a column once it is known to be canonical.
func (r *row) sound(c *column) ([]byte, error) {
	b, err := r.column(c)
	if err != nil {
		return nil, err
	}
	if err := wire.Check(b); err != nil {
		return nil, r.table.recordError("read", r.key, c.name, corruptf("%w", err))
	}
	return b, nil
}

// misfit is the error for a column that is not the one expected at its place.
func (t *table) misfit(key []byte, place int, name string) error {
	switch i := slices.IndexFunc(t.stored, func(c *column) bool { return c.name == name }); {
	case i < 0:
		return t.recordError("read", key, name, corruptf("column is not known"))
	case i < place:
		return t.recordError("read", key, name, corruptf("column twice or not at its place"))
	}
	return t.recordError("read", key, t.stored[place].name, corruptf("column is missing or not at its place"))
}

// checkKey makes sure that the record stands under its own key.
func (r *row) checkKey(t *table) error {
	v := t.key.codec.newValue()
	if err := decodeValue(t.key.codec, r.columns[t.key.place], v); err != nil {
		return t.recordError("read", r.key, t.key.name, err)
	}
	own, err := t.keyCodec.append(nil, v)
	if err != nil || !bytes.Equal(own, r.key) {
		return t.recordError("read", r.key, t.key.name, corruptf("record of key %s", t.formatKey(own)))
	}
	return nil
}

// recordError returns an error about the record under the encoded key.
func (t *table) recordError(op string, key []byte, column string, err error) error {
	return &RecordError{Op: op, Table: t.name, Key: t.keyValue(key), Column: column, Err: err}
}

// pointerTo returns the address of a record.
func pointerTo[T any](record *T) unsafe.Pointer { return unsafe.Pointer(record) }
