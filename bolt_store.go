package userdata

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// defaultLockTimeout stands for a LockTimeout of 0.
const defaultLockTimeout = time.Second

// closePatience is how long Close waits for Views.
const closePatience = 10 * time.Second

// A BoltStore is the [Store] in a file of bbolt's format. It is safe for
// concurrent use. One process has the file open for writing, or any number for
// reading.
//
// Apply is durable when it returns nil. Change sets that arrive while one is being
// synced are queued and written together in the next transaction, each
// checked on its own. If the disk fails, the store brings the file into a sound
// state, opens it anew and finds out whether the commit is in it: so an error of
// Apply other than [ErrUnknownOutcome] means that nothing was changed.
//
// The file is written by the store itself: all changes of a transaction at once,
// each page once, and pages beside each other, which a disk takes several times as fast
// as single ones. For that as much of the file may be free as is used, up to 8192 pages (32 MiB),
// until Close cuts it. bbolt creates, compacts and rewrites files, and it writes those that are
// shared, those that keep no list of free pages, and all files on Windows,
// OpenBSD and systems without flock.
//
// A View sees one state for as long as its function runs, and until then the file keeps
// what that state has, beside what is written: keep it short. What is written and
// overwritten meanwhile, and no other View sees, takes no more room than without it;
// where bbolt writes the file it does, and grows with each commit.
// A commit waits for no View but of before another commit that failed; where bbolt writes,
// also if the file outgrows its mapping (4 GiB, or the size of the file on 32-bit
// systems and on Windows). It waits for [Options.LockTimeout] and then returns [ErrLocked].
type BoltStore struct {
	given   string  // the path as the caller has it
	path    string  // an absolute one: the working directory may change
	opts    Options // with the defaults in place
	log     *slog.Logger
	trusted bool // the file's structure was checked in full when it was opened

	calls   callGate
	closing sync.Once

	// offered is the pin that Gets may use without the store's lock, if there is one.
	offered atomic.Pointer[pin]

	// own is the descriptor that holds the file's lock. It is nil where the store
	// does not own the lock.
	own *os.File

	// turn is for files that are shared. seen is the number of the last transaction
	// that the handle knows, or 0; onChange looks at what others have written. Both
	// are of whoever takes a turn, or writes.
	turn     turn
	seen     uint64
	replaced bool // another process has put a new file in the place of the old one
	onChange func(Snapshot) error

	// writer has room for one token: who puts it in may write. Unlike bbolt's own
	// lock, waiting for it ends with a context. It guards the four below.
	writer    chan struct{}
	lastBatch int   // how many calls the last batch had
	sealed    bool  // the last commit has a seal, and it is not Last
	wrote     bool  // there was a commit to the present file
	failed    error // why the file could not be made sound after a failure: nothing more is written

	mu      sync.Mutex
	handle  *boltHandle
	old     []*boltHandle // retired handles of the same file that reads still use
	viewing int           // reads under way, with any handle
	held    bool          // reads that come now have to wait for the writer
	changed chan struct{} // closed when a read ends or held does; nil if nobody waits
	queue   []*applyCall
}

// OpenBolt opens the file at path, or creates it with mode 0600 if there is
// none: whole or not at all, even if the process or the machine stops meanwhile.
// Nil options are the defaults. With [Options.ReadOnly] the file must exist, and
// only Views are possible.
//
// A file of up to 8 MiB is checked in full: its structure, and that each bucket has
// the entries that it should have. In a larger one this is left to
// [BoltStore.Check]; what is read is checked as it is read.
//
// Its errors: [ErrLocked] if another process, or another store of this one, still
// has the file open after [Options.LockTimeout], with the other's process id where
// the system tells it; [ErrCorrupt] if it is not a bbolt file, or a damaged one;
// [ErrInvalid] if it is a directory, a symbolic link or anything else that is not a
// regular file; and those of the file system, such as [fs.ErrNotExist] and
// [fs.ErrPermission]. All name the path.
func OpenBolt(path string, opts *Options) (*BoltStore, error) {
	s := &BoltStore{given: path, writer: make(chan struct{}, 1)}
	if path != "" { // which would become the working directory
		var err error
		if s.path, err = filepath.Abs(path); err != nil {
			return nil, fmt.Errorf("userdata: open %s: %w", path, err)
		}
	}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.Logger == nil {
		s.opts.Logger = slog.New(slog.DiscardHandler)
	}
	s.log = s.opts.Logger
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("userdata: open %s: %w", path, err)
	}
	return s, nil
}

