package pages

import (
	"iter"
	"maps"
	"math/bits"
	"slices"
)

// chunkPages is how many pages a chunk of a set stands for.
const chunkPages = 1 << 15

// A chunk has a bit for each of its pages.
type chunk [chunkPages / 64]uint64

// A pageSet is a set of page numbers. It takes memory only around its members,
// so that a file that is said to have very many pages costs nothing by that.
type pageSet struct {
	chunks map[uint64]*chunk
	last   *chunk // the chunk that was used last
	lastID uint64
	n      uint64 // how many members it has
}

// chunk returns the chunk that the page belongs to: nil if there is none, unless
// it is to be made.
func (s *pageSet) chunk(id uint64, make bool) *chunk {
	id /= chunkPages
	if s.last != nil && s.lastID == id {
		return s.last
	}
	c := s.chunks[id]
	if c == nil && make {
		if s.chunks == nil {
			s.chunks = map[uint64]*chunk{}
		}
		c = new(chunk)
		s.chunks[id] = c
	}
	if c != nil {
		s.last, s.lastID = c, id
	}
	return c
}

// has reports whether id is a member.
func (s *pageSet) has(id uint64) bool {
	c := s.chunk(id, false)
	return c != nil && c[id%chunkPages/64]&(1<<(id%64)) != 0
}

// add makes id a member and reports whether it was none.
func (s *pageSet) add(id uint64) bool {
	c := s.chunk(id, true)
	word, bit := &c[id%chunkPages/64], uint64(1)<<(id%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	s.n++
	return true
}

// gaps yields the runs of pages from..to below end that are in neither set.
func gaps(a, b *pageSet, end uint64) iter.Seq2[uint64, uint64] {
	return func(yield func(from, to uint64) bool) {
		next := uint64(0) // all pages below it are members or were yielded
		for _, id := range chunkIDs(a, b) {
			for w := range chunkPages / 64 {
				word := ^(a.word(id, w) | b.word(id, w))
				for word != ^uint64(0) {
					member := id*chunkPages + uint64(w)*64 + uint64(bits.TrailingZeros64(^word))
					if member > next && !yield(next, member-1) {
						return
					}
					next = member + 1
					word |= 1 << (member % 64)
				}
			}
		}
		if next < end {
			yield(next, end-1)
		}
	}
}

// chunkIDs returns the numbers of the chunks that a or b has, in order.
func chunkIDs(a, b *pageSet) []uint64 {
	ids := slices.AppendSeq(slices.Collect(maps.Keys(a.chunks)), maps.Keys(b.chunks))
	slices.Sort(ids)
	return slices.Compact(ids)
}

// word returns 64 bits of a chunk: none if there is no such chunk.
func (s *pageSet) word(id uint64, w int) uint64 {
	if c := s.chunks[id]; c != nil {
		return c[w]
	}
	return 0
}
