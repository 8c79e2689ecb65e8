package userdata

import (
	"bytes"
	"reflect"
	"unsafe"

	"github.com/seed-5df914be/userdata/internal/wire"
)

// directPointer serves *T.
func directPointer(c, ec *valueCodec) direct {
	elem := c.typ.Elem()
	fills := elem.Kind() == reflect.Slice || elem.Kind() == reflect.Map // nil inside is stored as empty
	target := func(p unsafe.Pointer) unsafe.Pointer {
		q := *(*unsafe.Pointer)(p) // a *T is a pointer
		if q != nil && fills {
			q = emptyForNil(elem, q)
		}
		return q
	}
	return direct{
		parse: func(b []byte, p unsafe.Pointer, depth int, mem *textRoom) int {
			if wire.Nil(b) {
				*(*unsafe.Pointer)(p) = nil
				return 1
			}
			q := ec.newValue()
			*(*unsafe.Pointer)(p) = q
			return ec.parse(b, q, depth, mem)
		},
		append: func(b []byte, p unsafe.Pointer, depth int) ([]byte, bool) {
			q := target(p)
			if q == nil {
				return wire.AppendNil(b), true
			}
			return ec.append(b, q, depth)
		},
		match: func(b []byte, p unsafe.Pointer) int {
			q := target(p)
			if q == nil {
				return matchNil(b)
			}
			return ec.match(b, q)
		},
	}
}

// directStruct serves a struct inside a column.
func directStruct(members []member) direct {
	header := wire.AppendMap(nil, len(members))
	return direct{
		parse: func(b []byte, p unsafe.Pointer, depth int, mem *textRoom) int {
			if depth == maxDepth || !bytes.HasPrefix(b, header) {
				return 0
			}
			pos := len(header)
			for i := range members {
				m := &members[i]
				if !bytes.HasPrefix(b[pos:], m.key) {
					return 0
				}
				pos += len(m.key)
				// A field is where its offset in the struct at p says.
				n := m.codec.parse(b[pos:], unsafe.Add(p, m.offset), depth+1, mem)
				if n == 0 {
					return 0
				}
				pos += n
			}
			return pos
		},
		append: func(b []byte, p unsafe.Pointer, depth int) ([]byte, bool) {
			ok := depth < maxDepth
			b = append(b, header...)
			for i := 0; ok && i < len(members); i++ {
				m := &members[i]
				b, ok = m.codec.append(append(b, m.key...), unsafe.Add(p, m.offset), depth+1)
			}
			return b, ok
		},
		match: func(b []byte, p unsafe.Pointer) int {
			if !bytes.HasPrefix(b, header) {
				return 0
			}
			pos := len(header)
			for i := range members {
				m := &members[i]
				if pos += len(m.key); pos > len(b) {
					return 0
				}
				n := m.codec.match(b[pos:], unsafe.Add(p, m.offset))
				if n == 0 {
					return 0
				}
				pos += n
			}
			return pos
		},
	}
}

// directSlice serves []T.
func directSlice(c, ec *valueCodec) direct {
	size := c.typ.Elem().Size()
	empty := reflect.MakeSlice(c.typ, 0, 0) // shared by all: there is nothing in it to change
	return direct{
		parse: func(b []byte, p unsafe.Pointer, depth int, mem *textRoom) int {
			s := reflect.NewAt(c.typ, p).Elem()
			s.SetZero()
			if wire.Nil(b) {
				return 1
			}
			n, pos := wire.Array(b)
			switch {
			case pos == 0 || depth == maxDepth:
				return 0
			case n == 0:
				s.Set(empty)
				return pos
			}
			for i := range n {
				if i == s.Len() { // a hostile length costs no more than the elements that really follow
					more := min(n-i, max(i, 1024))
					s.Grow(more)
					s.SetLen(i + more)
				}
				used := ec.parse(b[pos:], unsafe.Add(s.UnsafePointer(), uintptr(i)*size), depth+1, mem)
				if used == 0 {
					return 0
				}
				pos += used
			}
			return pos
		},
		append: func(b []byte, p unsafe.Pointer, depth int) ([]byte, bool) {
			s := reflect.NewAt(c.typ, p).Elem()
			if s.IsNil() {
				return wire.AppendNil(b), true
			}
			return appendElements(ec, b, s.UnsafePointer(), s.Len(), depth)
		},
		match: func(b []byte, p unsafe.Pointer) int {
			s := reflect.NewAt(c.typ, p).Elem()
			if s.IsNil() {
				return matchNil(b)
			}
			return matchElements(ec, b, s.UnsafePointer(), s.Len())
		},
	}
}

