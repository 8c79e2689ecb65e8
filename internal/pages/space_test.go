package pages

import (
	"fmt"
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
			free := countPages(f.space.free) + countPages(f.space.heldRuns)
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
