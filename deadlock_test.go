package userdata_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-5df914be/userdata"
)

// A mixRecord makes a file grow.
type mixRecord struct {
	ID   string `userdata:"id,key"`
	N    int    `userdata:"n,index"`
	Body []byte `userdata:"body"`
}

var mixRecords = userdata.NewTable[mixRecord]("mixed")

// large is what a record holds that the file must grow for: with little address
// space it is mapped anew for that.
const large = 3 << 20

// patient is how long a store of these tests waits for a View that is in its way.
const patient = 50 * time.Millisecond

// watchdog ends the process, with the stacks of all goroutines and what doing
// returns, if the test takes longer than anything here may, which is long.
func watchdog(t testing.TB, doing func() string) {
	t.Helper()
	timer := time.AfterFunc(2*time.Minute, func() {
		buf := make([]byte, 1<<20)
		panic(fmt.Sprintf("%s hangs: %s\n%s", t.Name(), doing(), buf[:runtime.Stack(buf, true)]))
	})
	t.Cleanup(func() { timer.Stop() })
}

// A mixer is a database whose calls are mixed.
type mixer struct {
	*userdata.DB
	t    *testing.T
	path string // "" in memory
}

// newMixer returns a database with 200 records.
func newMixer(t *testing.T, inMemory bool) *mixer {
	t.Helper()
	m := &mixer{t: t}
	var store userdata.Store = userdata.NewMemStore()
	if !inMemory {
		m.path = filepath.Join(t.TempDir(), "mix.db")
		store = openBoltFile(t, m.path, &userdata.Options{LockTimeout: patient})
	}
	m.DB = openOn(t, store, mixRecords)
	var all []any
	for i := range 200 {
		all = append(all, &mixRecord{ID: fmt.Sprintf("%03d", i), N: i})
	}
	putAll(t, m.DB, all...)
	return m
}

// view runs fn in a View.
func (m *mixer) view(fn func(s *userdata.Session) error) error { return m.View(m.t.Context(), fn) }

// put commits a record of n bytes in a session of its own.
func (m *mixer) put(id string, n int) error {
	return m.Transact(m.t.Context(), func(s *userdata.Session) error {
		b, err := mixRecords.Get(m.t.Context(), s, id)
		if errors.Is(err, userdata.ErrNotFound) {
			return s.Add(&mixRecord{ID: id, Body: make([]byte, n)})
		}
		if err == nil {
			b.N, b.Body = b.N+1, make([]byte, n)
		}
		return err
	})
}

