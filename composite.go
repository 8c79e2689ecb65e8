package userdata

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unsafe"

	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// pointer makes the codec of *T: nil, or what T is. A pointer to a nil slice or
// map is stored as one to an empty one, since nil stands for the pointer's nil.
func (b *codecBuilder) pointer(c *valueCodec) error {
	elem := c.typ.Elem()
	if elem.Kind() == reflect.Pointer {
		return invalidf("%s can't be stored: it is a pointer to a pointer", c.typ)
	}
	ec, err := b.build(elem)
	if err != nil {
		return err
	}
	c.form, c.parts, c.exact = "*%s", []*valueCodec{ec}, ec.exact
	c.direct = directPointer(c, ec)
	target := func(p unsafe.Pointer) unsafe.Pointer { return *(*unsafe.Pointer)(p) }
	c.encode = func(e *encoder, p unsafe.Pointer) error {
		q := target(p)
		if q == nil {
			return e.enc.EncodeNil()
		}
		if elem.Kind() == reflect.Slice || elem.Kind() == reflect.Map {
			q = emptyForNil(elem, q)
		}
		return ec.encode(e, q)
	}
	c.decode = func(d *decoder, p unsafe.Pointer) error {
		if d.code() == msgpcode.Nil {
			return d.dec.DecodeNil()
		}
		q := ec.newValue()
		*(*unsafe.Pointer)(p) = q
		return ec.decode(d, q)
	}
	c.copy = func(dst, src unsafe.Pointer, depth int) bool {
		q := target(src)
		if q == nil {
			return true
		}
		n := ec.newValue()
		*(*unsafe.Pointer)(dst) = n
		return ec.copy(n, q, depth)
	}
	if ec.compare != nil {
		c.compare = func(x, y unsafe.Pointer) int {
			x, y = target(x), target(y)
			switch {
			case x == y:
				return 0
			case x == nil || y == nil:
				return compareNil(x == nil)
			}
			if elem.Kind() == reflect.Slice { // of bytes: it compares as it is stored
				x, y = emptyForNil(elem, x), emptyForNil(elem, y)
			}
			return ec.compare(x, y)
		}
	}
	return nil
}

// emptyForNil returns the address of an empty slice or map of type t if the one
// at q is nil, else q.
func emptyForNil(t reflect.Type, q unsafe.Pointer) unsafe.Pointer {
	isBytes := t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
	if !isBytes && marshalsItself(t) || !reflect.NewAt(t, q).Elem().IsNil() {
		return q
	}
	empty := reflect.New(t)
	if t.Kind() == reflect.Map {
		empty.Elem().Set(reflect.MakeMap(t))
	} else {
		empty.Elem().Set(reflect.MakeSlice(t, 0, 0))
	}
	return empty.UnsafePointer()
}

// A member is a field of a struct inside a column.
type member struct {
	field
	codec *valueCodec
	key   []byte // its name in msgpack
}

// structure makes the codec of a struct inside a column: a map from the fields'
// names to their values.
func (b *codecBuilder) structure(c *valueCodec) error {
	fields, err := fieldsOf(c.typ)
	if err != nil {
		return err
	}
	if len(fields) == 0 {
		return invalidf("%s can't be stored: it has no exported fields and no encoding.BinaryMarshaler or TextMarshaler", c.typ)
	}
	members := make([]member, len(fields))
	for i, f := range fields {
		if f.tag.key || f.tag.size != 0 || f.tag.indexes != nil {
			return invalidf("%s.%s: key, size, index and unique are for the fields of a record, not of a struct inside it", c.typ, f.goName)
		}
		if f.tag.name == "" {
			f.tag.name = f.goName
		}
		fc, err := b.build(f.typ)
		if err != nil {
			return fmt.Errorf("%s.%s: %w", c.typ, f.goName, err)
		}
		members[i] = member{f, fc, encodedName(f.tag.name)}
	}
	slices.SortFunc(members, func(x, y member) int { return bytes.Compare(x.key, y.key) })
	for i := 1; i < len(members); i++ {
		if bytes.Equal(members[i].key, members[i-1].key) {
			return invalidf("%s: two fields are called %q", c.typ, members[i].tag.name)
		}
	}
	byName := slices.SortedFunc(slices.Values(members), func(x, y member) int { return strings.Compare(x.tag.name, y.tag.name) })
	var forms []string
	for _, m := range byName {
		forms, c.parts = append(forms, m.tag.name+" %s"), append(c.parts, m.codec)
	}
	c.form = "struct{" + strings.Join(forms, ", ") + "}"
	c.direct = directStruct(members)
	c.encode = func(e *encoder, p unsafe.Pointer) error {
		return e.nested(func() error {
			e.enc.EncodeMapLen(len(members))
			for i := range members {
				m := &members[i]
				e.buf.Write(m.key)
				if err := m.codec.encode(e, unsafe.Add(p, m.offset)); err != nil {
					return fmt.Errorf("%s: %w", m.tag.name, err)
				}
			}
			return nil
		})
	}
	c.decode = func(d *decoder, p unsafe.Pointer) error {
		n, err := d.mapLen(c.name)
		if err != nil {
			return err
		}
		if n != len(members) {
			return corruptf("%d fields where %s has %d", n, c.typ, len(members))
		}
		for i := range members {
			m := &members[i]
			switch name, err := d.string(); {
			case err != nil:
				return err
			case name != m.tag.name:
				return corruptf("field %q where %s has %q", name, c.typ, m.tag.name)
			}
			if err := m.codec.decode(d, unsafe.Add(p, m.offset)); err != nil {
				return fmt.Errorf("%s: %w", m.tag.name, err)
			}
		}
		return nil
	}
	c.copy = func(dst, src unsafe.Pointer, depth int) bool {
		for i := range members {
			m := &members[i]
			if depth == maxDepth || !m.codec.copy(unsafe.Add(dst, m.offset), unsafe.Add(src, m.offset), depth+1) {
				return false
			}
		}
		return true
	}
	return nil
}

