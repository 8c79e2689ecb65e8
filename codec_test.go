package userdata_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/seed-5df914be/userdata"
)

// wantCorrupt checks that a stored value is refused, with table, key and column.
func wantCorrupt[T any](t *testing.T, table *userdata.Table[T], key string, value []byte, column string) {
	t.Helper()
	_, err := userdata.Decode(table, []byte(key), value)
	if _, ok := userdata.DecodeDirect(table, []byte(key), value, nil); ok {
		t.Error("the direct way accepts what is corrupt")
	}
	var re *userdata.RecordError
	if !errors.Is(err, userdata.ErrCorrupt) || !errors.As(err, &re) {
		t.Errorf("got %v, want a RecordError that is ErrCorrupt", err)
		return
	}
	if re.Table != table.Name() || re.Key != key || re.Column != column {
		t.Errorf("got an error about table %q, key %v, column %q, want %q, %q, %q: %v", re.Table, re.Key, re.Column, table.Name(), key, column, err)
	}
}

// A card is small enough to write its bytes by hand.
type card struct {
	ID    string `userdata:"id,key"`
	Count int8   `userdata:"count"`
	Size  uint16 `userdata:"size"`
	On    bool   `userdata:"on"`
}

var cards = userdata.NewTable[card]("cards")

// packed writes keys and values with the library that any reader may use.
func packed(t *testing.T, pairs ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := msgpack.NewEncoder(&b)
	e.UseCompactInts(true)
	err := e.EncodeMapLen(len(pairs) / 2)
	for _, v := range pairs {
		err = errors.Join(err, e.Encode(v))
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Each value has a right checksum, so only what is inside is at fault.
func TestWrongRecords(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		pairs  []any
		column string
	}{
		{"as it should be", []any{"id", "k", "on", true, "size", 3, "count", -1}, "-"},
		{"integer above its type", []any{"id", "k", "on", true, "size", 3, "count", 128}, "count"},
		{"integer below its type", []any{"id", "k", "on", true, "size", 3, "count", -129}, "count"},
		{"integer above all types", []any{"id", "k", "on", true, "size", 3, "count", uint64(1 << 63)}, "count"},
		{"unsigned integer above its type", []any{"id", "k", "on", true, "size", 1 << 16, "count", -1}, "size"},
		{"unsigned integer below zero", []any{"id", "k", "on", true, "size", -1, "count", -1}, "size"},
		{"text for an integer", []any{"id", "k", "on", true, "size", 3, "count", "1"}, "count"},
		{"float for an integer", []any{"id", "k", "on", true, "size", 3.0, "count", 1}, "size"},
		{"nil for an integer", []any{"id", "k", "on", true, "size", 3, "count", nil}, "count"},
		{"integer for a bool", []any{"id", "k", "on", 1, "size", 3, "count", 1}, "on"},
		{"bytes for text", []any{"id", []byte("k"), "on", true, "size", 3, "count", 1}, "id"},
		{"another key", []any{"id", "other", "on", true, "size", 3, "count", 1}, "id"},
		{"missing column, the first", []any{"on", true, "size", 3, "count", 1}, "id"},
		{"missing column", []any{"id", "k", "size", 3, "count", 1}, "on"},
		{"missing column, the last", []any{"id", "k", "on", true, "size", 3}, "count"},
		{"no columns", nil, "id"},
		{"unknown column", []any{"id", "k", "on", true, "far", 3, "count", 1}, "far"},
		{"one column more", []any{"id", "k", "on", true, "size", 3, "count", 1, "weight", 1}, "weight"},
		{"column twice", []any{"id", "k", "id", "k", "on", true, "size", 3, "count", 1}, "id"},
		{"column twice, at the end", []any{"id", "k", "on", true, "size", 3, "count", 1, "count", 1}, "count"},
		{"columns out of order", []any{"id", "k", "size", 3, "on", true, "count", 1}, "on"},
		{"name that is no text", []any{1, "k", "on", true, "size", 3, "count", 1}, ""},
		{"name that is not UTF-8", []any{"\xff", "k"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			value := userdata.Seal("cards", []byte("k"), packed(t, test.pairs...))
			if test.column != "-" {
				wantCorrupt(t, cards, "k", value, test.column)
				return
			}
			if got, err := userdata.Decode(cards, []byte("k"), value); err != nil || *got != (card{"k", -1, 3, true}) {
				t.Errorf("got %v, %v, want the record", got, err)
			}
		})
	}
}

func TestWrongBytes(t *testing.T) {
	t.Parallel()
	const good = "84 a26964 a16b a26f6e c3 a473697a65 03 a5636f756e74 ff"
	for _, test := range []struct{ name, in, column string }{
		{"nothing", "", ""},
		{"an array", "94 a26964 a16b a26f6e c3", ""},
		{"text", "a16b", ""},
		{"a byte after the record", good + "00", ""},
		{"a record after the record", good + good, ""},
		{"an end too early", "84 a26964 a16b a26f6e c3 a473697a65 03 a5636f756e74", "count"},
		{"a count of columns that cannot be", "df ffffffff a26964", ""},
		{"an integer too long", "84 a26964 a16b a26f6e c3 a473697a65 cd0003 a5636f756e74 ff", "size"},
		{"an integer of the wrong sign", "84 a26964 a16b a26f6e c3 a473697a65 03 a5636f756e74 d001", "count"},
		{"a name too long", "84 d9026964 a16b a26f6e c3 a473697a65 03 a5636f756e74 ff", ""},
		{"a key that is not UTF-8", "84 a26964 a1ff a26f6e c3 a473697a65 03 a5636f756e74 ff", "id"},
		{"a byte that begins nothing", "84 a26964 a16b a26f6e c1 a473697a65 03 a5636f756e74 ff", "on"},
	} {
		t.Run(test.name, func(t *testing.T) {
			wantCorrupt(t, cards, "k", userdata.Seal("cards", []byte("k"), unhex(t, test.in)), test.column)
		})
	}
}

// wrongValue stores bytes in the one column of a record and wants them refused.
func wrongValue[V any](t *testing.T, in string) {
	t.Helper()
	value := unhex(t, "82 a26964 a16b a576616c7565"+in)
	wantCorrupt(t, userdata.NewTable[single[V]]("t"), "k", userdata.Seal("t", []byte("k"), value), "value")
}

func TestWrongValues(t *testing.T) {
	t.Parallel()
	wrongValue[int](t, "a131")
	wrongValue[int](t, "cb3ff0000000000000")
	wrongValue[int64](t, "cf8000000000000000")
	wrongValue[uint64](t, "ff")
	wrongValue[uint64](t, "c3")
	wrongValue[uint32](t, "cf0000000100000000")
	wrongValue[float64](t, "01")
	wrongValue[float64](t, "ca3f800000")
	wrongValue[float64](t, "cb7ff8000000000000") // another NaN
	wrongValue[float32](t, "cb3ff0000000000000")
	wrongValue[float32](t, "ca7fc00001")
	wrongValue[string](t, "c0")
	wrongValue[string](t, "c40161")
	wrongValue[string](t, "a1ff")
	wrongValue[[]byte](t, "a161")
	wrongValue[[4]byte](t, "c0")
	wrongValue[[4]byte](t, "c403010203")
	wrongValue[[4]byte](t, "c4050102030405")
	wrongValue[time.Time](t, "00")
	wrongValue[time.Time](t, "c0")
	wrongValue[time.Time](t, "d7ff ee6b2800 00000000")                 // 1e9 ns
	wrongValue[time.Time](t, "c70cff 00000000 0000003afff44180")       // year 10000
	wrongValue[time.Time](t, "d7ff 00000000 00000000")                 // not its shortest form
	wrongValue[time.Time](t, "d6fe00000000")                           // another extension
	wrongValue[address](t, "82 a35a6970 c0 a6737472656574 c3")         // a bool for the street
	wrongValue[address](t, "81 a35a6970 c0")                           // no street
	wrongValue[address](t, "82 a35a6971 c0 a6737472656574 a0")         // Ziq
	wrongValue[address](t, "82 01 c0 a6737472656574 a0")               // a number for a name
	wrongValue[address](t, "82 a6737472656574 a0 a35a6970 c0")         // out of order
	wrongValue[address](t, "83 a161 00 a35a6970 c0 a6737472656574 a0") // one field more
	wrongValue[address](t, "90")
	wrongValue[*address](t, "81 a35a6970 c0")
	wrongValue[[]string](t, "92 a161 01")
	wrongValue[[]string](t, "80")
	wrongValue[[]string](t, "dd ffffffff")
	wrongValue[[]*string](t, "dd 00ffffff c0")
	wrongValue[[2]int](t, "91 01")
	wrongValue[[2]int](t, "93 01 02 03")
	wrongValue[[2]int](t, "92 01 c0")
	wrongValue[[2]int](t, "c0")
	wrongValue[[2][1][]int](t, "92 92 90 90 90") // which could be taken for one
	wrongValue[map[string]int](t, "90")
	wrongValue[map[string]int](t, "82 a162 01 a161 01") // out of order
	wrongValue[map[string]int](t, "82 a161 01 a161 01") // twice
	wrongValue[map[string]int](t, "81 a1ff 01")
	wrongValue[map[string]int](t, "81 01 01")
	wrongValue[map[string]int](t, "81 a161 a161")
	wrongValue[map[float64]int](t, "82 cb0000000000000000 01 cb8000000000000000 02") // 0 and -0
	wrongValue[mood](t, "a3626164")
	wrongValue[mood](t, "00")
	wrongValue[pair](t, "c403010203")
	wrongValue[pair](t, "a0")
	wrongValue[list](t, strings.Repeat("91", 1e5)+"90")
}

func TestChecksum(t *testing.T) {
	t.Parallel()
	good := encode(t, cards, &card{"k", -1, 3, true})
	if _, err := userdata.Decode(cards, []byte("k"), good); err != nil {
		t.Fatal(err)
	}
	for i := range good { // each byte in turn
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			wantCorrupt(t, cards, "k", bad, "")
		}
	}
	for n := range good { // each length
		wantCorrupt(t, cards, "k", good[:n], "")
	}
	wantCorrupt(t, cards, "k", append(bytes.Clone(good), 0), "")

	// A whole value that is out of place.
	wantCorrupt(t, cards, "l", good, "")
	wantCorrupt(t, userdata.NewTable[card]("birds"), "k", good, "")
	// Table and key can't run into each other.
	wantCorrupt(t, userdata.NewTable[card]("card"), "sk", userdata.Seal("cards", []byte("k"), packed(t, "id", "sk", "on", true, "size", 3, "count", 1)), "")
	// Not even with a checksum for the place.
	moved := userdata.Seal("cards", []byte("l"), good[:len(good)-6])
	wantCorrupt(t, cards, "l", moved, "id")
}

