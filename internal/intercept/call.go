//go:build linux && (amd64 || arm64)

package intercept

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// An Op is a kind of call.
type Op uint8

const (
	Write    Op = iota // write and pwrite64
	Truncate           // ftruncate and truncate
	Allocate           // fallocate
	Sync               // fsync and fdatasync
	Open               // openat that may create or empty a file
	Rename             // rename, renameat and renameat2
	Link               // link and linkat
	Unlink             // unlink and unlinkat
	Lock               // flock and the locks of fcntl
)

// String returns the name of the kind.
func (o Op) String() string {
	return [...]string{"write", "truncate", "allocate", "sync", "open", "rename", "link", "unlink", "lock"}[o]
}

// A Call is a call that the intercepted thread makes.
type Call struct {
	Op      Op
	FD      int    // the file; -1 for calls that name paths
	Path    string // absolute: the file that is truncated, opened, renamed, linked or unlinked
	NewPath string // absolute: the new name of one that is renamed or linked
	Offset  int64  // of a Write or Allocate, also where write(2) has none
	Size    int64  // of a Truncate, or the number of bytes of an Allocate
	Data    []byte // a copy of what a Write writes
	Flags   int    // of an Open, Rename, Link or Unlink; the mode of an Allocate

	n notification
}

// Perform makes the call, for the thread that waits for it.
func (c *Call) Perform() (int, syscall.Errno) {
	a := &c.n.args
	r, _, errno := syscall.Syscall6(uintptr(c.n.nr), uintptr(a[0]), uintptr(a[1]), uintptr(a[2]), uintptr(a[3]), uintptr(a[4]), uintptr(a[5]))
	return int(r), errno
}

// PerformPart writes only the first n bytes of a Write.
func (c *Call) PerformPart(n int) (int, syscall.Errno) {
	part := *c
	part.n.args[2] = uint64(n)
	return part.Perform()
}

// decode reads the arguments of a call, while its thread waits.
func decode(n *notification) (*Call, error) {
	older(n)
	c := &Call{FD: -1, n: *n}
	a := &c.n.args
	var err error
	switch n.nr {
	case unix.SYS_WRITE, unix.SYS_PWRITE64:
		c.Op, c.FD, c.Offset = Write, int(int32(a[0])), int64(a[3])
		if n.nr == unix.SYS_WRITE {
			c.Offset = position(c.FD)
		}
		c.Data, err = readMemory(a[1], int(a[2]))
	case unix.SYS_FTRUNCATE:
		c.Op, c.FD, c.Size = Truncate, int(int32(a[0])), int64(a[1])
	case unix.SYS_TRUNCATE:
		c.Op, c.Size = Truncate, int64(a[1])
		c.Path, err = readPath(unix.AT_FDCWD, a[0])
	case unix.SYS_FALLOCATE:
		c.Op, c.FD, c.Flags, c.Offset, c.Size = Allocate, int(int32(a[0])), int(a[1]), int64(a[2]), int64(a[3])
	case unix.SYS_FSYNC, unix.SYS_FDATASYNC:
		c.Op, c.FD = Sync, int(int32(a[0]))
	case unix.SYS_FLOCK, unix.SYS_FCNTL:
		c.Op, c.FD = Lock, int(int32(a[0]))
	case unix.SYS_OPENAT:
		c.Op, c.Flags = Open, int(a[2])
		c.Path, err = readPath(int(int32(a[0])), a[1])
	case unix.SYS_UNLINKAT:
		c.Op, c.Flags = Unlink, int(a[2])
		c.Path, err = readPath(int(int32(a[0])), a[1])
	default: // renameat, renameat2 and linkat have the same arguments
		c.Op, c.Flags = Rename, int(a[4])
		switch n.nr {
		case unix.SYS_LINKAT:
			c.Op = Link
		case unix.SYS_RENAMEAT:
			c.Flags = 0
		}
		c.Path, err = readPath(int(int32(a[0])), a[1])
		if err == nil {
			c.NewPath, err = readPath(int(int32(a[2])), a[3])
		}
	}
	return c, err
}

// position is where write(2) would write.
func position(fd int) int64 {
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err == nil && flags&unix.O_APPEND != 0 {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil {
			return st.Size
		}
	}
	off, err := unix.Seek(fd, 0, 1)
	if err != nil {
		return 0 // a pipe or a socket
	}
	return off
}

// readMemory copies the thread's memory. The kernel does it, not this process:
// the race detector has no way to know that the thread waits.
func readMemory(addr uint64, n int) ([]byte, error) {
	b := make([]byte, n)
	if n == 0 {
		return b, nil
	}
	got, err := readVM(b, addr)
	if err == nil && got < n {
		err = fmt.Errorf("%d of %d bytes", got, n)
	}
	return b, err
}

// readPath copies a path of the thread and makes it absolute.
func readPath(dirFD int, addr uint64) (string, error) {
	var path []byte
	for len(path) < unix.PathMax {
		buf := make([]byte, 4096-(addr+uint64(len(path)))%4096) // to the end of a page
		n, err := readVM(buf, addr+uint64(len(path)))
		if err != nil {
			return "", err
		}
		if end := bytes.IndexByte(buf[:n], 0); end >= 0 {
			return absolute(dirFD, string(append(path, buf[:end]...)))
		}
		path = append(path, buf[:n]...)
	}
	return "", unix.ENAMETOOLONG
}

// absolute resolves a path relative to an open folder.
func absolute(dirFD int, path string) (string, error) {
	if filepath.IsAbs(path) || dirFD == unix.AT_FDCWD {
		return filepath.Abs(path)
	}
	dir, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", dirFD))
	return filepath.Join(dir, path), err
}

// readVM copies memory of this process into b, and returns how much it could.
func readVM(b []byte, addr uint64) (int, error) {
	local := []unix.Iovec{{Base: &b[0], Len: uint64(len(b))}}
	remote := []unix.RemoteIovec{{Base: uintptr(addr), Len: len(b)}}
	return unix.ProcessVMReadv(os.Getpid(), local, remote, 0)
}

// FileID names a file whatever its path is, until it is deleted and closed.
type FileID struct{ Dev, Ino uint64 }

// IDOf returns the identity of the open file.
func IDOf(fd int) (FileID, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return FileID{uint64(st.Dev), st.Ino}, err
}

// IDOfPath returns the identity of the file at path, of the link itself if it is a
// symbolic one.
func IDOfPath(path string) (FileID, error) {
	var st unix.Stat_t
	err := unix.Lstat(path, &st)
	return FileID{uint64(st.Dev), st.Ino}, err
}
