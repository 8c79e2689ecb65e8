package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/seed-5df914be/userdata"
)

// A finder finds the columns of a table from the records that it is shown.
type finder struct {
	names   []string
	found   map[string]*foundType
	given   map[string]string // the types of columns that need not be found
	isJSON  bool
	records int
}

// A foundType is what the values of a column, or of a part of one, have been so far.
type foundType struct {
	name    string   // bool, int64, uint64, float64, time, string, list or object; "" before there is one
	where   place    // of the first value that made it so
	nulls   bool     // there is null, an empty cell, or a record that has none
	seen    int      // how many values there were
	objects int      // how many of them were objects
	can     []string // of cells: the types that each of them was so far
	elem    *foundType
	fields  []string
	parts   map[string]*foundType
}

// add looks at one record.
func (f *finder) add(r *record) error {
	if f.found == nil {
		f.found = map[string]*foundType{}
	}
	f.records++
	for _, v := range r.fields {
		t := f.found[v.name]
		if t == nil {
			t = &foundType{}
			f.names, f.found[v.name] = append(f.names, v.name), t
		}
		t.seen++
		switch {
		case f.given[cleanName(v.name)] != "":
			continue
		case !f.isJSON:
			t.addCell(string(v.text))
			continue
		}
		if err := t.addJSON(v.text, v.place); err != nil {
			var bad *badInput
			if errors.As(err, &bad) {
				bad.err = fmt.Errorf("column %s: %w", printable(v.name), bad.err)
			}
			return err
		}
	}
	return nil
}

// cellTypes are what cells of text can be, the narrowest first.
var cellTypes = []string{"bool", "int64", "uint64", "float64", "time"}

// addCell looks at a cell.
func (t *foundType) addCell(text string) {
	if text == "" {
		t.nulls = true
		return
	}
	if t.name == "" {
		t.name, t.can = "string", cellTypes
	}
	if len(t.can) > 0 {
		t.can = slices.DeleteFunc(slices.Clone(t.can), func(name string) bool { return !cellIs(text, name) })
	}
}

// cellIs reports whether a cell is of a type without a loss: digits that a number
// would not have are text.
func cellIs(text, name string) bool {
	switch name {
	case "bool":
		return text == "true" || text == "false"
	case "int64":
		n, err := strconv.ParseInt(text, 10, 64)
		return err == nil && strconv.FormatInt(n, 10) == text
	case "uint64":
		n, err := strconv.ParseUint(text, 10, 64)
		return err == nil && strconv.FormatUint(n, 10) == text
	case "float64":
		return isFloat(text)
	}
	var at time.Time
	return at.UnmarshalText([]byte(text)) == nil
}

// isFloat reports whether a cell is a number that a float64 holds: not one with
// zeros before it, such as the number of a house, or more digits than it has.
func isFloat(text string) bool {
	switch text {
	case "NaN", "Infinity", "-Infinity":
		return true
	}
	digits := strings.TrimPrefix(text, "-")
	if digits == "" || strings.Trim(digits, "0123456789.eE+-") != "" || digits[0] < '0' || digits[0] > '9' || len(digits) > 1 && digits[0] == '0' && digits[1] != '.' && digits[1] != 'e' && digits[1] != 'E' {
		return false
	}
	f, err := strconv.ParseFloat(text, 64)
	return err == nil && !(math.Abs(f) >= 1<<53 && !strings.ContainsAny(text, ".eE"))
}

// addJSON looks at a value of JSON.
func (t *foundType) addJSON(text []byte, at place) error {
	switch text[0] {
	case 'n':
		t.nulls = true
		return nil
	case 't', 'f':
		return t.become("bool", at)
	case '"':
		var s string
		if err := json.Unmarshal(text, &s); err != nil {
			return &badInput{place: at, err: err}
		}
		var moment time.Time
		if (t.name == "" || t.name == "time") && moment.UnmarshalText([]byte(s)) == nil {
			return t.become("time", at)
		}
		return t.become("string", at)
	case '[':
		return t.addList(text, at)
	case '{':
		return t.addObject(text, at)
	}
	return t.addNumber(string(text), at)
}

