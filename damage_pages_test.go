package userdata_test

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// damagePages is a file to be damaged, page by page.
type damagePages struct {
	size     int    // of a page
	now, old []byte // the file, and as it was some commits ago
	kinds    map[string][]uint64
	high     uint64 // pages in use
}

// damageKinds are the kinds of page that are damaged, each as often as any other.
var damageKinds = []string{"meta", "freelist", "branch", "leaf", "overflow", "free"}

var little = binary.LittleEndian

// newDamagePages sorts the pages of a sound file by kind.
func newDamagePages(t testing.TB, now, old []byte) *damagePages {
	t.Helper()
	r, err := pages.Check(bytes.NewReader(now), int64(len(now)))
	ok(t, err)
	ok(t, r.Err())
	meta := r.Metas[r.Meta]
	d := &damagePages{size: r.PageSize, now: now, old: old, high: meta.HighWater, kinds: map[string][]uint64{"meta": {0, 1}}}
	var free []uint64
	list := now[int(meta.Freelist)*d.size:]
	for i := range int(little.Uint16(list[10:])) {
		free = append(free, little.Uint64(list[16+8*i:]))
	}
	for id := uint64(2); id < d.high; id++ {
		p := d.page(now, id)
		kind := map[uint16]string{1: "branch", 2: "leaf", 16: "freelist"}[little.Uint16(p[8:])]
		if slices.Contains(free, id) {
			d.kinds["free"] = append(d.kinds["free"], id)
			continue
		}
		d.kinds[kind] = append(d.kinds[kind], id)
		for range little.Uint32(p[12:]) {
			id++
			d.kinds["overflow"] = append(d.kinds["overflow"], id)
		}
	}
	for _, kind := range damageKinds {
		if len(d.kinds[kind]) == 0 {
			t.Fatalf("the file has no %s page", kind)
		}
	}
	return d
}

// page returns a page of the file f.
func (d *damagePages) page(f []byte, id uint64) []byte { return f[int(id)*d.size:][:d.size] }

// damage returns a damaged copy of the file, and which kind of page was hit and
// how. The same seed always gives the same.
func (d *damagePages) damage(seed uint64) (f []byte, kind, how string) {
	rnd := newDamageRand(seed)
	f = bytes.Clone(d.now)
	kind = damageKinds[rnd.IntN(len(damageKinds))]
	id := d.kinds[kind][rnd.IntN(len(d.kinds[kind]))]
	way := damageWays[rnd.IntN(len(damageWays))]
	if way.how == "meta with its checksum" {
		kind, id = "meta", uint64(rnd.IntN(2))
	}
	f = way.do(d, f, id, rnd)
	return f, kind, way.how
}

// damageWays are the ways to damage a page.
var damageWays = []struct {
	how string
	do  func(d *damagePages, f []byte, id uint64, rnd *rand.Rand) []byte
}{
	{"bit", inPage(func(p []byte, rnd *rand.Rand) { p[rnd.IntN(len(p))] ^= 1 << rnd.IntN(8) })},
	{"bit at the front", inPage(func(p []byte, rnd *rand.Rand) { p[rnd.IntN(100)] ^= 1 << rnd.IntN(8) })},
	{"byte", inPage(func(p []byte, rnd *rand.Rand) { p[rnd.IntN(len(p))] = byte(rnd.Uint32()) })},
	{"eight bytes", inPage(func(p []byte, rnd *rand.Rand) { little.PutUint64(p[rnd.IntN(len(p)-8):], rnd.Uint64()) })},
	{"eight bytes at the front", inPage(func(p []byte, rnd *rand.Rand) { little.PutUint64(p[8*rnd.IntN(8):], rnd.Uint64N(300)) })},
	{"sector of zeros", inPage(func(p []byte, rnd *rand.Rand) { clear(sector(p, rnd)) })},
	{"sector of garbage", inPage(func(p []byte, rnd *rand.Rand) { scribble(sector(p, rnd), rnd) })},
	{"page of zeros", inPage(func(p []byte, _ *rand.Rand) { clear(p) })},
	{"page of garbage", inPage(func(p []byte, rnd *rand.Rand) { scribble(p, rnd) })},
	{"page of garbage under its header", inPage(func(p []byte, rnd *rand.Rand) { scribble(p[16:], rnd) })},
	{"element", inPage(func(p []byte, rnd *rand.Rand) {
		little.PutUint32(p[16+4*rnd.IntN(40):], []uint32{0, 1, 16, 4095, 4096, 1 << 16, 1 << 31, 1<<32 - 1}[rnd.IntN(8)])
	})},
	{"swapped", func(d *damagePages, f []byte, id uint64, rnd *rand.Rand) []byte {
		other := rnd.Uint64N(d.high)
		copy(d.page(f, id), d.page(d.now, other))
		copy(d.page(f, other), d.page(d.now, id))
		return f
	}},
	{"another page, with its own number", func(d *damagePages, f []byte, id uint64, rnd *rand.Rand) []byte {
		copy(d.page(f, id), d.page(d.now, 2+rnd.Uint64N(d.high-2)))
		little.PutUint64(d.page(f, id), id)
		return f
	}},
	{"stale page", func(d *damagePages, f []byte, id uint64, _ *rand.Rand) []byte {
		if int(id+1)*d.size <= len(d.old) {
			copy(d.page(f, id), d.page(d.old, id))
		}
		return f
	}},
	{"stale sector", func(d *damagePages, f []byte, id uint64, rnd *rand.Rand) []byte {
		if at := int(id)*d.size + 512*rnd.IntN(d.size/512); at+512 <= len(d.old) {
			copy(f[at:at+512], d.old[at:])
		}
		return f
	}},
	// A file of no bytes at all is one that nobody has written to yet.
	{"truncated", func(d *damagePages, f []byte, _ uint64, rnd *rand.Rand) []byte { return f[:1+rnd.IntN(len(f)-1)] }},
	{"truncated at a page", func(d *damagePages, f []byte, id uint64, _ *rand.Rand) []byte { return f[:max(int(id)*d.size, 1)] }},
	{"meta with its checksum", inPage(func(p []byte, rnd *rand.Rand) {
		m := p[16:]
		little.PutUint64(m[16+8*rnd.IntN(5):], rnd.Uint64N(400))
		h := fnv.New64a()
		h.Write(m[:56])
		little.PutUint64(m[56:], h.Sum64())
	})},
}

// inPage is a way to damage that stays within one page.
func inPage(do func(p []byte, rnd *rand.Rand)) func(d *damagePages, f []byte, id uint64, rnd *rand.Rand) []byte {
	return func(d *damagePages, f []byte, id uint64, rnd *rand.Rand) []byte {
		do(d.page(f, id), rnd)
		return f
	}
}

// sector draws a sector of a page.
func sector(p []byte, rnd *rand.Rand) []byte { return p[512*rnd.IntN(len(p)/512):][:512] }

// scribble fills b with random bytes.
func scribble(b []byte, rnd *rand.Rand) {
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
}