// The faults reach whoever reads: by key, by query and at a refresh.
func TestCorruptRecordInStore(t *testing.T) {
	t.Parallel()
	store := userdata.NewMemStore()
	db, err := userdata.OpenStore(t.Context(), store, nil, cards)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	value := userdata.Seal("cards", []byte("k"), packed(t, "id", "k", "on", true, "size", 3, "count", 999))
	changes := &userdata.ChangeSet{Changes: []userdata.Change{{Bucket: "cards", Key: []byte("k"), Value: value}}}
	if err := db.Store().Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	s := db.NewSession()
	defer s.Close()
	_, errGet := cards.Get(t.Context(), s, "k")
	_, errAll := cards.Select(s).All(t.Context())
	for _, err := range []error{errGet, errAll} {
		var re *userdata.RecordError
		if !errors.Is(err, userdata.ErrCorrupt) || !errors.As(err, &re) || re.Table != "cards" || re.Key != "k" || re.Column != "count" {
			t.Errorf("got %v, want ErrCorrupt of cards, k, count", err)
		}
		if want := `cards "k" count: corrupt: 999 is out of the range of int8`; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want a text with %s", err, want)
		}
	}
}

// A record that lacks a column does not get that of the record before it.
func TestMissingColumnAfterWholeRecord(t *testing.T) {
	t.Parallel()
	store := userdata.NewMemStore()
	db, err := userdata.OpenStore(t.Context(), store, nil, cards)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	changes := &userdata.ChangeSet{Changes: []userdata.Change{
		{Bucket: "cards", Key: []byte("a"), Value: encode(t, cards, &card{"a", 1, 2, true})},
		{Bucket: "cards", Key: []byte("b"), Value: userdata.Seal("cards", []byte("b"), packed(t, "id", "b", "on", true, "size", 3))},
	}}
	if err := db.Store().Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	s := db.NewSession()
	defer s.Close()
	count := userdata.ColumnOf(func(c *card) *int8 { return &c.Count })
	for name, q := range map[string]userdata.Query[card]{"all": cards.Select(s), "where": cards.Select(s).Where(count.Eq(2))} {
		got, err := q.All(t.Context())
		var re *userdata.RecordError
		if !errors.Is(err, userdata.ErrCorrupt) || !errors.As(err, &re) || re.Key != "b" || re.Column != "count" {
			t.Errorf("%s: got %v, %v, want ErrCorrupt of b, count", name, got, err)
		}
	}
}

