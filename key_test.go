package userdata_test

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-5df914be/userdata"
)

// A keyed has a key of any type.
type keyed[K any] struct {
	ID K `userdata:"id,key"`
}

// ordered checks keys of one type: bytes sort as the values do, are equal only
// if the values are, and decode to the value.
func ordered[K any](t *testing.T, gen *rapid.Generator[K], compare func(a, b K) int) {
	t.Helper()
	table := userdata.NewTable[keyed[K]]("t")
	name := strings.ReplaceAll(reflect.TypeFor[K]().String(), "userdata_test.", "")
	t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
		var keys [2][]byte
		values := [2]K{gen.Draw(t, "a"), gen.Draw(t, "b")}
		for i, v := range values {
			key, value, err := userdata.Encode(table, &keyed[K]{v})
			if err != nil {
				t.Fatalf("%v: got %v, want nil", v, err)
			}
			keys[i] = key
			if got, ok := userdata.DecodeKey(table, key).(K); !ok || compare(got, v) != 0 {
				t.Errorf("%v: got %v back", v, got)
			}
			if got, err := userdata.EncodeKey(table, v); err != nil || !bytes.Equal(got, key) {
				t.Errorf("%v, as a caller gives it: got %x, %v, want %x", v, got, err, key)
			}
			if got, err := userdata.Decode(table, key, value); err != nil || compare(got.ID, v) != 0 {
				t.Errorf("%v: got record %v, %v", v, got, err)
			}
		}
		if got, want := bytes.Compare(keys[0], keys[1]), compare(values[0], values[1]); got != want {
			t.Errorf("%v and %v: got order %d of their bytes, want %d", values[0], values[1], got, want)
		}
	}))
}

type (
	number int32
	serial uint64
	code   [3]byte
	word   string
	day    time.Time
)

func TestKeyOrder(t *testing.T) {
	t.Parallel()
	ordered(t, rapid.StringN(1, 8, -1), cmp.Compare[string])
	ordered(t, rapid.SampledFrom([]string{"a", "a__b", "a\x00", "a\x00b", "b", "é", "\x00"}), cmp.Compare[string])
	ordered(t, rapid.Map(rapid.StringN(1, 3, -1), func(s string) word { return word(s) }), cmp.Compare[word])
	ordered(t, rapid.SliceOfN(rapid.Byte(), 1, 4), bytes.Compare)
	ordered(t, rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, 4), func(b []byte) blob { return b }), func(a, b blob) int { return bytes.Compare(a, b) })
	ordered(t, rapid.Int(), cmp.Compare[int])
	ordered(t, rapid.Int8(), cmp.Compare[int8])
	ordered(t, rapid.Int16(), cmp.Compare[int16])
	ordered(t, rapid.Int32(), cmp.Compare[int32])
	ordered(t, rapid.Int64(), cmp.Compare[int64])
	ordered(t, rapid.Uint(), cmp.Compare[uint])
	ordered(t, rapid.Uint8(), cmp.Compare[uint8])
	ordered(t, rapid.Uint16(), cmp.Compare[uint16])
	ordered(t, rapid.Uint32(), cmp.Compare[uint32])
	ordered(t, rapid.Uint64(), cmp.Compare[uint64])
	ordered(t, rapid.Map(rapid.Int32(), func(n int32) number { return number(n) }), cmp.Compare[number])
	ordered(t, rapid.Map(rapid.Uint64(), func(n uint64) serial { return serial(n) }), cmp.Compare[serial])
	ordered(t, rapid.Map(rapid.Int64(), func(n int64) time.Duration { return time.Duration(n) }), cmp.Compare[time.Duration])
	ordered(t, rapid.Map(rapid.Uint32Max(1<<24-1), func(n uint32) code { return code{byte(n >> 16), byte(n >> 8), byte(n)} }),
		func(a, b code) int { return bytes.Compare(a[:], b[:]) })
	ordered(t, rapid.Map(rapid.Byte(), func(n byte) id { return id{3: n} }), func(a, b id) int { return bytes.Compare(a[:], b[:]) })
	times := rapid.Custom(func(t *rapid.T) time.Time {
		day, second := rapid.IntRange(1, 3652059).Draw(t, "day"), rapid.IntRange(0, 86399).Draw(t, "second")
		return at(1, 1, day, 0, 0, second, rapid.IntRange(0, 999999999).Draw(t, "nano"))
	})
	ordered(t, times, time.Time.Compare)
	ordered(t, rapid.Map(times, func(t time.Time) day { return day(t) }), func(a, b day) int { return time.Time(a).Compare(time.Time(b)) })
}

