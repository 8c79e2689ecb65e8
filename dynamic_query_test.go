package userdata_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

var (
	toolID    = userdata.ColumnOf(func(x *tool) *uint16 { return &x.ID })
	toolName  = userdata.ColumnOf(func(x *tool) *label { return &x.Name })
	toolCost  = userdata.ColumnOf(func(x *tool) **float32 { return &x.Cost })
	toolTags  = userdata.ColumnOf(func(x *tool) *[]string { return &x.Tags })
	toolMade  = userdata.ColumnOf(func(x *tool) *time.Time { return &x.Made })
	toolCount = userdata.ColumnOf(func(x *tool) *int8 { return &x.Count })
	toolRaw   = userdata.ColumnOf(func(x *tool) *[]byte { return &x.Raw })
)

// manyTools returns the path of a file with tools of many values, some alike.
func manyTools(t *testing.T) string {
	t.Helper()
	path := toolFile(t)
	db, err := userdata.Open(path, nil, tools)
	ok(t, err)
	var more []any
	for i := range 60 {
		x := &tool{ID: uint16(100 + i), Name: label(string(rune('a'+i%26)) + strings.Repeat("x", i/26)), Made: at(2026, 1, 1+i%7, 0, 0, 0, 0), Count: int8(i%5 - 2), Raw: []byte{byte(i % 3)}, Tags: []string{string(rune('a' + i%4)), "t"}}
		if i%3 > 0 {
			x.Cost = ptr(float32(i % 10))
		}
		more = append(more, x)
	}
	putAll(t, db, more...)
	ok(t, db.Close())
	return path
}

