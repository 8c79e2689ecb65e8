package userdata_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata"
)

// filled makes a file with many entries, and returns its path and what it holds.
func filled(t *testing.T) (path string, want map[string]map[string]string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "test.db")
	s, err := userdata.OpenBolt(path, nil)
	ok(t, err)
	want = map[string]map[string]string{"a": {}}
	set := &userdata.ChangeSet{}
	for i := range 200 {
		key, value := fmt.Sprintf("%04d", i), strings.Repeat("x", 100)
		want["a"][key] = value
		set.Changes = append(set.Changes, userdata.Change{Bucket: "a", Key: []byte(key), Value: []byte(value)})
	}
	ok(t, s.Apply(t.Context(), set))
	ok(t, s.Close())
	return path, want
}

// Reads see their state to their end, whatever is committed meanwhile; those that begin later
// see what was committed.
func TestViewsOutlastWrites(t *testing.T) {
	t.Parallel()
	path, want := filled(t)
	s := openBoltFile(t, path, nil)
	if runtime.GOOS == "linux" && userdata.Loaded(s) {
		t.Error("bbolt has opened the file")
	}
	for range 2 {
		err := s.View(t.Context(), func(snap userdata.Snapshot) error {
			for i := range 50 { // commits that would use its pages anew
				put(t, s, "a", fmt.Sprintf("%04d", i*4), fmt.Sprint("changed ", i))
				inView := map[string]string{}
				err := snap.Scan("a", userdata.Range{}, func(key, value []byte) bool {
					inView[string(key)] = string(value)
					return true
				})
				if diff := cmp.Diff(want["a"], inView); diff != "" || err != nil {
					return fmt.Errorf("after %d commits the View sees (-want +got):\n%s%w", i+1, diff, err)
				}
			}
			return nil
		})
		ok(t, err)
		for i := range 50 {
			want["a"][fmt.Sprintf("%04d", i*4)] = fmt.Sprint("changed ", i)
		}
		wantContents(t, s, want)
	}
}

// Reads and backups go on while the first commits come.
func TestReadsDuringFirstWrite(t *testing.T) {
	t.Parallel()
	for range 10 {
		path, want := filled(t)
		s := openBoltFile(t, path, nil)
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				switch {
				case i == 0:
					if err := s.Backup(t.Context(), path+".copy"); err != nil {
						t.Errorf("Backup: got %v, want nil", err)
					}
				case i < 3:
					if err := s.Apply(t.Context(), change(fmt.Sprint("new ", i), "x", userdata.ExpectNothing)); err != nil {
						t.Errorf("Apply: got %v, want nil", err)
					}
				default:
					got, _, err := contents(s)
					delete(got["a"], "new 1")
					delete(got["a"], "new 2")
					if diff := cmp.Diff(want, got); diff != "" || err != nil {
						t.Errorf("got error %v, (-want +got):\n%s", err, diff)
					}
				}
			})
		}
		group.Wait()
		want["a"]["new 1"], want["a"]["new 2"] = "x", "x"
		wantContents(t, s, want)
	}
}

// A file that is read only is not opened by bbolt.
func TestReadOnlyWithoutBolt(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere bbolt may open it at once")
	}
	t.Parallel()
	path, want := filled(t)
	for range 2 { // at the same time
		s := openBoltFile(t, path, &userdata.Options{ReadOnly: true})
		wantContents(t, s, want)
		if userdata.Loaded(s) {
			t.Error("bbolt has opened the file")
		}
	}
}

// Another program that does not care for the lock has written to the file before the first
// commit: that is refused, since the pages that reads are at may be in use anew.
func TestChangedBeforeFirstWrite(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere bbolt may open the file at once")
	}
	t.Parallel()
	for commits := range 3 {
		t.Run(fmt.Sprint(commits+1, " commits"), func(t *testing.T) {
			t.Parallel()
			changedBeforeFirstWrite(t, commits+1)
		})
	}
}

// changedBeforeFirstWrite is TestChangedBeforeFirstWrite for so many commits of the other
// program: after one of them, all that the store knows is still there.
func changedBeforeFirstWrite(t *testing.T, commits int) {
	path, _ := filled(t)
	data, err := os.ReadFile(path)
	ok(t, err)
	other := path + ".other"
	ok(t, os.WriteFile(other, data, 0o600))
	db, err := bbolt.Open(other, 0o600, nil)
	ok(t, err)
	for range commits {
		ok(t, db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("a")).Put([]byte("0000"), []byte("other")) }))
	}
	ok(t, db.Close())
	data, err = os.ReadFile(other)
	ok(t, err)

	s := openBoltFile(t, path, nil)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	ok(t, err)
	defer f.Close()
	_, err = f.WriteAt(data, 0)
	ok(t, err)
	is(t, s.Apply(t.Context(), change("0001", "x", userdata.ExpectAnything)), userdata.ErrCorrupt)
	got, err := os.ReadFile(path)
	ok(t, err)
	if diff := cmp.Diff(data, got); diff != "" {
		t.Error("the refused commit has written")
	}
}

// What a large commit reserves for its list of free pages, and does not need, is not counted: the
// list has the length that is expected of it, also when all is deleted at once.
func TestFreelistAfterDeletes(t *testing.T) {
	t.Parallel()
	for _, n := range []int{100, 5_000, 26_000} {
		s := openBolt(t)
		var puts, deletes userdata.ChangeSet
		for i := range n {
			key := fmt.Appendf(nil, "%08d", i)
			puts.Changes = append(puts.Changes, userdata.Change{Bucket: "b", Key: key, Value: make([]byte, 100)})
			deletes.Changes = append(deletes.Changes, userdata.Change{Bucket: "b", Key: key})
		}
		ok(t, s.Apply(t.Context(), &puts))
		ok(t, s.Apply(t.Context(), &deletes))
		killed := filepath.Join(t.TempDir(), "killed.db")
		ok(t, os.WriteFile(killed, fileBytes(t, s.Path()), 0o600))
		wantContents(t, openBoltFile(t, killed, nil), map[string]map[string]string{"b": {}})
	}
}

// Views begin and end while the states that they use come and go. The race detector looks on.
func TestViewsDuringCommits(t *testing.T) {
	t.Parallel()
	s := openBolt(t)
	put(t, s, "a", "k", "0")
	done := make(chan struct{})
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for last := 0; ; {
				err := s.View(t.Context(), func(snap userdata.Snapshot) error {
					value, err := snap.Get("a", []byte("k"))
					if n, _ := strconv.Atoi(string(value)); n < last {
						t.Errorf("a View sees %d after %d", n, last)
					} else {
						last = n
					}
					return err
				})
				if err != nil {
					t.Errorf("View: got %v, want nil", err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range 300 {
		put(t, s, "a", "k", fmt.Sprint(i+1))
	}
	close(done)
	group.Wait()
}

// The conflict of a set that is alone, which is found while it is made, is that of one among
// others, and of a store in memory.
func TestConflictAlone(t *testing.T) {
	t.Parallel()
	set := &userdata.ChangeSet{Changes: []userdata.Change{
		{Bucket: "a", Key: []byte("1"), Expect: userdata.ExpectBytes, Before: []byte("x")},
		{Bucket: "a", Key: []byte("2"), Value: []byte("y")},
		{Bucket: "b", Key: []byte("1"), Value: []byte("y"), Expect: userdata.ExpectNothing},
		{Bucket: "missing", Key: []byte("1"), Expect: userdata.ExpectBytes, Before: []byte("x")},
	}}
	outcome := func(s userdata.Store, apply func() error) string {
		ok(t, s.Apply(t.Context(), &userdata.ChangeSet{Changes: []userdata.Change{
			{Bucket: "a", Key: []byte("1"), Value: []byte("z")}, {Bucket: "b", Key: []byte("1"), Value: []byte("z")},
		}}))
		err := apply()
		conflict, is := err.(*userdata.ConflictError)
		if !is {
			t.Fatalf("got %T: %v, want a ConflictError", err, err)
		}
		return fmt.Sprint(err, conflict.Conflicts)
	}
	mem, alone, among := userdata.NewMemStore(), openBolt(t), openBolt(t)
	want := outcome(mem, func() error { return mem.Apply(t.Context(), set) })
	if got := outcome(alone, func() error { return alone.Apply(t.Context(), set) }); got != want {
		t.Errorf("alone: got %s, want %s", got, want)
	}
	got := outcome(among, func() error {
		return together(t, among, []*userdata.ChangeSet{change("other", "x", userdata.ExpectAnything), set})[1]
	})
	if got != want {
		t.Errorf("among others: got %s, want %s", got, want)
	}
}

// A backup that bbolt made may have its last meta page in the place of the other one.
func TestBackupOfWrongSlot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "copy")
	db, err := bbolt.Open(filepath.Join(dir, "a"), 0o600, nil)
	ok(t, err)
	ok(t, db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("b"))
		return errors.Join(err, b.Put([]byte("k"), []byte("v")))
	}))
	ok(t, db.Update(func(*bbolt.Tx) error { return nil }))
	ok(t, db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(path, 0o600) }))
	ok(t, db.Close())
	overwrite(t, path, int64(os.Getpagesize()), make([]byte, os.Getpagesize()))
	s, err := userdata.OpenBolt(path, &userdata.Options{ReadOnly: true})
	ok(t, err)
	defer s.Close()
	ok(t, s.Backup(t.Context(), path+".backup"))
	wantContents(t, openBoltFile(t, path+".backup", nil), map[string]map[string]string{"b": {"k": "v"}})
}
