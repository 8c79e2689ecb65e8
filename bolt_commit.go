package userdata

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	// maxBatch and maxBatchBytes bound what one transaction applies for several
	// callers, so that a small commit does not wait for a great many others.
	maxBatch      = 1024
	maxBatchBytes = 16 << 20

	// healAttempts is how often the meta pages are written after a failure, which
	// may pass: a signal, for one.
	healAttempts = 3
)

// An applyCall is one Apply that waits for its outcome.
type applyCall struct {
	changes *ChangeSet
	err     error
	done    chan struct{} // closed when err is the outcome
}

// Apply implements [Store]. The context is looked at until the change set is taken
// up; from then on Apply waits for the outcome. An empty change set without a
// version touches nothing. The slices are used until Apply returns, and not after.
//
// Errors: the context's, [ErrConflict] as a [*ConflictError], [ErrInvalid],
// [ErrTooLarge], [ErrReadOnly], [ErrClosed], [ErrLocked] if a View that must end
// first does not, [ErrCorrupt], and those of the file system. Each of them means
// that nothing was changed, and a nil that all was, whatever the disk did. The one
// exception is [ErrUnknownOutcome]: the disk has failed for good. Every Apply after it
// is refused with [ErrReadOnly], until the file is opened again.
func (s *BoltStore) Apply(ctx context.Context, changes *ChangeSet) error {
	if err := changes.Validate(); err != nil {
		return err
	}
	if err := s.calls.enter(); err != nil {
		return err
	}
	defer s.calls.leave()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("userdata: apply: %w", err)
	}
	if len(changes.Changes) == 0 && changes.Version == 0 {
		return nil
	}
	if s.opts.ReadOnly {
		return fmt.Errorf("userdata: apply: %s: %w", s.path, ErrReadOnly)
	}
	c := &applyCall{changes: changes, done: make(chan struct{})}
	s.mu.Lock()
	s.queue = append(s.queue, c)
	s.mu.Unlock()
	return s.outcome(ctx, c)
}

// outcome waits until the queued call is settled, by somebody who writes for
// others too, or by its own goroutine once that may write.
func (s *BoltStore) outcome(ctx context.Context, c *applyCall) error {
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		if s.withdraw(c) {
			return fmt.Errorf("userdata: apply: %w", ctx.Err())
		}
		<-c.done
		return c.err
	case s.writer <- struct{}{}:
	}
	defer s.unlockWriter()
	for {
		select {
		case <-c.done: // perhaps by the one who wrote before
			return c.err
		default:
			s.commitQueue()
		}
	}
}

// withdraw takes the call out of the queue, and reports false if it is no longer
// there.
func (s *BoltStore) withdraw(c *applyCall) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.queue, c)
	if i < 0 {
		return false
	}
	s.queue = slices.Delete(s.queue, i, i+1)
	return true
}

// lockWriter waits until no other goroutine writes, or the context ends.
func (s *BoltStore) lockWriter(ctx context.Context) error {
	select {
	case s.writer <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *BoltStore) unlockWriter() { <-s.writer }

// commitQueue settles the calls at the head of the queue. The caller is the writer.
func (s *BoltStore) commitQueue() {
	s.gather()
	calls := s.takeBatch()
	s.lastBatch = len(calls)
	settled := false
	defer func() {
		for _, c := range calls {
			if !settled { // a panic that goes on: the package's own fault
				c.err = fmt.Errorf("userdata: apply: %w: panic while it was written", ErrUnknownOutcome)
			}
			close(c.done)
		}
		clear(calls) // their place in the queue's memory: it would keep what they wrote
	}()
	s.commitBatch(calls)
	settled = true
}

// gather lets those who were settled by the last batch, and now come back with
// their next calls, take part in this one: as long as more come, up to as many as
// before. It waits for nobody who is not ready to run, and not at all after a lone
// committer.
func (s *BoltStore) gather() {
	for n, before := s.queued(), 0; n > before && n < s.lastBatch; n, before = s.queued(), n {
		runtime.Gosched()
	}
}

func (s *BoltStore) queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue)
}

