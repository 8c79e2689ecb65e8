package pages

import (
	"cmp"
	"slices"
)

// A Space is the free pages of a file that one writer changes by transactions of its own:
// those that the next one may take, and those that it may not, since somebody may still
// read a state that has them. It is not safe for concurrent use.
type Space struct {
	list Run   // the pages of the freelist
	free []Run // ascending, none beside another

	fresh    []freed           // by the last transaction
	held     []freed           // before, and somebody read a state that has them
	heldRuns []Run             // the same, ascending
	older    []uint64          // the states before the last one that are read
	births   map[uint64]uint64 // the transactions that wrote pages while there were such; nil if there are none

	// Tight tells that the file can't grow: free pages are taken also where they are one by one.
	Tight bool

	// These are for the next Update, so that it need not make them.
	other   []Run
	room    []byte
	patches []Patch
	lists   [][]item
}

// A freed is pages that the states from one transaction to before another have.
type freed struct {
	born, txid uint64 // born is 0 if it is not known
	runs       []Run  // ascending, none beside another
}

// in reports whether one of the states, which ascend, has them.
func (f *freed) in(states []uint64) bool {
	i, _ := slices.BinarySearch(states, f.born)
	return i < len(states) && states[i] < f.txid
}

// NewSpace reads the freelist of m. Nobody reads an earlier state. An error says what is
// wrong with it.
func NewSpace(data []byte, m Meta) (*Space, error) {
	_, own, free, err := freePages(data, m)
	if err != nil {
		return nil, pageError(m.Freelist, err)
	}
	return &Space{list: own, free: free}, nil
}

// release lets the next transaction take what none of the states has that are read. They
// ascend; the last is that of the last transaction.
func (s *Space) release(states []uint64) {
	older := states[:len(states)-1]
	var runs []Run
	for _, f := range s.fresh {
		if f.in(older) {
			s.held, s.heldRuns = append(s.held, f), mergeRuns(s.heldRuns, f.runs)
		} else {
			runs = append(runs, f.runs...)
		}
	}
	s.fresh = s.fresh[:0]
	if !slices.Equal(older, s.older) {
		s.older = slices.Clone(older)
		s.held = slices.DeleteFunc(s.held, func(f freed) bool {
			if f.in(older) {
				return false
			}
			runs = append(runs, f.runs...)
			return true
		})
		s.heldRuns = joinedRuns(s.held)
	}
	if len(older) == 0 {
		s.births = nil
	} else if s.births == nil {
		s.births = map[uint64]uint64{}
	}
	if len(runs) > 0 {
		s.free, s.other = appendMerged(s.other[:0], s.free, sortRuns(runs)), s.free
	}
}

// note takes notice of the pages that a transaction took, and of those that the next state
// has not. Who reads an old state does not have what was written after it.
func (s *Space) note(txid uint64, taken, dropped []Run) {
	if s.births == nil {
		s.fresh = append(s.fresh, freed{txid: txid, runs: dropped})
		return
	}
	for _, r := range taken {
		for id := range r.Count {
			s.births[r.First+id] = txid
		}
	}
	byBirth := map[uint64][]Run{}
	for _, r := range dropped {
		for id := r.First; id < r.First+r.Count; id++ {
			born := s.births[id]
			delete(s.births, id)
			byBirth[born] = appendRun(byBirth[born], Run{id, 1})
		}
	}
	for born, runs := range byBirth {
		s.fresh = append(s.fresh, freed{born, txid, runs})
	}
}

// joinedRuns returns the pages of all of them, ascending.
func joinedRuns(all []freed) []Run {
	var runs []Run
	for _, f := range all {
		runs = append(runs, f.runs...)
	}
	return sortRuns(runs)
}

// sortRuns returns the runs, in their slice, ascending and with those in one that are
// beside each other.
func sortRuns(runs []Run) []Run {
	slices.SortFunc(runs, func(a, b Run) int { return cmp.Compare(a.First, b.First) })
	out := runs[:0]
	for _, r := range runs {
		out = appendRun(out, r)
	}
	return out
}

// mergeRuns returns the pages of both, ascending.
func mergeRuns(a, b []Run) []Run { return appendMerged(make([]Run, 0, len(a)+len(b)), a, b) }

// appendMerged appends the pages of both, ascending.
func appendMerged(out, a, b []Run) []Run {
	for len(a) > 0 && len(b) > 0 {
		if a[0].First < b[0].First {
			out, a = appendRun(out, a[0]), a[1:]
		} else {
			out, b = appendRun(out, b[0]), b[1:]
		}
	}
	if len(b) > 0 {
		a = b
	}
	if len(a) > 0 {
		out = append(appendRun(out, a[0]), a[1:]...)
	}
	return out
}

// countPages returns how many pages the runs have.
func countPages(runs []Run) (n uint64) {
	for _, r := range runs {
		n += r.Count
	}
	return n
}

// A taker takes pages for one transaction: what is written to pages beside each other is
// written at once, and reaches a disk several times as fast as what is not. So it takes
// long runs of free pages first, and pages behind all others rather than from short
// runs, as long as not too much of the file is free.
type taker struct {
	free   []Run // of the space, less what was taken
	high   uint64
	spare  uint64  // how many pages may be added to the file for the sake of speed
	enough uint64  // a run of so many is long
	at     int     // the run of free that pages are taken from; -1 for behind all others
	sorted []int32 // the runs of free, the best last; nil until it is asked for
	picked int     // how often a run was asked for
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
	t := &taker{free: append(s.other[:0], s.free...), high: high, enough: min(max(expected, 1), longRun)}
	s.other = nil
	unused := countPages(s.free) + countPages(s.heldRuns)
	if most := max(min(high-min(unused, high), expected*sparePages, mostSpare), leastSpare); most > unused && !s.Tight {
		t.spare = most - unused
	}
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
	i := t.best()
	if i >= 0 && t.free[i].Count < t.enough && t.spare > 0 {
		return -1
	}
	return i
}

// best returns the shortest run that is long enough, so that very long ones are left for
// what needs them, or else the longest; -1 if there are none.
func (t *taker) best() int {
	if t.picked++; t.picked <= 2 { // small transactions need no more
		if i := t.shortest(t.enough); i >= 0 {
			return i
		}
		longest := -1
		for i, r := range t.free {
			if r.Count > 0 && (longest < 0 || r.Count > t.free[longest].Count) {
				longest = i
			}
		}
		return longest
	}
	if t.sorted == nil {
		t.sort()
	}
	for n := len(t.sorted); n > 0; n = len(t.sorted) {
		i := t.sorted[n-1]
		t.sorted = t.sorted[:n-1]
		if t.free[i].Count > 0 {
			return int(i)
		}
	}
	return -1
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

// unused returns how many pages were not taken.
func (t *taker) unused() uint64 { return countPages(t.free) }

// left returns the runs that were not taken.
func (t *taker) left() []Run {
	t.free = slices.DeleteFunc(t.free, func(r Run) bool { return r.Count == 0 })
	t.sorted = nil
	return t.free
}
