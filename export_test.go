package userdata

import (
	"context"
	"errors"
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
				if err != nil || string(again) != string(key) || string(e.buf.Bytes()) != string(value) {
					faults = append(faults, t.recordError("check", key, "", errors.Join(corruptf("encodes to other bytes"), err)))
				}
				return true
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(append(faults, err)...)
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
func EncodeKey[T any](t *Table[T], key any) ([]byte, error) { return t.table.keyFrom(key) }

// DecodeKey returns a key's value, or its bytes if they are not a key's.
func DecodeKey[T any](t *Table[T], key []byte) any { return t.table.keyValue(key) }

// MaxDepth is how deep a column may be nested.
const MaxDepth = maxDepth
