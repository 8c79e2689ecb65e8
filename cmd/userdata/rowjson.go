package main

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/seed-5df914be/userdata"
)

// The JSON form of a row is an object, its columns in the order of the table. Each
// value can go back, into a column of the same type, and is the same then:
//
//	null                     null, also for slices and maps that are nil
//	bool                     true, false
//	integers                 numbers with all of their digits; durations are integers, in ns
//	floats                   the shortest number that is the same one; "NaN", "Infinity" and "-Infinity" are strings
//	strings, text            strings; what does not print is escaped
//	bytes, binary            strings, base64 with padding
//	times                    strings, RFC 3339 with all digits of the second, in UTC
//	slices, arrays           arrays
//	structs                  objects, the fields in the order of the struct
//	maps                     objects, if the keys are strings, text, integers or bools, else arrays of [key, value]
//
// A column whose type has itself inside can be written, but not read.

// appendRowJSON appends the object of a row's columns, those that are named, in
// that order; all of them if there are no names.
func appendRowJSON(b []byte, row *userdata.Row, names ...string) ([]byte, error) {
	entries := row.Values()
	if len(names) > 0 {
		entries = entries[:0:0]
		for _, name := range names {
			v, err := row.Get(name)
			if err != nil {
				return b, err
			}
			entries = append(entries, userdata.Entry{Key: name, Value: v})
		}
	}
	return appendJSON(b, entries), nil
}

// appendJSON appends the JSON form of a value as [userdata.Row.Get] returns it.
func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case string:
		return appendJSONString(b, v)
	case []byte:
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, v)
		return append(b, '"')
	case time.Time:
		return appendJSONString(b, v.UTC().Format(time.RFC3339Nano))
	case float32:
		return appendJSONFloat(b, float64(v), 32)
	case float64:
		return appendJSONFloat(b, v, 64)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, e)
		}
		return append(b, ']')
	case []userdata.Entry:
		return appendJSONEntries(b, v)
	}
	switch n := reflect.ValueOf(v); {
	case n.CanInt():
		return strconv.AppendInt(b, n.Int(), 10)
	case n.CanUint():
		return strconv.AppendUint(b, n.Uint(), 10)
	}
	return appendJSONString(b, fmt.Sprint(v))
}

// appendJSONEntries appends a struct or a map.
func appendJSONEntries(b []byte, entries []userdata.Entry) []byte {
	object := true
	for _, e := range entries {
		_, ok := jsonName(e.Key)
		object = object && ok
	}
	if !object {
		pairs := make([]any, len(entries))
		for i, e := range entries {
			pairs[i] = []any{e.Key, e.Value}
		}
		return appendJSON(b, pairs)
	}
	b = append(b, '{')
	for i, e := range entries {
		if i > 0 {
			b = append(b, ',')
		}
		name, _ := jsonName(e.Key)
		b = append(appendJSONString(b, name), ':')
		b = appendJSON(b, e.Value)
	}
	return append(b, '}')
}

// jsonName returns the name that a key of a map has in an object, if it has one.
func jsonName(key any) (string, bool) {
	switch k := key.(type) {
	case string:
		return k, true
	case bool:
		return strconv.FormatBool(k), true
	}
	switch n := reflect.ValueOf(key); {
	case n.IsValid() && n.CanInt():
		return strconv.FormatInt(n.Int(), 10), true
	case n.IsValid() && n.CanUint():
		return strconv.FormatUint(n.Uint(), 10), true
	}
	return "", false
}

// appendJSONFloat appends a number, or the name of what JSON has no number for.
func appendJSONFloat(b []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(b, `"-Infinity"`...)
	}
	n := len(b)
	b = strconv.AppendFloat(b, f, 'g', -1, bits)
	if e := bytes.IndexByte(b[n:], 'e'); e >= 0 && bytes.IndexByte(b[n:], '.') < 0 {
		b = slices.Insert(b, n+e, '.', '0') // 1e+21 is text to some readers of YAML
	}
	return b
}

// appendJSONString appends a string. What does not print is escaped, so that it
// can't play tricks on a terminal; that means the same to every reader of JSON.
func appendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == ' ' || strconv.IsPrint(r):
			b = utf8.AppendRune(b, r)
		case r > 0xffff:
			r -= 0x10000
			b = fmt.Appendf(b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	return append(b, '"')
}

// columnTypes are the types of a table's columns: they read the JSON form of values.
type columnTypes struct {
	types map[string]reflect.Type // by column
	keys  []string                // the columns in order
}

