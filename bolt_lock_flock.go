//go:build darwin || dragonfly || freebsd || (linux && !android) || netbsd || openbsd

package userdata

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// ownsLock tells that the store holds the file's lock with a descriptor of its
// own. bbolt gets duplicates of it, for which its own flock is void, so that it
// can be opened anew without letting anybody else in between.
const ownsLock = true

// openFlags keep an open from following a symbolic link and from waiting for the
// other end of a pipe, should one take the file's place.
const openFlags = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// tryLock locks the file without waiting. Its error is errHeld if somebody has it.
func tryLock(f *os.File, alone bool) error {
	how := syscall.LOCK_SH
	if alone {
		how = syscall.LOCK_EX
	}
	err := flock(f, how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errHeld
	}
	return err
}

// unlock releases the file's lock.
func unlock(f *os.File) error { return flock(f, syscall.LOCK_UN) }

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if err != syscall.EINTR {
			return err
		}
	}
}

// duplicate returns another descriptor of the same opening of the file: what is
// locked through one of them is locked for all.
func duplicate(f *os.File) (*os.File, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// replaceFile renames the synced file tmp to path, where the open file old is,
// and syncs the folder.
func replaceFile(tmp, path string, old *os.File) error {
	if err := os.Rename(tmp, path); err != nil {
		return pathless(err)
	}
	return syncFolder(path)
}

// syncFolder makes the name of the file at path durable.
func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return pathless(err)
	}
	return errors.Join(pathless(d.Sync()), d.Close())
}
