package userdata_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/seed-5df914be/userdata"
)

// change returns a change set of one change in bucket "a".
func change(key, value string, expect userdata.Expectation) *userdata.ChangeSet {
	c := userdata.Change{Bucket: "a", Key: []byte(key), Value: []byte(value), Expect: expect}
	return &userdata.ChangeSet{Changes: []userdata.Change{c}}
}

// together applies the change sets in one batch, in their order, and returns their
// outcomes.
func together(t *testing.T, s *userdata.BoltStore, sets []*userdata.ChangeSet) []error {
	t.Helper()
	release := userdata.HoldWriter(s)
	errs := make([]error, len(sets))
	var wg sync.WaitGroup
	for i, set := range sets {
		wg.Go(func() { errs[i] = s.Apply(context.Background(), set) })
		userdata.AwaitQueue(s, i+1)
	}
	release()
	wg.Wait()
	return errs
}

// What waits is written in one transaction, each checked on top of those before it.
func TestGroupCommit(t *testing.T) {
	t.Parallel()
	s := openBolt(t)
	put(t, s, "a", "taken", "x")
	_, before, _ := contents(s)
	errs := together(t, s, []*userdata.ChangeSet{
		change("1", "one", userdata.ExpectNothing),
		change("taken", "y", userdata.ExpectNothing),
		change("1", "again", userdata.ExpectNothing),
		{Changes: change("2", "two", userdata.ExpectNothing).Changes, Version: before},
		{Changes: []userdata.Change{
			{Bucket: "a", Key: []byte("1"), Value: []byte("ONE"), Expect: userdata.ExpectBytes, Before: []byte("one")},
			{Bucket: "b", Key: []byte("1"), Value: []byte("new bucket")},
		}},
		change("3", "three", userdata.ExpectNothing),
	})
	for i, conflict := range []bool{false, true, true, true, false, false} {
		if got := errors.Is(errs[i], userdata.ErrConflict); got != conflict || !conflict && errs[i] != nil {
			t.Errorf("call %d: got %v, want conflict: %v", i, errs[i], conflict)
		}
	}
	var ce *userdata.ConflictError
	if !errors.As(errs[2], &ce) || len(ce.Conflicts) != 1 || string(ce.Conflicts[0].Found) != "one" {
		t.Errorf("call 2: got %v, want a conflict with what call 0 wrote", errs[2])
	}
	wantContents(t, s, map[string]map[string]string{
		"a": {"taken": "x", "1": "ONE", "3": "three"}, "b": {"1": "new bucket"},
	})
	if _, after, _ := contents(s); after != before+1 {
		t.Errorf("version: got %d after %d, want one transaction", after, before)
	}
}

// 64 committers share their syncs: each transaction has one, or two. No other test runs
// meanwhile: who has no processor for long can't share.
func TestGroupCommitSyncs(t *testing.T) {
	s := openBolt(t)
	put(t, s, "a", "first", "x")
	_, before, _ := contents(s)
	const committers, each = 64, 60
	var wg sync.WaitGroup
	for i := range committers {
		wg.Go(func() {
			for j := range each {
				if err := s.Apply(context.Background(), change(fmt.Sprintf("%d/%d", i, j), "x", userdata.ExpectNothing)); err != nil {
					t.Errorf("Apply: %v", err)
				}
			}
		})
	}
	wg.Wait()
	all, after, _ := contents(s)
	if n := len(all["a"]); n != committers*each+1 {
		t.Errorf("got %d entries, want %d", n, committers*each+1)
	}
	t.Logf("%d commits in %d transactions", committers*each, after-before)
	if 2*(after-before) >= committers*each/10 {
		t.Errorf("%d commits took %d transactions with two syncs each, want less than a sync for ten", committers*each, after-before)
	}
}

func TestApplyWithdraws(t *testing.T) {
	t.Parallel()
	s := openBolt(t)
	release := userdata.HoldWriter(s)
	ctx, cancel := context.WithCancel(context.Background())
	outcome := make(chan error, 1)
	go func() { outcome <- s.Apply(ctx, change("1", "x", userdata.ExpectNothing)) }()
	userdata.AwaitQueue(s, 1)
	cancel()
	if err := <-outcome; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	userdata.AwaitQueue(s, 0)
	release()
	put(t, s, "a", "2", "y")
	wantContents(t, s, map[string]map[string]string{"a": {"2": "y"}})
}

