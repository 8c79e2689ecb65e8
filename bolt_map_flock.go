//go:build darwin || dragonfly || freebsd || (linux && !android) || netbsd || openbsd

package userdata

import (
	"errors"
	"fmt"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// mapFile maps so many bytes of the file, to be read. As bbolt does, it tells the
// system that they are read in no order.
func mapFile(f *os.File, size int64) ([]byte, error) {
	if size <= 0 || size > math.MaxInt {
		return nil, fmt.Errorf("%d bytes: %w", size, syscall.ENOMEM)
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	if err := unix.Madvise(b, unix.MADV_RANDOM); err != nil && err != unix.ENOSYS {
		return nil, errors.Join(err, unix.Munmap(b))
	}
	return b, nil
}

// unmapFile ends the mapping.
func unmapFile(b []byte) error { return unix.Munmap(b) }
