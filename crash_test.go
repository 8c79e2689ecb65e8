//go:build linux && (amd64 || arm64)

package userdata_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-5df914be/userdata/internal/intercept"
	"github.com/seed-5df914be/userdata/internal/powercut"
)

// These tests cut the power. Package powercut says what a disk may do then, and
// crash_bbolt_test.go shows that such tests find losses where there are any.

// A tally adds up what several inspections saw.
type tally struct {
	mu     sync.Mutex
	images int
	took   time.Duration // of all, which run side by side
}

// newTally logs the sum when the test ends.
func newTally(t *testing.T) *tally {
	sum := &tally{}
	t.Cleanup(func() {
		t.Logf("%d images, %.0f a second on each of the threads", sum.images, float64(sum.images)/sum.took.Seconds())
	})
	return sum
}

// add adds what an inspection saw.
func (s *tally) add(in *inspection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.images += in.images
	s.took += in.took
}

// Whatever a power cut leaves of random workloads: each commit that returned is
// there, the one under way is there in full or not at all, and the file is sound.
func TestCrashImages(t *testing.T) {
	t.Parallel()
	const each = 2000
	sum := newTally(t)
	for seed := range samples(1, 16, 520) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			p := newProgram(t, storeEngine, uint64(seed))
			p.run(t, func() error { return errors.Join(p.session(25), p.session(10)) })
			in := newInspection(t, storeEngine, uint64(seed))
			wantNoLoss(t, in, p.history(), 0, samples(500, each, each))
			sum.add(in)
		})
	}
}

// The same with sessions, tables and indexes.
func TestCrashImagesOfSessions(t *testing.T) {
	t.Parallel()
	sum := newTally(t)
	for seed := range samples(1, 3, 40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			p := newProgram(t, sessionEngine, uint64(seed))
			p.run(t, func() error { return errors.Join(p.session(15), p.session(5)) })
			in := newInspection(t, sessionEngine, uint64(seed))
			wantNoLoss(t, in, p.history(), 0, samples(200, 1000, 2000))
			sum.add(in)
		})
	}
}

// A backup is there in full when Backup has returned, and before that the one before
// it is, or none. Compact changes nothing of what is there.
func TestCrashInMaintenance(t *testing.T) {
	t.Parallel()
	sum := newTally(t)
	for seed := range samples(1, 2, 40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			p := programAfter(t, storeEngine, uint64(seed))
			p.run(t, p.maintenance)
			in := newInspection(t, storeEngine, uint64(seed))
			wantNoLoss(t, in, p.history(), 0, samples(200, 1000, 2000))
			sum.add(in)
		})
	}
}

// A file that Close cuts has what it had, whenever the power goes off.
func TestCrashWhenCut(t *testing.T) {
	t.Parallel()
	sum := newTally(t)
	for seed := range samples(1, 4, 60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			p := newProgram(t, storeEngine, uint64(seed))
			var cuts []int
			p.run(t, func() error { return errors.Join(p.cut(&cuts), p.session(3), p.cut(&cuts), p.session(1)) })
			for _, at := range cuts {
				in := newInspection(t, storeEngine, uint64(seed))
				wantNoLoss(t, in, p.history(), at, samples(200, 1000, 2000))
				sum.add(in)
			}
		})
	}
}

// A new file is there, whole and under its name, when OpenBolt has returned, and
// before that it is not in the way of another attempt; also where there are no hard
// links, and in place of an empty file.
func TestCrashAtCreation(t *testing.T) {
	t.Parallel()
	noLinks := func(_ int, c *intercept.Call) (a powercut.Action) {
		if c.Op == intercept.Link {
			a.Errno = unix.EPERM
		}
		return a
	}
	empty := powercut.NewDisk(powercut.Image{dbName: {}})
	for name, begin := range map[string]func() *program{
		"usual":    func() *program { return newProgram(t, storeEngine, 1) },
		"no links": func() *program { p := newProgram(t, storeEngine, 1); p.rec.SetFault(noLinks); return p },
		"empty": func() *program {
			return programOn(t, storeEngine, empty, history{file: promise{[]records{{}}, true}}, 1)
		},
	} {
		p := begin()
		p.run(t, func() error { return p.session(0) })
		in := newInspection(t, storeEngine, 1)
		wantNoLoss(t, in, p.history(), 0, 2000)
		t.Logf("%s: %d images", name, in.images)
	}
}

// A BoltStore whose syncs do nothing loses data, and this is noticed, whichever of
// them it is.
func TestCrashImagesNeedEachSync(t *testing.T) {
	t.Parallel()
	for name, kinds := range map[string][]syncKind{
		"none of the syncs":     {dataSync, metaSync, nameSync},
		"no sync of the pages":  {dataSync},
		"no sync of the metas":  {metaSync},
		"no sync of the folder": {nameSync},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProgram(t, storeEngine, 1)
			p.rec.SetFault(pretend(kinds...))
			p.run(t, func() error { return p.session(10) })
			wantLosses(t, storeEngine, p.history(), 300)
		})
	}
}
