package userdata

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"reflect"
	"strconv"
	"time"
	"unsafe"
)

// A keyCodec turns values of a key column into the bytes that they are stored
// under, which sort as the values do, and back.
type keyCodec struct {
	// append also appends a value that can't be a key, with an error: where it
	// would be among the keys.
	append func(b []byte, p unsafe.Pointer) ([]byte, error)
	decode func(key []byte, p unsafe.Pointer) error // into a zero value

	// equal reports whether the value at p can be a key, and is the given one.
	equal func(key []byte, p unsafe.Pointer) bool

	text bool // the value is a string, and its bytes are the key
}

// keyCodecOf returns the codec for keys of type t.
func keyCodecOf(t reflect.Type) (*keyCodec, error) {
	switch k := t.Kind(); {
	case t.ConvertibleTo(timeType) && k == reflect.Struct:
		return timeKey(), nil
	case k == reflect.String:
		return stringKey(), nil
	case k == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return bytesKey(), nil
	case k == reflect.Array && t.Elem().Kind() == reflect.Uint8 && t.Len() > 0:
		return byteArrayKey(t.Len()), nil
	case k >= reflect.Int && k <= reflect.Int64:
		return intKey(t), nil
	case k >= reflect.Uint && k <= reflect.Uint64:
		return uintKey(t), nil
	}
	return nil, invalidf("%s can't be a key: a key is a string, []byte, [N]byte, an integer or a time.Time", t)
}

// stringKey stores the raw bytes.
func stringKey() *keyCodec {
	return &keyCodec{
		text: true,
		append: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			s := *(*string)(p)
			return append(b, s...), checkKeySize(len(s))
		},
		decode: func(key []byte, p unsafe.Pointer) error {
			*(*string)(p) = string(key)
			return nil
		},
		equal: func(key []byte, p unsafe.Pointer) bool {
			return string(key) == *(*string)(p) && len(key) > 0 && len(key) <= MaxKeySize
		},
	}
}

// bytesKey stores the raw bytes.
func bytesKey() *keyCodec {
	return &keyCodec{
		append: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			s := *(*[]byte)(p)
			return append(b, s...), checkKeySize(len(s))
		},
		decode: func(key []byte, p unsafe.Pointer) error {
			*(*[]byte)(p) = append([]byte{}, key...)
			return nil
		},
		equal: func(key []byte, p unsafe.Pointer) bool {
			return bytes.Equal(key, *(*[]byte)(p)) && len(key) > 0 && len(key) <= MaxKeySize
		},
	}
}

// checkKeySize reports whether a store takes a key of n bytes.
func checkKeySize(n int) error {
	switch {
	case n == 0:
		return invalidf("the key is empty")
	case n > MaxKeySize:
		return fmt.Errorf("%w: key of %d bytes, at most %d", ErrTooLarge, n, MaxKeySize)
	}
	return nil
}

// byteArrayKey stores the bytes.
func byteArrayKey(n int) *keyCodec {
	return &keyCodec{
		append: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			return append(b, unsafe.Slice((*byte)(p), n)...), checkKeySize(n)
		},
		decode: func(key []byte, p unsafe.Pointer) error {
			if len(key) != n {
				return corruptf("key of %d bytes, not %d", len(key), n)
			}
			copy(unsafe.Slice((*byte)(p), n), key)
			return nil
		},
		equal: func(key []byte, p unsafe.Pointer) bool {
			return bytes.Equal(key, unsafe.Slice((*byte)(p), n)) && n <= MaxKeySize
		},
	}
}

// signBit is flipped in the keys of integers that may be negative.
const signBit = 1 << 63

func appendIntKey(b []byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(n)^signBit)
}

// intKey stores 8 bytes, most significant first, the sign bit flipped, so that
// negative keys come first and a wider type keeps its keys.
func intKey(t reflect.Type) *keyCodec {
	load := intLoader(t.Size())
	return &keyCodec{
		append: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			return appendIntKey(b, load(p)), nil
		},
		equal: func(key []byte, p unsafe.Pointer) bool {
			return len(key) == 8 && binary.BigEndian.Uint64(key) == uint64(load(p))^signBit
		},
		decode: func(key []byte, p unsafe.Pointer) error {
			if len(key) != 8 {
				return corruptf("key of %d bytes, not 8", len(key))
			}
			n, v := int64(binary.BigEndian.Uint64(key)^signBit), reflect.NewAt(t, p).Elem()
			if v.OverflowInt(n) {
				return corruptf("key %d is out of the range of %s", n, t)
			}
			v.SetInt(n)
			return nil
		},
	}
}