// newColumnTypes returns the types of the columns of a table.
func newColumnTypes(t *userdata.RowTable) *columnTypes {
	r := &columnTypes{types: map[string]reflect.Type{}}
	record := reflect.TypeOf(t.New().Record()).Elem()
	for i, c := range t.Columns() {
		r.types[c.Name] = record.Field(i).Type
		r.keys = append(r.keys, c.Name)
	}
	return r
}

// value returns what JSON text stands for in a column, as [userdata.Row.Set] takes
// it.
func (r *columnTypes) value(column string, text []byte) (any, error) {
	t, ok := r.types[column]
	if !ok {
		return nil, fmt.Errorf("there is no column %q%s", column, didYouMean(column, r.keys))
	}
	if isRaw(t) {
		return nil, fmt.Errorf("column %s: a value whose type has itself inside can't be set without its Go type", column)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	v, err := readJSON(dec, t)
	if err == nil {
		if _, end := dec.Token(); !errors.Is(end, io.EOF) {
			err = errors.New("something follows the value")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("column %s: %w", column, err)
	}
	return v, nil
}

// set sets a column of a row to what JSON text stands for.
func (r *columnTypes) set(row *userdata.Row, column string, text []byte) error {
	v, err := r.value(column, text)
	if err != nil {
		return err
	}
	return row.Set(column, v)
}

// readJSON reads one value of type t.
func readJSON(dec *json.Decoder, t reflect.Type) (any, error) {
	token, err := dec.Token()
	switch {
	case errors.Is(err, io.EOF):
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	case token == nil:
		return nil, nil
	}
	return readToken(dec, token, t)
}

// readToken reads the value that begins with a token, which is not null.
func readToken(dec *json.Decoder, token json.Token, t reflect.Type) (any, error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	delim, _ := token.(json.Delim)
	switch k := t.Kind(); {
	case t == reflect.TypeFor[time.Time]():
		return readTime(token)
	case isBytes(t):
		text, ok := token.(string)
		if !ok {
			return nil, mismatch(token, "bytes in base64")
		}
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not base64: %w", short(text), err)
		}
		return b, nil
	case k == reflect.String || isText(t):
		if text, ok := token.(string); ok {
			return text, nil
		}
		return nil, mismatch(token, "a string")
	case k == reflect.Bool:
		if v, ok := token.(bool); ok {
			return v, nil
		}
		return nil, mismatch(token, "true or false")
	case k == reflect.Struct:
		if delim != '{' {
			return nil, mismatch(token, "an object")
		}
		return readObject(dec, func(name string) (any, reflect.Type, error) {
			field, err := fieldType(t, name)
			return name, field, err
		})
	case k == reflect.Map:
		return readMap(dec, token, t)
	case k == reflect.Slice || k == reflect.Array:
		if delim != '[' {
			return nil, mismatch(token, "an array")
		}
		return readArray(dec, func(int) reflect.Type { return t.Elem() })
	}
	return readNumber(token, t)
}

// isRaw reports whether a type stands for one that has itself inside.
func isRaw(t reflect.Type) bool { return t.Kind() == reflect.Slice && t.Name() != "" }

// isBytes reports whether the JSON form of a type is base64.
func isBytes(t reflect.Type) bool {
	if isRaw(t) {
		return false
	}
	isList := t.Kind() == reflect.Slice || t.Kind() == reflect.Array
	return isList && t.Elem().Kind() == reflect.Uint8 || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.BinaryUnmarshaler]())
}

// isText reports whether a type makes itself from text.
func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// mismatch says that a token is not what is wanted.
func mismatch(token json.Token, want string) error {
	if s, ok := token.(string); ok {
		return fmt.Errorf("%q is not %s", short(s), want)
	}
	return fmt.Errorf("%v is not %s", token, want)
}

// readTime reads a time, strictly.
func readTime(token json.Token) (any, error) {
	text, ok := token.(string)
	if !ok {
		return nil, mismatch(token, "a time")
	}
	var at time.Time
	if err := at.UnmarshalText([]byte(text)); err != nil {
		return nil, fmt.Errorf("%q is no time: write it as in 2026-10-12T19:58:00Z", short(text))
	}
	return at.UTC(), nil
}

