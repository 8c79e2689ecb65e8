package userdata_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/seed-5df914be/userdata"
	"github.com/seed-5df914be/userdata/storetest"
)

func TestBoltStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) userdata.Store { return openBolt(t) })
}

func TestMemStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) userdata.Store { return userdata.NewMemStore() })
}

// A View within a View must not wait behind a Close that waits for the outer one.
func TestViewInViewDuringClose(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]userdata.Store{"BoltStore": openBolt(t), "MemStore": userdata.NewMemStore()} {
		closed := make(chan error, 1)
		inner := errors.New("not called")
		err := s.View(t.Context(), func(userdata.Snapshot) error {
			go func() { closed <- s.Close() }()
			for inner = nil; inner == nil; runtime.Gosched() {
				inner = s.View(t.Context(), func(userdata.Snapshot) error { return nil })
			}
			return nil
		})
		if err != nil || !errors.Is(inner, userdata.ErrClosed) {
			t.Errorf("%s: got %v from the outer View, want nil; %v from the inner one, want ErrClosed", name, err, inner)
		}
		if err := <-closed; err != nil {
			t.Errorf("%s: Close: got %v, want nil", name, err)
		}
	}
}

func TestConflictError(t *testing.T) {
	t.Parallel()
	version, bytes := &userdata.ConflictError{}, &userdata.ConflictError{Conflicts: make([]userdata.Conflict, 2)}
	for _, err := range []error{version, bytes} {
		if !errors.Is(err, userdata.ErrConflict) {
			t.Errorf("%v: got no ErrConflict, want one", err)
		}
	}
	if version.Error() == bytes.Error() {
		t.Errorf("got %q for both, want a text that tells them apart", version)
	}
}

// put applies one value without an expectation.
func put(t testing.TB, s userdata.Store, bucket, key, value string) {
	t.Helper()
	set := &userdata.ChangeSet{Changes: []userdata.Change{{Bucket: bucket, Key: []byte(key), Value: []byte(value)}}}
	if err := s.Apply(t.Context(), set); err != nil {
		t.Fatalf("Apply: got %v, want nil", err)
	}
}

// contents returns all of a store, and its version.
func contents(s userdata.Store) (all map[string]map[string]string, version uint64, err error) {
	all = make(map[string]map[string]string)
	err = s.View(context.Background(), func(snap userdata.Snapshot) error {
		version = snap.Version()
		names, err := snap.Buckets()
		for _, name := range names {
			all[name] = make(map[string]string)
			err = errors.Join(err, snap.Scan(name, userdata.Range{}, func(k, v []byte) bool {
				all[name][string(k)] = string(v)
				return true
			}))
		}
		return err
	})
	return all, version, err
}

