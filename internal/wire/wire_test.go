package wire_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/seed-5df914be/userdata/internal/wire"
)

// unhex returns the bytes that are written in hex, with spaces anywhere.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// rep is a string in hex: s, n times.
func rep(s string, n int) string { return strings.Repeat(s, n) }

// keys is n pairs in hex: 16-bit integers from 0x100 up as keys, with nil values.
func keys(n int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, "cd%04x c0", 0x100+i)
	}
	return s.String()
}

// canonical has the first and the last value of every form.
var canonical = []struct{ name, in string }{
	{"nil", "c0"},
	{"false", "c2"},
	{"true", "c3"},

	{"0", "00"},
	{"127", "7f"},
	{"128", "cc80"},
	{"255", "ccff"},
	{"256", "cd0100"},
	{"65535", "cdffff"},
	{"65536", "ce00010000"},
	{"1<<32 - 1", "ceffffffff"},
	{"1<<32", "cf0000000100000000"},
	{"1<<64 - 1", "cfffffffffffffffff"},

	{"-1", "ff"},
	{"-32", "e0"},
	{"-33", "d0df"},
	{"-128", "d080"},
	{"-129", "d1ff7f"},
	{"-32768", "d18000"},
	{"-32769", "d2ffff7fff"},
	{"-1<<31", "d280000000"},
	{"-1<<31 - 1", "d3ffffffff7fffffff"},
	{"-1<<63", "d38000000000000000"},

	{"float32 0", "ca00000000"},
	{"float32 1", "ca3f800000"},
	{"float32 -0", "ca80000000"},
	{"float32 +inf", "ca7f800000"},
	{"float32 -inf", "caff800000"},
	{"float32 NaN", "ca7fc00000"},
	{"float64 0", "cb0000000000000000"},
	{"float64 1", "cb3ff0000000000000"},
	{"float64 -0", "cb8000000000000000"},
	{"float64 +inf", "cb7ff0000000000000"},
	{"float64 -inf", "cbfff0000000000000"},
	{"float64 NaN", "cb7ff8000000000001"},

	{"string of 0", "a0"},
	{"string of 1", "a161"},
	{"string of 31", "bf" + rep("61", 31)},
	{"string of 32", "d920" + rep("61", 32)},
	{"string of 255", "d9ff" + rep("61", 255)},
	{"string of 256", "da0100" + rep("61", 256)},
	{"string of 65535", "daffff" + rep("61", 65535)},
	{"string of 65536", "db00010000" + rep("61", 65536)},
	{"string with NUL", "a100"},
	{"string beyond ASCII", "a9 c3a9 e282ac f09f9880"},

	{"binary of 0", "c400"},
	{"binary of 255", "c4ff" + rep("fe", 255)},
	{"binary of 256", "c50100" + rep("fe", 256)},
	{"binary of 65535", "c5ffff" + rep("fe", 65535)},
	{"binary of 65536", "c600010000" + rep("fe", 65536)},

	{"array of 0", "90"},
	{"array of 15", "9f" + rep("c0", 15)},
	{"array of 16", "dc0010" + rep("c0", 16)},
	{"array of 65535", "dcffff" + rep("c0", 65535)},
	{"array of 65536", "dd00010000" + rep("c0", 65536)},
	{"arrays in an array", "93 90 92 01 90 91 a161"},

	{"map of 0", "80"},
	{"map of 15", "8f" + keys(15)},
	{"map of 16", "de0010" + keys(16)},
	{"map of 65535", "deffff" + keys(65279) + wideKeys(256)},
	{"map of 65536", "df00010000" + keys(65280) + wideKeys(256)},
	{"map in a map", "82 a161 82 01 02 02 01 a162 81 a161 c0"},
	{"key of each kind", "8a 00 c0  80 c0  90 c0  a0 c0  c0 c0  c2 c0  c400 c0  ca3f800000 c0  d6ff00000000 c0  ff c0"},
	{"keys in order of bytes, not of values", "84 7f c0 cc80 c0 d0df c0 ff c0"},
	{"a short key before a long one", "82 a17a c0 a26161 c0"},
	{"keys that differ in the last byte", "82 a26161 c0 a26162 c0"},
	{"keys that are arrays", "83 91 01 c0 91 02 c0 92 00 00 c0"},
	{"keys that are maps", "82 81 01 02 c0 81 01 03 c0"},
	{"values out of order", "82 01 a17a 02 a161"},
	{"keys start afresh in each map", "92 81 02 c0 81 01 c0"},

	{"time of 1970", "d6ff00000000"},
	{"time of 1<<32 - 1", "d6ffffffffff"},
	{"time of 1<<32", "d7ff0000000100000000"},
	{"time of 1 ns", "d7ff0000000400000000"},
	{"time of 999,999,999 ns", "d7ff ee6b27fc 00000000"},
	{"time of 1<<34 - 1", "d7ff ee6b27ff ffffffff"},
	{"time of 1<<34", "c70cff 00000000 0000000400000000"},
	{"time of -1", "c70cff 3b9ac9ff ffffffffffffffff"},
	{"first of year 1", "c70cff 00000000 fffffff1886e0900"},
	{"last of year 9999", "c70cff 3b9ac9ff 0000003afff4417f"},

	{"deepest arrays", rep("91", wire.MaxDepth) + "c0"},
	{"deepest empty array", rep("91", wire.MaxDepth-1) + "90"},
	{"deepest maps", rep("8101", wire.MaxDepth) + "c0"},
	{"deepest maps in keys", rep("81", wire.MaxDepth) + rep("01", wire.MaxDepth) + "01"},
	{"deep and deep again", "92" + rep(rep("91", wire.MaxDepth-1)+"c0", 2)},
}

