package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed-5df914be/userdata"
)

// Use after Close is a common mistake and must be an error, not a crash.
func testClosed(t *testing.T, s userdata.Store) {
	apply(t, s, put("a", "1", "x"))
	for range 2 {
		wantError(t, "Close", s.Close(), nil)
		wantError(t, "View", s.View(t.Context(), func(userdata.Snapshot) error { t.Error("View ran its function"); return nil }), userdata.ErrClosed)
		wantError(t, "Apply", try(t.Context(), s, put("a", "1", "y")), userdata.ErrClosed)
		wantError(t, "Apply of nothing", try(t.Context(), s), userdata.ErrClosed)
	}
}

// A Close that does not wait takes the memory away from under a reader.
func testCloseWaits(t *testing.T, s userdata.Store) {
	apply(t, s, many(500)...)
	var finished atomic.Bool
	closed := make(chan error, 1)
	view(t, s, func(snap userdata.Snapshot) {
		started := make(chan struct{})
		go func() {
			close(started)
			err := s.Close()
			if !finished.Load() {
				err = errors.Join(err, errors.New("it returned while a View was under way"))
			}
			closed <- err
		}()
		<-started
		for range 500 { // long enough for a Close that does not wait
			runtime.Gosched()
			if n := len(scan(t, snap, "many", userdata.Range{})); n != 500 {
				t.Fatalf("Scan during Close: got %d entries, want 500", n)
			}
		}
		finished.Store(true)
	})
	wantError(t, "Close", <-closed, nil)
}

// A program ends while its goroutines still work: each call works or says ErrClosed.
func testCloseWhileBusy(t *testing.T, s userdata.Store) {
	const workers = 6
	var wg sync.WaitGroup
	busy := make(chan struct{}, workers)
	for w := range workers {
		wg.Go(func() {
			for i := 0; ; i++ {
				if i == 3 {
					busy <- struct{}{}
				}
				var err error
				if w%2 == 0 {
					err = s.View(t.Context(), func(snap userdata.Snapshot) error {
						return snap.Scan("a", userdata.Range{}, func(_, _ []byte) bool { return true })
					})
				} else {
					err = try(t.Context(), s, put("a", fmt.Sprint(w), fmt.Sprint(i)))
				}
				if errors.Is(err, userdata.ErrClosed) {
					return
				} else if err != nil {
					t.Errorf("a call during Close: got %v, want nil or ErrClosed", err)
					return
				}
			}
		})
	}
	for range workers {
		<-busy
	}
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(func() { wantError(t, "Close", s.Close(), nil) })
	}
	closers.Wait()
	wg.Wait()
}