func wantContents(t testing.TB, s userdata.Store, want map[string]map[string]string) {
	t.Helper()
	got, _, err := contents(s)
	if err != nil {
		t.Fatalf("reading everything: got %v, want no error", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("contents (-want +got):\n%s", diff)
	}
}

func TestBoltReopen(t *testing.T) {
	t.Parallel()
	s := openBolt(t)
	put(t, s, "a", "1", "x")
	put(t, s, "b", "\x00\xff", "")
	_, version, _ := contents(s)
	if err := s.Close(); err != nil {
		t.Fatalf("Close: got %v, want nil", err)
	}
	again := openBoltFile(t, s.Path(), nil)
	wantContents(t, again, map[string]map[string]string{"a": {"1": "x"}, "b": {"\x00\xff": ""}})
	if _, v, _ := contents(again); v != version {
		t.Errorf("Version after reopening: got %d, want still %d", v, version)
	}
}

func TestBoltLocked(t *testing.T) {
	t.Parallel()
	s := openBolt(t)
	for name, opts := range map[string]*userdata.Options{
		"writing":      {LockTimeout: 120 * time.Millisecond},
		"reading":      {LockTimeout: 120 * time.Millisecond, ReadOnly: true},
		"not waiting":  {LockTimeout: -1},
		"default wait": nil,
	} {
		start := time.Now()
		second, err := userdata.OpenBolt(s.Path(), opts)
		if !errors.Is(err, userdata.ErrLocked) || !strings.Contains(fmt.Sprint(err), s.Path()) {
			t.Errorf("%s: got %v, %v, want ErrLocked that names the file", name, second, err)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%s: it took %v", name, d)
		}
	}
	put(t, s, "a", "1", "x")
}

func TestBoltReadOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	readOnly := &userdata.Options{ReadOnly: true}
	if s, err := userdata.OpenBolt(path, readOnly); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(fmt.Sprint(err), path) {
		t.Fatalf("a missing file: got %v, %v, want fs.ErrNotExist that names it", s, err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the missing file afterwards: got %v, want it still missing", err)
	}
	s := openBoltFile(t, path, nil)
	put(t, s, "a", "1", "x")
	s.Close()

	first, second := openBoltFile(t, path, readOnly), openBoltFile(t, path, readOnly)
	wantContents(t, first, map[string]map[string]string{"a": {"1": "x"}})
	wantContents(t, second, map[string]map[string]string{"a": {"1": "x"}})
	set := &userdata.ChangeSet{Changes: []userdata.Change{{Bucket: "a", Key: []byte("1")}}}
	if err := first.Apply(t.Context(), set); !errors.Is(err, userdata.ErrReadOnly) {
		t.Errorf("Apply: got %v, want ErrReadOnly", err)
	}
	if err := first.Apply(t.Context(), &userdata.ChangeSet{}); err != nil {
		t.Errorf("Apply of nothing: got %v, want nil", err)
	}
}

func TestBoltNotAStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name, path string
		readOnly   bool
		want       error
	}{
		{"folder", dir, false, userdata.ErrInvalid},
		{"folder to read", dir, true, userdata.ErrInvalid},
		{"no folder", filepath.Join(dir, "none", "test.db"), false, fs.ErrNotExist},
		{"no path", "", false, fs.ErrNotExist},
		{"one byte", file("byte", "x"), false, userdata.ErrCorrupt},
		{"a page and a bit", file("page", strings.Repeat("x", os.Getpagesize()+100)), false, userdata.ErrCorrupt},
		{"text", file("text", strings.Repeat("Dear diary.\n", 5000)), false, userdata.ErrCorrupt},
		{"text to read", file("text2", strings.Repeat("Dear diary.\n", 5000)), true, userdata.ErrCorrupt},
		{"zeros", file("zeros", string(make([]byte, 1<<16))), false, userdata.ErrCorrupt},
		{"SQLite", file("sqlite", "SQLite format 3\x00"+strings.Repeat("\x00", 1<<14)), false, userdata.ErrCorrupt},
		{"nothing to read", file("empty", ""), true, userdata.ErrCorrupt},
	}
	for _, test := range tests {
		before, _ := os.ReadFile(test.path)
		s, err := userdata.OpenBolt(test.path, &userdata.Options{ReadOnly: test.readOnly})
		if !errors.Is(err, test.want) || !strings.Contains(fmt.Sprint(err), test.path) {
			t.Errorf("%s: got %v, %v, want %v with the path", test.name, s, err, test.want)
		}
		if after, _ := os.ReadFile(test.path); !bytes.Equal(before, after) {
			t.Errorf("%s: the file was changed", test.name)
		}
	}
}

func TestBoltNewFile(t *testing.T) {
	t.Parallel()
	s := openBolt(t)
	put(t, s, "a", "1", strings.Repeat("x", 100_000))
	info, err := os.Stat(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("mode of a new file: got %v, want 0600", info.Mode())
	}
	if info.Size() > 1<<19 {
		t.Errorf("size of a file with 100 kB: got %d, want less than half a MiB", info.Size())
	}
}