// A query by names has the plan and the answers of the typed query.
func TestRowQuery(t *testing.T) {
	t.Parallel()
	path := manyTools(t)
	typed, err := userdata.Open(path, &userdata.Options{ReadOnly: true}, tools)
	ok(t, err)
	defer typed.Close()
	db, err := userdata.OpenFile(path, &userdata.Options{ReadOnly: true})
	ok(t, err)
	defer db.Close()
	rows, err := db.Rows("tools")
	ok(t, err)
	const (
		id, name, cost, tags = userdata.RowColumn("id"), userdata.RowColumn("name"), userdata.RowColumn("cost"), userdata.RowColumn("tags")
		made, count, raw     = userdata.RowColumn("made"), userdata.RowColumn("count"), userdata.RowColumn("raw")
	)
	day := at(2026, 1, 3, 0, 0, 0, 0)
	all, allRows := tools.Select(typed.NewSession()), rows.Select(db.NewSession())
	for _, tt := range []struct {
		what string
		want userdata.Query[tool]
		got  userdata.RowQuery
	}{
		{"all", all, allRows},
		{"key", all.Where(toolID.Eq(7)), allRows.Where(id.Eq(7))},
		{"key as text", all.Where(toolID.Eq(7)), allRows.Where(id.Eq("7"))},
		{"key range", all.Where(toolID.Gt(9), toolID.Le(120)), allRows.Where(id.Gt(9), id.Le(120))},
		{"keys", all.Where(toolID.In(9, 101, 5000)), allRows.Where(id.In(9, 101, 5000))},
		{"unique", all.Where(toolName.Eq("saw")), allRows.Where(name.Eq("saw"))},
		{"not", all.Where(toolName.Ne("saw")), allRows.Where(name.Ne("saw"))},
		{"prefix", all.Where(userdata.HasPrefix(toolName, "a")), allRows.Where(name.HasPrefix("a"))},
		{"prefix of bytes", all.Where(userdata.HasPrefix(toolRaw, []byte{1})), allRows.Where(raw.HasPrefix("\x01"))},
		{"null", all.Where(toolCost.Eq(nil)), allRows.Where(cost.Eq(nil))},
		{"not null", all.Where(toolCost.Ne(nil)), allRows.Where(cost.Ne(nil))},
		{"number", all.Where(toolCost.Ge(ptr(float32(4)))), allRows.Where(cost.Ge(4.0))},
		{"between", all.Where(toolMade.Between(day, day.Add(48*time.Hour))), allRows.Where(made.Between(day, "2026-01-05T00:00:00Z"))},
		{"composite", all.Where(toolMade.Eq(day), toolCount.Lt(1)), allRows.Where(made.Eq(day), count.Lt(1))},
		{"element", all.Where(userdata.Contains(toolTags, "b")), allRows.Where(tags.Contains("b"))},
		{"or", all.Where(userdata.Or(toolID.Eq(7), userdata.Not(toolCount.Ge(-1)))), allRows.Where(userdata.Or(id.Eq(7), userdata.Not(count.Ge(-1))))},
		{"order of an index", all.OrderBy(toolCost.Desc()).Limit(7), allRows.OrderBy(cost.Desc()).Limit(7)},
		{"order by two", all.OrderBy(toolCount.Asc(), toolName.Desc()).Limit(20), allRows.OrderBy(count.Asc(), name.Desc()).Limit(20)},
		{"filter", all.Where(toolCount.Ge(0), userdata.Match(func(x *tool) bool { return x.ID%2 == 0 })), allRows.Where(count.Ge(0)).Filter(func(r *userdata.Row) bool {
			v, err := r.Get("id")
			return err == nil && v.(uint16)%2 == 0
		})},
		{"untracked", all.Where(toolCount.Eq(2)).Untracked(), allRows.Where(count.Eq(2)).Untracked()},
	} {
		t.Run(tt.what, func(t *testing.T) {
			want, err := tt.want.Explain()
			ok(t, err)
			got, err := tt.got.Explain()
			ok(t, err)
			if d := cmp.Diff(want.String(), got.String()); d != "" {
				t.Errorf("plan (-typed +named):\n%s", d)
			}
			found, err := tt.want.All(t.Context())
			ok(t, err)
			var keys []any
			for _, x := range found {
				keys = append(keys, x.ID)
			}
			if d := cmp.Diff(keys, idsOf(t, tt.got)); d != "" {
				t.Errorf("answers (-typed +named):\n%s", d)
			}
			if n, err := tt.got.Count(t.Context()); err != nil || n != len(found) {
				t.Errorf("got count %d, %v, want %d", n, err, len(found))
			}
			var streamed []any
			for r, err := range tt.got.Rows(t.Context()) {
				ok(t, err)
				streamed = append(streamed, mustGet(t, r, "id"))
			}
			if d := cmp.Diff(keys, streamed); d != "" {
				t.Errorf("one by one (-typed +named):\n%s", d)
			}
		})
	}
}

// idsOf returns the ids of a query's rows.
func idsOf(t *testing.T, q userdata.RowQuery) (ids []any) {
	t.Helper()
	found, err := q.All(t.Context())
	ok(t, err)
	for _, r := range found {
		ids = append(ids, mustGet(t, r, "id"))
	}
	return ids
}

// Pages by cursor join to the whole, in each order.
func TestRowQueryPages(t *testing.T) {
	t.Parallel()
	db, err := userdata.OpenFile(manyTools(t), nil)
	ok(t, err)
	defer db.Close()
	rows, err := db.Rows("tools")
	ok(t, err)
	s := db.NewSession()
	for _, orders := range [][]userdata.Order[userdata.Row]{nil, {userdata.RowColumn("id").Desc()}, {userdata.RowColumn("count").Asc(), userdata.RowColumn("cost").Desc()}} {
		q := rows.Select(s).OrderBy(orders...)
		var pages []any
		for cursor, n := "", 1; n > 0; {
			page, err := q.After(cursor).Limit(13).All(t.Context())
			ok(t, err)
			for _, r := range page {
				pages = append(pages, mustGet(t, r, "id"))
			}
			if n = len(page); n > 0 {
				cursor, err = q.Cursor(page[n-1])
				ok(t, err)
			}
		}
		if d := cmp.Diff(idsOf(t, q), pages); d != "" {
			t.Errorf("pages (-whole +pages):\n%s", d)
		}
	}
	r := rows.New() // a place between two keys
	ok(t, r.Set("id", 8))
	cursor, err := rows.Select(s).Cursor(r)
	ok(t, err)
	if d := cmp.Diff([]any{uint16(9)}, idsOf(t, rows.Select(s).After(cursor).Limit(1))); d != "" {
		t.Errorf("after 8 (-want +got):\n%s", d)
	}
}

