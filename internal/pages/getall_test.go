package pages_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// treeOf returns a bucket of n entries that was written at once, and the file that it reads.
func treeOf(t *testing.T, rng *rand.Rand, n int) (tree pages.Tree, data []byte) {
	t.Helper()
	path := t.TempDir() + "/db"
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true, PageSize: 4096})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte("b"))
		for i := 0; i < n && err == nil; i++ {
			err = b.Put(numbered(2*i), bytes.Repeat([]byte{byte(i)}, rng.IntN(200)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	if data, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	meta := pages.MetaAt(data, 0)
	if other := pages.MetaAt(data[meta.PageSize:], 1); other.Txid > meta.Txid {
		meta = other
	}
	m, err := pages.NewMap(data, meta)
	if err != nil {
		t.Fatal(err)
	}
	tree, found, err := m.Bucket([]byte("b"))
	if !found || err != nil {
		t.Fatalf("bucket: got %t, %v", found, err)
	}
	return tree, data
}

// numbered returns a key. The even ones are in the bucket of treeOf.
func numbered(n int) []byte { return fmt.Appendf(nil, "key %06d", n) }

// remembering returns the tree as one whose branches are all remembered.
func remembering(t *testing.T, tree pages.Tree) pages.Tree {
	t.Helper()
	m := tree.Map()
	m = m.With(&pages.Fences{})
	same, _, err := m.Bucket([]byte("b"))
	if err == nil {
		err = same.Remember()
	}
	if err != nil {
		t.Fatal(err)
	}
	return same
}

// TestGetAll compares what GetAll finds with what Get does: in trees of no branch, one
// and two, with keys that are there, that are not, and nil, and with what is remembered of them.
func TestGetAll(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{0, 3, 40, 3000, 60000} {
		plain, _ := treeOf(t, rng, n)
		for _, tree := range []pages.Tree{plain, remembering(t, plain)} {
			for range 50 + n/100 {
				sameAsGets(t, &plain, &tree, rng, n)
			}
		}
	}
}

// sameAsGets compares what GetAll finds in one tree with what Get does in another.
func sameAsGets(t *testing.T, plain, tree *pages.Tree, rng *rand.Rand, n int) {
	t.Helper()
	keys := make([][]byte, rng.IntN(40))
	for i := range keys {
		if rng.IntN(5) > 0 {
			keys[i] = numbered(rng.IntN(2*n + 3))
		}
	}
	values := make([][]byte, len(keys))
	if !tree.GetAll(keys, values) {
		t.Fatalf("%d entries: got false, want true", n)
	}
	for i, key := range keys {
		var want []byte
		var err error
		if key != nil {
			if want, err = plain.Get(key); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(values[i], want) || (values[i] == nil) != (want == nil) {
			t.Fatalf("%d entries, key %q: got %q, want %q", n, key, values[i], want)
		}
	}
}
