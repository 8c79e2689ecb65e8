package pages

import (
	"cmp"
	"slices"
)

// A taker takes pages for one transaction: what is written to pages beside each other is
// written at once, and reaches a disk several times as fast as what is not. So it takes
// long runs of free pages first, and pages behind all others rather than from short
// runs, as long as not too much of the file is free.
type taker struct {
	free   []Run  // of the space, less what was taken
	count  uint64 // of the pages of free
	high   uint64
	spare  uint64  // how many pages may be added to the file for the sake of speed
	enough uint64  // a run of so many is long
	at     int     // the run of free that pages are taken from; -1 for behind all others
	best   int     // the run that was the best when it was last asked for, -1 for none,
	length uint64  // how many pages it had then,
	most   uint64  // and no run has more than so many
	looked int     // how often all runs were looked at for it
	sorted []int32 // the runs of free, the best last; nil until it is asked for
	gone   []int   // the runs of free of which all pages were taken
	taken  []Run
}

// A long run has longRun pages. The file may grow for the sake of speed while less of it is
// free than used, or than sparePages for each page that the transaction takes: the list
// of what is free is written by each transaction, which would cost a small one more than
// it gains. It may always have leastSpare pages, and for that reason no more than mostSpare,
// whose list takes 64 KiB.
//
// When half of a file is free, and scattered pages of it change, the runs that are found
// have seven pages; with a third three, with a fifth two.
const (
	longRun    = 32
	sparePages = 400
	leastSpare = 64
	mostSpare  = 8192
)

// newTaker returns a taker for a transaction that probably takes so many pages.
func newTaker(s *Space, high, expected uint64) *taker {
	t := &taker{free: append(s.other[:0], s.free...), count: s.count, high: high, enough: min(max(expected, 1), longRun)}
	s.other = nil
	unused := s.count + countPages(s.heldRuns)
	if most := max(min(high-min(unused, high), expected*sparePages, mostSpare), leastSpare); most > unused && !s.Tight {
		t.spare = most - unused
	}
	t.look()
	t.at = t.pick()
	return t
}

// take takes pages beside each other, and returns the first of them.
func (t *taker) take(count uint64) (first uint64) {
	at := t.at
	if at >= 0 && t.free[at].Count < count {
		if count > 1 { // the next page may still come from there
			at = t.shortest(count)
		} else {
			t.at = t.pick()
			at = t.at
		}
	}
	if at >= 0 {
		return t.from(at, count)
	}
	first = t.append(count)
	t.spare -= min(count, t.spare)
	if t.at < 0 && t.spare == 0 {
		t.at = t.pick()
	}
	return first
}

// pick returns the run to take pages from next.
func (t *taker) pick() int {
	if t.nextBest(); t.best >= 0 && t.free[t.best].Count < t.enough && t.spare > 0 {
		return -1
	}
	return t.best
}

// look makes best the shortest run that is long enough, so that very long ones are left for
// what needs them, or else the longest; -1 if there are none.
func (t *taker) look() {
	fit, longest := -1, -1
	t.length, t.most = 0, 0
	for i, r := range t.free {
		if r.Count > t.most {
			longest, t.most = i, r.Count
		}
		if r.Count >= t.enough && (fit < 0 || r.Count < t.length) {
			fit, t.length = i, r.Count
		}
	}
	if t.best = fit; fit < 0 {
		t.best, t.length = longest, t.most
	}
	t.looked++
}

// nextBest makes best what look would. Where most runs have the same few pages, as after a
// commit of scattered records, one of those behind the last best run is as good as that was.
func (t *taker) nextBest() {
	if t.best < 0 || t.free[t.best].Count == t.length {
		return
	}
	if t.sorted == nil {
		for i := t.best + 1; i < len(t.free); i++ {
			if t.free[i].Count == t.length {
				t.best = i
				return
			}
		}
		if t.looked <= 2 { // small transactions need no more
			t.look()
			return
		}
		t.sort()
	}
	for n := len(t.sorted); n > 0; n = len(t.sorted) {
		t.best = int(t.sorted[n-1])
		if t.length = t.free[t.best].Count; t.length > 0 {
			return
		}
		t.sorted = t.sorted[:n-1]
	}
	t.best = -1
}

// sort sorts the runs so that the best is the last. Most are short.
func (t *taker) sort() {
	const classes = 2 * longRun
	var first [classes + 1]int
	for _, r := range t.free {
		first[min(r.Count, classes-1)+1]++
	}
	for class := range classes {
		first[class+1] += first[class]
	}
	t.sorted = make([]int32, len(t.free))
	long, enough := first[classes-1], first[t.enough]
	for i := len(t.free) - 1; i >= 0; i-- {
		at := &first[min(t.free[i].Count, classes-1)]
		t.sorted[*at] = int32(i)
		*at++
	}
	slices.SortStableFunc(t.sorted[long:], func(a, b int32) int { return cmp.Compare(t.free[a].Count, t.free[b].Count) })
	slices.Reverse(t.sorted[enough:])
}

// reserve takes pages from the shortest run that has so many, or else those behind all others.
func (t *taker) reserve(count uint64) (first uint64) {
	if at := t.shortest(count); at >= 0 {
		return t.from(at, count)
	}
	return t.append(count)
}

// shortest returns the shortest run that has so many pages; -1 if none has.
func (t *taker) shortest(count uint64) int {
	best := -1
	if count > t.most {
		return best
	}
	for i, r := range t.free {
		if r.Count >= count && (best < 0 || r.Count < t.free[best].Count) {
			best = i
		}
	}
	return best
}

// from takes pages from a run.
func (t *taker) from(at int, count uint64) (first uint64) {
	r := &t.free[at]
	first = r.First
	r.First, r.Count = first+count, r.Count-count
	if t.count -= count; r.Count == 0 {
		t.gone = append(t.gone, at)
	}
	t.taken = appendRun(t.taken, Run{first, count})
	return first
}

// append takes pages behind all others.
func (t *taker) append(count uint64) (first uint64) {
	first = t.high
	t.high += count
	t.taken = appendRun(t.taken, Run{first, count})
	return first
}

// left returns the runs that were not taken. It is the end of the taker.
func (t *taker) left() []Run {
	if len(t.gone) == 0 {
		return t.free
	}
	slices.Sort(t.gone)
	out := t.free[:t.gone[0]]
	for k, i := range t.gone {
		end := len(t.free)
		if k+1 < len(t.gone) {
			end = t.gone[k+1]
		}
		out = append(out, t.free[i+1:end]...)
	}
	t.free, t.gone = out, nil
	return out
}
