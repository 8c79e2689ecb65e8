package userdata

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// HoldWriter keeps others from writing until release is called.
func HoldWriter(s *BoltStore) (release func()) {
	s.lockWriter(context.Background())
	return s.unlockWriter
}

// AwaitQueue waits until n calls are queued. It panics if that takes too long.
func AwaitQueue(s *BoltStore, n int) {
	begun := time.Now()
	for queued := -1; queued != n; runtime.Gosched() {
		if queued = s.queued(); time.Since(begun) > 8*time.Second {
			panic(fmt.Sprintf("%d calls are queued, not %d", queued, n))
		}
	}
}

// SetSpan makes the store believe that so many bytes of the file are mapped; or has them
// mapped for what comes, where bbolt does not.
func SetSpan(s *BoltStore, span int64) {
	s.handle.span = span
	if d := s.handle.direct; d != nil {
		s.unpin(s.handle)
		in, err := d.mapFile(span, false)
		if err == nil {
			err = d.publish(in, d.newest().meta)
		}
		if err != nil {
			panic(err)
		}
	}
}

// Mappings returns how many mappings of the store's file there are.
func Mappings(s *BoltStore) int {
	d := s.handle.direct
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[*mapping]bool{}
	for _, st := range d.states {
		all[st.in] = true
	}
	return len(all)
}

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

// GateHeld reports whether somebody has the gate of the store's shared file.
func GateHeld(s *BoltStore) bool {
	err := tryGate(s.own, true)
	if err == nil {
		leaveGate(s.own)
	}
	return errors.Is(err, errHeld)
}

// Loaded reports whether bbolt has opened the store's file.
func Loaded(s *BoltStore) bool { return s.handle.direct == nil }
