package pages_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// A victim is a file to be damaged, as it is and as it was some commits ago.
type victim struct {
	size     int // of a page
	now, old []byte
	high     uint64              // pages in use
	kinds    map[string][]uint64 // pages by kind
	meta     int                 // the one that is chosen
	sound    [2]contents         // what now has from each meta
}

// kinds are the kinds of page that are damaged, each as often as any other.
var kinds = []string{"meta", "freelist", "branch", "leaf", "overflow", "free"}

// victims makes the files in dir, or reads those that are there.
func victims(t testing.TB, dir string) []victim {
	t.Helper()
	type tx = func(*bolt.Tx) error
	last := []tx{put(50, 30, 25, "a"), del(0, 10, 1, "a"), put(1, 3, 6000, "c"), put(2, 9, 9, "b", "nested", "more")}
	shapes := []shape{
		{"", bolt.Options{PageSize: 1024}, append(all[:len(all):len(all)], last...)},
		{"", bolt.Options{PageSize: 1024}, append([]tx{put(0, 900, 3, "a"), nest(9), wide(20, 200)}, last...)},
		{"", bolt.Options{PageSize: 4096}, append(all[:len(all):len(all)], last...)},
		{"", bolt.Options{PageSize: 1024, NoFreelistSync: true}, append(all[:len(all):len(all)], last...)},
	}
	var list []victim
	for i, s := range shapes {
		name := filepath.Join(dir, fmt.Sprint(i))
		if _, err := os.Stat(name); err != nil {
			now := read(t, s.build(t))
			s.fill = s.fill[:len(s.fill)-len(last)]
			old := read(t, s.build(t))
			if err := os.WriteFile(name+"old", old, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, now, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		list = append(list, newVictim(t, s.opts.PageSize, read(t, name), read(t, name+"old")))
	}
	return list
}

// newVictim sorts the pages by kind.
func newVictim(t testing.TB, size int, now, old []byte) victim {
	r := check(t, now)
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	v := victim{size: size, now: now, old: old, high: r.Metas[r.Meta].HighWater, kinds: map[string][]uint64{"meta": {0, 1}}, meta: r.Meta}
	for m := range v.sound {
		_, v.sound[m] = walk(t, now, m)
	}
	free := map[uint64]bool{}
	if id := r.Metas[r.Meta].Freelist; id < v.high {
		v.kinds["freelist"] = []uint64{id}
		p := v.page(now, id)
		for i := range p.count() {
			free[le.Uint64(p[16+8*i:])] = true
		}
	}
	for id := uint64(2); id < v.high; id++ {
		p := v.page(now, id)
		switch flags := le.Uint16(p[8:]); {
		case free[id]:
			v.kinds["free"] = append(v.kinds["free"], id)
		case flags == 1:
			v.kinds["branch"] = append(v.kinds["branch"], id)
		case flags == 2:
			v.kinds["leaf"] = append(v.kinds["leaf"], id)
			for range le.Uint32(p[12:]) {
				id++
				v.kinds["overflow"] = append(v.kinds["overflow"], id)
			}
		}
	}
	return v
}

// page returns the bytes of the file from the page on.
func (v *victim) page(f []byte, id uint64) node { return node(f[int(id)*v.size:]) }

// extremes are numbers that a field is set to.
var extremes = []uint64{0, 1, 2, 3, 15, 16, 17, 255, 1023, 1024, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 1 << 31, 1<<31 - 1, 1<<32 - 1, 1 << 63, 1<<64 - 1}

// mutate returns a damaged copy of one of the victims, which kind of page was hit
// and how. The same seed always gives the same.
func mutate(list []victim, seed uint64) (f []byte, v *victim, kind, how string) {
	rnd := newRand(seed)
	v = &list[rnd.IntN(len(list))]
	f = bytes.Clone(v.now)
	for len(v.kinds[kind]) == 0 {
		kind = kinds[rnd.IntN(len(kinds))]
	}
	pick := v.kinds[kind]
	id := pick[rnd.IntN(len(pick))]
	m := mutations[rnd.IntN(len(mutations))]
	f = m.do(v, f, id, rnd)
	return f, v, kind, m.name
}

// mutations are the ways to damage a page.
var mutations = []struct {
	name string
	do   func(v *victim, f []byte, id uint64, rnd *rand.Rand) []byte
}{
	{"bit", func(v *victim, f []byte, id uint64, rnd *rand.Rand) []byte {
		v.page(f, id)[rnd.IntN(v.size)] ^= 1 << rnd.IntN(8)
		return f
	}},
	{"bit at the front", func(v *victim, f []byte, id uint64, rnd *rand.Rand) []byte {
		v.page(f, id)[rnd.IntN(100)] ^= 1 << rnd.IntN(8)
		return f
	}},
	{"byte", func(v *victim, f []byte, id uint64, rnd *rand.Rand) []byte {
		v.page(f, id)[rnd.IntN(v.size)] = byte(rnd.Uint32())
		return f
	}},
	{"eight bytes", func(v *victim, f []byte, id uint64, rnd *rand.Rand) []byte {
		le.PutUint64(v.page(f, id)[rnd.IntN(v.size-8):], rnd.Uint64())
		return f
	}},
	{"sector of zeros", func(v *victim, f []byte, id uint64, rnd *rand.Rand) []byte {
		clear(v.page(f, id)[rnd.IntN(v.size/512)*512:][:512])
		return f
	}},
	{"sector of garbage", func(v *victim, f []byte, id uint64, rnd *rand.Rand) []byte {
		garbage(v.page(f, id)[rnd.IntN(v.size/512)*512:][:512], rnd)
		return f
	}},
	{"page of zeros", func(v *victim, f []byte, id uint64, _ *rand.Rand) []byte {
		clear(v.page(f, id)[:v.size])
		return f
	}},
	{"page of garbage", func(v *victim, f []byte, id uint64, rnd *rand.Rand) []byte {
		garbage(v.page(f, id)[16:v.size], rnd)
		return f
	}},
	{"swapped", func(v *victim, f []byte, id uint64, rnd *rand.Rand) []byte {
		other := rnd.Uint64N(v.high)
		copy(v.page(f, id)[:v.size], v.page(v.now, other))
		copy(v.page(f, other)[:v.size], v.page(v.now, id))
		return f
	}},
	{"duplicate", func(v *victim, f []byte, id uint64, rnd *rand.Rand) []byte {
		copy(v.page(f, id)[:v.size], v.page(v.now, rnd.Uint64N(v.high)))
		return f
	}},
	{"duplicate with its number", func(v *victim, f []byte, id uint64, rnd *rand.Rand) []byte {
		copy(v.page(f, id)[:v.size], v.page(v.now, rnd.Uint64N(v.high)))
		v.page(f, id).set(id)
		return f
	}},
	{"stale", func(v *victim, f []byte, id uint64, _ *rand.Rand) []byte {
		if from := int(id) * v.size; from+v.size <= len(v.old) {
			copy(f[from:from+v.size], v.old[from:])
		}
		return f
	}},
	{"stale sector", func(v *victim, f []byte, id uint64, rnd *rand.Rand) []byte {
		if from := int(id)*v.size + rnd.IntN(v.size/512)*512; from+512 <= len(v.old) {
			copy(f[from:from+512], v.old[from:])
		}
		return f
	}},
	{"truncated", func(v *victim, f []byte, _ uint64, rnd *rand.Rand) []byte {
		return f[:rnd.IntN(len(f))]
	}},
	{"truncated at the page", func(v *victim, f []byte, id uint64, _ *rand.Rand) []byte {
		return f[:int(id)*v.size]
	}},
	{"header", func(v *victim, f []byte, id uint64, rnd *rand.Rand) []byte {
		field(v.page(f, id), [][2]int{{0, 8}, {8, 2}, {10, 2}, {12, 4}}, rnd)
		return f
	}},
	{"element", func(v *victim, f []byte, id uint64, rnd *rand.Rand) []byte {
		p := v.page(f, id)
		i := rnd.IntN(max(1, min(p.count(), v.size/16-2)))
		field(p.elem(i), [][2]int{{0, 4}, {4, 4}, {8, 4}, {12, 4}, {8, 8}}, rnd)
		return f
	}},
	{"meta with its checksum", func(v *victim, f []byte, _ uint64, rnd *rand.Rand) []byte {
		m := f[rnd.IntN(2)*v.size+16:]
		if rnd.IntN(2) == 0 {
			le.PutUint64(m[16+8*rnd.IntN(5):], rnd.Uint64N(v.high+2))
		} else {
			field(m, [][2]int{{0, 4}, {4, 4}, {8, 4}, {16, 8}, {32, 8}, {40, 8}, {48, 8}}, rnd)
		}
		h := fnv.New64a()
		h.Write(m[:56])
		le.PutUint64(m[56:], h.Sum64())
		return f
	}},
	{"number of a page", func(v *victim, f []byte, id uint64, rnd *rand.Rand) []byte {
		p := v.page(f, id)
		le.PutUint64(p[16+8*rnd.IntN(max(1, min(2*p.count(), v.size/8-3))):], rnd.Uint64N(v.high+1))
		return f
	}},
}

// garbage fills b with random bytes.
func garbage(b []byte, rnd *rand.Rand) {
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
}

// field sets one of the fields, which are an offset and a size, to an extreme.
func field(b []byte, fields [][2]int, rnd *rand.Rand) {
	at := fields[rnd.IntN(len(fields))]
	n := binary.LittleEndian.AppendUint64(nil, extremes[rnd.IntN(len(extremes))])
	copy(b[at[0]:at[0]+at[1]], n)
}
