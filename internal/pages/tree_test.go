package pages_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// metaOf is the meta that the transaction sees, as it says itself.
func metaOf(tx *bolt.Tx) pages.Meta {
	size := tx.DB().Info().PageSize
	return pages.Meta{
		PageSize:  uint32(size),
		Root:      uint64(tx.Cursor().Bucket().RootPage()),
		HighWater: uint64(tx.Size()) / uint64(size),
		Txid:      uint64(tx.ID()),
	}
}

// newMap is NewMap for a file that has a valid meta.
func newMap(t testing.TB, file []byte, m pages.Meta) *pages.Map {
	t.Helper()
	p, err := pages.NewMap(file, m)
	if err != nil {
		t.Fatal(err)
	}
	return &p
}

// A Map and bbolt see the same in a file of each shape.
func TestTreeShapes(t *testing.T) {
	for _, s := range shapes() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			path := s.build(t)
			db, err := bolt.Open(path, 0o600, &s.opts)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			sameAsBolt(t, db, read(t, path), newRand(1))
		})
	}
}

// A Map and bbolt see the same after each of many random transactions.
func TestTreeWorkload(t *testing.T) {
	for i := range 8 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			opts := bolt.Options{NoSync: true, PageSize: []int{1024, 4096}[i&1]}
			path := filepath.Join(t.TempDir(), "db")
			db, err := bolt.Open(path, 0o600, &opts)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			rnd := newRand(uint64(i) + 100)
			for range 60 {
				err := db.Update(func(tx *bolt.Tx) error {
					for range rnd.IntN(4) {
						if err := randomly(tx, rnd); err != nil {
							return err
						}
					}
					b, err := tx.CreateBucketIfNotExists([]byte("a"))
					if err == nil {
						_, err = b.NextSequence()
					}
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				sameAsBolt(t, db, read(t, path), rnd)
			}
		})
	}
}

