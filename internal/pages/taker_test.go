package pages

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// randomRuns returns so many runs with gaps between them, most of them of one page if single.
func randomRuns(rng *rand.Rand, n int, single bool) (runs []Run) {
	at := uint64(2)
	for range n {
		count := uint64(1)
		if !single || rng.IntN(20) == 0 {
			count = rng.Uint64N(70) + 1
		}
		runs = append(runs, Run{at, count})
		at += count + 1 + rng.Uint64N(5)
	}
	return runs
}

// idsOf returns the pages of some runs, one by one.
func idsOf(runs []Run) (ids []uint64) {
	for _, r := range runs {
		for i := range r.Count {
			ids = append(ids, r.First+i)
		}
	}
	slices.Sort(ids)
	return ids
}

// bestLength returns the length of the shortest run that has enough pages, or else of the longest,
// and that of the longest.
func bestLength(runs []Run, enough uint64) (best, most uint64) {
	lengths := []uint64{0}
	for _, r := range runs {
		lengths = append(lengths, r.Count)
	}
	slices.Sort(lengths)
	most = lengths[len(lengths)-1]
	for _, n := range lengths {
		if n >= enough {
			return n, most
		}
	}
	return most, most
}

// What a taker has taken and what is left are what was free and what was appended, and it takes
// from the best run first.
func TestTakerTakesWhatIsFree(t *testing.T) {
	t.Parallel()
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 2))
		s := &Space{free: randomRuns(rng, rng.IntN(200), seed%2 == 0)}
		s.count = countPages(s.free)
		high := uint64(2)
		if n := len(s.free); n > 0 {
			high = s.free[n-1].First + s.free[n-1].Count + 1
		}
		s.Tight = rng.IntN(2) == 0
		before := slices.Clone(s.free)
		expected := rng.Uint64N(80) + 1
		tk := newTaker(s, high, expected)
		if best, most := bestLength(tk.free, tk.enough); tk.length != best || tk.most != most || tk.best >= 0 && tk.free[tk.best].Count != best {
			t.Fatalf("seed %d: the best run of %v has %d pages, and the longest %d, want %d and %d", seed, tk.free, tk.length, tk.most, best, most)
		}
		for range rng.IntN(int(2 * expected)) {
			switch rng.IntN(10) {
			case 0:
				tk.take(rng.Uint64N(6) + 1)
			case 1:
				tk.reserve(rng.Uint64N(40) + 1)
			default:
				tk.take(1)
			}
			if _, most := bestLength(tk.free, tk.enough); most > tk.most {
				t.Fatalf("seed %d: a run has %d pages, want at most %d", seed, most, tk.most)
			}
		}
		left := slices.Clone(tk.left())
		if countPages(left) != tk.count {
			t.Fatalf("seed %d: %d pages are left, want %d", seed, countPages(left), tk.count)
		}
		if !slices.Equal(s.free, before) {
			t.Fatalf("seed %d: the space changed before the transaction was done", seed)
		}
		appended := tk.high - high
		got, want := idsOf(append(left, tk.taken...)), idsOf(append(before, Run{high, appended}))
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: got %v, want %v", seed, got, want)
		}
	}
}

// Runs that are merged have the pages of both, ascending, and none is beside another.
func TestMergedRuns(t *testing.T) {
	t.Parallel()
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 3))
		all := randomRuns(rng, rng.IntN(150), seed%3 == 0)
		var parts [2][]Run
		share := rng.IntN(20) + 1
		for _, r := range all {
			part := 0
			if rng.IntN(share) == 0 {
				part = 1
			}
			if r.Count > 1 && rng.IntN(2) == 0 { // it is joined again
				parts[part] = append(parts[part], Run{r.First, 1})
				parts[1-part] = append(parts[1-part], Run{r.First + 1, r.Count - 1})
				continue
			}
			parts[part] = append(parts[part], r)
		}
		if got := mergeRuns(parts[0], parts[1]); !slices.Equal(got, all) {
			t.Fatalf("seed %d: got %v, want %v", seed, got, all)
		}
		if got := mergeRuns(all, parts[0]); countPages(got) != countPages(all)+countPages(parts[0]) { // of a damaged file
			t.Fatalf("seed %d: got %v, want the pages of %v and of %v", seed, got, all, parts[0])
		}
	}
}

// A freelist has what is free and what is not used any more, in order.
func TestFillFreelist(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 4))
		all := randomRuns(rng, rng.IntN(100)+1, seed%2 == 0)
		var parts [2][]Run
		for _, r := range all {
			part := rng.IntN(2)
			parts[part] = append(parts[part], r)
		}
		count := countPages(all)
		own := Run{9, listPages(count, 12)}
		b := make([]byte, own.Count<<12)
		for i := range b {
			b[i] = 0xff
		}
		fillFreelist(b, own, count, parts[0], parts[1])
		double := make([]byte, len(b)*2)
		fillFreelist(double, own, 2*count, all, all) // of a damaged file
		var twice []uint64
		for i := range 2 * count {
			twice = append(twice, le.Uint64(double[headerSize+i*idSize:]))
		}
		slices.Sort(twice)
		if want := idsOf(append(slices.Clone(all), all...)); !slices.Equal(twice, want) {
			t.Fatalf("seed %d: got %v, want %v", seed, twice, want)
		}
		var got []uint64
		for i := range count {
			got = append(got, le.Uint64(b[headerSize+i*idSize:]))
		}
		if want := idsOf(all); !slices.Equal(got, want) || headerOf(b).id != 9 || uint64(headerOf(b).count) != count {
			t.Fatalf("seed %d: got %v, want %v", seed, got, want)
		}
		for i, c := range b[headerSize+count*idSize:] {
			if c != 0 {
				t.Fatalf("seed %d: byte %d behind the list is %d", seed, i, c)
			}
		}
	}
}
