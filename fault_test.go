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

// These tests let each call that a store makes fail in turn, in each way, once, a
// few times, and from then on. What the store says of each commit must be true at
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

// half writes half of what it should.
func half(c *intercept.Call) powercut.Action { return powercut.Action{Short: (len(c.Data) + 1) / 2} }

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
}

// String tells the fault.
func (f fault) String() string { return fmt.Sprintf("call %d, %d times: %s", f.n, f.count, f.name) }

// inject returns the decisions of the fault, until it is over.
func (f fault) inject() func(int, *intercept.Call) powercut.Action {
	seen := 0
	return func(n int, c *intercept.Call) powercut.Action {
		if n < f.n || seen == f.count || f.on != nil && !slices.Contains(f.on, c.Op) {
			return powercut.Action{}
		}
		seen++
		return f.act(seen-1, c)
	}
}

// A faultyRun is a program that meets a fault.
type faultyRun struct {
	*program
	fault    fault
	outcomes map[outcome]int
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
	for range 4 {
		if err := r.commit(); err != nil {
			if err := r.judge(err); err != nil {
				return err
			}
		}
	}
	r.store.Close() // a failure of it changes nothing
	if err := r.reopen(); err != nil {
		return err
	}
	return errors.Join(r.commits(2), r.store.Close())
}

// reopen opens the store when the disk is well again.
func (r *faultyRun) reopen() error {
	r.rec.Fault = nil
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

// judge looks at what a store does after an error of a commit: whether what it
// holds is what it should hold, and whether it goes on or clearly does not.
func (r *faultyRun) judge(failed error) error {
	if err := r.named(failed); err != nil {
		return err
	}
	out := outcomeOf(failed)
	r.outcomes[out]++
	if out == unknown && r.fault.count == 1 {
		return fmt.Errorf("after a single failure the outcome is unknown: %w", failed)
	}
	got, err := r.store.read()
	if want, _ := r.history().allowed(r.rec.Len()); err == nil && !anyEqual(got, want) {
		return fmt.Errorf("after %q the store holds %s", failed, difference(got, want))
	}
	if out == refused && err != nil {
		return fmt.Errorf("reading after %q: %w", failed, err)
	}
	if out != unknown {
		return nil
	}
	changes, _ := randomChanges(r.rng, r.state)
	if err := r.store.apply(changes); !errors.Is(err, userdata.ErrReadOnly) {
		return fmt.Errorf("a commit after one with an unknown outcome: got %v, want ErrReadOnly", err)
	}
	r.store.Close()
	return r.reopen()
}

// callsOf returns the kinds of the calls that a run makes without a fault.
func callsOf(t *testing.T, begin func() *program) (ops []intercept.Op) {
	p := begin()
	p.rec.Fault = func(n int, c *intercept.Call) powercut.Action {
		ops = append(ops, c.Op)
		return powercut.Action{}
	}
	r := &faultyRun{program: p, outcomes: map[outcome]int{}}
	p.run(t, func() error {
		if err := r.open(); err != nil {
			return err
		}
		return errors.Join(r.commits(4), r.store.Close())
	})
	return ops
}

// Each call fails in each way.
func TestFaults(t *testing.T) {
	t.Parallel()
	sum := newTally(t)
	outcomes := map[outcome]int{}
	var mu sync.Mutex
	for name, begin := range map[string]func() *program{
		"new file": func() *program { return newProgram(t, storeEngine, 3) },
		"old file": func() *program { return programAfter(t, storeEngine, 4) },
	} {
		ops := callsOf(t, begin)
		for _, f := range failures {
			t.Run(name+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				runs := 0
				for n, op := range ops {
					if f.on != nil && !slices.Contains(f.on, op) {
						continue
					}
					for _, count := range []int{1, 3, forever} {
						if f.most > 0 {
							count = min(count, f.most)
						}
						r := &faultyRun{begin(), fault{f, n, count}, map[outcome]int{}}
						r.rec.Fault = r.fault.inject()
						err := r.rec.Run(r.run)
						if err != nil {
							t.Errorf("%v: %v (%v): %v", r.fault, op, r.outcomes, err)
							continue
						}
						in := newInspection(t, storeEngine, uint64(n))
						wantNoLoss(t, in, r.history(), 0, samples(3, 12, 100))
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
		t.Logf("%d failed commits were not applied, of %d the outcome is unknown", outcomes[refused], outcomes[unknown])
	})
}
