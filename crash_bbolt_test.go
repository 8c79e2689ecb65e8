//go:build linux && (amd64 || arm64)

package userdata_test

import (
	"errors"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-5df914be/userdata/internal/intercept"
	"github.com/seed-5df914be/userdata/internal/powercut"
)

// bbolt alone loses data in ways that are known. That these tests see them shows
// that they would see them in a BoltStore too.

// created are files with some commits in them, by engine. They are made once.
var created struct {
	sync.Mutex
	files map[string]createdFile
}

// A createdFile is a database and what it holds.
type createdFile struct {
	bytes []byte
	holds records
}

// programAfter returns a program which finds a database that is durable, with some
// commits in it.
func programAfter(t testing.TB, e engine, seed uint64) *program {
	t.Helper()
	created.Lock()
	defer created.Unlock()
	f, ok := created.files[e.name]
	if !ok {
		p := newProgram(t, e, 7)
		p.run(t, func() error { return p.session(5) })
		f = createdFile{p.rec.Disk().Contents(dbName), p.state}
		if created.files == nil {
			created.files = map[string]createdFile{}
		}
		created.files[e.name] = f
	}
	return programOn(t, e, powercut.NewDisk(powercut.Image{dbName: f.bytes}), history{file: promise{[]records{f.holds}, true}}, seed)
}

// A syncKind says what a sync is for.
type syncKind int

const (
	dataSync syncKind = iota // makes pages durable before a meta page refers to them
	metaSync                 // makes a meta page durable
	nameSync                 // makes names durable
)

// syncKinds returns a function that says what the sync is for that a call makes.
// It has to be told of all calls.
func syncKinds() func(c *intercept.Call) (syncKind, bool) {
	last := dataSync
	return func(c *intercept.Call) (syncKind, bool) {
		if c.Op == intercept.Write {
			last = dataSync
			if c.Offset < 2*4096 {
				last = metaSync
			}
		}
		if c.Op != intercept.Sync {
			return 0, false
		}
		var st unix.Stat_t
		if err := unix.Fstat(c.FD, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			return nameSync, true
		}
		return last, true
	}
}

// pretend makes the syncs of these kinds do nothing and succeed.
func pretend(kinds ...syncKind) func(int, *intercept.Call) powercut.Action {
	kindOf := syncKinds()
	return func(_ int, c *intercept.Call) powercut.Action {
		kind, ok := kindOf(c)
		for _, k := range kinds {
			if ok && k == kind {
				return powercut.Action{Pretend: true}
			}
		}
		return powercut.Action{}
	}
}

// wantLosses inspects a history and fails the test unless there are losses.
func wantLosses(t *testing.T, e engine, h *history, n int) {
	t.Helper()
	in := newInspection(t, e, 1)
	if err := in.look(h, 0, n); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d images, %d losses; first: %v", in.images, in.losses, in.first)
	if in.losses == 0 {
		t.Errorf("got no loss in %d images, want some", in.images)
	}
}

// wantNoLoss inspects a history and fails the test if there is a loss.
func wantNoLoss(t *testing.T, in *inspection, h *history, from, n int) {
	t.Helper()
	if err := in.look(h, from, n); err != nil {
		t.Fatal(err)
	}
	if in.losses > 0 {
		t.Fatalf("got %d losses in %d images, want none; first: %v", in.losses, in.images, in.first)
	}
}

func TestBboltSurvivesPowerCut(t *testing.T) {
	t.Parallel()
	p := programAfter(t, bboltEngine, 1)
	p.run(t, func() error { return p.session(20) })
	in := newInspection(t, bboltEngine, 1)
	wantNoLoss(t, in, p.history(), 0, samples(200, 1000, 20000))
}

func TestBboltLosesWithoutSync(t *testing.T) {
	t.Parallel()
	for name, kinds := range map[string][]syncKind{
		"none of the syncs":    {dataSync, metaSync},
		"no sync of the pages": {dataSync},
		"no sync of the metas": {metaSync},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := programAfter(t, bboltEngine, 1)
			p.rec.SetFault(pretend(kinds...))
			p.run(t, func() error { return p.session(10) })
			wantLosses(t, bboltEngine, p.history(), 300)
		})
	}
}

func TestBboltLosesAtCreation(t *testing.T) {
	t.Parallel()
	p := newProgram(t, bboltEngine, 1)
	p.run(t, func() error { return p.session(3) })
	wantLosses(t, bboltEngine, p.history(), 300)
}

// A failed sync of a meta page leaves one that can be seen and is not durable. Which
// pages bbolt reuses is a matter of chance, so several files are tried.
func TestBboltLosesAfterFailedSync(t *testing.T) {
	t.Parallel()
	in := newInspection(t, bboltEngine, 1)
	cycles := 0
	for seed := range uint64(30) {
		p := programAfter(t, bboltEngine, seed)
		p.rec.SetFault(failMetaSync(5))
		p.run(t, func() error { return bboltGoesOn(p) })
		before := in.losses
		if err := in.look(p.history(), 0, 200); err != nil {
			t.Fatal(err)
		}
		if in.losses > before {
			cycles++
		}
		if cycles == 3 {
			break
		}
	}
	t.Logf("%d images, %d losses in %d files; first: %v", in.images, in.losses, cycles, in.first)
	if in.losses == 0 {
		t.Errorf("got no loss in %d images, want some", in.images)
	}
}

// failMetaSync makes the n-th sync of a meta page fail.
func failMetaSync(n int) func(int, *intercept.Call) powercut.Action {
	kindOf, metas := syncKinds(), 0
	return func(_ int, c *intercept.Call) (a powercut.Action) {
		if kind, ok := kindOf(c); ok && kind == metaSync {
			if metas++; metas == n {
				a.Errno = unix.EIO
			}
		}
		return a
	}
}

// bboltGoesOn commits until that fails, and then goes on.
func bboltGoesOn(p *program) error {
	if err := p.open(); err != nil {
		return err
	}
	if err := p.commits(20); !errors.Is(err, unix.EIO) {
		return errors.Join(errors.New("no commit failed"), err)
	}
	// bbolt said that it failed, yet there it is.
	var err error
	if p.state, err = p.store.read(); err != nil {
		return err
	}
	p.past.steps[len(p.past.steps)-1].outcome = unknown
	return errors.Join(p.commits(10), p.store.Close())
}

// Who is killed between the write and the sync of a meta page leaves one that can be
// seen and is not durable.
func TestBboltLosesAfterKill(t *testing.T) {
	t.Parallel()
	p := programAfter(t, bboltEngine, 1)
	p.run(t, func() error { return p.session(12) })
	losses, all := killEverywhere(t, restart{engine: bboltEngine, run: goOn}, p.history(), samples(500, 2000, 2000))
	t.Logf("%d images, %d losses; first: %v", all.images, len(losses), errors.Join(losses[:min(1, len(losses))]...))
	if len(losses) == 0 {
		t.Errorf("got no loss in %d images, want some", all.images)
	}
}