// slice makes the codec of []T: an array, or nil.
func (b *codecBuilder) slice(c *valueCodec) error {
	ec, err := b.build(c.typ.Elem())
	if err != nil {
		return err
	}
	c.form, c.parts, c.elem = "[]%s", []*valueCodec{ec}, ec
	c.direct = directSlice(c, ec)
	size := c.typ.Elem().Size()
	c.encode = func(e *encoder, p unsafe.Pointer) error {
		s := reflect.NewAt(c.typ, p).Elem()
		if s.IsNil() {
			return e.enc.EncodeNil()
		}
		return e.elements(ec, s.UnsafePointer(), s.Len(), size)
	}
	c.decode = func(d *decoder, p unsafe.Pointer) error {
		if d.code() == msgpcode.Nil {
			return d.dec.DecodeNil()
		}
		n, err := d.arrayLen(c.name)
		if err != nil {
			return err
		}
		// A hostile length costs no more than the elements that really follow.
		s := reflect.MakeSlice(c.typ, 0, min(n, 4096))
		for i := range n {
			if s.Len() == s.Cap() {
				grown := reflect.MakeSlice(c.typ, s.Len(), min(n, 2*s.Cap()))
				reflect.Copy(grown, s)
				s = grown
			}
			s = s.Slice(0, i+1)
			if err := ec.decode(d, s.Index(i).Addr().UnsafePointer()); err != nil {
				return fmt.Errorf("element %d: %w", i, err)
			}
		}
		reflect.NewAt(c.typ, p).Elem().Set(s)
		return nil
	}
	c.copy = func(dst, src unsafe.Pointer, depth int) bool {
		s := reflect.NewAt(c.typ, src).Elem()
		if s.IsNil() {
			return true
		}
		n := reflect.MakeSlice(c.typ, s.Len(), s.Len())
		reflect.NewAt(c.typ, dst).Elem().Set(n)
		return copyElements(ec, n.UnsafePointer(), s.UnsafePointer(), s.Len(), depth)
	}
	return nil
}

// array makes the codec of [N]T: an array of N.
func (b *codecBuilder) array(c *valueCodec) error {
	ec, err := b.build(c.typ.Elem())
	if err != nil {
		return err
	}
	n, size := c.typ.Len(), c.typ.Elem().Size()
	c.form, c.parts = fmt.Sprintf("[%d]%%s", n), []*valueCodec{ec}
	c.direct = directArray(c, ec)
	c.encode = func(e *encoder, p unsafe.Pointer) error { return e.elements(ec, p, n, size) }
	c.decode = func(d *decoder, p unsafe.Pointer) error {
		got, err := d.arrayLen(c.name)
		if err != nil {
			return err
		}
		if got != n {
			return corruptf("%d elements where %s has %d", got, c.typ, n)
		}
		for i := range n {
			if err := ec.decode(d, unsafe.Add(p, uintptr(i)*size)); err != nil {
				return fmt.Errorf("element %d: %w", i, err)
			}
		}
		return nil
	}
	c.copy = func(dst, src unsafe.Pointer, depth int) bool { return copyElements(ec, dst, src, n, depth) }
	return nil
}

// copyElements copies n values that lie side by side.
func copyElements(ec *valueCodec, dst, src unsafe.Pointer, n, depth int) bool {
	size := ec.typ.Size()
	for i := range n {
		at := uintptr(i) * size
		if depth == maxDepth || !ec.copy(unsafe.Add(dst, at), unsafe.Add(src, at), depth+1) {
			return false
		}
	}
	return true
}

