package userdata_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-5df914be/userdata"
)

// bulkTable is a table that no program has a type for.
var bulkTable = userdata.TableSchema{
	Name: "stations",
	Columns: []userdata.ColumnSchema{
		{Name: "id", Type: "int64", Key: true},
		{Name: "name", Type: "string", Size: 20},
		{Name: "height", Type: "float64", Nullable: true},
	},
	Indexes: []userdata.IndexSchema{{Name: "name", Columns: []string{"name"}, Unique: true}},
}

// fillStations adds n stations, a hundred a commit.
func fillStations(ctx context.Context, s *userdata.Session, stations *userdata.RowTable, n int, name func(i int) string) error {
	for i := range n {
		row := stations.New()
		err := errors.Join(row.Set("id", i), row.Set("name", name(i)), s.Add(row.Record()))
		if err == nil && i%100 == 99 {
			err = s.Commit(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Bulk makes a table and all that is committed to it, or nothing at all.
func TestBulk(t *testing.T) {
	t.Parallel()
	errStop := errors.New("stop")
	path := filepath.Join(t.TempDir(), "bulk.db")
	db, err := userdata.Open(path, nil, tools)
	ok(t, err)
	putAll(t, db, &tool{ID: 7, Name: "saw"})
	stations, err := userdata.NewRowTable(bulkTable)
	ok(t, err)
	before := bytesOf(t, path)
	fails := map[string]func(ctx context.Context, s *userdata.Session) error{
		"an error": func(ctx context.Context, s *userdata.Session) error {
			return errors.Join(fillStations(ctx, s, stations, 250, planKey), errStop)
		},
		"what is left does not fit": func(ctx context.Context, s *userdata.Session) error {
			return fillStations(ctx, s, stations, 250, func(i int) string { return planKey(i % 240) })
		},
	}
	for what, fn := range fails {
		if err := db.Bulk(t.Context(), fn, stations); !errors.Is(err, errStop) && !errors.Is(err, userdata.ErrExists) {
			t.Errorf("%s: got %v", what, err)
		}
		if bytesOf(t, path) != before {
			t.Errorf("%s: the file is changed", what)
		}
	}
	func() {
		defer func() { _ = recover() }()
		_ = db.Bulk(t.Context(), func(ctx context.Context, s *userdata.Session) error {
			_ = fillStations(ctx, s, stations, 250, planKey)
			panic("stop")
		}, stations)
	}()
	if bytesOf(t, path) != before {
		t.Error("a panic: the file is changed")
	}
	ok(t, db.Bulk(t.Context(), func(ctx context.Context, s *userdata.Session) error {
		return fillStations(ctx, s, stations, 250, planKey)
	}, stations))
	if err := db.Bulk(t.Context(), func(context.Context, *userdata.Session) error { return nil }, stations); !errors.Is(err, userdata.ErrExists) {
		t.Errorf("a table that is there: got %v, want ErrExists", err)
	}
	ok(t, db.Close())
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("the folder: got %v %v, want one file", left, err)
	}
	checkStations(t, path)
}

// checkStations wants 250 stations in a sound file, and its index to serve them.
func checkStations(t *testing.T, path string) {
	t.Helper()
	db, err := userdata.OpenFile(path, nil)
	ok(t, err)
	defer db.Close()
	rows, err := db.Rows("stations")
	ok(t, err)
	s := db.NewSession()
	n, err := rows.Select(s).Count(t.Context())
	ok(t, err)
	named, err := rows.Select(s).Where(userdata.RowColumn("name").Eq(planKey(249))).Count(t.Context())
	ok(t, err)
	if n != 250 || named != 1 {
		t.Errorf("got %d stations, %d of the name, want 250 and 1", n, named)
	}
	report, err := db.Store().(*userdata.BoltStore).Check(t.Context())
	ok(t, err)
	if len(report.Problems) > 0 {
		t.Errorf("the check finds %v", report.Problems)
	}
}

// In memory Bulk is a commit of its own.
func TestBulkInMemory(t *testing.T) {
	t.Parallel()
	store := userdata.NewMemStore()
	db, err := userdata.OpenStore(t.Context(), store, nil)
	ok(t, err)
	stations, err := userdata.NewRowTable(bulkTable)
	ok(t, err)
	ok(t, db.Bulk(t.Context(), func(ctx context.Context, s *userdata.Session) error {
		return fillStations(ctx, s, stations, 250, planKey)
	}, stations))
	again, err := userdata.OpenRows(t.Context(), store, nil)
	ok(t, err)
	rows, err := again.Rows("stations")
	ok(t, err)
	if n, err := rows.Select(again.NewSession()).Count(t.Context()); n != 250 || err != nil {
		t.Errorf("got %d stations and %v, want 250", n, err)
	}
}

// What can't be a table is refused where it is declared.
func TestNewRowTable(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(s *userdata.TableSchema){
		"the package's own name":       func(s *userdata.TableSchema) { s.Name = "_meta" },
		"a name with a comma":          func(s *userdata.TableSchema) { s.Columns[1].Name = "name,key" },
		"no type":                      func(s *userdata.TableSchema) { s.Columns[1].Type = "text" },
		"no key":                       func(s *userdata.TableSchema) { s.Columns[0].Key = false },
		"two keys":                     func(s *userdata.TableSchema) { s.Columns[1].Key = true },
		"a column twice":               func(s *userdata.TableSchema) { s.Columns[1].Name = "id" },
		"an index on what isn't there": func(s *userdata.TableSchema) { s.Indexes[0].Columns = []string{"nobody"} },
	} {
		s := userdata.TableSchema{Name: bulkTable.Name, Columns: append([]userdata.ColumnSchema{}, bulkTable.Columns...), Indexes: append([]userdata.IndexSchema{}, bulkTable.Indexes...)}
		change(&s)
		if _, err := userdata.NewRowTable(s); !errors.Is(err, userdata.ErrInvalid) && !errors.Is(err, userdata.ErrSchema) {
			t.Errorf("%s: got %v, want ErrInvalid or ErrSchema", what, err)
		}
	}
}
