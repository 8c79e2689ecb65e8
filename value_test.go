package userdata_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

// Types that columns are made of.
type (
	mark    bool
	level   int16
	count   uint32
	ratio   float32
	label   string
	blob    []byte
	stamp   time.Time
	point   struct{ X, Y int }
	address struct {
		Street string `userdata:"street"`
		Zip    *string
		Note   string `userdata:"-"`
		hidden int
	}
	tree struct {
		Name string
		Kids []*tree
	}
	audit struct {
		Created time.Time `userdata:"created"`
		By      string    `userdata:"by"`
	}
)

// An id is a UUID as most packages have it.
type id [16]byte

func (u id) String() string                { return fmt.Sprintf("%x-%x", u[:8], u[8:]) }
func (u id) MarshalText() ([]byte, error)  { return []byte(u.String()), nil }
func (u *id) UnmarshalText(b []byte) error { return errors.New("not called") }

// A mood turns itself into text, in one way only.
type mood struct{ n int }

var moods = []string{"", "calm", "glad"}

func (m mood) MarshalText() ([]byte, error) {
	if m.n >= len(moods) {
		return nil, errNoMood
	}
	return []byte(moods[m.n]), nil
}

func (m *mood) UnmarshalText(b []byte) error {
	for i, name := range moods {
		if name == string(b) {
			m.n = i
			return nil
		}
	}
	return errNoMood
}

var errNoMood = errors.New("no such mood")

// A pair turns itself into bytes, nil for the zero pair.
type pair struct{ a, b byte }

func (p *pair) MarshalBinary() ([]byte, error) {
	switch *p {
	case pair{}:
		return nil, nil
	case pair{255, 255}:
		return nil, errNoPair
	}
	return []byte{p.a, p.b}, nil
}

func (p *pair) UnmarshalBinary(b []byte) error {
	switch {
	case len(b) == 0:
		return nil
	case len(b) != 2 || b[0] == 0 && b[1] == 0 || b[0] == 255 && b[1] == 255:
		return errNoPair
	}
	*p = pair{b[0], b[1]}
	return nil
}

var errNoPair = errors.New("no such pair")

// wide has a column of every type.
type wide struct {
	ID string `userdata:"id,key"`

	Bool    bool          `userdata:"bool"`
	Int     int           `userdata:"int"`
	Int8    int8          `userdata:"int8"`
	Int16   int16         `userdata:"int16"`
	Int32   int32         `userdata:"int32"`
	Int64   int64         `userdata:"int64"`
	Uint    uint          `userdata:"uint"`
	Uint8   uint8         `userdata:"uint8"`
	Uint16  uint16        `userdata:"uint16"`
	Uint32  uint32        `userdata:"uint32"`
	Uint64  uint64        `userdata:"uint64"`
	Float32 float32       `userdata:"float32"`
	Float64 float64       `userdata:"float64"`
	String  string        `userdata:"string"`
	Bytes   []byte        `userdata:"bytes"`
	Time    time.Time     `userdata:"time"`
	Span    time.Duration `userdata:"span"`

	Flag  mark  `userdata:"flag"`
	Level level `userdata:"level"`
	Count count `userdata:"count"`
	Ratio ratio `userdata:"ratio"`
	Label label `userdata:"label"`
	Blob  blob  `userdata:"blob"`
	Stamp stamp `userdata:"stamp"`

	PString *string            `userdata:"p_string"`
	PInt    *int               `userdata:"p_int"`
	PTime   *time.Time         `userdata:"p_time"`
	PBytes  *[]byte            `userdata:"p_bytes"`
	PSlice  *[]string          `userdata:"p_slice"`
	PMap    *map[string]int    `userdata:"p_map"`
	PStruct *address           `userdata:"p_struct"`
	PArray  *[2]int            `userdata:"p_array"`
	Struct  address            `userdata:"struct"`
	Slice   []string           `userdata:"slice"`
	Slices  [][]int            `userdata:"slices"`
	Structs []address          `userdata:"structs"`
	Nils    []*address         `userdata:"nils"`
	Array   [3]int16           `userdata:"array"`
	Arrays  [2][]string        `userdata:"arrays"`
	Raw     [4]byte            `userdata:"raw"`
	Tree    *tree              `userdata:"tree"`
	UUID    id                 `userdata:"uuid"`
	Addr    netip.Addr         `userdata:"addr"`
	Mood    mood               `userdata:"mood"`
	Pair    pair               `userdata:"pair"`
	PMood   *mood              `userdata:"p_mood"`
	ByName  map[string]string  `userdata:"by_name"`
	ByInt   map[int]bool       `userdata:"by_int"`
	ByUint  map[uint8]string   `userdata:"by_uint"`
	ByBool  map[bool]int       `userdata:"by_bool"`
	ByFloat map[float64]int    `userdata:"by_float"`
	ByTime  map[time.Time]int  `userdata:"by_time"`
	ByRaw   map[[2]byte]int    `userdata:"by_raw"`
	ByArray map[[2]int]int     `userdata:"by_array"`
	ByPoint map[point]string   `userdata:"by_point"`
	ByAddr  map[netip.Addr]int `userdata:"by_addr"`
	ByLabel map[label]address  `userdata:"by_label"`
	ByMood  map[mood]int       `userdata:"by_mood"`

	Deep map[string]map[int][]map[string]string `userdata:"deep"`

	audit // its columns are the record's own

	Left   func()     `userdata:"-"`
	unseen complex128 // not exported: not stored
}

