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

// TestGetAll compares what GetAll finds with what Get does: in trees of no branch, one
// and two, with keys that are there, that are not, and nil.
func TestGetAll(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{0, 3, 40, 3000, 60000} {
		path := t.TempDir() + "/db"
		db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucket([]byte("b"))
			for i := 0; i < n && err == nil; i++ {
				err = b.Put(fmt.Appendf(nil, "key %06d", 2*i), bytes.Repeat([]byte{byte(i)}, rng.IntN(200)))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		db.Close()
		data, err := os.ReadFile(path)
		if err != nil {
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
		for range 50 {
			keys := make([][]byte, rng.IntN(40))
			for i := range keys {
				if rng.IntN(5) > 0 {
					keys[i] = fmt.Appendf(nil, "key %06d", rng.IntN(2*n+3))
				}
			}
			values := make([][]byte, len(keys))
			if !tree.GetAll(keys, values) {
				t.Fatalf("%d entries: got false, want true", n)
			}
			for i, key := range keys {
				var want []byte
				if key != nil {
					if want, err = tree.Get(key); err != nil {
						t.Fatal(err)
					}
				}
				if !bytes.Equal(values[i], want) || (values[i] == nil) != (want == nil) {
					t.Fatalf("%d entries, key %q: got %q, want %q", n, key, values[i], want)
				}
			}
		}
	}
}
