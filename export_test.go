package userdata

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
)

// CheckRecords opens every stored record of every declared table: checksum,
// columns, key, and that it decodes and encodes to the same bytes.
func CheckRecords(ctx context.Context, db *DB) error {
	var faults []error
	err := db.store.View(ctx, func(snap Snapshot) error {
		for _, t := range db.sorted() {
			err := snap.Scan(t.name, Range{}, func(key, value []byte) bool {
				p := t.newRecord()
				if err := t.decode(key, value, p); err != nil {
					faults = append(faults, err)
					return true
				}
				e := newEncoder()
				defer e.free()
				again, err := t.encode(e, p)
				if err != nil || string(again) != string(key) || e.buf.String() != string(value) {
					faults = append(faults, t.recordError("check", key, "", errors.Join(corruptf("encodes to other bytes"), err)))
				}
				return true
			})
			if err != nil {
				return err
			}
			faults = append(faults, checkIndexes(snap, t)...)
		}
		return nil
	})
	return errors.Join(append(faults, err)...)
}

// checkIndexes compares each index's entries with what the records imply, and
// looks for entries of indexes that there are not.
func checkIndexes(snap Snapshot, t *table) (faults []error) {
	buckets, err := snap.Buckets()
	faults = append(faults, err)
	for _, b := range buckets {
		declared := slices.ContainsFunc(t.indexes, func(x *index) bool { return x.bucket == b })
		if !declared && strings.HasPrefix(b, indexBucket(t.name, "")) {
			faults = append(faults, snap.Scan(b, Range{}, func(key, _ []byte) bool {
				faults = append(faults, corruptf("bucket %s has entry %x, but the index is not declared", b, key))
				return true
			}))
		}
	}
	for _, x := range t.indexes {
		want := map[string]string{}
		faults = append(faults, snap.Scan(t.name, Range{}, func(key, value []byte) bool {
			r, err := t.open(key, value)
			if err != nil {
				return true // said before
			}
			entries, err := x.entries(&r)
			faults = append(faults, err)
			for _, e := range entries {
				if other, ok := want[string(e.key)]; ok {
					faults = append(faults, corruptf("index %s: records %x and %x imply one entry", x.bucket, other, key))
				}
				want[string(e.key)] = string(e.value)
			}
			return true
		}))
		faults = append(faults, snap.Scan(x.bucket, Range{}, func(key, value []byte) bool {
			if v, ok := want[string(key)]; !ok || v != string(value) {
				faults = append(faults, corruptf("index %s has entry %x -> %x, the records say %x, %v", x.bucket, key, value, v, ok))
			}
			delete(want, string(key))
			return true
		}))
		if len(want) > 0 {
			faults = append(faults, corruptf("index %s lacks %d entries", x.bucket, len(want)))
		}
	}
	return faults
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

// DecodeDirect is the way of Decode that knows no reasons: false if the value is
// not in order. If lent, the record's strings are parts of value.
func DecodeDirect[T any](t *Table[T], key, value []byte, lent bool) (*T, bool) {
	record := new(T)
	b, err := verifyChecksum(t.table.seed, key, value)
	return record, err == nil && t.table.parse(key, b, pointerTo(record), lent)
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