var wides = userdata.NewTable[wide]("wides")

// newWide returns a record with something in every column.
func newWide() *wide {
	large := int64(-1) << 40 // as a variable, so that it builds where an int has 32 bits
	s, n, zip := "text", -7, "8001"
	at := time.Date(2026, 10, 12, 19, 58, 3, 141592653, time.UTC)
	return &wide{
		ID: "k", Bool: true, Int: int(large), Int8: -128, Int16: 300, Int32: -1 << 31, Int64: math.MinInt64,
		Uint: uint(-large), Uint8: 255, Uint16: 1 << 15, Uint32: 1 << 31, Uint64: math.MaxUint64,
		Float32: 1.5, Float64: math.Pi, String: "grün", Bytes: []byte{0, 255}, Time: at, Span: time.Minute,
		Flag: true, Level: -3, Count: 9, Ratio: 0.25, Label: "l", Blob: blob("b"), Stamp: stamp(at),
		PString: &s, PInt: &n, PTime: &at, PBytes: &[]byte{1}, PSlice: &[]string{"a"}, PMap: &map[string]int{"a": 1},
		PStruct: &address{Street: "Lane"}, PArray: &[2]int{1, 2}, Struct: address{Street: "Road", Zip: &zip},
		Slice: []string{"b", "a"}, Slices: [][]int{{1}, nil, {}}, Structs: []address{{Street: "x"}}, Nils: []*address{nil, {}},
		Array: [3]int16{1, 2, 3}, Arrays: [2][]string{{"a"}, nil}, Raw: [4]byte{1, 2, 3, 4},
		Tree: &tree{Name: "root", Kids: []*tree{{Name: "leaf"}, nil}}, UUID: id{1, 15: 2}, Addr: netip.MustParseAddr("fe80::1%eth0"),
		Mood: mood{1}, Pair: pair{1, 2}, PMood: &mood{2},
		ByName: map[string]string{"b": "2", "a": "1", "aa": ""}, ByInt: map[int]bool{-1: true, 1: false, 300: true},
		ByUint: map[uint8]string{0: "a", 200: "b"}, ByBool: map[bool]int{true: 1, false: 0},
		ByFloat: map[float64]int{math.Inf(1): 1, -1.5: 2, math.NaN(): 3}, ByTime: map[time.Time]int{at: 1, {}: 2},
		ByRaw: map[[2]byte]int{{1, 2}: 1, {0, 9}: 2}, ByArray: map[[2]int]int{{1, 2}: 3, {-1, 2}: 4},
		ByPoint: map[point]string{{1, 2}: "a", {2, 1}: "b"}, ByAddr: map[netip.Addr]int{netip.MustParseAddr("::1"): 1, {}: 2},
		ByLabel: map[label]address{"x": {Street: "y"}}, ByMood: map[mood]int{{1}: 1, {2}: 2},
		Deep:  map[string]map[int][]map[string]string{"a": {1: {{"x": "y", "y": "x"}, nil}, -1: nil}, "b": nil},
		audit: audit{Created: at, By: "me"},
	}
}

