package main

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/seed-5df914be/userdata"
)

// An assignment is what an argument column=text or column:=json says.
type assignment struct {
	column string
	text   string
	json   bool
}

// parseAssignment reads an argument. It reports whether it is one.
func parseAssignment(arg string) (assignment, bool) {
	column, text, ok := strings.Cut(arg, "=")
	if !ok || column == "" || column == ":" {
		return assignment{}, false
	}
	if name, found := strings.CutSuffix(column, ":"); found {
		return assignment{name, text, true}, true
	}
	return assignment{column, text, false}, true
}

// parseAssignments reads the arguments that are to be assignments, and their values
// for a table.
func parseAssignments(t *userdata.RowTable, args []string) ([]userdata.Entry, error) {
	types := newColumnTypes(t)
	var out []userdata.Entry
	seen := map[string]bool{}
	for _, arg := range args {
		a, ok := parseAssignment(arg)
		if !ok {
			return nil, usageError{fmt.Errorf("%q is no assignment: write column=value, or column:=json for null, arrays and objects", printable(arg))}
		}
		if seen[a.column] {
			return nil, usageError{fmt.Errorf("column %s is set twice", printable(a.column))}
		}
		seen[a.column] = true
		read := types.textValue
		if a.json {
			read = func(column, text string) (any, error) { return types.value(column, []byte(text)) }
		}
		v, err := read(a.column, a.text)
		if err != nil {
			return nil, usageError{fmt.Errorf("%s: %w", t.Name(), err)}
		}
		out = append(out, userdata.Entry{Key: a.column, Value: v})
	}
	return out, nil
}

// assign sets columns of a row.
func assign(row *userdata.Row, entries []userdata.Entry) error {
	for _, e := range entries {
		if err := row.Set(e.Key.(string), e.Value); err != nil {
			return err
		}
	}
	return nil
}

// textValue returns what text stands for in a column: text as it is, times also
// without a zone for local ones, bytes in base64, all else as in JSON.
func (r *columnTypes) textValue(column, text string) (any, error) {
	t, ok := r.types[column]
	if !ok {
		return r.value(column, nil) // which says so
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		v, err := parseTime(text)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", column, err)
		}
		return v.UTC(), nil
	case isBytes(t):
		v, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("column %s: %q is not base64, which bytes are written in", column, short(printable(text)))
		}
		return v, nil
	case t.Kind() == reflect.String || isText(t):
		return text, nil
	case text == "":
		return nil, fmt.Errorf("column %s: an empty text is no %s: write %s:=null for null", column, t, column)
	case t.Kind() == reflect.Bool && text != "true" && text != "false":
		return nil, fmt.Errorf("column %s: %q is not true or false", column, short(printable(text)))
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64:
		v, err := numberOf(text, t)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", column, err)
		}
		return v, nil
	}
	return r.value(column, []byte(text))
}
