package pages

import (
	"cmp"
	"slices"
)

// A Space is the free pages of a file that one writer changes by transactions of its own:
// those that the next one may take, and those that it may not, since somebody may still
// read a state that has them. It is not safe for concurrent use.
type Space struct {
	list  Run    // the pages of the freelist
	free  []Run  // ascending, none beside another
	count uint64 // of the pages of free

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
	return &Space{list: own, free: free, count: countPages(free)}, nil
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
		s.count += countPages(runs)
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

// appendMerged appends the pages of both, ascending. In either, no run is beside another: so
// what is between two runs of the other one is copied at once.
func appendMerged(out, a, b []Run) []Run {
	for len(b) > 0 {
		if len(a) == 0 || a[0].First > b[0].First {
			a, b = b, a
		}
		n := len(a)
		if len(b) > 0 {
			n = runsBefore(a, b[0].First)
		}
		out = append(appendRun(out, a[0]), a[1:n]...)
		a = a[n:]
	}
	if len(a) > 0 {
		out = append(appendRun(out, a[0]), a[1:]...)
	}
	return out
}

// runsBefore returns how many of the runs are before a page, at least one: in a damaged file pages
// may be free twice. It looks at few of them if those are few, or nearly all.
func runsBefore(runs []Run, page uint64) int {
	end := 1
	for end < len(runs) && runs[end].First < page {
		end *= 2
	}
	from := end / 2
	n, _ := slices.BinarySearchFunc(runs[from:min(end, len(runs))], page, func(r Run, page uint64) int { return cmp.Compare(r.First, page) })
	return max(from+n, 1)
}

// countPages returns how many pages the runs have.
func countPages(runs []Run) (n uint64) {
	for _, r := range runs {
		n += r.Count
	}
	return n
}
