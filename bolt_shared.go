package userdata

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

const (
	// turnLength is for how long calls may join a turn. Who comes later waits as
	// long for the turn to end, so that other processes have theirs, and joins it
	// only then: it may be part of a call that is in the turn.
	turnLength = 20 * time.Millisecond

	// Between attempts to get a turn the waiting time grows from turnWait to
	// turnMaxWait. It does not grow further, so that who has waited for long does
	// not fall behind.
	turnWait    = 30 * time.Microsecond
	turnMaxWait = 500 * time.Microsecond
)

// A turn is a time for which a process has a shared file for itself, or, if it only
// reads, beside others that do. All calls that come meanwhile are in it together.
// It begins with a look at what other processes have written.
//
// A process that wants a turn first gets hold of the gate, a lock on a byte far
// beyond the end of the file, keeps it until it has the file's lock too, and then
// lets go of it: so the next turn belongs to one who waits, and not to the one who
// has just had his. Where the system has no such locks, chance decides.
type turn struct {
	mu     sync.Mutex
	calls  int           // in the turn; 0 if there is none
	taking bool          // a call is waiting for a turn for all
	began  time.Time     // when the turn did
	change chan struct{} // closed when calls or taking is no longer what it was; nil if nobody waits
}

// enter makes a call part of a turn; leave ends that. Where the file is not shared
// they do nothing. Errors: the context's, ErrLocked after LockTimeout, and what
// keeps the file from being opened.
func (s *BoltStore) enter(ctx context.Context) error {
	if !s.opts.Shared {
		return nil
	}
	t := &s.turn
	patient := true
	for {
		t.mu.Lock()
		if t.calls > 0 && (!patient || time.Since(t.began) < turnLength) {
			t.calls++
			t.mu.Unlock()
			return nil
		}
		if t.calls == 0 && !t.taking {
			t.taking = true
			t.mu.Unlock()
			return s.takeTurn(ctx)
		}
		changed := t.changed()
		t.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(turnLength):
			patient = false
		}
	}
}

// changed returns what is closed when something changes. The caller has the lock.
func (t *turn) changed() <-chan struct{} {
	if t.change == nil {
		t.change = make(chan struct{})
	}
	return t.change
}

// signal wakes those who wait for a change. The caller has the lock.
func (t *turn) signal() {
	if t.change != nil {
		close(t.change)
		t.change = nil
	}
}

// takeTurn begins a turn, with one call in it. The caller has set taking.
func (s *BoltStore) takeTurn(ctx context.Context) error {
	err := s.lockTurn(ctx)
	if err == nil {
		if err = s.refresh(); err != nil {
			err = errors.Join(err, s.unlockTurn())
		}
	}
	t := &s.turn
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taking = false
	if err == nil {
		t.calls, t.began = 1, time.Now()
	}
	t.signal()
	return err
}

// leave ends a call's part in the turn, and the turn with the last of them.
func (s *BoltStore) leave() {
	if !s.opts.Shared {
		return
	}
	t := &s.turn
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.calls--; t.calls == 0 {
		if err := s.unlockTurn(); err != nil {
			s.log.Error("userdata: unlock", "path", s.path, "error", err)
		}
		t.signal()
	}
}

// lockTurn locks the file, by way of the gate. If the file was replaced, by another
// process that has compacted it, the one that has its name now is locked.
func (s *BoltStore) lockTurn(ctx context.Context) error {
	deadline := time.Now().Add(s.opts.lockTimeout())
	if !ownsLock {
		return nil // refresh lets bbolt do it
	}
	for {
		gate := func() error { return tryGate(s.own, !s.opts.ReadOnly) }
		if err := s.poll(ctx, deadline, gate); err != nil {
			return err
		}
		lock := func() error { return tryLock(s.own, !s.opts.ReadOnly) }
		err := s.poll(ctx, deadline, lock)
		if err := errors.Join(err, leaveGate(s.own)); err != nil {
			return err
		}
		if _, err := stillNamed(s.own, s.path); err == nil {
			return nil
		} else if notReplaced(err) != nil {
			return errors.Join(err, unlock(s.own))
		}
		f, err := openFile(s.path, true) // must be there: it is not created anew
		if err == nil && !s.opts.ReadOnly {
			f.Close()
			f, err = openFile(s.path, false)
		}
		if err != nil {
			return errors.Join(err, unlock(s.own))
		}
		s.own.Close()
		s.own, s.seen, s.replaced = f, 0, true
	}
}

