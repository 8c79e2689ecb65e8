package userdata

import (
	"bytes"
	"encoding/base64"
	"hash/crc32"
	"unsafe"

	"github.com/seed-5df914be/userdata/internal/wire"
)

// After answers with the records that come after the one that the cursor stands
// for, in the query's order: the next page. The cursor is what [Query.Cursor]
// returned for a query of the same table and order, here or in another process.
// It need not belong to a record that still exists, so pages neither repeat nor
// skip records when others add and delete some between them. The empty cursor
// begins at the first record. With a cursor of another table or order, or none
// at all, the query returns [ErrInvalid].
func (q Query[T]) After(cursor string) Query[T] {
	q.q.cursor = cursor
	return q
}

// Cursor returns a token, of letters, digits, "-" and "_", for the place of a
// record in the query's order. Take that of a page's last record for
// [Query.After]. [ErrInvalid] if the query makes no sense, or the record holds
// values that can't be stored.
func (q Query[T]) Cursor(record *T) (string, error) { return q.q.cursorOf(unsafe.Pointer(record)) }

// cursorOf returns the cursor of the record at p.
func (q *query) cursorOf(p unsafe.Pointer) (string, error) {
	if err := q.check("cursor"); err != nil {
		return "", err
	}
	if p == nil {
		return "", q.fault("cursor", invalidf("the record is nil"))
	}
	key, err := q.table.keyOf(p)
	if err != nil {
		return "", err
	}
	e := newEncoder()
	defer e.free()
	columns := q.sortColumns()
	e.enc.EncodeArrayLen(2 + len(columns))
	e.enc.EncodeUint(uint64(q.orderSum()))
	e.enc.EncodeBytes(key)
	for _, o := range columns {
		if err := o.col.codec.encode(e, o.col.at(p)); err != nil {
			return "", &RecordError{Op: "cursor", Table: q.table.name, Key: q.table.keyValue(key), Column: o.col.name, Err: err}
		}
	}
	return base64.RawURLEncoding.EncodeToString(e.buf.Bytes()), nil
}

// orderSum identifies the table and the order that a cursor is for.
func (q *query) orderSum() uint32 {
	spec := q.table.name
	for _, o := range q.orders {
		spec += "\x00" + o.col.name + "\x00" + o.col.codec.name
		if o.desc {
			spec += " desc"
		}
	}
	return crc32.Checksum([]byte(spec), castagnoli)
}

// errCursor is the cause for a cursor that is none.
var errCursor = invalidf("not a cursor of this table and order")

// parseCursor returns the place that the cursor stands for; nil for none.
func (q *query) parseCursor() (*candidate, error) {
	if q.cursor == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(q.cursor)
	if err != nil || wire.Check(b) != nil {
		return nil, errCursor
	}
	d := newDecoder(b)
	defer d.free()
	columns := q.sortColumns()
	n, err := d.arrayLen("cursor")
	if err != nil || n != 2+len(columns) {
		return nil, errCursor
	}
	if sum, err := d.uint64("cursor"); err != nil || sum != uint64(q.orderSum()) {
		return nil, errCursor
	}
	c := &candidate{}
	if c.key, err = d.bytes(false); err != nil {
		return nil, errCursor
	}
	c.key = bytes.Clone(c.key)
	for _, o := range columns {
		v := o.col.codec.newValue()
		if o.col.codec.decode(d, v) != nil {
			return nil, errCursor
		}
		c.sort = append(c.sort, v)
	}
	return c, nil
}