// wideKeys goes on where keys has reached the end of 16 bits.
func wideKeys(n int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, "ce%08x c0", 0x10000+i)
	}
	return s.String()
}

// faulty has values that break one rule each, and where they do.
var faulty = []struct {
	name, in string
	offset   int
	want     error
}{
	{"nothing", "", 0, wire.ErrTruncated},
	{"reserved", "c1", 0, wire.ErrReserved},
	{"reserved inside", "92 01 c1", 2, wire.ErrReserved},

	{"127 in uint8", "cc7f", 0, wire.ErrNotShortest},
	{"255 in uint16", "cd00ff", 0, wire.ErrNotShortest},
	{"65535 in uint32", "ce0000ffff", 0, wire.ErrNotShortest},
	{"1<<32 - 1 in uint64", "cf00000000ffffffff", 0, wire.ErrNotShortest},
	{"-32 in int8", "d0e0", 0, wire.ErrNotShortest},
	{"-128 in int16", "d1ff80", 0, wire.ErrNotShortest},
	{"-32768 in int32", "d2ffff8000", 0, wire.ErrNotShortest},
	{"-1<<31 in int64", "d3ffffffff80000000", 0, wire.ErrNotShortest},
	{"0 in int8", "d000", 0, wire.ErrNotShortest},
	{"127 in int8", "d07f", 0, wire.ErrNotShortest},
	{"32767 in int16", "d17fff", 0, wire.ErrNotShortest},
	{"1<<31 - 1 in int32", "d27fffffff", 0, wire.ErrNotShortest},
	{"1<<63 - 1 in int64", "d37fffffffffffffff", 0, wire.ErrNotShortest},

	{"float32 NaN, last bit", "ca7fc00001", 0, wire.ErrNaN},
	{"float32 NaN, signalling", "ca7f800001", 0, wire.ErrNaN},
	{"float32 NaN, all bits", "caffffffff", 0, wire.ErrNaN},
	{"float32 NaN, negative", "caffc00000", 0, wire.ErrNaN},
	{"float64 NaN, last bit", "cb7ff8000000000000", 0, wire.ErrNaN},
	{"float64 NaN, signalling", "cb7ff0000000000001", 0, wire.ErrNaN},
	{"float64 NaN, all bits", "cbffffffffffffffff", 0, wire.ErrNaN},
	{"float64 NaN, negative", "cbfff8000000000001", 0, wire.ErrNaN},

	{"string of 31 in str8", "d91f" + rep("61", 31), 0, wire.ErrNotShortest},
	{"string of 255 in str16", "da00ff" + rep("61", 255), 0, wire.ErrNotShortest},
	{"string of 65535 in str32", "db0000ffff" + rep("61", 65535), 0, wire.ErrNotShortest},
	{"binary of 255 in bin16", "c500ff" + rep("61", 255), 0, wire.ErrNotShortest},
	{"binary of 65535 in bin32", "c60000ffff" + rep("61", 65535), 0, wire.ErrNotShortest},
	{"array of 15 in array16", "dc000f" + rep("c0", 15), 0, wire.ErrNotShortest},
	{"array of 65535 in array32", "dd0000ffff" + rep("c0", 65535), 0, wire.ErrNotShortest},
	{"map of 15 in map16", "de000f" + keys(15), 0, wire.ErrNotShortest},
	{"map of 65535 in map32", "df0000ffff" + keys(65279) + wideKeys(256), 0, wire.ErrNotShortest},

	{"stray continuation byte", "a180", 0, wire.ErrUTF8},
	{"cut rune", "a2e282", 0, wire.ErrUTF8},
	{"overlong rune", "a2c080", 0, wire.ErrUTF8},
	{"surrogate", "a3eda080", 0, wire.ErrUTF8},
	{"bad UTF-8 at the end of str8", "d920" + rep("61", 31) + "ff", 0, wire.ErrUTF8},
	{"bad UTF-8 in a key", "81 a1ff c0", 1, wire.ErrUTF8},

	{"fixext1", "d4ff00", 0, wire.ErrExtension},
	{"fixext2", "d5ff0000", 0, wire.ErrExtension},
	{"fixext16", "d8ff" + rep("00", 16), 0, wire.ErrExtension},
	{"ext16", "c8000cff" + rep("00", 12), 0, wire.ErrExtension},
	{"ext32", "c90000000cff" + rep("00", 12), 0, wire.ErrExtension},
	{"other type in 4 bytes", "d60100000000", 0, wire.ErrExtension},
	{"other type in 8 bytes", "d70d0000000400000000", 0, wire.ErrExtension},
	{"other type in 12 bytes", "c70c01" + rep("00", 12), 0, wire.ErrExtension},
	{"type -2 in 4 bytes", "d6fe00000000", 0, wire.ErrExtension},
	{"type -2 in 8 bytes", "d7fe0000000400000000", 0, wire.ErrExtension},
	{"type -2 in 12 bytes", "c70cfe" + rep("00", 12), 0, wire.ErrExtension},
	{"type 0 in 13 bytes", "c70d00" + rep("00", 13), 0, wire.ErrExtension},
	{"time of 4 bytes in ext8", "c704ff00000000", 0, wire.ErrExtension},
	{"time of 13 bytes", "c70dff" + rep("00", 13), 0, wire.ErrExtension},

	{"time of 1970 in 8 bytes", "d7ff0000000000000000", 0, wire.ErrNotShortest},
	{"time of 1<<32 - 1 in 8 bytes", "d7ff00000000ffffffff", 0, wire.ErrNotShortest},
	{"time of 1970 in 12 bytes", "c70cff" + rep("00", 12), 0, wire.ErrNotShortest},
	{"time of 1<<34 - 1 in 12 bytes", "c70cff 00000001 00000003ffffffff", 0, wire.ErrNotShortest},
	{"1e9 ns in 8 bytes", "d7ff ee6b2800 00000000", 0, wire.ErrTime},
	{"1e9 ns in 12 bytes", "c70cff 3b9aca00 0000000400000000", 0, wire.ErrTime},
	{"last second of year 0", "c70cff 00000000 fffffff1886e08ff", 0, wire.ErrTime},
	{"first second of year 10000", "c70cff 00000000 0000003afff44180", 0, wire.ErrTime},
	{"least second", "c70cff 00000000 8000000000000000", 0, wire.ErrTime},

	{"keys out of order", "82 02 c0 01 c0", 3, wire.ErrKeyOrder},
	{"key twice", "82 01 c0 01 c0", 3, wire.ErrKeyOrder},
	{"key twice, smaller value later", "82 a161 02 a161 01", 4, wire.ErrKeyOrder},
	{"empty key twice", "82 a0 a0 a0 a0", 3, wire.ErrKeyOrder},
	{"third key out of order", "83 01 c0 03 c0 02 c0", 5, wire.ErrKeyOrder},
	{"in order of values, not of bytes", "82 ff c0 00 c0", 3, wire.ErrKeyOrder},
	{"a long key before a short one", "82 a26161 c0 a17a c0", 5, wire.ErrKeyOrder},
	{"inner map out of order", "81 01 82 02 c0 01 c0", 5, wire.ErrKeyOrder},
	{"map in a key out of order", "81 82 02 c0 01 c0 c0", 4, wire.ErrKeyOrder},
	{"outer map out of order after an inner", "82 02 81 01 c0 01 c0", 5, wire.ErrKeyOrder},
	{"array as key twice", "82 91 01 c0 91 01 c0", 4, wire.ErrKeyOrder},
	{"maps as keys out of order", "82 81 01 03 c0 81 01 02 c0", 5, wire.ErrKeyOrder},

	{"arrays too deep", rep("91", wire.MaxDepth+1) + "c0", wire.MaxDepth, wire.ErrTooDeep},
	{"empty array too deep", rep("91", wire.MaxDepth) + "90", wire.MaxDepth, wire.ErrTooDeep},
	{"empty map too deep", rep("91", wire.MaxDepth) + "80", wire.MaxDepth, wire.ErrTooDeep},
	{"maps too deep", rep("8101", wire.MaxDepth+1) + "c0", 2 * wire.MaxDepth, wire.ErrTooDeep},

	{"array of 4294967295", "ddffffffff", 0, wire.ErrTruncated},
	{"map of 4294967295", "dfffffffff", 0, wire.ErrTruncated},
	{"string of 4294967295", "dbffffffff", 0, wire.ErrTruncated},
	{"binary of 4294967295", "c6ffffffff", 0, wire.ErrTruncated},
	{"array of one more than there is", "94 c1 c1 c1", 0, wire.ErrTruncated},
	{"map of half an entry more than there is", "82 c1 c1 c1", 0, wire.ErrTruncated},
	{"inner array larger than what is left", "92 dc0010 " + rep("c0", 15), 1, wire.ErrTruncated},
	{"a million arrays", rep("91", 1e6), wire.MaxDepth, wire.ErrTooDeep},
	{"a million maps in keys", rep("81", 1e6), wire.MaxDepth, wire.ErrTooDeep},
	{"a million maps in values", rep("8101", 1e6), 2 * wire.MaxDepth, wire.ErrTooDeep},
	{"a million wide arrays", rep("dc0010", 1e6), 3 * wire.MaxDepth, wire.ErrTooDeep},
}