// intLoader returns what reads an integer of the given size in bytes.
func intLoader(size uintptr) func(p unsafe.Pointer) int64 {
	switch size {
	case 1:
		return func(p unsafe.Pointer) int64 { return int64(*(*int8)(p)) }
	case 2:
		return func(p unsafe.Pointer) int64 { return int64(*(*int16)(p)) }
	case 4:
		return func(p unsafe.Pointer) int64 { return int64(*(*int32)(p)) }
	}
	return func(p unsafe.Pointer) int64 { return *(*int64)(p) }
}

// uintLoader is intLoader for integers without sign.
func uintLoader(size uintptr) func(p unsafe.Pointer) uint64 {
	switch size {
	case 1:
		return func(p unsafe.Pointer) uint64 { return uint64(*(*uint8)(p)) }
	case 2:
		return func(p unsafe.Pointer) uint64 { return uint64(*(*uint16)(p)) }
	case 4:
		return func(p unsafe.Pointer) uint64 { return uint64(*(*uint32)(p)) }
	}
	return func(p unsafe.Pointer) uint64 { return *(*uint64)(p) }
}

// uintKey stores 8 bytes, most significant first.
func uintKey(t reflect.Type) *keyCodec {
	load := uintLoader(t.Size())
	return &keyCodec{
		append: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			return binary.BigEndian.AppendUint64(b, load(p)), nil
		},
		equal: func(key []byte, p unsafe.Pointer) bool {
			return len(key) == 8 && binary.BigEndian.Uint64(key) == load(p)
		},
		decode: func(key []byte, p unsafe.Pointer) error {
			if len(key) != 8 {
				return corruptf("key of %d bytes, not 8", len(key))
			}
			n, v := binary.BigEndian.Uint64(key), reflect.NewAt(t, p).Elem()
			if v.OverflowUint(n) {
				return corruptf("key %d is out of the range of %s", n, t)
			}
			v.SetUint(n)
			return nil
		},
	}
}

// timeKey stores the instant: the seconds since 1970 as intKey does, then the
// nanoseconds in 4 bytes.
func timeKey() *keyCodec {
	return &keyCodec{
		append: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			t := *(*time.Time)(p)
			b = binary.BigEndian.AppendUint64(b, uint64(t.Unix())^(1<<63))
			b = binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
			if t.Before(minTime) || t.After(maxTime) {
				return b, errTimeRange
			}
			return b, nil
		},
		decode: func(key []byte, p unsafe.Pointer) error {
			if len(key) != 12 {
				return corruptf("key of %d bytes, not 12", len(key))
			}
			sec, nsec := int64(binary.BigEndian.Uint64(key)^(1<<63)), binary.BigEndian.Uint32(key[8:])
			t := time.Unix(sec, int64(nsec)).UTC()
			if nsec > 999999999 || t.Before(minTime) || t.After(maxTime) {
				return corruptf("key is no time")
			}
			*(*time.Time)(p) = t
			return nil
		},
		equal: func(key []byte, p unsafe.Pointer) bool {
			t := (*time.Time)(p)
			return len(key) == 12 && binary.BigEndian.Uint64(key) == uint64(t.Unix())^(1<<63) &&
				binary.BigEndian.Uint32(key[8:]) == uint32(t.Nanosecond()) && !t.Before(minTime) && !t.After(maxTime)
		},
	}
}

// keyOf returns the encoded key of the record at p.
func (t *table) keyOf(p unsafe.Pointer) ([]byte, error) {
	key, err := t.keyCodec.append(nil, t.key.at(p))
	if err != nil {
		err = &RecordError{Table: t.name, Column: t.key.name, Err: err}
	}
	return key, err
}

// keyFrom appends a key that a caller hands in, encoded: of the key column's type,
// or one of the same kind whose value fits. It returns nil for a key that no
// record can have, such as the empty string.
func (t *table) keyFrom(b []byte, key any) ([]byte, error) {
	kind := t.key.codec.typ.Kind()
	switch k := key.(type) { // the common ones without reflection, which would put the key on the heap
	case string:
		if kind == reflect.String {
			if len(k) == 0 || len(k) > MaxKeySize {
				return nil, nil
			}
			return append(b, k...), nil
		}
	case int:
		if kind == reflect.Int || kind == reflect.Int64 {
			return appendIntKey(b, int64(k)), nil
		}
	case int64:
		if kind == reflect.Int64 {
			return appendIntKey(b, k), nil
		}
	case uint64:
		if kind == reflect.Uint64 {
			return binary.BigEndian.AppendUint64(b, k), nil
		}
	}
	return t.keyOfAny(b, copyKey(key))
}

