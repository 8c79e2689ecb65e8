package pages_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// followAll names every key of every bucket in the file to one Paths, to put and
// to delete it.
func followAll(m *pages.Map, p *pages.Paths) error {
	var names [][]byte
	if err := m.Buckets(func(name []byte) bool { names = append(names, name); return true }); err != nil {
		return err
	}
	root := m.Root()
	for _, name := range names {
		t, found, err := p.Bucket(name)
		if err != nil || !found {
			return fmt.Errorf("bucket %q: %v, %w", name, found, err)
		}
		if err := p.Delete(&root, name); err != nil {
			return err
		}
		if err := followTree(p, &t); err != nil {
			return fmt.Errorf("bucket %q: %w", name, err)
		}
	}
	return nil
}

// followTree names every key of the bucket and of those in it.
func followTree(p *pages.Paths, t *pages.Tree) error {
	if err := p.Delete(t, []byte{0}); err != nil {
		return err
	}
	var c pages.Cursor
	c.Reset(t)
	k, v, err := c.First()
	for ; k != nil; k, v, err = c.Next() {
		if err := errors.Join(p.Put(t, k), p.Delete(t, k), p.Delete(t, append(k, 0))); err != nil {
			return err
		}
		if v != nil {
			continue
		}
		in, _, err := t.Bucket(k)
		if err != nil {
			return err
		}
		if err := followTree(p, &in); err != nil {
			return err
		}
	}
	return err
}

// What bbolt wrote can be followed to every key, by one Paths for all or by one
// for each.
func TestPathsShapes(t *testing.T) {
	for _, s := range shapes() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			file := read(t, s.build(t))
			m := newMap(t, file, check(t, file).Metas[check(t, file).Meta])
			if err := followAll(m, pages.NewPaths(*m)); err != nil {
				t.Error(err)
			}
			err := m.Buckets(func(name []byte) bool {
				tree, _, err := m.Bucket(name)
				for i := 0; i < 300; i += 7 {
					err = errors.Join(err, tree.CheckPath(key(i)))
				}
				if err != nil {
					t.Errorf("bucket %q: %v", name, err)
				}
				return true
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// And so after each of many random transactions.
func TestPathsWorkload(t *testing.T) {
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
			rnd := newRand(uint64(i) + 200)
			for n := range 80 {
				err := db.Update(func(tx *bolt.Tx) error {
					for range rnd.IntN(4) {
						if err := randomly(tx, rnd); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				file := read(t, path)
				m := newMap(t, file, check(t, file).Metas[check(t, file).Meta])
				if err := followAll(m, pages.NewPaths(*m)); err != nil {
					t.Fatalf("transaction %d: %v", n, err)
				}
			}
		})
	}
}
