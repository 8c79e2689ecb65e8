// Package wire knows the format of one stored value: the subset of msgpack in
// which each value has exactly one encoding, the one that our writer makes.
//
// It checks bytes that nobody has reason to trust yet, before anything decodes
// them. It does not recurse, does not allocate unless it has an error to
// report, never panics, and does work that is bounded by the bytes it is given,
// whatever the counts in them say.
//
// The rules, beyond those of msgpack itself:
//
//   - Integers, lengths, counts and times are in their shortest form; an integer
//     that is not negative is in an unsigned form.
//   - float32 and float64 are different types. Each has one NaN.
//   - A string is valid UTF-8.
//   - The only extension is the timestamp, from year 1 to year 9999 in UTC.
//   - The keys of a map ascend strictly by the bytes of their encoding. A key may
//     be any value.
//   - Arrays and maps are nested at most [MaxDepth] deep.
//
// All functions are safe for concurrent use as long as nobody changes the bytes.
package wire

import (
	"bytes"
	"errors"
	"fmt"
)

// MaxDepth is how deep arrays and maps may be nested.
const MaxDepth = 100

// What can be wrong with a value; an [Error] holds one of them.
var (
	errTruncated   = errors.New("value is longer than the bytes that are there")
	errTrailing    = errors.New("bytes after the end of the value")
	errReserved    = errors.New("byte that begins no value")
	errExtension   = errors.New("extension that is not a timestamp of the usual length")
	errNotShortest = errors.New("not in its shortest form")
	errNaN         = errors.New("NaN with unusual bits")
	errUTF8        = errors.New("string is not valid UTF-8")
	errTime        = errors.New("timestamp out of range")
	errKeyOrder    = errors.New("map key is not greater than the one before it")
	errTooDeep     = fmt.Errorf("arrays and maps are nested deeper than %d", MaxDepth)
	errNotMap      = errors.New("not a map")
	errNotString   = errors.New("not a string")
)

// An Error says what is wrong with a value and where. Every error of this
// package is an *Error.
type Error struct {
	Offset int   // where the part that breaks the rule begins
	Err    error // the rule that it breaks
}

// Error names the offset and the broken rule.
func (e *Error) Error() string { return fmt.Sprintf("offset %d: %v", e.Offset, e.Err) }

// Unwrap returns the broken rule.
func (e *Error) Unwrap() error { return e.Err }

// A frame is an array or a map that has begun and not yet ended.
type frame struct {
	left  int // values still to come, at least 1; even before a map's key, odd before its value
	start int // offset of the header
	key   int // offset of the map's last complete key, or of its first entry; -1 in an array
}

// Next returns the length of the one canonical value at the beginning of b.
// Its error is an [*Error] with an offset in b.
func Next(b []byte) (int, error) {
	var stack [MaxDepth]frame
	pos, depth := 0, 0
	for {
		start := pos
		k, size, count, err := item(b[pos:])
		if err != nil {
			return 0, &Error{start, err}
		}
		pos += size
		if k >= array {
			if depth == MaxDepth {
				return 0, &Error{start, errTooDeep}
			}
			if count > 0 {
				stack[depth] = open(k, start, pos, count)
				depth++
				continue
			}
		}
		for depth > 0 {
			f := &stack[depth-1]
			if !f.close(b, start, pos) {
				return 0, &Error{start, errKeyOrder}
			}
			if f.left > 0 {
				break
			}
			start = f.start
			depth--
		}
		if depth == 0 {
			return pos, nil
		}
	}
}

// open returns the frame of an array or map whose header is at start and whose
// count entries begin at pos.
func open(k kind, start, pos, count int) frame {
	if k == mapping {
		return frame{left: 2 * count, start: start, key: pos}
	}
	return frame{left: count, start: start, key: -1}
}

// close counts the value b[start:end] of f and reports whether it may stand
// there: whether, if it is a key, it is greater than the key before it.
func (f *frame) close(b []byte, start, end int) bool {
	if f.key >= 0 && f.left%2 == 0 {
		// No encoded value is a prefix of another. So two keys that differ do so
		// before either ends, and where the key before ends need not be known: what
		// follows it, its value, matters only if the keys are equal, and then makes
		// the left side the longer and greater one. Before the first key is nothing.
		if bytes.Compare(b[f.key:start], b[start:end]) >= 0 {
			return false
		}
		f.key = start
	}
	f.left--
	return true
}

// Check reports whether b is exactly one canonical value: nil if it is, or an
// [*Error] with an offset in b.
func Check(b []byte) error {
	n, err := Next(b)
	if err != nil {
		return err
	}
	if n < len(b) {
		return &Error{n, errTrailing}
	}
	return nil
}

// MapHeader returns the number of entries of the map at the beginning of b and
// the length of its header. It looks no further than the header, but refuses
// a number of entries that the rest of b could not hold. Its error is an
// [*Error]; a nil in place of the map is one.
func MapHeader(b []byte) (n, size int, err error) {
	k, size, n, err := item(b)
	if err == nil && k != mapping {
		err = errNotMap
	}
	if err != nil {
		return 0, 0, &Error{0, err}
	}
	return n, size, nil
}

// String returns the bytes of the string at the beginning of b, which are
// b's own, and the length of its whole encoding. Its error is an [*Error];
// a nil in place of the string is one.
func String(b []byte) (s []byte, size int, err error) {
	k, size, n, err := item(b)
	if err == nil && k != text {
		err = errNotString
	}
	if err != nil {
		return nil, 0, &Error{0, err}
	}
	return b[size-n : size : size], size, nil
}
