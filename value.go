package userdata

import (
	"bytes"
	"cmp"
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// A valueCodec turns values of one Go type into msgpack and back. It is made
// once for a type, by a codecBuilder, and shared by all goroutines. Its functions
// take the address of a value of that type.
//
// One value has one encoding, whoever writes it: integers are as short as they
// can be, maps are sorted by their encoded keys, a time is its instant and a
// NaN is math.NaN(). So equal bytes mean equal values, which change detection
// rests on.
type valueCodec struct {
	typ  reflect.Type
	name string // the type as the schema in the file spells it

	// form and parts make the name of a type with types inside: a form for
	// fmt.Sprintf, and what stands for each %s.
	form  string
	parts []*valueCodec

	// encode and decode go through the msgpack library. They are the reference for
	// what is stored, and say what is wrong.
	encode func(e *encoder, p unsafe.Pointer) error
	decode func(d *decoder, p unsafe.Pointer) error // into a zero value

	// copy makes a deep copy into a zero value, depth levels inside another. It
	// returns false if that leads deeper than maxDepth.
	copy func(dst, src unsafe.Pointer, depth int) bool

	// compare orders two values; nil for types without an order. Nil pointers
	// and slices come first.
	compare func(a, b unsafe.Pointer) int

	// exact says that values which compare as equal have equal bytes. It is
	// false for floats: 0 equals -0.
	exact bool

	elem *valueCodec // of the elements of a slice; else nil

	foreign bool // the type marshals itself

	direct
}

// plain reports whether the type is a single value, a pointer to one or a slice of
// them, and does not marshal itself.
func (c *valueCodec) plain() bool {
	switch inside := c.parts; {
	case c.foreign:
		return false
	case len(inside) == 1 && (c.elem != nil || c.typ.Kind() == reflect.Pointer):
		return len(inside[0].parts) == 0 && inside[0].plain()
	case c.typ.Kind() == reflect.Struct:
		return c.typ.ConvertibleTo(timeType)
	}
	return len(c.parts) == 0 && c.typ.Kind() != reflect.Map
}

// newValue returns the address of a zero value of the codec's type.
func (c *valueCodec) newValue() unsafe.Pointer { return reflect.New(c.typ).UnsafePointer() }

// newApart is newValue for a value that is written over and over: nothing else lies so
// near that the processor of another goroutine, which reads it, would have to wait.
func (c *valueCodec) newApart() unsafe.Pointer {
	const line = 64 // bytes that go from one processor to another at once, as a rule
	size := int(c.typ.Size())
	if size >= line || size == 0 {
		return c.newValue()
	}
	n := (line + size - 1) / size
	return reflect.MakeSlice(reflect.SliceOf(c.typ), 2*n, 2*n).Index(n).Addr().UnsafePointer()
}

// clone makes a deep copy of the value at src into the zero value at dst. One
// that is nested too deeply to be stored, as a cycle is, is copied as Go
// assigns it.
func (c *valueCodec) clone(dst, src unsafe.Pointer) {
	if !c.copy(dst, src, 0) {
		c.assign(dst, src)
	}
}

// assign copies a value as Go assigns it.
func (c *valueCodec) assign(dst, src unsafe.Pointer) {
	reflect.NewAt(c.typ, dst).Elem().Set(reflect.NewAt(c.typ, src).Elem())
}

// value returns a deep copy of the value at p.
func (c *valueCodec) value(p unsafe.Pointer) any {
	v := c.newValue()
	c.clone(v, p)
	return reflect.NewAt(c.typ, v).Elem().Interface()
}

// bytes returns the msgpack of the value at p.
func (c *valueCodec) bytes(p unsafe.Pointer) ([]byte, error) {
	if b, ok := c.append(nil, p, 0); ok {
		return b, nil
	}
	e := newEncoder()
	defer e.free()
	if err := c.encode(e, p); err != nil {
		return nil, err
	}
	return e.bytes(), nil
}

var (
	timeType            = reflect.TypeFor[time.Time]()
	binaryMarshaler     = reflect.TypeFor[encoding.BinaryMarshaler]()
	binaryUnmarshaler   = reflect.TypeFor[encoding.BinaryUnmarshaler]()
	textMarshaler       = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler     = reflect.TypeFor[encoding.TextUnmarshaler]()
	minTime             = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	maxTime             = time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)
	canonicalNaN        = math.NaN()
	canonicalNaN32      = float32(math.NaN())
	errTimeRange        = invalidf("time is outside the years 0001 to 9999")
	errNotUTF8          = invalidf("not valid UTF-8")
	errSameMapKey       = invalidf("two keys of a map have one encoding")
	errTooDeep          = invalidf("nested deeper than %d levels, or a cycle", maxDepth)
	errTypeHasNoMapping = "bool, numbers, string, []byte, time.Time, structs, slices, maps, pointers to them, and types with encoding.BinaryMarshaler or TextMarshaler can be stored"
)