// addNumber looks at a number.
func (t *foundType) addNumber(text string, at place) error {
	switch {
	case cellIs(text, "int64") && t.name != "float64":
		if t.name == "uint64" && text[0] == '-' {
			return t.become("float64", at)
		}
		if t.name == "uint64" {
			return nil
		}
		return t.become("int64", at)
	case cellIs(text, "uint64") && (t.name == "" || t.name == "uint64"):
		return t.become("uint64", at)
	}
	if !strings.ContainsAny(text, ".eE") && !isFloat(text) {
		return &badInput{place: at, err: fmt.Errorf("%s has more digits than a number here can have: --type COLUMN=string takes it as text", short(text))}
	}
	return t.become("float64", at)
}

// become makes the type one that also has values of another.
func (t *foundType) become(name string, at place) error {
	switch {
	case t.name == name:
	case t.name == "", t.name == "int64" && name == "float64", t.name == "time" && name == "string":
		t.name, t.where = name, at
	default:
		return &badInput{place: at, err: fmt.Errorf("a %s, but line %d has a %s: a column has one type: --type COLUMN=string takes all as text", kindWord(name), t.where.line, kindWord(t.name))}
	}
	return nil
}

// kindWord returns what people call values of a type.
func kindWord(name string) string {
	switch name {
	case "int64", "uint64", "float64":
		return "number"
	case "string":
		return "text"
	}
	return name
}

// addList looks at an array.
func (t *foundType) addList(text []byte, at place) error {
	var list []json.RawMessage
	if err := json.Unmarshal(text, &list); err != nil {
		return &badInput{place: at, err: err}
	}
	if t.elem == nil {
		t.elem = &foundType{}
	}
	for _, e := range list {
		t.elem.seen++
		if err := t.elem.addJSON(bytes.TrimSpace(e), at); err != nil {
			return err
		}
	}
	return t.become("list", at)
}

// addObject looks at an object inside a record.
func (t *foundType) addObject(text []byte, at place) error {
	t.objects++
	dec := json.NewDecoder(bytes.NewReader(text))
	if _, err := dec.Token(); err != nil {
		return &badInput{place: at, err: err}
	}
	for dec.More() {
		name, err := dec.Token()
		var raw json.RawMessage
		if err == nil {
			err = dec.Decode(&raw)
		}
		if err != nil {
			return &badInput{place: at, err: err}
		}
		if t.parts == nil {
			t.parts = map[string]*foundType{}
		}
		key := name.(string)
		part := t.parts[key]
		if part == nil {
			part = &foundType{}
			t.fields, t.parts[key] = append(t.fields, key), part
		}
		part.seen++
		if err := part.addJSON(raw, at); err != nil {
			return err
		}
	}
	return t.become("object", at)
}

// schemaType returns the type's name in a schema, and whether it is one that may be
// null.
func (t *foundType) schemaType() (name string, nullable bool, err error) {
	switch t.name {
	case "":
		return "string", t.nulls, nil
	case "list":
		elem, null, err := t.elem.schemaType()
		if null {
			elem = "*" + elem
		}
		return "[]" + elem, false, err
	case "object":
		name, err = t.structType()
		return name, t.nulls, err
	}
	name = t.name
	if t.can != nil {
		name = "string"
		if len(t.can) > 0 {
			name = t.can[0]
		}
		return name, t.nulls && name != "string", nil // an empty cell is an empty text
	}
	return name, t.nulls, nil
}

