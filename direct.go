package userdata

import (
	"bytes"
	"cmp"
	"math"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/seed-5df914be/userdata/internal/wire"
)

// direct is the part of a valueCodec that goes straight between msgpack and a
// value's fields, and allocates nothing but what the value itself needs. It
// accepts and makes just what encode and decode do, which are its reference; but
// it has no words for what is wrong: then those are asked.
//
// All three take the address of a value of the codec's type. What that is was
// settled when the codec was made, from the type itself, which is why they may
// take an unsafe.Pointer for a *T.
type direct struct {
	// parse reads the value that b begins with to p, in place of what is there,
	// and returns its length, or 0 if b does not begin with the one encoding of a
	// value of this type: then what is at p is of no use. depth is how many arrays
	// and maps the value is in; mem has the memory for its strings.
	parse func(b []byte, p unsafe.Pointer, depth int, mem *textRoom) int

	// append appends the msgpack of the value at p, depth arrays and maps inside a
	// column. It returns false if that can't be stored.
	append func(b []byte, p unsafe.Pointer, depth int) ([]byte, bool)

	// match returns the length of the value that b begins with if that is the
	// msgpack of the value at p, else 0. b has to be canonical.
	match func(b []byte, p unsafe.Pointer) int

	// order compares the value that b is with the one at p, and reports whether b is
	// one. It is nil for types that conditions seldom order by, which are parsed first.
	order func(b []byte, p unsafe.Pointer) (order int, ok bool)
}

func directBool() direct {
	return direct{
		parse: func(b []byte, p unsafe.Pointer, _ int, _ *textRoom) int {
			v, n := wire.Bool(b)
			*(*bool)(p) = v
			return n
		},
		append: func(b []byte, p unsafe.Pointer, _ int) ([]byte, bool) { return wire.AppendBool(b, *(*bool)(p)), true },
		match: func(b []byte, p unsafe.Pointer) int {
			if v, n := wire.Bool(b); v == *(*bool)(p) {
				return n
			}
			return 0
		},
	}
}

func directInt[T int | int8 | int16 | int32 | int64]() direct {
	return direct{
		parse: func(b []byte, p unsafe.Pointer, _ int, _ *textRoom) int {
			bits, negative, n := wire.Integer(b)
			v := T(bits)
			if int64(v) != int64(bits) || (v < 0) != negative {
				return 0
			}
			*(*T)(p) = v
			return n
		},
		append: func(b []byte, p unsafe.Pointer, _ int) ([]byte, bool) {
			return wire.AppendInt(b, int64(*(*T)(p))), true
		},
		match: func(b []byte, p unsafe.Pointer) int {
			bits, negative, n := wire.Integer(b)
			if v := *(*T)(p); int64(v) != int64(bits) || (v < 0) != negative {
				return 0
			}
			return n
		},
		order: func(b []byte, p unsafe.Pointer) (order int, ok bool) {
			bits, negative, n := wire.Integer(b)
			v := T(bits)
			return cmp.Compare(v, *(*T)(p)), n == len(b) && n > 0 && int64(v) == int64(bits) && (v < 0) == negative
		},
	}
}

func directUint[T uint | uint8 | uint16 | uint32 | uint64]() direct {
	return direct{
		parse: func(b []byte, p unsafe.Pointer, _ int, _ *textRoom) int {
			bits, negative, n := wire.Integer(b)
			v := T(bits)
			if uint64(v) != bits || negative {
				return 0
			}
			*(*T)(p) = v
			return n
		},
		append: func(b []byte, p unsafe.Pointer, _ int) ([]byte, bool) {
			return wire.AppendUint(b, uint64(*(*T)(p))), true
		},
		match: func(b []byte, p unsafe.Pointer) int {
			if bits, negative, n := wire.Integer(b); uint64(*(*T)(p)) == bits && !negative {
				return n
			}
			return 0
		},
		order: func(b []byte, p unsafe.Pointer) (order int, ok bool) {
			bits, negative, n := wire.Integer(b)
			v := T(bits)
			return cmp.Compare(v, *(*T)(p)), n == len(b) && n > 0 && uint64(v) == bits && !negative
		},
	}
}

func directFloat32() direct {
	return direct{
		parse: func(b []byte, p unsafe.Pointer, _ int, _ *textRoom) int {
			v, n := wire.Float32(b)
			*(*float32)(p) = v
			return n
		},
		append: func(b []byte, p unsafe.Pointer, _ int) ([]byte, bool) {
			return wire.AppendFloat32(b, *(*float32)(p)), true
		},
		match: func(b []byte, p unsafe.Pointer) int {
			v, n := wire.Float32(b)
			if own := *(*float32)(p); math.Float32bits(v) == math.Float32bits(own) || v != v && own != own { // all NaN are one
				return n
			}
			return 0
		},
	}
}

func directFloat64() direct {
	return direct{
		parse: func(b []byte, p unsafe.Pointer, _ int, _ *textRoom) int {
			v, n := wire.Float64(b)
			*(*float64)(p) = v
			return n
		},
		append: func(b []byte, p unsafe.Pointer, _ int) ([]byte, bool) {
			return wire.AppendFloat64(b, *(*float64)(p)), true
		},
		match: func(b []byte, p unsafe.Pointer) int {
			v, n := wire.Float64(b)
			if own := *(*float64)(p); math.Float64bits(v) == math.Float64bits(own) || v != v && own != own { // all NaN are one
				return n
			}
			return 0
		},
	}
}