// strictly compares as == does, floats by their bits, nil and empty apart.
var strictly = cmp.Options{
	cmp.AllowUnexported(wide{}, mood{}, pair{}, address{}),
	cmp.Comparer(func(a, b time.Time) bool { return a == b }),
	cmp.Comparer(func(a, b stamp) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }),
	cmp.Comparer(func(a, b ratio) bool { return math.Float32bits(float32(a)) == math.Float32bits(float32(b)) }),
	cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }),
	cmp.Comparer(func(a, b map[float64]int) bool { // NaN is a key that no lookup finds
		return (a == nil) == (b == nil) && len(a) == len(b) && fmt.Sprint(a) == fmt.Sprint(b)
	}),
	cmp.Comparer(func(a, b func()) bool { return (a == nil) == (b == nil) }),
}

// encode returns a record's stored value.
func encode[T any](t testing.TB, table *userdata.Table[T], record *T) []byte {
	t.Helper()
	_, value, err := userdata.Encode(table, record)
	if err != nil {
		t.Fatalf("Encode: got %v, want nil", err)
	}
	return value
}

// reread encodes and decodes a record.
func reread[T any](t testing.TB, table *userdata.Table[T], record *T) *T {
	t.Helper()
	key, value, err := userdata.Encode(table, record)
	if err != nil {
		t.Fatalf("Encode: got %v, want nil", err)
	}
	again, err := userdata.Decode(table, key, value)
	if err != nil {
		t.Fatalf("Decode: got %v, want nil", err)
	}
	return again
}

func TestEveryColumnType(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]*wide{"full": newWide(), "zero": {ID: "k"}} {
		if d := cmp.Diff(w, reread(t, wides, w), strictly); d != "" {
			t.Errorf("%s, read back (-want +got):\n%s", name, d)
		}
		if d := cmp.Diff(w, userdata.Clone(wides, w), strictly); d != "" {
			t.Errorf("%s, clone (-want +got):\n%s", name, d)
		}
	}
}

// What the session compares with must not move with the record.
func TestCloneSharesNothing(t *testing.T) {
	t.Parallel()
	w := newWide()
	c, want := userdata.Clone(wides, w), newWide()
	w.Bytes[0], (*w.PBytes)[0], w.Slice[0], w.Slices[0][0], w.Nils[1].Street, *w.Struct.Zip = 9, 9, "9", 9, "9", "9"
	w.Tree.Kids[0].Name, w.Deep["a"][1][0]["x"], (*w.PMap)["b"], w.ByPoint[point{}], w.Arrays[0][0] = "9", "9", 9, "9", "9"
	*w.PString, *w.PInt, w.PStruct.Street, w.PArray[0], *w.PMood = "9", 9, "9", 9, mood{}
	if d := cmp.Diff(want, c, strictly); d != "" {
		t.Errorf("clone after changes to the record (-want +got):\n%s", d)
	}
}

// Go's maps come in another order each time; the bytes do not.
func TestMapsAreSorted(t *testing.T) {
	t.Parallel()
	want := encode(t, wides, newWide())
	for range 100 {
		if got := encode(t, wides, newWide()); !bytes.Equal(got, want) {
			t.Fatalf("got other bytes:\n%x\nwant\n%x", got, want)
		}
	}
}

