package userdata

import (
	"encoding"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// setAbsent works out what records that are older than the column hold in it: the
// value of the tag's default=, or null for a nullable column without one.
func (c *column) setAbsent(literal *string) error {
	switch {
	case literal != nil && c.key:
		return invalidf("tag word default: the key has none, since each record has a key of its own")
	case literal == nil && c.nullable:
		c.absent = []byte{msgpcode.Nil}
		return nil
	case literal == nil:
		return nil
	}
	v := reflect.New(c.codec.typ)
	if err := parseLiteral(v.Elem(), *literal); err != nil {
		return invalidf("tag word %q: %w", "default="+*literal, err)
	}
	p := v.UnsafePointer()
	if c.size > 0 {
		if n, unit := c.length(p); n > c.size {
			return invalidf("tag word %q: %d %s, at most %d", "default="+*literal, n, unit, c.size)
		}
	}
	var err error
	c.absent, err = c.encoded(p)
	return err
}

// encoded returns the msgpack of the column's value at p.
func (c *column) encoded(p unsafe.Pointer) ([]byte, error) { return c.codec.bytes(p) }

// parseLiteral sets v to what the text of a default= stands for.
func parseLiteral(v reflect.Value, text string) error {
	t := v.Type()
	switch k := t.Kind(); {
	case k == reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		return parseLiteral(v.Elem(), text)
	case k == reflect.Struct && t.ConvertibleTo(timeType):
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return invalidf("a time is written as in 2026-10-12T19:58:00Z")
		}
		v.Set(reflect.ValueOf(at.UTC()).Convert(t))
	case t == reflect.TypeFor[time.Duration]() && strings.Trim(text, "-0123456789") != "":
		d, err := time.ParseDuration(text)
		v.SetInt(int64(d))
		return err
	case k == reflect.Bool:
		b, err := strconv.ParseBool(text)
		v.SetBool(b)
		return err
	case v.CanInt():
		n, err := strconv.ParseInt(text, 10, t.Bits())
		v.SetInt(n)
		return err
	case v.CanUint():
		n, err := strconv.ParseUint(text, 10, t.Bits())
		v.SetUint(n)
		return err
	case v.CanFloat():
		f, err := strconv.ParseFloat(text, t.Bits())
		v.SetFloat(f)
		return err
	case k == reflect.String:
		v.SetString(text)
	case k == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		v.SetBytes([]byte(text))
	case implements(t, textMarshaler, textUnmarshaler) && !implements(t, binaryMarshaler, binaryUnmarshaler):
		return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
	default:
		return invalidf("a default is for bool, numbers, text, bytes and times, not for %s: make the column nullable", t)
	}
	return nil
}