func directString() direct {
	return direct{
		parse: func(b []byte, p unsafe.Pointer, _ int, mem *textRoom) int {
			start, end := wire.Text(b)
			*(*string)(p) = mem.text(b[start:end])
			return end
		},
		append: func(b []byte, p unsafe.Pointer, _ int) ([]byte, bool) {
			s := *(*string)(p)
			return wire.AppendText(b, s), utf8.ValidString(s)
		},
		match: func(b []byte, p unsafe.Pointer) int {
			start, end := wire.TextSpan(b)
			if string(b[start:end]) == *(*string)(p) {
				return end
			}
			return 0
		},
		order: func(b []byte, p unsafe.Pointer) (order int, ok bool) {
			start, end := wire.Text(b)
			return strings.Compare(string(b[start:end]), *(*string)(p)), end == len(b) && end > 0 // without a copy
		},
	}
}

func directBytes() direct {
	return direct{
		parse: func(b []byte, p unsafe.Pointer, _ int, _ *textRoom) int {
			if wire.Nil(b) {
				*(*[]byte)(p) = nil
				return 1
			}
			start, end := wire.Blob(b)
			own := make([]byte, end-start) // never lent: the program may change it
			copy(own, b[start:end])
			*(*[]byte)(p) = own
			return end
		},
		append: func(b []byte, p unsafe.Pointer, _ int) ([]byte, bool) {
			if s := *(*[]byte)(p); s != nil {
				return wire.AppendBlob(b, s), true
			}
			return wire.AppendNil(b), true
		},
		match: func(b []byte, p unsafe.Pointer) int {
			s := *(*[]byte)(p)
			if s == nil {
				return matchNil(b)
			}
			if start, end := wire.Blob(b); bytes.Equal(b[start:end], s) {
				return end
			}
			return 0
		},
	}
}

// matchNil returns 1 if b begins with nil, else 0.
func matchNil(b []byte) int {
	if wire.Nil(b) {
		return 1
	}
	return 0
}

func directByteArray(size int) direct {
	// size is the array's length: the bytes at p are all of it and no more.
	view := func(p unsafe.Pointer) []byte { return unsafe.Slice((*byte)(p), size) }
	return direct{
		parse: func(b []byte, p unsafe.Pointer, _ int, _ *textRoom) int {
			start, end := wire.Blob(b)
			if end-start != size {
				return 0
			}
			copy(view(p), b[start:end])
			return end
		},
		append: func(b []byte, p unsafe.Pointer, _ int) ([]byte, bool) { return wire.AppendBlob(b, view(p)), true },
		match: func(b []byte, p unsafe.Pointer) int {
			if start, end := wire.Blob(b); bytes.Equal(b[start:end], view(p)) {
				return end
			}
			return 0
		},
	}
}

func directTime() direct {
	first, last := minTime.Unix(), maxTime.Unix() // both of them whole years: their seconds say it all
	return direct{
		parse: func(b []byte, p unsafe.Pointer, _ int, _ *textRoom) int {
			seconds, nanoseconds, n := wire.Time(b)
			*(*time.Time)(p) = time.Unix(seconds, nanoseconds).UTC()
			return n
		},
		append: func(b []byte, p unsafe.Pointer, _ int) ([]byte, bool) {
			t := (*time.Time)(p)
			seconds := t.Unix()
			if seconds < first || seconds > last {
				return b, false
			}
			return wire.AppendTime(b, seconds, t.Nanosecond()), true
		},
		match: func(b []byte, p unsafe.Pointer) int {
			t := (*time.Time)(p)
			if seconds, nanoseconds, n := wire.Time(b); seconds == t.Unix() && nanoseconds == int64(t.Nanosecond()) {
				return n
			}
			return 0
		},
		order: func(b []byte, p unsafe.Pointer) (order int, ok bool) {
			t := (*time.Time)(p)
			seconds, nanoseconds, n := wire.Time(b)
			order = cmp.Or(cmp.Compare(seconds, t.Unix()), cmp.Compare(nanoseconds, int64(t.Nanosecond())))
			return order, n == len(b) && n > 0
		},
	}
}

// directByReference serves a type that marshals itself: by the codec's encode
// and decode.
func directByReference(c *valueCodec) direct {
	return direct{
		parse: func(b []byte, p unsafe.Pointer, _ int, _ *textRoom) int {
			n, err := wire.Next(b) // of text or bytes: there is no depth inside
			if err != nil {
				return 0
			}
			reflect.NewAt(c.typ, p).Elem().SetZero()
			if decodeCanonical(c, b[:n], p) != nil {
				return 0
			}
			return n
		},
		append: c.appendEncoded,
		match:  c.matchEncoded,
	}
}

// appendEncoded is direct.append by the codec's encode.
func (c *valueCodec) appendEncoded(b []byte, p unsafe.Pointer, depth int) ([]byte, bool) {
	e := newEncoder()
	defer e.free()
	e.depth = depth
	if c.encode(e, p) != nil {
		return b, false
	}
	return append(b, e.buf.Bytes()...), true
}

// matchEncoded is direct.match by the codec's encode. No encoding begins
// with another, so b begins with the value's only if it begins with the value.
func (c *valueCodec) matchEncoded(b []byte, p unsafe.Pointer) int {
	e := newEncoder()
	defer e.free()
	if c.encode(e, p) != nil || !bytes.HasPrefix(b, e.buf.Bytes()) {
		return 0
	}
	return e.buf.Len()
}
