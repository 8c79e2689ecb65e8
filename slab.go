package userdata

import (
	"encoding/binary"
	"slices"
	"strings"
	"unsafe"
)

// A slab has memory for values that are made one after the other.
type slab[T any] struct {
	room []T
	kept *keptRooms[T] // if the memory is reused
}

// keptRooms are the earlier rooms of a slab, which reset makes free.
type keptRooms[T any] struct {
	full [][]T
	free [][]T
}

// slabSize is how many values a slab allocates at once at the most, and slabRooms how
// many of its rooms it has free at the most. So many entries, with what the allocator adds,
// fill 16 KB; one more would take 18.
const (
	slabSize  = 255
	slabRooms = 32
)

// next returns the address of a zero value.
func (s *slab[T]) next() *T {
	if len(s.room) == cap(s.room) {
		s.renew()
	}
	s.room = s.room[:len(s.room)+1]
	return &s.room[len(s.room)-1]
}

// last returns the last value that next gave, with the room behind it.
func (s *slab[T]) last() []T { return s.room[len(s.room)-1:] }

// renew begins a room.
func (s *slab[T]) renew() {
	size := cap(s.room)
	if k := s.kept; k != nil {
		if size > 0 {
			k.full = append(k.full, s.room)
		}
		if n := len(k.free); n > 0 {
			s.room, k.free = k.free[n-1], k.free[:n-1]
			return
		}
	}
	s.room = make([]T, 0, min(max(2*size, 1), slabSize))
}

// reserve makes a room for the next n values, or as many as a room has at most, unless
// there is one.
func (s *slab[T]) reserve(n int) {
	if n = min(n, slabSize); n > cap(s.room)-len(s.room) {
		s.room = make([]T, 0, n)
	}
}

// need makes sure that the next n values, or as many as a room has at most, are in one room.
func (s *slab[T]) need(n int) {
	if min(n, slabSize) > cap(s.room)-len(s.room) {
		s.room = make([]T, 0, slabSize)
	}
}

// undo takes back the last value that next gave.
func (s *slab[T]) undo() {
	last := len(s.room) - 1
	clear(s.room[last:])
	s.room = s.room[:last]
}

// reset makes the memory of a reused slab free, after the last use of its values.
func (s *slab[T]) reset() {
	k := s.kept
	for _, room := range k.full {
		if len(k.free) == slabRooms {
			break
		}
		clear(room)
		k.free = append(k.free, room[:0])
	}
	clear(k.full)
	k.full = k.full[:0]
	clear(s.room)
	s.room = s.room[:0]
}

// A textRoom has the memory for the strings of records that are decoded: of one string
// each, if it is nil.
type textRoom struct {
	lent bool   // strings are parts of what they are read from
	room []byte // else they are copied to it, side by side,
	most int    // of which so many bytes are allocated at once
}

// lent is for strings of bytes that never change.
var lent = &textRoom{lent: true}

// lentBy returns lent if the strings of a record may be parts of its value, which never
// changes: if that is short.
func lentBy(value []byte) *textRoom {
	if len(value) > maxLent {
		return nil
	}
	return lent
}

// newBytes returns memory to append n bytes to, once the one before is used up. Where one large
// piece follows another it is not cleared, which no memory but that of a [strings.Builder]
// is: clearing took a twentieth of a scan. Small pieces are written to the faster for it.
func newBytes(n int, before []byte) []byte {
	if n < pageRoom || n > cap(before) {
		return make([]byte, 0, n)
	}
	var b strings.Builder
	b.Grow(n)
	b.WriteByte(0) // else its string need not point there
	return unsafe.Slice(unsafe.StringData(b.String()), n)[:0]
}

// text returns bytes as a string.
func (m *textRoom) text(b []byte) string {
	switch {
	case len(b) == 0: // it keeps nothing
		return ""
	case m == nil || !m.lent && len(b) > maxLent:
		return string(b)
	case !m.lent:
		if len(b) > cap(m.room)-len(m.room) {
			m.room = newBytes(max(len(b), min(2*cap(m.room), m.most)), m.room)
		}
		n := len(m.room)
		m.room = m.room[:n+len(b)]
		copy(m.room[n:], b)
		b = m.room[n:]
	}
	// The string and b are one memory, which is allowed since it never changes: that is
	// what lent says of b, and of the room nobody writes to a place again.
	return unsafe.String(&b[0], len(b))
}

// A keyed is a value to be sorted by its key.
type keyed[T any] struct {
	prefix uint64 // of the key: its first bytes, which mostly decide
	place  int    // before it was sorted
	value  *T
}

// sortByKey sorts values by their keys; those with the same one stay in their order.
func sortByKey[T any](list []*T, key func(*T) string) {
	if slices.IsSortedFunc(list, func(a, b *T) int { return strings.Compare(key(a), key(b)) }) {
		return
	}
	all := make([]keyed[T], len(list))
	for i, v := range list {
		all[i] = keyed[T]{prefixOf(key(v)), i, v}
	}
	slices.SortFunc(all, func(a, b keyed[T]) int {
		if a.prefix != b.prefix {
			if a.prefix < b.prefix {
				return -1
			}
			return 1
		}
		if c := strings.Compare(key(a.value), key(b.value)); c != 0 {
			return c
		}
		return a.place - b.place
	})
	for i := range all {
		list[i] = all[i].value
	}
}

// prefixOf returns the first eight bytes of a key as a number that sorts as they do.
func prefixOf(key string) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(bytesOf(key[:8]))
	}
	var b [8]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:])
}
