package userdata

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A tableDiff is what separates a table in the file from the declared one, and
// what is to be done about it.
type tableDiff struct {
	table *table
	from  TableSchema // in the file
	want  TableSchema // declared

	taken   []string // what Open does by itself, for people
	refused []string // what the program has to say first, with what to write
	gone    []string // the same, of columns that are not declared

	sources []source // where the value of each of table.stored comes from
	rewrite bool     // whether that changes the records' bytes
	build   []*index
	drop    []IndexSchema
}

// A source is where the value of a declared column comes from: a column of the
// stored record, or else the column's absent value.
type source struct {
	column string // in the file; "" if it lacks the column
	widen  bool   // from float32 to float64
	absent []byte
}

// diffTable finds out what separates a table in the file from the declared one.
func diffTable(from TableSchema, t *table) *tableDiff {
	c := &tableDiff{table: t, from: from, want: t.schema(), sources: make([]source, len(t.stored))}
	was := map[string]ColumnSchema{}
	for _, col := range from.Columns {
		was[col.Name] = col
	}
	used := map[string]bool{}
	for i, col := range t.columns {
		old, found := col.find(was)
		if !found {
			c.add(col, c.want.Columns[i])
			continue
		}
		used[old.Name] = true
		c.match(col, old, c.want.Columns[i])
	}
	for _, old := range from.Columns {
		if !used[old.Name] {
			c.gone = append(c.gone, fmt.Sprintf("%s: the file has column %q, which the program does not declare: declare it, or give the column that it became the tag word was=%s, or drop it by a migration with DropColumn(%q, %q)", from.Name, old, old.Name, from.Name, old.Name))
		}
	}
	c.rewrite = c.rewrite || len(c.gone) > 0
	c.indexes()
	return c
}

// find returns the column of the file that the declared one is, by its name or
// else by a former one.
func (c *column) find(stored map[string]ColumnSchema) (ColumnSchema, bool) {
	for _, name := range append([]string{c.name}, c.was...) {
		if old, ok := stored[name]; ok {
			return old, true
		}
	}
	return ColumnSchema{}, false
}

func (c *tableDiff) takef(format string, args ...any) {
	c.taken = append(c.taken, c.want.Name+": "+fmt.Sprintf(format, args...))
}

func (c *tableDiff) refusef(format string, args ...any) {
	c.refused = append(c.refused, c.from.Name+": "+fmt.Sprintf(format, args...))
}

// add takes in a column that the file lacks.
func (c *tableDiff) add(col *column, want ColumnSchema) {
	c.rewrite = true
	c.sources[col.place] = source{absent: col.absent}
	switch {
	case col.key:
		c.refusef("the program declares the key %q, which the file does not have: say what it was called, as in was=%s, or rewrite the records by a migration with RewriteRecords(%q, ...)", want, c.suggestion(want), c.want.Name)
	case col.absent != nil && col.nullable && len(col.absent) == 1 && isNull(col.absent):
		c.takef("add column %q, null in the records that are there", want)
	case col.absent != nil:
		c.takef("add column %q, with its default in the records that are there", want)
	default:
		c.refusef("the program declares column %q, which the file does not have: give it a default, as in default=0, or make it a pointer, which may be null, or say what it was called, as in was=%s", want, c.suggestion(want))
	}
}

// suggestion returns the name of a column that may have been renamed: one of the
// same type which is no longer declared.
func (c *tableDiff) suggestion(want ColumnSchema) string {
	for _, old := range c.from.Columns {
		if old.Type == want.Type && !slices.ContainsFunc(c.want.Columns, func(d ColumnSchema) bool { return d.Name == old.Name }) {
			return old.Name
		}
	}
	return "old_name"
}