// copyKey returns a copy of a key, so that the caller's need not be on the heap; of
// what can be no key, the zero value of its type. It does not hand the key itself
// to anything that might keep it.
func copyKey(key any) any {
	switch k := key.(type) {
	case string:
		return k
	case int:
		return k
	case int64:
		return k
	case uint64:
		return k
	case nil:
		return nil
	}
	v := reflect.ValueOf(key)
	own := reflect.New(v.Type()).Elem()
	switch k := v.Kind(); {
	case v.CanInt():
		own.SetInt(v.Int())
	case v.CanUint():
		own.SetUint(v.Uint())
	case k == reflect.String:
		own.SetString(v.String())
	case k == reflect.Slice && own.Type().Elem().Kind() == reflect.Uint8:
		own.SetBytes(bytes.Clone(v.Bytes()))
	case k == reflect.Array && own.Type().Elem().Kind() == reflect.Uint8:
		for i := range v.Len() {
			own.Index(i).SetUint(v.Index(i).Uint())
		}
	case own.Type().ConvertibleTo(timeType):
		// An interface is two words, and the second the address of a struct of
		// several: that of a time.Time, by whatever name. Value.Set would keep it.
		words := (*[2]unsafe.Pointer)(unsafe.Pointer(&key))
		own.Set(reflect.ValueOf(*(*time.Time)(words[1])).Convert(own.Type()))
	}
	return own.Interface()
}

// keyOfAny is keyFrom for a key of any type.
func (t *table) keyOfAny(b []byte, key any) ([]byte, error) {
	want := t.key.codec.typ
	v := reflect.ValueOf(key)
	if !v.IsValid() || !sameKind(v.Type(), want) {
		return nil, invalidf("key is a %T, not a %s", key, want)
	}
	p := reflect.New(want)
	switch {
	case v.CanInt():
		if p.Elem().OverflowInt(v.Int()) {
			return nil, invalidf("key %d is out of the range of %s", v.Int(), want)
		}
	case v.CanUint():
		if p.Elem().OverflowUint(v.Uint()) {
			return nil, invalidf("key %d is out of the range of %s", v.Uint(), want)
		}
	}
	p.Elem().Set(v.Convert(want))
	encoded, err := t.keyCodec.append(b, p.UnsafePointer())
	if err != nil {
		encoded = nil
	}
	return encoded, nil
}

// sameKind reports whether values of type t stand for values of type want:
// integers of one signedness do, and types that differ only in name.
func sameKind(t, want reflect.Type) bool {
	v, w := reflect.Zero(t), reflect.Zero(want)
	if v.CanInt() || v.CanUint() {
		return v.CanInt() == w.CanInt() && v.CanUint() == w.CanUint()
	}
	return t.Kind() == want.Kind() && t.ConvertibleTo(want)
}

// keyValue decodes an encoded key; what does not decode it returns as bytes.
func (t *table) keyValue(key []byte) any {
	p := t.key.codec.newValue()
	if t.keyCodec.decode(key, p) != nil {
		return append([]byte{}, key...)
	}
	return reflect.NewAt(t.key.codec.typ, p).Elem().Interface()
}

// formatKey returns the encoded key as messages show it.
func (t *table) formatKey(key []byte) string { return formatKey(t.keyValue(key)) }

// formatKey returns a key's value as messages show it: text in quotes, bytes in
// hexadecimal.
func formatKey(key any) string {
	v := reflect.ValueOf(key)
	switch k := v.Kind(); {
	case k == reflect.Struct && v.CanConvert(timeType):
		return v.Convert(timeType).Interface().(time.Time).Format(time.RFC3339Nano)
	case k == reflect.String:
		return strconv.Quote(v.String())
	case (k == reflect.Slice || k == reflect.Array) && v.Type().Elem().Kind() == reflect.Uint8:
		return formatBytes(v)
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10)
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10)
	}
	return fmt.Sprint(key)
}

// formatBytes returns a slice or array of bytes in hexadecimal, whatever String
// method its type has.
func formatBytes(v reflect.Value) string {
	b := make([]byte, v.Len())
	for i := range b {
		b[i] = byte(v.Index(i).Uint())
	}
	return hex.EncodeToString(b)
}
