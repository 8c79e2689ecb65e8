//go:build linux && (amd64 || arm64)

// Package intercept lets a test decide what becomes of the file system calls
// that the code under test makes: perform them, fail them, shorten them, or
// pretend them. It needs no root, no cgo and no change of that code.
//
// [Run] runs a function on an OS thread of its own, under a seccomp filter with
// user notification (Linux 5.19 or newer). At each call that changes files the
// thread stops, and a handler elsewhere in the process sees its arguments and its
// bytes, and answers it. The thread ends with the function, and the filter with it.
//
// What it can't see:
//
//   - Calls of other threads. A goroutine that the function starts runs on
//     another one, as does the garbage collector.
//   - Writes of exactly 8 bytes with write(2), which the Go runtime uses to wake
//     itself, and must not wait for.
//   - Stores through a writable memory map.
//
// Calls that would change files in ways that the handler is not told of, such as
// writev and copy_file_range, fail with ENOSYS, for which Go falls back to write.
// The function must not start processes: they would inherit the filter.
package intercept

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrUnsupported is returned where the kernel does not allow interception.
var ErrUnsupported = errors.New("no seccomp user notification here")

// A Handler answers a call of the intercepted thread, which waits meanwhile. It
// returns what the call returns, and errno, or 0. Most handlers return what
// [Call.Perform] does.
type Handler func(c *Call) (result int, errno syscall.Errno)

// Run calls fn on a thread of its own, and h for each call of it that changes
// files, one at a time. It returns fn's error, or [ErrUnsupported] without having
// called fn. A panic of fn or h goes on to the caller of Run.
func Run(fn func() error, h Handler) error {
	listener := make(chan int, 1)
	done := make(chan error, 1)
	go onThread(fn, filter(), unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, listener, done)
	fd := <-listener
	if fd < 0 {
		return <-done
	}
	s := supervisor{fd: fd, handler: h}
	defer func() {
		unix.Close(fd) // its calls fail with ENOSYS from here on, if h panicked
		if !s.ended {
			<-done
		}
	}()
	if err := s.serve(); err != nil {
		return err
	}
	return rethrow(<-done)
}

// WithoutSync calls fn on a thread of its own, whose fsync and fdatasync do
// nothing and succeed: to look at many files that need not last. It returns fn's
// error, or [ErrUnsupported] without having called fn.
func WithoutSync(fn func() error) error {
	listener := make(chan int, 1)
	done := make(chan error, 1)
	go onThread(fn, noSyncFilter(), 0, listener, done)
	<-listener
	return rethrow(<-done)
}

// A panicError carries a panic from the intercepted thread.
type panicError struct {
	value any
	stack []byte
}

// Error tells the panic's value and where it began.
func (e *panicError) Error() string { return fmt.Sprintf("%v\n\n%s", e.value, e.stack) }

// rethrow panics with a panic of the thread, and returns any other error.
func rethrow(err error) error {
	if p, ok := err.(*panicError); ok {
		panic(p.Error())
	}
	return err
}

// onThread calls fn under a filter, on a thread that ends with it. It sends the
// listener, or -1 if the filter could not be installed, then the outcome.
func onThread(fn func() error, prog []unix.SockFilter, flags uintptr, listener chan<- int, done chan<- error) {
	runtime.LockOSThread() // for ever: the thread has the filter until it ends
	fd, err := install(prog, flags)
	if err != nil {
		listener <- -1
		done <- fmt.Errorf("%w: %w", ErrUnsupported, err)
		return
	}
	listener <- fd
	done <- run(fn, flags != 0)
}

// run calls fn and tells the supervisor, if there is one, when it has ended.
func run(fn func() error, supervised bool) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v, debug.Stack()}
		}
		if supervised {
			syscall.Syscall(unix.SYS_FTRUNCATE, uintptr(endFD), endSize, 0)
		}
	}()
	return fn()
}

// The call with which a thread says that it has ended: no program means it.
const (
	endFD   = ^uint32(0) - 0x75646174
	endSize = 0x75646174
)

// install puts the current thread under the filter. It returns the listener, if
// the flags ask for one.
func install(prog []unix.SockFilter, flags uintptr) (int, error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, fmt.Errorf("prctl: %w", err)
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return -1, fmt.Errorf("seccomp: %w", errno)
	}
	return int(fd), nil
}

// A notification is the kernel's struct seccomp_notif.
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// A response is the kernel's struct seccomp_notif_resp.
type response struct {
	id    uint64
	value int64
	errno int32 // negative
	flags uint32
}

// A supervisor answers the calls of one thread.
type supervisor struct {
	fd      int
	handler Handler
	ended   bool // the thread has said that it has ended
}

// serve answers calls until the thread ends.
func (s *supervisor) serve() error {
	for !s.ended {
		var n notification
		err := ioctl(s.fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n))
		if err == unix.ENOENT {
			continue // a signal came first: the thread will make the call again
		}
		if err != nil {
			return fmt.Errorf("seccomp: receive: %w", err)
		}
		r := response{id: n.id}
		if n.nr == unix.SYS_FTRUNCATE && uint32(n.args[0]) == endFD && n.args[1] == endSize {
			s.ended = true
		} else {
			r.value, r.errno = s.answer(&n)
		}
		if err := ioctl(s.fd, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r)); err != nil {
			return fmt.Errorf("seccomp: send: %w", err)
		}
	}
	return nil
}

// answer asks the handler about a call.
func (s *supervisor) answer(n *notification) (value int64, errno int32) {
	c, err := decode(n)
	if err != nil {
		return 0, -int32(unix.EFAULT)
	}
	result, e := s.handler(c)
	if e != 0 {
		return 0, -int32(e)
	}
	return int64(result), 0
}

// ioctl calls ioctl, again if a signal interrupts it.
func ioctl(fd int, req uint, arg unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(req), uintptr(arg))
		if errno == 0 {
			return nil
		}
		if errno != unix.EINTR {
			return errno
		}
	}
}
