package wire

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// The functions below read a value of a type that the caller expects at the
// beginning of b. They are as strict as [Next], but give no reason: a size, or an
// end, of 0 means that b does not begin with a canonical value of that type.
// Who wants to know why asks Next.

// Bool reads a bool.
func Bool(b []byte) (v bool, size int) {
	if len(b) == 0 || b[0]&^1 != 0xc2 {
		return false, 0
	}
	return b[0] == 0xc3, 1
}

// Nil reports whether b begins with nil, which is one byte long.
func Nil(b []byte) bool { return len(b) > 0 && b[0] == 0xc0 }

// Integer reads an integer: its bits, as those of an int64 if it is negative.
func Integer(b []byte) (bits uint64, negative bool, size int) {
	if len(b) == 0 {
		return 0, false, 0
	}
	c := b[0]
	switch {
	case c < fixMap:
		return uint64(c), false, 1
	case c >= fixNegative:
		return uint64(int64(int8(c))), true, 1
	case c < 0xcc || c > 0xd3:
		return 0, false, 0
	}
	k, size, bits, err := head(b)
	if err != nil || k != number {
		return 0, false, 0
	}
	if c < 0xd0 {
		return bits, false, size
	}
	unused := 64 - 8*(size-1) // the sign is to fill these bits
	return uint64(int64(bits<<unused) >> unused), true, size
}

// Float32 reads a float32.
func Float32(b []byte) (v float32, size int) {
	if len(b) < 5 || b[0] != 0xca {
		return 0, 0
	}
	bits := binary.BigEndian.Uint32(b[1:])
	if checkSingle(uint64(bits)) != nil {
		return 0, 0
	}
	return math.Float32frombits(bits), 5
}

// Float64 reads a float64.
func Float64(b []byte) (v float64, size int) {
	if len(b) < 9 || b[0] != 0xcb {
		return 0, 0
	}
	bits := binary.BigEndian.Uint64(b[1:])
	if checkDouble(bits) != nil {
		return 0, 0
	}
	return math.Float64frombits(bits), 9
}

// Time reads a timestamp: seconds since 1970, and nanoseconds.
func Time(b []byte) (seconds, nanoseconds int64, size int) {
	switch {
	case len(b) >= 6 && b[0] == shortTime && b[1] == timeType:
		return int64(binary.BigEndian.Uint32(b[2:])), 0, 6
	case len(b) >= 10 && b[0] == longTime && b[1] == timeType:
		size = 10
	case len(b) >= 15 && b[0] == 0xc7 && b[1] == 12 && b[2] == timeType:
		size = 15
	default:
		return 0, 0, 0
	}
	if _, err := checkTimestamp(b); err != nil {
		return 0, 0, 0
	}
	v := binary.BigEndian.Uint64(b[size-8:])
	if size == 15 {
		return int64(v), int64(binary.BigEndian.Uint32(b[3:])), size
	}
	return int64(v & (1<<34 - 1)), int64(v >> 34), size
}

// Text reads a string, which is b[start:end].
func Text(b []byte) (start, end int) {
	if start, end = TextSpan(b); end > 0 && !ascii(b[start:end]) && !utf8.Valid(b[start:end]) {
		return 0, 0
	}
	return start, end
}

// ascii reports whether all bytes are ASCII, as most texts are. It is a few times as fast as
// utf8.Valid.
func ascii(b []byte) bool {
	const high = 0x8080808080808080
	if len(b) < 8 {
		for _, c := range b {
			if c >= utf8.RuneSelf {
				return false
			}
		}
		return true
	}
	last := binary.LittleEndian.Uint64(b[len(b)-8:])
	for len(b) >= 32 {
		if (binary.LittleEndian.Uint64(b)|binary.LittleEndian.Uint64(b[8:])|binary.LittleEndian.Uint64(b[16:])|binary.LittleEndian.Uint64(b[24:]))&high != 0 {
			return false
		}
		b = b[32:]
	}
	for len(b) >= 8 {
		last |= binary.LittleEndian.Uint64(b)
		b = b[8:]
	}
	return last&high == 0
}

// TextSpan is Text for bytes that are known to be canonical: it does not look at
// the text.
func TextSpan(b []byte) (start, end int) {
	if len(b) < 2 {
		return span(b, text)
	}
	switch c := b[0]; { // the most frequent ones
	case c >= fixString && c < firstForm:
		start, end = 1, 1+int(c-fixString)
	case c == shortText && b[1] >= firstForm-fixString:
		start, end = 2, 2+int(b[1])
	default:
		return span(b, text)
	}
	if end > len(b) {
		return 0, 0
	}
	return start, end
}

// Blob reads a byte string, which is b[start:end].
func Blob(b []byte) (start, end int) { return span(b, blob) }

// span returns where the bytes of a text or blob begin and end.
func span(b []byte, want kind) (start, end int) {
	if len(b) == 0 {
		return 0, 0
	}
	var n uint64
	if c := b[0]; want == text && c >= fixString && c < firstForm { // as most are
		start, n = 1, uint64(c-fixString)
	} else {
		k, size, num, err := head(b)
		if err != nil || k != want {
			return 0, 0
		}
		start, n = size, num
	}
	if n > uint64(len(b)-start) {
		return 0, 0
	}
	return start, start + int(n)
}

// Array reads the header of an array of n values.
func Array(b []byte) (n, size int) { return header(b, array) }

// Map reads the header of a map of n entries.
func Map(b []byte) (n, size int) {
	if len(b) > 0 && b[0]&0xf0 == fixMap && 2*int(b[0]&0x0f) < len(b) { // as most are
		return int(b[0] & 0x0f), 1
	}
	return header(b, mapping)
}

// header reads the header of an array or a map. The number of entries is no more
// than the rest of b could hold.
func header(b []byte, want kind) (n, size int) {
	k, size, num, err := head(b)
	if err != nil || k != want {
		return 0, 0
	}
	rest := uint64(len(b) - size)
	if want == mapping {
		rest /= 2
	}
	if num > rest {
		return 0, 0
	}
	return int(num), size
}

// Skip returns the length of the value at the beginning of b, or 0 if it does
// not end within b. It looks at the heads of values only: it finds lengths that
// cannot be, but neither texts that are not UTF-8 nor keys out of order.
func Skip(b []byte) int {
	if len(b) > 0 { // the most frequent ones
		switch c := b[0]; {
		case c < fixMap || c >= fixNegative:
			return 1
		case c >= fixString && c < firstForm && int(c-fixString) < len(b):
			return 1 + int(c-fixString)
		case c == shortText && len(b) > 1 && b[1] >= firstForm-fixString && 2+int(b[1]) <= len(b):
			return 2 + int(b[1])
		case c == shortTime && len(b) >= 6 && b[1] == timeType:
			return 6
		case c == longTime && len(b) >= 10 && b[1] == timeType:
			return 10
		}
	}
	pos := 0
	for left := uint64(1); left > 0; left-- {
		k, size, n, err := head(b[pos:])
		if err != nil {
			return 0
		}
		rest := uint64(len(b) - pos - size)
		switch k {
		case timestamp:
			n = uint64(timestampSize(b[pos]) - size)
		case text, blob:
		case array, mapping:
			if n > rest { // so that left can't run over
				return 0
			}
			if left += n; k == mapping {
				left += n
			}
			n = 0
		default:
			n = 0
		}
		if n > rest {
			return 0
		}
		pos += size + int(n)
	}
	return pos
}
