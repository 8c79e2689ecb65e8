package userdata

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// A writeTx is a write transaction of a store: a snapshot that its own writes
// change. A function that Scan calls must not write. It is not safe for
// concurrent use.
type writeTx interface {
	Snapshot

	// put writes a value. The transaction keeps both slices: nobody may change them.
	put(bucket string, key, value []byte) error

	// delete removes what is under the key, if anything.
	delete(bucket string, key []byte) error

	// deleteBucket removes all that is in the bucket, and the bucket.
	deleteBucket(bucket string) error

	// sortRoom returns a folder for files that are larger than memory should be,
	// or "" if the store is in memory itself.
	sortRoom() string
}

// A rewriter is a store that can make changes of any size at once.
type rewriter interface {
	// rewrite calls fn with a transaction and makes its writes durable, all of
	// them or none: none if fn returns an error or panics. bulk says that there
	// may be more of them than memory should hold. Nobody else writes meanwhile.
	rewrite(ctx context.Context, bulk bool, fn func(tx writeTx) error) error
}

// rewrite runs fn in a write transaction of the store.
func rewrite(ctx context.Context, store Store, bulk bool, fn func(tx writeTx) error) error {
	if r, ok := store.(rewriter); ok {
		return r.rewrite(ctx, bulk, fn)
	}
	for {
		err := rewriteByApply(ctx, store, fn)
		if !errors.Is(err, ErrConflict) {
			return err
		} // else somebody else was faster: look again
	}
}

// rewriteByApply serves stores that have no more than Apply: it works on a copy
// of the whole store in memory, and applies what differs then.
func rewriteByApply(ctx context.Context, store Store, fn func(tx writeTx) error) error {
	changes := &ChangeSet{}
	err := store.View(ctx, func(snap Snapshot) error {
		tx, err := copyToMemory(snap)
		if err != nil {
			return err
		}
		if err := fn(tx); err != nil {
			return err
		}
		changes.Version = snap.Version()
		return tx.changes(snap, changes)
	})
	if err != nil || len(changes.Changes) == 0 {
		return err
	}
	return store.Apply(ctx, changes)
}

// copyToMemory returns a transaction that begins with what the snapshot has.
func copyToMemory(snap Snapshot) (*memTx, error) {
	tx := newMemTx(&memState{version: snap.Version()})
	buckets, err := snap.Buckets()
	if err != nil {
		return nil, err
	}
	for _, b := range buckets {
		var root *memNode
		if err := snap.Scan(b, Range{}, func(key, value []byte) bool {
			root = root.with(bytes.Clone(key), bytes.Clone(value))
			return true
		}); err != nil {
			return nil, err
		}
		tx.roots[b] = root
	}
	return tx, nil
}

// changes appends what makes the store that the snapshot is of what the
// transaction has.
func (tx *memTx) changes(snap Snapshot, out *ChangeSet) error {
	after := tx.state()
	before, err := snap.Buckets()
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, b := range before {
		names[b] = true
	}
	for _, b := range after.buckets {
		names[b.name] = true
	}
	for _, name := range sortedKeys(names) {
		if err := bucketChanges(name, snap, after, out); err != nil {
			return err
		}
	}
	return nil
}

// bucketChanges appends what makes one bucket what it is in the state.
func bucketChanges(bucket string, snap Snapshot, after *memState, out *ChangeSet) error {
	merged := map[string][]byte{}
	err := snap.Scan(bucket, Range{}, func(key, value []byte) bool {
		merged[string(key)] = nil
		if now, _ := after.Get(bucket, key); now != nil && bytes.Equal(now, value) {
			delete(merged, string(key))
		}
		return true
	})
	if err != nil {
		return err
	}
	err = after.Scan(bucket, Range{}, func(key, value []byte) bool {
		was, _ := snap.Get(bucket, key)
		if was == nil || !bytes.Equal(was, value) {
			merged[string(key)] = value
		}
		return true
	})
	for _, key := range sortedKeys(merged) {
		out.Changes = append(out.Changes, Change{Bucket: bucket, Key: []byte(key), Value: merged[key]})
	}
	return err
}

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
	if err := changes.check(s.version, s.tx.Get); err != nil {
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
