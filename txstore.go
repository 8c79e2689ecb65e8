package userdata

import (
	"bytes"
	"context"
	"fmt"
)

// A txStore is a Store on a write transaction: what a migration's session works
// on. Its commits are parts of the transaction.
type txStore struct {
	tx      writeTx
	version uint64
}

// View implements [Store].
func (s *txStore) View(ctx context.Context, fn func(Snapshot) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("userdata: view: %w", err)
	}
	return fn(txSnapshot{s.tx, s.version})
}

// Apply implements [Store].
func (s *txStore) Apply(ctx context.Context, changes *ChangeSet) error {
	if err := changes.Validate(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("userdata: apply: %w", err)
	}
	if err := changes.check(s.version, changes.by(s.tx.Get)); err != nil {
		return err
	}
	s.version++
	for i := range changes.Changes {
		ch := &changes.Changes[i]
		err := error(nil)
		if ch.Value == nil {
			err = s.tx.delete(ch.Bucket, ch.Key)
		} else {
			err = s.tx.put(ch.Bucket, bytes.Clone(ch.Key), bytes.Clone(ch.Value))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Close implements [Store]; the transaction goes on.
func (s *txStore) Close() error { return nil }

// A txSnapshot is the state of a transaction between two of its commits.
type txSnapshot struct {
	Snapshot
	version uint64
}

// Version implements [Snapshot].
func (s txSnapshot) Version() uint64 { return s.version }
