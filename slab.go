package userdata

import (
	"encoding/binary"
	"slices"
	"strings"
)

// A slab has memory for values that are made one after the other.
type slab[T any] struct{ room []T }

// next returns the address of a zero value.
func (s *slab[T]) next() *T {
	if len(s.room) == cap(s.room) {
		s.room = make([]T, 0, min(max(2*cap(s.room), 1), 256))
	}
	s.room = s.room[:len(s.room)+1]
	return &s.room[len(s.room)-1]
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
