package userdata_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

// sparse puts n entries into bucket "a", then deletes all but every tenth.
func sparse(t testing.TB, s *userdata.BoltStore, n int) {
	t.Helper()
	var puts, deletes userdata.ChangeSet
	for i := range n {
		key := fmt.Appendf(nil, "%06d", i)
		puts.Changes = append(puts.Changes, userdata.Change{Bucket: "a", Key: key, Value: bytes.Repeat([]byte{byte(i)}, 100)})
		if i%10 > 0 {
			deletes.Changes = append(deletes.Changes, userdata.Change{Bucket: "a", Key: key})
		}
	}
	if err := errors.Join(s.Apply(t.Context(), &puts), s.Apply(t.Context(), &deletes)); err != nil {
		t.Fatal(err)
	}
}

// A backup is one state, whatever is committed while it is made.
func TestBackup(t *testing.T) {
	t.Parallel()
	s := openBolt(t)
	sparse(t, s, 2000)
	target := filepath.Join(t.TempDir(), "backup.db")
	if err := os.WriteFile(target, []byte("the one before"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			both := &userdata.ChangeSet{Changes: []userdata.Change{
				{Bucket: "x", Key: []byte("1"), Value: fmt.Append(nil, i)}, {Bucket: "y", Key: []byte("1"), Value: fmt.Append(nil, i)},
			}}
			if err := s.Apply(context.Background(), both); err != nil {
				t.Error(err)
			}
		}
	})
	for range 20 {
		if err := s.Backup(t.Context(), target); err != nil {
			t.Fatal(err)
		}
		copied := openBoltFile(t, target, &userdata.Options{ReadOnly: true})
		all, _, err := contents(copied)
		if err != nil || len(all["a"]) != 200 || all["x"]["1"] != all["y"]["1"] {
			t.Errorf("got %d entries, %q and %q, %v, want 200 and two equal ones", len(all["a"]), all["x"], all["y"], err)
		}
		copied.Close()
	}
	stop()
	writer.Wait()
	if info, err := os.Stat(target); err != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("got %v, %v, want mode 0600", info, err)
	}
}

// What fails leaves the backup before, and no other file.
func TestBackupFails(t *testing.T) {
	t.Parallel()
	s := openBolt(t)
	sparse(t, s, 100)
	dir := t.TempDir()
	target := filepath.Join(dir, "backup.db")
	if err := os.WriteFile(target, []byte("the one before"), 0o600); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Backup(ended, target); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: got %v, want context.Canceled", err)
	}
	if err := s.Backup(t.Context(), s.Path()); !errors.Is(err, userdata.ErrInvalid) {
		t.Errorf("over its own file: got %v, want ErrInvalid", err)
	}
	if err := s.Backup(t.Context(), dir); !errors.Is(err, userdata.ErrInvalid) {
		t.Errorf("over a folder: got %v, want ErrInvalid", err)
	}
	if err := s.Backup(t.Context(), filepath.Join(dir, "none", "backup.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("into no folder: got %v, want fs.ErrNotExist", err)
	}
	full := errors.New("full")
	if _, err := s.WriteTo(t.Context(), writerFunc(func([]byte) (int, error) { return 0, full })); !errors.Is(err, full) {
		t.Errorf("to a writer that fails: got %v, want its error", err)
	}
	names, err := os.ReadDir(dir)
	text, reading := os.ReadFile(target)
	if err := errors.Join(err, reading); err != nil || len(names) != 1 || string(text) != "the one before" {
		t.Errorf("got %v, %q, %v, want the file before, alone", names, text, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// A copy of a damaged file must not pass for a backup.
func TestBackupOfDamaged(t *testing.T) {
	t.Parallel()
	s, err := userdata.OpenBolt(filepath.Join(t.TempDir(), "test.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sparse(t, s, 2000)
	file, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	at := int64(bytes.LastIndex(file, bytes.Repeat([]byte{40}, 100)))
	snapshot := func() (value byte) {
		s.View(t.Context(), func(snap userdata.Snapshot) error {
			v, err := snap.Get("a", []byte("000040"))
			if err == nil {
				value = v[0]
			}
			return err
		})
		return value
	}
	for ; at >= 0 && snapshot() == 40; at = int64(bytes.LastIndex(file[:at], bytes.Repeat([]byte{40}, 100))) {
		overwrite(t, s.Path(), at, []byte{41})
	}
	target := filepath.Join(t.TempDir(), "backup.db")
	if err := s.Backup(t.Context(), target); !errors.Is(err, userdata.ErrCorrupt) {
		t.Errorf("Backup: got %v, want ErrCorrupt", err)
	}
	if _, err := os.Stat(target); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want no backup", err)
	}
	if err := s.Compact(t.Context()); !errors.Is(err, userdata.ErrCorrupt) {
		t.Errorf("Compact: got %v, want ErrCorrupt", err)
	}
}

// Compacting changes nothing but the size, under the feet of readers and writers.
func TestCompact(t *testing.T) {
	t.Parallel()
	s := openBolt(t)
	sparse(t, s, 5000)
	before, version, err := contents(s)
	size := fileSize(t, s.Path())
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(t.Context(), func(snap userdata.Snapshot) error {
		value, err := snap.Get("a", []byte("000010"))
		if err := s.Compact(t.Context()); err != nil {
			return err
		}
		for i := range 100 {
			put(t, s, "later", fmt.Sprint(i), "x")
		}
		if !bytes.Equal(value, bytes.Repeat([]byte{10}, 100)) || snap.Version() != version {
			t.Error("the View's snapshot has changed")
		}
		if _, err := snap.Get("later", []byte("1")); err != nil {
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if compacted := fileSize(t, s.Path()); compacted > size/4 {
		t.Errorf("got %d bytes after %d, want less than a quarter", compacted, size)
	}
	if n := userdata.Handles(s); n != 1 {
		t.Errorf("got %d handles, want 1", n)
	}
	again, err := userdata.OpenBolt(s.Path(), &userdata.Options{LockTimeout: -1})
	if !errors.Is(err, userdata.ErrLocked) {
		t.Errorf("a second opener afterwards: got %v, %v, want ErrLocked", again, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	reopened := openBoltFile(t, s.Path(), nil)
	after, _, err := contents(reopened)
	delete(after, "later")
	if diff := cmp.Diff(before, after); diff != "" || err != nil {
		t.Errorf("contents (-before +after): %v\n%s", err, diff)
	}
}

func TestCompactKeepsVersion(t *testing.T) {
	t.Parallel()
	s := openBolt(t)
	sparse(t, s, 100)
	_, before, _ := contents(s)
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, after, err := contents(s); after != before || err != nil {
		t.Errorf("version: got %d, %v, want %d", after, err, before)
	}
	put(t, s, "a", "1", "x")
	if _, after, err := contents(s); after != before+1 || err != nil {
		t.Errorf("version after a commit: got %d, %v, want %d", after, err, before+1)
	}
}

func fileSize(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