// All faults of a record come at once, each with its column.
func TestEncodeReportsAllFaults(t *testing.T) {
	t.Parallel()
	_, _, err := userdata.Encode(wides, &wide{ID: "", String: "\xff", Time: time.Time{}.Add(-1), Mood: mood{9}})
	var got []string
	for _, err := range err.(interface{ Unwrap() []error }).Unwrap() {
		var re *userdata.RecordError
		if !errors.As(err, &re) || !errors.Is(err, userdata.ErrInvalid) {
			t.Fatalf("got %v, want a RecordError that is ErrInvalid", err)
		}
		got = append(got, re.Column)
	}
	if d := cmp.Diff([]string{"mood", "time", "string", "id"}, got); d != "" {
		t.Errorf("columns at fault (-want +got):\n%s", d)
	}
}

// plain has the types that the msgpack library knows by itself, its fields in
// the order of our columns.
type plain struct {
	At    time.Time      `userdata:"at" msgpack:"at"`
	ID    string         `userdata:"id,key" msgpack:"id"`
	Raw   []byte         `userdata:"raw" msgpack:"raw"`
	Bool  bool           `userdata:"bool" msgpack:"bool"`
	Byte  uint8          `userdata:"byte" msgpack:"byte"`
	List  []int64        `userdata:"list" msgpack:"list"`
	Map   map[string]any `userdata:"-" msgpack:"-"`
	Null  *string        `userdata:"null" msgpack:"null"`
	Span  time.Duration  `userdata:"span" msgpack:"span"`
	Text  string         `userdata:"text" msgpack:"text"`
	Uint  uint64         `userdata:"uint" msgpack:"uint"`
	Float float64        `userdata:"float" msgpack:"float"`
	Inner struct {
		X int `msgpack:"X"`
		Y []string
	} `userdata:"inner" msgpack:"inner"`
	Names  map[string]string `userdata:"names" msgpack:"names"`
	Single float32           `userdata:"single" msgpack:"single"`
}

