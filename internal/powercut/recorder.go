//go:build linux && (amd64 || arm64)

package powercut

import (
	"fmt"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-5df914be/userdata/internal/intercept"
)

// A Recorder runs code, records what it does to a folder, and can make its calls
// fail. No file is really synced: that would only take time.
//
// What runs must make its calls itself, not in goroutines of its own; see package
// intercept. The methods may be called while it runs.
type Recorder struct {
	// mu orders the code that runs and the handler, for the race detector: in
	// fact the one waits for the other.
	mu    sync.Mutex
	fault func(n int, c *intercept.Call) Action

	dir   string
	dirID intercept.FileID
	trace Trace
	disk  *Disk // after the trace
	ids   map[intercept.FileID]FileID
	calls int
	err   error // what the model has no place for
}

// An Action says what becomes of a call. The zero value performs it.
type Action struct {
	Errno   syscall.Errno // fail with it
	Done    bool          // perform it and then fail
	Short   int           // write only this many bytes, if not 0, and say so
	Pretend bool          // do nothing, and say that it was done
}

// NewRecorder fills the folder with what processes see on the disk, and records
// from there on. The disk is copied. The path must have no symbolic links.
func NewRecorder(dir string, d *Disk) (*Recorder, error) {
	r := &Recorder{dir: dir, disk: d.Clone(), ids: map[intercept.FileID]FileID{}}
	r.trace.Start = d.Clone()
	if err := r.disk.Restore(dir); err != nil {
		return nil, err
	}
	var err error
	if r.dirID, err = intercept.IDOfPath(dir); err != nil {
		return nil, err
	}
	for name, id := range r.disk.names {
		inode, err := intercept.IDOfPath(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		r.ids[inode] = id
	}
	return r, nil
}

// Run runs fn and records. It returns fn's error, or [intercept.ErrUnsupported];
// and an error if fn made a call that the model has no place for, or the files do
// not hold what was recorded.
func (r *Recorder) Run(fn func() error) error {
	if err := intercept.Run(fn, r.answer); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	return r.disk.Verify(r.dir)
}

// SetFault makes fault decide what becomes of each call that concerns the folder: n
// counts them from 0. With nil all are performed.
func (r *Recorder) SetFault(fault func(n int, c *intercept.Call) Action) {
	r.Locked(func() { r.fault = fault })
}

// Locked calls fn while no call is decided on: what fn and a fault share can't race.
func (r *Recorder) Locked(fn func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fn()
}

// Trace returns what was recorded so far. It stays as it is when more is recorded.
func (r *Recorder) Trace() (t Trace) {
	r.Locked(func() { t = r.trace })
	return t
}

// Len returns how many operations were recorded so far.
func (r *Recorder) Len() (n int) {
	r.Locked(func() { n = len(r.trace.Ops) })
	return n
}

// Disk returns a copy of the disk as it is now.
func (r *Recorder) Disk() (d *Disk) {
	r.Locked(func() { d = r.disk.Clone() })
	return d
}

// record takes an operation into the trace.
func (r *Recorder) record(op Op) {
	r.trace.Ops = append(r.trace.Ops, op)
	r.disk.Apply(op)
}

// answer is the handler of intercepted calls.
func (r *Recorder) answer(c *intercept.Call) (int, syscall.Errno) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.concerns(c) {
		return c.Perform()
	}
	var a Action
	if r.fault != nil {
		a = r.fault(r.calls, c)
	}
	r.calls++
	switch {
	case a.Pretend:
		return len(c.Data), 0
	case a.Errno != 0 && c.Op == intercept.Sync && !a.Done:
		return r.failSync(c, a.Errno)
	case a.Errno != 0 && !a.Done:
		return 0, a.Errno
	}
	n, errno := r.perform(c, a.Short)
	if a.Errno != 0 && errno == 0 {
		if c.Op == intercept.Open {
			unix.Close(n)
		}
		return 0, a.Errno
	}
	return n, errno
}

// concerns reports whether a call is on the folder or a file that is in it.
func (r *Recorder) concerns(c *intercept.Call) bool {
	if c.FD < 0 {
		return r.in(c.Path) || r.in(c.NewPath) || unnamed(c) && c.Path == r.dir
	}
	id, err := intercept.IDOf(c.FD)
	_, known := r.ids[id]
	return err == nil && (known || id == r.dirID)
}

// unnamed reports whether an Open creates a file without a name.
func unnamed(c *intercept.Call) bool {
	return c.Op == intercept.Open && c.Flags&unix.O_TMPFILE == unix.O_TMPFILE
}

// in reports whether the path is in the folder.
func (r *Recorder) in(path string) bool { return filepath.Dir(path) == r.dir }

// file returns the file that is open.
func (r *Recorder) file(c *intercept.Call) (FileID, bool) {
	inode, err := intercept.IDOf(c.FD)
	id, ok := r.ids[inode]
	return id, err == nil && ok
}