// directArray serves [N]T.
func directArray(c, ec *valueCodec) direct {
	n, size := c.typ.Len(), c.typ.Elem().Size()
	return direct{
		parse: func(b []byte, p unsafe.Pointer, depth int, mem *textRoom) int {
			got, pos := wire.Array(b)
			if pos == 0 || got != n || depth == maxDepth {
				return 0
			}
			for i := range n {
				used := ec.parse(b[pos:], unsafe.Add(p, uintptr(i)*size), depth+1, mem)
				if used == 0 {
					return 0
				}
				pos += used
			}
			return pos
		},
		append: func(b []byte, p unsafe.Pointer, depth int) ([]byte, bool) { return appendElements(ec, b, p, n, depth) },
		match:  func(b []byte, p unsafe.Pointer) int { return matchElements(ec, b, p, n) },
	}
}

// appendElements appends n values that lie side by side from p on.
func appendElements(ec *valueCodec, b []byte, p unsafe.Pointer, n, depth int) ([]byte, bool) {
	ok := depth < maxDepth
	b = wire.AppendArray(b, n)
	size := ec.typ.Size()
	for i := 0; ok && i < n; i++ {
		b, ok = ec.append(b, unsafe.Add(p, uintptr(i)*size), depth+1)
	}
	return b, ok
}

// matchElements is match for n values that lie side by side from p on.
func matchElements(ec *valueCodec, b []byte, p unsafe.Pointer, n int) int {
	got, pos := wire.Array(b)
	if pos == 0 || got != n {
		return 0
	}
	size := ec.typ.Size()
	for i := range n {
		used := ec.match(b[pos:], unsafe.Add(p, uintptr(i)*size))
		if used == 0 {
			return 0
		}
		pos += used
	}
	return pos
}

// directMap serves map[K]V. It is written, and compared, by the codec's encode:
// its keys have to be encoded before they can be sorted.
func directMap(c, kc, vc *valueCodec) direct {
	return direct{
		parse: func(b []byte, p unsafe.Pointer, depth int, mem *textRoom) int {
			field := reflect.NewAt(c.typ, p).Elem()
			field.SetZero()
			if wire.Nil(b) {
				return 1
			}
			n, pos := wire.Map(b)
			if pos == 0 || depth == maxDepth {
				return 0
			}
			m := reflect.MakeMapWithSize(c.typ, min(n, 1024))
			before := pos // where the last key begins
			for i := range n {
				k, v := reflect.New(kc.typ), reflect.New(vc.typ)
				key := kc.parse(b[pos:], k.UnsafePointer(), depth+1, mem)
				// As in wire: no encoding begins with another, so what follows the last
				// key does not matter unless the keys are equal.
				if key == 0 || i > 0 && bytes.Compare(b[before:pos], b[pos:pos+key]) >= 0 {
					return 0
				}
				before = pos
				pos += key
				value := vc.parse(b[pos:], v.UnsafePointer(), depth+1, mem)
				if value == 0 {
					return 0
				}
				pos += value
				if m.SetMapIndex(k.Elem(), v.Elem()); m.Len() <= i { // 0 and -0, say
					return 0
				}
			}
			field.Set(m)
			return pos
		},
		append: c.appendEncoded,
		match:  c.matchEncoded,
	}
}
