package userdata_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata"
)

// putOne is a change set of one value.
func putOne(key, value string) *userdata.ChangeSet {
	return &userdata.ChangeSet{Changes: []userdata.Change{{Bucket: "b", Key: []byte(key), Value: []byte(value)}}}
}

// A handle that can't be opened anew does not give away the file's lock.
func TestLockOutlivesFailedReopen(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there the lock belongs to the handle")
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	store := openBoltFile(t, path, nil)
	ok(t, store.Apply(t.Context(), putOne("k", "v")))
	metas := fileBytes(t, path)[:2*os.Getpagesize()]
	write := func(b []byte) {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		ok(t, err)
		_, err = f.WriteAt(b, 0)
		ok(t, errors.Join(err, f.Close()))
	}
	write(make([]byte, len(metas)))
	if err := userdata.Reopen(store); err == nil {
		t.Fatal("the file was opened without its meta pages")
	}
	write(metas)
	other, err := userdata.OpenBolt(path, &userdata.Options{LockTimeout: time.Millisecond})
	if !errors.Is(err, userdata.ErrLocked) {
		t.Errorf("a second store: got %v, want ErrLocked", err)
	}
	if err == nil {
		other.Close()
	}
}

// A migration between the comparison of the schema and the first turn after it is
// noticed.
func TestSharedMigrationWhileOpening(t *testing.T) {
	t.Parallel()
	type before struct {
		ID string `userdata:"id,key"`
		N  int    `userdata:"n"`
	}
	type after struct {
		ID string `userdata:"id,key"`
		N  string `userdata:"n"`
	}
	old, renewed := userdata.NewTable[before]("t"), userdata.NewTable[after]("t")
	path := filepath.Join(t.TempDir(), "a.db")
	opts := &userdata.Options{Shared: true, NoBackup: true}
	first, err := userdata.Open(path, opts, old)
	ok(t, err)
	ok(t, first.Close())
	store := openBoltFile(t, path, opts)
	_, err = userdata.OpenBetween(t.Context(), store, opts, func() {
		migrating := *opts
		migrating.Migrations = []userdata.Migration{{Name: "text", Steps: []userdata.Step{
			userdata.RewriteRecords("t", func(x *before) (*after, error) { return &after{x.ID, fmt.Sprint(x.N)}, nil }),
		}}}
		db, err := userdata.Open(path, &migrating, renewed)
		ok(t, err)
		ok(t, db.Close())
	}, old)
	if !errors.Is(err, userdata.ErrSchema) {
		t.Errorf("got %v, want ErrSchema", err)
	}
}

// A store goes on with its file when the working directory changes.
func TestWorkingDirectoryChanges(t *testing.T) {
	for _, shared := range []bool{false, true} {
		here, there := t.TempDir(), t.TempDir()
		ok(t, errors.Join(openBoltFile(t, filepath.Join(there, "x.db"), nil).Close()))
		t.Chdir(here)
		store, err := userdata.OpenBolt("x.db", &userdata.Options{Shared: shared})
		ok(t, err)
		t.Chdir(there)
		ok(t, store.Apply(t.Context(), putOne("k", "v")))
		if store.Path() != "x.db" {
			t.Errorf("Path: got %q", store.Path())
		}
		ok(t, store.Close())
		if got := boltValue(t, filepath.Join(here, "x.db"), "k"); got != "v" {
			t.Errorf("shared %v: the file has %q, want v", shared, got)
		}
	}
}

// boltValue returns a value of bucket b in a file.
func boltValue(t *testing.T, path, key string) (value string) {
	store := openBoltFile(t, path, nil)
	ok(t, store.View(t.Context(), func(snap userdata.Snapshot) error {
		v, err := snap.Get("b", []byte(key))
		value = string(v)
		return err
	}))
	ok(t, store.Close())
	return value
}

