package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

// A stamp makes itself from text, a blob from bytes.
type (
	stamp string
	blob  struct{ n byte }
)

func (s stamp) MarshalText() ([]byte, error)      { return []byte(s), nil }
func (s *stamp) UnmarshalText(b []byte) error     { *s = stamp(b); return nil }
func (b blob) MarshalBinary() ([]byte, error)     { return []byte{b.n}, nil }
func (b *blob) UnmarshalBinary(data []byte) error { b.n = data[0]; return nil }

// A tree has itself inside.
type tree struct {
	Name string  `userdata:"name"`
	Kids []*tree `userdata:"kids"`
}

// A sample has a column of every type.
type sample struct {
	ID    int64         `userdata:"id,key"`
	B     bool          `userdata:"b"`
	I8    int8          `userdata:"i8"`
	U64   uint64        `userdata:"u64"`
	F32   float32       `userdata:"f32"`
	F64   float64       `userdata:"f64"`
	S     string        `userdata:"s"`
	PS    *string       `userdata:"ps"`
	T     time.Time     `userdata:"t"`
	PT    *time.Time    `userdata:"pt"`
	Lasts time.Duration `userdata:"lasts"`
	Y     []byte        `userdata:"y"`
	Hash  [4]byte       `userdata:"hash"`
	Stamp stamp         `userdata:"stamp"`
	Blob  blob          `userdata:"blob"`
	Tags  []string      `userdata:"tags"`
	Grid  [2][]int      `userdata:"grid"`
	Times []*time.Time  `userdata:"times"`
	Place struct {
		X    int     `userdata:"x"`
		Name *string `userdata:"name"`
	} `userdata:"place"`
	Words  map[string]int        `userdata:"words"`
	Counts map[int8]*bool        `userdata:"counts"`
	Flags  map[bool]string       `userdata:"flags"`
	Days   map[time.Time]float64 `userdata:"days"`
	Marks  map[stamp]int         `userdata:"marks"`
	Pairs  map[[2]int]string     `userdata:"pairs"`
	Tree   *tree                 `userdata:"tree"`
}

var samples = userdata.NewTable[sample]("samples")

