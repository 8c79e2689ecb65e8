package userdata_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed-5df914be/userdata"
)

// A declaration is a table as a version of a program declares it.
type declaration struct {
	schema userdata.TableSchema
	words  map[string]string // more words for the tags of columns
}

// declare makes a declaration of lines such as "title string size=5 null, was=name"
// and "index by_title title".
func declare(lines ...string) declaration {
	d := declaration{userdata.TableSchema{Name: "things"}, map[string]string{}}
	for _, line := range lines {
		line, words, _ := strings.Cut(line, ",")
		part := strings.Fields(line)
		if part[0] == "index" || part[0] == "unique" {
			d.schema.Indexes = append(d.schema.Indexes, userdata.IndexSchema{Name: part[1], Columns: part[2:], Unique: part[0] == "unique"})
			continue
		}
		c := userdata.ColumnSchema{Name: part[0], Type: part[1]}
		for _, word := range part[2:] {
			switch {
			case word == "key":
				c.Key = true
			case word == "null":
				c.Nullable = true
			default:
				fmt.Sscanf(word, "size=%d", &c.Size)
			}
		}
		d.schema.Columns = append(d.schema.Columns, c)
		if words != "" {
			d.words[c.Name] = "," + strings.TrimSpace(words)
		}
	}
	return d
}

func (d declaration) table(t require) *userdata.RowTable {
	t.Helper()
	table, err := userdata.RowTableOf(d.schema, d.words)
	if err != nil {
		t.Fatalf("%v: %v", d, err)
	}
	return table
}

// require is what a test and a rapid test have in common.
type require interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// things fills a table with rows that suit any declaration of this file.
func fillThings(t require, db *userdata.DB, table *userdata.RowTable) {
	t.Helper()
	s := db.NewSession()
	for i := range 5 {
		r := table.New()
		for _, c := range table.Columns() {
			text := fmt.Sprint(i + 1)
			if c.Nullable && i%2 == 1 {
				continue
			}
			if c.Type == "bool" {
				text = fmt.Sprint(i%2 == 0)
			}
			if err := r.SetText(c.Name, text); err != nil {
				t.Fatalf("%s: %v", c, err)
			}
		}
		if err := s.Add(r.Record()); err != nil {
			t.Fatalf("%v", err)
		}
	}
	if err := s.Commit(context.Background()); err != nil {
		t.Fatalf("%v", err)
	}
}

// rowsOf returns the values of all rows, with numbers as text: whatever their
// width, they must stay what they were.
func rowsOf(t require, db *userdata.DB) (out []map[string]string) {
	t.Helper()
	table, err := db.Rows("things")
	if err != nil {
		t.Fatalf("%v", err)
	}
	for r, err := range table.All(context.Background(), db.NewSession(), nil, -1) {
		if err != nil {
			t.Fatalf("%v", err)
		}
		row := map[string]string{}
		for _, e := range r.Values() {
			row[e.Key.(string)] = fmt.Sprintf("%v", e.Value)
		}
		out = append(out, row)
	}
	return out
}

// differenceCases has each kind of difference: what going there and back says, ""
// if it is taken.
var differenceCases = []struct {
	name        string
	a, b        []string
	there, back string
}{
	{"wider int", []string{"x int32"}, []string{"x int64"}, "", `declare the type int64, or change it by a migration with ConvertColumn("things", "x", ...)`},
	{"wider uint", []string{"x uint8"}, []string{"x uint16"}, "", `"x uint16", the program declares "x uint8"`},
	{"wider float", []string{"x float32", "index x x"}, []string{"x float64", "index x x"}, "", "ConvertColumn"},
	{"wider float, null", []string{"x float32 null"}, []string{"x float64 null"}, "", "ConvertColumn"},
	{"wider key", []string{"id2 int"}, []string{"id2 int"}, "", ""},
	{"other sign", []string{"x int32"}, []string{"x uint32"}, "ConvertColumn", "ConvertColumn"},
	{"other type", []string{"x string"}, []string{"x bytes"}, "ConvertColumn", "ConvertColumn"},
	{"int to float", []string{"x int8"}, []string{"x float64"}, "ConvertColumn", "ConvertColumn"},
	{"larger size", []string{"x string size=10"}, []string{"x string size=20"}, "", "cut the values"},
	{"no size", []string{"x bytes size=10"}, []string{"x bytes"}, "", "cut the values"},
	{"null allowed", []string{"x string"}, []string{"x string null"}, "", "say what stands for null"},
	{"null allowed, indexed", []string{"x bytes", "unique x x"}, []string{"x bytes null", "unique x x"}, "", "say what stands for null"},
	{"new column, null", nil, []string{"x string null"}, "", `DropColumn("things", "x")`},
	{"new column, default", nil, []string{"x int, default=7"}, "", `DropColumn("things", "x")`},
	{"new column", nil, []string{"x int"}, "give it a default", `DropColumn("things", "x")`},
	{"renamed", []string{"x string, was=y"}, []string{"y string, was=x"}, "", ""},
	{"renamed, indexed", []string{"x string, was=y", "index i x"}, []string{"y string, was=x", "index i y"}, "", ""},
	{"renamed without a word", []string{"x string"}, []string{"y string"}, "was=x", "was=y"},
	{"index added", []string{"x string"}, []string{"x string", "index x x"}, "", ""},
	{"unique added", []string{"x int"}, []string{"x int", "unique x x"}, "", ""},
	{"index now unique", []string{"x int", "index x x"}, []string{"x int", "unique x x"}, "", ""},
	{"order of an index", []string{"x int", "y int", "index i x y"}, []string{"x int", "y int", "index i y x"}, "", ""},
	{"order of columns", []string{"x int", "y int"}, []string{"y int", "x int"}, "", ""},
}

