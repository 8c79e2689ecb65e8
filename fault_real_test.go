//go:build linux && (amd64 || arm64)

package userdata_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-5df914be/userdata"
)

// These tests let real file systems fail: they are full, or read-only, or the
// process may not make files as large.

// mountTmpfs mounts a file system in memory of this many bytes, or skips the test if
// that is not allowed.
func mountTmpfs(t *testing.T, size int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("userdata-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("mounting a tmpfs needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// mountExt4 mounts an ext4 in a file of this many bytes, or skips the test if that
// can't be done.
func mountExt4(t *testing.T, size int64) (dir string) {
	t.Helper()
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, size)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-m", "0", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%s: %v: %s", args[0], err, out)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fillDisk commits random changes, and values that take room, until a commit fails. It
// returns what the store should hold then, and the error.
func fillDisk(s engineStore, rng *rand.Rand) (holds records, err error) {
	if holds, err = s.read(); err != nil {
		return nil, err
	}
	for i := range 2000 {
		changes, after := randomChanges(rng, holds)
		if i%4 > 0 {
			big := userdata.Change{Bucket: "big", Key: strconv.AppendInt(nil, int64(i), 10), Value: make([]byte, 20000)}
			changes, after = []userdata.Change{big}, maps.Clone(holds)
			after["big/"+string(big.Key)] = string(big.Value)
		}
		if err := s.apply(changes); err != nil {
			return holds, err
		}
		holds = after
	}
	return holds, errors.New("no commit failed")
}

// wantHolds compares what the store holds.
func wantHolds(t *testing.T, s engineStore, want records) {
	t.Helper()
	if got, err := s.read(); err != nil || !maps.Equal(got, want) {
		t.Fatalf("got %s, %v", difference(got, []records{want}), err)
	}
}

// On a full disk a file goes on with the pages of it that are free: what is deleted makes room.
func TestDiskFullOfOthers(t *testing.T) {
	t.Parallel()
	dir := mountTmpfs(t, 3<<20)
	s := openBoltFile(t, filepath.Join(dir, dbName), nil)
	key := func(i int) string { return fmt.Sprintf("%06d", i) }
	rng := rand.New(rand.NewPCG(1, 4))
	for at := 0; at < 6000; at += 500 {
		set := &userdata.ChangeSet{}
		for i := range 500 {
			set.Changes = append(set.Changes, userdata.Change{Bucket: "a", Key: []byte(key(at + i)), Value: make([]byte, 100)})
		}
		ok(t, s.Apply(t.Context(), set))
	}
	for range 30 { // so that much of the file is free, and could be more
		put(t, s, "a", key(rng.IntN(6000)), strings.Repeat("x", 100))
	}
	others, err := os.Create(filepath.Join(dir, "others"))
	ok(t, err)
	defer others.Close()
	for err == nil {
		_, err = others.Write(make([]byte, 4096))
	}
	for i := range 300 {
		ok(t, s.Apply(t.Context(), change(key(rng.IntN(6000)), "", userdata.ExpectAnything)))
		set := change(key(rng.IntN(6000)), "", userdata.ExpectAnything)
		set.Changes[0].Value = nil
		if err := s.Apply(t.Context(), set); err != nil {
			t.Fatalf("delete %d: got %v, want nil", i, err)
		}
	}
	if n := userdata.Handles(s); n != 1 {
		t.Errorf("got %d handles, want 1: nothing had to be mended", n)
	}
}

// A full disk is an error that says so. What was committed is there, and when there
// is room again the store goes on.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	for name, mount := range map[string]func(t *testing.T) string{
		"tmpfs": func(t *testing.T) string { return mountTmpfs(t, 2<<20) },
		"ext4":  func(t *testing.T) string { return mountExt4(t, 4<<20) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := mount(t)
			path, ballast := filepath.Join(dir, dbName), filepath.Join(dir, "ballast")
			if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := storeEngine.open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			rng := rand.New(rand.NewPCG(1, 3))
			holds, err := fillDisk(s, rng)
			if !errors.Is(err, unix.ENOSPC) || outcomeOf(err) != refused {
				t.Fatalf("got %v, want ENOSPC, and an outcome", err)
			}
			wantHolds(t, s, holds)
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				changes, after := randomChanges(rng, holds)
				if err := s.apply(changes); err != nil {
					t.Fatalf("Apply when there is room again: got %v, want nil", err)
				}
				holds = after
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if s, err = storeEngine.open(path); err != nil {
				t.Fatal(err)
			}
			wantHolds(t, s, holds)
			if err := errors.Join(s.Close(), checkPages(path)); err != nil {
				t.Error(err)
			}
		})
	}
}

// On a read-only file system a database can be read. What would write says why not.
func TestReadOnlyFileSystem(t *testing.T) {
	t.Parallel()
	dir := mountTmpfs(t, 1<<20)
	path := filepath.Join(dir, dbName)
	s, err := storeEngine.open(path)
	if err != nil {
		t.Fatal(err)
	}
	changes, holds := randomChanges(rand.New(rand.NewPCG(1, 4)), records{})
	if err := errors.Join(s.apply(changes), s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skip(err)
	}
	for _, name := range []string{dbName, "new.db"} {
		if _, err := userdata.OpenBolt(filepath.Join(dir, name), nil); !errors.Is(err, unix.EROFS) {
			t.Errorf("OpenBolt %s: got %v, want EROFS", name, err)
		}
	}
	ro, err := userdata.OpenBolt(path, &userdata.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	wantHolds(t, boltStoreFile{ro}, holds)
	if err := ro.Close(); err != nil {
		t.Error(err)
	}
}

// limitedFile tells a child process to be the one of TestFileSizeLimit.
const limitedFile = "USERDATA_TEST_LIMITED_FILE"

// A limit on the size of files is an error that says so, and what was committed is
// there.
func TestFileSizeLimit(t *testing.T) {
	if path := os.Getenv(limitedFile); path != "" {
		fileSizeLimit(t, path)
		return
	}
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFileSizeLimit$")
	cmd.Env = append(os.Environ(), limitedFile+"="+filepath.Join(t.TempDir(), dbName))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("child: %v\n%s", err, out)
	}
}

// fileSizeLimit is what the child does.
func fileSizeLimit(t *testing.T, path string) {
	s, err := storeEngine.open(path)
	if err != nil {
		t.Fatal(err)
	}
	limit := unix.Rlimit{Cur: 1 << 20, Max: unix.RLIM_INFINITY}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Skip(err)
	}
	rng := rand.New(rand.NewPCG(1, 5))
	holds, err := fillDisk(s, rng)
	if !errors.Is(err, unix.EFBIG) || outcomeOf(err) != refused {
		t.Fatalf("got %v, want EFBIG, and an outcome", err)
	}
	wantHolds(t, s, holds)
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	changes, after := randomChanges(rng, holds)
	if err := s.apply(changes); err != nil {
		t.Errorf("Apply when larger files are allowed again: got %v, want nil", err)
	}
	wantHolds(t, s, after)
	if err := errors.Join(s.Close(), checkPages(path)); err != nil {
		t.Error(err)
	}
}
