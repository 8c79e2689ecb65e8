//go:build linux && (amd64 || arm64)

package powercut_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/seed-5df914be/userdata/internal/intercept"
	"github.com/seed-5df914be/userdata/internal/powercut"
)

// record records what fn does to a folder that holds the files.
func record(t *testing.T, files powercut.Image, fault func(int, *intercept.Call) powercut.Action, fn func(dir string) error) (*powercut.Recorder, error) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r, err := powercut.NewRecorder(dir, powercut.NewDisk(files))
	if err != nil {
		t.Fatal(err)
	}
	r.SetFault(fault)
	err = r.Run(func() error { return fn(dir) })
	if errors.Is(err, intercept.ErrUnsupported) {
		t.Skip(err)
	}
	return r, err
}

// wantOps compares what was recorded.
func wantOps(t *testing.T, r *powercut.Recorder, want ...string) {
	t.Helper()
	var got []string
	for _, op := range r.Trace().Ops {
		got = append(got, op.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}

func TestRecorderRecords(t *testing.T) {
	t.Parallel()
	r, err := record(t, powercut.Image{"f": []byte("abc")}, nil, func(dir string) error {
		at := func(name string) string { return filepath.Join(dir, name) }
		f, err := os.OpenFile(at("f"), os.O_RDWR|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		g, err := os.Create(at("g"))
		if err != nil {
			return err
		}
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		h, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR, 0o600)
		if err != nil {
			return err
		}
		_, err1 := f.Write([]byte("de"))
		_, err2 := g.WriteAt([]byte("x"), 3)
		_, err3 := unix.Write(h, []byte("unnamed"))
		return errors.Join(err1, err2, err3,
			os.Mkdir(at("g")+"h", 0o700), os.Remove(at("g")+"h"), // the model has no folders
			g.Truncate(2), g.Sync(), syscall.Fallocate(int(g.Fd()), 0, 0, 5), syscall.Fdatasync(int(f.Fd())), d.Sync(),
			unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", h), unix.AT_FDCWD, at("h"), unix.AT_SYMLINK_FOLLOW),
			os.Link(at("f"), at("i")), os.Rename(at("g"), at("f")), os.Remove(at("i")),
			os.WriteFile(at("f"), nil, 0), syscall.Flock(h, syscall.LOCK_EX),
			unix.Close(h), f.Close(), g.Close(), d.Close())
	})
	if err != nil {
		t.Fatal(err)
	}
	wantOps(t, r, `create "g" = 1`, `create "" = 2`, "write 0: 2 bytes at 3", "write 1: 1 bytes at 3", "write 2: 7 bytes at 0",
		"truncate 1 to 2", "sync 1", "truncate 1 to 5", "sync 0", "sync folder",
		`link "h" = 2`, `link "i" = 0`, `rename "g" to "f"`, `unlink "i"`, "truncate 1 to 0")
}

// What a call that fails has done is recorded, and only that.
func TestRecorderFails(t *testing.T) {
	t.Parallel()
	actions := []powercut.Action{
		{Errno: unix.EIO}, {Errno: unix.EIO, Done: true}, {Short: 1}, // writes
		{Errno: unix.EIO}, {Errno: unix.EINTR}, {Errno: unix.EIO, Done: true}, {Pretend: true}, {}, // syncs
	}
	want := []string{"-1 input/output error", "-1 input/output error", "1 errno 0", "input/output error", "interrupted system call", "input/output error", "errno 0", "errno 0"}
	var got []string
	r, err := record(t, powercut.Image{"f": []byte("abc")}, func(n int, _ *intercept.Call) powercut.Action { return actions[n] }, func(dir string) error {
		f, err := os.OpenFile(filepath.Join(dir, "f"), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		for i := range 3 {
			n, err := syscall.Pwrite(int(f.Fd()), []byte{'x', 'y'}, int64(i))
			got = append(got, fmt.Sprint(n, " ", errnoText(err)))
		}
		for range 5 {
			got = append(got, errnoText(syscall.Fdatasync(int(f.Fd()))))
		}
		return f.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	wantOps(t, r, "write 0: 2 bytes at 1", "write 0: 1 bytes at 2", "lose sync 0", "sync 0", "sync 0")
}

// errnoText tells an errno, also none.
func errnoText(err error) string {
	if err == nil {
		return "errno 0"
	}
	return err.Error()
}

// What escapes the recorder is noticed.
func TestRecorderVerifies(t *testing.T) {
	t.Parallel()
	_, err := record(t, powercut.Image{"f": []byte("abc")}, nil, func(dir string) error {
		done := make(chan error)
		go func() { done <- os.WriteFile(filepath.Join(dir, "f"), []byte("other"), 0o600) }()
		return <-done
	})
	if err == nil {
		t.Error("a write of another thread: got nil, want an error")
	}
}