// rows calls fn at some of the records.
func (m *mixer) rows(s *userdata.Session, fn func(b *mixRecord) error) error {
	n := 0
	for b, err := range mixRecords.Select(s).Rows(m.t.Context()) {
		if err != nil {
			return err
		}
		if n++; n%50 == 1 {
			if err := fn(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// inTheMiddle runs fn in a View, and tells when that is under way: other then runs
// in another goroutine, whose error comes second.
func (m *mixer) inTheMiddle(fn func(s *userdata.Session, otherIsDone <-chan struct{}) error, other func() error) (err, otherErr error) {
	inside, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		<-inside
		otherErr = other()
	}()
	err = m.view(func(s *userdata.Session) error {
		close(inside)
		return fn(s, done)
	})
	<-done
	return err, otherErr
}

// mayLock is for what a store in a file may refuse because a View is in its way,
// but need not. With little address space that may be a short one, of a session,
// that is not run for so long.
var mayLock = []error{nil, userdata.ErrLocked}

// mixes are combinations of calls. Each returns one error for what it tries, which
// must be one of those that it may be.
var mixes = map[string]struct {
	run func(m *mixer) error
	may []error // none stands for nil alone
}{
	"commit in Rows": {run: func(m *mixer) error {
		s := m.NewSession()
		return m.rows(s, func(b *mixRecord) error { b.N++; return s.Commit(m.t.Context()) })
	}},
	"commit of another session in Rows": {run: func(m *mixer) error {
		return m.rows(m.NewSession(), func(b *mixRecord) error { return m.put(b.ID, 10) })
	}},
	"large commits in Rows": {run: func(m *mixer) error {
		return m.rows(m.NewSession(), func(b *mixRecord) error { return m.put(b.ID+"x", large) })
	}},
	"Rows in Rows in Rows": {run: func(m *mixer) error {
		s := m.NewSession()
		return m.rows(s, func(*mixRecord) error {
			return m.rows(s, func(*mixRecord) error {
				return m.rows(m.NewSession(), func(b *mixRecord) error { return m.put(b.ID, 1) })
			})
		})
	}},
	"two sessions, one record": {may: []error{userdata.ErrConflict}, run: func(m *mixer) error {
		a, b := m.NewSession(), m.NewSession()
		for i, s := range []*userdata.Session{a, b} {
			r, err := mixRecords.Get(m.t.Context(), s, "000")
			if err != nil {
				return err
			}
			r.N = 1000 + i
		}
		return errors.Join(a.Commit(m.t.Context()), b.Commit(m.t.Context()))
	}},
	"View in Transact": {run: func(m *mixer) error {
		return m.Transact(m.t.Context(), func(*userdata.Session) error {
			return m.view(func(s *userdata.Session) error { return m.rows(s, func(*mixRecord) error { return nil }) })
		})
	}},
	"Transact in Transact": {run: func(m *mixer) error {
		return m.Transact(m.t.Context(), func(s *userdata.Session) error {
			return errors.Join(m.put("a", 10), m.put("b", large), s.Add(&mixRecord{ID: "c"}))
		})
	}},
	"Transact in Transact, one record": {may: []error{userdata.ErrConflict}, run: func(m *mixer) error {
		return m.Transact(m.t.Context(), func(s *userdata.Session) error {
			b, err := mixRecords.Get(m.t.Context(), s, "000")
			if err == nil {
				b.Body = []byte("mine")
			}
			return errors.Join(err, m.put("000", 10))
		})
	}},
	"View in View": {run: func(m *mixer) error {
		return m.view(func(*userdata.Session) error { return m.view(func(*userdata.Session) error { return nil }) })
	}},
	"Transact in View": {may: mayLock, run: func(m *mixer) error {
		return m.view(func(*userdata.Session) error { return m.put("a", 10) })
	}},
	"large Transact in View": {may: mayLock, run: func(m *mixer) error {
		return m.view(func(*userdata.Session) error { return errors.Join(m.put("a", large), m.put("b", large)) })
	}},
	"large Transact in View in Transact in View": {may: mayLock, run: func(m *mixer) error {
		return m.view(func(*userdata.Session) error {
			return m.Transact(m.t.Context(), func(*userdata.Session) error {
				return m.view(func(*userdata.Session) error { return m.put("a", large) })
			})
		})
	}},
	"large commit while another reads, and reads within its View": {may: mayLock, run: func(m *mixer) error {
		err, other := m.inTheMiddle(func(s *userdata.Session, done <-chan struct{}) error {
			for {
				err := m.view(func(s *userdata.Session) error { return m.rows(s, func(*mixRecord) error { return nil }) })
				if err != nil {
					return err
				}
				select {
				case <-done:
					return nil
				default:
				}
			}
		}, func() error { return m.put("a", large) })
		return errors.Join(err, other)
	}},
	"large commit while another waits for it in a View": {may: mayLock, run: func(m *mixer) error {
		err, other := m.inTheMiddle(func(_ *userdata.Session, done <-chan struct{}) error { <-done; return nil },
			func() error { return m.put("a", large) })
		return errors.Join(err, other)
	}},
	"commits of many while one is in a View": {may: mayLock, run: func(m *mixer) error {
		err, other := m.inTheMiddle(func(_ *userdata.Session, done <-chan struct{}) error { <-done; return nil },
			func() error { return m.together(20, func(i int) error { return m.put(fmt.Sprint("g", i), large/4) }) })
		return errors.Join(err, other)
	}},
	"large commits of many": {may: mayLock, run: func(m *mixer) error { // more than one transaction takes
		return m.together(40, func(i int) error { return m.put(fmt.Sprint("g", i), 1<<20) })
	}},
	"small commits of very many": {may: mayLock, run: func(m *mixer) error { // likewise
		return m.together(3000, func(i int) error { return m.put(fmt.Sprint("g", i), 1) })
	}},
	"Close during commits": {may: []error{nil, userdata.ErrClosed}, run: func(m *mixer) error {
		return m.together(20, func(i int) error {
			if i == 10 {
				return m.Close()
			}
			return m.put(fmt.Sprint("g", i), 1000)
		})
	}},
	"Close during Rows": {may: []error{userdata.ErrClosed}, run: func(m *mixer) error {
		return m.rows(m.NewSession(), func(*mixRecord) error { return m.Close() })
	}},
	"Close in Transact": {may: []error{userdata.ErrClosed}, run: func(m *mixer) error {
		return m.Transact(m.t.Context(), func(s *userdata.Session) error { return errors.Join(m.Close(), s.Add(&mixRecord{ID: "a"})) })
	}},
	"Close during a View that reads on": {may: []error{nil, userdata.ErrClosed, userdata.ErrLocked}, run: func(m *mixer) error {
		err, other := m.inTheMiddle(func(s *userdata.Session, done <-chan struct{}) error {
			for i := 0; i < 10; i++ {
				if err := m.rows(s, func(*mixRecord) error { return nil }); err != nil {
					return err
				}
				if err := m.view(func(*userdata.Session) error { return nil }); err != nil {
					return err // ErrClosed, as a Transact here would be
				}
			}
			return nil
		}, m.Close)
		return errors.Join(err, other)
	}},
	"Close, Close":  {run: func(m *mixer) error { return errors.Join(m.Close(), m.Close()) }},
	"Close by many": {run: func(m *mixer) error { return m.together(8, func(int) error { return m.Close() }) }},
	"the context ends while commits wait": {may: []error{context.Canceled}, run: func(m *mixer) error {
		ctx, cancel := context.WithCancel(m.t.Context())
		return m.together(30, func(i int) error {
			if i == 15 {
				cancel()
			}
			s := m.NewSession()
			return errors.Join(s.Add(&mixRecord{ID: fmt.Sprint("g", i), Body: make([]byte, large/8)}), s.Commit(ctx))
		})
	}},
	"panics in View and Transact": {run: func(m *mixer) error {
		for _, fn := range []func(){
			func() { m.view(func(*userdata.Session) error { panic("view") }) },
			func() { m.Transact(m.t.Context(), func(*userdata.Session) error { panic("transact") }) },
			func() { m.rows(m.NewSession(), func(*mixRecord) error { panic("rows") }) },
		} {
			func() {
				defer func() { recover() }()
				fn()
			}()
			if err := m.put("a", large); err != nil {
				return err
			}
		}
		return m.Close()
	}},
	"Goexit in View and Transact": {run: func(m *mixer) error {
		for _, fn := range []func(){
			func() { m.view(func(*userdata.Session) error { runtime.Goexit(); return nil }) },
			func() {
				m.Transact(m.t.Context(), func(*userdata.Session) error { runtime.Goexit(); return nil })
			},
			func() { m.rows(m.NewSession(), func(*mixRecord) error { runtime.Goexit(); return nil }) },
		} {
			done := make(chan struct{})
			go func() { defer close(done); fn() }()
			<-done
			if err := m.put("a", large); err != nil {
				return err
			}
		}
		return m.Close()
	}},
	"calls in a Scan": {may: mayLock, run: func(m *mixer) error {
		return m.Store().View(m.t.Context(), func(snap userdata.Snapshot) (err error) {
			scanning := snap.Scan("mixed", userdata.Range{}, func(key, _ []byte) bool {
				_, getting := snap.Get("mixed", key)
				err = errors.Join(err, getting, m.put("a", 10), m.view(func(*userdata.Session) error { return nil }))
				return err == nil
			})
			return errors.Join(err, scanning)
		})
	}},
}

// inFileOnly are mixes that MemStore is not made for.
var inFileOnly = map[string]struct {
	run func(m *mixer) error
	may []error
}{
	"Close in View": {may: []error{userdata.ErrLocked}, run: func(m *mixer) error {
		return m.view(func(*userdata.Session) error { return m.Close() })
	}},
	"Open in View": {may: []error{userdata.ErrLocked}, run: func(m *mixer) error {
		return m.view(func(*userdata.Session) error {
			_, err := userdata.Open(m.path, &userdata.Options{LockTimeout: patient}, mixRecords)
			return err
		})
	}},
	"Open, ReadOnly, in Rows": {may: []error{userdata.ErrLocked}, run: func(m *mixer) error {
		return m.rows(m.NewSession(), func(*mixRecord) error {
			_, err := userdata.Open(m.path, &userdata.Options{LockTimeout: patient, ReadOnly: true}, mixRecords)
			return err
		})
	}},
}

// together runs fn in n goroutines and joins their errors.
func (m *mixer) together(n int, fn func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// isOneOf reports whether each error that is joined in err is one of them.
func isOneOf(err error, may []error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok && strings.Contains(err.Error(), "\n") {
		for _, err := range joined.Unwrap() {
			if !isOneOf(err, may) {
				return false
			}
		}
		return true
	}
	for _, want := range may {
		if errors.Is(err, want) {
			return true
		}
	}
	return len(may) == 0 && err == nil
}

// No order of calls waits for ever: not from one goroutine, and not from several.
func TestNoDeadlock(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, name string, inMemory bool, fn func(*mixer) error, may []error) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			watchdog(t, func() string { return "" })
			m := newMixer(t, inMemory)
			if err := fn(m); !isOneOf(err, may) {
				t.Errorf("got %v, want one of %v", err, may)
			}
			if err := m.Close(); err != nil {
				t.Errorf("Close: got %v, want nil", err)
			}
		})
	}
	for name, mix := range mixes {
		run(t, "MemStore/"+name, true, mix.run, mix.may)
		run(t, "BoltStore/"+name, false, mix.run, mix.may)
	}
	for name, mix := range inFileOnly {
		run(t, "BoltStore/"+name, false, mix.run, mix.may)
	}
}

