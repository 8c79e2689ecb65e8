//go:build linux && (amd64 || arm64)

package intercept_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/seed-5df914be/userdata/internal/intercept"
)

// run intercepts fn, or skips the test where that can't be done.
func run(t *testing.T, h intercept.Handler, fn func() error) error {
	t.Helper()
	err := intercept.Run(fn, h)
	if errors.Is(err, intercept.ErrUnsupported) {
		t.Skip(err)
	}
	return err
}

// tempDir returns a new folder by its real path, and makes it the prefix that
// tell leaves out.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// tell tells a call, with paths relative to dir.
func tell(dir string, c *intercept.Call) string {
	rel := func(path string) string { return strings.TrimPrefix(path, dir+"/") }
	switch c.Op {
	case intercept.Write:
		return fmt.Sprintf("write %q at %d", c.Data, c.Offset)
	case intercept.Truncate:
		return fmt.Sprintf("truncate %s to %d", rel(c.Path), c.Size)
	case intercept.Allocate:
		return fmt.Sprintf("allocate %d at %d", c.Size, c.Offset)
	case intercept.Rename, intercept.Link:
		return fmt.Sprintf("%v %s to %s", c.Op, rel(c.Path), rel(c.NewPath))
	case intercept.Open, intercept.Unlink:
		return fmt.Sprintf("%v %s", c.Op, rel(c.Path))
	}
	return c.Op.String()
}

// Each call that changes files is seen, with its arguments, and has its effect.
func TestRunSeesCalls(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	var got []string
	err := run(t, func(c *intercept.Call) (int, syscall.Errno) {
		got = append(got, tell(dir, c))
		return c.Perform()
	}, func() error {
		f, err := os.OpenFile(at("a"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		fd := int(f.Fd())
		_, err1 := f.Write([]byte("one"))
		_, err2 := f.Write([]byte("two"))
		_, err3 := f.WriteAt([]byte("three"), 10)
		root, err := os.OpenRoot(dir)
		if err != nil {
			return err
		}
		g, err := root.Create("b")
		if err != nil {
			return err
		}
		_, err4 := io.Copy(g, io.NewSectionReader(f, 0, 3))
		f.Seek(0, io.SeekStart)
		_, err5 := g.ReadFrom(f) // would be copy_file_range
		return errors.Join(err1, err2, err3, err4, err5,
			f.Truncate(20), os.Truncate(at("a"), 19), syscall.Fallocate(fd, 0, 0, 30),
			f.Sync(), syscall.Fdatasync(fd), syscall.Flock(fd, syscall.LOCK_EX),
			syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK}),
			os.Link(at("a"), at("c")), os.Rename(at("a"), at("d")), os.Remove(at("c")),
			unix.Renameat2(unix.AT_FDCWD, at("d"), unix.AT_FDCWD, at("a"), unix.RENAME_NOREPLACE),
			f.Close(), g.Close(), root.Close())
	})
	if err != nil {
		t.Fatalf("Run: got %v, want nil", err)
	}
	want := []string{
		"open a", `write "one" at 0`, `write "two" at 3`, `write "three" at 10`,
		"open b", `write "one" at 0`, `write "onetwo\x00\x00\x00\x00three" at 3`,
		"truncate  to 20", "truncate a to 19", "allocate 30 at 0",
		"sync", "sync", "lock", "lock",
		"link a to c", "rename a to d", "unlink c", "rename d to a",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if b, err := os.ReadFile(at("b")); string(b) != "oneonetwo\x00\x00\x00\x00three" || err != nil {
		t.Errorf("b: got %q, %v", b, err)
	}
}

// An answerer answers calls as it is told to. The mutex is for the race detector,
// which does not know that the thread waits for the handler.
type answerer struct {
	mu     sync.Mutex
	answer intercept.Handler
	calls  int // since it was told
}

func (a *answerer) handle(c *intercept.Call) (int, syscall.Errno) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls++
	return a.answer(c)
}

func (a *answerer) tell(answer intercept.Handler) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer, a.calls = answer, 0
}

// The handler's answer is what the code gets.
func TestRunAnswers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(tempDir(t), "a")
	a := &answerer{answer: (*intercept.Call).Perform}
	err := run(t, a.handle, func() error {
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		defer f.Close()
		a.tell(func(*intercept.Call) (int, syscall.Errno) { return 0, syscall.ENOSPC })
		if _, err := f.Write([]byte("no")); !errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("Write: got %v, want ENOSPC", err)
		}
		a.tell(func(c *intercept.Call) (int, syscall.Errno) { return c.PerformPart(1) })
		if n, err := syscall.Pwrite(int(f.Fd()), []byte("xyz"), 0); n != 1 || err != nil {
			return fmt.Errorf("Pwrite: got %d, %v, want 1", n, err)
		}
		a.tell(func(c *intercept.Call) (int, syscall.Errno) { return len(c.Data), 0 })
		if n, err := f.WriteAt([]byte("lost"), 1); n != 4 || err != nil {
			return fmt.Errorf("WriteAt: got %d, %v, want 4", n, err)
		}
		a.tell(func(c *intercept.Call) (int, syscall.Errno) {
			if a.calls < 4 {
				return 0, syscall.EINTR
			}
			return c.Perform()
		})
		return f.Sync()
	})
	if err != nil || a.calls != 4 {
		t.Errorf("got %v after %d calls, want nil after 4", err, a.calls)
	}
	if b, err := os.ReadFile(path); string(b) != "x" || err != nil {
		t.Errorf("got %q, %v, want x", b, err)
	}
}

// Other threads are not concerned, nor are what the runtime writes and the streams.
func TestRunSeesOneThread(t *testing.T) {
	t.Parallel()
	path := filepath.Join(tempDir(t), "a")
	calls := 0
	err := run(t, func(c *intercept.Call) (int, syscall.Errno) { calls++; return c.Perform() }, func() error {
		done := make(chan error)
		go func() { done <- os.WriteFile(path, []byte("elsewhere"), 0o600) }()
		if err := <-done; err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		_, err = f.Write([]byte("8 bytes!"))
		return errors.Join(err, f.Close())
	})
	if calls != 0 || err != nil {
		t.Errorf("got %d calls, %v, want none", calls, err)
	}
}

// Panics go on to the caller, and the thread does not hang when the handler is gone.
func TestRunPanics(t *testing.T) {
	t.Parallel()
	path := filepath.Join(tempDir(t), "a")
	create := func() error { _, err := os.Create(path); return err }
	for name, fn := range map[string]func() error{
		"function": func() error {
			return run(t, func(c *intercept.Call) (int, syscall.Errno) { return c.Perform() }, func() error { panic("mine") })
		},
		"handler": func() error {
			return run(t, func(c *intercept.Call) (int, syscall.Errno) { panic("mine") }, create)
		},
	} {
		func() {
			defer func() {
				if v := recover(); !strings.Contains(fmt.Sprint(v), "mine") {
					t.Errorf("panic in the %s: got %v, want it to go on", name, v)
				}
			}()
			fn()
		}()
	}
	want := errors.New("mine")
	if err := run(t, nil, func() error { return want }); err != want {
		t.Errorf("got %v, want the function's error", err)
	}
}

func TestWithoutSync(t *testing.T) {
	t.Parallel()
	err := intercept.WithoutSync(func() error {
		return errors.Join(syscall.Fsync(-1), syscall.Fdatasync(-1))
	})
	if errors.Is(err, intercept.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Errorf("syncs of no file: got %v, want nil, since they do nothing", err)
	}
	if err := syscall.Fsync(-1); err == nil {
		t.Error("a sync of no file on another thread: got nil, want an error")
	}
}