func goldenKey[K any](k K) func() ([]byte, error) {
	return func() ([]byte, error) {
		key, _, err := userdata.Encode(userdata.NewTable[keyed[K]]("t"), &keyed[K]{k})
		return key, err
	}
}

func TestGoldenKeys(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		in   func() ([]byte, error)
		want string
	}{
		{"string", goldenKey("aé\x00"), "61c3a900"},
		{"bytes", goldenKey([]byte{0, 255}), "00ff"},
		{"byte array", goldenKey([3]byte{1, 2, 0}), "010200"},
		{"int 0", goldenKey(0), "8000000000000000"},
		{"int -1", goldenKey(-1), "7fffffffffffffff"},
		{"int8", goldenKey(int8(-128)), "7fffffffffffff80"},
		{"int beyond 1<<31", goldenKey(int64(1<<31 + 5)), "8000000080000005"},
		{"least int", goldenKey(int64(math.MinInt64)), "0000000000000000"},
		{"greatest int", goldenKey(int64(math.MaxInt64)), "ffffffffffffffff"},
		{"uint", goldenKey(uint16(258)), "0000000000000102"},
		{"greatest uint", goldenKey(uint64(math.MaxUint64)), "ffffffffffffffff"},
		{"time of 1970", goldenKey(at(1970, 1, 1, 0, 0, 0, 1)), "8000000000000000 00000001"},
		{"time before 1970", goldenKey(at(1969, 12, 31, 23, 59, 59, 999999999)), "7fffffffffffffff 3b9ac9ff"},
		{"zero time", goldenKey(time.Time{}), "7ffffff1886e0900 00000000"},
		{"time of a zone", goldenKey(time.Date(1970, 1, 1, 1, 0, 0, 0, time.FixedZone("X", 3600))), "8000000000000000 00000000"},
	} {
		if got, err := test.in(); err != nil || !bytes.Equal(got, unhex(t, test.want)) {
			t.Errorf("%s: got %x, %v, want %s", test.name, got, err, test.want)
		}
	}
}

// keyFault encodes a record whose key is at fault.
func keyFault[K any](k K) func() error {
	return func() error {
		_, _, err := userdata.Encode(userdata.NewTable[keyed[K]]("t"), &keyed[K]{k})
		return err
	}
}

func TestKeysThatCannotBe(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("k", userdata.MaxKeySize+1)
	for _, test := range []struct {
		name  string
		fault func() error
		want  error
	}{
		{"empty string", keyFault(""), userdata.ErrInvalid},
		{"empty bytes", keyFault([]byte{}), userdata.ErrInvalid},
		{"nil bytes", keyFault([]byte(nil)), userdata.ErrInvalid},
		{"not UTF-8", keyFault("\xff"), userdata.ErrInvalid},
		{"time out of range", keyFault(time.Time{}.Add(-1)), userdata.ErrInvalid},
		{"huge string", keyFault(huge), userdata.ErrTooLarge},
		{"huge bytes", keyFault([]byte(huge)), userdata.ErrTooLarge},
		{"huge array", keyFault([userdata.MaxKeySize + 1]byte{}), userdata.ErrTooLarge},
		{"the largest key", keyFault(huge[1:]), nil},
	} {
		err := test.fault()
		if !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
		var re *userdata.RecordError
		if test.want != nil && (!errors.As(err, &re) || re.Table != "t" || re.Column != "id") {
			t.Errorf("%s: got %v, want a RecordError about t, id", test.name, err)
		}
	}
}

// Bytes that are not a key's stand for themselves in messages.
func TestWrongKeyBytes(t *testing.T) {
	t.Parallel()
	wrongKey[int](t, "80000000000000")
	wrongKey[int8](t, "8000000000000080")
	wrongKey[uint](t, "80")
	wrongKey[uint8](t, "0000000000000100")
	wrongKey[code](t, "0102")
	wrongKey[time.Time](t, "8000000000000000")
	wrongKey[time.Time](t, "8000000000000000 3b9aca00")
	wrongKey[time.Time](t, "ffffffffffffffff 00000000")
}

