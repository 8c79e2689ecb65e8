package wire_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/seed-5df914be/userdata/internal/wire"
)

// TestTexts compares Text and TextSpan with Next on texts of all short lengths, in whose
// every place is a byte that is no text there, or half of a letter, or a whole one.
func TestTexts(t *testing.T) {
	same := func(b []byte) {
		t.Helper()
		want, _ := wire.Next(b)
		start, end := wire.Text(b)
		if end != want || end > 0 && !bytes.Equal(wire.AppendText(nil, string(b[start:end])), b[:end]) {
			t.Fatalf("%x: Text says %d to %d, Next %d", b, start, end, want)
		}
		if _, end := wire.TextSpan(b); want > 0 && end != want || end > len(b) {
			t.Fatalf("%x: TextSpan says %d, Next %d", b, end, want)
		}
	}
	for n := range 300 {
		whole := wire.AppendText(nil, strings.Repeat("x", n))
		same(whole)
		same(append(whole[:len(whole):len(whole)], 'x'))
		for i := range whole {
			same(whole[:i])
		}
		for i := len(whole) - n; i < len(whole); i++ {
			for _, bad := range []string{"\x80", "\xff", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"} {
				b := bytes.Clone(whole)
				copy(b[i:], bad)
				same(b)
			}
		}
	}
	for n := range 64 { // in forms that are longer than they have to be
		same(append([]byte{0xd9, byte(n)}, strings.Repeat("x", n)...))
		same(append([]byte{0xda, 0, byte(n)}, strings.Repeat("x", n)...))
	}
}

// TestMaps compares Map with MapHeader on all short headers.
func TestMaps(t *testing.T) {
	for first := range 256 {
		for n := range 40 {
			b := append([]byte{byte(first)}, bytes.Repeat([]byte{1}, n)...)
			count, size := wire.Map(b)
			wantCount, wantSize, err := wire.MapHeader(b)
			if count != wantCount || size != wantSize || (size == 0) != (err != nil) {
				t.Fatalf("%x: Map says %d entries and %d bytes, MapHeader %d and %d, %v", b, count, size, wantCount, wantSize, err)
			}
		}
	}
}
