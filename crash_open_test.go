//go:build linux && (amd64 || arm64)

package userdata_test

import (
	"errors"
	"math/rand/v2"
	"testing"
)

// What OpenBolt makes durable before it lets anybody read: a program is killed right
// before each of its syncs, so that the next one sees what never reached the disk, and
// the power fails when that has looked, and made no commit or one.
func TestOpenHeals(t *testing.T) {
	t.Parallel()
	p := newProgram(t, storeEngine, 11)
	p.run(t, func() error { return errors.Join(p.session(4), p.session(2)) })
	h, rng, images := p.history(), rand.New(rand.NewPCG(11, 0)), 0
	for at, op := range h.trace.Ops {
		if !isSync(op) {
			continue
		}
		for commits := range 2 {
			disk, past := h.killedAt(at, rng)
			next := programOn(t, storeEngine, disk, past, uint64(at))
			next.run(t, func() error { return next.session(commits) })
			in := newInspection(t, storeEngine, uint64(at))
			if wantNoLoss(t, in, next.history(), 0, 30); in.images == 0 {
				t.Errorf("killed at operation %d: no image", at)
			}
			images += in.images
		}
	}
	t.Logf("%d images", images)
}