// What we write is what the msgpack library would, but for the checksum, and
// any reader of msgpack can read it.
func TestOrdinaryMsgpack(t *testing.T) {
	t.Parallel()
	plains := userdata.NewTable[plain]("plains")
	text := "x"
	p := &plain{
		At: at(2026, 10, 12, 19, 58, 0, 1), ID: "k", Raw: []byte{1}, Byte: 200, List: []int64{1, -1, 1 << 40, math.MinInt64}, Null: &text,
		Span: time.Hour, Text: strings.Repeat("é", 200), Uint: math.MaxUint64, Float: -0.5, Names: map[string]string{"b": "", "a": "x"}, Single: 2,
	}
	p.Inner.Y = []string{"y"}
	for name, p := range map[string]*plain{"full": p, "zero": {ID: "k"}} {
		var want bytes.Buffer
		e := msgpack.NewEncoder(&want)
		e.UseCompactInts(true)
		e.SetSortMapKeys(true)
		if err := e.Encode(p); err != nil {
			t.Fatal(err)
		}
		value := encode(t, plains, p)
		if got := value[:len(value)-6]; !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s: got\n%x\nwant\n%x", name, got, want.Bytes())
		}
		var back plain
		if err := msgpack.Unmarshal(value, &back); err != nil {
			t.Errorf("%s: msgpack.Unmarshal: %v", name, err)
		}
		back.At = back.At.UTC() // the library's are local
		if d := cmp.Diff(*p, back, strictly); d != "" {
			t.Errorf("%s, as the library reads it (-want +got):\n%s", name, d)
		}
	}
	var columns map[string]any
	if err := msgpack.Unmarshal(encode(t, wides, newWide())[:], &columns); err == nil {
		t.Error("a map with keys of other types: got no error from the library's map[string]any, want one")
	}
	if err := msgpack.Unmarshal(encode(t, plains, p), &columns); err != nil || columns["id"] != "k" || len(columns) != len(plains.Columns()) {
		t.Errorf("got %v, %v, want every column", columns, err)
	}
}