// implements reports whether t or a pointer to it has both interfaces.
func implements(t reflect.Type, marshal, unmarshal reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(marshal) && p.Implements(unmarshal)
}

// marshalsItself reports whether values of t are stored as a whole, not by
// their fields or elements.
func marshalsItself(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.ConvertibleTo(timeType) ||
		implements(t, binaryMarshaler, binaryUnmarshaler) || implements(t, textMarshaler, textUnmarshaler)
}

// A codecBuilder makes the codecs of a type and of the types that it is made
// of. Types that refer to themselves find their codec in done.
type codecBuilder struct {
	done map[reflect.Type]*valueCodec
}

// column returns the codec of a column's type.
func (b *codecBuilder) column(t reflect.Type) (*valueCodec, error) {
	c, err := b.build(t)
	if err != nil {
		return nil, err
	}
	for _, d := range b.done {
		d.name = d.spell(nil)
	}
	return c, nil
}

// spell returns the name of a type inside others, the outermost first. A type
// inside itself is "^", with one more "^" for each type between.
func (c *valueCodec) spell(inside []*valueCodec) string {
	if c.parts == nil {
		return c.name
	}
	if i := slices.Index(inside, c); i >= 0 {
		return strings.Repeat("^", len(inside)-i)
	}
	if c.typ.Kind() != reflect.Pointer {
		inside = append(inside, c)
	}
	names := make([]any, len(c.parts))
	for i, part := range c.parts {
		names[i] = part.spell(inside)
	}
	return fmt.Sprintf(c.form, names...)
}

// build returns the codec of t. The error says which part of t has none.
func (b *codecBuilder) build(t reflect.Type) (*valueCodec, error) {
	if c := b.done[t]; c != nil {
		return c, nil
	}
	c := &valueCodec{typ: t}
	b.done[t] = c
	var err error
	switch k := t.Kind(); {
	case t.ConvertibleTo(timeType) && k == reflect.Struct:
		timeCodec(c)
	case k == reflect.Bool:
		boolCodec(c)
	case k >= reflect.Int && k <= reflect.Int64:
		intCodec(c)
	case k >= reflect.Uint && k <= reflect.Uint64:
		uintCodec(c)
	case k == reflect.Float32 || k == reflect.Float64:
		floatCodec(c)
	case k == reflect.String:
		stringCodec(c)
	case k == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		bytesCodec(c)
	case k == reflect.Array && t.Elem().Kind() == reflect.Uint8 && t.Len() > 0:
		byteArrayCodec(c)
	case implements(t, binaryMarshaler, binaryUnmarshaler):
		binaryCodec(c)
		err = checkEmbedded(t)
	case implements(t, textMarshaler, textUnmarshaler):
		textCodec(c)
		err = checkEmbedded(t)
	case k == reflect.Pointer:
		err = b.pointer(c)
	case k == reflect.Struct:
		err = b.structure(c)
	case k == reflect.Slice:
		err = b.slice(c)
	case k == reflect.Array && t.Len() > 0:
		err = b.array(c)
	case k == reflect.Map:
		err = b.mapping(c)
	default:
		err = invalidf("%s can't be stored: %s", t, errTypeHasNoMapping)
	}
	if err != nil {
		delete(b.done, t)
		return nil, err
	}
	return c, nil
}

// checkEmbedded refuses a struct whose marshaler may be that of a field which
// it embeds, and know nothing of the other fields.
func checkEmbedded(t reflect.Type) error {
	if t.Kind() != reflect.Struct || t.NumField() < 2 {
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && (marshalsItself(f.Type) || f.Type.Kind() == reflect.Pointer && marshalsItself(f.Type.Elem())) {
			return invalidf("%s can't be stored: it embeds %s, whose marshaler would stand for all fields: give the field a name", t, f.Type)
		}
	}
	return nil
}

// plainCodec fills in what all types share that Go copies whole by assignment.
func plainCodec[T any](c *valueCodec, name string) {
	c.name, c.exact = name, true
	c.copy = func(dst, src unsafe.Pointer, _ int) bool {
		*(*T)(dst) = *(*T)(src)
		return true
	}
}

func boolCodec(c *valueCodec) {
	plainCodec[bool](c, "bool")
	c.direct = directBool()
	c.encode = func(e *encoder, p unsafe.Pointer) error { return e.enc.EncodeBool(*(*bool)(p)) }
	c.decode = func(d *decoder, p unsafe.Pointer) (err error) {
		switch d.code() {
		case msgpcode.True, msgpcode.False:
			*(*bool)(p), err = d.dec.DecodeBool()
			return err
		}
		return d.mismatch("bool")
	}
	c.compare = func(a, b unsafe.Pointer) int {
		x, y := *(*bool)(a), *(*bool)(b)
		switch {
		case x == y:
			return 0
		case y:
			return -1
		}
		return 1
	}
}

