package userdata

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	// unixMmapSize is 4 GiB with 64-bit addresses, else 0. It costs address
	// space only: a file that grows within its mapping need not be mapped anew,
	// for which bbolt would wait for all readers and copy what it is about to write.
	unixMmapSize = 4 << 30 * (math.MaxInt >> 62)

	// A file grows by an eighth of its size, within these bounds: bbolt's fixed 16 MiB
	// would make every small file that large.
	minFileGrowth = 64 << 10
	maxFileGrowth = 4 << 20
)

// A boltHandle is one opening of the file, by bbolt or without it. A store has one, but for the
// time after a failed commit: then reads that began before go on with the old one.
type boltHandle struct {
	db   *bbolt.DB // nil if the file is read and written without bbolt
	file *os.File  // bbolt's descriptor; nil where the store does not own the lock
	log  *slog.Logger

	direct *directFile // the file without bbolt; nil if that has opened it

	// span is how many bytes of the file are mapped, at least.
	span, pageSize int64

	// broken tells that a write transaction of this handle failed: it must not
	// write any more. It is the writer's.
	broken bool

	// wedged tells that bbolt panicked while it held its own locks: no transaction
	// can begin any more, and the handle can't be closed.
	wedged atomic.Bool

	// views counts the reads that use the handle; retired tells that it is no
	// longer the store's, and is to be closed after the last of them. Both are
	// under the store's lock.
	views   int
	retired bool

	// pin is what reads share, if there is one. latest is the version of the last
	// state that was seen. Both are under the store's lock.
	pin    *pin
	latest uint64

	closed bool
}

// openHandle lets bbolt open the file, which is locked by own where the store
// owns the lock; else own is closed. A large mapping is done without if the
// process may not have it.
func openHandle(own *os.File, path string, o *Options) (*boltHandle, error) {
	bo := boltOptions(o)
	h, err := tryHandle(own, path, bo, o.Logger)
	if errors.Is(err, syscall.ENOMEM) && bo.InitialMmapSize > 0 {
		o.Logger.Info(noAddressSpace, "path", path, "size", bo.InitialMmapSize)
		bo.InitialMmapSize = 0
		h, err = tryHandle(own, path, bo, o.Logger)
	}
	return h, err
}

// noAddressSpace is logged when a large mapping is done without.
const noAddressSpace = "userdata: no address space for a large mapping, opening without"

func tryHandle(own *os.File, path string, bo *bbolt.Options, log *slog.Logger) (*boltHandle, error) {
	h := &boltHandle{log: log}
	bo.OpenFile = func(path string, flag int, mode fs.FileMode) (*os.File, error) {
		if !ownsLock {
			return os.OpenFile(path, flag&^os.O_CREATE, mode)
		}
		f, err := duplicate(own)
		h.file = f
		return f, err
	}
	err := h.guard(func() (err error) {
		h.db, err = bbolt.Open(path, fileMode, bo)
		return err
	})
	if err != nil {
		if h.file != nil {
			h.file.Close() // bbolt has done so already, unless it panicked
			err = errors.Join(err, relock(own, !bo.ReadOnly))
		}
		return nil, boltOpenError(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, errors.Join(pathless(err), h.close())
	}
	h.pageSize = int64(h.db.Info().PageSize)
	h.span = mappedSize(max(info.Size(), int64(bo.InitialMmapSize)))
	return h, nil
}

// errLockLost says that the store has a file open without its lock.
var errLockLost = fmt.Errorf("%w by another process, which took the lock while it was being opened", ErrLocked)

// relock takes the file's lock again, which a bbolt that fails to open it lets go of.
func relock(own *os.File, alone bool) error {
	err := tryLock(own, alone)
	if errors.Is(err, errHeld) {
		return errLockLost
	}
	return err
}

// boltOptions translates options, whose zero values stand for defaults.
//
// Free pages are kept in bbolt's array, which gives pages beside each other, in the
// order of the file: they are synced faster than those that its map picks. The map sorts
// all of them in each commit (6 ms with 70,000), the array looks through them for
// each value of several pages (0.05 ms).
func boltOptions(o *Options) *bbolt.Options {
	bo := &bbolt.Options{
		Timeout:      o.lockTimeout(),
		ReadOnly:     o.ReadOnly,
		FreelistType: bbolt.FreelistArrayType,
		NoStatistics: true,
	}
	if !o.ReadOnly && runtime.GOOS != "windows" { // there the file itself would get that size
		bo.InitialMmapSize = unixMmapSize
	}
	return bo
}

// boltOpenError translates an error of bbolt.Open.
func boltOpenError(err error) error {
	switch {
	case errors.Is(err, errLockLost):
		return err
	case errors.Is(err, berrors.ErrTimeout):
		return ErrLocked
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum):
		return corruptf("not a bbolt file: %v", err)
	}
	return pathless(err) // the path is said already
}