// match compares a declared column with what it is in the file.
func (c *tableDiff) match(col *column, old, want ColumnSchema) {
	c.sources[col.place] = source{column: old.Name, widen: old.Type == "float32" && want.Type == "float64"}
	refused := len(c.refused)
	step := fmt.Sprintf("ConvertColumn(%q, %q, ...)", c.from.Name, old.Name)
	if old.Key || want.Key {
		step = fmt.Sprintf("RewriteRecords(%q, ...)", c.from.Name)
	}
	mismatch := func(advice string) {
		c.refusef("the file has column %q, the program declares %q: declare %s by a migration with %s", old, want, advice, step)
	}
	key := old.Key != want.Key
	if key {
		mismatch("the key that the file has, or rewrite the records")
	}
	if old.Type != want.Type && !wider(old.Type, want.Type) {
		mismatch("the type " + old.Type + ", or change it")
	}
	if old.Nullable && !want.Nullable && !key {
		mismatch("a pointer, or say what stands for null")
	}
	if want.Size != 0 && (old.Size == 0 || old.Size > want.Size) {
		mismatch("the larger size, or cut the values")
	}
	switch {
	case len(c.refused) > refused:
	case old.Name != want.Name:
		c.rewrite = true
		c.takef("rename column %q to %q", old, want)
	case old != want:
		c.takef("change column %q to %q", old, want)
	}
	c.rewrite = c.rewrite || c.sources[col.place].widen
}

// bits returns the number of bits and the kind of a number type: "int", "uint" or
// "float"; "" for another type. The file's int has 64.
func bits(name string) (kind string, n int) {
	for _, kind := range []string{"int", "uint", "float"} {
		if rest, ok := strings.CutPrefix(name, kind); ok {
			n, err := strconv.Atoi(cmp.Or(rest, "64"))
			if err != nil || kind == "float" && rest == "" {
				return "", 0
			}
			return kind, n
		}
	}
	return "", 0
}

// wider reports whether each value of the number type old is one of the number
// type declared. What a declared int holds depends on the machine.
func wider(old, declared string) bool {
	kind, n := bits(old)
	k, m := bits(declared)
	if declared == "int" || declared == "uint" {
		m = strconv.IntSize
	}
	return kind != "" && kind == k && n <= m
}

// indexes finds out which indexes are to be built and dropped.
func (c *tableDiff) indexes() {
	kept := map[string]bool{}
	for _, x := range c.table.indexes {
		if slices.ContainsFunc(c.from.Indexes, func(s IndexSchema) bool { return c.keeps(x, s) }) {
			kept[x.name] = true
			continue
		}
		c.build = append(c.build, x)
		c.takef("build %s", x.schema())
	}
	for _, s := range c.from.Indexes {
		if kept[s.Name] {
			continue
		}
		c.drop = append(c.drop, s)
		if !slices.ContainsFunc(c.build, func(x *index) bool { return x.name == s.Name }) {
			c.takef("drop %s", s)
		}
	}
}

// keeps reports whether the entries of an index in the file are those of the
// declared one.
func (c *tableDiff) keeps(x *index, s IndexSchema) bool {
	if s.Name != x.name || s.Unique != x.unique || len(s.Columns) != len(x.columns) {
		return false
	}
	for i, col := range x.columns {
		if c.sources[col.place].column != s.Columns[i] {
			return false
		}
		j := slices.IndexFunc(c.from.Columns, func(o ColumnSchema) bool { return o.Name == s.Columns[i] })
		if j < 0 || x.unique && c.from.Columns[j].Nullable != col.nullable {
			return false // a nil []byte is a value, until it is null: then a unique index has it elsewhere
		}
	}
	return true
}

// empty reports whether nothing is to be done. The order of the fields is no part
// of a schema.
func (c *tableDiff) empty() bool { return len(c.taken) == 0 && len(c.refusals()) == 0 }

// refusals lists all that the program has to say something about.
func (c *tableDiff) refusals() []string { return append(slices.Clip(c.gone), c.refused...) }

// isNull reports whether a column's msgpack is null.
func isNull(b []byte) bool { return len(b) == 1 && b[0] == 0xc0 }

// byEncodedName sorts the names of columns as records have them.
func byEncodedName(names []string) []string {
	slices.SortFunc(names, func(a, b string) int { return bytes.Compare(encodedName(a), encodedName(b)) })
	return names
}