func intCodec(c *valueCodec) {
	switch c.typ.Kind() {
	case reflect.Int:
		intCodecOf[int](c, "int")
	case reflect.Int8:
		intCodecOf[int8](c, "int8")
	case reflect.Int16:
		intCodecOf[int16](c, "int16")
	case reflect.Int32:
		intCodecOf[int32](c, "int32")
	default:
		intCodecOf[int64](c, "int64")
	}
}

func intCodecOf[T interface {
	int | int8 | int16 | int32 | int64
}](c *valueCodec, name string) {
	plainCodec[T](c, name)
	c.direct = directInt[T]()
	c.encode = func(e *encoder, p unsafe.Pointer) error { return e.enc.EncodeInt(int64(*(*T)(p))) }
	c.decode = func(d *decoder, p unsafe.Pointer) error {
		n, err := d.int64(name)
		if err != nil {
			return err
		}
		if int64(T(n)) != n {
			return corruptf("%d is out of the range of %s", n, name)
		}
		*(*T)(p) = T(n)
		return nil
	}
	c.compare = compareOrdered[T]
}

func uintCodec(c *valueCodec) {
	switch c.typ.Kind() {
	case reflect.Uint:
		uintCodecOf[uint](c, "uint")
	case reflect.Uint8:
		uintCodecOf[uint8](c, "uint8")
	case reflect.Uint16:
		uintCodecOf[uint16](c, "uint16")
	case reflect.Uint32:
		uintCodecOf[uint32](c, "uint32")
	default:
		uintCodecOf[uint64](c, "uint64")
	}
}

func uintCodecOf[T interface {
	uint | uint8 | uint16 | uint32 | uint64
}](c *valueCodec, name string) {
	plainCodec[T](c, name)
	c.direct = directUint[T]()
	c.encode = func(e *encoder, p unsafe.Pointer) error { return e.enc.EncodeUint(uint64(*(*T)(p))) }
	c.decode = func(d *decoder, p unsafe.Pointer) error {
		n, err := d.uint64(name)
		if err != nil {
			return err
		}
		if uint64(T(n)) != n {
			return corruptf("%d is out of the range of %s", n, name)
		}
		*(*T)(p) = T(n)
		return nil
	}
	c.compare = compareOrdered[T]
}

func compareOrdered[T cmp.Ordered](a, b unsafe.Pointer) int { return cmp.Compare(*(*T)(a), *(*T)(b)) }

func floatCodec(c *valueCodec) {
	if c.typ.Kind() == reflect.Float32 {
		plainCodec[float32](c, "float32")
		c.direct = directFloat32()
		c.encode = func(e *encoder, p unsafe.Pointer) error {
			f := *(*float32)(p)
			if f != f {
				f = canonicalNaN32
			}
			return e.enc.EncodeFloat32(f)
		}
		c.decode = func(d *decoder, p unsafe.Pointer) (err error) {
			if d.code() != msgpcode.Float {
				return d.mismatch("float32")
			}
			*(*float32)(p), err = d.dec.DecodeFloat32()
			return err
		}
		c.compare, c.exact = compareOrdered[float32], false
		return
	}
	plainCodec[float64](c, "float64")
	c.direct = directFloat64()
	c.encode = func(e *encoder, p unsafe.Pointer) error {
		f := *(*float64)(p)
		if f != f {
			f = canonicalNaN
		}
		return e.enc.EncodeFloat64(f)
	}
	c.decode = func(d *decoder, p unsafe.Pointer) (err error) {
		if d.code() != msgpcode.Double {
			return d.mismatch("float64")
		}
		*(*float64)(p), err = d.dec.DecodeFloat64()
		return err
	}
	c.compare, c.exact = compareOrdered[float64], false
}

func stringCodec(c *valueCodec) {
	plainCodec[string](c, "string")
	c.direct = directString()
	c.encode = func(e *encoder, p unsafe.Pointer) error { return e.string(*(*string)(p)) }
	c.decode = func(d *decoder, p unsafe.Pointer) (err error) {
		*(*string)(p), err = d.string()
		return err
	}
	c.compare = func(a, b unsafe.Pointer) int { return strings.Compare(*(*string)(a), *(*string)(b)) }
}

