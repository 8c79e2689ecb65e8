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

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// A file that grows and shrinks is cut now and then: it has what it had, in fewer pages, of
// which each is used or free, what is written was free before, and bbolt goes on with it.
func TestShrink(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	rng := rand.New(rand.NewPCG(9, 1))
	rounds, cuts, cut, moved := 500, 0, 0, uint64(0)
	if short() {
		rounds = 60
	}
	for range rounds {
		churn(t, path, rng)
		before := fileBytes(t, path)
		m := newest(t, before)
		most, slack := uint64(1000), uint64(rng.IntN(20))
		if rng.IntN(3) == 0 {
			most = rng.Uint64N(20)
		}
		out, err := pages.Shrink(before, m, most, slack)
		if err != nil {
			t.Fatal(err)
		}
		if out == nil {
			continue
		}
		if out.Moved > most+12 || most == 0 && out.Moved > 0 { // there are so many branches
			t.Fatalf("%d pages are moved, want %d at most and the branches above them", out.Moved, most)
		}
		after := applied(t, before, m, out)
		wantSame(t, before, after)
		if err := os.WriteFile(path, after, 0o600); err != nil {
			t.Fatal(err)
		}
		cuts, cut, moved = cuts+1, cut+len(before)-len(after), moved+out.Moved
	}
	t.Logf("%d times %d bytes were cut, and %d pages moved", cuts, cut, moved)
	if cuts < rounds/4 || cut == 0 || moved == 0 {
		t.Fatal("hardly anything was tested")
	}
}