// A change set that spoils the transaction takes nobody else's with it.
func TestGroupCommitSpoiled(t *testing.T) {
	t.Parallel()
	s := openBoltFile(t, nestedBucketFile(t), nil)
	errs := together(t, s, []*userdata.ChangeSet{
		change("1", "one", userdata.ExpectNothing),
		{Changes: []userdata.Change{
			{Bucket: "a", Key: []byte("2"), Value: []byte("two")}, {Bucket: "a", Key: []byte("nested"), Value: []byte("x")},
		}},
		change("3", "three", userdata.ExpectNothing),
	})
	if errs[0] != nil || !errors.Is(errs[1], userdata.ErrCorrupt) || errs[2] != nil {
		t.Errorf("got %v, want nil, ErrCorrupt, nil", errs)
	}
	err := s.View(t.Context(), func(snap userdata.Snapshot) error {
		for key, want := range map[string]string{"1": "one", "2": "", "3": "three", "z": "fine"} {
			if got, err := snap.Get("a", []byte(key)); string(got) != want || err != nil {
				t.Errorf("%s: got %q, %v, want %q", key, got, err, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A page that is damaged under an open store must not end the process, whether it
// is read or written to, and the store goes on with the rest.
func TestDamageWhileOpen(t *testing.T) {
	t.Parallel()
	s, err := userdata.OpenBolt(filepath.Join(t.TempDir(), "test.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var set userdata.ChangeSet
	for i := range 5000 {
		set.Changes = append(set.Changes, userdata.Change{Bucket: "a", Key: fmt.Appendf(nil, "%06d", i), Value: []byte("value")})
	}
	if err := s.Apply(t.Context(), &set); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	size := os.Getpagesize()
	for at := 2 * size; at+size <= len(file); at += size {
		if bytes.Contains(file[at:at+size], []byte("002500value")) {
			garbage := make([]byte, size)
			rng := rand.NewChaCha8([32]byte{1})
			rng.Read(garbage)
			overwrite(t, s.Path(), int64(at), garbage)
		}
	}
	err = s.View(t.Context(), func(snap userdata.Snapshot) error {
		_, err := snap.Get("a", []byte("002500"))
		return err
	})
	if !errors.Is(err, userdata.ErrCorrupt) {
		t.Errorf("Get: got %v, want ErrCorrupt", err)
	}
	for range 3 {
		if err := s.Apply(t.Context(), change("002500", "x", userdata.ExpectAnything)); !errors.Is(err, userdata.ErrCorrupt) {
			t.Errorf("Apply to it: got %v, want ErrCorrupt", err)
		}
		put(t, s, "b", "1", "fine")
	}
	if n := userdata.Handles(s); n != 1 {
		t.Errorf("got %d handles, want 1", n)
	}
}

// overwrite writes bytes into a file.
func overwrite(t testing.TB, path string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(b, at)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// A file cut off under an open store is a fault in the mapping where it is read.
func TestTruncatedWhileOpen(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not let a mapped file be truncated")
	}
	t.Parallel()
	s, err := userdata.OpenBolt(filepath.Join(t.TempDir(), "test.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	put(t, s, "a", "1", strings.Repeat("x", 100_000))
	sentinel := errors.New("the caller's")
	err = s.View(t.Context(), func(snap userdata.Snapshot) error {
		value, err := snap.Get("a", []byte("1"))
		if err != nil {
			return err
		}
		if err := os.Truncate(s.Path(), int64(2*os.Getpagesize())); err != nil {
			return err
		}
		if bytes.Count(value, []byte("x")) != 100_000 { // must not be reached alive
			return sentinel
		}
		return nil
	})
	if !errors.Is(err, userdata.ErrCorrupt) {
		t.Errorf("View: got %v, want ErrCorrupt", err)
	}
	if err := s.Apply(t.Context(), change("2", "y", userdata.ExpectAnything)); !errors.Is(err, userdata.ErrCorrupt) {
		t.Errorf("Apply: got %v, want ErrCorrupt", err)
	}
}

// A panic in a View's function goes on, and the store with it.
func TestViewPanics(t *testing.T) {
	t.Parallel()
	s := openBolt(t)
	for _, fn := range map[string]func(){
		"value": func() { panic("mine") },
		"nil":   func() { var p *int; *p = 1 },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic did not go on")
				}
			}()
			s.View(t.Context(), func(userdata.Snapshot) error { fn(); return nil })
		}()
	}
	put(t, s, "a", "1", "x")
}

// What is committed to a file that has lost its name would be lost with it.
func TestFileRemovedWhileOpen(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows keeps the name of an open file")
	}
	t.Parallel()
	s, err := userdata.OpenBolt(filepath.Join(t.TempDir(), "test.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	put(t, s, "a", "1", "x")
	if err := os.Rename(s.Path(), s.Path()+".moved"); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), change("2", "y", userdata.ExpectNothing)); err == nil || !strings.Contains(err.Error(), s.Path()) {
		t.Errorf("Apply: got %v, want an error that names the file", err)
	}
	wantContents(t, s, map[string]map[string]string{"a": {"1": "x"}})
	if err := os.Rename(s.Path()+".moved", s.Path()); err != nil {
		t.Fatal(err)
	}
	put(t, s, "a", "2", "y")
}

func TestBoltSpecialFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openBoltFile(t, filepath.Join(dir, "real.db"), nil)
	s.Close()
	link := filepath.Join(dir, "link.db")
	if err := os.Symlink("real.db", link); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	for _, opts := range []*userdata.Options{nil, {ReadOnly: true}} {
		if s, err := userdata.OpenBolt(link, opts); !errors.Is(err, userdata.ErrInvalid) || !strings.Contains(fmt.Sprint(err), "symbolic link") {
			t.Errorf("a symbolic link: got %v, %v, want ErrInvalid", s, err)
		}
	}
}

// An empty file becomes a database with the permissions that it has.
func TestBoltEmptyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "empty.db")
	if err := os.WriteFile(path, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	s := openBoltFile(t, path, nil)
	put(t, s, "a", "1", "x")
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS != "windows" && info.Mode() != 0o640 {
		t.Errorf("got %v, %v, want mode 0640", info, err)
	}
}

// Creating leaves one file, however many create it at once.
func TestBoltCreate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "test.db")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s, err := userdata.OpenBolt(path, &userdata.Options{LockTimeout: time.Minute})
			if err != nil {
				t.Errorf("OpenBolt: %v", err)
				return
			}
			put(t, s, "a", fmt.Sprint(i), "x")
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	names, err := fs.Glob(os.DirFS(dir), "*")
	if err != nil || len(names) != 1 || names[0] != "test.db" {
		t.Errorf("files: got %q, %v, want test.db alone", names, err)
	}
	all, _, err := contents(openBoltFile(t, path, nil))
	if len(all["a"]) != 8 || err != nil {
		t.Errorf("got %v, %v, want the entries of all eight", all, err)
	}
}

func TestBoltLockedNamesHolder(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells who holds a lock")
	}
	t.Parallel()
	s := openBolt(t)
	_, err := userdata.OpenBolt(s.Path(), &userdata.Options{LockTimeout: -1})
	if want := fmt.Sprintf("process %d", os.Getpid()); !errors.Is(err, userdata.ErrLocked) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want ErrLocked with %q", err, want)
	}
}