// readNumber reads an integer or a float.
func readNumber(token json.Token, t reflect.Type) (any, error) {
	isFloat := t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64
	text := ""
	switch v := token.(type) {
	case json.Number:
		text = v.String()
	case string:
		special := map[string]float64{"NaN": math.NaN(), "Infinity": math.Inf(1), "-Infinity": math.Inf(-1)}
		if f, ok := special[v]; ok && isFloat {
			return f, nil
		}
	}
	if text == "" {
		return nil, mismatch(token, "a number")
	}
	return numberOf(text, t)
}

// numberOf returns the number of type t that a text stands for.
func numberOf(text string, t reflect.Type) (v any, err error) {
	switch t.Kind() {
	case reflect.Float32:
		var f float64
		f, err = strconv.ParseFloat(text, 32)
		v = float32(f)
	case reflect.Float64:
		v, err = strconv.ParseFloat(text, 64)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v, err = strconv.ParseUint(text, 10, t.Bits())
	default:
		v, err = strconv.ParseInt(text, 10, t.Bits())
	}
	switch {
	case errors.Is(err, strconv.ErrRange):
		return nil, fmt.Errorf("%s is out of range for %s", short(printable(text)), t)
	case err != nil:
		return nil, fmt.Errorf("%s is no %s", short(printable(text)), t)
	}
	return v, nil
}

// readArray reads the rest of an array, whose elements have the types that it is
// told.
func readArray(dec *json.Decoder, typ func(i int) reflect.Type) ([]any, error) {
	out := []any{}
	for i := 0; dec.More(); i++ {
		v, err := readJSON(dec, typ(i))
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", i+1, err)
		}
		out = append(out, v)
	}
	_, err := dec.Token()
	return out, err
}

// readObject reads the rest of an object. Of each name it is told the key that it
// stands for, and the type of its value.
func readObject(dec *json.Decoder, key func(name string) (any, reflect.Type, error)) ([]userdata.Entry, error) {
	out := []userdata.Entry{}
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name := token.(string)
		if seen[name] {
			return nil, fmt.Errorf("%q is there twice", name)
		}
		seen[name] = true
		k, t, err := key(name)
		if err != nil {
			return nil, err
		}
		v, err := readJSON(dec, t)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, userdata.Entry{Key: k, Value: v})
	}
	_, err := dec.Token()
	return out, err
}

// fieldType returns the type of a struct's field, by the name that it has in the
// file.
func fieldType(t reflect.Type, name string) (reflect.Type, error) {
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("userdata") == name {
			return f.Type, nil
		}
		names = append(names, f.Tag.Get("userdata"))
	}
	return nil, fmt.Errorf("there is no field %q%s", name, didYouMean(name, names))
}

// readMap reads a map, from an object or from an array of pairs, whichever the type
// of its keys has.
func readMap(dec *json.Decoder, token json.Token, t reflect.Type) (any, error) {
	named := isText(t.Key()) && t.Key() != reflect.TypeFor[time.Time]()
	switch t.Key().Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		named = true
	}
	switch {
	case token == json.Delim('{'): // also the empty map
		return readObject(dec, func(name string) (any, reflect.Type, error) {
			key, err := keyNamed(name, t.Key(), named)
			return key, t.Elem(), err
		})
	case named || token != json.Delim('['):
		return nil, mismatch(token, "an object")
	}
	return readPairs(dec, t)
}

// readPairs reads the rest of an array of [key, value].
func readPairs(dec *json.Decoder, t reflect.Type) (any, error) {
	out := []userdata.Entry{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		if token != json.Delim('[') {
			return nil, mismatch(token, "a pair of key and value")
		}
		pair, err := readArray(dec, func(i int) reflect.Type {
			if i == 0 {
				return t.Key()
			}
			return t.Elem()
		})
		if err != nil {
			return nil, err
		}
		if len(pair) != 2 {
			return nil, fmt.Errorf("%d values are not a pair of key and value", len(pair))
		}
		out = append(out, userdata.Entry{Key: pair[0], Value: pair[1]})
	}
	_, err := dec.Token()
	return out, err
}

// keyNamed returns the key of a map that an object has under a name.
func keyNamed(name string, t reflect.Type, named bool) (any, error) {
	switch {
	case !named:
		return nil, fmt.Errorf("keys that are %s are written as an array of [key, value]", t)
	case t.Kind() == reflect.String || isText(t):
		return name, nil
	case t.Kind() == reflect.Bool:
		if name != "true" && name != "false" {
			return nil, fmt.Errorf("%q is not true or false", short(name))
		}
		return name == "true", nil
	}
	return numberOf(name, t)
}