// churn makes random commits: now and then many entries come, or a good part of
// them goes.
func churn(t *testing.T, path string, rng *rand.Rand) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true, FreelistType: bolt.FreelistArrayType})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.AllocSize = 64 << 10
	for range 1 + rng.IntN(5) {
		err := db.Update(func(tx *bolt.Tx) error { return sealChanges(tx, rng) })
		if err != nil {
			t.Fatal(err)
		}
	}
	if rng.IntN(2) == 0 {
		return
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(fmt.Appendf(nil, "bucket %d", rng.IntN(5)))
		for k, _ := b.Cursor().First(); err == nil && k != nil; k, _ = b.Cursor().Seek(append(k, 0)) {
			if k = bytes.Clone(k); rng.IntN(3) > 0 {
				err = b.Delete(k)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// shrinkable makes a file that can be cut, and returns it with its meta and the transaction for
// that.
func shrinkable(t *testing.T, path string, rng *rand.Rand) ([]byte, pages.Meta, *pages.Shrunk) {
	t.Helper()
	for round := range 40 {
		churn(t, path, rng)
		b := fileBytes(t, path)
		m := newest(t, b)
		if out, err := pages.Shrink(b, m, 1000, 4); err != nil {
			t.Fatal(err)
		} else if out != nil && round > 10 {
			return b, m, out
		}
	}
	t.Fatal("no file can be cut")
	return nil, pages.Meta{}, nil
}

// newest returns the newest meta of a file.
func newest(t *testing.T, b []byte) pages.Meta {
	t.Helper()
	rep, err := pages.Metas(bytes.NewReader(b), int64(len(b)))
	if err != nil || rep.Meta < 0 {
		t.Fatal(rep, err)
	}
	return rep.Metas[rep.Meta]
}

// applied returns the file after the transaction, which must not touch what was used
// before it.
func applied(t *testing.T, before []byte, m pages.Meta, out *pages.Shrunk) []byte {
	t.Helper()
	b, size, used := bytes.Clone(before), uint64(m.PageSize), reachable(t, before)
	for _, p := range out.Patches {
		for i := range uint64(len(p.Bytes)) / size {
			if used[p.First+i] || p.First+i < 2 {
				t.Fatalf("page %d is written, and was used", p.First+i)
			}
		}
		copy(b[p.First*size:], p.Bytes)
	}
	if got := newest(t, b); got != m {
		t.Fatalf("got %+v before the meta page is written, want %+v", got, m)
	}
	slot := out.Meta.Txid & 1
	meta := bytes.Clone(page(before, int(size), m.Txid&1))
	pages.MoveMeta(meta, int(slot))
	pages.SetMeta(meta, out.Meta)
	copy(b[slot*size:], meta)
	b = b[:out.Meta.HighWater*size]
	if got := newest(t, b); got != out.Meta {
		t.Fatalf("got %+v, want %+v", got, out.Meta)
	}
	return b
}

// wantSame fails unless both files are sound and have the same entries.
func wantSame(t *testing.T, before, after []byte) {
	t.Helper()
	var got [2][]string
	for i, b := range [][]byte{before, after} {
		rep, err := pages.Walk(bytes.NewReader(b), int64(len(b)), int(newest(t, b).Txid&1), func(bucket [][]byte, key, value []byte) error {
			got[i] = append(got[i], fmt.Sprintf("%s %s %x", bucket, key, value))
			return nil
		})
		if err != nil || rep.Err() != nil {
			t.Fatal(i, err, rep.Err())
		}
	}
	if diff := cmp.Diff(got[0], got[1]); diff != "" {
		t.Fatal(diff)
	}
}

// A page that is neither used nor free may have been cut off a tree by damage: it is not
// cut off the file.
func TestShrinkKeepsUnknownPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	rng := rand.New(rand.NewPCG(9, 3))
	b, m, out := shrinkable(t, path, rng)
	list := page(b, int(m.PageSize), m.Freelist)
	count, tested := binary.LittleEndian.Uint16(list[10:]), 0
	for i := range int(count) {
		id := binary.LittleEndian.Uint64(list[16+8*i:])
		if id < out.Meta.HighWater {
			continue
		}
		c := bytes.Clone(b)
		list := page(c, int(m.PageSize), m.Freelist)
		copy(list[16+8*i:], list[16+8*(i+1):16+8*int(count)])
		binary.LittleEndian.PutUint16(list[10:], count-1)
		out, err := pages.Shrink(c, m, 1000, 4)
		if err != nil {
			t.Fatal(err)
		}
		if tested++; out != nil && out.Meta.HighWater <= id {
			t.Fatalf("%d pages are left, page %d is not", out.Meta.HighWater, id)
		}
	}
	if t.Log(tested, "pages"); tested == 0 {
		t.Fatal("no page was tested")
	}
}

// Whatever the bytes are, Shrink returns, and writes only pages that the file has.
func TestShrinkDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	rng := rand.New(rand.NewPCG(9, 2))
	whole, m, _ := shrinkable(t, path, rng)
	size := int(m.PageSize)
	rounds, refused, used := 5000, 0, slices.Collect(func(yield func(uint64) bool) {
		for id := range reachable(t, whole) {
			if !yield(id) {
				return
			}
		}
	})
	slices.Sort(used)
	if short() {
		rounds = 500
	}
	for range rounds {
		b := bytes.Clone(whole)
		for range 1 + rng.IntN(3) {
			p := page(b, size, used[rng.IntN(len(used))])
			switch at := rng.IntN(400); rng.IntN(3) {
			case 0:
				p[at] ^= 1 << rng.IntN(8)
			case 1:
				p[at] = byte(rng.Uint32())
			default:
				copy(p, page(b, size, used[rng.IntN(len(used))]))
			}
		}
		if rng.IntN(10) == 0 {
			b = b[:rng.IntN(len(b))]
		}
		out, err := pages.Shrink(b, m, 1000, 4)
		if err != nil {
			refused++
		}
		if out == nil {
			continue
		}
		for _, p := range out.Patches {
			if last := p.First + uint64(len(p.Bytes)/size) - 1; p.First < 2 || last >= out.Meta.HighWater {
				t.Fatalf("pages %d to %d are written, of %d", p.First, last, out.Meta.HighWater)
			}
		}
	}
	t.Logf("%d of %d files refused", refused, rounds)
	if refused < rounds/10 {
		t.Fatal("hardly any damage was seen")
	}
}