// poll tries until it succeeds, fails otherwise than by a lock that is held, the
// context ends or the time is up.
func (s *BoltStore) poll(ctx context.Context, deadline time.Time, try func() error) error {
	for wait := turnWait; ; wait = min(2*wait, turnMaxWait) {
		err := try()
		switch {
		case !errors.Is(err, errHeld):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Until(deadline) <= 0:
			if who := lockHolder(s.own); who != "" {
				return fmt.Errorf("%w: %s", ErrLocked, who)
			}
			return ErrLocked
		}
		time.Sleep(wait)
	}
}

// unlockTurn lets other processes have their turn.
func (s *BoltStore) unlockTurn() error {
	if ownsLock {
		return unlock(s.own)
	}
	s.seen = 0
	return s.handle.close()
}

// refresh makes the handle one of the file as it is now. Nothing uses it. If other
// processes have written, the file is healed, since the last of them may have been
// killed before it was done, and opened anew; and the database looks if the schema is
// still the one that it knows.
func (s *BoltStore) refresh() error {
	if !ownsLock {
		own, err := openLocked(s.path, s.opts.ReadOnly, s.opts.lockTimeout())
		if err != nil {
			return err
		}
		defer own.Close()
		if err := s.renew(own); err != nil {
			return err
		}
		return s.look()
	}
	rep, err := readMetas(s.own)
	if err != nil {
		return err
	}
	seal, err := sealAt(s.own, rep, rep.Meta)
	if err != nil {
		return err
	}
	if rep.Metas[rep.Meta].Txid == s.seen && (seal == nil || seal.Last) {
		return nil
	}
	s.seen = 0
	if s.replaced {
		st, err := readState(s.own, 0)
		if err != nil {
			return err
		}
		if _, err := inspect(s.own, st.slot); err != nil {
			return err
		}
		s.replaced = false
	}
	if err := s.handle.close(); err != nil {
		return err
	}
	if err := s.renew(s.own); err != nil {
		return err
	}
	if err := s.look(); err != nil {
		s.seen = 0 // so that it looks again in the next turn
		return err
	}
	return nil
}

// look lets the database look at the file.
func (s *BoltStore) look() error {
	if s.onChange == nil {
		return nil
	}
	return s.handle.snapshot(s.onChange)
}

// renew heals the file that is locked by own, and opens it.
func (s *BoltStore) renew(own *os.File) error {
	st, err := s.sound(own)
	if err != nil {
		return err
	}
	if !ownsLock {
		if err := unlock(own); err != nil {
			return err
		}
	}
	h, err := s.openOwn(own, st)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handle, s.seen = h, st.meta().Txid
	return nil
}

// sound makes the file sound if it may be written and was not closed, and returns what
// it holds. Of a commit that was cut off nobody was told that it was done.
func (s *BoltStore) sound(own *os.File) (*fileState, error) {
	st, err := readState(own, 0)
	if s.opts.ReadOnly && err == nil && st.cutOff() {
		err = corruptf("its last commit was cut off: open it for writing once, which goes back to the state before")
	}
	s.sealed = false
	if err != nil || s.opts.ReadOnly || st.closed() {
		return st, err
	}
	st, err = heal(own, 0)
	if err == nil && st.cutOff() {
		s.log.Warn("userdata: the last commit, which had not returned, was cut off: back to the state before it",
			"path", s.path, "transaction", st.Metas[st.Meta].Txid)
	}
	return st, err
}
