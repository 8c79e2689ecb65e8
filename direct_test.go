package userdata_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

// agree checks that the direct way and the plain one both read the value, and
// to the same record, or both refuse it. It returns the record, nil if refused.
func agree[T any](t testing.TB, table *userdata.Table[T], key, value []byte) *T {
	t.Helper()
	want, err := userdata.DecodePlain(table, key, value)
	if err != nil && !errors.Is(err, userdata.ErrCorrupt) {
		t.Fatalf("plain: got %v, want ErrCorrupt", err)
	}
	for memory, mem := range userdata.Memories() {
		got, ok := userdata.DecodeDirect(table, key, value, mem)
		if ok != (err == nil) {
			t.Fatalf("direct, strings %s: accepted is %t, the plain way has %v, of\n%x", memory, ok, err, value)
		}
		if !ok {
			continue
		}
		// cmp looks at each level of a list twice, so n levels take it 2^n steps; what
		// DeepEqual does not see, the sign of a zero, shows in the bytes below.
		if !reflect.DeepEqual(want, got) {
			if d := cmp.Diff(want, got, strictly); d != "" {
				t.Fatalf("direct, strings %s (-plain +direct):\n%s", memory, d)
			}
		}
		for name, record := range map[string]*T{"plain": want, "direct": got} {
			if again, ok := userdata.EncodeDirect(table, record); !ok || !bytes.Equal(again, value) {
				t.Fatalf("%s record, strings %s: encoded directly, %t, it is\n%x\nwant\n%x", name, memory, ok, again, value)
			}
			if !userdata.Matches(table, value, record) {
				t.Fatalf("%s record, strings %s: does not match the value it was read from", name, memory)
			}
		}
	}
	if err != nil {
		return nil
	}
	return want
}

// sameBytes checks that the direct way and the plain one write the same bytes,
// or both refuse the record. It returns them.
func sameBytes[T any](t testing.TB, table *userdata.Table[T], record *T) []byte {
	t.Helper()
	_, want, err := userdata.EncodePlain(table, record)
	got, ok := userdata.EncodeDirect(table, record)
	if ok != (err == nil) {
		t.Fatalf("direct: accepted is %t, the plain way has %v", ok, err)
	}
	if !ok {
		return nil
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("direct: got\n%x\nwant\n%x", got, want)
	}
	return want
}

// FuzzDecodeFastPlain takes arbitrary bytes for a stored value: with the checksum
// mended, the two ways agree.
func FuzzDecodeFastPlain(f *testing.F) {
	for _, w := range []*wide{newWide(), {ID: "k"}} {
		value := encode(f, wides, w)
		f.Add(value[:len(value)-6])
		f.Add(value[:len(value)/2])
	}
	f.Add(append(bytes.Repeat([]byte{0x91}, 90), 0x90)) // lists in lists
	f.Fuzz(func(t *testing.T, b []byte) {
		agree(t, wides, []byte("k"), userdata.Seal("wides", []byte("k"), b))
		// As the value of one column the bytes get further.
		one := append([]byte("\x82\xa2id\xa1k\xa5value"), b...)
		single := userdata.Seal("t", []byte("k"), one)
		agree(t, anyStructs, []byte("k"), single)
		agree(t, anyMaps, []byte("k"), single)
		agree(t, anyTimes, []byte("k"), single)
		agree(t, anyInts, []byte("k"), single)
		agree(t, anyLists, []byte("k"), single)
	})
}

var (
	anyStructs = userdata.NewTable[single[[]address]]("t")
	anyMaps    = userdata.NewTable[single[map[string]map[int8]*[]byte]]("t")
	anyTimes   = userdata.NewTable[single[*[]time.Time]]("t")
	anyLists   = userdata.NewTable[single[list]]("t")
	anyInts    = userdata.NewTable[single[[2]int16]]("t")
)

// FuzzEncodeFastPlain makes records of the fuzzer's bytes: the two ways write the
// same, and a record matches the bytes of another just if it has the same ones.
func FuzzEncodeFastPlain(f *testing.F) {
	f.Add([]byte{}, uint16(0), byte(1))
	f.Add(bytes.Repeat([]byte{1, 2, 3, 4, 5}, 200), uint16(77), byte(1))
	f.Add(bytes.Repeat([]byte{0xff, 3}, 500), uint16(500), byte(0x80))
	f.Add(bytes.Repeat([]byte{0x7f, 0xf8, 2, 0}, 300), uint16(33), byte(0xff))
	f.Fuzz(func(t *testing.T, in []byte, at uint16, flip byte) {
		other := slices.Clone(in)
		if len(other) > 0 {
			other[int(at)%len(other)] ^= flip
		}
		matchAsBytes(t, in, other)
	})
}

