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
