//go:build linux && (amd64 || arm64)

package userdata_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/seed-5df914be/userdata/internal/intercept"
	"github.com/seed-5df914be/userdata/internal/powercut"
)

// Crashes upon crashes: a program is killed, which leaves the kernel's cache, the
// next one goes on with what it sees, and then the power fails.

// A restart is how a program goes on after it was killed.
type restart struct {
	engine engine
	run    func(p *program) error
}

// killEverywhere kills a program at each operation of its history, starts it again,
// and lets the power fail in what it does then. It returns one loss for each restart
// that has any, and what it saw.
func killEverywhere(t *testing.T, r restart, h *history, n int) (losses []error, all *inspection) {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(n), 2))
	all = &inspection{}
	for at := range len(h.trace.Ops) + 1 {
		disk, past := h.killedAt(at, rng)
		p := programOn(t, r.engine, disk, past, uint64(at))
		p.run(t, func() error { return r.run(p) })
		in := newInspection(t, r.engine, uint64(at))
		if err := in.look(p.history(), 0, n/(len(h.trace.Ops)+1)); err != nil {
			t.Fatal(err)
		}
		all.images += in.images
		all.took += in.took
		if in.losses > 0 {
			losses = append(losses, fmt.Errorf("killed at operation %d: %w", at, in.first))
		}
	}
	return losses, all
}

// goOn opens the store again and makes two commits.
func goOn(p *program) error { return p.session(2) }

// A program is killed at each operation, from before there is a file, is started
// again, and then the power fails.
func TestCrashAfterKill(t *testing.T) {
	t.Parallel()
	sum := newTally(t)
	for seed := range samples(1, 2, 90) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			p := newProgram(t, storeEngine, uint64(seed))
			p.run(t, func() error { return errors.Join(p.session(6), p.session(3)) })
			losses, all := killEverywhere(t, restart{engine: storeEngine, run: goOn}, p.history(), samples(500, 2500, 2500))
			sum.add(all)
			if len(losses) > 0 {
				t.Fatalf("got losses after %d kills, want none; first: %v", len(losses), losses[0])
			}
		})
	}
}

// The same while backups are made and the file is compacted, before and after.
func TestCrashAfterKillInMaintenance(t *testing.T) {
	t.Parallel()
	sum := newTally(t)
	for seed := range samples(1, 1, 20) {
		p := programAfter(t, storeEngine, uint64(seed))
		p.run(t, p.maintenance)
		for name, then := range map[string]func(p *program) error{"commits": goOn, "maintenance": (*program).maintenance} {
			t.Run(fmt.Sprint(seed, " ", name), func(t *testing.T) {
				t.Parallel()
				losses, all := killEverywhere(t, restart{engine: storeEngine, run: then}, p.history(), samples(300, 1200, 2500))
				sum.add(all)
				if len(losses) > 0 {
					t.Fatalf("got losses after %d kills, want none; first: %v", len(losses), losses[0])
				}
			})
		}
	}
}

// Without what OpenBolt does to make the file durable that it finds, the test before
// this one fails.
func TestCrashAfterKillNeedsHealing(t *testing.T) {
	t.Parallel()
	p := programAfter(t, storeEngine, 1)
	p.run(t, func() error { return p.session(12) })
	noHealing := func(p *program) error {
		p.rec.SetFault(func(_ int, c *intercept.Call) powercut.Action {
			return powercut.Action{Pretend: c.Op == intercept.Sync}
		})
		if err := p.open(); err != nil {
			return err
		}
		p.rec.SetFault(nil)
		return errors.Join(p.commits(2), p.store.Close())
	}
	losses, all := killEverywhere(t, restart{engine: storeEngine, run: noHealing}, p.history(), 1000)
	t.Logf("%d images, losses after %d kills", all.images, len(losses))
	if len(losses) == 0 {
		t.Errorf("got no loss in %d images, want some", all.images)
	}
}
