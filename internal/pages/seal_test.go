package pages_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// sealChanges makes random changes in several buckets: keys of some buckets are short
// and many, values now and then take many pages, buckets come and go.
func sealChanges(tx *bolt.Tx, rng *rand.Rand) error {
	for range 1 + rng.IntN(3) {
		name := fmt.Appendf(nil, "bucket %d", rng.IntN(5))
		if rng.IntN(40) == 0 && tx.Bucket(name) != nil {
			if err := tx.DeleteBucket(name); err != nil {
				return err
			}
		}
		b, err := tx.CreateBucketIfNotExists(name)
		if err != nil {
			return err
		}
		n := 1 + rng.IntN(4)
		if rng.IntN(10) == 0 {
			n = 500
		}
		for range n {
			key := fmt.Appendf(nil, "%05d", rng.IntN(4000))
			value := make([]byte, rng.IntN(200))
			if rng.IntN(100) == 0 {
				value = make([]byte, 20000)
			}
			if rng.IntN(4) == 0 {
				err = b.Delete(key)
			} else {
				err = b.Put(key, value)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// The seal of each commit lists just the pages that it wrote and that can be reached; one
// that does not have those bytes is found, whichever it is; and it is found again in
// the meta page.
func TestSeal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before := fileBytes(t, path)
	size := os.Getpagesize()
	m := pages.MetaAt(page(before, size, 1), 1)
	space, err := pages.NewSpace(before, m)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(8, 1))
	commits, listed, most := 600, 0, 0
	if short() {
		commits = 100
	}
	for range commits {
		after := bytes.Clone(before)
		u, err := space.Begin(after, m, []uint64{m.Txid}, 4, func(pages.Patch) error { t.Fatal("more than a small commit"); return nil })
		if err != nil {
			t.Fatal(err)
		}
		for i := range 1 + rng.IntN(3) {
			var changes []pages.Change
			for key := rng.IntN(500); key < 4000; key += 1 + rng.IntN(3000) {
				changes = append(changes, pages.Change{Key: fmt.Appendf(nil, "%05d", key), Value: make([]byte, rng.IntN(200))})
				if rng.IntN(100) == 0 {
					changes[len(changes)-1].Value = make([]byte, 20000)
				}
			}
			if err := u.Put(fmt.Appendf(nil, "bucket %d", i*10+rng.IntN(3)), changes, nil, func() uint64 { return 1 }); err != nil {
				t.Fatal(err)
			}
		}
		patches, _, next, err := u.Finish()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range patches {
			after = append(after, make([]byte, max(int(p.First)*size+len(p.Bytes)-len(after), 0))...)
			copy(after[int(p.First)*size:], p.Bytes)
		}
		meta := pages.MetaBytes(page(after, size, m.Txid&1), next)
		if !pages.SealPatches(meta, next.Txid, patches) {
			t.Fatal("no room for the list")
		}
		copy(page(after, size, next.Txid&1), meta)
		u.Done()
		m = next
		seal, found := pages.SealOf(meta, m)
		if !found || seal.Durable || seal.Last {
			t.Fatalf("got %v, %v, want a seal", seal, found)
		}
		numbers := numbersOf(seal)
		wantListed(t, before, after, size, numbers)
		wantMissed(t, after, size, seal, numbers[rng.IntN(len(numbers))])
		wantStored(t, after, size, seal, int(m.Txid&1))
		before, listed, most = after, listed+len(numbers), max(most, len(seal.Runs))
	}
	t.Logf("%d pages, at most %d runs", listed, most)
}

func fileBytes(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// numbersOf returns the numbers of the pages in a seal.
func numbersOf(seal *pages.Seal) (numbers []uint64) {
	for _, r := range seal.Runs {
		for i := range r.Count {
			numbers = append(numbers, r.First+i)
		}
	}
	return numbers
}

// wantListed fails unless the listed pages are those that can be reached now and that
// the transaction before could not reach. What is neither is free.
func wantListed(t *testing.T, before, after []byte, size int, listed []uint64) {
	t.Helper()
	then, now := reachable(t, before), reachable(t, after)
	for id := range now {
		same := id*uint64(size) < uint64(len(before)) && bytes.Equal(page(before, size, id), page(after, size, id))
		if has := slices.Contains(listed, id); !has && !(then[id] && same) {
			t.Fatalf("page %d was written and is not listed", id)
		} else if has && then[id] {
			t.Fatalf("page %d is listed, but it was used before", id)
		}
	}
	for _, id := range listed {
		if !now[id] {
			t.Fatalf("page %d is listed and not used", id)
		}
	}
}

func page(b []byte, size int, id uint64) []byte { return b[id*uint64(size):][:size] }

// reachable returns the pages of the newest state, the freelist's among them.
func reachable(t *testing.T, b []byte) map[uint64]bool {
	t.Helper()
	used, err := pages.Used(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return used
}

// wantMissed fails unless the seal finds out that one byte of a page is another, and
// that the file ends too early.
func wantMissed(t *testing.T, b []byte, size int, seal *pages.Seal, id uint64) {
	t.Helper()
	if got, err := seal.Read(bytes.NewReader(b), size); got == nil || err != nil {
		t.Fatalf("got %d bytes, %v of the whole file, want all that were written", len(got), err)
	}
	b[id*uint64(size)+uint64(size)/3] ^= 4
	if got, err := seal.Read(bytes.NewReader(b), size); got != nil || err != nil {
		t.Fatalf("got %d bytes, %v with a wrong byte in page %d, want none", len(got), err, id)
	}
	b[id*uint64(size)+uint64(size)/3] ^= 4
	if got, err := seal.Read(bytes.NewReader(b[:id*uint64(size)]), size); got != nil || err != nil {
		t.Fatalf("got %d bytes, %v without page %d, want none", len(got), err, id)
	}
}

// wantStored fails unless the seal's bytes say what it says, with all marks, and are no
// seal with any other byte changed, or for another transaction.
func wantStored(t *testing.T, b []byte, size int, seal *pages.Seal, slot int) {
	t.Helper()
	meta := bytes.Clone(page(b, size, uint64(slot)))
	m := pages.MetaAt(meta, uint64(slot))
	stored, fits := seal.Bytes(size)
	if !fits {
		t.Fatalf("no room for %d runs", len(seal.Runs))
	}
	copy(meta[pages.SealOffset:], stored)
	got, found := pages.SealOf(meta, m)
	if !found || got.Sum != seal.Sum || !slices.Equal(got.Runs, seal.Runs) || got.Durable || got.Last {
		t.Fatalf("got %v, %v, want %v", got, found, seal)
	}
	meta[pages.SealMarksOffset] = (&pages.Seal{Durable: true, Last: true}).Marks()
	if got, found := pages.SealOf(meta, m); !found || !got.Durable || !got.Last {
		t.Fatalf("got %v, %v, want one that is durable and last", got, found)
	}
	for i := range stored {
		if i == pages.SealMarksOffset-pages.SealOffset {
			continue
		}
		meta[pages.SealOffset+i]++
		if got, found := pages.SealOf(meta, m); found {
			t.Fatalf("byte %d: got %v, want none", i, got)
		}
		meta[pages.SealOffset+i]--
	}
	m.Txid++
	if got, found := pages.SealOf(meta, m); found {
		t.Fatalf("got %v for another transaction, want none", got)
	}
}

// A hostile seal is refused, or costs no more than it may.
func FuzzSealOf(f *testing.F) {
	f.Add([]byte{3, 1, 0, 200, 1}, uint16(300))
	f.Add([]byte{}, uint16(0))
	f.Add(binary.AppendUvarint([]byte{2}, 1<<63), uint16(65535))
	f.Fuzz(func(t *testing.T, list []byte, high uint16) {
		meta := pages.Meta{PageSize: 4096, HighWater: uint64(high), Txid: 7}
		seal, found := pages.SealOf(pages.RawSeal(7, list, 4096), meta)
		if !found {
			return
		}
		all := uint64(0)
		for _, r := range seal.Runs {
			if all += r.Count; r.First < 2 || r.First+r.Count > uint64(high) || all > 4096 {
				t.Fatalf("got %v of %d pages", seal.Runs, high)
			}
		}
		if _, err := seal.Read(bytes.NewReader(nil), 4096); err != nil {
			t.Fatal(err)
		}
	})
}
