package userdata

import (
	"context"
	"runtime"
)

// HoldWriter keeps others from writing until release is called.
func HoldWriter(s *BoltStore) (release func()) {
	s.lockWriter(context.Background())
	return s.unlockWriter
}

// AwaitQueue waits until n calls are queued.
func AwaitQueue(s *BoltStore, n int) {
	for queued := -1; queued != n; runtime.Gosched() {
		s.mu.Lock()
		queued = len(s.queue)
		s.mu.Unlock()
	}
}

// SetSpan makes the store believe that so many bytes of the file are mapped.
func SetSpan(s *BoltStore, span int64) { s.handle.span = span }

// Handles returns how many handles the store has open, in use or to be closed.
func Handles(s *BoltStore) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return 1 + len(s.old)
}

// Recover does what the store does after a failed commit.
func Recover(s *BoltStore, txid uint64) (applied bool, err error) { return s.recover(txid) }

// Reopen gives the store a new handle.
func Reopen(s *BoltStore) error { return s.reopen() }

// OpenBetween is OpenStore with a call of between after the schema was compared, and
// before it is watched.
func OpenBetween(ctx context.Context, store Store, opts *Options, between func(), tables ...Mapped) (*DB, error) {
	db, err := newDB(store, opts, tables)
	if err == nil {
		err = db.open(ctx, opts)
	}
	if err != nil {
		return nil, err
	}
	between()
	return db, db.watch(ctx)
}
