package userdata

import (
	"bytes"
	"context"
	"errors"
	"os"

	"rsc.io/ordered"
)

// StateOf returns the number of the meta page of the state that OpenBolt would choose.
func StateOf(path string) (slot int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	st, err := readState(f, 0)
	if err != nil {
		return 0, err
	}
	return st.slot, nil
}

// CheckRecords checks all that is in the store of a database, and that the declared
// tables decode each record.
func CheckRecords(ctx context.Context, db *DB) error {
	c := &checker{ctx: ctx, report: &CheckReport{}}
	err := db.store.View(ctx, func(snap Snapshot) error {
		c.snap = snap
		for _, t := range db.sorted() {
			if err := c.table(t); err != nil {
				return err
			}
		}
		return c.run()
	})
	return errors.Join(c.report.Err(), err)
}

// An OrderedComparison is how two values of a column compare: their bytes in an
// index, and they themselves.
type OrderedComparison struct {
	Column        string
	Bytes, Values int
	Prefix        bool // whether one's bytes begin with the other's, which differ
}

// CompareOrdered compares two records column by column.
func CompareOrdered[T any](t *Table[T], a, b *T) (out []OrderedComparison) {
	for _, c := range t.table.columns {
		x, y := c.at(pointerTo(a)), c.at(pointerTo(b))
		bx, by := c.appendOrdered(nil, x), c.appendOrdered(nil, y)
		out = append(out, OrderedComparison{
			Column: c.name, Bytes: bytes.Compare(bx, by), Values: c.codec.compare(x, y),
			Prefix: len(bx) != len(by) && (bytes.HasPrefix(bx, by) || bytes.HasPrefix(by, bx)),
		})
	}
	return out
}

// OrderedForms returns the ordered forms of the package's own making, and of the package that
// they are those of.
func OrderedForms(i int64, u uint64, s string) (own, reference []byte) {
	own = appendOrderedText(appendOrderedUint(appendOrderedInt(nil, i), u), []byte(s))
	return own, ordered.Append(nil, i, u, s)
}

// Encode returns the key and value that a record is stored as.
func Encode[T any](t *Table[T], record *T) (key, value []byte, err error) {
	e := newEncoder()
	defer e.free()
	key, err = t.table.encode(e, pointerTo(record))
	return key, e.bytes(), err
}

// Decode returns the record of a stored value.
func Decode[T any](t *Table[T], key, value []byte) (*T, error) {
	record := new(T)
	return record, t.table.decode(key, value, pointerTo(record))
}

// EncodePlain is Encode through the msgpack library.
func EncodePlain[T any](t *Table[T], record *T) (key, value []byte, err error) {
	e := newEncoder()
	defer e.free()
	key, err = t.table.encodePlain(e, pointerTo(record))
	return key, e.bytes(), err
}

// DecodePlain is Decode through the msgpack library, after package wire has
// checked the bytes.
func DecodePlain[T any](t *Table[T], key, value []byte) (*T, error) {
	record := new(T)
	return record, t.table.decodePlain(key, value, pointerTo(record))
}

// EncodeDirect is the way of Encode that knows no reasons: false if the record
// can't be stored.
func EncodeDirect[T any](t *Table[T], record *T) (value []byte, ok bool) {
	p := pointerTo(record)
	key, err := t.table.keyOf(p)
	e := newEncoder()
	defer e.free()
	b, ok := t.table.append(nil, p)
	e.buf.Write(b)
	appendChecksum(e, t.table.seed, key)
	return e.bytes(), ok && err == nil
}

// Memories are the memories that a record's strings can have.
func Memories() map[string]*textRoom {
	return map[string]*textRoom{"own": nil, "lent": lent, "side by side": {}}
}

// DecodeDirect is the way of Decode that knows no reasons: false if the value is
// not in order. The memory of the record's strings is one of [Memories].
func DecodeDirect[T any](t *Table[T], key, value []byte, mem *textRoom) (*T, bool) {
	record := new(T)
	b, err := verifyChecksum(t.table.seed, key, value)
	return record, err == nil && t.table.parse(key, b, pointerTo(record), mem)
}

// Matches reports whether a record is stored as value, which has to be in order.
func Matches[T any](t *Table[T], value []byte, record *T) bool {
	return t.table.matches(value, pointerTo(record))
}

// Clone returns the copy of a record that sessions keep.
func Clone[T any](t *Table[T], record *T) *T { return (*T)(t.table.clone(pointerTo(record))) }

// Seal ends a msgpack map with the checksum of a stored value.
func Seal(table string, key, value []byte) []byte {
	e := newEncoder()
	defer e.free()
	e.buf.Write(value)
	appendChecksum(e, checksumSeed(table), key)
	return e.bytes()
}

// EncodeKey returns the bytes that a key is stored under, nil for one that no
// record can have.
func EncodeKey[T any](t *Table[T], key any) ([]byte, error) { return t.table.keyFrom(nil, key) }

// DecodeKey returns a key's value, or its bytes if they are not a key's.
func DecodeKey[T any](t *Table[T], key []byte) any { return t.table.keyValue(key) }

// MaxDepth is how deep a column may be nested.
const MaxDepth = maxDepth
