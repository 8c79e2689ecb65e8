//go:build linux && (amd64 || arm64)

package userdata_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

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