// failSync fails a sync. One that is interrupted has done nothing; with other
// errors the kernel gives up what it should have written.
func (r *Recorder) failSync(c *intercept.Call, errno syscall.Errno) (int, syscall.Errno) {
	if id, ok := r.file(c); ok && errno != unix.EINTR {
		r.record(Op{Kind: LoseSync, File: id})
	}
	return 0, errno
}

// perform makes a call, of a write only the first bytes if short is not 0, and
// records it if it succeeds.
func (r *Recorder) perform(c *intercept.Call, short int) (int, syscall.Errno) {
	switch c.Op {
	case intercept.Sync:
		if id, ok := r.file(c); ok {
			r.record(Op{Kind: Sync, File: id})
		} else {
			r.record(Op{Kind: SyncDir})
		}
		return 0, 0
	case intercept.Lock:
		return c.Perform()
	case intercept.Write:
		return r.write(c, short)
	case intercept.Open:
		return r.open(c)
	case intercept.Truncate, intercept.Allocate:
		return r.resize(c)
	}
	return r.rename(c)
}

// write performs a Write.
func (r *Recorder) write(c *intercept.Call, short int) (int, syscall.Errno) {
	size := len(c.Data)
	if short > 0 {
		size = min(short, size)
	}
	n, errno := c.PerformPart(size)
	if id, ok := r.file(c); ok && errno == 0 && n > 0 {
		r.record(Op{Kind: Write, File: id, Offset: c.Offset, Data: c.Data[:n]})
	}
	return n, errno
}

// resize performs a Truncate or an Allocate.
func (r *Recorder) resize(c *intercept.Call) (int, syscall.Errno) {
	id, ok := r.file(c)
	if c.FD < 0 {
		inode, err := intercept.IDOfPath(c.Path)
		id, ok = r.ids[inode]
		ok = ok && err == nil
	}
	if c.Op == intercept.Allocate && c.Flags&^unix.FALLOC_FL_KEEP_SIZE != 0 {
		return 0, unix.EOPNOTSUPP
	}
	n, errno := c.Perform()
	if !ok || errno != 0 {
		return n, errno
	}
	size := c.Size
	if c.Op == intercept.Allocate {
		size += c.Offset
		if c.Flags != 0 || size <= int64(len(r.disk.files[id].cache)) {
			return n, errno
		}
	}
	r.record(Op{Kind: Truncate, File: id, Size: size})
	return n, errno
}

// open performs an Open, which may create or empty a file.
func (r *Recorder) open(c *intercept.Call) (int, syscall.Errno) {
	_, missing := intercept.IDOfPath(c.Path)
	fd, errno := c.Perform()
	if errno != 0 {
		return fd, errno
	}
	inode, err := intercept.IDOf(fd)
	if err != nil {
		r.err = fmt.Errorf("powercut: open %s: %w", c.Path, err)
	}
	id, known := r.ids[inode]
	switch {
	case missing != nil || unnamed(c):
		op := Op{Kind: Create, File: FileID(len(r.disk.files)), Name: filepath.Base(c.Path)}
		if unnamed(c) {
			op.Name = ""
		}
		r.ids[inode] = op.File
		r.record(op)
	case known && c.Flags&unix.O_TRUNC != 0 && len(r.disk.files[id].cache) > 0:
		r.record(Op{Kind: Truncate, File: id})
	}
	return fd, errno
}

// rename performs a Rename, Link or Unlink.
func (r *Recorder) rename(c *intercept.Call) (int, syscall.Errno) {
	op := Op{Kind: Unlink, Name: filepath.Base(c.Path)}
	switch {
	case c.Op == intercept.Unlink && c.Flags&unix.AT_REMOVEDIR != 0:
		return c.Perform() // finds no folder of that name
	case c.Op == intercept.Rename && c.Flags&^unix.RENAME_NOREPLACE != 0:
		return 0, unix.EINVAL
	case c.Op == intercept.Rename && r.in(c.Path) && r.in(c.NewPath):
		op.Kind, op.NewName = Rename, filepath.Base(c.NewPath)
	case c.Op == intercept.Link && r.in(c.NewPath):
		var st unix.Stat_t
		stat := unix.Lstat
		if c.Flags&unix.AT_SYMLINK_FOLLOW != 0 {
			stat = unix.Stat
		}
		err := stat(c.Path, &st)
		id, ok := r.ids[intercept.FileID{Dev: uint64(st.Dev), Ino: st.Ino}]
		if err != nil || !ok {
			return 0, unix.EXDEV
		}
		op = Op{Kind: Link, File: id, Name: filepath.Base(c.NewPath)}
	case c.Op != intercept.Unlink:
		return 0, unix.EXDEV // into the folder or out of it
	}
	n, errno := c.Perform()
	if errno == 0 {
		r.record(op)
	}
	return n, errno
}
