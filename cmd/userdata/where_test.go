package main

import (
	"strings"
	"testing"

	"github.com/expr-lang/expr"
	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

// What the library answers is what the expression says of each record; and what an
// index or the key can narrow down, it answers.
func TestWhere(t *testing.T) {
	t.Parallel()
	db, err := userdata.OpenFile(sampleFile(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, tt := range []struct {
		table, where string
		rest         string // what the library can't answer
	}{
		{"notes", `id == 2`, ``},
		{"notes", `2 == id`, ``},
		{"notes", `2 < id`, ``},
		{"notes", `10 >= id`, ``},
		{"notes", `id != 2 and title != "Milk"`, ``},
		{"notes", `id in [1, 10]`, ``},
		{"notes", `id in []`, ``},
		{"notes", `id in [1, 2.5]`, `id in [1, 2.5]`},
		{"notes", `id < 2.5`, `id < 2.5`},
		{"notes", `id > -1`, `id > -1`},
		{"notes", `stars < 1000`, `stars < 1000`},
		{"notes", `not (id == 2)`, ``},
		{"notes", `!(due > "2026-01-01")`, ``},
		{"notes", `!(due > "2026-01-01" or stars + 1 == 2)`, `!(due > "2026-01-01" or stars + 1 == 2)`},
		{"notes", `done`, ``},
		{"notes", `!done`, ``},
		{"notes", `done == false`, ``},
		{"notes", `title startsWith "B"`, ``},
		{"notes", `title startsWith "漢"`, ``},
		{"notes", `title endsWith "red"`, `title endsWith "red"`},
		{"notes", `due == nil`, ``},
		{"notes", `due != nil && price == 0.1`, ``},
		{"notes", `price > 0.1`, ``},
		{"notes", `price >= 0.1 && price < 2.6`, ``},
		{"notes", `price in [nil, 0.1]`, ``},
		{"notes", `price == 2.5`, ``},
		{"notes", `price != 2.5`, ``},
		{"notes", `price == 0.12345678901`, `price == 0.12345678901`},
		{"notes", `price > 1`, ``},
		{"notes", `due <= "2026-10-12T19:58:00.123456789Z"`, ``},
		{"notes", `due < "2026-10-12T19:58:00.123456789Z"`, ``},
		{"notes", `due in ["2026-10-12T19:58:00.123456789Z"]`, ``},
		{"notes", `due > date("2026-10-12") - duration("24h")`, ``},
		{"notes", `"home" in tags`, ``},
		{"notes", `"home" in tags and "shop" in tags`, ``},
		{"notes", `"home" in tags or stars > 4`, ``},
		{"notes", `any(tags, # == "home")`, `any(tags, # == "home")`},
		{"notes", `stars == id`, `stars == id`},
		{"notes", `stars > 2 && (id == 1 || len(title) > 5)`, `id == 1 || len(title) > 5`},
		{"notes", `$env["stars"] > 2`, ``},
		{"notes", `stars > 1 + 1`, ``},
		{"notes", `1 < 2 and stars > 2`, `1 < 2`},
		{"samples", `b`, ``},
		{"samples", `u64 == 0`, ``},
		{"samples", `u64 > 9223372036854775807`, ``},
		{"samples", `i8 == -128`, ``},
		{"samples", `f32 == 0.1`, ``},
		{"samples", `f64 > 1`, ``},
		{"samples", `f64 <= 0`, ``},
		{"samples", `f64 != 0`, ``},
		{"samples", `y == ""`, `y == ""`},
		{"samples", `s == ""`, ``},
		{"samples", `ps == nil`, ``},
		{"samples", `ps contains "漢"`, `ps contains "漢"`},
		{"samples", `ps startsWith "ü"`, `ps startsWith "ü"`},
		{"samples", `t > "0001-01-01T00:00:01Z"`, ``},
		{"samples", `pt > "2026-01-01" and pt < now() + duration("900000h")`, ``},
		{"samples", `stamp == "s"`, ``},
		{"samples", `words["b"] == 1`, `words.b == 1`},
		{"samples", `counts["-1"] == true`, `counts["-1"] == true`},
		{"samples", `len(hash) == 4`, `len(hash) == 4`},
		{"samples", `tree != nil and tree.name == "root"`, `(tree != nil) and (tree.name == "root")`},
	} {
		t.Run(tt.table+" "+tt.where, func(t *testing.T) {
			table, err := db.Rows(tt.table)
			if err != nil {
				t.Fatal(err)
			}
			s := db.NewSession()
			defer s.Close()
			c, err := parseWhere(table, s, tt.where)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.ReplaceAll(c.rest, " && ", " and "); got != strings.ReplaceAll(tt.rest, " && ", " and ") {
				t.Errorf("got rest %q, want %q", c.rest, tt.rest)
			}
			var got, want []any
			for row, err := range c.apply(table.Select(s)).Rows(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				id, _ := row.Get("id")
				got = append(got, id)
			}
			if c.err != nil {
				t.Fatal(c.err)
			}
			program, err := compile(c.env, tt.where) // all of it, by the expression alone
			if err != nil {
				t.Fatal(err)
			}
			for row, err := range table.Select(s).Rows(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				v, err := expr.Run(program, c.env.values(row))
				if err != nil {
					t.Fatal(err)
				}
				if v == true {
					id, _ := row.Get("id")
					want = append(want, id)
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("records (-expression +library):\n%s", d)
			}
		})
	}
}
