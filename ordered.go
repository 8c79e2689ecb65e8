package userdata

import (
	"encoding/binary"
	mathbits "math/bits"
)

// The forms of values in an index are those of rsc.io/ordered, which takes each value as an
// interface, in memory of its own. An entry is made, and compared, for each record that is
// written or read by an index: so the forms of the most frequent types are made here.
const (
	orderedText     = 0x01 // a string or bytes: then they, 0x00 as 0x00 0xFF, and 0x00 0x00
	orderedNegative = 0x2F // less the number of bytes that follow, less one: those of the integer
	orderedPositive = 0x30 // and that number
)

// appendOrderedUint appends the ordered form of an integer that is not negative.
func appendOrderedUint(b []byte, v uint64) []byte {
	n := max(1, (mathbits.Len64(v)+7)/8)
	b = append(b, orderedPositive|byte(n-1))
	return appendLow(b, v, n)
}

// appendOrderedInt appends the ordered form of an integer.
func appendOrderedInt(b []byte, v int64) []byte {
	if v >= 0 {
		return appendOrderedUint(b, uint64(v))
	}
	n := max(1, (mathbits.Len64(uint64(^v))+7)/8)
	b = append(b, orderedNegative-byte(n-1))
	return appendLow(b, uint64(v), n)
}

// appendLow appends the n last bytes of a number.
func appendLow(b []byte, v uint64, n int) []byte {
	var all [8]byte
	binary.BigEndian.PutUint64(all[:], v)
	return append(b, all[8-n:]...)
}

// appendOrderedText appends the ordered form of bytes, or of those of a string.
func appendOrderedText(b, text []byte) []byte {
	b = append(b, orderedText)
	for _, c := range text {
		if b = append(b, c); c == 0 {
			b = append(b, 0xFF)
		}
	}
	return append(b, 0, 0)
}