// matchAsBytes makes two records of bytes and checks that each matches what the
// other is stored as just if it is stored as that itself.
func matchAsBytes(t *testing.T, in, other []byte) (same bool) {
	t.Helper()
	a, b := &wide{}, &wide{}
	fill(reflect.ValueOf(a).Elem(), &source{in}, 0)
	fill(reflect.ValueOf(b).Elem(), &source{other}, 0)
	a.ID, b.ID = "k", "k"
	x, y := sameBytes(t, wides, a), sameBytes(t, wides, b)
	if x == nil || y == nil {
		return false
	}
	same = bytes.Equal(x, y)
	if got := userdata.Matches(wides, x, b); got != same {
		t.Fatalf("b matches a: got %t, want %t:\n%x\n%x", got, same, x, y)
	}
	if got := userdata.Matches(wides, y, a); got != same {
		t.Fatalf("a matches b: got %t, want %t:\n%x\n%x", got, same, x, y)
	}
	return same
}

// One byte of the bytes that a record is made of differs at a time.
func TestMatchAsBytes(t *testing.T) {
	t.Parallel()
	in := make([]byte, 900)
	for i := range in {
		in[i] = byte(i*i>>3 ^ i)
	}
	count := map[bool]int{}
	for i := range in {
		for _, flip := range []byte{0, 1, 0x80, 0xff} {
			other := slices.Clone(in)
			other[i] ^= flip
			count[matchAsBytes(t, in, other)]++
		}
	}
	if count[true] < 100 || count[false] < 100 {
		t.Errorf("got %v pairs that match and do not, want many of both", count)
	}
}

// Every bit of a value is turned in turn, every byte left out and doubled, and
// the checksum mended: the two ways agree on all of them.
func TestDamageFastPlain(t *testing.T) {
	t.Parallel()
	good := encode(t, wides, newWide())
	good = good[:len(good)-6]
	step := 1
	if testing.Short() {
		step = 7
	}
	accepted := 0
	try := func(b []byte) {
		if agree(t, wides, []byte("k"), userdata.Seal("wides", []byte("k"), b)) != nil {
			accepted++
		}
	}
	for i := 0; i < len(good); i += step {
		for bit := range 8 {
			bad := slices.Clone(good)
			bad[i] ^= 1 << bit
			try(bad)
		}
		try(slices.Delete(slices.Clone(good), i, i+1))
		try(slices.Insert(slices.Clone(good), i, good[i]))
		try(good[:i])
	}
	if accepted == 0 {
		t.Error("got no damaged value that is another good one, want some")
	}
}

// Values on the edges of their encodings' forms.
func TestEdgesFastPlain(t *testing.T) {
	t.Parallel()
	for shift := range 64 {
		for _, d := range []int64{-1, 0, 1} {
			n := int64(1)<<shift + d
			for _, v := range []int64{n, -n} {
				edge(t, v)
				edge(t, int32(v))
				edge(t, int16(v))
				edge(t, int8(v))
				edge(t, int(v))
				edge(t, uint64(v))
				edge(t, uint32(v))
				edge(t, uint16(v))
				edge(t, uint8(v))
				edge(t, uint(v))
				edge(t, math.Float64frombits(uint64(v)))
				edge(t, math.Float32frombits(uint32(v)))
				edge(t, time.Unix(v, 0))
				edge(t, time.Unix(v, 999_999_999))
				edge(t, time.Unix(v, v))
			}
		}
	}
	for _, n := range []int{0, 1, 15, 16, 31, 32, 255, 256, 1023, 1024, 1025, 65535, 65536} {
		edge(t, strings.Repeat("a", n))
		edge(t, strings.Repeat("a", n)+"\xff")
		edge(t, make([]byte, n))
		edge(t, make([]bool, n))
		edge(t, make([]*string, n))
		m := make(map[int]int, n)
		for i := range n {
			m[i] = -i
		}
		edge(t, m)
	}
	edge(t, map[float64]int{math.NaN(): 1, 0: 2})
	edge(t, map[float64]int{math.NaN(): 1, -math.NaN(): 2}) // one encoding
	edge(t, [300]byte{})
	edge(t, (*[]byte)(nil))
	edge(t, new([]byte))
	edge(t, new(map[string][]int))
	edge(t, mood{9}) // whose marshaler refuses it
	edge(t, time.Time{}.Add(-1))
	edge(t, at(9999, 12, 31, 23, 59, 59, 999999999).Add(1))
}

