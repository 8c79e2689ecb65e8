package userdata_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

// A tool's table has columns of every kind of type.
type tool struct {
	ID    uint16    `userdata:"id,key"`
	Name  label     `userdata:"name,size=12,unique"`
	Cost  *float32  `userdata:"cost,index"`
	Tags  []string  `userdata:"tags,index"`
	Made  time.Time `userdata:"made,index=by_made:1"`
	Count int8      `userdata:"count,index=by_made:2"`
	Raw   []byte    `userdata:"raw"`
	Hash  [4]byte   `userdata:"hash"`
	Mood  mood      `userdata:"mood"`
	Pair  *pair     `userdata:"pair"`
	Where struct {
		Y, X int
		Name *string `userdata:"name"`
	} `userdata:"where"`
	More map[int]*[2]bool `userdata:"more"`
}

var tools = userdata.NewTable[tool]("tools")

// toolFile returns the path of a file with two tools.
func toolFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tools.db")
	db, err := userdata.Open(path, nil, tools)
	ok(t, err)
	a := &tool{ID: 7, Name: "saw", Cost: ptr(float32(2.5)), Tags: []string{"b", "a"}, Made: at(2026, 10, 12, 0, 0, 0, 5), Count: -3, Raw: []byte{}, Hash: [4]byte{1, 2}, More: map[int]*[2]bool{-1: {true, false}, 10: nil, 2: nil}}
	a.Where.X, a.Where.Name = 4, ptr("shed")
	putAll(t, db, a, &tool{ID: 9, Name: "axe"})
	ok(t, db.Close())
	return path
}

// A program without the types lists, reads and edits a file with all checks.
func TestRows(t *testing.T) {
	t.Parallel()
	path := toolFile(t)
	before := bytesOf(t, path)
	db, err := userdata.OpenFile(path, nil)
	ok(t, err)
	if bytesOf(t, path) != before {
		t.Error("opening altered the file")
	}
	rows, err := db.Rows("tools")
	ok(t, err)
	if d := cmp.Diff(tools.Columns(), rows.Columns()); d != "" {
		t.Errorf("columns (-want +got):\n%s", d)
	}
	s := db.NewSession()
	r, err := rows.Get(t.Context(), s, "7")
	ok(t, err)
	want := []userdata.Entry{
		{"id", uint16(7)}, {"name", "saw"}, {"cost", float32(2.5)}, {"tags", []any{"b", "a"}}, {"made", at(2026, 10, 12, 0, 0, 0, 5)}, {"count", int8(-3)},
		{"raw", []byte{}}, {"hash", []byte{1, 2, 0, 0}}, {"mood", mustGet(t, r, "mood")}, {"pair", nil},
		{"where", []userdata.Entry{{"X", 4}, {"Y", 0}, {"name", "shed"}}},
		{"more", []userdata.Entry{{-1, []any{true, false}}, {2, nil}, {10, nil}}},
	}
	if d := cmp.Diff(want, r.Values()); d != "" {
		t.Errorf("values (-want +got):\n%s", d)
	}
	for _, e := range r.Values() { // what is got can be set
		if err := r.Set(e.Key.(string), e.Value); err != nil {
			t.Error(err)
		}
	}
	ok(t, s.Commit(t.Context()))
	if bytesOf(t, path) != before {
		t.Error("setting what was there altered the file")
	}
	for _, set := range []struct {
		column string
		value  any
	}{{"id", "x"}, {"id", 70000}, {"count", 128}, {"cost", 0.1}, {"name", nil}, {"hash", []byte{1}}, {"where", []userdata.Entry{{"Z", 1}}}, {"none", 1}, {"more", 5}, {"tags", []any{1}}, {"made", "now"}} {
		is(t, r.Set(set.column, set.value), userdata.ErrInvalid)
	}
	ok(t, r.Set("cost", nil))
	ok(t, r.SetText("count", "44"))
	is(t, r.SetText("count", "999"), userdata.ErrInvalid)
	ok(t, r.Set("where", []userdata.Entry{{"X", 5}}))
	fresh := rows.New()
	ok(t, fresh.SetText("id", "8"))
	ok(t, fresh.Set("name", "saw"))
	ok(t, s.Add(fresh.Record()))
	is(t, s.Commit(t.Context()), userdata.ErrExists)
	ok(t, fresh.Set("name", "a name that is too long"))
	is(t, s.Commit(t.Context()), userdata.ErrInvalid)
	ok(t, fresh.Set("name", "drill"))
	axe, err := rows.Get(t.Context(), s, 9)
	ok(t, err)
	ok(t, s.Delete(axe.Record()))

	other := db.NewSession()
	stale, err := rows.Get(t.Context(), other, 7)
	ok(t, err)
	ok(t, stale.Set("count", 1))
	ok(t, s.Commit(t.Context()))
	is(t, other.Commit(t.Context()), userdata.ErrConflict)
	var keys []any
	for r, err := range rows.All(t.Context(), db.NewSession(), nil, -1) {
		ok(t, err)
		keys = append(keys, mustGet(t, r, "id"))
	}
	for r, err := range rows.All(t.Context(), db.NewSession(), 7, 1) {
		ok(t, err)
		keys = append(keys, mustGet(t, r, "id"))
	}
	if d := cmp.Diff([]any{uint16(7), uint16(8), uint16(8)}, keys); d != "" {
		t.Errorf("keys, and after 7 (-want +got):\n%s", d)
	}
	ok(t, userdata.CheckRecords(t.Context(), db))
	ok(t, db.Close())

	typed, err := userdata.Open(path, nil, tools)
	ok(t, err)
	defer typed.Close()
	ok(t, userdata.CheckRecords(t.Context(), typed))
	got, err := tools.Get(t.Context(), typed.NewSession(), uint16(7))
	ok(t, err)
	if got.Cost != nil || got.Count != 44 || got.Where.X != 5 || got.Where.Name != nil {
		t.Errorf("got %+v, want the edited tool", got)
	}
}

