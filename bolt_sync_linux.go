//go:build linux && !android

package userdata

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData makes durable what was written to the file, and its size, but not its times.
func syncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