// The columns stand in the order of their encoded names: shorter ones first.
func TestColumnOrder(t *testing.T) {
	t.Parallel()
	value := encode(t, wides, newWide())
	d := msgpack.NewDecoder(bytes.NewReader(value))
	n, err := d.DecodeMapLen()
	if err != nil || n != len(wides.Columns()) {
		t.Fatalf("got %d columns, %v, want %d", n, err, len(wides.Columns()))
	}
	last := ""
	for range n {
		name, err := d.DecodeString()
		if err != nil {
			t.Fatal(err)
		}
		if len(name) < len(last) || len(name) == len(last) && name <= last {
			t.Errorf("got column %s after %s, want it before", name, last)
		}
		last = name
		if err := d.Skip(); err != nil {
			t.Fatal(err)
		}
	}
}

// golden pins the bytes of single values: column "value" after "id" "k".
var golden = []struct {
	name   string
	record func() (value []byte, err error)
	want   string
}{
	{"false", goldenOf(false), "c2"},
	{"true", goldenOf(true), "c3"},
	{"0", goldenOf(0), "00"},
	{"127", goldenOf(127), "7f"},
	{"128", goldenOf(128), "cc80"},
	{"256", goldenOf(256), "cd0100"},
	{"65536", goldenOf(65536), "ce00010000"},
	{"1<<32", goldenOf(int64(1 << 32)), "cf0000000100000000"},
	{"-1", goldenOf(-1), "ff"},
	{"-32", goldenOf(-32), "e0"},
	{"-33", goldenOf(-33), "d0df"},
	{"-129", goldenOf(-129), "d1ff7f"},
	{"-32769", goldenOf(-32769), "d2ffff7fff"},
	{"-1<<31 - 1", goldenOf(int64(-1<<31 - 1)), "d3ffffffff7fffffff"},
	{"uint8", goldenOf(uint8(255)), "ccff"},
	{"uint64", goldenOf(uint64(math.MaxUint64)), "cfffffffffffffffff"},
	{"duration", goldenOf(time.Second), "ce3b9aca00"},
	{"float32", goldenOf(float32(1)), "ca3f800000"},
	{"float32 NaN", goldenOf(float32(math.NaN())), "ca7fc00000"},
	{"float64", goldenOf(-0.5), "cbbfe0000000000000"},
	{"float64 NaN", goldenOf(math.NaN()), "cb7ff8000000000001"},
	{"float64 -0", goldenOf(math.Copysign(0, -1)), "cb8000000000000000"},
	{"empty string", goldenOf(""), "a0"},
	{"string", goldenOf("é"), "a2c3a9"},
	{"string of 32", goldenOf(label(strings.Repeat("a", 32))), "d920" + strings.Repeat("61", 32)},
	{"nil bytes", goldenOf([]byte(nil)), "c0"},
	{"empty bytes", goldenOf([]byte{}), "c400"},
	{"bytes", goldenOf([]byte{1, 2}), "c4020102"},
	{"byte array", goldenOf([2]byte{1, 2}), "c4020102"},
	{"time of 1970", goldenOf(at(1970, 1, 1, 0, 0, 0, 0)), "d6ff00000000"},
	{"time with nanoseconds", goldenOf(at(1970, 1, 1, 0, 0, 1, 2)), "d7ff0000000800000001"},
	{"time before 1970", goldenOf(at(1969, 12, 31, 23, 59, 59, 1)), "c70cff00000001ffffffffffffffff"},
	{"zero time", goldenOf(time.Time{}), "c70cff00000000fffffff1886e0900"},
	{"last time", goldenOf(at(9999, 12, 31, 23, 59, 59, 999999999)), "c70cff3b9ac9ff0000003afff4417f"},
	{"struct", goldenOf(point{1, 2}), "82 a158 01 a159 02"},
	{"struct with names", goldenOf(address{Street: "x", Note: "y"}), "82 a35a6970 c0 a6737472656574 a178"},
	{"nil slice", goldenOf([]int(nil)), "c0"},
	{"empty slice", goldenOf([]int{}), "90"},
	{"slice", goldenOf([]int{1, 2}), "92 01 02"},
	{"array", goldenOf([2]int{1, 2}), "92 01 02"},
	{"nil map", goldenOf(map[string]int(nil)), "c0"},
	{"empty map", goldenOf(map[string]int{}), "80"},
	{"map", goldenOf(map[string]int{"b": 1, "aa": 2, "a": 3}), "83 a161 03 a162 01 a26161 02"},
	{"map of integers", goldenOf(map[int]int{-1: 1, 1: 2, 200: 3}), "83 01 02 ccc8 03 ff 01"},
	{"nil pointer", goldenOf((*int)(nil)), "c0"},
	{"pointer", goldenOf(new(int)), "00"},
	{"pointer to nil slice", goldenOf(new([]int)), "90"},
	{"pointer to nil map", goldenOf(new(map[int]int)), "80"},
	{"pointer to nil bytes", goldenOf(new([]byte)), "c400"},
	{"text", goldenOf(mood{1}), "a463616c6d"},
	{"binary", goldenOf(pair{1, 2}), "c4020102"},
	{"binary, nil", goldenOf(pair{}), "c400"},
	{"uuid", goldenOf(id{15: 1}), "c410" + strings.Repeat("00", 15) + "01"},
}

