//go:build linux && (amd64 || arm64)

package userdata_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/seed-5df914be/userdata"
	"github.com/seed-5df914be/userdata/internal/pages"
	"github.com/seed-5df914be/userdata/internal/powercut"
)

// What OpenBolt makes durable before it lets anybody read: a program is killed right
// before each of its syncs, so that the next one sees what never reached the disk, and
// the power fails when that has looked, and made no commit or one.
func TestOpenHeals(t *testing.T) {
	t.Parallel()
	sum := newTally(t)
	for seed := range samples(4, 20, 200) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			p := newProgram(t, storeEngine, uint64(seed))
			p.run(t, func() error { return errors.Join(p.session(4), p.session(2)) })
			h, rng := p.history(), rand.New(rand.NewPCG(uint64(seed), 0))
			for at, op := range h.trace.Ops {
				for commits := range 2 {
					if isSync(op) {
						sum.add(openKilled(t, h, rng, at, commits))
					}
				}
			}
		})
	}
}

// Before a small commit writes a meta page with a seal, the page of the one before says that it has
// one, and that is durable: half a seal, of a long list, is none.
func TestSealDemanded(t *testing.T) {
	t.Parallel()
	p := newProgram(t, storeEngine, 1)
	p.run(t, func() error { return errors.Join(p.session(3), p.session(3)) }) // the second needs no longer file
	size := int64(os.Getpagesize())
	demanded, synced, sealed := false, false, 0
	for _, op := range p.history().trace.Ops {
		switch {
		case op.Kind == powercut.Write && op.Offset < 2*size && op.Offset%size == pages.SealOffset:
			demanded, synced = true, false
		case op.Kind == powercut.Write && op.Offset < 2*size && op.Offset%size == pages.SealMarksOffset:
			demanded, synced = op.Data[0] == (&pages.Seal{Durable: true}).Marks(), false
		case op.Kind == powercut.Sync:
			synced = demanded
		case op.Kind == powercut.Write && op.Offset < 2*size && len(op.Data) == int(size) && hasSeal(op.Data):
			if sealed++; !synced {
				t.Errorf("%v: before it, nothing says durably that it has a seal", op)
			}
		}
	}
	if sealed < 4 {
		t.Errorf("%d meta pages have a seal, want more", sealed)
	}
}

// A large commit that is refused when much of it is written leaves a longer file, of which nothing
// was synced. What the next small commits write there, with one sync each, is not taken for
// durable before the file's length is.
func TestCrashAfterRefused(t *testing.T) {
	t.Parallel()
	sum := newTally(t)
	for seed := range samples(4, 6, 40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			p := newProgram(t, storeEngine, uint64(seed))
			p.run(t, func() error {
				if err := errors.Join(p.open(), p.commits(3)); err != nil {
					return err
				}
				if err := p.refused(); !errors.Is(err, userdata.ErrConflict) {
					return fmt.Errorf("a commit that expects what is not there: %w", err)
				}
				if seed%2 == 0 { // by the next process
					if err := errors.Join(p.store.Close(), p.open()); err != nil {
						return err
					}
				}
				return errors.Join(p.longer(), p.commits(3), p.store.Close())
			})
			in := newInspection(t, storeEngine, uint64(seed))
			wantNoLoss(t, in, p.history(), 0, 2000)
			sum.add(in)
		})
	}
}

// refused makes a commit of 2 MB whose last key is expected to be there, and is not.
func (p *program) refused() error {
	var changes []userdata.Change
	for n := range 300 {
		changes = append(changes, userdata.Change{Bucket: "notes", Key: fmt.Appendf(nil, "%04d", n), Value: make([]byte, 8000)})
	}
	changes = append(changes, userdata.Change{Bucket: "notes", Key: []byte("z"), Expect: userdata.ExpectBytes, Before: []byte("x")})
	return p.apply(changes, p.state)
}

// longer makes a small commit that needs a longer file than those before.
func (p *program) longer() error {
	after := maps.Clone(p.state)
	var changes []userdata.Change
	for n := range 3 {
		key := fmt.Sprintf("long %d", n)
		changes = append(changes, userdata.Change{Bucket: "notes", Key: []byte(key), Value: make([]byte, 100_000)})
		after["notes/"+key] = string(changes[n].Value)
	}
	return p.apply(changes, after)
}

// hasSeal reports whether the meta page has a seal that is not known to be durable.
func hasSeal(page []byte) bool {
	seal, found := pages.SealOf(page, pages.MetaAt(page, uint64(page[0])))
	return found && !seal.Durable
}

// openKilled cuts the power in a program that opens what another one has left that
// was killed at that operation, and makes so many commits.
func openKilled(t *testing.T, h *history, rng *rand.Rand, at, commits int) *inspection {
	t.Helper()
	disk, past := h.killedAt(at, rng)
	next := programOn(t, storeEngine, disk, past, uint64(at))
	defer next.remove()
	next.run(t, func() error { return next.session(commits) })
	in := newInspection(t, storeEngine, uint64(at))
	if wantNoLoss(t, in, next.history(), 0, 30); in.images == 0 {
		t.Errorf("killed at operation %d: no image", at)
	}
	return in
}
