//go:build linux && (amd64 || arm64)

package userdata_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed-5df914be/userdata"
	"github.com/seed-5df914be/userdata/internal/intercept"
	"github.com/seed-5df914be/userdata/internal/powercut"
)

// An outcome is what a store said of a commit.
type outcome uint8

const (
	applied outcome = iota
	refused         // an error, other than that of an unknown outcome
	unknown
)

// outcomeOf reads it from the error of a commit.
func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return applied
	case errors.Is(err, userdata.ErrUnknownOutcome):
		return unknown
	}
	return refused
}

// A step is something that a program did with a store, and knows the outcome of.
type step struct {
	begin, end int     // the operations recorded before it, and when it returned
	want       records // what it should leave; for a look, what it saw
	look       bool    // it opened the store and read everything, rather than commit
	outcome    outcome // of a commit
}

// A history is what a program did, and what of it reached the disk.
type history struct {
	trace  powercut.Trace
	steps  []step
	before []records // what it may have found at the beginning
	exists bool      // whether there was a file then
}

// allowed returns the contents that may be found after a power cut at the given
// place of the trace, and whether there must be a file.
func (h *history) allowed(at int) (want []records, exists bool) {
	want, exists = h.before, h.exists
	for _, s := range h.steps {
		switch {
		case s.begin >= at && s.end > at:
			return want, exists
		case s.end > at && s.look:
			return want, exists
		case s.end > at: // it is under way
			return append(slices.Clone(want), s.want), exists
		case s.look:
			want, exists = []records{s.want}, true
		case s.outcome == applied:
			want = []records{s.want}
		case s.outcome == unknown:
			want = append(slices.Clone(want), s.want)
		}
	}
	return want, exists
}

// A program uses a store in a recorded folder and keeps its history.
type program struct {
	engine engine
	path   string
	rng    *rand.Rand
	rec    *powercut.Recorder
	store  engineStore
	state  records // what the store should hold
	past   history // without the trace
}

// newProgram returns one that begins in an empty folder.
func newProgram(t testing.TB, e engine, seed uint64) *program {
	t.Helper()
	return programOn(t, e, &powercut.Disk{}, history{before: []records{{}}}, seed)
}

// programOn returns one that begins with what processes see on the disk, which
// the past led to.
func programOn(t testing.TB, e engine, d *powercut.Disk, past history, seed uint64) *program {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	rec, err := powercut.NewRecorder(dir, d)
	if err != nil {
		t.Fatal(err)
	}
	return &program{engine: e, path: filepath.Join(dir, dbName), rng: rand.New(rand.NewPCG(seed, 0)), rec: rec, past: past}
}

// run runs fn with the recorder. The test fails if fn does.
func (p *program) run(t testing.TB, fn func() error) {
	t.Helper()
	err := p.rec.Run(fn)
	if errors.Is(err, intercept.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// open opens the store and takes what it holds for the state. It is an error if
// that is not what it should hold.
func (p *program) open() error {
	begin := p.rec.Len()
	s, err := p.engine.open(p.path)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	all, err := s.read()
	if err != nil {
		return errors.Join(fmt.Errorf("read: %w", err), s.Close())
	}
	if want, _ := p.history().allowed(begin); !anyEqual(all, want) {
		return errors.Join(fmt.Errorf("the file holds %s", difference(all, want)), s.Close())
	}
	p.store, p.state = s, all
	p.past.steps = append(p.past.steps, step{begin: begin, end: p.rec.Len(), want: all, look: true})
	return nil
}

// commit makes random changes and keeps what the store says of it, which it
// returns.
func (p *program) commit() error {
	begin := p.rec.Len()
	changes, after := randomChanges(p.rng, p.state)
	err := p.store.apply(changes)
	p.past.steps = append(p.past.steps, step{begin: begin, end: p.rec.Len(), want: after, outcome: outcomeOf(err)})
	if err == nil {
		p.state = after
	}
	return err
}

// commits makes n commits, which should all succeed.
func (p *program) commits(n int) error {
	for range n {
		if err := p.commit(); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
	return nil
}

// history returns what happened so far.
func (p *program) history() *history {
	h := p.past
	h.trace = p.rec.Trace()
	return &h
}

// session opens the store, makes n commits, and closes it.
func (p *program) session(n int) error {
	if err := p.open(); err != nil {
		return err
	}
	if err := p.commits(n); err != nil {
		return errors.Join(err, p.store.Close())
	}
	return p.store.Close()
}

// killedAt returns the disk, and what is known of it, if the program is killed
// before the given operation of its history. If that is a write, part of it may be
// done already.
func (h *history) killedAt(at int, rng *rand.Rand) (*powercut.Disk, history) {
	var d *powercut.Disk
	for i, disk := range h.trace.Disks() {
		if i == at {
			d = disk
			break
		}
	}
	if at < len(h.trace.Ops) {
		if op := h.trace.Ops[at]; op.Kind == powercut.Write && rng.IntN(2) == 0 {
			op.Data = op.Data[:rng.IntN(len(op.Data)+1)&^4095]
			d.Apply(op)
			at++ // a part of the next operation is there
		}
	}
	want, exists := h.allowed(at)
	return d, history{before: want, exists: exists}
}

// crashBuckets are the buckets that are written to.
var crashBuckets = []string{"links", "notes", "tags"}

// randomChanges makes up changes for a store that holds state, and what it holds
// then: inserts, updates and deletes in several buckets, and now and then values
// that take many pages.
func randomChanges(rng *rand.Rand, state records) ([]userdata.Change, records) {
	after := maps.Clone(state)
	n := 1 + rng.IntN(4)
	if rng.IntN(8) == 0 {
		n = 30
	}
	held := slices.Sorted(maps.Keys(state))
	chosen := map[string]bool{}
	var changes []userdata.Change
	for range n {
		name := fmt.Sprintf("%s/%04d", crashBuckets[rng.IntN(3)], rng.IntN(300))
		remove := len(held) > 0 && rng.IntN(3) == 0
		if remove {
			name = held[rng.IntN(len(held))]
		}
		if chosen[name] {
			continue
		}
		chosen[name] = true
		bucket, key, _ := strings.Cut(name, "/")
		ch := userdata.Change{Bucket: bucket, Key: []byte(key)}
		if remove {
			delete(after, name)
		} else {
			ch.Value = randomValue(rng)
			after[name] = string(ch.Value)
		}
		changes = append(changes, ch)
	}
	slices.SortFunc(changes, func(a, b userdata.Change) int {
		return cmp.Or(cmp.Compare(a.Bucket, b.Bucket), bytes.Compare(a.Key, b.Key))
	})
	return changes, after
}

// randomValue makes up a value, mostly a small one.
func randomValue(rng *rand.Rand) []byte {
	size := rng.IntN(120)
	switch rng.IntN(40) {
	case 0:
		size = 30000
	case 1, 2:
		size = 5000
	}
	value := make([]byte, size)
	for i := range value {
		value[i] = byte(rng.Uint32())
	}
	return value
}