// Rows are records of the session: pending ones answer, deleted ones do not.
func TestRowQueryDelete(t *testing.T) {
	t.Parallel()
	db, err := userdata.OpenFile(manyTools(t), nil)
	ok(t, err)
	defer db.Close()
	rows, err := db.Rows("tools")
	ok(t, err)
	s := db.NewSession()
	count := userdata.RowColumn("count")
	fresh := rows.New()
	ok(t, fresh.Set("id", 1))
	ok(t, fresh.Set("name", "new"))
	ok(t, fresh.Set("count", 100))
	ok(t, s.Add(fresh.Record()))
	if d := cmp.Diff([]any{uint16(1)}, idsOf(t, rows.Select(s).Where(count.Gt(99)))); d != "" {
		t.Errorf("pending (-want +got):\n%s", d)
	}
	n, err := rows.Select(s).Where(count.Lt(2)).Delete(t.Context())
	ok(t, err)
	if n != 50 {
		t.Errorf("deleted %d, want 50", n)
	}
	ok(t, s.Commit(t.Context()))
	if n, err := rows.Select(db.NewSession()).Count(t.Context()); err != nil || n != 13 {
		t.Errorf("got %d left, %v, want 13", n, err)
	}
	ok(t, userdata.CheckRecords(t.Context(), db))
}

// What makes no sense is ErrInvalid, and says which column.
func TestRowQueryNonsense(t *testing.T) {
	t.Parallel()
	db, err := userdata.OpenFile(toolFile(t), nil)
	ok(t, err)
	defer db.Close()
	other, err := userdata.OpenFile(toolFile(t), nil)
	ok(t, err)
	defer other.Close()
	rows, err := db.Rows("tools")
	ok(t, err)
	s := db.NewSession()
	q := rows.Select(s)
	c := func(name string) userdata.RowColumn { return userdata.RowColumn(name) }
	for what, q := range map[string]userdata.RowQuery{
		"none":                q.Where(c("none").Eq(1)),
		"nope":                q.OrderBy(c("nope").Asc()),
		"id":                  q.Where(userdata.Or(c("count").Eq(1), userdata.Not(c("id").Eq(70000)))),
		"name":                q.Where(c("name").Eq(nil)),
		"made":                q.Where(c("made").Lt("yesterday")),
		"count":               q.Where(c("count").HasPrefix("1")),
		"cost":                q.Where(c("cost").Contains(1)),
		"tags":                q.Where(c("tags").Contains(1)),
		"where":               q.OrderBy(c("where").Asc()),
		"pair":                q.Where(c("pair").Lt(nil)),
		"limit":               q.Limit(-1),
		"cursor":              q.After("x"),
		"nil":                 q.Filter(nil),
		"Filter":              q.Where(userdata.Match(func(*userdata.Row) bool { return true })),
		"zero":                {},
		"zero C":              q.OrderBy(userdata.Order[userdata.Row]{}),
		"of another database": rows.Select(other.NewSession()),
	} {
		_, err := q.All(t.Context())
		is(t, err, userdata.ErrInvalid)
		if !strings.Contains(err.Error(), what) {
			t.Errorf("got %q, want it to name %q", err, what)
		}
	}
	row, err := rows.Get(t.Context(), s, 7)
	ok(t, err)
	_, err = q.Cursor(nil)
	is(t, err, userdata.ErrInvalid)
	_, err = userdata.RowQuery{}.Cursor(row)
	is(t, err, userdata.ErrInvalid)
}
