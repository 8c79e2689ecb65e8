package pages_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// large makes a file of n entries of about 270 bytes in n/10000 transactions,
// whose keys are in order or not.
func large(b *testing.B, n int, ordered bool) *os.File {
	b.Helper()
	path := filepath.Join(b.TempDir(), "db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		b.Fatal(err)
	}
	for from := 0; from < n; from += 10000 {
		err := db.Update(func(tx *bolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists([]byte("a"))
			for i := from; err == nil && i < min(n, from+10000); i++ {
				k := key(i)
				if !ordered {
					k = key(i * 7919 % n)
				}
				err = bucket.Put(k, make([]byte, 250))
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return f
}

func BenchmarkCheck(b *testing.B) {
	for _, n := range []int{1000, 5000, 250000} {
		for _, ordered := range []bool{true, false} {
			b.Run(fmt.Sprintf("n=%d/ordered=%v", n, ordered), func(b *testing.B) {
				f := large(b, n, ordered)
				info, err := f.Stat()
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				var r pages.Report
				for b.Loop() {
					if r, err = pages.Check(f, info.Size()); err != nil || r.Err() != nil {
						b.Fatal(err, r.Err())
					}
				}
				b.ReportMetric(float64(r.Metas[r.Meta].HighWater)*4096/1e6, "MB")
			})
		}
	}
}

func BenchmarkWalk(b *testing.B) {
	f := large(b, 5000, true)
	info, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	r, err := pages.Check(f, info.Size())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		_, err := pages.Walk(f, info.Size(), r.Meta, func([][]byte, []byte, []byte) error { n++; return nil })
		if err != nil || n < 2 {
			b.Fatal(err, n)
		}
	}
}