// littleEnv tells a child process that it has little address space.
const littleEnv = "USERDATA_TEST_LITTLE"

// The same where a file that grows must be mapped anew, which readers are in the
// way of: in a process that has little address space.
func TestNoDeadlockLittleAddressSpace(t *testing.T) {
	withLittleSpace(t, 3_500_000, littleEnv+"=1", "-test.run=^Test(MapsAnew|NoDeadlock(Generated)?)$", "-test.parallel=4")
}

// withLittleSpace runs tests in a process that may have so many kilobytes of addresses, besides those
// that it begins with.
func withLittleSpace(t *testing.T, kilobytes int, env string, args ...string) {
	t.Helper()
	if runtime.GOOS != "linux" || ^uint(0)>>32 == 0 {
		t.Skip("the limit is set the Linux way, and the large mapping is made with 64-bit addresses")
	}
	t.Parallel()
	script := `size=$(env ` + littleEnv + `=size "$0" -test.run='^TestMapsAnew$' | sed -n 's/^VmSize:[^0-9]*\([0-9]*\).*/\1/p'); ulimit -v $((size + ` + fmt.Sprint(kilobytes) + `)); exec "$0" "$@"`
	cmd := exec.Command("sh", append([]string{"-c", script, os.Args[0], "-test.count=1"}, args...)...)
	cmd.Env = append(os.Environ(), env)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("with little address space: %v\n%s", err, out)
	}
}

