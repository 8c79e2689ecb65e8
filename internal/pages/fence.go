package pages

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"sync"
	"sync/atomic"
)

// Fences remember of a file's branches what a look-up needs to go on below, which is far
// less memory than the pages are: most of what a search in a page of a large file costs is
// waiting for memory. What is remembered of a page holds until that is written anew:
// whoever writes it must [Fences.Drop] it before anybody can read a state that has it.
//
// Fences are safe for concurrent use. They take some ten bytes for each page below a branch,
// and for each element of leaves two more, as long as that is no more than 4 MB.
type Fences struct {
	table  atomic.Pointer[fenceTable]
	misses atomic.Uint32

	mu     sync.Mutex // for who writes
	used   int        // places of the table that are taken
	marked int        // words of marks of all fences
}

// A fenceTable has fences by the number of their page: at the first free place from the one
// that the number says on. There are always some free ones.
type fenceTable []atomic.Pointer[fence]

// A fence is what is remembered of one branch.
type fence struct {
	id     uint64
	common []byte   // what all its keys begin with
	heads  []uint64 // what comes next in each of them, as a number, of 0 where there is no more; in order
	below  []uint32 // the page of each
	last   bool     // these are leaves
	marks           // of these
}

// dropped is in the place of a fence that holds no more.
var dropped = &fence{}

// learnEvery is how many branches are searched without a fence before one gets it, which is
// not always one at the same depth. A fence costs as much as it saves in some 20 searches, so
// in a very large file, or one that is written to all the time, few are made.
const learnEvery = 31

// place is where the search for a page's fence begins.
func (t fenceTable) place(id uint64) int {
	return int(id * 0x9e3779b97f4a7c15 >> 32 & uint64(len(t)-1))
}

// find returns the place of the page's fence, or else the free one where it belongs.
func (t fenceTable) find(id uint64) (at int, f *fence) {
	at = t.place(id)
	for {
		if f = t[at].Load(); f == nil || f.id == id && f != dropped {
			return at, f
		}
		at = (at + 1) & (len(t) - 1)
	}
}

// of returns the fence of a branch, nil if there is none.
func (x *Fences) of(id uint64) *fence {
	t := x.table.Load()
	if t == nil {
		return nil
	}
	_, f := t.find(id)
	return f
}

// Drop forgets what the pages were, n from first on.
func (x *Fences) Drop(first, n uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.table.Load()
	if t == nil {
		return
	}
	for id := first; id < first+n; id++ {
		if at, f := t.find(id); f != nil {
			(*t)[at].Store(dropped)
			x.marked -= len(f.list)
		}
	}
}

// add takes in a fence.
func (x *Fences) add(f *fence) {
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.table.Load()
	if t == nil || 2*x.used >= len(*t) {
		t = x.renew(t)
	}
	at, old := t.find(f.id)
	if old == nil {
		x.used++
	} else {
		x.marked -= len(old.list)
	}
	if f.each*len(f.below) > maxMarks-x.marked {
		f.each = 0
	}
	f.list = make([]uint64, f.each*len(f.below))
	x.marked += len(f.list)
	(*t)[at].Store(f)
}

// renew makes a table with room for as many again as the old one has, without those that
// were dropped.
func (x *Fences) renew(old *fenceTable) *fenceTable {
	var kept []*fence
	if old != nil {
		for i := range *old {
			if f := (*old)[i].Load(); f != nil && f != dropped {
				kept = append(kept, f)
			}
		}
	}
	size := 64
	for size < 4*len(kept) {
		size *= 2
	}
	t := make(fenceTable, size)
	for _, f := range kept {
		at, _ := t.find(f.id)
		t[at].Store(f)
	}
	x.used = len(kept)
	x.table.Store(&t)
	return &t
}

// learn makes a fence of a branch that was searched, now and then. The search goes on at the page
// next: no other one is looked at, which may be one that can't be read.
func (x *Fences) learn(t *Tree, id uint64, v *view, next uint64) {
	if x.misses.Add(1)%learnEvery != 0 || x.of(id) != nil {
		return
	}
	if f := newFence(id, v); f != nil {
		var child view
		if f.last = t.load(&child, next, 1) == nil && !child.branch(); f.last {
			f.each = marksFor(&child)
		}
		x.add(f)
	}
}

// newFence returns the fence of a branch, or nil if that is not in order.
func newFence(id uint64, v *view) *fence {
	n := v.count
	first, last := v.key(0), v.key(n-1)
	f := &fence{id: id, heads: make([]uint64, n), below: make([]uint32, n)}
	for len(f.common) < min(len(first), len(last)) && first[len(f.common)] == last[len(f.common)] {
		f.common = first[:len(f.common)+1]
	}
	f.common = bytes.Clone(f.common) // the page may be unmapped
	for i := range n {
		key, child := v.key(i), v.child(i)
		if key == nil || !bytes.HasPrefix(key, f.common) || child != uint64(uint32(child)) {
			return nil
		}
		f.below[i], f.heads[i] = uint32(child), f.headOf(key)
		if i > 0 && f.heads[i] < f.heads[i-1] {
			return nil
		}
	}
	return f
}

// headOf returns what comes in a key after what all have.
func (f *fence) headOf(key []byte) uint64 {
	rest := key[len(f.common):]
	if len(rest) >= headBytes {
		return binary.BigEndian.Uint64(rest)
	}
	var b [headBytes]byte
	copy(b[:], rest)
	return binary.BigEndian.Uint64(b[:])
}

// toward returns the place in below of the page where the key belongs, unless only the branch
// can tell.
func (f *fence) toward(key []byte) (at int, ok bool) {
	if len(key) < len(f.common) || string(key[:len(f.common)]) != string(f.common) {
		return 0, false
	}
	head, heads := f.headOf(key), f.heads
	for n := len(heads); n > 0; { // at is how many heads are less; without a branch, which would be foreseen half of the time
		half := n - n/2
		_, less := bits.Sub64(heads[at+half-1], head, 0)
		at += half & -int(less)
		n /= 2
	}
	if at < len(heads) && heads[at] == head {
		return 0, false
	}
	return max(at-1, 0), true
}
