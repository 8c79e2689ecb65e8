package pages

import (
	"math/bits"
	"sync/atomic"
)

// Marks are guesses where leaves have their keys. A search in a leaf waits for memory twice
// before it comes to a value: for the elements, and for the keys that it compares. Who knows
// from a mark which element has the key waits once, for that and the value together.
//
// A mark is a guess and nothing more: what it leads to counts only if it has the very key, and
// else there is a search. So marks may be old, or wrong.
//
// The mark i of a leaf is of its element i: ten bits of the key's hash, never 0, and below them in
// which of the 64 parts of the page the key begins. Four are in a word; 0 is none.
type marks struct {
	each int      // how many words a leaf has
	list []uint64 // those of one leaf after the other; atomic
}

const (
	inWord   = 4  // marks,
	markBits = 16 // each of which has so many bits,
	partBits = 6  // the lowest of which are the part of the page
	lowest   = 0x0001_0001_0001_0001
	highest  = lowest << (markBits - 1)
	tagMask  = lowest * (1<<markBits - 1<<partBits)
)

// maxMarks is how many words of marks there are at the most: they take 4 MB then.
const maxMarks = 1 << 19

// maxEach is how many words for a leaf are too many to look through.
const maxEach = 20

// marksFor returns how many words each leaf needs if its elements are like those of this one: for
// as many as there is room for, and some more.
func marksFor(leaf *view) int {
	last := leaf.count - 1
	key, value, _, err := leaf.entry(last)
	if err != nil || leaf.count > maxEach*inWord || len(leaf.b) > 1<<16 { // of any size, in a damaged file
		return 0
	}
	used := leaf.offset(last) + len(key) + len(value)
	if each := leaf.count*len(leaf.b)*9/8/used/inWord + 1; each <= maxEach {
		return each
	}
	return 0
}

// offset returns where the element i of a leaf says that its key begins in the page.
func (v *view) offset(i int) int {
	at := headerSize + i*elemSize
	return at + int(le.Uint32(v.b[at+inLeaf:]))
}

// of returns the marks of the leaf at a place in fence.below.
func (m *marks) of(at int) []uint64 { return m.list[at*m.each : (at+1)*m.each] }

// guess returns the element of a leaf that seems to have the key, and in which part of the page
// that begins, and the next one's.
func (m *marks) guess(at int, key []byte) (i int, from, to uint64, ok bool) {
	list, tags := m.of(at), tagOf(key)*lowest
	for n := range list {
		word := atomic.LoadUint64(&list[n])
		other := (word ^ tags) & tagMask
		if found := (other - lowest) & ^other & highest; found != 0 {
			i = bits.TrailingZeros64(found) / markBits
			word >>= i * markBits
			from, to = part(word), part(word>>markBits)
			if i == inWord-1 && n+1 < len(list) {
				to = part(atomic.LoadUint64(&list[n+1]))
			}
			return n*inWord + i, from, to, true
		}
	}
	return 0, 0, 0, false
}

// part returns the part of the page that is in the lowest mark of a word.
func part(word uint64) uint64 { return word & (1<<partBits - 1) }

// learn marks the elements of a leaf, unless they are, or are not in order: with marks there
// would be keys that a search does not find. Pages have 1 << shift bytes.
func (m *marks) learn(at int, v *view, shift uint) {
	list := m.of(at)
	if v.count > inWord*len(list) || len(v.b) != 1<<shift || v.count == 0 || atomic.LoadUint64(&list[0]) != 0 || !v.inOrder() {
		return
	}
	for n := (v.count - 1) / inWord; n >= 0; n-- { // the first word says that all are there
		var word uint64
		for i := min(v.count, (n+1)*inWord) - 1; i >= n*inWord; i-- {
			word = word<<markBits | tagOf(v.key(i)) | uint64(v.offset(i))>>(shift-partBits)
		}
		atomic.StoreUint64(&list[n], word)
	}
}

// inOrder reports whether all keys are in the page, each greater than the one before.
func (v *view) inOrder() bool {
	var last []byte
	for i := range v.count {
		key := v.key(i)
		if key == nil || last != nil && compare(key, last) <= 0 {
			return false
		}
		last = key
	}
	return true
}

// tagOf returns a mark with the bits of the key's hash.
func tagOf(key []byte) uint64 {
	const odd = 0x9e3779b97f4a7c15
	h := uint64(len(key))
	for len(key) > 8 {
		h = bits.RotateLeft64((h^le.Uint64(key))*odd, 29)
		key = key[8:]
	}
	if len(key) == 8 {
		h ^= le.Uint64(key)
	} else {
		var b [8]byte
		copy(b[:], key)
		h ^= le.Uint64(b[:])
	}
	h = h * odd >> (64 - markBits + partBits) << partBits
	return max(h, 1<<partBits)
}

// expect returns the element that seems to have the key, and prefetches what there is to read of
// it.
func (t *Tree) expect(s *spot, key []byte) (i int, ok bool) {
	if s.above == nil {
		return 0, false
	}
	i, from, to, ok := s.above.guess(s.at, key)
	if !ok || s.id >= t.m.pages {
		return 0, false
	}
	page := t.m.data[s.id<<t.m.shift:][:1<<t.m.shift]
	prefetch(&page[0], 1)
	prefetch(&page[min(headerSize+i*elemSize, len(page)-1)], 1)
	if to < from { // it is the last one
		to = from + 2
	}
	size := len(page) >> partBits
	prefetch(&page[int(from)*size], min(int(to-from+1)*size, usualEntry))
	return i, true
}

// usualEntry is how many bytes of a key and its value are prefetched at the most.
const usualEntry = 512

// guessed makes v the leaf id, and reports whether its element i has the key.
func (t *Tree) guessed(v *view, id uint64, i int, key []byte) bool {
	if t.m.load(v, id, false) != nil || v.branch() || i >= v.count {
		return false
	}
	own := v.key(i)
	return own != nil && string(own) == string(key)
}

// learn marks the elements of a leaf that was searched.
func (t *Tree) learn(s *spot, v *view) {
	if s.above != nil {
		s.above.learn(s.at, v, t.m.shift)
	}
}
