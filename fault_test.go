//go:build linux && (amd64 || arm64)

package userdata_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-5df914be/userdata"
	"github.com/seed-5df914be/userdata/internal/intercept"
	"github.com/seed-5df914be/userdata/internal/powercut"
)

// These tests let each call that a store makes fail in turn, in each way, once, and
// from then on. What the store says of each commit must be true at
// once, when the file is opened again, and after a power cut in a later commit.

// A failure is a way in which a call fails.
type failure struct {
	name  string
	errno syscall.Errno // what the store's error must be
	most  int           // how often in a row it may happen; 0 for no end
	on    []intercept.Op
	act   func(i int, c *intercept.Call) powercut.Action // i counts from the first one
}

// fails is a failure with an errno each time.
func fails(errno syscall.Errno, done bool) func(int, *intercept.Call) powercut.Action {
	return func(int, *intercept.Call) powercut.Action { return powercut.Action{Errno: errno, Done: done} }
}

// half writes half of what it should. It never leaves 8 bytes to be written, since
// these can't be intercepted.
func half(c *intercept.Call) powercut.Action {
	n := (len(c.Data) + 1) / 2
	if len(c.Data)-n == 8 {
		n++
	}
	return powercut.Action{Short: n}
}

// failures are all ways. Go calls again what EINTR interrupts, without end.
var failures = []failure{
	{"EIO", unix.EIO, 0, nil, fails(unix.EIO, false)},
	{"EIO though it was done", unix.EIO, 0, nil, fails(unix.EIO, true)},
	{"ENOSPC", unix.ENOSPC, 0, []intercept.Op{intercept.Write, intercept.Truncate, intercept.Allocate, intercept.Sync, intercept.Open, intercept.Link, intercept.Rename}, fails(unix.ENOSPC, false)},
	{"EINTR", unix.EINTR, 10, nil, fails(unix.EINTR, false)},
	{"short", 0, 0, []intercept.Op{intercept.Write}, func(_ int, c *intercept.Call) powercut.Action { return half(c) }},
	{"short, then ENOSPC", unix.ENOSPC, 0, []intercept.Op{intercept.Write}, func(i int, c *intercept.Call) powercut.Action {
		if i == 0 {
			return half(c)
		}
		return powercut.Action{Errno: unix.ENOSPC}
	}},
}

// forever is a number of failures in a row.
const forever = 1 << 30

// A fault lets calls fail from the n-th on, count times.
type fault struct {
	failure
	n, count int
	met      int  // how often it was met
	replaced bool // a rename was done and said to have failed
}

// String tells the fault.
func (f *fault) String() string { return fmt.Sprintf("call %d, %d times: %s", f.n, f.count, f.name) }

// over reports whether it has happened as often as it should.
func (f *fault) over() bool { return f.met == f.count }

// decide says what becomes of a call.
func (f *fault) decide(n int, c *intercept.Call) powercut.Action {
	if n < f.n || f.over() || f.on != nil && !slices.Contains(f.on, c.Op) {
		return powercut.Action{}
	}
	f.met++
	a := f.act(f.met-1, c)
	f.replaced = f.replaced || a.Done && c.Op == intercept.Rename
	return a
}

// A faultyRun is a program that meets a fault.
type faultyRun struct {
	*program
	work     []work
	fault    *fault
	outcomes map[outcome]int
	closing  int // where in the trace it closes the store for the first time
}

// run does what a program does that goes on as long as it can. Its error is a
// broken promise.
func (r *faultyRun) run() error {
	if err := r.open(); err != nil {
		if err := r.named(err); err != nil {
			return err
		}
		if err := r.reopen(); err != nil {
			return err
		}
	}
	for _, w := range r.work {
		if err := r.do(w); err != nil {
			return err
		}
	}
	r.closing = r.rec.Len()
	r.store.Close() // a failure of it changes nothing
	if err := r.reopen(); err != nil {
		return err
	}
	return errors.Join(r.large(), r.commits(2), r.store.Close())
}

// do does one thing, and judges the error if there is one.
func (r *faultyRun) do(w work) error {
	var over, replaced bool
	r.rec.Locked(func() { over = r.fault.over() })
	err := w.do(r.program)
	r.rec.Locked(func() { replaced = r.fault.replaced })
	switch {
	case err == nil:
		return nil
	case replaced && !w.commits:
		// Compact does not know that it has replaced the file.
		r.store.Close()
		return r.reopen()
	case over:
		return fmt.Errorf("when the disk is well again: %w", err)
	case w.commits && outcomeOf(err) == unknown && r.fault.count == 1:
		return fmt.Errorf("after a single failure the outcome is unknown: %w", err)
	}
	return r.judge(err)
}

// reopen opens the store when the disk is well again.
func (r *faultyRun) reopen() error {
	r.rec.Locked(func() { r.fault.met = r.fault.count })
	if err := r.open(); err != nil {
		return fmt.Errorf("when the disk is well again: %w", err)
	}
	return nil
}

// named reports it if an error does not say which of the system's errors it is.
func (r *faultyRun) named(err error) error {
	if r.fault.errno == 0 || !errors.Is(err, r.fault.errno) {
		return fmt.Errorf("got the error %q, want one that is %v", err, r.fault.errno)
	}
	return nil
}

