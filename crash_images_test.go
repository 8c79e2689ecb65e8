//go:build linux && (amd64 || arm64)

package userdata_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-5df914be/userdata"
	"github.com/seed-5df914be/userdata/internal/intercept"
	"github.com/seed-5df914be/userdata/internal/powercut"
)

// An inspection looks at what power cuts leave of a history.
type inspection struct {
	engine engine
	dir    string // the images are made here
	root   string // the folder of these folders
	rng    *rand.Rand

	seed maphash.Seed

	images, losses int
	first          error // the first loss
	took           time.Duration
}

// newInspection returns one that has seen nothing.
func newInspection(t testing.TB, e engine, seed uint64) *inspection {
	dir := t.TempDir()
	return &inspection{engine: e, dir: dir, root: dir, rng: rand.New(rand.NewPCG(seed, 1)), seed: maphash.MakeSeed()}
}

// look opens about n images of a history, from the given place of the trace on.
// Its error is that of a test that can't run, not of a loss.
func (in *inspection) look(h *history, from, n int) error {
	return intercept.WithoutSync(func() error {
		left := n
		for at, disk := range h.trace.Disks() {
			if at < from {
				continue
			}
			share := left / (len(h.trace.Ops) + 1 - at)
			if at < len(h.trace.Ops) && isSync(h.trace.Ops[at]) {
				share *= 4 // all that may be lost may be lost here
			}
			left -= in.lookAt(h, at, disk, min(max(share, 1), left))
		}
		return nil
	})
}

// lookAt opens at most n images of the power cut before the operation at the given
// place. Those that have the same bytes as another are left out. It returns how
// many there were.
func (in *inspection) lookAt(h *history, at int, disk *powercut.Disk, n int) (images int) {
	begun := time.Now()
	defer func() { in.took += time.Since(begun) }()
	file, backup := h.promises(at)
	seen := map[uint64]bool{}
	for cut := range disk.Cuts(n, in.rng) {
		image := disk.Image(cut)
		if sum := in.sum(image); seen[sum] {
			continue
		} else {
			seen[sum] = true
		}
		images++
		in.images++
		if err := in.check(image, file, backup); err != nil {
			in.losses++
			in.first = cmp.Or(in.first, fmt.Errorf("power cut before operation %d of %d, %v: %w", at, len(h.trace.Ops), cut, err))
			in.clean()
		}
	}
	return images
}

// sum returns a number that tells images apart.
func (in *inspection) sum(image powercut.Image) (sum uint64) {
	for name, b := range image {
		sum ^= maphash.String(in.seed, name) + 3*maphash.Bytes(in.seed, b)
	}
	return sum
}

// isSync reports whether an operation makes others durable.
func isSync(op powercut.Op) bool { return op.Kind == powercut.Sync || op.Kind == powercut.SyncDir }

// clean makes a new folder after a loss, since its file may still be locked.
func (in *inspection) clean() {
	dir, err := os.MkdirTemp(in.root, "")
	if err != nil {
		panic(err)
	}
	in.dir = dir
}

// check opens the files of an image, and returns an error if they do not hold what
// they should. Some of the images are then written to, and opened again.
func (in *inspection) check(image powercut.Image, file, backup promise) error {
	if err := image.Write(in.dir); err != nil {
		return err
	}
	if len(backup.want) > 0 && (backup.exists || image[backupName] != nil) {
		if _, err := in.checkFile(image, backupName, backup); err != nil {
			return fmt.Errorf("backup: %w", err)
		}
	}
	got, err := in.checkFile(image, dbName, file)
	if err != nil || in.images%16 != 0 {
		return err
	}
	changes, after := randomChanges(in.rng, got)
	if got, err = in.open(dbName, changes); err == nil && !maps.Equal(got, after) {
		err = fmt.Errorf("after one more commit the file holds %s", difference(got, []records{after}))
	}
	return err
}

// checkFile opens one file of the image in the folder and returns what it holds, or
// an error if that is not as promised.
func (in *inspection) checkFile(image powercut.Image, name string, p promise) (records, error) {
	b := image[name]
	if p.exists && b == nil {
		return nil, fmt.Errorf("the file is gone; there are %d others", len(image))
	}
	if len(b) > 0 {
		report, err := in.engine.structure(filepath.Join(in.dir, name), b)
		if err = cmp.Or(err, report.Unsafe()); err != nil {
			return nil, fmt.Errorf("structure: %w", err) // and it might not be safe to open
		}
	}
	got, err := in.open(name, nil)
	if err == nil && !anyEqual(got, p.want) {
		err = fmt.Errorf("the file holds %s", difference(got, p.want))
	}
	return got, err
}

// open opens a file, makes changes if there are any, and returns what it holds
// then. Closed again, the file's structure must be sound.
func (in *inspection) open(name string, changes []userdata.Change) (all records, err error) {
	path := filepath.Join(in.dir, name)
	err = guarded(func() error {
		s, err := in.engine.open(path)
		if err != nil {
			return fmt.Errorf("open: %w", err)
		}
		if changes != nil {
			err = s.apply(changes)
		}
		if err == nil {
			all, err = s.read()
		}
		return errors.Join(err, s.Close())
	})
	if err == nil {
		err = checkPages(path)
	}
	return all, err
}

// anyEqual reports whether the records are as one of those wanted.
func anyEqual(got records, want []records) bool {
	for _, w := range want {
		if maps.Equal(got, w) {
			return true
		}
	}
	return false
}

// difference tells how records differ from those wanted.
func difference(got records, want []records) string {
	var s bytes.Buffer
	fmt.Fprintf(&s, "%d records, none of the %d states that it may have:", len(got), len(want))
	for _, w := range want {
		var missing, changed, extra int
		for k, v := range w {
			if g, ok := got[k]; !ok {
				missing++
			} else if g != v {
				changed++
			}
		}
		for k := range got {
			if _, ok := w[k]; !ok {
				extra++
			}
		}
		fmt.Fprintf(&s, " of %d records %d missing, %d changed, %d too many;", len(w), missing, changed, extra)
	}
	return s.String()
}