// Reads between commits keep no page from being used anew: the file is as large as
// without them. And each sees what was committed before.
func TestReadsBetweenCommits(t *testing.T) {
	t.Parallel()
	size := func(read bool) int64 {
		path := filepath.Join(t.TempDir(), "a.db")
		store := openBoltFile(t, path, nil)
		for i := range 60 {
			value := bytes.Repeat([]byte{byte(i)}, 300_000)
			ok(t, store.Apply(t.Context(), &userdata.ChangeSet{Changes: []userdata.Change{{Bucket: "b", Key: []byte("k"), Value: value}}}))
			if !read {
				continue
			}
			ok(t, store.View(t.Context(), func(snap userdata.Snapshot) error {
				got, err := snap.Get("b", []byte("k"))
				if !bytes.Equal(got, value) {
					t.Errorf("after commit %d a read sees another state", i)
				}
				return err
			}))
		}
		info, err := os.Stat(path)
		ok(t, err)
		return info.Size()
	}
	if with, without := size(true), size(false); with != without {
		t.Errorf("the file has %d bytes with reads, %d without", with, without)
	}
}

// TestCommitIsLetGoOf makes sure that the store keeps nothing of the change sets that nobody
// waits for any more, or that it has settled.
func TestCommitIsLetGoOf(t *testing.T) {
	s := openBolt(t)
	var kept []weak.Pointer[userdata.ChangeSet]
	sets := func() (sets []*userdata.ChangeSet) {
		for i := range 4 {
			sets = append(sets, change(fmt.Sprint(i), "value", userdata.ExpectAnything))
			kept = append(kept, weak.Make(sets[i]))
		}
		return sets
	}
	check := func(what string) {
		runtime.GC()
		for i, set := range kept {
			if set.Value() != nil {
				t.Errorf("change set %d, which was %s, is still in memory", i, what)
			}
		}
		kept = nil
	}

	release := userdata.HoldWriter(s)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i, set := range sets() {
		wg.Go(func() {
			if err := s.Apply(ctx, set); !errors.Is(err, context.Canceled) {
				t.Error(i, err)
			}
		})
		userdata.AwaitQueue(s, i+1)
	}
	cancel()
	wg.Wait()
	release()
	check("withdrawn")

	for i, err := range together(t, s, sets()) {
		if err != nil {
			t.Fatal(i, err)
		}
	}
	check("settled")
	runtime.KeepAlive(s)
}