// changes has, for each column, a change in place and its undoing.
var changes = []struct {
	column   string
	do, undo func(w *wide)
}{
	{"bool", func(w *wide) { w.Bool = false }, func(w *wide) { w.Bool = true }},
	{"int", func(w *wide) { w.Int++ }, func(w *wide) { w.Int-- }},
	{"int8", func(w *wide) { w.Int8++ }, func(w *wide) { w.Int8-- }},
	{"int16", func(w *wide) { w.Int16++ }, func(w *wide) { w.Int16-- }},
	{"int32", func(w *wide) { w.Int32++ }, func(w *wide) { w.Int32-- }},
	{"int64", func(w *wide) { w.Int64++ }, func(w *wide) { w.Int64-- }},
	{"uint", func(w *wide) { w.Uint++ }, func(w *wide) { w.Uint-- }},
	{"uint8", func(w *wide) { w.Uint8++ }, func(w *wide) { w.Uint8-- }},
	{"uint16", func(w *wide) { w.Uint16++ }, func(w *wide) { w.Uint16-- }},
	{"uint32", func(w *wide) { w.Uint32++ }, func(w *wide) { w.Uint32-- }},
	{"uint64", func(w *wide) { w.Uint64++ }, func(w *wide) { w.Uint64-- }},
	{"float32", func(w *wide) { w.Float32 = -w.Float32 }, func(w *wide) { w.Float32 = -w.Float32 }},
	{"float64", func(w *wide) { w.Float64 = -w.Float64 }, func(w *wide) { w.Float64 = -w.Float64 }},
	{"string", func(w *wide) { w.String = "" }, func(w *wide) { w.String = "grün" }},
	{"bytes", func(w *wide) { w.Bytes[1]++ }, func(w *wide) { w.Bytes[1]-- }},
	{"bytes to nil", func(w *wide) { w.Blob = nil }, func(w *wide) { w.Blob = blob("b") }},
	{"bytes to empty", func(w *wide) { w.Blob = blob{} }, func(w *wide) { w.Blob = blob("b") }},
	{"time", func(w *wide) { w.Time = w.Time.Add(1) }, func(w *wide) { w.Time = w.Time.Add(-1) }},
	{"span", func(w *wide) { w.Span++ }, func(w *wide) { w.Span-- }},
	{"flag", func(w *wide) { w.Flag = false }, func(w *wide) { w.Flag = true }},
	{"level", func(w *wide) { w.Level++ }, func(w *wide) { w.Level-- }},
	{"count", func(w *wide) { w.Count++ }, func(w *wide) { w.Count-- }},
	{"ratio", func(w *wide) { w.Ratio++ }, func(w *wide) { w.Ratio-- }},
	{"label", func(w *wide) { w.Label = "m" }, func(w *wide) { w.Label = "l" }},
	{"stamp", func(w *wide) { w.Stamp = stamp{} }, func(w *wide) { w.Stamp = stamp(w.Time) }},
	{"p_string", func(w *wide) { *w.PString += "s" }, func(w *wide) { *w.PString = "text" }},
	{"p_string to nil", func(w *wide) { w.PString = nil }, func(w *wide) { s := "text"; w.PString = &s }},
	{"p_string to empty", func(w *wide) { *w.PString = "" }, func(w *wide) { *w.PString = "text" }},
	{"p_int", func(w *wide) { *w.PInt++ }, func(w *wide) { *w.PInt-- }},
	{"p_time", func(w *wide) { *w.PTime = time.Time{} }, func(w *wide) { *w.PTime = w.Time }},
	{"p_bytes", func(w *wide) { (*w.PBytes)[0]++ }, func(w *wide) { (*w.PBytes)[0]-- }},
	{"p_slice", func(w *wide) { (*w.PSlice)[0] = "" }, func(w *wide) { (*w.PSlice)[0] = "a" }},
	{"p_map", func(w *wide) { (*w.PMap)["a"]++ }, func(w *wide) { (*w.PMap)["a"]-- }},
	{"p_struct", func(w *wide) { w.PStruct.Street = "" }, func(w *wide) { w.PStruct.Street = "Lane" }},
	{"p_array", func(w *wide) { w.PArray[1]++ }, func(w *wide) { w.PArray[1]-- }},
	{"struct", func(w *wide) { *w.Struct.Zip = "" }, func(w *wide) { *w.Struct.Zip = "8001" }},
	{"slice, swapped", func(w *wide) { w.Slice[0], w.Slice[1] = "a", "b" }, func(w *wide) { w.Slice[0], w.Slice[1] = "b", "a" }},
	{"slice, shorter", func(w *wide) { w.Slice = w.Slice[:1] }, func(w *wide) { w.Slice = w.Slice[:2] }},
	{"slices", func(w *wide) { w.Slices[0][0]++ }, func(w *wide) { w.Slices[0][0]-- }},
	{"slices, nil to empty", func(w *wide) { w.Slices[1] = []int{} }, func(w *wide) { w.Slices[1] = nil }},
	{"structs", func(w *wide) { w.Structs[0].Street = "" }, func(w *wide) { w.Structs[0].Street = "x" }},
	{"nils", func(w *wide) { w.Nils[0] = &address{} }, func(w *wide) { w.Nils[0] = nil }},
	{"array", func(w *wide) { w.Array[2]++ }, func(w *wide) { w.Array[2]-- }},
	{"arrays", func(w *wide) { w.Arrays[1] = []string{} }, func(w *wide) { w.Arrays[1] = nil }},
	{"raw", func(w *wide) { w.Raw[3]++ }, func(w *wide) { w.Raw[3]-- }},
	{"tree", func(w *wide) { w.Tree.Kids[0].Name = "" }, func(w *wide) { w.Tree.Kids[0].Name = "leaf" }},
	{"uuid", func(w *wide) { w.UUID[9]++ }, func(w *wide) { w.UUID[9]-- }},
	{"addr", func(w *wide) { w.Addr = w.Addr.WithZone("") }, func(w *wide) { w.Addr = w.Addr.WithZone("eth0") }},
	{"mood", func(w *wide) { w.Mood.n++ }, func(w *wide) { w.Mood.n-- }},
	{"pair", func(w *wide) { w.Pair.b++ }, func(w *wide) { w.Pair.b-- }},
	{"p_mood", func(w *wide) { w.PMood.n-- }, func(w *wide) { w.PMood.n++ }},
	{"by_name", func(w *wide) { w.ByName["a"] = "" }, func(w *wide) { w.ByName["a"] = "1" }},
	{"by_name, key", func(w *wide) { w.ByName["c"] = "" }, func(w *wide) { delete(w.ByName, "c") }},
	{"by_int", func(w *wide) { w.ByInt[-1] = false }, func(w *wide) { w.ByInt[-1] = true }},
	{"by_uint", func(w *wide) { w.ByUint[0] = "" }, func(w *wide) { w.ByUint[0] = "a" }},
	{"by_bool", func(w *wide) { w.ByBool[false]++ }, func(w *wide) { w.ByBool[false]-- }},
	{"by_float", func(w *wide) { w.ByFloat[-1.5]++ }, func(w *wide) { w.ByFloat[-1.5]-- }},
	{"by_time", func(w *wide) { w.ByTime[w.Time]++ }, func(w *wide) { w.ByTime[w.Time]-- }},
	{"by_raw", func(w *wide) { w.ByRaw[[2]byte{1, 2}]++ }, func(w *wide) { w.ByRaw[[2]byte{1, 2}]-- }},
	{"by_array", func(w *wide) { w.ByArray[[2]int{1, 2}]++ }, func(w *wide) { w.ByArray[[2]int{1, 2}]-- }},
	{"by_point", func(w *wide) { w.ByPoint[point{1, 2}] = "" }, func(w *wide) { w.ByPoint[point{1, 2}] = "a" }},
	{"by_addr", func(w *wide) { w.ByAddr[netip.Addr{}]++ }, func(w *wide) { w.ByAddr[netip.Addr{}]-- }},
	{"by_label", func(w *wide) { w.ByLabel["x"] = address{} }, func(w *wide) { w.ByLabel["x"] = address{Street: "y"} }},
	{"by_mood", func(w *wide) { w.ByMood[mood{1}]++ }, func(w *wide) { w.ByMood[mood{1}]-- }},
	{"deep", func(w *wide) { w.Deep["a"][1][0]["x"] = "z" }, func(w *wide) { w.Deep["a"][1][0]["x"] = "y" }},
	{"deep, nil to empty", func(w *wide) { w.Deep["b"] = map[int][]map[string]string{} }, func(w *wide) { w.Deep["b"] = nil }},
	{"created", func(w *wide) { w.Created = time.Time{} }, func(w *wide) { w.Created = w.Time }},
	{"by", func(w *wide) { w.By = "" }, func(w *wide) { w.By = "me" }},
}