// elements writes n values that lie side by side from p on.
func (e *encoder) elements(ec *valueCodec, p unsafe.Pointer, n int, size uintptr) error {
	return e.nested(func() error {
		e.enc.EncodeArrayLen(n)
		for i := range n {
			if err := ec.encode(e, unsafe.Add(p, uintptr(i)*size)); err != nil {
				return fmt.Errorf("element %d: %w", i, err)
			}
		}
		return nil
	})
}

// mapping makes the codec of map[K]V: a map sorted by its encoded keys, or nil.
func (b *codecBuilder) mapping(c *valueCodec) error {
	if hasPointer(c.typ.Key()) {
		return invalidf("%s can't be stored: its key is or has a pointer or an interface, which compares by address", c.typ)
	}
	kc, err := b.build(c.typ.Key())
	if err != nil {
		return err
	}
	vc, err := b.build(c.typ.Elem())
	if err != nil {
		return err
	}
	c.form, c.parts = "map[%s]%s", []*valueCodec{kc, vc}
	c.direct = directMap(c, kc, vc)
	c.encode = func(e *encoder, p unsafe.Pointer) error {
		m := reflect.NewAt(c.typ, p).Elem()
		if m.IsNil() {
			return e.enc.EncodeNil()
		}
		return e.nested(func() error { return e.sortedMap(m, kc, vc) })
	}
	c.decode = func(d *decoder, p unsafe.Pointer) error {
		if d.code() == msgpcode.Nil {
			return d.dec.DecodeNil()
		}
		n, err := d.mapLen(c.name)
		if err != nil {
			return err
		}
		m := reflect.MakeMapWithSize(c.typ, min(n, 4096))
		for i := range n {
			k, v := reflect.New(kc.typ), reflect.New(vc.typ)
			if err := kc.decode(d, k.UnsafePointer()); err != nil {
				return fmt.Errorf("key %d: %w", i, err)
			}
			if err := vc.decode(d, v.UnsafePointer()); err != nil {
				return fmt.Errorf("value of key %d: %w", i, err)
			}
			m.SetMapIndex(k.Elem(), v.Elem())
			if m.Len() <= i { // 0 and -0, say
				return corruptf("key %d equals one before it", i)
			}
		}
		reflect.NewAt(c.typ, p).Elem().Set(m)
		return nil
	}
	c.copy = func(dst, src unsafe.Pointer, depth int) bool {
		m := reflect.NewAt(c.typ, src).Elem()
		if m.IsNil() {
			return true
		}
		n := reflect.MakeMapWithSize(c.typ, m.Len())
		reflect.NewAt(c.typ, dst).Elem().Set(n)
		for it := m.MapRange(); it.Next(); {
			v, old := reflect.New(vc.typ), reflect.New(vc.typ)
			old.Elem().SetIterValue(it)
			if depth == maxDepth || !vc.copy(v.UnsafePointer(), old.UnsafePointer(), depth+1) {
				return false
			}
			n.SetMapIndex(it.Key(), v.Elem())
		}
		return true
	}
	return nil
}

// sortedMap writes the map in the order of its encoded keys.
func (e *encoder) sortedMap(m reflect.Value, kc, vc *valueCodec) error {
	type entry struct{ from, key, end int } // its bytes in the scratch: key from:key, value key:end
	scratch := newEncoder()
	defer scratch.free()
	scratch.depth = e.depth
	entries := make([]entry, 0, m.Len())
	k, v := reflect.New(kc.typ), reflect.New(vc.typ)
	for it := m.MapRange(); it.Next(); {
		k.Elem().SetIterKey(it)
		v.Elem().SetIterValue(it)
		from := scratch.buf.Len()
		if err := kc.encode(scratch, k.UnsafePointer()); err != nil {
			return fmt.Errorf("key %v: %w", k.Elem(), err)
		}
		mid := scratch.buf.Len()
		if err := vc.encode(scratch, v.UnsafePointer()); err != nil {
			return fmt.Errorf("value of key %v: %w", k.Elem(), err)
		}
		entries = append(entries, entry{from, mid, scratch.buf.Len()})
	}
	all := scratch.buf.Bytes()
	order := func(x, y entry) int { return bytes.Compare(all[x.from:x.key], all[y.from:y.key]) }
	slices.SortFunc(entries, order)
	e.enc.EncodeMapLen(len(entries))
	for i, en := range entries {
		if i > 0 && order(entries[i-1], en) == 0 {
			return errSameMapKey
		}
		e.buf.Write(all[en.from:en.end])
	}
	return nil
}

// hasPointer reports whether values of the type refer to others by address.
func hasPointer(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Chan, reflect.UnsafePointer:
		return true
	case reflect.Array:
		return hasPointer(t.Elem())
	case reflect.Struct:
		if marshalsItself(t) { // whatever pointers it holds, it compares as a value
			return false
		}
		for i := range t.NumField() {
			if hasPointer(t.Field(i).Type) {
				return true
			}
		}
	}
	return false
}