// edge writes and reads a value both ways.
func edge[V any](t *testing.T, v V) {
	t.Helper()
	table := userdata.NewTable[single[V]]("t")
	if value := sameBytes(t, table, &single[V]{"k", v}); value != nil {
		agree(t, table, []byte("k"), value)
	}
}

// What is stored as the same bytes matches, however it differs in memory; what
// is not does not, however equal Go finds it.
func TestMatch(t *testing.T) {
	t.Parallel()
	negative := math.Copysign(0, -1)
	odd := math.Float64frombits(math.Float64bits(math.NaN()) ^ 1<<63 ^ 1<<7)
	odd32 := math.Float32frombits(math.Float32bits(float32(math.NaN())) ^ 1)
	now := time.Now()
	match(t, math.NaN(), odd, true)
	match(t, float32(math.NaN()), odd32, true)
	match(t, 0.0, negative, false)
	match(t, float32(0), float32(negative), false)
	match(t, now, now.Round(0).In(time.FixedZone("X", 3600)), true)
	match(t, now, now.Add(1), false)
	match(t, []byte(nil), []byte{}, false)
	match(t, []int(nil), []int{}, false)
	match(t, map[int]int(nil), map[int]int{}, false)
	match(t, map[float64]bool{math.NaN(): true}, map[float64]bool{odd: true}, true)
	match(t, new([]byte), &[]byte{}, true)
	match(t, new([]int), &[]int{}, true)
	match(t, new([]int), nil, false)
	match(t, new(map[int]int), &map[int]int{}, true)
	match(t, []string{"a", "b"}, []string{"ab"}, false)
	match(t, []string{"a"}, []string{"a", ""}, false)
	match(t, [2]string{"a", "b"}, [2]string{"ab", ""}, false)
	match(t, "a", "a\x00", false)
	match(t, "a", "\xff", false)
	match(t, uint64(1<<63), uint64(0), false)
	match(t, int64(-1), int64(math.MaxInt64), false)
	match(t, address{Street: "x"}, address{Street: "x", Note: "not stored"}, true)
	match(t, mood{1}, mood{2}, false)
	match(t, mood{1}, mood{9}, false) // whose marshaler refuses it
	loop := list{nil}
	loop[0] = loop
	match(t, list{list{}}, loop, false)
}

// match checks both ways round whether two values are stored alike.
func match[V any](t *testing.T, a, b V, want bool) {
	t.Helper()
	table := userdata.NewTable[single[V]]("t")
	for _, pair := range [][2]V{{a, b}, {b, a}} {
		_, value, err := userdata.EncodePlain(table, &single[V]{"k", pair[0]})
		if err != nil {
			continue // it can't be what is stored
		}
		if got := userdata.Matches(table, value, &single[V]{"k", pair[1]}); got != want {
			t.Errorf("%T: %v matches the bytes of %v: got %t, want %t", a, pair[1], pair[0], got, want)
		}
	}
	if userdata.Matches(table, encode(t, table, &single[V]{"k", a}), &single[V]{"l", a}) {
		t.Errorf("%T: %v matches under another key, want it not to", a, a)
	}
}

// Each kind of key, and keys that differ from the column.
func TestKeysFastPlain(t *testing.T) {
	t.Parallel()
	keyAgrees(t, "a", "b")
	keyAgrees(t, []byte("a"), []byte("ab"))
	keyAgrees(t, [2]byte{1, 2}, [2]byte{1, 3})
	keyAgrees(t, -1, 1)
	keyAgrees(t, int8(-1), int8(1))
	keyAgrees(t, int16(-1), int16(1))
	keyAgrees(t, int32(-1), int32(1))
	keyAgrees(t, uint8(200), uint8(1))
	keyAgrees(t, uint16(1), uint16(256))
	keyAgrees(t, uint32(1), uint32(1<<24))
	keyAgrees(t, uint64(1), uint64(1<<56))
	keyAgrees(t, at(2026, 1, 1, 0, 0, 0, 1), at(2026, 1, 1, 0, 0, 0, 2))
}

