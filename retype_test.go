package userdata_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

// A column gets another type without the Go types, its null, size and indexes too;
// a value that does not fit leaves the file as it was.
func TestRetypeColumn(t *testing.T) {
	t.Parallel()
	path := toolFile(t)
	run := func(to userdata.ColumnSchema, fn func(any) (any, error)) error {
		db, err := userdata.Open(path, &userdata.Options{NoBackup: true, Migrations: []userdata.Migration{{Name: "m-" + to.Name + to.Type, Steps: []userdata.Step{userdata.RetypeColumn("tools", to, fn)}}}})
		if err == nil {
			err = db.Close()
		}
		return err
	}
	text := func(v any) (any, error) { return fmt.Sprint(v), nil }
	before := bytesOf(t, path)
	is(t, run(userdata.ColumnSchema{Name: "id", Type: "string"}, text), userdata.ErrSchema)
	is(t, run(userdata.ColumnSchema{Name: "count", Type: "string", Key: true}, text), userdata.ErrSchema)
	is(t, run(userdata.ColumnSchema{Name: "count", Type: "strings"}, text), userdata.ErrInvalid)
	is(t, run(userdata.ColumnSchema{Name: "count", Type: "string", Size: 1}, text), userdata.ErrInvalid)
	is(t, run(userdata.ColumnSchema{Name: "count", Type: "int8"}, text), userdata.ErrInvalid)
	is(t, run(userdata.ColumnSchema{Name: "cost", Type: "float32"}, func(v any) (any, error) { return v, nil }), userdata.ErrInvalid)
	is(t, run(userdata.ColumnSchema{Name: "count", Type: "string"}, func(any) (any, error) { return nil, userdata.ErrReadOnly }), userdata.ErrReadOnly)
	if bytesOf(t, path) != before {
		t.Error("a migration that failed altered the file")
	}
	ok(t, run(userdata.ColumnSchema{Name: "count", Type: "string", Size: 2}, text))
	ok(t, run(userdata.ColumnSchema{Name: "cost", Type: "string"}, text))
	ok(t, run(userdata.ColumnSchema{Name: "name", Type: "string", Size: 8, Nullable: true}, func(v any) (any, error) {
		if v == "axe" {
			return nil, nil
		}
		return v, nil
	}))
	db, err := userdata.OpenFile(path, nil)
	ok(t, err)
	defer db.Close()
	ok(t, userdata.CheckRecords(t.Context(), db))
	rows, err := db.Rows("tools")
	ok(t, err)
	var got []any
	for r, err := range rows.All(t.Context(), db.NewSession(), nil, -1) {
		ok(t, err)
		got = append(got, mustGet(t, r, "count"), mustGet(t, r, "cost"), mustGet(t, r, "name"), mustGet(t, r, "tags"))
	}
	if d := cmp.Diff([]any{"-3", "2.5", "saw", []any{"b", "a"}, "0", "<nil>", nil, nil}, got); d != "" {
		t.Errorf("values (-want +got):\n%s", d)
	}
	var indexes []string
	for _, x := range rows.Schema().Indexes {
		indexes = append(indexes, x.Name)
	}
	if d := cmp.Diff([]string{"tags"}, indexes); d != "" {
		t.Errorf("indexes that are left (-want +got):\n%s", d)
	}
}
