package userdata

import (
	"context"
	"fmt"
)

// Backup writes a consistent copy of the database to path while sessions go on:
// [BoltStore.Backup] says how. Errors are those of the store; [ErrInvalid] if it is one
// that can't do this, such as a [MemStore].
func (db *DB) Backup(ctx context.Context, path string) error {
	if s, ok := db.store.(interface {
		Backup(ctx context.Context, path string) error
	}); ok {
		return s.Backup(ctx, path)
	}
	return db.storeLacks("backup")
}

// Compact makes the file as small as what is in it, while sessions go on:
// [BoltStore.Compact] says how. Errors are as with [DB.Backup].
func (db *DB) Compact(ctx context.Context) error {
	if s, ok := db.store.(interface {
		Compact(ctx context.Context) error
	}); ok {
		return s.Compact(ctx)
	}
	return db.storeLacks("compact")
}

// Check looks at everything in the file and reports what is wrong:
// [BoltStore.Check] says how. Errors are as with [DB.Backup].
func (db *DB) Check(ctx context.Context) (*CheckReport, error) {
	if s, ok := db.store.(interface {
		Check(ctx context.Context) (*CheckReport, error)
	}); ok {
		return s.Check(ctx)
	}
	return nil, db.storeLacks("check")
}

// storeLacks is the error for what only some stores can do.
func (db *DB) storeLacks(op string) error {
	return fmt.Errorf("userdata: %s: %w", op, invalidf("a %T can't do this", db.store))
}
