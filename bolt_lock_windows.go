package userdata

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// ownsLock tells that the store can't hold the lock beside bbolt: there a handle
// that is locked can't be locked again by its duplicate. The store locks the file
// while it looks at it, and lets go of it just before bbolt takes it.
const ownsLock = false

// openFlags: a symbolic link is found out before, by Lstat.
const openFlags = 0

// bboltRange is the byte that bbolt locks, far beyond the end of any file.
var bboltRange = windows.Overlapped{Offset: 1<<32 - 1, OffsetHigh: 1<<32 - 1}

// tryLock locks the file without waiting. Its error is errHeld if somebody has it.
func tryLock(f *os.File, alone bool) error {
	flags := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if alone {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	at := bboltRange
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errHeld
	}
	return err
}

// unlock releases the file's lock.
func unlock(f *os.File) error {
	at := bboltRange
	return windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, &at)
}

// duplicate is not called: see ownsLock.
func duplicate(*os.File) (*os.File, error) { return nil, errors.ErrUnsupported }

// replaceFile renames the synced file tmp to path, where the open file old is: it
// has to be closed first, since Windows keeps the name of an open file.
func replaceFile(tmp, path string, old *os.File) error {
	return errors.Join(old.Close(), os.Rename(tmp, path))
}

// syncFolder does nothing: Windows has no call for it, and NTFS journals names.
func syncFolder(string) error { return nil }

// lockHolder does not know who holds the lock.
func lockHolder(*os.File) string { return "" }
