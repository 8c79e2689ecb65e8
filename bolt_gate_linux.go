//go:build !android

package userdata

import (
	"errors"
	"io"
	"math"
	"os"
	"syscall"
)

// Locks that belong to the opening of a file, not to the process, as flock's do.
// Package syscall does not have the number.
const ofdSetLock = 37 // F_OFD_SETLK

// gateByte is the byte of the file that the gate is: no file is that long.
const gateByte = math.MaxInt64 - 1

// tryGate gets hold of the gate without waiting. Its error is errHeld if somebody
// has it. Who only reads has it beside others that do.
func tryGate(f *os.File, alone bool) error {
	if alone {
		return gate(f, syscall.F_WRLCK)
	}
	return gate(f, syscall.F_RDLCK)
}

// leaveGate lets go of the gate.
func leaveGate(f *os.File) error { return gate(f, syscall.F_UNLCK) }

func gate(f *os.File, how int16) error {
	for {
		err := syscall.FcntlFlock(f.Fd(), ofdSetLock, &syscall.Flock_t{Type: how, Whence: io.SeekStart, Start: gateByte, Len: 1})
		switch {
		case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EACCES):
			return errHeld
		case !errors.Is(err, syscall.EINTR):
			return err
		}
	}
}