// TestMapsAnew makes sure that the test above does what it says: there the mapping
// is small.
func TestMapsAnew(t *testing.T) {
	switch os.Getenv(littleEnv) {
	case "":
		t.Skip("only in a process with little address space")
	case "size": // of a process that has nothing mapped yet
		status, err := os.ReadFile("/proc/self/status")
		ok(t, err)
		os.Stdout.Write(status)
		return
	}
	var log strings.Builder
	store := openBoltFile(t, filepath.Join(t.TempDir(), "a.db"), &userdata.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	put(t, store, "a", "1", "x")
	if !strings.Contains(log.String(), "mapping") {
		t.Errorf("the log has %q, want that the mapping is small", log.String())
	}
}

// A heldContext stops whoever asks for its Done channel until let is closed.
type heldContext struct {
	context.Context
	asked, let chan struct{}
	once       sync.Once
}

func (c *heldContext) Done() <-chan struct{} {
	c.once.Do(func() { close(c.asked) })
	<-c.let
	return c.Context.Done()
}

// A commit that gets its turn before one that queued earlier, which is too large
// for both to be in one transaction, does not wait for itself.
func TestOvertakingCommit(t *testing.T) {
	t.Parallel()
	watchdog(t, func() string { return "" })
	store := openBolt(t)
	apply := func(ctx context.Context, key string) error {
		return store.Apply(ctx, &userdata.ChangeSet{Changes: []userdata.Change{{Bucket: "b", Key: []byte(key), Value: make([]byte, 20<<20)}}})
	}
	held := &heldContext{Context: t.Context(), asked: make(chan struct{}), let: make(chan struct{})}
	first := make(chan error, 1)
	go func() { first <- apply(held, "first") }()
	<-held.asked // it is in the queue, but does not wait for its turn yet
	ok(t, apply(t.Context(), "second"))
	close(held.let)
	ok(t, <-first)
}

// A mixStep is one step of a generated program, with those that run inside it.
type mixStep struct {
	Verb   string
	Key    string
	Inside []mixStep
}

// String prints a program.
func (m mixStep) String() string {
	if len(m.Inside) == 0 {
		return m.Verb + " " + m.Key
	}
	return fmt.Sprintf("%s %s%v", m.Verb, m.Key, m.Inside)
}

// mixVerbs are the steps, those with others inside first.
var mixVerbs = []string{"view", "transact", "rows", "query", "put", "put large", "session", "commit", "close"}

// drawSteps draws a program of nested steps.
func drawSteps(t *rapid.T, depth int) (steps []mixStep) {
	for range rapid.IntRange(1, 4).Draw(t, "steps") {
		verbs := mixVerbs
		if depth == 0 {
			verbs = mixVerbs[3:]
		}
		step := mixStep{Verb: rapid.SampledFrom(verbs).Draw(t, "verb"), Key: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key")}
		if depth > 0 && (step.Verb == "view" || step.Verb == "transact" || step.Verb == "rows") {
			step.Inside = drawSteps(t, depth-1)
		}
		steps = append(steps, step)
	}
	return steps
}

// A mixRun runs programs.
type mixRun struct {
	*mixer
	budget atomic.Int64 // steps that are still run: a Transact that meets conflicts runs its own again
}

var errBudget = errors.New("enough")

// steps runs the steps with a session. A View's session tells them that they are
// in one.
func (r *mixRun) steps(s *userdata.Session, inView bool, steps []mixStep) error {
	for _, step := range steps {
		if r.budget.Add(-1) < 0 {
			return errBudget
		}
		if err := r.step(s, inView, step); !mixMay(err) {
			return err
		} else if errors.Is(err, userdata.ErrConflict) && step.Verb == "rows" {
			return err
		}
	}
	return nil
}

// mixMay reports whether a step may end so.
func mixMay(err error) bool {
	return isOneOf(err, []error{nil, userdata.ErrLocked, userdata.ErrConflict, userdata.ErrClosed, userdata.ErrInvalid, userdata.ErrReadOnly, userdata.ErrNotFound, userdata.ErrExists})
}

// step runs one step.
func (r *mixRun) step(s *userdata.Session, inView bool, step mixStep) error {
	ctx := r.t.Context()
	switch step.Verb {
	case "view":
		return r.view(func(s *userdata.Session) error { return r.steps(s, true, step.Inside) })
	case "transact":
		return r.Transact(ctx, func(s *userdata.Session) error { return r.steps(s, inView, step.Inside) })
	case "rows":
		return r.rows(s, func(*mixRecord) error { return r.steps(s, inView, step.Inside) })
	case "query":
		_, err := mixRecords.Select(s).Count(ctx)
		return err
	case "put":
		return r.put(step.Key, 10)
	case "put large":
		return r.put(step.Key, large/8)
	case "session":
		b, err := mixRecords.Get(ctx, s, step.Key)
		if err == nil {
			b.N++
		} else if errors.Is(err, userdata.ErrNotFound) {
			err = s.Add(&mixRecord{ID: step.Key})
		}
		return err
	case "commit":
		return s.Commit(ctx)
	case "close":
		if inView {
			return nil // it would wait for the View: for ever in memory, for seconds in a file
		}
		return r.Close()
	}
	panic(step.Verb)
}

// Generated programs of nested calls end, on one goroutine and on three.
func TestNoDeadlockGenerated(t *testing.T) {
	t.Parallel()
	var doing atomic.Pointer[string]
	watchdog(t, func() string { return *doing.Load() })
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		var programs [][]mixStep
		for range rapid.SampledFrom([]int{1, 3}).Draw(rt, "goroutines") {
			programs = append(programs, drawSteps(rt, 3))
		}
		r, inMemory := &mixRun{}, rapid.Bool().Draw(rt, "in memory")
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			what := fmt.Sprintf("in memory: %v, %v", inMemory, programs)
			doing.Store(&what)
			r.mixer = newMixer(t, inMemory)
			r.budget.Store(60)
			err := r.together(len(programs), func(i int) error { return r.steps(r.NewSession(), false, programs[i]) })
			if !mixMay(err) && !errors.Is(err, errBudget) {
				t.Errorf("%s: %v", what, err)
			}
			if err := r.Close(); err != nil {
				t.Errorf("%s: Close: %v", what, err)
			}
		})
		if t.Failed() {
			rt.FailNow()
		}
	})
}