func goldenOf[V any](v V) func() ([]byte, error) {
	return func() ([]byte, error) {
		_, value, err := userdata.Encode(userdata.NewTable[single[V]]("t"), &single[V]{"k", v})
		return value, err
	}
}

func TestGoldenBytes(t *testing.T) {
	t.Parallel()
	for _, g := range golden {
		got, err := g.record()
		if err != nil {
			t.Fatal(err)
		}
		value := unhex(t, "82 a26964 a16b a576616c7565"+g.want)
		sum := crc32.Checksum(append([]byte("\x01t\x01k"), value...), crc32.MakeTable(crc32.Castagnoli))
		if want := binary.BigEndian.AppendUint32(append(value, 0xd6, 'C'), sum); !bytes.Equal(got, want) {
			t.Errorf("%s: got\n%x\nwant\n%x", g.name, got, want)
		}
	}
}

// FORMAT.md's example is true.
func TestFormatExample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, found := strings.Cut(string(text), "```example\n")
	example, _, closed := strings.Cut(example, "```")
	if !found || !closed {
		t.Fatal("FORMAT.md has no block marked example")
	}
	bytesOf := map[string]string{}
	for line := range strings.Lines(example) {
		part, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		digits, _, _ := strings.Cut(rest, "|")
		bytesOf[part] += digits
	}
	record := &userdata.Userdata{UserID: "Brian", UserData: "changed", TimeStamp: at(2026, 10, 12, 19, 58, 0, 0)}
	key, value, err := userdata.Encode(userdata.UserdataTable, record)
	if err != nil {
		t.Fatal(err)
	}
	for part, got := range map[string][]byte{
		"bucket": []byte("userdata"),
		"key":    key,
		"value":  value,
		"summed": append([]byte("\x08userdata\x05Brian"), value[:len(value)-6]...),
	} {
		if want := unhex(t, bytesOf[part]); !bytes.Equal(got, want) {
			t.Errorf("%s: FORMAT.md has\n%x\nthe package\n%x", part, want, got)
		}
	}
	sum := crc32.Checksum(unhex(t, bytesOf["summed"]), crc32.MakeTable(crc32.Castagnoli))
	if want := hex.EncodeToString(value[len(value)-4:]); fmt.Sprintf("%08x", sum) != want {
		t.Errorf("CRC32C of FORMAT.md's summed bytes: got %08x, want %s", sum, want)
	}
}

