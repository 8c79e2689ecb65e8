package userdata

import (
	"sync"
	"sync/atomic"
)

// A callGate counts the calls under way and lets no more in once it is shut. An
// RWMutex would not do: a View within a View would wait behind a Close that
// waits for the outer one. It is safe for concurrent use; the zero value is open.
type callGate struct {
	state   atomic.Int64  // how many calls are under way, and gateShut
	drained chan struct{} // made when the gate is shut, closed when there are no calls then
	once    sync.Once     // closes it
}

// gateShut is in the state of a gate that is shut.
const gateShut = 1 << 62

// enter counts a call in. Its error is ErrClosed.
func (g *callGate) enter() error {
	if g.state.Add(1) >= gateShut {
		g.leave()
		return errClosedStore
	}
	return nil
}

// leave counts a call out.
func (g *callGate) leave() {
	if g.state.Add(-1) == gateShut {
		g.once.Do(func() { close(g.drained) })
	}
}

// shut refuses further calls. The channel that it returns is closed when those
// under way have ended. It is called once.
func (g *callGate) shut() <-chan struct{} {
	g.drained = make(chan struct{})
	g.state.Add(1)
	g.state.Add(gateShut)
	g.leave()
	return g.drained
}

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

// A turnstile lets one call in at a time, and counts them: who finds the count that it has
// seen before knows that there was no call since. It is safe for concurrent use.
type turnstile struct {
	n atomic.Uint64 // odd while a call is under way
}

// enter lets a call in, unless there is one.
func (t *turnstile) enter() bool {
	n := t.n.Load()
	return n&1 == 0 && t.n.CompareAndSwap(n, n+1)
}

// leave ends the call.
func (t *turnstile) leave() { t.n.Store(t.n.Load() + 1) }

// counts reports whether there were so many calls, besides the one under way.
func (t *turnstile) counts(calls uint64) bool { return t.n.Load() == 2*calls+1 }

// afterThis returns the count that is to be found after the call under way.
func (t *turnstile) afterThis() uint64 { return t.n.Load() + 1 }

// unpassed reports whether the count is what it was.
func (t *turnstile) unpassed(since uint64) bool { return t.n.Load() == since }