// Bytes are equal if and only if values are: change detection is complete, and
// sees no change that is not there.
func TestEveryChangeShows(t *testing.T) {
	t.Parallel()
	w := newWide()
	want := encode(t, wides, w)
	for _, c := range changes {
		c.do(w)
		if bytes.Equal(encode(t, wides, w), want) {
			t.Errorf("%s: got the same bytes after a change, want others", c.column)
		}
		c.undo(w)
		if !bytes.Equal(encode(t, wides, w), want) {
			t.Errorf("%s: got other bytes after the change was undone, want the same", c.column)
		}
	}
	covered := map[string]bool{"id": true, "blob": true}
	for _, c := range changes {
		name, _, _ := strings.Cut(c.column, " ")
		covered[strings.TrimSuffix(name, ",")] = true
	}
	for _, c := range wides.Columns() {
		if !covered[c.Name] {
			t.Errorf("column %s has no change in this test", c.Name)
		}
	}
	w.Note() // what is not a column is no change
	if !bytes.Equal(encode(t, wides, w), want) {
		t.Error("got other bytes after fields that are no columns changed, want the same")
	}
}

// Note changes fields that are no columns.
func (w *wide) Note() { w.Struct.Note, w.Struct.hidden, w.unseen, w.Left = "x", 1, 1i, func() {} }