// Who cancels before the work has begun must be able to rely on nothing being done.
func testCancelled(t *testing.T, s userdata.Store) {
	apply(t, s, put("a", "1", "x"))
	before := state(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantError(t, "Apply", try(ctx, s, put("a", "1", "y")), context.Canceled)
	wantError(t, "View", s.View(ctx, func(userdata.Snapshot) error { t.Error("View ran its function"); return nil }), context.Canceled)
	late, stop := context.WithTimeout(t.Context(), 0)
	defer stop()
	wantError(t, "Apply with a deadline", try(late, s, put("a", "1", "y")), context.DeadlineExceeded)
	wantEqual(t, "after cancelled calls", state(t, s), before)
}

// Who cancels while others write must know what became of it: after the
// context's error nothing is applied, after nil everything is.
func testCancelWhileBusy(t *testing.T, s userdata.Store) {
	const workers = 8
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	busy := make(chan struct{}, workers)
	last := make([]string, workers)
	for w := range workers {
		wg.Go(func() {
			for i := 0; ; i++ {
				value := fmt.Sprint(i)
				if err := try(ctx, s, put("a", fmt.Sprint(w), value)); err != nil {
					wantError(t, "Apply", err, context.Canceled)
					return
				}
				last[w] = fmt.Sprintf("%q", value)
				if i == 3 {
					busy <- struct{}{}
				}
			}
		})
	}
	for range workers {
		<-busy
	}
	cancel()
	wg.Wait()
	view(t, s, func(snap userdata.Snapshot) {
		for w := range workers {
			if got := get(t, snap, "a", fmt.Sprint(w)); got != last[w] {
				t.Errorf("worker %d: got %s, want %s, the last that Apply said was applied", w, got, last[w])
			}
		}
	})
}

// The error of a View is its caller's own and may be compared with ==.
func testViewError(t *testing.T, s userdata.Store) {
	mine := errors.New("mine")
	if err := s.View(t.Context(), func(userdata.Snapshot) error { return mine }); err != mine {
		t.Errorf("View: got %v, want the function's error itself", err)
	}
	apply(t, s, put("a", "1", "x"))
}

// A panic that is recovered further up must not leave a snapshot open, which would block Close.
func testViewPanic(t *testing.T, s userdata.Store) {
	apply(t, s, put("a", "1", "x"))
	func() {
		defer func() {
			if got := recover(); got != "mine" {
				t.Errorf("recover: got %v, want the function's panic", got)
			}
		}()
		_ = s.View(t.Context(), func(userdata.Snapshot) error { panic("mine") })
	}()
	apply(t, s, put("a", "1", "y"))
}

// No lost update: of commits that read the same value, one succeeds.
func testNoLostUpdate(t *testing.T, s userdata.Store) {
	const workers, each = 8, 25
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				if err := increment(t.Context(), s); err != nil {
					t.Errorf("increment: got %v, want nil", err)
					return
				}
			}
		})
	}
	wg.Wait()
	view(t, s, func(snap userdata.Snapshot) {
		if got, want := get(t, snap, "a", "counter"), fmt.Sprintf(`"%d"`, workers*each); got != want {
			t.Errorf("a counter after %d increments: got %s, want %s", workers*each, got, want)
		}
	})
}

// increment adds one to a counter, as often as it takes to meet no conflict.
func increment(ctx context.Context, s userdata.Store) error {
	for {
		c := free(put("a", "counter", "1"))
		err := s.View(ctx, func(snap userdata.Snapshot) error {
			value, err := snap.Get("a", c.Key)
			if value != nil {
				var n int
				fmt.Sscan(string(value), &n)
				c = over(put("a", "counter", fmt.Sprint(n+1)), string(value))
			}
			return err
		})
		if err != nil {
			return err
		}
		runtime.Gosched() // let others read the same value
		if err = try(ctx, s, c); !errors.Is(err, userdata.ErrConflict) {
			return err
		}
	}
}

// A reader must never see one half of a commit, nor an older state after a newer one.
func testNoHalfRead(t *testing.T, s userdata.Store) {
	apply(t, s, put("a", "x", "0-0"), put("b", "x", "0-0"))
	var writers, readers, ready sync.WaitGroup
	var done atomic.Bool
	ready.Add(4)
	for range 4 {
		readers.Go(func() {
			ready.Done()
			for last := uint64(0); !done.Load(); {
				err := s.View(t.Context(), func(snap userdata.Snapshot) error {
					a, errA := snap.Get("a", []byte("x"))
					runtime.Gosched()
					b, errB := snap.Get("b", []byte("x"))
					if !bytes.Equal(a, b) || snap.Version() < last {
						return fmt.Errorf("%q and %q at version %d after %d", a, b, snap.Version(), last)
					}
					last = snap.Version()
					return errors.Join(errA, errB)
				})
				if err != nil {
					t.Errorf("two keys that are always written together: %v", err)
					return
				}
			}
		})
	}
	ready.Wait()
	for w := range 2 {
		writers.Go(func() {
			for i := range 60 {
				v := fmt.Sprintf("%d-%d", w, i)
				wantError(t, "Apply", try(t.Context(), s, put("a", "x", v), put("b", "x", v)), nil)
				runtime.Gosched()
			}
		})
	}
	writers.Wait()
	done.Store(true)
	readers.Wait()
}
