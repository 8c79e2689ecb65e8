package userdata

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"time"
	"unsafe"
)

// plainValue returns a copy of a column's value without types of the program's own.
func plainValue(v reflect.Value) any {
	t := v.Type()
	switch k := t.Kind(); {
	case t == rawColumnType:
		return v.Interface().(rawColumn).plain()
	case k == reflect.Struct && t.ConvertibleTo(timeType):
		return v.Convert(timeType).Interface().(time.Time)
	case k == reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return plainValue(v.Elem())
	case (k == reflect.Slice || k == reflect.Array) && t.Elem().Kind() == reflect.Uint8:
		return plainBytes(v)
	case marshalsItself(t):
		return marshaled(v)
	case k == reflect.Struct:
		return plainFields(v)
	case k == reflect.Slice && v.IsNil(), k == reflect.Map && v.IsNil():
		return nil
	case k == reflect.Slice || k == reflect.Array:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = plainValue(v.Index(i))
		}
		return out
	case k == reflect.Map:
		return plainEntries(v)
	}
	return v.Convert(plainTypes[t.Kind()]).Interface()
}

// plainTypes are the types without a name of their own, by kind.
var plainTypes = map[reflect.Kind]reflect.Type{}

func init() {
	for _, t := range scalarTypes {
		if t.PkgPath() == "" && t.Kind() != reflect.Slice {
			plainTypes[t.Kind()] = t
		}
	}
}

// plainBytes returns a copy of a slice or array of bytes; nil for a nil slice.
func plainBytes(v reflect.Value) any {
	if v.Kind() == reflect.Slice {
		if v.IsNil() {
			return nil
		}
		return bytes.Clone(v.Bytes())
	}
	out := make([]byte, v.Len())
	reflect.Copy(reflect.ValueOf(out), v)
	return out
}

// marshaled returns what a value makes of itself: []byte or string; nil if it
// can't.
func marshaled(v reflect.Value) any {
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	if implements(v.Type(), binaryMarshaler, binaryUnmarshaler) {
		b, err := p.Interface().(encoding.BinaryMarshaler).MarshalBinary()
		if err != nil {
			return nil
		}
		return slices.Clip(append([]byte{}, b...))
	}
	b, err := p.Interface().(encoding.TextMarshaler).MarshalText()
	if err != nil {
		return nil
	}
	return string(b)
}

// plainFields returns the stored fields of a struct, by the names that they have
// in the file.
func plainFields(v reflect.Value) []Entry {
	var out []Entry
	for _, m := range memberFields(v) {
		out = append(out, Entry{m.name, plainValue(m.value)})
	}
	return out
}

// A memberField is a stored field of a struct inside a column.
type memberField struct {
	name  string
	value reflect.Value
}

// memberFields returns the stored fields of a struct.
func memberFields(v reflect.Value) []memberField {
	if !v.CanAddr() { // a key of a map
		p := reflect.New(v.Type())
		p.Elem().Set(v)
		v = p.Elem()
	}
	fields, err := fieldsOf(v.Type())
	if err != nil {
		return nil // the type was mapped, so there is none
	}
	out := make([]memberField, len(fields))
	for i, f := range fields {
		at := unsafe.Add(v.Addr().UnsafePointer(), f.offset)
		out[i] = memberField{cmp.Or(f.tag.name, f.goName), reflect.NewAt(f.typ, at).Elem()}
	}
	return out
}

// plainEntries returns the entries of a map, in the order of their keys' text.
func plainEntries(v reflect.Value) []Entry {
	out := make([]Entry, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		out = append(out, Entry{plainValue(it.Key()), plainValue(it.Value())})
	}
	slices.SortFunc(out, func(a, b Entry) int { return comparePlain(a.Key, b.Key) })
	return out
}

// setPlain sets v, a zero value, to what plainValue returns.
func setPlain(v reflect.Value, value any) error {
	t := v.Type()
	mismatch := func() error { return invalidf("%T is no value for %s", value, t) }
	switch k := t.Kind(); {
	case t == rawColumnType:
		return invalidf("a value whose type has itself inside can't be set without its Go type")
	case value == nil:
		if k != reflect.Pointer && k != reflect.Slice && k != reflect.Map || k == reflect.Slice && marshalsItself(t) && t.Elem().Kind() != reflect.Uint8 {
			return invalidf("null is no value for %s", t)
		}
		return nil
	case k == reflect.Struct && t.ConvertibleTo(timeType):
		at, ok := value.(time.Time)
		if !ok {
			return mismatch()
		}
		v.Set(reflect.ValueOf(at).Convert(t))
		return nil
	case k == reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		return setPlain(v.Elem(), value)
	case (k == reflect.Slice || k == reflect.Array) && t.Elem().Kind() == reflect.Uint8:
		return setBytes(v, value)
	case marshalsItself(t):
		return unmarshal(v, value)
	case k == reflect.Struct, k == reflect.Map:
		entries, ok := value.([]Entry)
		if !ok {
			return mismatch()
		}
		if k == reflect.Map {
			return setEntries(v, entries)
		}
		return setFields(v, entries)
	case k == reflect.Slice || k == reflect.Array:
		return setElements(v, value)
	}
	return setScalar(v, value)
}