// FuzzDecode takes arbitrary bytes for a stored value, as they are and with a
// right checksum: they give an error or a record that encodes to the same bytes.
func FuzzDecode(f *testing.F) {
	for _, w := range []*wide{newWide(), {ID: "k"}} {
		value := encode(f, wides, w)
		f.Add(value)
		f.Add(value[:len(value)-6])
		f.Add(value[:len(value)/2])
	}
	f.Add(unhex(f, "84 a26964 a16b"))
	f.Fuzz(func(t *testing.T, value []byte) {
		decodes(t, value)
		decodes(t, userdata.Seal("wides", []byte("k"), value))
	})
}

func decodes(t *testing.T, value []byte) {
	w, err := userdata.Decode(wides, []byte("k"), value)
	if err != nil {
		if !errors.Is(err, userdata.ErrCorrupt) {
			t.Fatalf("got %v, want ErrCorrupt", err)
		}
		return
	}
	key, again, err := userdata.Encode(wides, w)
	if err != nil || string(key) != "k" || !bytes.Equal(again, value) {
		t.Fatalf("got key %q and bytes, %v\n%x\nwant\n%x", key, err, again, value)
	}
}

// FuzzRoundTrip makes records of the fuzzer's bytes: what is read back is what
// was written, and so is a clone.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{1, 2, 3, 4, 5}, 200))
	f.Add(bytes.Repeat([]byte{0xff, 3}, 500))
	f.Add(bytes.Repeat([]byte{0x7f, 0xf8, 2, 0}, 300))
	f.Fuzz(func(t *testing.T, in []byte) {
		w := &wide{}
		fill(reflect.ValueOf(w).Elem(), &source{in}, 0)
		w.ID += "k"
		key, value, err := userdata.Encode(wides, w)
		if err != nil {
			if !errors.Is(err, userdata.ErrInvalid) {
				t.Fatalf("Encode: got %v, want nil or ErrInvalid", err)
			}
			return
		}
		got, err := userdata.Decode(wides, key, value)
		if err != nil {
			t.Fatalf("Decode: got %v, want nil", err)
		}
		if d := cmp.Diff(w, got, strictly); d != "" {
			t.Errorf("read back (-want +got):\n%s", d)
		}
		if _, cloned, err := userdata.Encode(wides, userdata.Clone(wides, w)); err != nil || !bytes.Equal(cloned, value) {
			t.Errorf("clone: got bytes, %v\n%x\nwant\n%x", err, cloned, value)
		}
	})
}