// What is refused, and what is nothing, must not be written to the disk.
func TestBoltWritesNothing(t *testing.T) {
	t.Parallel()
	s := openBolt(t)
	put(t, s, "a", "1", "x")
	_, version, _ := contents(s)
	before, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	taken := userdata.Change{Bucket: "a", Key: []byte("1"), Value: []byte("y"), Expect: userdata.ExpectNothing}
	for name, set := range map[string]*userdata.ChangeSet{
		"empty": {}, "empty with version": {Version: version}, "old version": {Version: version - 1},
		"conflict": {Changes: []userdata.Change{taken}}, "invalid": {Changes: []userdata.Change{{}}},
	} {
		_ = s.Apply(t.Context(), set)
		if after, _ := os.ReadFile(s.Path()); !bytes.Equal(before, after) {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

// nestedBucketFile makes a file whose bucket "a" has a bucket in it, beside a value.
func nestedBucketFile(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "test.db")
	raw, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("a"))
		_, nested := b.CreateBucket([]byte("nested"))
		return errors.Join(err, nested, b.Put([]byte("z"), []byte("fine")))
	})
	if err := errors.Join(err, raw.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// A file made by other users of bbolt may have buckets within buckets.
func TestBoltStrayEntries(t *testing.T) {
	t.Parallel()
	path := nestedBucketFile(t)
	s, err := userdata.OpenBolt(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	change := func(bucket, key string, value []byte, e userdata.Expectation) error {
		return s.Apply(t.Context(), &userdata.ChangeSet{Changes: []userdata.Change{{Bucket: bucket, Key: []byte(key), Value: value, Expect: e}}})
	}
	all := func(_, _ []byte) bool { return true }
	err = s.View(t.Context(), func(snap userdata.Snapshot) error {
		_, getNested := snap.Get("a", []byte("nested"))
		for what, err := range map[string]error{
			"Get of a nested bucket": getNested, "Scan over a nested bucket": snap.Scan("a", userdata.Range{}, all),
		} {
			if !errors.Is(err, userdata.ErrCorrupt) {
				t.Errorf("%s: got %v, want ErrCorrupt", what, err)
			}
		}
		fine, err := snap.Get("a", []byte("z"))
		if string(fine) != "fine" {
			t.Errorf("Get beside it: got %q, want %q", fine, "fine")
		}
		return errors.Join(err, snap.Scan("a", userdata.Range{From: []byte("o")}, all))
	})
	if err != nil {
		t.Errorf("reading beside it: got %v, want nil", err)
	}
	for what, err := range map[string]error{
		"put over a nested bucket":   change("a", "nested", []byte("x"), userdata.ExpectAnything),
		"delete of a nested bucket":  change("a", "nested", nil, userdata.ExpectAnything),
		"expecting no nested bucket": change("a", "nested", []byte("x"), userdata.ExpectNothing),
	} {
		if !errors.Is(err, userdata.ErrCorrupt) {
			t.Errorf("%s: got %v, want ErrCorrupt", what, err)
		}
	}
	put(t, s, "a", "z", "finer")
}

// A value where only buckets may be is damage, and seen at once.
func TestBoltStrayValue(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	raw, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Update(func(tx *bbolt.Tx) error { return tx.Cursor().Bucket().Put([]byte("value"), []byte("stray")) })
	if err := errors.Join(err, raw.Close()); err != nil {
		t.Fatal(err)
	}
	if s, err := userdata.OpenBolt(path, nil); !errors.Is(err, userdata.ErrCorrupt) {
		t.Errorf("got %v, %v, want ErrCorrupt", s, err)
	}
}

// A new file whose second meta page is lost is at bbolt's transaction 0, but a version is never 0.
func TestBoltVersionNeverZero(t *testing.T) {
	t.Parallel()
	s := openBolt(t)
	s.Close()
	file, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	copy(file[binary.NativeEndian.Uint32(file[24:]):], make([]byte, 80)) // page size, at its place in the first meta page
	if err := os.WriteFile(s.Path(), file, 0o600); err != nil {
		t.Fatal(err)
	}
	s = openBoltFile(t, s.Path(), nil)
	_, version, err := contents(s)
	if version == 0 || err != nil {
		t.Errorf("Version: got %d, error %v, want not 0", version, err)
	}
	set := &userdata.ChangeSet{Version: version, Changes: []userdata.Change{{Bucket: "a", Key: []byte("1"), Value: []byte("x")}}}
	if err := s.Apply(t.Context(), set); err != nil {
		t.Errorf("Apply at that version: got %v, want nil", err)
	}
	if _, v, _ := contents(s); v <= version {
		t.Errorf("Version after it: got %d, want more than %d", v, version)
	}
}

// What a store hands out ends where it ends: to append to it copies it.
func TestBoltHandsOutNoRoom(t *testing.T) {
	s := openBolt(t)
	put(t, s, "a", "1", "one")
	ok(t, s.View(t.Context(), func(snap userdata.Snapshot) error {
		v, err := snap.Get("a", []byte("1"))
		ok(t, err)
		return errors.Join(wantNoRoom(v), snap.Scan("a", userdata.Range{}, func(key, value []byte) bool {
			if err := errors.Join(wantNoRoom(key), wantNoRoom(value)); err != nil {
				t.Error(err)
			}
			return true
		}))
	}))
}

// wantNoRoom returns an error if b has room for more.
func wantNoRoom(b []byte) error {
	if cap(b) > len(b) {
		return fmt.Errorf("%q has room for %d bytes more", b, cap(b)-len(b))
	}
	return nil
}

// Where a process may not have 4 GiB of addresses, a store opens all the same.
func TestBoltLittleAddressSpace(t *testing.T) {
	if path := os.Getenv("USERDATA_TEST_MMAP"); path != "" {
		var log bytes.Buffer
		s := openBoltFile(t, path, &userdata.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		put(t, s, "a", "1", strings.Repeat("x", 1<<20))
		if !strings.Contains(log.String(), path) {
			t.Errorf("the log has %q, want that the mapping is small", log.String())
		}
		return
	}
	withLittleSpace(t, 3_000_000, "USERDATA_TEST_MMAP="+filepath.Join(t.TempDir(), "test.db"), "-test.run=^TestBoltLittleAddressSpace$")
}

func TestStoreModel(t *testing.T) {
	t.Parallel()
	t.Run("MemStore", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(rt *rapid.T) {
			m := &storeModel{s: userdata.NewMemStore(), want: make(map[string]map[string]string)}
			defer m.s.Close()
			rt.Repeat(map[string]func(*rapid.T){"apply": m.apply, "read": m.read, "": m.check})
		})
	})
	t.Run("BoltStore", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "test.db")
		rapid.Check(t, func(rt *rapid.T) {
			m := &storeModel{path: path, want: make(map[string]map[string]string)}
			m.open(rt)
			defer os.Remove(path)
			defer func() { m.s.Close() }()
			rt.Repeat(map[string]func(*rapid.T){"apply": m.apply, "read": m.read, "reopen": m.reopen, "": m.check})
		})
	})
}