func wrongKey[K any](t *testing.T, in string) {
	t.Helper()
	table, key := userdata.NewTable[keyed[K]]("t"), unhex(t, in)
	if got, ok := userdata.DecodeKey(table, key).([]byte); !ok || !bytes.Equal(got, key) {
		t.Errorf("%T of %x: got %v, want the bytes", *new(K), key, got)
	}
	_, err := userdata.Decode(table, key, userdata.Seal("t", key, unhex(t, "81 a26964 00")))
	if want := hex.EncodeToString(key); !errors.Is(err, userdata.ErrCorrupt) || !strings.Contains(err.Error(), want) {
		t.Errorf("%T: got %v, want ErrCorrupt of key %s", *new(K), err, want)
	}
}

// What a caller hands in as a key need not be of the very type.
func TestKeysOfCallers(t *testing.T) {
	t.Parallel()
	numbers, serials := userdata.NewTable[keyed[number]]("t"), userdata.NewTable[keyed[uint8]]("t")
	words, codes, days := userdata.NewTable[keyed[word]]("t"), userdata.NewTable[keyed[code]]("t"), userdata.NewTable[keyed[day]]("t")
	for _, test := range []struct {
		name string
		in   func() ([]byte, error)
		want string
		err  error
	}{
		{"int for a named int32", func() ([]byte, error) { return userdata.EncodeKey(numbers, -1) }, "7fffffffffffffff", nil},
		{"int64 out of range", func() ([]byte, error) { return userdata.EncodeKey(numbers, int64(1<<31)) }, "", userdata.ErrInvalid},
		{"uint for an int", func() ([]byte, error) { return userdata.EncodeKey(numbers, uint(1)) }, "", userdata.ErrInvalid},
		{"uint for a uint8", func() ([]byte, error) { return userdata.EncodeKey(serials, uint(255)) }, "00000000000000ff", nil},
		{"uint out of range", func() ([]byte, error) { return userdata.EncodeKey(serials, uint(256)) }, "", userdata.ErrInvalid},
		{"string for a named string", func() ([]byte, error) { return userdata.EncodeKey(words, "a") }, "61", nil},
		{"bytes for a string", func() ([]byte, error) { return userdata.EncodeKey(words, []byte("a")) }, "", userdata.ErrInvalid},
		{"int for a string", func() ([]byte, error) { return userdata.EncodeKey(words, 65) }, "", userdata.ErrInvalid},
		{"nil", func() ([]byte, error) { return userdata.EncodeKey(words, nil) }, "", userdata.ErrInvalid},
		{"empty string, which no record has", func() ([]byte, error) { return userdata.EncodeKey(words, "") }, "", nil},
		{"huge string, which no record has", func() ([]byte, error) {
			return userdata.EncodeKey(words, strings.Repeat("k", userdata.MaxKeySize+1))
		}, "", nil},
		{"array for a named array", func() ([]byte, error) { return userdata.EncodeKey(codes, [3]byte{1, 2, 3}) }, "010203", nil},
		{"array of another length", func() ([]byte, error) { return userdata.EncodeKey(codes, [2]byte{1, 2}) }, "", userdata.ErrInvalid},
		{"time for a named time", func() ([]byte, error) { return userdata.EncodeKey(days, at(1970, 1, 1, 0, 0, 0, 0)) }, "8000000000000000 00000000", nil},
		{"another struct", func() ([]byte, error) { return userdata.EncodeKey(days, point{}) }, "", userdata.ErrInvalid},
	} {
		got, err := test.in()
		if !errors.Is(err, test.err) || !bytes.Equal(got, unhex(t, test.want)) {
			t.Errorf("%s: got %x, %v, want %s, %v", test.name, got, err, test.want, test.err)
		}
	}
}

// Keys are shown so that a person knows them again.
func TestKeysInMessages(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		key  any
		want string
	}{
		{"a\"b", `"a\"b"`},
		{word("w"), `"w"`},
		{-5, "-5"},
		{serial(5), "5"},
		{[]byte{1, 255}, "01ff"},
		{blob{1}, "01"},
		{id{15: 1}, strings.Repeat("00", 15) + "01"}, // not what its String says
		{at(2026, 10, 12, 19, 58, 0, 5), "2026-10-12T19:58:00.000000005Z"},
		{day(at(2026, 10, 12, 0, 0, 0, 0)), "2026-10-12T00:00:00Z"},
		{point{1, 2}, "{1 2}"},
	} {
		err := &userdata.RecordError{Op: "get", Table: "t", Key: test.key, Err: userdata.ErrNotFound}
		if got, want := err.Error(), "userdata: get t "+test.want+": not found"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
