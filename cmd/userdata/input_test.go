package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

// Text comes through whole, however it is cut up, without the mark before it; what is
// no UTF-8 is an error with its place.
func TestTextReader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want, place string }{
		{"", "", ""},
		{"\ufeff", "", ""},
		{"\ufeffa", "a", ""},
		{"é漢\U0001f600\n", "é漢\U0001f600\n", ""},
		{"\ufffd", "\ufffd", ""},
		{"a\nb\xffc", "", "in:2:2"},
		{"\xef\xbb", "", "in:1:1"},
		{"é\xe6\xbc", "", "in:1:3"},
		{"a\xed\xa0\x80", "", "in:1:2"},
	} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "one byte": iotest.OneByteReader, "half": iotest.HalfReader, "with its end": iotest.DataErrReader,
		} {
			got, err := io.ReadAll(newTextReader(wrap(strings.NewReader(c.in)), "in"))
			var bad *badInput
			switch {
			case c.place == "" && (err != nil || string(got) != c.want):
				t.Errorf("%q, %s: got %q and %v", c.in, name, got, err)
			case c.place != "" && (!errors.As(err, &bad) || fmt.Sprintf("%s:%d:%d", bad.name, bad.line, bad.column) != c.place):
				t.Errorf("%q, %s: got %v, want %s", c.in, name, err, c.place)
			}
		}
	}
}

// A failure to read is no end of the input.
func TestReadFails(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"csv", "jsonl"} {
		broken := io.MultiReader(strings.NewReader("id\n1\n"), iotest.ErrReader(errDryRun))
		if format == "jsonl" {
			broken = io.MultiReader(strings.NewReader("{\"id\":1}\n"), iotest.ErrReader(errDryRun))
		}
		var r recordReader = newObjectReader(broken, "in")
		if format == "csv" {
			var err error
			if r, err = newCellReader(broken, "in", ',', nil); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		for err == nil {
			_, err = r.next()
		}
		if !errors.Is(err, errDryRun) {
			t.Errorf("%s: got %v, want the error of the reader", format, err)
		}
	}
}

// A command that waits for stdin ends when it is interrupted.
func TestStdinInterrupted(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	p := &patientReader{ctx: ctx, r: r}
	go w.Write([]byte("id"))
	b := make([]byte, 1)
	for _, want := range "id" {
		if n, err := p.Read(b); n != 1 || b[0] != byte(want) || err != nil {
			t.Fatalf("got %d %q %v, want %q", n, b, err, want)
		}
	}
	cancel()
	if _, err := p.Read(b); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	whole := &patientReader{ctx: t.Context(), r: iotest.DataErrReader(strings.NewReader(strings.Repeat("漢", 50_000)))}
	if got, err := io.ReadAll(whole); len(got) != 150_000 || err != nil {
		t.Errorf("got %d bytes and %v", len(got), err)
	}
}

// Texts of any characters go through CSV and come back, wherever a buffer ends.
func TestCellsKeepText(t *testing.T) {
	t.Parallel()
	texts := []string{"a\r\nb", "\r", "a\r", "\r\n", "\n", `"`, `","`, " a ", "\t", "#a", `\.`, "\u2028", "a\r\r\nb", "\"\r\n\""}
	for n := 32<<10 - 24; n <= 32<<10+2; n++ {
		texts = append(texts, strings.Repeat("x", n)+"\r\ny")
	}
	var lines strings.Builder
	for i, text := range texts {
		b, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&lines, "{\"id\":%d,\"s\":%s}\n", i, b)
	}
	from, to := filepath.Join(t.TempDir(), "from.db"), filepath.Join(t.TempDir(), "to.db")
	mustRun(t, from, lines.String(), "import", "t", "--create")
	want := mustRun(t, from, "", "export", "t")
	for _, format := range []string{"csv", "tsv"} {
		mustRun(t, to, mustRun(t, from, "", "export", "t", "-o", format), "import", format, "--create", "--format", format)
		if got := mustRun(t, to, "", "export", format); got != want {
			for i, line := range strings.Split(got, "\n") {
				if line != strings.Split(want, "\n")[i] {
					t.Errorf("%s: text %d: got %s", format, i, short(line))
				}
			}
		}
	}
}

// The types of columns are those that hold all values without a loss.
func TestFind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []string
		isJSON bool
		want   string
	}{
		{[]string{"1", "-2"}, false, "int64"},
		{[]string{"1", ""}, false, "int64 null"},
		{[]string{"1", "2.5"}, false, "float64"},
		{[]string{"1", "9007199254740993.0", "9007199254740993"}, false, "string"},
		{[]string{"18446744073709551615", "0"}, false, "uint64"},
		{[]string{"18446744073709551616"}, false, "string"},
		{[]string{"007", "1"}, false, "string"},
		{[]string{"+1"}, false, "string"},
		{[]string{"1e3", "2"}, false, "float64"},
		{[]string{"0x10"}, false, "string"},
		{[]string{"NaN", "1"}, false, "float64"},
		{[]string{"-0"}, false, "float64"},
		{[]string{"true", "false", ""}, false, "bool null"},
		{[]string{"true", "1"}, false, "string"},
		{[]string{"2026-10-12T19:58:00Z", "2026-10-12T19:58:00.5+02:00"}, false, "time"},
		{[]string{"2026-10-12"}, false, "string"},
		{[]string{"", ""}, false, "string null"},
		{[]string{"a", ""}, false, "string"},
		{[]string{"1", "null"}, true, "int64 null"},
		{[]string{"1", "1.5"}, true, "float64"},
		{[]string{"1", `"1"`}, true, "error"},
		{[]string{`"2026-10-12T19:58:00Z"`}, true, "time"},
		{[]string{`"2026-10-12T19:58:00Z"`, `"x"`}, true, "string"},
		{[]string{`[1,2]`, `[]`, `null`}, true, "[]int64"},
		{[]string{`["a",null]`}, true, "[]*string"},
		{[]string{`[[1.5],[2]]`}, true, "[][]float64"},
		{[]string{`[1,"a"]`}, true, "error"},
		{[]string{`{"b":1,"a":"x"}`, `{"b":2}`}, true, "struct{a *string, b int64}"},
		{[]string{`{"a b":1}`}, true, "error"},
		{[]string{`{}`}, true, "error"},
		{[]string{`18446744073709551616`}, true, "error"},
	} {
		f := &finder{isJSON: c.isJSON}
		var err error
		for i, v := range c.values {
			r := &record{fields: []field{{"id", []byte(fmt.Sprint(i)), place{}}, {"v", []byte(v), place{}}}}
			if err = f.add(r); err != nil {
				break
			}
		}
		got := "error"
		if err == nil {
			if s, err := f.schema("t", ""); err == nil {
				got = strings.TrimPrefix(s.Columns[1].String(), "v ")
				got = strings.Join(strings.Fields(got), " ")
			}
		}
		if got != c.want {
			t.Errorf("%q: got %s, want %s", c.values, got, c.want)
		}
	}
}