// setScalar sets a bool, number or string.
func setScalar(v reflect.Value, value any) error {
	from := reflect.ValueOf(value)
	fits := false
	switch {
	case v.Kind() == from.Kind() && (v.Kind() == reflect.String || v.Kind() == reflect.Bool):
		fits = true
	case v.CanInt() && from.CanInt():
		fits = !v.OverflowInt(from.Int())
	case v.CanInt() && from.CanUint():
		fits = from.Uint() <= 1<<63-1 && !v.OverflowInt(int64(from.Uint()))
	case v.CanUint() && from.CanUint():
		fits = !v.OverflowUint(from.Uint())
	case v.CanUint() && from.CanInt():
		fits = from.Int() >= 0 && !v.OverflowUint(uint64(from.Int()))
	case v.CanFloat() && from.CanFloat():
		f := from.Float()
		fits = v.Kind() == reflect.Float64 || f != f || float64(float32(f)) == f
	}
	if !fits {
		return invalidf("%T %v is no value for %s", value, value, v.Type())
	}
	v.Set(from.Convert(v.Type()))
	return nil
}

// setBytes sets a slice or array of bytes.
func setBytes(v reflect.Value, value any) error {
	b, ok := value.([]byte)
	switch {
	case !ok:
		return invalidf("%T is no value for %s", value, v.Type())
	case v.Kind() == reflect.Slice:
		v.SetBytes(append([]byte{}, b...))
		return nil
	case len(b) != v.Len():
		return invalidf("%d bytes for %s", len(b), v.Type())
	}
	for i, c := range b {
		v.Index(i).SetUint(uint64(c))
	}
	return nil
}

// unmarshal sets a value that makes itself from bytes or text.
func unmarshal(v reflect.Value, value any) error {
	p := v.Addr().Interface()
	if implements(v.Type(), binaryMarshaler, binaryUnmarshaler) {
		if b, ok := value.([]byte); ok {
			return p.(encoding.BinaryUnmarshaler).UnmarshalBinary(bytes.Clone(b))
		}
	} else if s, ok := value.(string); ok {
		return p.(encoding.TextUnmarshaler).UnmarshalText([]byte(s))
	}
	return invalidf("%T is no value for %s", value, v.Type())
}

// setElements sets a slice or an array.
func setElements(v reflect.Value, value any) error {
	list, ok := value.([]any)
	if !ok || v.Kind() == reflect.Array && len(list) != v.Len() {
		return invalidf("%T is no value for %s", value, v.Type())
	}
	if v.Kind() == reflect.Slice {
		v.Set(reflect.MakeSlice(v.Type(), len(list), len(list)))
	}
	for i, value := range list {
		if err := setPlain(v.Index(i), value); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

// setFields sets the fields of a struct; those that are not named stay zero.
func setFields(v reflect.Value, entries []Entry) error {
	fields := memberFields(v)
	for _, e := range entries {
		i := slices.IndexFunc(fields, func(m memberField) bool { return any(m.name) == e.Key })
		if i < 0 {
			return invalidf("%s has no field %v", v.Type(), e.Key)
		}
		if err := setPlain(fields[i].value, e.Value); err != nil {
			return fmt.Errorf("%s: %w", fields[i].name, err)
		}
	}
	return nil
}

// setEntries sets a map.
func setEntries(v reflect.Value, entries []Entry) error {
	t := v.Type()
	v.Set(reflect.MakeMapWithSize(t, len(entries)))
	for _, e := range entries {
		key, value := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
		if err := setPlain(key, e.Key); err != nil {
			return fmt.Errorf("key %v: %w", e.Key, err)
		}
		if err := setPlain(value, e.Value); err != nil {
			return fmt.Errorf("value of key %v: %w", e.Key, err)
		}
		v.SetMapIndex(key, value)
	}
	return nil
}

// comparePlain orders the keys of a map: numbers by value, all else by its text.
func comparePlain(a, b any) int {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	switch {
	case !x.IsValid() || !y.IsValid():
	case x.CanInt() && y.CanInt():
		return cmp.Compare(x.Int(), y.Int())
	case x.CanUint() && y.CanUint():
		return cmp.Compare(x.Uint(), y.Uint())
	case x.CanFloat() && y.CanFloat():
		return cmp.Compare(x.Float(), y.Float())
	}
	return bytes.Compare(plainText(a), plainText(b))
}

// plainText returns a value as text.
func plainText(v any) []byte {
	if b, ok := v.([]byte); ok {
		return []byte(hex.EncodeToString(b))
	}
	return fmt.Append(nil, v)
}
