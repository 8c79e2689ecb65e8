package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jedib0t/go-pretty/v6/text"
)

// A table fits its terminal, whatever the letters are; where there is no room for
// one, each record has lines of its own.
func TestTableWidth(t *testing.T) {
	t.Parallel()
	records := [][]any{
		{1, "漢字かな漢字かな", nil, "short"},
		{20000, "latin", time.Date(2026, 10, 12, 19, 58, 0, 5, time.UTC), strings.Repeat("long ", 20)},
	}
	for _, tt := range []struct {
		width int
		want  string
	}{
		{0, `
    n  漢                at                    text
    1  漢字かな漢字かな  null                  short
20000  latin             2026-10-12 19:58:00Z  ` + strings.Repeat("long ", 20)},
		{50, `
    n  漢             at             text
    1  漢字かな漢字…  null           short
20000  latin          2026-10-12 1…  long long lo…`},
		{24, `
n     1
漢    漢字かな漢字かな
at    null
text  short

n     20000
漢    latin
at    2026-10-12 19:58:…
text  long long long lo…`},
	} {
		var b bytes.Buffer
		out := newOutput(&b, style{format: "table", zone: time.UTC, width: tt.width}, []string{"n", "漢", "at", "text"})
		for _, r := range records {
			if err := out.write(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := out.close(); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(strings.TrimPrefix(tt.want, "\n")+"\n", b.String()); d != "" {
			t.Errorf("width %d (-want +got):\n%s", tt.width, d)
		}
		for _, line := range strings.Split(b.String(), "\n") {
			if n := text.StringWidthWithoutEscSequences(line); tt.width > 0 && n > tt.width {
				t.Errorf("width %d: %q takes %d", tt.width, line, n)
			}
		}
	}
}

// No width is cut below the least, and none more than it must be.
func TestFit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		widths []int
		room   int
		want   []int
	}{
		{[]int{3, 10}, 20, []int{3, 10}},
		{[]int{3, 30}, 20, []int{3, 17}},
		{[]int{20, 30, 5}, 45, []int{20, 20, 5}},
		{[]int{20, 30, 5}, 40, []int{17, 18, 5}},
		{[]int{20, 30, 5}, 3, []int{6, 6, 5}},
		{nil, 3, nil},
	} {
		if d := cmp.Diff(tt.want, fit(append([]int(nil), tt.widths...), tt.room)); d != "" {
			t.Errorf("fit(%v, %d) (-want +got):\n%s", tt.widths, tt.room, d)
		}
	}
}