// mappedSize is how much bbolt maps of a file of this size: a power of two from
// 32 KiB to 1 GiB, then whole GiB.
func mappedSize(size int64) int64 {
	for n := int64(32 << 10); n <= 1<<30; n *= 2 {
		if size <= n {
			return n
		}
	}
	return (size + 1<<30 - 1) &^ (1<<30 - 1)
}

// close gives back what the handle has. The descriptor goes first where it is
// ours: bbolt's attempt to unlock the file, which the store still holds, then
// fails. The second time it does nothing. A wedged handle leaves its mapping behind, which is address space.
func (h *boltHandle) close() error {
	if h.closed {
		return nil
	}
	h.closed = true
	if h.direct != nil {
		return h.direct.close()
	}
	var err error
	if h.file != nil {
		err = h.file.Close()
	}
	if h.wedged.Load() {
		return err
	}
	closing := h.guard(h.db.Close)
	if h.file != nil && (errors.Is(closing, syscall.EBADF) || errors.Is(closing, os.ErrClosed)) {
		closing = nil
	}
	return errors.Join(err, closing)
}

// guard runs fn, which works on the mapped file: a panic in it, and a fault
// because the file is shorter than it says, become ErrCorrupt. Nothing of the
// caller's may run inside.
func (h *boltHandle) guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			h.log.Error("userdata: panic in a damaged file", "panic", r, "stack", string(debug.Stack()))
			err = corruptf("%v", r)
		}
	}()
	return fn()
}

// beginTx begins a transaction of bbolt's, unless that could not end. The meta pages
// are looked at first: if the file is too short to have them, bbolt would find out with
// its locks held.
func (h *boltHandle) beginTx(writable bool) (tx *bbolt.Tx, err error) {
	if h.wedged.Load() {
		return nil, corruptf("bbolt has failed in this file before")
	}
	if err := h.guard(h.touchMetas); err != nil {
		return nil, err
	}
	returned := false
	err = h.guard(func() (err error) {
		tx, err = h.db.Begin(writable)
		returned = true
		return err
	})
	if !returned {
		h.wedged.Store(true)
	}
	return tx, err
}

// touchMetas reads a little of each meta page.
func (h *boltHandle) touchMetas() error {
	base := *(*unsafe.Pointer)(unsafe.Pointer(&h.db.Info().Data)) // the mapping
	for slot := range int64(2) {
		atomic.LoadUint32((*uint32)(unsafe.Add(base, slot*h.pageSize))) // which no compiler leaves out
	}
	return nil
}

// lockTimeout returns LockTimeout, or what stands for 0.
func (o *Options) lockTimeout() time.Duration {
	if o.LockTimeout == 0 {
		return defaultLockTimeout // bbolt's 0 waits for ever
	}
	return o.LockTimeout
}

// errnoOf adds the system's error to one that has it only in its text, as some of
// bbolt's do, so that errors.Is finds it.
func errnoOf(err error) error {
	if _, ok := errors.AsType[syscall.Errno](err); ok || err == nil {
		return err
	}
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EIO, syscall.EINTR, syscall.EFBIG, syscall.EROFS, syscall.ENOMEM, syscall.EBADF} {
		text, cause := err.Error(), errno.Error()
		if len(text) > len(cause) && text[len(text)-len(cause):] == cause {
			return &systemError{err, errno}
		}
	}
	return err
}

// A systemError is an error that has the system's only in its text.
type systemError struct {
	error
	errno syscall.Errno
}

// Unwrap returns both.
func (e *systemError) Unwrap() []error { return []error{e.error, e.errno} }
