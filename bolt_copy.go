package userdata

import (
	"context"
	"fmt"
	"runtime/debug"
)

// offer lets Gets use the pin, which its handle keeps, without the store's lock. They are
// brief, and no code of the program's runs in them. To the store they are one more read of the
// pin, which ends after the pin was withdrawn. The caller has the store's lock.
func (s *BoltStore) offer(p *pin) {
	if s.held || s.calls.enter() != nil {
		return
	}
	p.users++
	p.h.views++
	s.viewing++
	p.offers = s
	s.offered.Store(p)
}

// withdraw lets no more Gets use the pin, if it is offered. The caller has the store's lock.
func (p *pin) withdraw() {
	s := p.offers
	if s == nil {
		return
	}
	p.offers = nil
	s.offered.Store(nil)
	if !p.copies.shut() {
		return // the last of them ends the read
	}
	p.users--
	p.h.views--
	s.viewing--
	s.signal()
	s.calls.leave()
}

// withdrawPin lets no more Gets go without the store's lock, until a pin is offered again.
func (s *BoltStore) withdrawPin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.offered.Load(); p != nil {
		p.withdraw()
	}
}

// valueCopy is a View of one value: it returns copies of the key and of that, nil for nothing, in
// the memory that it is given.
func (s *BoltStore) valueCopy(ctx context.Context, bucket string, key []byte, mem *readRoom) (own, value []byte, err error) {
	p, offered, err := s.beginCopy(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer s.endCopy(p, offered, debug.SetPanicOnFault(true), &err) // one for all: the compiler makes more of them slow
	return copyValue(p.snap, bucket, key, mem)
}

// beginCopy begins what endCopy ends, to be deferred: with the pin that is offered, if there
// is one, or else as a read that the store counts.
func (s *BoltStore) beginCopy(ctx context.Context) (p *pin, offered bool, err error) {
	err = ctx.Err() // before the gate: it may be the program's code
	if p = s.offered.Load(); p != nil && err == nil && p.copies.enter() {
		return p, true, nil
	}
	if err := s.calls.enter(); err != nil {
		return nil, false, err
	}
	if err == nil {
		if p, err = s.beginView(ctx); err == nil {
			return p, false, nil
		}
		err = fmt.Errorf("%s: %w", s.path, err)
	}
	s.calls.leave()
	return nil, false, fmt.Errorf("userdata: view: %w", err)
}

// endCopy is given what debug.SetPanicOnFault returned.
func (s *BoltStore) endCopy(p *pin, offered, onFault bool, err *error) {
	r := recover()
	debug.SetPanicOnFault(onFault)
	if !offered || p.copies.leave() {
		s.endView(p)
		s.calls.leave()
	}
	if r != nil {
		p.absorb(r, err)
	}
}

// copyValue returns what valueCopy does, from a snapshot.
func copyValue(snap Snapshot, bucket string, key []byte, mem *readRoom) (own, value []byte, err error) {
	v, err := snap.Get(bucket, key)
	if v == nil {
		return nil, nil, err
	}
	own, value = mem.copyBoth(key, v)
	return own, value, err
}
