//go:build !(darwin || dragonfly || freebsd || (linux && !android) || netbsd || openbsd || windows)

package userdata

import (
	"errors"
	"os"
)

// ownsLock tells that only bbolt locks the file: these systems tie a lock to the
// process, which loses it as soon as any descriptor of the file is closed.
const ownsLock = false

// openFlags: a symbolic link is found out before, by Lstat.
const openFlags = 0

// tryLock leaves it to bbolt to lock the file.
func tryLock(*os.File, bool) error { return nil }

// unlock has nothing to release.
func unlock(*os.File) error { return nil }

// duplicate is not called: see ownsLock.
func duplicate(*os.File) (*os.File, error) { return nil, errors.ErrUnsupported }

// replaceFile renames the synced file tmp to path.
func replaceFile(tmp, path string, _ *os.File) error { return os.Rename(tmp, path) }

// syncFolder does nothing: not all of these systems can sync a folder.
func syncFolder(string) error { return nil }