// sampleFile returns the path of a file with records of every type and edge.
func sampleFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "samples.db")
	if err := makeSamples(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// makeSamples makes the file.
func makeSamples(path string) error {
	db, err := userdata.Open(path, nil, samples, userdata.UserdataTable, notes)
	if err != nil {
		return err
	}
	at := time.Date(2026, 10, 12, 19, 58, 0, 123456789, time.UTC)
	text, yes := "ü \x1b[31m \"\\ \u2028 \U0001f600 漢字\n\t\x00", true
	full := &sample{
		ID: 1, B: true, I8: -128, U64: math.MaxUint64, F32: 0.1, F64: 1e300, S: text, PS: &text, T: at, PT: &at, Lasts: time.Second,
		Y: []byte{0, 255}, Hash: [4]byte{1, 2}, Stamp: "s", Blob: blob{7}, Tags: []string{"", "b"}, Grid: [2][]int{nil, {1}}, Times: []*time.Time{nil, &at},
		Words: map[string]int{"b": 1, "": 2}, Counts: map[int8]*bool{-1: &yes, 10: nil}, Flags: map[bool]string{true: "t"},
		Days: map[time.Time]float64{at: 1.5}, Marks: map[stamp]int{"m": 1}, Pairs: map[[2]int]string{{1, 2}: "p"},
		Tree: &tree{Name: "root", Kids: []*tree{{Name: "kid"}}},
	}
	full.Place.X, full.Place.Name = 5, &text
	edges := &sample{ID: math.MinInt64, F32: float32(math.Inf(-1)), F64: math.NaN(), Y: []byte{}, Tags: []string{}, Words: map[string]int{}, Days: map[time.Time]float64{}, Blob: blob{0}}
	zero := &sample{ID: 3, F64: math.Copysign(0, -1)}
	err = db.Transact(context.Background(), func(s *userdata.Session) error {
		return s.Add(full, edges, zero,
			&userdata.Userdata{UserID: "Brad", UserData: "Brad's data", TimeStamp: at},
			&userdata.Userdata{UserID: "Larry", UserData: "Larry's\ndata", TimeStamp: at.Add(time.Hour)},
			&note{ID: 1, Title: "Milk", Due: &at, Tags: []string{"home", "shop"}, Stars: 3, Price: ptr(float32(0.1))},
			&note{ID: 2, Title: "漢字かな", Tags: []string{"work"}, Stars: 1},
			&note{ID: 10, Title: "Bread \x1b[31mred", Tags: nil, Stars: 5, Price: ptr(float32(2.5)), Done: true},
		)
	})
	return errors.Join(err, db.Close())
}

// A note has columns with indexes.
type note struct {
	ID    uint16     `userdata:"id,key"`
	Title string     `userdata:"title,size=40,index"`
	Due   *time.Time `userdata:"due,index"`
	Tags  []string   `userdata:"tags,index"`
	Stars int8       `userdata:"stars"`
	Price *float32   `userdata:"price"`
	Done  bool       `userdata:"done"`
}

var notes = userdata.NewTable[note]("notes")

func ptr[V any](v V) *V { return &v }

// A value goes to JSON and back, whatever its type is.
func TestRowJSON(t *testing.T) {
	t.Parallel()
	db, err := userdata.OpenFile(sampleFile(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	table, err := db.Rows("samples")
	if err != nil {
		t.Fatal(err)
	}
	reader := newColumnTypes(table)
	for row, err := range table.All(t.Context(), db.NewSession(), nil, -1) {
		if err != nil {
			t.Fatal(err)
		}
		text, err := appendRowJSON(nil, row)
		if err != nil {
			t.Fatal(err)
		}
		var columns map[string]json.RawMessage
		if err := json.Unmarshal(text, &columns); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if bytes.ContainsAny(text, "\x1b\x00") || bytes.ContainsRune(text, '\u2028') {
			t.Errorf("got %q, want no control characters", text)
		}
		back := table.New()
		for _, c := range table.Columns() {
			err := reader.set(back, c.Name, columns[c.Name])
			if c.Name == "tree" {
				if err == nil {
					t.Error("a tree was set, whose type can't be made")
				}
				continue
			}
			if err != nil {
				t.Errorf("%s = %s: %v", c.Name, columns[c.Name], err)
			}
			want, _ := row.Get(c.Name)
			got, _ := back.Get(c.Name)
			if d := cmp.Diff(want, got, cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })); d != "" {
				t.Errorf("%s = %s (-want +got):\n%s", c.Name, columns[c.Name], d)
			}
		}
	}
}

// What is no value of a column is refused, in words.
func TestRowJSONErrors(t *testing.T) {
	t.Parallel()
	db, err := userdata.OpenFile(sampleFile(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	table, err := db.Rows("samples")
	if err != nil {
		t.Fatal(err)
	}
	reader := newColumnTypes(table)
	for _, tt := range []struct{ column, text, want string }{
		{"idd", `1`, `there is no column "idd": did you mean id?`},
		{"id", `1.5`, "1.5 is no int64"},
		{"id", `"1"`, `"1" is not a number`},
		{"id", `99999999999999999999`, "out of range"},
		{"id", `1 2`, "something follows the value"},
		{"id", ``, "unexpected EOF"},
		{"b", `1`, "1 is not true or false"},
		{"i8", `128`, "out of range"},
		{"f32", `1e300`, "out of range"},
		{"s", `1`, "1 is not a string"},
		{"s", `null`, "null is no value"},
		{"t", `"2026-10-12"`, "write it as in 2026-10-12T19:58:00Z"},
		{"t", `"2026-10-12T24:58:00Z"`, "is no time"},
		{"y", `"###"`, "is not base64"},
		{"hash", `"AQ=="`, "1 bytes"},
		{"tags", `"a"`, `"a" is not an array`},
		{"tags", `["a", 1]`, "element 2: 1 is not a string"},
		{"tags", `["a"`, "EOF"},
		{"place", `{"y": 1}`, `there is no field "y"`},
		{"place", `{"x": 1, "x": 2}`, `"x" is there twice`},
		{"words", `{"a": "b"}`, `a: "b" is not a number`},
		{"counts", `{"a": true}`, "a is no int8"},
		{"flags", `{"a": "t"}`, `"a" is not true or false`},
		{"days", `{"2026-10-12T19:58:00Z": 1}`, "an array of [key, value]"},
		{"days", `[["2026-10-12T19:58:00Z"]]`, "1 values are not a pair"},
		{"days", `[1]`, "1 is not a pair"},
		{"pairs", `[]`, ""},
	} {
		row := table.New()
		err := reader.set(row, tt.column, []byte(tt.text))
		if (err == nil) != (tt.want == "") || err != nil && !bytes.Contains([]byte(err.Error()), []byte(tt.want)) {
			t.Errorf("%s = %s: got %v, want an error with %q", tt.column, tt.text, err, tt.want)
		}
	}
}