// Path returns the path that the store was opened with. It is safe for
// concurrent use, and after Close.
func (s *BoltStore) Path() string { return s.given }

// dispose closes a handle that nothing uses any more.
func (s *BoltStore) dispose(h *boltHandle) {
	if err := h.close(); err != nil {
		s.log.Warn("userdata: closing a handle", "path", s.path, "error", err)
	}
}

// signal wakes those who await something. The caller has the store's lock.
func (s *BoltStore) signal() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// errTimeout is what await returns when the time is up.
var errTimeout = fmt.Errorf("%w by a View that is still running", ErrLocked)

// await waits until done, which is called with the store's lock, returns true; or
// until the context ends, or the time is up if it is not 0.
func (s *BoltStore) await(ctx context.Context, timeout time.Duration, done func() bool) error {
	var expired <-chan time.Time
	for {
		s.mu.Lock()
		if done() {
			s.mu.Unlock()
			return nil
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		if expired == nil && timeout != 0 {
			expired = time.After(timeout)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-expired:
			return errTimeout
		}
	}
}

// Close implements [Store]: it waits for the calls under way, then unmaps,
// unlocks and closes the file. If a View still runs after 10 seconds, perhaps
// because it is the View's function that called Close, the error is [ErrLocked], and
// the file is closed when that View ends. A second Close waits for
// the first and returns nil.
//
// If the store has written to the file, and a quarter of it or more is free, Close cuts
// it: it moves up to 16 MiB of pages from the file's end to free ones, which takes about
// 0.1 s on a disk that writes 200 MB/s and keeps others from opening the file, and leaves
// free 256 KiB, or one page in 128, for the next commits. Whatever stops that, every
// commit stays; why it was not done is logged, and no error. Files of more than 1 GiB,
// those that are shared, and all on Windows stay as they are.
func (s *BoltStore) Close() error {
	var err error
	s.closing.Do(func() { err = s.close() })
	if err != nil {
		return fmt.Errorf("userdata: close %s: %w", s.path, err)
	}
	return nil
}

func (s *BoltStore) close() error {
	drained := s.calls.shut()
	s.withdrawPin()
	for {
		select {
		case <-drained:
			return s.release()
		case <-time.After(closePatience):
			s.mu.Lock()
			views := s.viewing
			s.mu.Unlock()
			if views > 0 {
				go s.releaseAfter(drained)
				return fmt.Errorf("%w: it is closed when the View ends", errTimeout)
			}
		}
	}
}

// releaseAfter closes the file when the last call has ended.
func (s *BoltStore) releaseAfter(drained <-chan struct{}) {
	<-drained
	if err := s.release(); err != nil {
		s.log.Warn("userdata: closing after the last View", "path", s.path, "error", err)
	}
}

// views returns how many reads of the file are under way. The caller has the
// store's lock.
func (s *BoltStore) views() int {
	n := s.handle.views
	for _, h := range s.old {
		n += h.views
	}
	return n
}

// release closes the file. Nothing uses it any more.
func (s *BoltStore) release() error {
	s.unpin(s.handle)
	var err error
	if ownsLock || !s.opts.Shared { // else it was closed after the last turn
		err = s.handle.close()
	}
	if s.wrote && s.seals() && !s.handle.broken && s.failed == nil && !s.shrink() {
		s.endSeals()
	}
	if s.own != nil {
		if closing := s.own.Close(); err == nil {
			err = closing
		}
	}
	return err
}