// takeBatch takes the calls off the queue that are to be applied together.
func (s *BoltStore) takeBatch() []*applyCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, size := 0, 0
	for n < len(s.queue) && n < maxBatch && (n == 0 || size < maxBatchBytes) {
		size += s.queue[n].size()
		n++
	}
	calls := s.queue[:n:n]
	s.queue = s.queue[n:]
	return calls
}

// size returns how many bytes the call writes at least.
func (c *applyCall) size() int {
	n := 0
	for i := range c.changes.Changes {
		n += len(c.changes.Changes[i].Key) + len(c.changes.Changes[i].Value)
	}
	return n
}

// commitBatch settles the calls: together if it can be, each alone if a
// transaction with all of them fails. The caller is the writer.
func (s *BoltStore) commitBatch(calls []*applyCall) {
	for len(calls) > 0 {
		h, release, err := s.writable(calls)
		if err != nil {
			fail(calls, err)
			return
		}
		again := func() []*applyCall {
			defer release()
			return s.attempt(h, calls)
		}()
		if len(again) == len(calls) && len(calls) > 1 {
			for _, c := range calls {
				s.commitBatch([]*applyCall{c})
			}
			return
		}
		calls = again
	}
}

// fail settles calls that were not applied.
func fail(calls []*applyCall, err error) {
	for _, c := range calls {
		c.err = fmt.Errorf("userdata: apply: %w", err)
	}
}

// writable returns a handle that may write the calls. Until release is called no
// read begins, if one could be in the way, and no other process writes.
func (s *BoltStore) writable(calls []*applyCall) (h *boltHandle, release func(), err error) {
	if err := s.enter(context.Background()); err != nil {
		return nil, nil, err
	}
	h, resume, err := s.ready(calls)
	if err != nil {
		s.leave()
		return nil, nil, err
	}
	return h, func() { resume(); s.leave() }, nil
}

// ready is writable in a turn that was taken.
func (s *BoltStore) ready(calls []*applyCall) (h *boltHandle, release func(), err error) {
	if s.failed != nil {
		return nil, nil, fmt.Errorf("%w after a failure, until %s is opened again: %w", ErrReadOnly, s.path, s.failed)
	}
	if s.handle.broken {
		if _, err := s.recover(0); err != nil {
			return nil, nil, fmt.Errorf("%w: %s can't be made sound after a failure: %w", ErrReadOnly, s.path, s.failed)
		}
		if s.handle.broken {
			return nil, nil, fmt.Errorf("%s can't be opened again after a failure", s.path)
		}
	}
	h = s.handle
	size, err := s.checkFile()
	if err != nil {
		return nil, nil, err
	}
	// The new handle does not know which pages the reads of an old one still need.
	if err := s.outlast(s.oldViews); err != nil {
		return nil, nil, err
	}
	if h.direct != nil {
		h.direct.size = size
		return h, func() {}, nil
	}
	if size+growth(calls, size, h.pageSize) < h.span {
		return h, func() {}, nil
	}
	return h, func() { h.remapped(); s.resume() }, s.hold()
}

// remapped takes notice of a mapping that may be larger than before. No read is
// under way.
func (h *boltHandle) remapped() {
	h.guard(func() error {
		tx, err := h.beginTx(false)
		if err != nil {
			return err
		}
		h.span = max(h.span, mappedSize(tx.Size()+1))
		return tx.Rollback()
	})
}

// checkFile makes sure that the path still leads to the open file, and returns its
// size: what is written to a file without a name would be lost.
func (s *BoltStore) checkFile() (int64, error) {
	if s.own == nil {
		return s.handle.span, nil
	}
	size, err := stillNamed(s.own, s.path)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", s.path, err)
	}
	return size, nil
}

// outlast waits until reads, which count tells with the store's lock, have ended.
// It gives up when none of them has for as long as LockTimeout.
func (s *BoltStore) outlast(count func() int) error {
	s.mu.Lock()
	least := count()
	s.mu.Unlock()
	for {
		n := 0
		err := s.await(context.Background(), max(s.opts.lockTimeout(), time.Millisecond), func() bool {
			n = count()
			return n == 0
		})
		if err == nil || n >= least {
			return err
		}
		least = n
	}
}

