package userdata

import "sync"

// A callGate counts the calls under way and lets no more in once it is shut. An
// RWMutex would not do: a View within a View would wait behind a Close that
// waits for the outer one. It is safe for concurrent use; the zero value is open.
type callGate struct {
	mu      sync.Mutex
	calls   int
	drained chan struct{} // made when the gate is shut, closed when calls is 0 then
}

// enter counts a call in. Its error is ErrClosed.
func (g *callGate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.drained != nil {
		return errClosedStore
	}
	g.calls++
	return nil
}

// leave counts a call out.
func (g *callGate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls--
	if g.drained != nil && g.calls == 0 {
		close(g.drained)
	}
}

// shut refuses further calls. The channel that it returns is closed when those
// under way have ended. It is called once.
func (g *callGate) shut() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.drained = make(chan struct{})
	if g.calls == 0 {
		close(g.drained)
	}
	return g.drained
}
