package wire

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// A kind is a group of values that are checked alike.
type kind uint8

const (
	number    kind = iota // an integer, a bool or nil: all of it is in the head
	single                // float32
	double                // float64
	timestamp             // an extension
	text
	blob
	array // this and the next hold other values
	mapping
)

// Values whose first byte has no form of its own, but a range of them with a
// number inside. The negative integers come after the forms.
const (
	fixMap      = 0x80
	fixArray    = 0x90
	fixString   = 0xa0
	firstForm   = 0xc0
	fixNegative = 0xe0

	shortTime = 0xd6 // a timestamp of 32 bits,
	longTime  = 0xd7 // and one of 64
	timeType  = 0xff // the second byte of both
	shortText = 0xd9 // a text of less than 256 bytes that is too long for fixString
)

// A form is what a first byte from firstForm to fixNegative-1 announces: a number
// of width bytes follows, and belongs in this form if it is from min to max.
// Otherwise err says what is wrong.
type form struct {
	kind     kind
	width    uint8
	min, max uint64
	err      error
}

// forms has the form of first byte c at c-firstForm.
var forms = [fixNegative - firstForm]form{
	0xc0 - firstForm: {kind: number},
	0xc1 - firstForm: {min: 1, err: errReserved},
	0xc2 - firstForm: {kind: number},
	0xc3 - firstForm: {kind: number},

	0xc4 - firstForm: {blob, 1, 0, math.MaxUint8, nil},
	0xc5 - firstForm: {blob, 2, 1 << 8, math.MaxUint16, errNotShortest},
	0xc6 - firstForm: {blob, 4, 1 << 16, math.MaxUint32, errNotShortest},

	// The numbers of the extensions are the length, where one is written, and the type.
	0xc7 - firstForm: {timestamp, 2, 0x0cff, 0x0cff, errExtension},
	0xc8 - firstForm: {min: 1, err: errExtension},
	0xc9 - firstForm: {min: 1, err: errExtension},

	0xca - firstForm: {single, 4, 0, math.MaxUint32, nil},
	0xcb - firstForm: {double, 8, 0, math.MaxUint64, nil},

	0xcc - firstForm: {number, 1, 1 << 7, math.MaxUint8, errNotShortest},
	0xcd - firstForm: {number, 2, 1 << 8, math.MaxUint16, errNotShortest},
	0xce - firstForm: {number, 4, 1 << 16, math.MaxUint32, errNotShortest},
	0xcf - firstForm: {number, 8, 1 << 32, math.MaxUint64, errNotShortest},

	// Negative integers only: in two's complement, from the lowest of this width
	// to the last that does not fit the next shorter form.
	0xd0 - firstForm: {number, 1, 1 << 7, 1<<8 - 33, errNotShortest},
	0xd1 - firstForm: {number, 2, 1 << 15, 1<<16 - 1<<7 - 1, errNotShortest},
	0xd2 - firstForm: {number, 4, 1 << 31, 1<<32 - 1<<15 - 1, errNotShortest},
	0xd3 - firstForm: {number, 8, 1 << 63, 1<<64 - 1<<31 - 1, errNotShortest},

	0xd4 - firstForm:      {min: 1, err: errExtension},
	0xd5 - firstForm:      {min: 1, err: errExtension},
	shortTime - firstForm: {timestamp, 1, timeType, timeType, errExtension},
	longTime - firstForm:  {timestamp, 1, timeType, timeType, errExtension},
	0xd8 - firstForm:      {min: 1, err: errExtension},

	shortText - firstForm: {text, 1, 32, math.MaxUint8, errNotShortest},
	0xda - firstForm:      {text, 2, 1 << 8, math.MaxUint16, errNotShortest},
	0xdb - firstForm:      {text, 4, 1 << 16, math.MaxUint32, errNotShortest},

	0xdc - firstForm: {array, 2, 16, math.MaxUint16, errNotShortest},
	0xdd - firstForm: {array, 4, 1 << 16, math.MaxUint32, errNotShortest},
	0xde - firstForm: {mapping, 2, 16, math.MaxUint16, errNotShortest},
	0xdf - firstForm: {mapping, 4, 1 << 16, math.MaxUint32, errNotShortest},
}