// oldViews returns how many reads use a retired handle. The caller has the store's
// lock.
func (s *BoltStore) oldViews() (n int) {
	for _, h := range s.old {
		n += h.views
	}
	if n == 0 {
		s.old = nil
	}
	return n
}

// hold waits until no read is under way, and lets none begin until resume: bbolt
// waits for all reads when it maps the file anew, and lets none begin meanwhile,
// which is how a read within a read would wait for ever.
func (s *BoltStore) hold() error {
	s.mu.Lock()
	s.held = true
	s.mu.Unlock()
	s.withdrawPin()
	err := s.outlast(s.views)
	if err != nil {
		s.resume()
	}
	s.unpin(s.handle)
	return err
}

// resume lets reads begin again.
func (s *BoltStore) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = false
	s.signal()
}

// growth is more than the calls can make a file of that size grow by: each key
// rewrites the pages from the root to its leaf, and what is beside them, each value
// may need pages of its own, and the list of free pages is written anew, with 8 bytes
// for each page at most.
func growth(calls []*applyCall, size, pageSize int64) int64 {
	const pagesPerKey, perCommit = 12, 1 << 20
	n := perCommit + size/pageSize*8
	for _, c := range calls {
		n += int64(len(c.changes.Changes))*pagesPerKey*pageSize + 2*int64(c.size())
	}
	return n
}

// attempt applies the calls in one transaction, each on top of those before it,
// and sets their outcomes. It returns the calls to be attempted again: without one
// that has spoiled the transaction, or all of them if it could not be committed
// and one of them alone may be the reason.
func (s *BoltStore) attempt(h *boltHandle, calls []*applyCall) (again []*applyCall) {
	if h.direct != nil {
		return s.attemptDirect(h, calls)
	}
	s.unpin(h)
	tx, err := h.beginTx(true)
	if err != nil {
		h.broken = true
		fail(calls, err)
		return nil
	}
	defer h.abandon(tx)
	w := &boltWriter{tx: tx}
	if !s.trusted {
		snap, err := newBoltSnapshot(tx, h.span)
		if w.spoil = err; err == nil {
			w.distrust(snap.file)
		}
	}
	written := 0
	for i, c := range calls {
		began, err := h.apply(w, c.changes, written > 0)
		if c.err = err; err == nil && began {
			written++
		} else if began {
			return append(calls[:i:i], calls[i+1:]...) // part of it is in the transaction
		}
	}
	if written == 0 {
		return nil
	}
	h.db.AllocSize = int(min(max(tx.Size()/8, minFileGrowth), maxFileGrowth))
	txid := uint64(tx.ID())
	if err = h.guard(tx.Commit); err == nil {
		s.committed(h, txid)
		return nil
	}
	h.broken = true
	h.abandon(tx)
	return s.settle(calls, txid, errnoOf(err))
}

// committed takes notice of a transaction that is in the file.
func (s *BoltStore) committed(h *boltHandle, txid uint64) {
	s.seen, s.wrote = txid, true
	s.mu.Lock()
	idle := h.outdate(txid + 1) // see boltVersion
	s.mu.Unlock()
	idle.endIfAny()
}

// settle finds out what became of a transaction whose commit failed, and sets the
// outcomes of its calls. It returns the calls if they are to be attempted again.
func (s *BoltStore) settle(calls []*applyCall, txid uint64, cause error) (again []*applyCall) {
	applied, err := s.recover(txid)
	switch {
	case err != nil:
		fail(calls, fmt.Errorf("%w: %w", err, cause))
	case applied:
		s.log.Warn("userdata: a commit was applied, although it failed at first", "path", s.path, "error", cause)
	case len(calls) > 1:
		return calls
	default:
		fail(calls, cause)
	}
	return nil
}

// ofNoSnapshot is the version of what nobody has read.
const ofNoSnapshot = math.MaxUint64