func keyAgrees[K any](t *testing.T, a, b K) {
	t.Helper()
	type record struct {
		Key K `userdata:"key,key"`
	}
	table := userdata.NewTable[record]("t")
	sameBytes(t, table, &record{a})
	key, value, err := userdata.Encode(table, &record{a})
	if err != nil {
		t.Fatal(err)
	}
	if agree(t, table, key, value) == nil {
		t.Errorf("%T: under its own key: refused, want the record", a)
	}
	other, _, err := userdata.Encode(table, &record{b})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range [][]byte{other, {}, append(slices.Clone(key), 0), key[:len(key)-1]} {
		if agree(t, table, key, userdata.Seal("t", key, value[:len(value)-6])) != nil {
			t.Errorf("%T: under the key %x: got the record, want it refused", a, key)
		}
	}
}

// A record's strings may be parts of the value it was read from, its bytes never.
func TestLentBytesAreOwn(t *testing.T) {
	t.Parallel()
	value := encode(t, wides, newWide())
	got, ok := userdata.DecodeDirect(wides, []byte("k"), value, userdata.Memories()["lent"])
	if !ok {
		t.Fatal("got no record")
	}
	got.Bytes[0]++
	(*got.PBytes)[0]++
	got.Raw[0]++
	if !bytes.Equal(value, encode(t, wides, newWide())) {
		t.Error("a change of the record's bytes changed the value that it was read from")
	}
	// And without lending nothing is shared at all.
	own, _ := userdata.DecodeDirect(wides, []byte("k"), value, nil)
	clear(value)
	if d := cmp.Diff(newWide(), own, strictly); d != "" {
		t.Errorf("after the value was cleared (-want +got):\n%s", d)
	}
}

// A length that cannot be costs no memory.
func TestHostileLengthsAllocateLittle(t *testing.T) {
	for name, in := range map[string]string{"array": "dd 00ffffff", "array of nils": "dd 00000fff c0c0", "map": "df 00ffffff", "text": "db 7fffffff 61", "bytes": "c6 7fffffff 00"} {
		value := userdata.Seal("t", []byte("k"), append(unhex(t, "82 a26964 a16b a576616c7565"+in), make([]byte, 1<<14)...))
		tables := []func(){
			func() { userdata.DecodeDirect(anyStructs, []byte("k"), value, nil) },
			func() { userdata.DecodeDirect(anyMaps, []byte("k"), value, nil) },
			func() { userdata.DecodeDirect(anyTimes, []byte("k"), value, nil) },
		}
		for i, decode := range tables {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			decode()
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 1<<18 {
				t.Errorf("%s, table %d: got %d bytes allocated, want at most %d", name, i, n, 1<<18)
			}
		}
	}
}

// Plain fields cost no allocation but the record, its strings, and what is
// written.
func TestFastPathAllocations(t *testing.T) {
	record, mem := &benchPlain{1, "slug", "shared", benchTime(1), benchBody}, userdata.Memories()["lent"]
	key, value, err := userdata.Encode(benchPlains, record)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		want float64
		fn   func()
	}{
		"match":        {0, func() { userdata.Matches(benchPlains, value, record) }},
		"decode":       {4, func() { userdata.Decode(benchPlains, key, value) }},
		"decode, lent": {1, func() { userdata.DecodeDirect(benchPlains, key, value, mem) }},
		"encode":       {2, func() { userdata.Encode(benchPlains, record) }},
	} {
		got := math.Inf(1)
		for range 20 { // the best of them: a pool may be found empty, which the race detector sees to
			got = min(got, testing.AllocsPerRun(1, test.fn))
		}
		if got != test.want {
			t.Errorf("%s: got %v allocations, want %v", name, got, test.want)
		}
	}
	if binary.BigEndian.Uint64(key) != 1<<63|1 {
		t.Errorf("got key %x, want that of 1", key)
	}
}

// The length of a key is summed as a uvarint of any size.
func TestChecksumOfLongKeys(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 127, 128, 129, 16383, 16384, 32768} {
		key, value := bytes.Repeat([]byte{'k'}, n), []byte{0x80}
		summed := append(binary.AppendUvarint([]byte("\x01t"), uint64(n)), key...)
		want := crc32.Checksum(append(summed, value...), crc32.MakeTable(crc32.Castagnoli))
		if got := binary.BigEndian.Uint32(userdata.Seal("t", key, value)[3:]); got != want {
			t.Errorf("key of %d bytes: got checksum %08x, want %08x", n, got, want)
		}
	}
}
