package userdata_test

import (
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

// faultOf encodes a record and returns the column at fault.
func faultOf[V any](v V) (column string, err error) {
	_, _, err = userdata.Encode(userdata.NewTable[single[V]]("t"), &single[V]{"k", v})
	var re *userdata.RecordError
	if errors.As(err, &re) {
		column = re.Table + "." + re.Column
	}
	return column, err
}

type ring struct {
	Next *ring
	All  []ring
	By   map[string]*ring
}

type list []list

type fields map[string]fields

func TestWhatCannotBeStored(t *testing.T) {
	t.Parallel()
	bad := "a\xffb"
	cycle, inSlice, inMap := &ring{}, &ring{All: make([]ring, 1)}, &ring{By: map[string]*ring{}}
	cycle.Next, inSlice.All[0].Next, inMap.By["x"] = cycle, inSlice, inMap
	self := list{nil, nil}
	self[0], self[1] = self, self
	selfMap := fields{}
	selfMap["a"] = selfMap
	for _, test := range []struct {
		name  string
		fault func() (string, error)
		cause error
	}{
		{"string that is not UTF-8", func() (string, error) { return faultOf(bad) }, nil},
		{"named string", func() (string, error) { return faultOf(label(bad)) }, nil},
		{"string behind a pointer", func() (string, error) { return faultOf(&bad) }, nil},
		{"string in a struct", func() (string, error) { return faultOf(address{Street: bad}) }, nil},
		{"string in a slice in a map", func() (string, error) { return faultOf(map[int][]string{1: {"", bad}}) }, nil},
		{"key of a map", func() (string, error) { return faultOf(map[string]int{bad: 1}) }, nil},
		{"key of a map in a map", func() (string, error) { return faultOf(map[int]map[label]int{1: {label(bad): 1}}) }, nil},
		{"text of a marshaler", func() (string, error) { return faultOf(badText{}) }, nil},
		{"time before year 1", func() (string, error) { return faultOf(time.Time{}.Add(-1)) }, nil},
		{"time after year 9999", func() (string, error) { return faultOf(at(10000, 1, 1, 0, 0, 0, 0)) }, nil},
		{"time in a slice", func() (string, error) { return faultOf([]time.Time{at(10000, 1, 1, 0, 0, 0, 0)}) }, nil},
		{"keys of one instant", func() (string, error) {
			return faultOf(map[time.Time]int{at(2000, 1, 1, 0, 0, 0, 0): 1, at(2000, 1, 1, 0, 0, 0, 0).In(time.FixedZone("X", 60)): 2})
		}, nil},
		{"keys of two NaN", func() (string, error) { return faultOf(map[float64]int{math.NaN(): 1, math.NaN(): 2}) }, nil},
		{"keys that differ in what is not stored", func() (string, error) { return faultOf(map[ticket]int{{1, 1}: 1, {1, 2}: 2}) }, nil},
		{"marshaler of text that fails", func() (string, error) { return faultOf(mood{9}) }, errNoMood},
		{"marshaler of bytes that fails", func() (string, error) { return faultOf(pair{255, 255}) }, errNoPair},
		{"marshaler in a key", func() (string, error) { return faultOf(map[mood]int{{9}: 1}) }, errNoMood},
		{"cycle of pointers", func() (string, error) { return faultOf(cycle) }, nil},
		{"cycle through a slice", func() (string, error) { return faultOf(inSlice) }, nil},
		{"cycle through a map", func() (string, error) { return faultOf(inMap) }, nil},
		{"slice that holds itself twice", func() (string, error) { return faultOf(self) }, nil},
		{"map that holds itself", func() (string, error) { return faultOf(selfMap) }, nil},
	} {
		column, err := test.fault()
		if !errors.Is(err, userdata.ErrInvalid) || column != "t.value" {
			t.Errorf("%s: got %v about %q, want ErrInvalid about t.value", test.name, err, column)
		}
		if test.cause != nil && !errors.Is(err, test.cause) {
			t.Errorf("%s: got %v, want %v in its chain", test.name, err, test.cause)
		}
	}
	// A copy of a cycle is needed before anybody finds out that it is one.
	userdata.Clone(userdata.NewTable[single[*ring]]("t"), &single[*ring]{"k", cycle})
	userdata.Clone(userdata.NewTable[single[list]]("t"), &single[list]{"k", self})
	userdata.Clone(userdata.NewTable[single[fields]]("t"), &single[fields]{"k", selfMap})
	if got := userdata.Clone(userdata.NewTable[single[mood]]("t"), &single[mood]{"k", mood{9}}); got.Value.n != 9 {
		t.Errorf("clone of what has no encoding: got %v, want 9", got.Value.n)
	}
}

type badText struct{}

func (badText) MarshalText() ([]byte, error)  { return []byte("\xff"), nil }
func (*badText) UnmarshalText(b []byte) error { return nil }

type ticket struct {
	N    int
	Left int `userdata:"-"`
}

// nested returns a list of lists, n deep.
func nested(n int) list {
	l := list{}
	for range n - 1 {
		l = list{l}
	}
	return l
}

// A chain ends in a pointer to a nil slice, which is stored as an empty one, or
// map, and so is one deeper than it looks.
type chain struct {
	Next  *chain
	Slice *[]string
	Map   *map[string]int
	Bytes *[]byte
}

func newChain(n int, end chain) *chain {
	c := &end
	for range n - 1 {
		c = &chain{Next: c}
	}
	return c
}

// What is written can be read: both sides know the same limit.
func TestDepth(t *testing.T) {
	t.Parallel()
	same := cmp.Options{ // cmp by itself compares each level more than once
		cmp.Comparer(func(a, b list) bool { return reflect.DeepEqual(a, b) }),
		cmp.Comparer(func(a, b *chain) bool { return reflect.DeepEqual(a, b) }),
	}
	survives(t, same, nested(userdata.MaxDepth))
	if column, err := faultOf(nested(userdata.MaxDepth + 1)); !errors.Is(err, userdata.ErrInvalid) || column != "t.value" {
		t.Errorf("list too deep: got %v, want ErrInvalid", err)
	}
	survives(t, same, newChain(userdata.MaxDepth, chain{Bytes: &[]byte{}}))
	survives(t, same, newChain(userdata.MaxDepth-1, chain{Slice: &[]string{}, Map: &map[string]int{}}))
	for _, end := range []chain{{Slice: &[]string{}}, {Slice: new([]string)}, {Map: new(map[string]int)}, {Next: &chain{}}} {
		if column, err := faultOf(newChain(userdata.MaxDepth, end)); !errors.Is(err, userdata.ErrInvalid) || column != "t.value" {
			t.Errorf("chain too deep: got %v, want ErrInvalid", err)
		}
	}
	deep := userdata.NewTable[single[list]]("t")
	value := userdata.Seal("t", []byte("k"), unhex(t, "82 a26964 a16b a576616c7565"+strings.Repeat("91", userdata.MaxDepth)+"90"))
	wantCorrupt(t, deep, "k", value, "value")
}

// A source hands out bytes, zeros when it is empty.
type source struct{ b []byte }

func (s *source) next(n int) []byte {
	out := make([]byte, n)
	s.b = s.b[copy(out, s.b):]
	return out
}

func (s *source) byte() byte     { return s.next(1)[0] }
func (s *source) uint64() uint64 { return binary.BigEndian.Uint64(s.next(8)) >> (s.byte() % 64) }
func (s *source) bytes() []byte  { return s.next(int(s.byte()) % 40) }
func (s *source) nano() int      { return int(binary.BigEndian.Uint32(s.next(4)) % 1e9) }

// float32 returns any but the unusual NaN.
func (s *source) float32() float32 {
	f := math.Float32frombits(binary.BigEndian.Uint32(s.next(4)))
	if f != f {
		return float32(math.NaN())
	}
	return f
}

func (s *source) float64() float64 {
	f := math.Float64frombits(binary.BigEndian.Uint64(s.next(8)))
	if f != f {
		return math.NaN()
	}
	return f
}

func (s *source) time() time.Time {
	return at(1, 1, 1+int(binary.BigEndian.Uint32(s.next(4))%3652059), 0, 0, int(binary.BigEndian.Uint32(s.next(4))%86400), s.nano())
}

// fill sets v, of any mapped type, from the bytes of a source.
func fill(v reflect.Value, src *source, depth int) {
	switch v.Type() {
	case reflect.TypeFor[time.Time](), reflect.TypeFor[stamp]():
		v.Set(reflect.ValueOf(src.time()).Convert(v.Type()))
		return
	case reflect.TypeFor[mood]():
		v.Set(reflect.ValueOf(mood{int(src.byte()) % len(moods)}))
		return
	case reflect.TypeFor[pair]():
		v.Set(reflect.ValueOf(pair{src.byte() % 255, src.byte()}))
		return
	case reflect.TypeFor[netip.Addr]():
		addr, _ := netip.AddrFromSlice(src.bytes()) // of 4 or 16 bytes, or zero
		v.Set(reflect.ValueOf(addr))
		return
	}
	switch k := v.Kind(); {
	case k == reflect.Bool:
		v.SetBool(src.byte()&1 == 1)
	case v.CanInt():
		v.SetInt(int64(src.uint64()))
	case v.CanUint():
		v.SetUint(src.uint64())
	case k == reflect.Float32:
		v.SetFloat(float64(src.float32()))
	case k == reflect.Float64:
		v.SetFloat(src.float64())
	case k == reflect.String:
		v.SetString(strings.ToValidUTF8(string(src.bytes()), "\uFFFD"))
	case k == reflect.Pointer:
		if src.byte()&1 == 1 && depth < 6 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), src, depth+1)
			if e := v.Elem(); (e.Kind() == reflect.Slice || e.Kind() == reflect.Map) && e.IsNil() {
				v.SetZero() // it would be read back as empty
			}
		}
	case k == reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), src, depth+1)
		}
	case k == reflect.Slice:
		if n := int(src.byte()) % 5; n > 0 && depth < 6 {
			v.Set(reflect.MakeSlice(v.Type(), n-1, n-1))
			for i := range n - 1 {
				fill(v.Index(i), src, depth+1)
			}
		}
	case k == reflect.Map:
		if n := int(src.byte()) % 5; n > 0 {
			v.Set(reflect.MakeMap(v.Type()))
			for range n - 1 {
				key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
				fill(key, src, depth+1)
				fill(value, src, depth+1)
				v.SetMapIndex(key, value)
			}
		}
	case k == reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.Tag.Get("userdata") != "-" && (f.IsExported() || f.Anonymous) {
				fill(v.Field(i), src, depth+1)
			}
		}
	}
}
