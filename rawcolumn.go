package userdata

import (
	"bytes"
	"reflect"
	"unsafe"

	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// A rawColumn is the msgpack of a column whose type has itself inside. Such a type
// can't be made while a program runs, so that a [Row] can show the value, but not
// set it.
type rawColumn []byte

var rawColumnType = reflect.TypeFor[rawColumn]()

// makeRaw gives a column of that type its codec; the schema is the column's.
func (c *column) makeRaw(s ColumnSchema) {
	codec := &valueCodec{typ: rawColumnType, name: s.Type, exact: true, foreign: true}
	codec.encode = func(e *encoder, p unsafe.Pointer) error {
		b := *(*rawColumn)(p)
		if b == nil && s.Nullable {
			return e.enc.EncodeNil()
		}
		if b == nil {
			return invalidf("no value: a %s can't be made without its Go type", s.Type)
		}
		_, err := e.buf.Write(b)
		return err
	}
	codec.decode = func(d *decoder, p unsafe.Pointer) error {
		if s.Nullable && d.code() == msgpcode.Nil {
			return d.dec.DecodeNil()
		}
		b, err := d.dec.DecodeRaw()
		*(*rawColumn)(p) = bytes.Clone(b)
		return err
	}
	codec.copy = func(dst, src unsafe.Pointer, _ int) bool {
		*(*rawColumn)(dst) = bytes.Clone(*(*rawColumn)(src))
		return true
	}
	codec.direct = directByReference(codec)
	c.codec, c.nullable, c.appendOrdered, c.elements = codec, s.Nullable, nil, nil
}

// plain returns the value as [Row.Values] shows it: what is nested is a struct or
// a map, and numbers are int64, uint64, float32 or float64.
func (r rawColumn) plain() any {
	if r == nil {
		return nil
	}
	d := newDecoder(r)
	defer d.free()
	v, err := d.plain()
	if err != nil {
		return []byte(r)
	}
	return v
}

// plain reads the next value, whatever it is.
func (d *decoder) plain() (any, error) {
	c := d.code()
	switch {
	case c == msgpcode.Nil:
		return nil, d.dec.DecodeNil()
	case c == msgpcode.True || c == msgpcode.False:
		return d.dec.DecodeBool()
	case c == msgpcode.Float:
		return d.dec.DecodeFloat32()
	case c == msgpcode.Double:
		return d.dec.DecodeFloat64()
	case isInt(c):
		return d.dec.DecodeInt64()
	case isUint(c):
		return d.dec.DecodeUint64()
	case msgpcode.IsString(c):
		return d.dec.DecodeString()
	case msgpcode.IsBin(c):
		return d.bytes(false)
	case msgpcode.IsExt(c):
		return d.time()
	case isArray(c):
		n, err := d.dec.DecodeArrayLen()
		out := []any{}
		for range n {
			var v any
			if v, err = d.plain(); err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, err
	}
	n, err := d.mapLen("value")
	out := []Entry{}
	for range n {
		key, keyErr := d.plain()
		if keyErr != nil {
			return nil, keyErr
		}
		value, valueErr := d.plain()
		if valueErr != nil {
			return nil, valueErr
		}
		out = append(out, Entry{key, value})
	}
	return out, err
}
