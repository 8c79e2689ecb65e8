package userdata

import (
	"context"
	"errors"
)

// A writeTx is a write transaction of a store: a snapshot that its own writes
// change. A function that Scan calls must not write, and what was read is good
// until the next write. It is not safe for concurrent use.
type writeTx interface {
	Snapshot

	// put writes a value. The transaction keeps both slices: nobody may change them.
	put(bucket string, key, value []byte) error

	// delete removes what is under the key, if anything.
	delete(bucket string, key []byte) error

	// deleteBucket removes all that is in the bucket.
	deleteBucket(bucket string) error

	// sortRoom returns a folder for files that are larger than memory should be,
	// or "" if the transaction is in memory itself.
	sortRoom() string
}

// A rewriter is a store that can make more changes at once than memory should hold.
type rewriter interface {
	// rewrite calls fn with a transaction and makes its writes durable, all of
	// them or none: none if fn returns an error or panics. Nobody else writes
	// meanwhile. It reports false, and has done nothing, if the store is so small
	// that it is better done in memory, unless it is told always to do it.
	rewrite(ctx context.Context, always bool, fn func(tx writeTx) error) (done bool, err error)
}

// rewrite runs fn in a write transaction of the store. bulk says that it may
// write more than memory should hold. If somebody else was faster it is run again.
func rewrite(ctx context.Context, store Store, bulk bool, fn func(tx writeTx) error) error {
	if r, ok := store.(rewriter); ok && bulk {
		if done, err := r.rewrite(ctx, false, fn); done || err != nil {
			return err
		}
	}
	for {
		changes := &ChangeSet{}
		err := store.View(ctx, func(snap Snapshot) error {
			tx := newOverlay(snap)
			if err := fn(tx); err != nil {
				return err
			}
			changes.Version = snap.Version()
			return tx.changes(changes)
		})
		if err != nil || len(changes.Changes) == 0 {
			return err
		}
		if err := store.Apply(ctx, changes); !errors.Is(err, ErrConflict) {
			return err
		}
	}
}