// apply checks the change set against what the transaction has, and writes it. What
// it touches of a file that is not trusted is checked before, since bbolt is not
// careful. dirty tells that the transaction has written already. It reports whether it
// began to write.
func (h *boltHandle) apply(w *boltWriter, changes *ChangeSet, dirty bool) (began bool, err error) {
	err = h.guard(func() error {
		if err := w.verify(changes.Changes); err != nil {
			return err
		}
		version := boltVersion(w.tx)
		if dirty {
			version = ofNoSnapshot
		}
		if err := changes.check(version, w.find(changes.Changes)); err != nil {
			return err
		}
		if len(changes.Changes) == 0 {
			return nil
		}
		began = true
		return w.write(changes.Changes)
	})
	h.broken = h.broken || errors.Is(err, ErrCorrupt)
	return began, err
}

// abandon ends a transaction that was not committed; else it does nothing. If even
// that fails, bbolt keeps its locks, and the handle can't be closed.
func (h *boltHandle) abandon(tx *bbolt.Tx) {
	err := h.guard(func() error {
		if err := tx.Rollback(); err != nil && !errors.Is(err, berrors.ErrTxClosed) {
			return err
		}
		return nil
	})
	if err != nil {
		h.broken = true
		h.wedged.Store(true)
	}
}

// recover makes the file sound after a failure and opens it anew, since bbolt may
// have in memory what is not in the file. It reports whether the transaction is in
// the file: its number, in the meta page that it wrote last, is the mark that it
// left. The error is ErrUnknownOutcome, and the store writes no more, if the disk
// does not let it find out. If the file can't be opened anew the handle stays
// broken: reads go on with it, and the next write tries again.
func (s *BoltStore) recover(txid uint64) (applied bool, err error) {
	newest, err := s.heal()
	if err != nil {
		s.failed = err
		s.log.Error("userdata: the file could not be made sound after a failure", "path", s.path, "error", err)
		return false, fmt.Errorf("%w: %s takes no more changes until it is opened again: %w", ErrUnknownOutcome, s.path, err)
	}
	s.unpin(s.handle) // if it has to go on, then with the newest state
	if err := s.reopen(); err != nil {
		if errors.Is(err, errLockLost) {
			s.failed = err
		}
		s.log.Error("userdata: the file could not be opened again after a failure", "path", s.path, "error", err)
	}
	return newest == txid, nil
}

// heal is heal for the store's file, tried several times. It returns the number of
// the last transaction in the file.
func (s *BoltStore) heal() (txid uint64, err error) {
	for range healAttempts {
		var f *os.File
		if f, err = s.descriptor(); err != nil {
			continue
		}
		st, healing := heal(f, s.seen)
		if f != s.own {
			healing = errors.Join(healing, f.Close())
		}
		if err = healing; err == nil {
			s.seen, s.sealed = st.meta().Txid, false
			return s.seen, nil
		}
	}
	return 0, err
}

// descriptor returns the store's own descriptor, or a new one where it has none.
func (s *BoltStore) descriptor() (*os.File, error) {
	if s.own != nil {
		return s.own, nil
	}
	return os.OpenFile(s.path, os.O_RDWR, 0)
}

// reopen puts a new handle in the place of the present one, which is closed as
// soon as no read uses it. Where two of them would lock each other out, it waits
// for the reads first.
func (s *BoltStore) reopen() error {
	if !ownsLock {
		if err := s.hold(); err != nil {
			return err
		}
		defer s.resume()
		if err := s.handle.close(); err != nil {
			return err
		}
	}
	h, err := s.openAgain()
	if err != nil {
		return err
	}
	if unused := s.replaceHandle(h, true); unused != nil && ownsLock {
		s.dispose(unused)
	}
	return nil
}

// openAgain opens a handle of the store's file, which is sound.
func (s *BoltStore) openAgain() (*boltHandle, error) {
	if s.own == nil {
		return openHandle(nil, s.path, &s.opts)
	}
	st, err := readState(s.own, s.seen)
	if err != nil {
		return nil, err
	}
	return s.openOwn(s.own, st)
}

// replaceHandle makes h the store's handle. It returns the one before if nothing
// uses that any more. If both are of the same file, h must not write while reads
// use the other one.
func (s *BoltStore) replaceHandle(h *boltHandle, same bool) (unused *boltHandle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.handle
	s.handle = h
	old.retired = true
	old.unpin().endIfAny()
	if old.views == 0 {
		return old
	}
	if same {
		s.old = append(s.old, old)
	}
	return nil
}