// A single has one column besides its key.
type single[V any] struct {
	ID    string `userdata:"id,key"`
	Value V      `userdata:"value"`
}

// survives checks that values are read back as they were written.
func survives[V any](t *testing.T, opts cmp.Option, values ...V) {
	t.Helper()
	table := userdata.NewTable[single[V]]("t")
	for _, v := range values {
		got := reread(t, table, &single[V]{"k", v})
		if d := cmp.Diff(v, got.Value, opts); d != "" {
			t.Errorf("%T read back (-want +got):\n%s", v, d)
		}
		e := userdata.Clone(table, &single[V]{"k", v})
		if d := cmp.Diff(v, e.Value, opts); d != "" {
			t.Errorf("%T cloned (-want +got):\n%s", v, d)
		}
	}
}

func TestEdges(t *testing.T) {
	t.Parallel()
	survives(t, strictly, "", "\x00", "é\U0010FFFF", strings.Repeat("x", 31), strings.Repeat("x", 32), strings.Repeat("x", 70000))
	survives(t, strictly, nil, []byte{}, []byte{0}, make([]byte, 256), make([]byte, 70000))
	survives(t, strictly, nil, []string{}, []string{""}, make([]string, 16), make([]string, 70000))
	survives(t, strictly, nil, map[string]int{}, map[string]int{"": 0})
	survives(t, strictly, int64(0), 1, -1, 127, 128, -32, -33, -128, -129, 255, 256, 65535, 65536, -32768, -32769,
		1<<31-1, 1<<31, 1<<32-1, 1<<32, -1<<31, -1<<31-1, math.MaxInt64, math.MinInt64)
	survives(t, strictly, uint64(0), 127, 128, 255, 256, 65535, 65536, 1<<32-1, 1<<32, math.MaxUint64)
	survives(t, strictly, int8(127), -128)
	survives(t, strictly, 0.0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.NaN(), math.MaxFloat64, math.SmallestNonzeroFloat64, 1<<53)
	survives(t, strictly, float32(0), float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.NaN()), math.MaxFloat32)
	survives(t, cmp.Comparer(func(a, b big.Int) bool { return a.Cmp(&b) == 0 }), *big.NewInt(0), *big.NewInt(-5), *new(big.Int).Lsh(big.NewInt(1), 300))
	survives(t, strictly, netip.Addr{}, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::ffff:127.0.0.1"))
	survives(t, strictly, struct{ N []map[string][]byte }{[]map[string][]byte{nil, {}, {"a": nil, "b": {}}}})
}