// A storeModel is a store beside the plain map that it has to equal.
type storeModel struct {
	s       userdata.Store
	path    string // of a BoltStore
	want    map[string]map[string]string
	version uint64 // as last seen
}

var (
	modelBucket = rapid.SampledFrom([]string{"a", "b", "c"})
	modelKey    = rapid.SampledFrom([]string{"\x00", "0", "a", "a\x00", "aa", "b", "c", "d", "e", "\xff", strings.Repeat("k", 3000)})
	modelValue  = rapid.SampledFrom([]string{"", "x", "y", strings.Repeat("long", 400)})
)

func (m *storeModel) open(t *rapid.T) {
	s, err := userdata.OpenBolt(m.path, nil)
	if err != nil {
		t.Fatalf("OpenBolt: got %v, want nil", err)
	}
	m.s = s
}

func (m *storeModel) reopen(t *rapid.T) {
	if err := m.s.Close(); err != nil {
		t.Fatalf("Close: got %v, want nil", err)
	}
	for _, err := range checkBolt(m.path) {
		t.Errorf("the closed file: %v", err)
	}
	m.open(t)
}

// check compares everything, and the version, which only apply may change.
func (m *storeModel) check(t *rapid.T) {
	got, version, err := contents(m.s)
	if diff := cmp.Diff(m.want, got); diff != "" || err != nil {
		t.Fatalf("error %v; contents (-want +got):\n%s", err, diff)
	}
	if m.version != 0 && version != m.version {
		t.Fatalf("Version: got %d, want still %d", version, m.version)
	}
	m.version = version
}

func (m *storeModel) apply(t *rapid.T) {
	set, conflicts := m.draw(t)
	err := m.s.Apply(context.Background(), set)
	refused := len(conflicts) > 0 || set.Version != 0 && set.Version != m.version
	var ce *userdata.ConflictError
	switch {
	case !refused && err != nil:
		t.Fatalf("Apply: got %v, want nil", err)
	case refused && (!errors.Is(err, userdata.ErrConflict) || !errors.As(err, &ce)):
		t.Fatalf("Apply: got %v, want a ConflictError", err)
	case refused && set.Version == 0:
		if diff := cmp.Diff(conflicts, ce.Conflicts); diff != "" {
			t.Fatalf("conflicts (-want +got):\n%s", diff)
		}
	case !refused && len(set.Changes) > 0:
		m.write(set)
		m.version = 0
	}
}