// item reads the value at the beginning of b, without the values in it: of an
// array or a map it returns the length of the header and the number of entries,
// of others the whole length and, of text, the length of the text. Neither length
// is more than b has, nor the number of entries more than the rest of b could hold.
func item(b []byte) (k kind, size, n int, err error) {
	k, size, num, err := head(b)
	if err != nil {
		return k, 0, 0, err
	}
	rest := uint64(len(b) - size)
	switch k {
	case number:
		return k, size, 0, nil
	case single:
		return k, size, 0, checkSingle(num)
	case double:
		return k, size, 0, checkDouble(num)
	case timestamp:
		size, err = checkTimestamp(b)
		return k, size, 0, err
	case mapping:
		rest /= 2 // a key and a value take at least one byte each
	}
	if num > rest {
		return k, 0, 0, errTruncated
	}
	n = int(num)
	if k >= array {
		return k, size, n, nil
	}
	end := size + n
	if k == text && !utf8.Valid(b[size:end]) {
		return k, 0, 0, errUTF8
	}
	return k, end, n, nil
}

// head reads the first byte of the value at the beginning of b and the number
// that follows it: an integer, the bits of a float, a length or a count.
func head(b []byte) (k kind, size int, n uint64, err error) {
	if len(b) == 0 {
		return 0, 0, 0, errTruncated
	}
	c := b[0]
	switch {
	case c < fixMap || c >= fixNegative:
		return number, 1, 0, nil
	case c < fixArray:
		return mapping, 1, uint64(c - fixMap), nil
	case c < fixString:
		return array, 1, uint64(c - fixArray), nil
	case c < firstForm:
		return text, 1, uint64(c - fixString), nil
	}
	f := &forms[c-firstForm]
	size = 1 + int(f.width)
	if len(b) < size {
		return f.kind, 0, 0, errTruncated
	}
	switch f.width {
	case 1:
		n = uint64(b[1])
	case 2:
		n = uint64(binary.BigEndian.Uint16(b[1:]))
	case 4:
		n = uint64(binary.BigEndian.Uint32(b[1:]))
	case 8:
		n = binary.BigEndian.Uint64(b[1:])
	}
	if n < f.min || n > f.max {
		return f.kind, 0, 0, f.err
	}
	return f.kind, size, n, nil
}

// checkSingle refuses the bits of a float32 that is a NaN other than
// float32(math.NaN()).
func checkSingle(bits uint64) error {
	const infinity, nan = 0x7f800000, 0x7fc00000
	if bits&math.MaxInt32 > infinity && bits != nan {
		return errNaN
	}
	return nil
}

// checkDouble refuses the bits of a float64 that is a NaN other than math.NaN().
func checkDouble(bits uint64) error {
	const infinity, nan = 0x7ff0000000000000, 0x7ff8000000000001
	if bits&math.MaxInt64 > infinity && bits != nan {
		return errNaN
	}
	return nil
}

// checkTimestamp checks the timestamp at the beginning of b, whose head is
// right, and returns its length. The shortest form has 32 bits of seconds, the next
// 30 bits of nanoseconds and 34 of seconds, the longest 32 and 64.
func checkTimestamp(b []byte) (size int, err error) {
	const (
		firstSecond = -62135596800 // of year 1 in UTC
		lastSecond  = 253402300799 // of year 9999
	)
	switch size = timestampSize(b[0]); {
	case len(b) < size:
		return 0, errTruncated
	case size == 6:
		return size, nil
	}
	v := binary.BigEndian.Uint64(b[size-8:])
	nanoseconds, seconds, short := v>>34, int64(v&(1<<34-1)), v>>32 == 0
	if size == 15 {
		nanoseconds, seconds, short = uint64(binary.BigEndian.Uint32(b[3:])), int64(v), v>>34 == 0
	}
	switch {
	case short:
		return 0, errNotShortest
	case nanoseconds > 999_999_999, seconds < firstSecond, seconds > lastSecond:
		return 0, errTime
	}
	return size, nil
}

// timestampSize returns the whole length of a timestamp that begins with c.
func timestampSize(c byte) int {
	switch c {
	case 0xd6:
		return 6
	case 0xd7:
		return 10
	default:
		return 15
	}
}