// All NaN are one value, and so are all pointers to nil slices and empty ones.
func TestOneEncoding(t *testing.T) {
	t.Parallel()
	floats, floats32 := userdata.NewTable[single[float64]]("t"), userdata.NewTable[single[float32]]("t")
	odd := math.Float64frombits(math.Float64bits(math.NaN()) ^ 1<<63 ^ 1<<7)
	if !bytes.Equal(encode(t, floats, &single[float64]{"k", odd}), encode(t, floats, &single[float64]{"k", math.NaN()})) {
		t.Error("float64: got two encodings of NaN, want one")
	}
	odd32 := math.Float32frombits(math.Float32bits(float32(math.NaN())) ^ 1<<31 ^ 1)
	if !bytes.Equal(encode(t, floats32, &single[float32]{"k", odd32}), encode(t, floats32, &single[float32]{"k", float32(math.NaN())})) {
		t.Error("float32: got two encodings of NaN, want one")
	}
	nilInside(t, []string{})
	nilInside(t, []byte{})
	nilInside(t, map[string]int{})
	nilInside(t, blob{})
}

// nilInside checks that a pointer to nil is read back as a pointer to empty.
func nilInside[V any](t *testing.T, empty V) {
	t.Helper()
	got := reread(t, userdata.NewTable[single[*V]]("t"), &single[*V]{"k", new(V)})
	if got.Value == nil || !reflect.DeepEqual(*got.Value, empty) {
		t.Errorf("pointer to nil %T: got %#v, want a pointer to an empty one", empty, got.Value)
	}
}

// at returns a time of UTC.
func at(year int, month time.Month, day, hour, minute, second, nano int) time.Time {
	return time.Date(year, month, day, hour, minute, second, nano, time.UTC)
}

func TestTimes(t *testing.T) {
	t.Parallel()
	survives(t, strictly, time.Time{}, at(1, 1, 1, 0, 0, 0, 1), at(1969, 12, 31, 23, 59, 59, 999999999), at(1970, 1, 1, 0, 0, 0, 0),
		at(1970, 1, 1, 0, 0, 0, 1), at(2026, 10, 12, 19, 58, 0, 123456789), at(2106, 2, 7, 6, 28, 16, 0), at(2514, 5, 30, 1, 53, 4, 7),
		at(1582, 10, 4, 0, 0, 0, 0), at(9999, 12, 31, 23, 59, 59, 999999999))

	table := userdata.NewTable[single[time.Time]]("t")
	zone := time.FixedZone("X", 5*3600)
	for _, test := range []struct {
		name     string
		in, want time.Time
	}{
		{"of a zone", time.Date(2026, 1, 1, 2, 0, 0, 1, zone), at(2025, 12, 31, 21, 0, 0, 1)},
		{"of this zone", at(2026, 1, 1, 0, 0, 0, 0).Local(), at(2026, 1, 1, 0, 0, 0, 0)},
		{"zero, elsewhere", time.Time{}.In(zone), time.Time{}},
		{"year 10000 of a zone, 9999 of UTC", time.Date(10000, 1, 1, 4, 0, 0, 0, zone), at(9999, 12, 31, 23, 0, 0, 0)},
	} {
		if got := reread(t, table, &single[time.Time]{"k", test.in}).Value; got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
	now := time.Now() // with a monotonic clock
	if !bytes.Equal(encode(t, table, &single[time.Time]{"k", now}), encode(t, table, &single[time.Time]{"k", now.Round(0).UTC()})) {
		t.Error("one instant got two encodings, want one")
	}
}

// unhex returns the bytes that s spells, blanks aside.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