// wantError checks that err is a *wire.Error that says want at offset.
func wantError(t *testing.T, err error, offset int, want error) {
	t.Helper()
	var e *wire.Error
	if !errors.As(err, &e) || e.Offset != offset || !errors.Is(err, want) {
		t.Errorf("got error %v, want offset %d: %v", err, offset, want)
	}
}

func TestCanonical(t *testing.T) {
	for _, test := range canonical {
		t.Run(test.name, func(t *testing.T) {
			b := unhex(t, test.in)
			if err := wire.Check(b); err != nil {
				t.Errorf("Check: %v", err)
			}
			// Next takes the value and leaves alone whatever comes after it.
			for _, tail := range []string{"", "\x00", "\xc1", "\xff\xff\xff\xff\xff"} {
				n, err := wire.Next(append(b[:len(b):len(b)], tail...))
				if n != len(b) || err != nil {
					t.Errorf("Next before %q: got %d, %v, want %d", tail, n, err, len(b))
				}
			}
		})
	}
}

func TestFaulty(t *testing.T) {
	for _, test := range faulty {
		t.Run(test.name, func(t *testing.T) {
			b := unhex(t, test.in)
			n, err := wire.Next(b)
			if n != 0 {
				t.Errorf("got length %d with an error", n)
			}
			wantError(t, err, test.offset, test.want)
			wantError(t, wire.Check(b), test.offset, test.want)
			// Deeper inside, the same fault is found at its new offset.
			_, err = wire.Next(append([]byte{0x92, 0x81, 0x01, 0x02}, b...))
			if errors.Is(test.want, wire.ErrTooDeep) {
				if !errors.Is(err, wire.ErrTooDeep) {
					t.Errorf("inside: got %v", err)
				}
				return
			}
			wantError(t, err, test.offset+4, test.want)
		})
	}
}