// renamedLines gives the columns and indexes of a case names of its own.
func renamedLines(lines []string, suffix string) (out []string) {
	for _, line := range lines {
		for _, name := range []string{"x", "y", "i", "id2"} {
			for _, end := range []string{" ", ",", ""} {
				old, now := name+end, name+suffix+end
				if end == "" {
					if strings.HasSuffix(line, " "+name) || strings.HasSuffix(line, "="+name) {
						line = strings.TrimSuffix(line, name) + name + suffix
					}
					continue
				}
				if strings.HasPrefix(line, old) {
					line = now + strings.TrimPrefix(line, old)
				}
				line = strings.ReplaceAll(line, " "+old, " "+now)
			}
		}
		out = append(out, line)
	}
	return out
}

// changeThings opens a file that one declaration made with another. What is taken keeps
// every value; what is refused keeps the file, byte for byte.
func changeThings(t *testing.T, from, to declaration, refusals ...string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "things.db")
	table := from.table(t)
	db, err := userdata.Open(path, nil, table)
	ok(t, err)
	fillThings(t, db, table)
	want := rowsOf(t, db)
	ok(t, db.Close())
	before := bytesOf(t, path)
	plan, planErr := userdata.PlanOpen(path, nil, to.table(t))
	db, err = userdata.Open(path, nil, to.table(t))
	if len(refusals) > 0 {
		is(t, err, userdata.ErrSchema)
		is(t, planErr, userdata.ErrSchema)
		for _, r := range refusals {
			if err == nil || !strings.Contains(err.Error(), r) {
				t.Errorf("got %v, want it to say %q", err, r)
			}
		}
		if bytesOf(t, path) != before {
			t.Error("the file was altered")
		}
		return
	}
	ok(t, err)
	defer db.Close()
	ok(t, planErr)
	if plan.Empty() != (bytesOf(t, path) == before) {
		t.Errorf("the plan is %v, the file was altered: %v", plan, bytesOf(t, path) != before)
	}
	ok(t, userdata.CheckRecords(t.Context(), db))
	compareRows(t, want, rowsOf(t, db), to)
}

// compareRows compares rows of an older declaration with what they are in a newer one.
func compareRows(t require, old, now []map[string]string, to declaration) {
	t.Helper()
	for _, row := range old {
		for column, words := range to.words {
			if was, renamed := strings.CutPrefix(words, ",was="); renamed && row[column] == "" {
				if v, there := row[was]; there {
					row[column] = v
					delete(row, was)
				}
			}
		}
		for _, c := range to.schema.Columns {
			if _, there := row[c.Name]; there {
				continue
			}
			row[c.Name] = "<nil>"
			if v, ok := strings.CutPrefix(to.words[c.Name], ",default="); ok {
				row[c.Name] = v
			}
		}
	}
	if d := cmp.Diff(old, now); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
}

func TestDifferences(t *testing.T) {
	t.Parallel()
	for _, c := range differenceCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, b := declare(append([]string{"id int32 key"}, c.a...)...), declare(append([]string{"id int32 key"}, c.b...)...)
			refusals := func(text string) []string {
				if text == "" {
					return nil
				}
				return []string{text}
			}
			changeThings(t, a, b, refusals(c.there)...)
			changeThings(t, b, a, refusals(c.back)...)
		})
	}
}

// All differences that are taken are taken together, and all that are refused are
// listed together.
func TestDifferencesCombined(t *testing.T) {
	t.Parallel()
	for _, wantRefused := range []bool{false, true} {
		a, b := []string{"id int32 key"}, []string{"id int64 key"}
		var refusals []string
		for i, c := range differenceCases {
			if (c.there != "") == wantRefused {
				suffix := fmt.Sprint(i)
				a, b = append(a, renamedLines(c.a, suffix)...), append(b, renamedLines(c.b, suffix)...)
				if wantRefused {
					refusals = append(refusals, fmt.Sprintf("x%d", i))
				}
			}
		}
		changeThings(t, declare(a...), declare(b...), refusals...)
	}
	changeThings(t, declare("id int32 key", "x int"), declare("id int64 key", "x int"))
	changeThings(t, declare("id int64 key", "x int"), declare("id int32 key", "x int"), `RewriteRecords("things", ...)`)
	changeThings(t, declare("id int key", "x int"), declare("id int", "x int key"), `declare the key that the file has, or rewrite the records by a migration with RewriteRecords("things", ...)`)
	changeThings(t, declare("id int key", "x int"), declare("other int key", "x int"), `the program declares the key "other int key"`)
}