// structType returns the type of objects.
func (t *foundType) structType() (string, error) {
	if len(t.fields) == 0 {
		return "", errors.New("an object that is always empty has no type: --type COLUMN=string takes it as text")
	}
	fields := slices.Sorted(slices.Values(t.fields))
	for i, f := range fields {
		if cleanName(f) != f {
			return "", fmt.Errorf("%q can't be the name of a field: --type COLUMN=string takes the objects as text", short(printable(f)))
		}
		name, nullable, err := t.parts[f].schemaType()
		if err != nil {
			return "", err
		}
		if nullable || t.parts[f].seen < t.objects && t.parts[f].name != "list" {
			name = "*" + name
		}
		fields[i] = f + " " + name
	}
	return "struct{" + strings.Join(fields, ", ") + "}", nil
}

// cleanName returns a name that a column may have: letters, digits, "_", "-" and ".",
// as the name in the input, or what is left of it.
func cleanName(name string) string {
	var b strings.Builder
	gap := false
	for _, r := range name {
		if r == unicode.ReplacementChar || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-.", r) {
			gap = true
			continue
		}
		if gap && b.Len() > 0 {
			b.WriteByte('_')
		}
		gap = false
		b.WriteRune(r)
	}
	return b.String()
}

// schema returns the table that has the columns found. The types are those given,
// before those found.
func (f *finder) schema(table, key string) (userdata.TableSchema, error) {
	s := userdata.TableSchema{Name: table}
	for _, name := range f.names {
		t, column := f.found[name], cleanName(name)
		if column == "" || slices.ContainsFunc(s.Columns, func(c userdata.ColumnSchema) bool { return c.Name == column }) {
			return s, fmt.Errorf("column %q can't be called %q: name the columns otherwise", printable(name), column)
		}
		c := userdata.ColumnSchema{Name: column}
		var err error
		if text, ok := f.given[column]; ok {
			c, err = parseColumnType(c, text)
		} else {
			t.nulls = t.nulls || t.seen < f.records
			c.Type, c.Nullable, err = t.schemaType()
		}
		if err != nil {
			return s, fmt.Errorf("column %s: %w", column, err)
		}
		s.Columns = append(s.Columns, c)
	}
	return s, chooseKey(&s, key)
}

// chooseKey makes a column the key: the one that is named, or one that is called as
// keys are.
func chooseKey(s *userdata.TableSchema, key string) error {
	var names []string
	for _, c := range s.Columns {
		names = append(names, c.Name)
	}
	candidates := []string{"id", "ID", "Id", "key", s.Name + "_id", strings.TrimSuffix(s.Name, "s") + "_id"}
	if key != "" {
		candidates = []string{key, cleanName(key)}
	}
	for _, name := range candidates {
		i := slices.Index(names, name)
		if i < 0 {
			continue
		}
		c := &s.Columns[i]
		switch {
		case c.Nullable:
			return fmt.Errorf("column %s can't be the key: some records have none", name)
		case !slices.Contains([]string{"string", "int64", "uint64", "time"}, c.Type) && !strings.HasPrefix(c.Type, "int") && !strings.HasPrefix(c.Type, "uint") && c.Type != "bytes":
			return fmt.Errorf("column %s can't be the key: it is %s: keys are text, integers and times", name, c.Type)
		}
		c.Key = true
		return nil
	}
	if key != "" {
		return usageError{fmt.Errorf("--key %s: there is no such column%s", printable(key), didYouMean(key, names))}
	}
	return usageError{fmt.Errorf("no column is called id: --key names the column that tells records apart, --number makes one: there are %s", printable(strings.Join(names, ", ")))}
}

// find reads all records of an input, and finds the columns that they have.
func find(ctx context.Context, records recordReader, name string, isJSON bool, given map[string]string, report func(n int)) (*finder, error) {
	f := &finder{isJSON: isJSON, given: given}
	for {
		r, err := records.next()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err == nil {
			err = f.add(r)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			var bad *badInput
			if errors.As(err, &bad) {
				bad.name = name
			}
			return nil, err
		}
		report(f.records)
	}
}
