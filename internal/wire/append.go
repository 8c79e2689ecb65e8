package wire

import (
	"encoding/binary"
	"math"
)

// The functions below append a value in its one encoding.

// AppendBool appends a bool.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 0xc3)
	}
	return append(b, 0xc2)
}

// AppendNil appends nil.
func AppendNil(b []byte) []byte { return append(b, 0xc0) }

// AppendUint appends an integer that is not negative.
func AppendUint(b []byte, v uint64) []byte {
	switch {
	case v < fixMap:
		return append(b, byte(v))
	case v <= math.MaxUint8:
		return append(b, 0xcc, byte(v))
	case v <= math.MaxUint16:
		return append(b, 0xcd, byte(v>>8), byte(v))
	case v <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcf), v)
}

// AppendInt appends an integer.
func AppendInt(b []byte, v int64) []byte {
	switch {
	case v >= 0:
		return AppendUint(b, uint64(v))
	case v >= -32:
		return append(b, byte(v))
	case v >= math.MinInt8:
		return append(b, 0xd0, byte(v))
	case v >= math.MinInt16:
		return append(b, 0xd1, byte(v>>8), byte(v))
	case v >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(b, 0xd2), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(v))
}

// AppendFloat32 appends a float32. All NaN are one.
func AppendFloat32(b []byte, v float32) []byte {
	bits := math.Float32bits(v)
	if v != v {
		bits = 0x7fc00000
	}
	return binary.BigEndian.AppendUint32(append(b, 0xca), bits)
}

// AppendFloat64 appends a float64. All NaN are one.
func AppendFloat64(b []byte, v float64) []byte {
	bits := math.Float64bits(v)
	if v != v {
		bits = 0x7ff8000000000001
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcb), bits)
}

// AppendTime appends a timestamp, which has to be one from year 1 to 9999.
func AppendTime(b []byte, seconds int64, nanoseconds int) []byte {
	switch {
	case uint64(seconds)>>34 != 0:
		b = binary.BigEndian.AppendUint32(append(b, 0xc7, 12, 0xff), uint32(nanoseconds))
		return binary.BigEndian.AppendUint64(b, uint64(seconds))
	case nanoseconds == 0 && seconds>>32 == 0:
		return binary.BigEndian.AppendUint32(append(b, 0xd6, 0xff), uint32(seconds))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xd7, 0xff), uint64(nanoseconds)<<34|uint64(seconds))
}

// AppendText appends a string, which has to be valid UTF-8.
func AppendText(b []byte, s string) []byte {
	if len(s) < 32 {
		b = append(b, fixString|byte(len(s)))
	} else {
		b = appendLength(b, len(s), 0xd9)
	}
	return append(b, s...)
}

// AppendBlob appends a byte string.
func AppendBlob(b, blob []byte) []byte { return append(appendLength(b, len(blob), 0xc4), blob...) }

// AppendArray appends the header of an array of n values.
func AppendArray(b []byte, n int) []byte {
	if n < 16 {
		return append(b, fixArray|byte(n))
	}
	return appendCount(b, n, 0xdc)
}

// AppendMap appends the header of a map of n entries.
func AppendMap(b []byte, n int) []byte {
	if n < 16 {
		return append(b, fixMap|byte(n))
	}
	return appendCount(b, n, 0xde)
}

// appendLength appends a length in 1, 2 or 4 bytes after the first byte of the
// form for one byte, or one of the next two.
func appendLength(b []byte, n int, form byte) []byte {
	if n <= math.MaxUint8 {
		return append(b, form, byte(n))
	}
	return appendCount(b, n, form+1)
}

// appendCount appends a count in 2 or 4 bytes, likewise.
func appendCount(b []byte, n int, form byte) []byte {
	if n <= math.MaxUint16 {
		return append(b, form, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint32(append(b, form+1), uint32(n))
}
