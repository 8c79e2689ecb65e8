package userdata

import (
	"context"
	"fmt"
	"runtime/debug"

	"go.etcd.io/bbolt"
)

// A pin is a read transaction of a handle, and the snapshot that it sees. It has no
// transaction of bbolt's if the file is read without that: see directFile. Reads
// that come while nothing is written share one, which stays open between them: to
// begin a transaction and look its buckets up costs more than to read a record. A
// pin that nobody uses is gone before the next write begins, so it keeps no page
// from being used anew, and before the file is mapped anew or closed, which would wait for it.
type pin struct {
	h    *boltHandle
	tx   *bbolt.Tx
	of   *directState // in place of tx
	snap *boltSnapshot

	users int  // reads that use it, under the store's lock
	kept  bool // it is its handle's, for more reads; under the store's lock

	copies copyGate   // the Gets that use it without the store's lock: one user, all of them
	offers *BoltStore // whose Gets may; nil if none; under its lock
}

// View implements [Store]. The context is looked at before fn is called, not
// while it runs. Errors besides fn's: the context's, [ErrClosed], and
// [ErrCorrupt] if the file can't be read where fn looks at it.
func (s *BoltStore) View(ctx context.Context, fn func(Snapshot) error) error {
	if err := s.calls.enter(); err != nil {
		return err
	}
	defer s.calls.leave()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("userdata: view: %w", err)
	}
	p, err := s.beginView(ctx)
	if err != nil {
		return fmt.Errorf("userdata: view: %s: %w", s.path, err)
	}
	defer s.endView(p)
	return p.view(fn)
}

// begin begins a read transaction, with one user.
func (h *boltHandle) begin() (*pin, error) {
	p := &pin{h: h, users: 1}
	if h.direct != nil {
		p.of = h.direct.use()
		p.snap = p.of.snap
		return p, nil
	}
	tx, err := h.beginTx(false)
	if err == nil {
		p.tx = tx
		err = h.guard(func() (err error) {
			p.snap, err = newBoltSnapshot(tx, h.span)
			return err
		})
	}
	if err != nil {
		p.end()
		return nil, err
	}
	return p, nil
}

// end ends the transaction.
func (p *pin) end() {
	if p.tx != nil {
		p.h.guard(p.tx.Rollback)
	} else if p.of != nil {
		if err := p.h.direct.leave(p.of); err != nil {
			p.h.log.Warn("userdata: unmap an old state of the file", "path", p.h.direct.path, "error", err)
		}
	}
}

// view runs the function of a View, which is the caller's: its panics go on. But a
// fault at an address in the mapped file is the file's fault, and becomes
// ErrCorrupt.
func (p *pin) view(fn func(Snapshot) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer p.caught(&err)
	return fn(p.snap)
}

// caught is for view, to be deferred.
func (p *pin) caught(err *error) {
	if r := recover(); r != nil { // else it was a return or Goexit
		p.absorb(r, err)
	}
}

// absorb makes a fault of the file's an error, and panics on with anything else.
func (p *pin) absorb(r any, err *error) {
	fault, ok := r.(interface{ Addr() uintptr })
	if !ok || !p.snap.file.Has(fault.Addr()) {
		panic(r)
	}
	*err = corruptf("the file is shorter than it says, or can't be read: %v", r)
}

// snapshot runs fn with a snapshot of the file.
func (h *boltHandle) snapshot(fn func(Snapshot) error) error {
	p, err := h.begin()
	if err != nil {
		return fmt.Errorf("userdata: view: %w", err)
	}
	defer p.end()
	return p.view(fn)
}

// beginView counts a read in, and returns the pin that it is to use.
func (s *BoltStore) beginView(ctx context.Context) (*pin, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	h, p, counted := s.countIn()
	s.mu.Unlock()
	if !counted {
		err := s.await(ctx, 0, func() bool {
			h, p, counted = s.countIn()
			return counted
		})
		if err != nil {
			s.leave()
			return nil, err
		}
	}
	var err error
	if p == nil {
		if p, err = h.begin(); err != nil {
			s.countOut(h)
			return nil, err
		}
		s.keep(p)
	}
	return p, nil
}

// countIn counts a read in, unless reads have to wait. It returns the handle, and the pin if
// there is one. The caller has the store's lock.
func (s *BoltStore) countIn() (h *boltHandle, p *pin, counted bool) {
	if s.held {
		return nil, nil, false
	}
	h, p = s.handle, s.handle.pin
	h.views++
	s.viewing++
	if p != nil {
		p.users++
	}
	return h, p, true
}

// keep lets further reads use the pin, unless a read may have seen a later state
// already: time does not go back.
func (s *BoltStore) keep(p *pin) {
	h := p.h
	s.mu.Lock()
	var idle *pin
	if !s.opts.Shared && !h.retired && p.snap.version >= h.latest {
		idle = h.outdate(p.snap.version)
		if h.pin == nil {
			h.pin, p.kept = p, true
			s.offer(p)
		}
	}
	s.mu.Unlock()
	idle.endIfAny()
}

// outdate takes notice of a state of that version: the handle's pin is given up if
// it is of an earlier one, and returned if it is to be ended. The caller has the
// store's lock.
func (h *boltHandle) outdate(version uint64) (idle *pin) {
	if version <= h.latest {
		return nil
	}
	h.latest = version
	return h.unpin()
}

// unpin gives up the handle's pin, and returns it if it is to be ended. The caller
// has the store's lock.
func (h *boltHandle) unpin() (idle *pin) {
	p := h.pin
	if h.pin = nil; p == nil {
		return nil
	}
	p.withdraw()
	if p.kept = false; p.users > 0 {
		return nil // the last of them will end it
	}
	return p
}

// endIfAny ends the pin unless it is nil.
func (p *pin) endIfAny() {
	if p != nil {
		p.end()
	}
}

// unpin lets no more reads use the handle's pin.
func (s *BoltStore) unpin(h *boltHandle) {
	s.mu.Lock()
	idle := h.unpin()
	s.mu.Unlock()
	idle.endIfAny()
}

// endView counts a read out, which was the last one of its pin if that is not kept.
func (s *BoltStore) endView(p *pin) {
	s.mu.Lock()
	if p.users--; p.users == 0 && !p.kept {
		s.mu.Unlock()
		p.end()
		s.countOut(p.h)
		return
	}
	s.finishView(p.h)
}

// countOut counts a read out.
func (s *BoltStore) countOut(h *boltHandle) {
	s.mu.Lock()
	s.finishView(h)
}

// finishView counts a read out, and gives back the store's lock. The last one that
// uses a retired handle closes it.
func (s *BoltStore) finishView(h *boltHandle) {
	h.views--
	s.viewing--
	last := h.retired && h.views == 0
	s.signal()
	s.mu.Unlock()
	if last {
		s.dispose(h)
	}
	s.leave()
}
