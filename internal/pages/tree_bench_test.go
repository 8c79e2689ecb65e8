package pages_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// benchmarked are the two readers of one bucket of n entries.
func benchmarked(b *testing.B, n int) (*pages.Tree, *bolt.Bucket, [][]byte) {
	f := large(b, n, true)
	db, err := bolt.Open(f.Name(), 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		b.Fatal(err)
	}
	tx, err := db.Begin(false)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { tx.Rollback(); db.Close() })
	tree, found, err := newMap(b, read(b, f.Name()), metaOf(tx)).Bucket([]byte("a"))
	if err != nil || !found {
		b.Fatal(found, err)
	}
	rnd, keys := newRand(1), make([][]byte, 1<<12)
	for i := range keys {
		keys[i] = key(rnd.IntN(n))
	}
	return &tree, tx.Bucket([]byte("a")), keys
}

// versus runs ours and theirs in turns, and reports what each takes and the ratio.
func versus(b *testing.B, per int, ours, theirs func()) {
	var spent [2]time.Duration
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for i, fn := range []func(){ours, theirs} {
			start := time.Now()
			fn()
			spent[i] += time.Since(start)
		}
		n += per
	}
	b.ReportMetric(float64(spent[0].Nanoseconds())/float64(n), "ns/ours")
	b.ReportMetric(float64(spent[1].Nanoseconds())/float64(n), "ns/bbolt")
	b.ReportMetric(float64(spent[0])/float64(spent[1]), "ours/bbolt")
}

// touched is of the keys that were read, which the reader of a key must have.
var touched byte

// BenchmarkTree compares with bbolt, in turns.
func BenchmarkTree(b *testing.B) {
	for _, n := range []int{1000, 30000, 250000} {
		tree, bucket, keys := benchmarked(b, n)
		theirs := bucket.Cursor()
		var c pages.Cursor
		c.Reset(tree)
		run := func(name string, per int, ours, bbolt func()) {
			b.Run(fmt.Sprintf("n=%d/%s", n, name), func(b *testing.B) { versus(b, per, ours, bbolt) })
		}
		run("get", len(keys), func() {
			for _, k := range keys {
				if v, err := tree.Get(k); v == nil || err != nil {
					b.Fatal(err)
				}
			}
		}, func() {
			for _, k := range keys {
				if bucket.Get(k) == nil {
					b.Fatal("nothing")
				}
			}
		})
		run("seek", len(keys), func() {
			for _, k := range keys {
				if found, _, err := c.Seek(k); err != nil || !bytes.Equal(found, k) {
					b.Fatal(err)
				}
			}
		}, func() {
			for _, k := range keys {
				if found, _ := theirs.Seek(k); !bytes.Equal(found, k) {
					b.Fatal("nothing")
				}
			}
		})
		run("next", n, func() {
			for k, _, err := c.First(); k != nil || err != nil; k, _, err = c.Next() {
				if err != nil {
					b.Fatal(err)
				}
				touched += k[len(k)-1]
			}
		}, func() {
			for k, _ := theirs.First(); k != nil; k, _ = theirs.Next() {
				touched += k[len(k)-1]
			}
		})
		run("prev", n, func() {
			for k, _, err := c.Last(); k != nil || err != nil; k, _, err = c.Prev() {
				if err != nil {
					b.Fatal(err)
				}
				touched += k[len(k)-1]
			}
		}, func() {
			for k, _ := theirs.Last(); k != nil; k, _ = theirs.Prev() {
				touched += k[len(k)-1]
			}
		})
	}
}

// BenchmarkPaths verifies what 100 deletes need, scattered or side by side, each.
func BenchmarkPaths(b *testing.B) {
	for _, n := range []int{30000, 250000} {
		tree, _, keys := benchmarked(b, n)
		m := tree.Map()
		for name, at := range map[string]func(i int) []byte{
			"scattered": func(i int) []byte { return keys[i] }, "in order": func(i int) []byte { return key(n/2 + i) },
		} {
			b.Run(fmt.Sprintf("n=%d/%s", n, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					p := pages.NewPaths(m)
					for i := range 100 {
						if err := p.Delete(tree, at(i)); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/key")
			})
		}
	}
}