// A value that ends early is never taken for a whole one: no value is a prefix
// of another, on which the order of keys depends too.
func TestTruncated(t *testing.T) {
	for _, test := range canonical {
		b := unhex(t, test.in)
		step := 1 + len(b)/300 // between the first and the last hundred
		for n := 0; n < len(b); n++ {
			if n > 100 && n < len(b)-100 && n%step != 0 {
				continue
			}
			if _, err := wire.Next(b[:n]); !errors.Is(err, wire.ErrTruncated) {
				t.Fatalf("%s, %d of %d bytes: got error %v", test.name, n, len(b), err)
			}
		}
	}
}

func TestCheckTrailing(t *testing.T) {
	for _, tail := range []string{"00", "c0", "c1", "ff"} {
		wantError(t, wire.Check(unhex(t, "92 01 02"+tail)), 3, wire.ErrTrailing)
	}
}

func TestErrorText(t *testing.T) {
	got := wire.Check([]byte{0x92, 1, 0xc1}).Error()
	if want := "offset 2: byte that begins no value"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The two NaN that are allowed are those that Go makes, and the bounds of time
// are those of its calendar.
func TestConstantsAreGos(t *testing.T) {
	nan32 := binary.BigEndian.AppendUint32([]byte{0xca}, math.Float32bits(float32(math.NaN())))
	nan64 := binary.BigEndian.AppendUint64([]byte{0xcb}, math.Float64bits(math.NaN()))
	for _, b := range [][]byte{nan32, nan64} {
		if err := wire.Check(b); err != nil {
			t.Errorf("%x: %v", b, err)
		}
	}
	for _, year := range []int{1, 10000} {
		first := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
		for _, second := range []int64{first - 1, first} {
			b := binary.BigEndian.AppendUint64([]byte{0xc7, 12, 0xff, 0, 0, 0, 0}, uint64(second))
			y := time.Unix(second, 0).UTC().Year()
			if got, want := wire.Check(b) == nil, y >= 1 && y <= 9999; got != want {
				t.Errorf("second %d of year %d: got %v, want %v", second, y, got, want)
			}
		}
	}
}

func TestMapHeader(t *testing.T) {
	tests := []struct {
		in      string
		n, size int
		want    error
	}{
		{"80", 0, 1, nil},
		{"82 01 02 03 04 c1", 2, 1, nil},
		{"81 c1 c1", 1, 1, nil}, // the entries are not looked at
		{"de0010" + rep("c1", 32), 16, 3, nil},
		{"df00010000" + rep("c1", 131072), 65536, 5, nil},
		{"", 0, 0, wire.ErrTruncated},
		{"81 01", 0, 0, wire.ErrTruncated},
		{"de00", 0, 0, wire.ErrTruncated},
		{"de0010" + rep("c1", 31), 0, 0, wire.ErrTruncated},
		{"dfffffffff", 0, 0, wire.ErrTruncated},
		{"de000f" + rep("c1", 30), 0, 0, wire.ErrNotShortest},
		{"c0", 0, 0, wire.ErrNotMap},
		{"92 01 02", 0, 0, wire.ErrNotMap},
		{"a161", 0, 0, wire.ErrNotMap},
		{"c1", 0, 0, wire.ErrReserved},
	}
	for _, test := range tests {
		n, size, err := wire.MapHeader(unhex(t, test.in))
		if n != test.n || size != test.size {
			t.Errorf("%.20s: got %d, %d, want %d, %d", test.in, n, size, test.n, test.size)
		}
		if test.want != nil || err != nil {
			wantError(t, err, 0, test.want)
		}
	}
}

func TestString(t *testing.T) {
	tests := []struct {
		in, s string
		size  int
		want  error
	}{
		{"a0", "", 1, nil},
		{"a161 c1", "a", 2, nil},
		{"a2c3a9", "é", 3, nil},
		{"d920" + rep("61", 32), rep("a", 32), 34, nil},
		{"da0100" + rep("61", 256), rep("a", 256), 259, nil},
		{"db00010000" + rep("61", 65536), rep("a", 65536), 65541, nil},
		{"", "", 0, wire.ErrTruncated},
		{"a261", "", 0, wire.ErrTruncated},
		{"dbffffffff", "", 0, wire.ErrTruncated},
		{"d901 61", "", 0, wire.ErrNotShortest},
		{"a1ff", "", 0, wire.ErrUTF8},
		{"c0", "", 0, wire.ErrNotString},
		{"c40161", "", 0, wire.ErrNotString},
		{"90", "", 0, wire.ErrNotString},
		{"c1", "", 0, wire.ErrReserved},
	}
	for _, test := range tests {
		b := unhex(t, test.in)
		s, size, err := wire.String(b)
		if string(s) != test.s || size != test.size {
			t.Errorf("%.20s: got %.20q, %d, want %.20q, %d", test.in, s, size, test.s, test.size)
		}
		if test.want != nil || err != nil {
			wantError(t, err, 0, test.want)
		}
	}
}

// The bytes that String returns are the caller's, and cannot be appended to over
// what follows them.
func TestStringAliases(t *testing.T) {
	b := []byte("\xa3abc\x01")
	s, _, err := wire.String(b)
	if err != nil || &s[0] != &b[1] || cap(s) != len(s) {
		t.Fatalf("got %q with capacity %d, %v", s, cap(s), err)
	}
}

// record is a typical record: five columns, 212 bytes.
func record() []byte {
	var b bytes.Buffer
	b.WriteString("\x85\xa4body\xd9\x85")
	b.WriteString(strings.Repeat("Dear diary, ", 11) + ".")
	b.WriteString("\xa5count\xcd\x01\x2c\xa5title\xb4A day by the seaside")
	b.WriteString("\xa7updated\xd7\xff\x00\x00\x00\x04\x68\x00\x00\x00\xa7user_id\xa8u-0001-x")
	return b.Bytes()
}

func TestNoAllocation(t *testing.T) {
	b := record()
	s := b[1:]
	deep := bytes.Repeat([]byte{0x91}, wire.MaxDepth-1)
	deep = append(deep, 0x90)
	allocs := testing.AllocsPerRun(100, func() {
		_, err1 := wire.Next(b)
		_, err2 := wire.Next(deep)
		_, _, err3 := wire.MapHeader(b)
		_, _, err4 := wire.String(s)
		if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
			t.Fatal(err1, err2, err3, err4)
		}
	})
	if allocs != 0 {
		t.Errorf("got %v allocations, want none", allocs)
	}
}

func BenchmarkCheck(b *testing.B) {
	in := record()
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if err := wire.Check(in); err != nil {
			b.Fatal(err)
		}
	}
}
