package userdata

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// The index of a session's keys finds what a map finds, whatever comes and goes.
func TestKeyIndexIsAMap(t *testing.T) {
	seed := uint64(8)
	if testing.Verbose() {
		t.Logf("seed %d", seed)
	}
	rng := rand.New(rand.NewPCG(seed, seed))
	im := &identityMap{}
	im.base.of = im
	want := map[string]*entry{}
	key := func() string { return fmt.Sprint("k", rng.IntN(300)) }
	check := func(step int) {
		t.Helper()
		for i := range 300 {
			k := fmt.Sprint("k", i)
			if got := im.base.find([]byte(k)); got != want[k] {
				t.Fatalf("step %d: key %s leads to %p, not to %p", step, k, got, want[k])
			}
		}
		if int(im.base.used) != len(want) {
			t.Fatalf("step %d: the index has %d entries, not %d", step, im.base.used, len(want))
		}
	}
	for step := range 20_000 {
		k := key()
		switch e := want[k]; {
		case e == nil && rng.IntN(2) == 0: // read
			e = &entry{state: Persistent, key: k}
			im.insert(e)
			want[k] = e
		case e == nil: // added and then written
			e = &entry{state: Pending, im: im, index: uint32(len(im.entries))}
			im.entries = append(im.entries, e)
			im.count++
			e.state, e.key = Persistent, k
			im.base.add(e)
			want[k] = e
		case rng.IntN(3) > 0:
			im.remove(e)
			delete(want, k)
		default: // its record gets another key, that of another one perhaps, which goes
			other := key()
			if old := want[other]; old != nil && old != e {
				im.remove(old)
			}
			delete(want, k)
			im.base.remove(e)
			e.key = other
			im.base.add(e)
			want[other] = e
		}
		if step%97 == 0 {
			check(step)
		}
		if step%1009 == 0 {
			im.compact()
			check(step)
		}
	}
	check(-1)
}

// An index that had many entries once does not keep their room.
func TestKeyIndexShrinks(t *testing.T) {
	im := &identityMap{}
	im.base.of = im
	var entries []*entry
	for i := range 10_000 {
		e := &entry{state: Persistent, key: fmt.Sprint(i)}
		im.insert(e)
		entries = append(entries, e)
	}
	im.base.settle()
	for _, e := range entries[3:] {
		im.remove(e)
	}
	im.insert(&entry{state: Persistent, key: "last"}) // closes the gaps
	if im.base.find([]byte("2")) != entries[2] || len(im.base.slots) > 16 {
		t.Errorf("four entries have %d places", len(im.base.slots))
	}
}
