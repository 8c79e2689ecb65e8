//go:build linux && (amd64 || arm64)

package userdata_test

import (
	"errors"
	"math/rand/v2"
	"slices"

	"github.com/seed-5df914be/userdata"
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
	kind       stepKind
	begin, end int     // the operations recorded before it, and when it returned
	want       records // what it should leave; for a look, what it saw
	outcome    outcome
}

// A stepKind says what a step did.
type stepKind uint8

const (
	commitStep stepKind = iota
	lookStep            // opened the store and read everything
	backupStep          // of everything
)

// A promise is what a file has to hold.
type promise struct {
	want   []records // one of these
	exists bool      // whether there must be a file
}

// with returns the promise while a step is under way that leaves other contents.
func (p promise) with(want records) promise {
	p.want = append(slices.Clone(p.want), want)
	return p
}

// A history is what a program did, and what of it reached the disk.
type history struct {
	trace        powercut.Trace
	steps        []step
	file, backup promise // as they were at the beginning
}

// promises returns what may be found after a power cut at the given place of the
// trace: of the database, and of the backup.
func (h *history) promises(at int) (file, backup promise) {
	file, backup = h.file, h.backup
	for _, s := range h.steps {
		p := &file
		if s.kind == backupStep {
			p = &backup
		}
		switch {
		case s.begin >= at && s.end > at:
			return file, backup // it has not begun
		case s.kind == lookStep && s.end > at:
			return file, backup
		case s.end > at, s.outcome == unknown, s.kind == backupStep && s.outcome == refused:
			*p = p.with(s.want)
		case s.outcome == applied:
			*p = promise{[]records{s.want}, p.exists || s.kind != commitStep}
		}
	}
	return file, backup
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
	var past history
	past.file, past.backup = h.promises(at)
	return d, past
}