// judge looks at what a store does after an error: whether what it holds is what it
// should hold, and whether it goes on or clearly does not.
func (r *faultyRun) judge(failed error) error {
	if err := r.named(failed); err != nil {
		return err
	}
	out := outcomeOf(failed)
	r.outcomes[out]++
	got, err := r.store.read()
	if now, _ := r.history().promises(r.rec.Len()); err == nil && !anyEqual(got, now.want) {
		return fmt.Errorf("after %q the store holds %s", failed, difference(got, now.want))
	}
	if out == refused && err != nil {
		return fmt.Errorf("reading after %q: %w", failed, err)
	}
	if out != unknown {
		return nil
	}
	changes, _ := randomChanges(r.rng, r.state)
	for range 2 {
		if err := r.store.apply(changes); !errors.Is(err, userdata.ErrReadOnly) {
			return fmt.Errorf("a commit after one with an unknown outcome: got %v, want ErrReadOnly", err)
		}
		r.rec.Locked(func() { r.fault.met = r.fault.count }) // the second time the disk is well again
	}
	r.store.Close()
	return r.reopen()
}

// A work is a thing that a program does.
type work struct {
	do      func(*program) error
	commits bool
}

// What the programs do that meet a fault.
var (
	aCommit         = work{(*program).commit, true}
	fourCommits     = slices.Repeat([]work{aCommit}, 4)
	cutWork         = []work{{(*program).fill, true}, {(*program).thin, true}}
	maintenanceWork = []work{aCommit, {(*program).backUp, false}, {(*program).compact, false}, aCommit, {(*program).backUp, false}, aCommit}
)

// callsOf returns the kinds of the calls that a program makes without a fault, and how many
// of them are before it closes the store.
func callsOf(t *testing.T, p *program, todo []work) (ops []intercept.Op, closing int) {
	p.rec.SetFault(func(_ int, c *intercept.Call) powercut.Action {
		ops = append(ops, c.Op)
		return powercut.Action{}
	})
	p.run(t, func() error {
		err := p.open()
		for _, w := range todo {
			err = errors.Join(err, w.do(p))
		}
		p.rec.Locked(func() { closing = len(ops) })
		return errors.Join(err, p.store.Close())
	})
	return ops, closing
}

// Each call fails in each way.
func TestFaults(t *testing.T) {
	t.Parallel()
	sum := newTally(t)
	outcomes := map[outcome]int{}
	var mu sync.Mutex
	counts := []int{1, forever}
	if *long {
		counts = []int{1, 2, 3, 5, 8, forever}
	}
	for name, w := range map[string]struct {
		begin     func() *program
		work      []work
		onlyClose bool // only what is called to close the file fails
	}{
		"new file":    {func() *program { return newProgram(t, storeEngine, 3) }, fourCommits, false},
		"old file":    {func() *program { return programAfter(t, storeEngine, 4) }, fourCommits, false},
		"cut file":    {func() *program { return newProgram(t, storeEngine, 8) }, cutWork, true},
		"maintenance": {func() *program { return programAfter(t, storeEngine, 5) }, maintenanceWork, false},
	} {
		ops, closing := callsOf(t, w.begin(), w.work)
		for _, f := range failures {
			t.Run(name+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				runs := 0
				for n, op := range ops {
					if w.onlyClose && n < closing || f.on != nil && !slices.Contains(f.on, op) || underRace && !w.onlyClose && n%8 != 0 {
						continue
					}
					for _, count := range counts {
						if f.most > 0 {
							count = min(count, f.most)
						}
						r := &faultyRun{program: w.begin(), work: w.work, fault: &fault{failure: f, n: n, count: count}, outcomes: map[outcome]int{}}
						r.rec.SetFault(r.fault.decide)
						err := r.rec.Run(r.run)
						r.remove()
						if err != nil {
							t.Errorf("%v: %v (%v): %v", r.fault, op, r.outcomes, err)
							continue
						}
						in := newInspection(t, storeEngine, uint64(n))
						if w.onlyClose {
							wantNoLoss(t, in, r.history(), r.closing, samples(50, 100, 500))
						} else {
							wantNoLoss(t, in, r.history(), 0, samples(2, 4, 100))
						}
						sum.add(in)
						runs++
						mu.Lock()
						for o, k := range r.outcomes {
							outcomes[o] += k
						}
						mu.Unlock()
					}
				}
				t.Logf("%d runs", runs)
			})
		}
	}
	t.Cleanup(func() {
		t.Logf("%d calls failed and did nothing, of %d the outcome is unknown", outcomes[refused], outcomes[unknown])
	})
}

// The outcomes of five commits, each write and sync of which fails in turn: done or
// not done, once and from then on. It is a small part of TestFaults.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	begin := func() *program { return programAfter(t, storeEngine, 6) }
	todo := slices.Repeat([]work{aCommit}, 5)
	outcomes := map[outcome]int{}
	ops, _ := callsOf(t, begin(), todo)
	for n, op := range ops {
		for _, f := range failures[:2] {
			for _, count := range []int{1, forever} {
				if op != intercept.Write && op != intercept.Sync {
					continue
				}
				r := &faultyRun{program: begin(), work: todo, fault: &fault{failure: f, n: n, count: count}, outcomes: outcomes}
				r.rec.SetFault(r.fault.decide)
				if err := r.rec.Run(r.run); err != nil {
					t.Errorf("%v: %v: %v", r.fault, op, err)
				}
				r.remove()
			}
		}
	}
	if t.Log(outcomes); outcomes[refused] == 0 || outcomes[unknown] == 0 {
		t.Errorf("got %v, want refused and unknown ones", outcomes)
	}
}