// Any declaration after any other: the store stays as it is, or every value is
// where it belongs. Each step of a change knows by itself whether it is taken.
func TestRandomChanges(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		columns := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}), 1, 5, rapid.ID).Draw(t, "columns")
		var from, to []string
		taken := true
		for _, name := range columns {
			typ := rapid.SampledFrom([]string{"int8", "int32", "uint16", "float32", "string", "string size=9", "bytes", "bool"}).Draw(t, "type of "+name)
			null := rapid.SampledFrom([]string{"", " null"}).Draw(t, "null "+name)
			line := name + " " + typ + null
			if rapid.Bool().Draw(t, "is new") {
				from = append(from, "old"+name+" int") // a column for it to be renamed from, or not
				line, okay := newColumn(t, name)
				to, taken = append(to, line), taken && okay
				to = append(to, "old"+name+" int")
				continue
			}
			from = append(from, line)
			lines, okay := changedColumn(t, name, typ, null)
			to, taken = append(to, lines...), taken && okay
			if rapid.Bool().Draw(t, "indexed before") {
				from = append(from, "index i"+name+" "+name)
			}
			if lines != nil && rapid.Bool().Draw(t, "indexed after") {
				now, _, _ := strings.Cut(lines[0], " ")
				if !strings.Contains(lines[0], " text") { // which has no order
					to = append(to, "index i"+name+" "+now)
				}
			}
		}
		a, b := declare(append([]string{"id int key"}, from...)...), declare(append([]string{"id int key"}, to...)...)
		store := userdata.NewMemStore()
		table := a.table(t)
		db, err := userdata.OpenStore(ctx, store, nil, table)
		if err != nil {
			t.Fatalf("%v", err)
		}
		fillThings(t, db, table)
		want := rowsOf(t, db)
		before, version, _ := contents(store)
		db, err = userdata.OpenStore(ctx, store, nil, b.table(t))
		if !taken {
			after, same, _ := contents(store)
			if !errors.Is(err, userdata.ErrSchema) || same != version || !maps.EqualFunc(after, before, maps.Equal[map[string]string]) {
				t.Fatalf("from %v to %v: got %v, want ErrSchema and the store as it was", from, to, err)
			}
			return
		}
		if err != nil {
			t.Fatalf("from %v to %v: %v", from, to, err)
		}
		if err := userdata.CheckRecords(ctx, db); err != nil {
			t.Fatalf("from %v to %v: %v", from, to, err)
		}
		compareRows(t, want, rowsOf(t, db), b)
	})
}

// newColumn draws a column that the file lacks, and says whether it is taken.
func newColumn(t *rapid.T, name string) (line string, taken bool) {
	switch rapid.IntRange(0, 2).Draw(t, "new "+name) {
	case 0:
		return name + " string null", true
	case 1:
		return name + " int, default=3", true
	}
	return name + " int", false
}

// changedColumn draws what becomes of a column, and says whether that is taken.
func changedColumn(t *rapid.T, name, typ, null string) (line []string, taken bool) {
	switch rapid.IntRange(0, 6).Draw(t, "change of "+name) {
	case 0:
		return nil, false // gone
	case 1:
		return []string{name + "2 " + typ + null + ", was=" + name}, true
	case 2:
		return []string{name + "2 " + typ + null}, false
	case 3:
		return []string{name + " " + typ + " null"}, true
	case 4:
		return []string{name + " " + typ}, null == ""
	case 5:
		wider := map[string]string{"int8": "int64", "int32": "int", "uint16": "uint32", "float32": "float64", "string size=9": "string"}[typ]
		if wider == "" {
			return []string{name + " text" + null}, false
		}
		return []string{name + " " + wider + null}, true
	}
	return []string{name + " " + typ + null}, true
}

// What does not fit in memory is sorted by way of a file.
func TestSorter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		keys := rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 1, 20)).Draw(rt, "keys")
		room := filepath.Join(t.TempDir())
		got, _, err := userdata.SortEntries(room, rapid.IntRange(1, 200).Draw(rt, "limit"), keys)
		if err != nil {
			rt.Fatal(err)
		}
		want := slices.SortedFunc(slices.Values(keys), bytes.Compare)
		if d := cmp.Diff(append([][]byte{}, want...), append([][]byte{}, got...)); d != "" {
			rt.Errorf("sorted (-want +got):\n%s", d)
		}
		if left, _ := os.ReadDir(room); len(left) != 0 {
			rt.Errorf("got the files %v left", left)
		}
	})
}
