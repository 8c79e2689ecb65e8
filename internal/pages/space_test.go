package pages

import (
	"fmt"
	"slices"
	"testing"
)

// change makes one transaction: changes of so many of the keys, with values of some size.
func (f *updated) change(keys, n, size int) {
	changes := map[string]string{}
	for range n {
		changes[fmt.Sprintf("%06d", f.rng.IntN(keys))] = string(f.room[:size])
	}
	f.want = map[string]map[string]string{} // it is not compared
	f.unseen = true
	f.update(map[string]map[string]string{"b": changes})
}

// However long it is written to, a file has no more than about as many free pages as used
// ones; and while an old state is read, it grows by what that state alone has, and not by
// what was written after it and is no longer read.
func TestSpaceStaysBounded(t *testing.T) {
	t.Parallel()
	for name, load := range map[string]struct {
		keys, commits int
		n             func(f *updated) int
		size          func(f *updated) int
		held          bool
		most          float64 // the file's pages, of those that are used
	}{
		"one by one":         {keys: 5000, commits: 4000, n: one, size: hundred, most: 2.2},
		"hundreds":           {keys: 5000, commits: 300, n: func(f *updated) int { return f.rng.IntN(600) + 1 }, size: hundred, most: 2.2},
		"now and then large": {keys: 600, commits: 3000, n: func(f *updated) int { return 1 + f.rng.IntN(4) }, size: nowAndThenLarge, most: 3.2},
		"an old state held":  {keys: 5000, commits: 3000, n: one, size: hundred, held: true, most: 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newUpdated(t, 7, 4096)
			for range 4 {
				f.change(load.keys, load.keys, 100)
			}
			if load.held {
				f.held = []heldState{{meta: f.meta}}
			}
			for range load.commits {
				f.change(load.keys, load.n(f), load.size(f))
			}
			if load.held {
				f.held = nil
				f.change(load.keys, 1, 100)
			}
			free := countPages(f.space.free)
			if free != f.space.count {
				t.Errorf("the space has %d pages, want %d", f.space.count, free)
			}
			free += countPages(f.space.heldRuns)
			used := f.meta.HighWater - free
			t.Logf("%d pages, %d used", f.meta.HighWater, used)
			if float64(f.meta.HighWater) > load.most*float64(used)+leastSpare {
				t.Errorf("got %d pages, of which %d are used, want less than %.1f of that", f.meta.HighWater, used, load.most)
			}
		})
	}
}

func one(*updated) int     { return 1 }
func hundred(*updated) int { return 100 }

// nowAndThenLarge is mostly small, and one time of a hundred up to 400 KB.
func nowAndThenLarge(f *updated) int {
	if f.rng.IntN(100) == 0 {
		return f.rng.IntN(400_000)
	}
	return f.rng.IntN(500)
}

// A freelist that can't be that of the file is no Space.
func TestSpaceOfDamagedList(t *testing.T) {
	t.Parallel()
	f := newUpdated(t, 1, 4096)
	f.change(2000, 2000, 100)
	f.change(2000, 2000, 100)
	at := int(f.meta.Freelist) * 4096
	for name, damage := range map[string]func(list []byte){
		"too many pages": func(list []byte) { le.PutUint32(list[12:], 1<<32-1) },
		"too many":       func(list []byte) { le.PutUint16(list[10:], manyFree-1) },
		"out of order":   func(list []byte) { copy(list[headerSize:], list[headerSize+idSize:headerSize+2*idSize]) },
		"behind the file": func(list []byte) {
			le.PutUint64(list[headerSize+(int(le.Uint16(list[10:]))-1)*idSize:], f.meta.HighWater)
		},
		"a meta page": func(list []byte) { le.PutUint64(list[headerSize:], 1) },
		"no list":     func(list []byte) { le.PutUint16(list[8:], leafPage) },
	} {
		data := slices.Clone(f.data)
		damage(data[at:])
		if s, err := NewSpace(data, f.meta); err == nil {
			t.Errorf("%s: got %v, want an error", name, s)
		}
	}
}