func mustGet(t *testing.T, r *userdata.Row, column string) any {
	t.Helper()
	v, err := r.Get(column)
	ok(t, err)
	return v
}

// The golden file opens without its types, and is not altered by it.
func TestRowsOfFormat1(t *testing.T) {
	t.Parallel()
	original, err := os.ReadFile(formatFile)
	ok(t, err)
	path := filepath.Join(t.TempDir(), "format-1.db")
	ok(t, os.WriteFile(path, original, 0o600))
	db, err := userdata.OpenFile(path, nil)
	ok(t, err)
	if got := len(db.Schema().Tables); got != len(formatTables) {
		t.Errorf("got %d tables, want %d", got, len(formatTables))
	}
	ok(t, userdata.CheckRecords(t.Context(), db)) // decodes, and encodes to the same bytes
	ok(t, db.Close())
	if bytesOf(t, path) != string(original) {
		t.Error("the file was altered")
	}
	_, err = userdata.OpenFile(filepath.Join(t.TempDir(), "none.db"), nil)
	is(t, err, fs.ErrNotExist)
}

// A plan says what Open will do, and changes nothing; an empty one is true.
func TestPlanOpen(t *testing.T) {
	t.Parallel()
	path := taskFile(t)
	before := bytesOf(t, path)
	opts := &userdata.Options{Migrations: []userdata.Migration{{Name: "1-drop", Steps: []userdata.Step{userdata.DropColumn("tasks", "count"), userdata.DropTable("none")}}}}
	plan, err := userdata.PlanOpen(path, nil, tasksNew)
	ok(t, err)
	if plan.New || plan.Version != 1 || len(plan.Changes) != 13 || !plan.Copied || plan.Empty() {
		t.Errorf("got %+v", plan)
	}
	_, err = userdata.PlanOpen(path, opts, tasksOld)
	is(t, err, userdata.ErrSchema)
	plan, err = userdata.PlanOpen(path, nil, tasksOld)
	ok(t, err)
	if !plan.Empty() || plan.String() != "nothing to do\n" {
		t.Errorf("got %v, want an empty plan", plan)
	}
	plan, err = userdata.PlanOpen(filepath.Join(t.TempDir(), "new.db"), opts, tasksNew)
	ok(t, err)
	if !plan.New || plan.Empty() || len(plan.Changes) != 1 {
		t.Errorf("got %+v, want a new file with one table", plan)
	}
	if bytesOf(t, path) != before {
		t.Error("planning altered the file")
	}
	db, err := userdata.Open(path, nil, tasksNew)
	ok(t, err)
	ok(t, db.Close())
	if plan, err = userdata.PlanOpen(path, nil, tasksNew); err != nil || !plan.Empty() {
		t.Errorf("got %v, %v, want nothing more to do", plan, err)
	}
}
