package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/seed-5df914be/userdata"
)

// appendYAML appends a record as YAML, a column a line: text as YAML has it, on
// lines of its own if it has several, all else in its JSON form, which is YAML too.
func appendYAML(b []byte, entries []userdata.Entry) ([]byte, error) {
	for _, e := range entries {
		line := append(appendJSONString(nil, e.Key.(string)), ": "...)
		if isPlainName(e.Key.(string)) {
			line = []byte(e.Key.(string) + ": ")
		}
		s, isString := e.Value.(string)
		if isString && strings.Contains(s, "\n") && !strings.ContainsFunc(s, func(r rune) bool { return r != '\n' && printable(string(r)) != string(r) }) {
			block, err := yaml.MarshalWithOptions(map[string]string{"x": s}, yaml.UseLiteralStyleIfMultiline(true))
			if err != nil {
				return b, err
			}
			var back map[string]string
			if err := yaml.Unmarshal(block, &back); err == nil && back["x"] == s {
				b = append(append(b, line...), bytes.TrimPrefix(block, []byte("x: "))...)
				continue
			}
		}
		b = append(append(append(b, line...), appendJSON(nil, e.Value)...), '\n')
	}
	return b, nil
}

// isPlainName reports whether YAML takes a word as a name without quotes.
func isPlainName(s string) bool {
	switch strings.ToLower(s) {
	case "", "null", "true", "false", "yes", "no", "on", "off", "y", "n":
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") == ""
}

// parseYAML reads a record as YAML or JSON, and returns the JSON form of each
// column.
func parseYAML(text []byte) (map[string][]byte, error) {
	var record yaml.MapSlice
	if err := yaml.UnmarshalWithOptions(text, &record, yaml.UseOrderedMap()); err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, item := range record {
		name := fmt.Sprint(item.Key)
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("column %s is there twice", name)
		}
		out[name] = appendJSON(nil, fromYAML(item.Value))
	}
	return out, nil
}

// fromYAML returns what YAML has read as values that have a JSON form.
func fromYAML(v any) any {
	switch v := v.(type) {
	case yaml.MapSlice:
		out := []userdata.Entry{}
		for _, item := range v {
			out = append(out, userdata.Entry{Key: fmt.Sprint(item.Key), Value: fromYAML(item.Value)})
		}
		return out
	case []any:
		out := []any{}
		for _, e := range v {
			out = append(out, fromYAML(e))
		}
		return out
	}
	return v
}
