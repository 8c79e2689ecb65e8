package pages_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// A shape is a kind of file that bbolt makes.
type shape struct {
	name string
	opts bolt.Options
	fill []func(*bolt.Tx) error // a transaction each
}

// build makes a file of the shape and returns its path.
func (s *shape) build(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	opts := s.opts
	opts.NoSync = true
	db, err := bolt.Open(path, 0o600, &opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, fn := range s.fill {
		if err := db.Update(fn); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// read returns the bytes of the file.
func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// key is the key number i; keys ascend.
func key(i int) []byte { return fmt.Appendf(nil, "key-%08d", i) }

// put returns a transaction that puts n entries from the number from on into the
// bucket at path, each with a value of size bytes.
func put(from, n, size int, path ...string) func(*bolt.Tx) error {
	return func(tx *bolt.Tx) error {
		b, err := bucket(tx, path)
		for i := from; err == nil && i < from+n; i++ {
			err = b.Put(key(i), bytes.Repeat([]byte{byte(i)}, size))
		}
		return err
	}
}

// bucket returns the bucket at path, made if need be.
func bucket(tx *bolt.Tx, path []string) (*bolt.Bucket, error) {
	b, err := tx.CreateBucketIfNotExists([]byte(path[0]))
	for _, name := range path[1:] {
		if err != nil {
			break
		}
		b, err = b.CreateBucketIfNotExists([]byte(name))
	}
	return b, err
}

// del returns a transaction that deletes each step-th of n entries.
func del(from, n, step int, path ...string) func(*bolt.Tx) error {
	return func(tx *bolt.Tx) error {
		b, err := bucket(tx, path)
		for i := from; err == nil && i < from+n; i += step {
			err = b.Delete(key(i))
		}
		return err
	}
}

// nest returns a transaction that nests buckets in the root bucket "deep", depth
// deep, with an entry in each.
func nest(depth int) func(*bolt.Tx) error {
	return func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte("deep"))
		for i := 0; err == nil && i < depth; i++ {
			if err = b.Put(key(i), nil); err == nil {
				b, err = b.CreateBucket([]byte("sub"))
			}
		}
		return err
	}
}

// wide returns a transaction that puts n entries with keys of size bytes, which
// make branches overflow.
func wide(n, size int) func(*bolt.Tx) error {
	return func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte("wide"))
		for i := 0; err == nil && i < n; i++ {
			err = b.Put(append(key(i), make([]byte, size)...), []byte("v"))
		}
		return err
	}
}

// many returns a transaction that makes n buckets with three entries each in the
// bucket at path.
func many(n int, path ...string) func(*bolt.Tx) error {
	return func(tx *bolt.Tx) error {
		for i := range n {
			if err := put(0, 3, 5, append(path, fmt.Sprintf("in-%04d", i))...)(tx); err != nil {
				return err
			}
		}
		return nil
	}
}

// drop is a transaction that deletes the bucket "a".
func drop(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("a")) }

// all is one file with much of what there is.
var all = []func(*bolt.Tx) error{
	put(0, 150, 20, "a"), put(0, 3, 2, "b", "inline"), put(0, 40, 30, "b", "nested", "more"),
	put(0, 2, 6000, "c"), put(5, 1, 0, "c"), many(5, "d"), del(20, 60, 1, "a"), put(200, 30, 10, "a"),
}

// shapes are all kinds of file that bbolt makes.
func shapes() []shape {
	type tx = func(*bolt.Tx) error
	list := []shape{
		{"empty", bolt.Options{}, nil},
		{"one empty bucket", bolt.Options{}, []tx{put(0, 0, 0, "a")}},
		{"one bucket", bolt.Options{}, []tx{put(0, 30, 40, "a")}},
		{"inline", bolt.Options{}, []tx{put(0, 3, 10, "a"), put(0, 2, 0, "b"), put(0, 5, 1, "c", "d")}},
		{"empty values", bolt.Options{}, []tx{put(0, 500, 0, "a")}},
		{"two levels", bolt.Options{}, []tx{put(0, 2000, 40, "a")}},
		{"three levels", bolt.Options{}, []tx{put(0, 30000, 40, "a")}},
		{"nested", bolt.Options{}, []tx{nest(40)}},
		{"nested and big", bolt.Options{}, []tx{put(0, 900, 30, "a", "b", "c"), put(0, 900, 30, "a", "b"), put(0, 90, 30, "a")}},
		{"many buckets", bolt.Options{}, []tx{many(300, "a"), many(100, "a", "x")}},
		{"overflow", bolt.Options{}, []tx{put(0, 20, 10000, "a"), put(20, 3, 1<<20, "a"), put(30, 50, 4096-16-16-12, "a")}},
		{"wide keys", bolt.Options{}, []tx{wide(60, 2000), wide(40, 32000)}},
		{"deletes", bolt.Options{}, []tx{put(0, 5000, 40, "a"), del(0, 5000, 2, "a"), del(1000, 3000, 1, "a"), put(0, 10, 1, "b"), drop}},
		{"all deleted", bolt.Options{}, []tx{put(0, 5000, 40, "a"), del(0, 5000, 1, "a")}},
		{"all", bolt.Options{}, all},
		{"no freelist", bolt.Options{NoFreelistSync: true}, all},
		{"map freelist", bolt.Options{FreelistType: bolt.FreelistMapType}, all},
		{"small pages", bolt.Options{PageSize: 1024}, all},
		{"large pages", bolt.Options{PageSize: 16384}, all},
		{"largest pages", bolt.Options{PageSize: 65536}, all},
		{"big freelist", bolt.Options{PageSize: 1024}, []tx{put(0, 7, 10<<20, "a"), drop, put(0, 9, 9, "b")}},
	}
	return list
}

// contents is all that bbolt sees in a file: the keys are paths, and a bucket is
// an entry with the value nil.
type contents map[string][]byte

// load returns what bbolt sees in the file at path, whose options are opts.
func load(t testing.TB, path string, opts bolt.Options) contents {
	t.Helper()
	opts.ReadOnly = true
	db, err := bolt.Open(path, 0o600, &opts)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c := contents{}
	err = db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("bbolt: %v", err)
		}
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error { return c.load(fmt.Sprintf("/%q", name), b) })
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// load adds the bucket, whose path is known.
func (c contents) load(path string, b *bolt.Bucket) error {
	c[path] = nil
	return b.ForEach(func(k, v []byte) error {
		at := fmt.Sprintf("%s/%q", path, k)
		if v == nil {
			return c.load(at, b.Bucket(k))
		}
		c[at] = append([]byte{}, v...)
		return nil
	})
}

// visit is a visitor of Walk that adds what it is given.
func (c contents) visit(bucket [][]byte, k, v []byte) error {
	path := ""
	for _, name := range bucket {
		path += fmt.Sprintf("/%q", name)
	}
	if k != nil {
		if v == nil {
			return fmt.Errorf("%q: the value is nil", k)
		}
		path += fmt.Sprintf("/%q", k)
		v = append([]byte{}, v...)
	}
	c[path] = v
	return nil
}

// newRand returns a generator that always gives the same.
func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }
