//go:build !(darwin || dragonfly || freebsd || (linux && !android) || netbsd || openbsd)

package userdata

import (
	"errors"
	"os"
)

// mapFile is not called: see ownsLock.
func mapFile(*os.File, int64) ([]byte, error) { return nil, errors.ErrUnsupported }

// unmapFile has nothing to do.
func unmapFile([]byte) error { return nil }