func bytesCodec(c *valueCodec) {
	c.name, c.exact = "bytes", true
	c.direct = directBytes()
	c.encode = func(e *encoder, p unsafe.Pointer) error { return e.enc.EncodeBytes(*(*[]byte)(p)) }
	c.decode = func(d *decoder, p unsafe.Pointer) (err error) {
		*(*[]byte)(p), err = d.bytes(true)
		return err
	}
	c.copy = func(dst, src unsafe.Pointer, _ int) bool {
		*(*[]byte)(dst) = bytes.Clone(*(*[]byte)(src))
		return true
	}
	c.compare = func(a, b unsafe.Pointer) int {
		x, y := *(*[]byte)(a), *(*[]byte)(b)
		if (x == nil) != (y == nil) {
			return compareNil(x == nil)
		}
		return bytes.Compare(x, y)
	}
}

// compareNil orders nil before what is not: first says which side is nil.
func compareNil(first bool) int {
	if first {
		return -1
	}
	return 1
}

func byteArrayCodec(c *valueCodec) {
	n, typ := c.typ.Len(), c.typ
	view := func(p unsafe.Pointer) []byte { return unsafe.Slice((*byte)(p), n) }
	c.name, c.exact = fmt.Sprintf("[%d]byte", n), true
	c.direct = directByteArray(n)
	c.encode = func(e *encoder, p unsafe.Pointer) error { return e.enc.EncodeBytes(view(p)) }
	c.decode = func(d *decoder, p unsafe.Pointer) error {
		b, err := d.bytes(false)
		if err != nil {
			return err
		}
		if len(b) != n {
			return corruptf("%d bytes where %s has %d", len(b), typ, n)
		}
		copy(view(p), b)
		return nil
	}
	c.copy = func(dst, src unsafe.Pointer, _ int) bool {
		copy(view(dst), view(src))
		return true
	}
	c.compare = func(a, b unsafe.Pointer) int { return bytes.Compare(view(a), view(b)) }
}

func timeCodec(c *valueCodec) {
	plainCodec[time.Time](c, "time")
	c.direct = directTime()
	c.encode = func(e *encoder, p unsafe.Pointer) error {
		t := *(*time.Time)(p)
		if t.Before(minTime) || t.After(maxTime) {
			return errTimeRange
		}
		return e.enc.EncodeTime(t)
	}
	c.decode = func(d *decoder, p unsafe.Pointer) error {
		t, err := d.time()
		*(*time.Time)(p) = t
		return err
	}
	c.compare = func(a, b unsafe.Pointer) int { return (*time.Time)(a).Compare(*(*time.Time)(b)) }
}

// binaryCodec serves a type that turns itself into bytes.
func binaryCodec(c *valueCodec) {
	c.name, c.foreign, c.direct = "binary", true, directByReference(c)
	self := func(p unsafe.Pointer) any { return reflect.NewAt(c.typ, p).Interface() }
	c.encode = func(e *encoder, p unsafe.Pointer) error {
		b, err := self(p).(encoding.BinaryMarshaler).MarshalBinary()
		if err != nil {
			return invalidf("MarshalBinary: %w", err)
		}
		if b == nil {
			b = []byte{}
		}
		return e.enc.EncodeBytes(b)
	}
	c.decode = func(d *decoder, p unsafe.Pointer) error {
		b, err := d.bytes(false)
		if err != nil {
			return err
		}
		if err := self(p).(encoding.BinaryUnmarshaler).UnmarshalBinary(b); err != nil {
			return corruptf("UnmarshalBinary: %w", err)
		}
		return nil
	}
	c.copy = copyByCoding(c)
}

// textCodec serves a type that turns itself into text.
func textCodec(c *valueCodec) {
	c.name, c.foreign, c.direct = "text", true, directByReference(c)
	self := func(p unsafe.Pointer) any { return reflect.NewAt(c.typ, p).Interface() }
	c.encode = func(e *encoder, p unsafe.Pointer) error {
		b, err := self(p).(encoding.TextMarshaler).MarshalText()
		if err != nil {
			return invalidf("MarshalText: %w", err)
		}
		return e.string(string(b))
	}
	c.decode = func(d *decoder, p unsafe.Pointer) error {
		s, err := d.string()
		if err != nil {
			return err
		}
		if err := self(p).(encoding.TextUnmarshaler).UnmarshalText([]byte(s)); err != nil {
			return corruptf("UnmarshalText: %w", err)
		}
		return nil
	}
	c.copy = copyByCoding(c)
}

// copyByCoding copies a value whose inside is its own affair: by encoding and
// decoding it. A value that can't be encoded is copied as Go assigns it.
func copyByCoding(c *valueCodec) func(dst, src unsafe.Pointer, depth int) bool {
	return func(dst, src unsafe.Pointer, _ int) bool {
		b, err := c.bytes(src)
		if err == nil {
			err = decodeValue(c, b, dst)
		}
		if err != nil {
			c.assign(dst, src)
		}
		return true
	}
}