// draw makes up a change set, and returns the conflicts that it should meet.
func (m *storeModel) draw(t *rapid.T) (set *userdata.ChangeSet, conflicts []userdata.Conflict) {
	set = new(userdata.ChangeSet)
	if rapid.IntRange(0, 5).Draw(t, "versioned") == 0 {
		set.Version = m.version + uint64(rapid.IntRange(0, 1).Draw(t, "version ahead"))
	}
	for _, place := range rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) [2]string {
		return [2]string{modelBucket.Draw(t, "bucket"), modelKey.Draw(t, "key")}
	}), 0, 8, rapid.ID).Draw(t, "places") {
		set.Changes = append(set.Changes, userdata.Change{Bucket: place[0], Key: []byte(place[1])})
	}
	slices.SortFunc(set.Changes, func(a, b userdata.Change) int {
		return strings.Compare(a.Bucket+string(a.Key), b.Bucket+string(b.Key)) // names are of one length
	})
	for i := range set.Changes {
		if found, ok := m.drawChange(t, &set.Changes[i]); !ok {
			conflicts = append(conflicts, userdata.Conflict{Change: i, Found: found})
		}
	}
	return set, conflicts
}

// drawChange makes up value and expectation of a change. It returns what is
// there, and whether that is as expected, which it mostly is.
func (m *storeModel) drawChange(t *rapid.T, c *userdata.Change) (found []byte, ok bool) {
	if rapid.IntRange(0, 2).Draw(t, "delete") > 0 {
		c.Value = []byte(modelValue.Draw(t, "value"))
	}
	there, exists := m.want[c.Bucket][string(c.Key)]
	if exists {
		found = []byte(there)
	}
	switch rapid.IntRange(0, 9).Draw(t, "expectation") {
	case 0:
		c.Expect = userdata.ExpectNothing
		return found, !exists
	case 1:
		c.Expect, c.Before = userdata.ExpectBytes, []byte(modelValue.Draw(t, "before"))
		return found, exists && there == string(c.Before)
	case 2, 3, 4:
		return found, true
	}
	c.Expect = userdata.ExpectNothing
	if exists {
		c.Expect, c.Before = userdata.ExpectBytes, []byte(there)
	}
	return found, true
}

func (m *storeModel) write(set *userdata.ChangeSet) {
	for _, c := range set.Changes {
		if c.Value == nil {
			delete(m.want[c.Bucket], string(c.Key))
			continue
		}
		if m.want[c.Bucket] == nil {
			m.want[c.Bucket] = make(map[string]string)
		}
		m.want[c.Bucket][string(c.Key)] = string(c.Value)
	}
}

// read compares a Get, and a Scan of a range until some entry, with the map.
func (m *storeModel) read(t *rapid.T) {
	bucket, key, limit := modelBucket.Draw(t, "bucket"), modelKey.Draw(t, "key"), rapid.IntRange(1, 8).Draw(t, "limit")
	bound := rapid.OneOf(rapid.Just([]byte(nil)), rapid.Map(modelKey, func(s string) []byte { return []byte(s) }))
	r := userdata.Range{From: bound.Draw(t, "from"), To: bound.Draw(t, "to"), Reverse: rapid.Bool().Draw(t, "reverse")}
	var want []string
	for _, k := range slices.Sorted(maps.Keys(m.want[bucket])) {
		if r.Contains([]byte(k)) {
			want = append(want, k)
		}
	}
	if r.Reverse {
		slices.Reverse(want)
	}
	want = want[:min(limit, len(want))]
	err := m.s.View(context.Background(), func(snap userdata.Snapshot) error {
		var got []string
		err := snap.Scan(bucket, r, func(k, v []byte) bool { got = append(got, string(k)); return len(got) < limit })
		if !slices.Equal(got, want) {
			t.Errorf("Scan: got %q, want %q", got, want)
		}
		value, errGet := snap.Get(bucket, []byte(key))
		if wanted, ok := m.want[bucket][key]; string(value) != wanted || (value != nil) != ok {
			t.Errorf("Get: got %q, want %q, %t", value, wanted, ok)
		}
		return errors.Join(err, errGet)
	})
	if err != nil {
		t.Errorf("View: got %v, want nil", err)
	}
}
