package userdata

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"
)

// A copyGate counts the Gets that use a pin, and lets no more in once it is shut. It is safe
// for concurrent use; the zero value is open.
type copyGate struct {
	n atomic.Int64 // how many there are, and gateShut
}

// enter counts a Get in, if the gate is open.
func (g *copyGate) enter() bool {
	for {
		n := g.n.Load()
		if n >= gateShut {
			return false
		}
		if g.n.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// leave counts a Get out, and reports whether it was the last one after the gate was shut.
func (g *copyGate) leave() (last bool) { return g.n.Add(-1) == gateShut }

// shut lets no more in, and reports whether nobody is in. It is called once.
func (g *copyGate) shut() (idle bool) { return g.n.Add(gateShut) == gateShut }

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

// valueCopy is a View of one value: it returns copies of the key and of that, nil for nothing.
func (s *BoltStore) valueCopy(ctx context.Context, bucket string, key []byte) (own, value []byte, err error) {
	if p := s.offered.Load(); p != nil && ctx.Err() == nil && p.copies.enter() {
		return s.offeredCopy(p, bucket, key)
	}
	p, err := s.beginCopy(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer s.endCopy(p, debug.SetPanicOnFault(true), &err) // one for all: the compiler makes more of them slow
	return copyValue(p.snap, bucket, key)
}

// offeredCopy is valueCopy with a pin whose gate has let it in.
func (s *BoltStore) offeredCopy(p *pin, bucket string, key []byte) (own, value []byte, err error) {
	defer s.endOffered(p, debug.SetPanicOnFault(true), &err)
	return copyValue(p.snap, bucket, key)
}

// endOffered is given what debug.SetPanicOnFault returned.
func (s *BoltStore) endOffered(p *pin, onFault bool, err *error) {
	r := recover()
	debug.SetPanicOnFault(onFault)
	if p.copies.leave() {
		s.endView(p)
		s.calls.leave()
	}
	if r != nil {
		p.absorb(r, err)
	}
}

// beginCopy begins what endCopy ends, to be deferred.
func (s *BoltStore) beginCopy(ctx context.Context) (*pin, error) {
	if err := s.calls.enter(); err != nil {
		return nil, err
	}
	err := ctx.Err()
	if err == nil {
		var p *pin
		if p, err = s.beginView(ctx); err == nil {
			return p, nil
		}
		err = fmt.Errorf("%s: %w", s.path, err)
	}
	s.calls.leave()
	return nil, fmt.Errorf("userdata: view: %w", err)
}

// endCopy is given what debug.SetPanicOnFault returned.
func (s *BoltStore) endCopy(p *pin, onFault bool, err *error) {
	r := recover()
	debug.SetPanicOnFault(onFault)
	s.endView(p)
	s.calls.leave()
	if r != nil {
		p.absorb(r, err)
	}
}

// copyValue returns what valueCopy does, from a snapshot: one behind the other.
func copyValue(snap Snapshot, bucket string, key []byte) (own, value []byte, err error) {
	v, err := snap.Get(bucket, key)
	if v == nil {
		return nil, nil, err
	}
	both := append(append(make([]byte, 0, len(key)+len(v)), key...), v...)
	return both[:len(key)], both[len(key):], err
}