// sameAsBolt compares what a Map sees in the file with what bbolt sees.
func sameAsBolt(t *testing.T, db *bolt.DB, file []byte, rnd *rand.Rand) {
	t.Helper()
	err := db.View(func(tx *bolt.Tx) error {
		meta, err := pages.MetaOf(file, db.Info().PageSize, uint64(tx.ID()))
		if err != nil {
			return err
		}
		if said := metaOf(tx); meta.Root != said.Root || meta.HighWater != said.HighWater || meta.PageSize != said.PageSize {
			return fmt.Errorf("meta: got %+v, bbolt says %+v", meta, said)
		}
		m := newMap(t, file, meta)
		var names []string
		if err := m.Buckets(func(name []byte) bool { names = append(names, string(name)); return true }); err != nil {
			return err
		}
		var want []string
		err = tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			want = append(want, string(name))
			tree, found, err := m.Bucket(name)
			if err != nil || !found {
				return fmt.Errorf("bucket %q: %v, %v", name, found, err)
			}
			return sameBucket(fmt.Sprintf("%q", name), &tree, b, rnd)
		})
		if !slices.Equal(names, want) {
			t.Errorf("buckets: got %q, want %q", names, want)
		}
		if _, found, err := m.Bucket([]byte("none")); found || err != nil {
			t.Errorf("bucket that isn't there: %v, %v", found, err)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// same compares what a cursor returned with what bbolt's returned.
func same(what string, key, value []byte, err error, wantKey, wantValue []byte) error {
	if err != nil || !bytes.Equal(key, wantKey) || !bytes.Equal(value, wantValue) || (key == nil) != (wantKey == nil) || (value == nil) != (wantValue == nil) {
		return fmt.Errorf("%s: got %.40q, %.40q, %v, want %.40q, %.40q", what, key, value, err, wantKey, wantValue)
	}
	return nil
}

// sameBucket compares all reads of a bucket, and those within it.
func sameBucket(path string, tree *pages.Tree, b *bolt.Bucket, rnd *rand.Rand) error {
	if tree.Sequence() != b.Sequence() {
		return fmt.Errorf("%s: sequence %d, want %d", path, tree.Sequence(), b.Sequence())
	}
	var c pages.Cursor
	c.Reset(tree)
	var keys [][]byte
	theirs := b.Cursor()
	k, v, err := c.First()
	for wk, wv := theirs.First(); ; wk, wv = theirs.Next() {
		if err := same(path+" forth", k, v, err, wk, wv); err != nil {
			return err
		}
		if k == nil {
			break
		}
		keys = append(keys, k)
		k, v, err = c.Next()
	}
	k, v, err = c.Last()
	for wk, wv := theirs.Last(); ; wk, wv = theirs.Prev() {
		if err := same(path+" back", k, v, err, wk, wv); err != nil {
			return err
		}
		if k == nil {
			break
		}
		k, v, err = c.Prev()
	}
	for _, key := range keys {
		value, err := tree.Get(key)
		if in := b.Bucket(key); in != nil {
			nested, found, err2 := tree.Bucket(key)
			if value != nil || err != pages.ErrNested || !found || err2 != nil {
				return fmt.Errorf("%s: bucket %q: %v, %v, %v, %v", path, key, value, err, found, err2)
			}
			if err := sameBucket(fmt.Sprintf("%s/%q", path, key), &nested, in, rnd); err != nil {
				return err
			}
			continue
		}
		if err := same(path+" get", key, value, err, key, b.Get(key)); err != nil {
			return err
		}
		if _, found, err := tree.Bucket(key); found || !errors.Is(err, pages.ErrNotBucket) {
			return fmt.Errorf("%s: %q: a value is a bucket", path, key)
		}
	}
	return sameSeeks(path, tree, b, keys, rnd)
}

// sameSeeks compares seeks to keys that are there and to others, and some steps
// from there.
func sameSeeks(path string, tree *pages.Tree, b *bolt.Bucket, keys [][]byte, rnd *rand.Rand) error {
	var c pages.Cursor
	c.Reset(tree)
	for range 60 {
		seek := key(rnd.IntN(3000))
		switch n := rnd.IntN(8); {
		case n == 0:
			seek = nil
		case n == 1:
			seek = []byte("z")
		case n < 5 && len(keys) > 0:
			seek = slices.Clone(keys[rnd.IntN(len(keys))])
			if rnd.IntN(2) == 0 {
				seek = append(seek, 0)
			}
		case n == 5 && len(keys) > 0: // greater than all
			seek = append(slices.Clone(keys[len(keys)-1]), 0)
		}
		at, exact := slices.BinarySearchFunc(keys, seek, bytes.Compare)
		if value, err := tree.Get(seek); !exact && (value != nil || err != nil) {
			return fmt.Errorf("%s: get %q, which isn't there: %q, %v", path, seek, value, err)
		}
		k, v, err := c.Seek(seek)
		for range 1 + rnd.IntN(6) {
			var wk, wv []byte
			if at >= 0 && at < len(keys) {
				if wk, wv = b.Cursor().Seek(keys[at]); wv != nil {
					wv = b.Get(wk)
				}
			}
			if err := same(fmt.Sprintf("%s seek %q", path, seek), k, v, err, wk, wv); err != nil {
				return err
			}
			if rnd.IntN(2) == 0 {
				at = min(at+1, len(keys))
				k, v, err = c.Next()
			} else {
				at = max(at-1, -1)
				k, v, err = c.Prev()
			}
		}
	}
	return nil
}

// An empty bucket has no entries, wherever a cursor goes.
func TestCursorEmpty(t *testing.T) {
	s := shape{"", bolt.Options{}, []func(*bolt.Tx) error{put(0, 0, 0, "a"), put(0, 500, 9, "b"), del(0, 500, 1, "b")}}
	file := read(t, s.build(t))
	m := newMap(t, file, check(t, file).Metas[check(t, file).Meta])
	for _, name := range []string{"a", "b"} {
		tree, _, err := m.Bucket([]byte(name))
		if err != nil {
			t.Fatal(err)
		}
		var c pages.Cursor
		c.Reset(&tree)
		for range 3 {
			for what, move := range map[string]func() ([]byte, []byte, error){
				"First": c.First, "Last": c.Last, "Next": c.Next, "Prev": c.Prev,
				"Seek": func() ([]byte, []byte, error) { return c.Seek([]byte("k")) },
			} {
				if k, v, err := move(); k != nil || v != nil || err != nil {
					t.Errorf("%s: got %q, %q, %v", what, k, v, err)
				}
			}
		}
	}
}

// Reading does not allocate.
func TestTreeAllocs(t *testing.T) {
	s := shape{"", bolt.Options{}, []func(*bolt.Tx) error{put(0, 30000, 40, "a"), put(0, 3, 3, "in")}}
	file := read(t, s.build(t))
	meta := check(t, file).Metas[check(t, file).Meta]
	data := bytes.Clone(file)
	var keys [][]byte
	for i := range 30000 {
		keys = append(keys, key(i))
	}
	a, in, failed := []byte("a"), []byte("in"), error(nil)
	for what, fn := range map[string]func() error{
		"open": func() error {
			m, err := pages.NewMap(data, meta)
			_, found, err2 := m.Bucket(a)
			_, found2, err3 := m.Bucket(in)
			if !found || !found2 {
				return errors.New("not found")
			}
			return errors.Join(err, err2, err3)
		},
		"get": func() error {
			m, _ := pages.NewMap(data, meta)
			for _, name := range [][]byte{a, in} {
				tree, _, _ := m.Bucket(name)
				for i := 0; i < 30000; i += 97 {
					if v, err := tree.Get(keys[i]); err != nil || v == nil && name[0] == 'a' {
						return fmt.Errorf("%d: %v, %v", i, v, err)
					}
				}
			}
			return nil
		},
		"scan": func() error {
			m, _ := pages.NewMap(data, meta)
			tree, _, _ := m.Bucket(a)
			var c pages.Cursor
			c.Reset(&tree)
			n := 0
			for k, _, err := c.First(); k != nil || err != nil; k, _, err = c.Next() {
				if n++; err != nil {
					return err
				}
			}
			for k, _, err := c.Last(); k != nil || err != nil; k, _, err = c.Prev() {
				if n++; err != nil {
					return err
				}
			}
			for i := 0; i < 30000; i += 97 {
				if k, _, err := c.Seek(keys[i]); err != nil || !bytes.Equal(k, keys[i]) {
					return fmt.Errorf("%d: %q, %v", i, k, err)
				}
			}
			if n != 60000 {
				return fmt.Errorf("%d steps", n)
			}
			return nil
		},
	} {
		n := testing.AllocsPerRun(5, func() {
			if err := fn(); err != nil {
				failed = err
			}
		})
		if failed != nil || n != 0 {
			t.Errorf("%s: %v allocations, %v", what, n, failed)
		}
	}
}

// Buckets stops when it is told to, and at a value where a bucket should be.
func TestBuckets(t *testing.T) {
	good := base(t)
	n := 0
	m := newMap(t, good, check(t, good).Metas[good.chosen()])
	if err := m.Buckets(func([]byte) bool { n++; return n < 2 }); n != 2 || err != nil {
		t.Errorf("%d names, %v", n, err)
	}
	bad := synth(leafOf(2, "a", 0))
	m = newMap(t, bad, check(t, bad).Metas[1])
	if err := m.Buckets(func([]byte) bool { n++; return true }); n != 2 || !errors.Is(err, pages.Rules["root entry"]) {
		t.Errorf("value: %d names, %v", n, err)
	}
}
