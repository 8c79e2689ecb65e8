//go:build linux && (amd64 || arm64)

package userdata_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed-5df914be/userdata"
	"github.com/seed-5df914be/userdata/internal/intercept"
	"github.com/seed-5df914be/userdata/internal/powercut"
)

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
	return programOn(t, e, &powercut.Disk{}, history{file: promise{want: []records{{}}}}, seed)
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

// remove removes the folder before the test ends, so that thousands of runs need no
// more of the disk than one.
func (p *program) remove() { os.RemoveAll(filepath.Dir(p.path)) }

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
	if now, _ := p.history().promises(begin); !anyEqual(all, now.want) {
		return errors.Join(fmt.Errorf("the file holds %s", difference(all, now.want)), s.Close())
	}
	p.store, p.state = s, all
	p.past.steps = append(p.past.steps, step{kind: lookStep, begin: begin, end: p.rec.Len(), want: all})
	return nil
}

// commit makes random changes and keeps what the store says of it, which it
// returns.
func (p *program) commit() error {
	changes, after := randomChanges(p.rng, p.state)
	if p.rng.IntN(5) == 0 {
		changes = append(changes, nothings...)
	}
	return p.apply(changes, after)
}

// apply makes changes that lead to a state, and keeps what the store says of it.
func (p *program) apply(changes []userdata.Change, after records) error {
	begin := p.rec.Len()
	err := p.store.apply(changes)
	p.past.steps = append(p.past.steps, step{begin: begin, end: p.rec.Len(), want: after, outcome: outcomeOf(err)})
	if err == nil {
		p.state = after
	}
	return err
}

// fill commits many entries, some of which take several pages.
func (p *program) fill() error {
	after := maps.Clone(p.state)
	var changes []userdata.Change
	for n := range 400 {
		value := randomValue(p.rng)
		if n%8 == 0 {
			value = bytes.Repeat(value, 1+6000/(len(value)+1))
		}
		key := fmt.Sprintf("%04d", n)
		changes = append(changes, userdata.Change{Bucket: "notes", Key: []byte(key), Value: value})
		after["notes/"+key] = string(value)
	}
	return p.apply(changes, after)
}

// thin deletes most entries.
func (p *program) thin() error {
	after := maps.Clone(p.state)
	var changes []userdata.Change
	for _, name := range slices.Sorted(maps.Keys(p.state)) {
		if bucket, key, _ := strings.Cut(name, "/"); p.rng.IntN(5) > 0 {
			changes = append(changes, userdata.Change{Bucket: bucket, Key: []byte(key)})
			delete(after, name)
		}
	}
	if p.rng.IntN(2) == 0 {
		changes = append(changes, nothings...)
	}
	return p.apply(changes, after)
}

// large makes a commit that syncs twice.
func (p *program) large() error {
	changes, after := randomChanges(p.rng, p.state)
	return p.apply(append(changes, nothings...), after)
}

// cut fills the store, deletes most of it, and closes it, so that the file is cut. It adds to
// at where in the trace that begins.
func (p *program) cut(at *[]int) error {
	if err := errors.Join(p.open(), p.fill(), p.thin()); err != nil {
		return err
	}
	*at = append(*at, p.rec.Len())
	before, err := os.Stat(p.path)
	if err := errors.Join(err, p.store.Close()); err != nil {
		return err
	}
	after, err := os.Stat(p.path)
	if err == nil && after.Size() > before.Size()/2 {
		err = fmt.Errorf("the file has %d bytes when it was closed, and had %d", after.Size(), before.Size())
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

// A maintainer is a store that can be copied and compacted.
type maintainer interface {
	Backup(ctx context.Context, path string) error
	Compact(ctx context.Context) error
}

// backUp copies the store to a file beside it, and keeps what the store says of it.
func (p *program) backUp() error {
	begin := p.rec.Len()
	err := p.store.(maintainer).Backup(context.Background(), filepath.Join(filepath.Dir(p.path), backupName))
	p.past.steps = append(p.past.steps, step{kind: backupStep, begin: begin, end: p.rec.Len(), want: p.state, outcome: outcomeOf(err)})
	return err
}

// compact compacts the store, which changes nothing of what it holds.
func (p *program) compact() error { return p.store.(maintainer).Compact(context.Background()) }

// maintenance opens the store, commits, backs up and compacts, twice over.
func (p *program) maintenance() error {
	if err := p.open(); err != nil {
		return err
	}
	for range 2 {
		for _, do := range []func() error{p.commit, p.commit, p.backUp, p.commit, p.compact, p.commit} {
			if err := do(); err != nil {
				return errors.Join(err, p.store.Close())
			}
		}
	}
	return p.store.Close()
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

// crashBuckets are the buckets that are written to.
var crashBuckets = []string{"links", "notes", "tags"}

// nothings are so many changes that a commit with them is a large one, which syncs
// twice. They are deletions of what is not there.
var nothings = func() (changes []userdata.Change) {
	for n := range 600 {
		changes = append(changes, userdata.Change{Bucket: "void", Key: fmt.Appendf(nil, "%03d", n)})
	}
	return changes
}()

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