// A bucket's name that nobody could read again is refused.
func TestLongBucketName(t *testing.T) {
	t.Parallel()
	store := openBolt(t)
	change := func(n int) error {
		return store.Apply(t.Context(), &userdata.ChangeSet{Changes: []userdata.Change{{Bucket: strings.Repeat("b", n), Key: []byte("k"), Value: []byte("v")}}})
	}
	ok(t, change(userdata.MaxKeySize))
	if err := change(userdata.MaxKeySize + 1); !errors.Is(err, userdata.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	report, err := store.Check(t.Context())
	ok(t, err)
	for _, finding := range report.Problems {
		if !strings.Contains(finding.Error(), "no such table") {
			t.Error(finding)
		}
	}
}

// The sum of a large file's bucket that keeps none is worked out with care: a page
// that is its own child is found.
func TestSumOfBucketInCircle(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	db, err := bbolt.Open(path, 0o600, nil)
	ok(t, err)
	var root int64
	ok(t, db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("b"))
		for i := range 20_000 {
			err = errors.Join(err, b.Put(fmt.Appendf(nil, "%08d", i), make([]byte, 500)))
		}
		return err
	}))
	ok(t, db.View(func(tx *bbolt.Tx) error { root = int64(tx.Bucket([]byte("b")).RootPage()); return nil }))
	ok(t, db.Close())
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	ok(t, err)
	size := int64(os.Getpagesize())
	page := make([]byte, size)
	_, err = f.ReadAt(page, root*size)
	ok(t, err)
	child := int64(binary.LittleEndian.Uint64(page[16+16*40+8:]))
	_, err = f.ReadAt(page, child*size)
	ok(t, err)
	binary.LittleEndian.PutUint64(page[16+16*3+8:], uint64(child))
	_, err = f.WriteAt(page, child*size)
	ok(t, errors.Join(err, f.Close()))

	store, err := userdata.OpenBolt(path, nil)
	ok(t, err)
	defer store.Close()
	if err := store.Apply(t.Context(), putOne("00000000", "w")); !errors.Is(err, userdata.ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt", err)
	}
}

// A file that somebody empties while it is open gives errors, each time, and can be
// closed.
func TestEmptiedWhileOpen(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there an open file is not cut short")
	}
	t.Parallel()
	for _, write := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "a.db")
		store, err := userdata.OpenBolt(path, nil)
		ok(t, err)
		ok(t, store.Apply(t.Context(), putOne("k", "v")))
		ok(t, os.Truncate(path, 0))
		for range 2 {
			err := store.View(t.Context(), func(snap userdata.Snapshot) error {
				_, err := snap.Get("b", []byte("k"))
				return err
			})
			if write {
				err = store.Apply(t.Context(), putOne("k", "w"))
			}
			if err == nil {
				t.Errorf("write %v: no error", write)
			}
		}
		store.Close()
	}
}

// A panic of the caller's function leaves neither the file locked nor a View open.
func TestProgressPanics(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	store := openBoltFile(t, path, &userdata.Options{Shared: true, Progress: func(string, int, int) { panic("progress") }})
	ok(t, store.Apply(t.Context(), putOne("k", "v")))
	for name, call := range map[string]func() error{
		"Backup":  func() error { return store.Backup(t.Context(), path+".copy") },
		"Compact": func() error { return store.Compact(t.Context()) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			call()
		}()
		other, err := userdata.OpenBolt(path, &userdata.Options{Shared: true})
		ok(t, err)
		ok(t, other.Apply(t.Context(), putOne("k", name)))
		ok(t, other.Close())
	}
	ok(t, store.Apply(t.Context(), putOne("k", "v")))
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	ok(t, err)
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// An index whose bucket is gone, or has another name, is not taken for an empty one.
func TestOpenFindsMissingIndex(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	db, err := userdata.Open(path, nil, parts)
	ok(t, err)
	ok(t, db.Transact(t.Context(), func(s *userdata.Session) error { return s.Add(newPart(1)) }))
	ok(t, db.Close())
	bolt, err := bbolt.Open(path, 0o600, nil)
	ok(t, err)
	ok(t, bolt.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("_index/parts/n")) }))
	ok(t, bolt.Close())
	if db, err := userdata.Open(path, nil, parts); !errors.Is(err, userdata.ErrCorrupt) {
		t.Errorf("got %v, %v, want ErrCorrupt", db, err)
	}
}
