package userdata_test

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

// A table as the versions of a program declare it.
type (
	taskOld struct {
		ID    int32    `userdata:"id,key"`
		Title string   `userdata:"title,size=20,index"`
		Body  []byte   `userdata:"body,unique"`
		Price float32  `userdata:"price,index"`
		Count uint16   `userdata:"count"`
		Late  *float32 `userdata:"late"`
	}
	taskNew struct {
		ID    int64         `userdata:"id,key"`
		Name  string        `userdata:"name,was=title,size=40,index=title"`
		Body  *[]byte       `userdata:"body,unique"`
		Price float64       `userdata:"price,index"`
		Count uint64        `userdata:"count"`
		Late  *float64      `userdata:"late"`
		Done  bool          `userdata:"done,default=true,index"`
		Wait  time.Duration `userdata:"wait,default=90s"`
		Due   time.Time     `userdata:"due,default=2026-10-12T19:58:00Z"`
		Note  *string       `userdata:"note"`
		Kind  *string       `userdata:"kind,default=plain"`
	}
)

var (
	tasksOld = userdata.NewTable[taskOld]("tasks")
	tasksNew = userdata.NewTable[taskNew]("tasks")
)

// taskFile returns the path of a file of old tasks.
func taskFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tasks.db")
	db, err := userdata.Open(path, nil, tasksOld)
	ok(t, err)
	putAll(t, db,
		&taskOld{ID: -5, Title: "first", Body: []byte("a"), Price: 1.5, Count: 65535, Late: ptr(float32(0.1))},
		&taskOld{ID: 7, Title: "second", Price: float32(math.NaN())},
		&taskOld{ID: 8, Title: "third", Body: []byte{}, Price: -0.25})
	ok(t, db.Close())
	return path
}

// newTasks are the tasks of taskFile as the new version sees them.
func newTasks() []*taskNew {
	due := at(2026, 10, 12, 19, 58, 0, 0)
	return []*taskNew{
		{ID: -5, Name: "first", Body: ptr([]byte("a")), Price: 1.5, Count: 65535, Late: ptr(float64(float32(0.1))), Done: true, Wait: 90 * time.Second, Due: due, Kind: ptr("plain")},
		{ID: 7, Name: "second", Price: math.NaN(), Done: true, Wait: 90 * time.Second, Due: due, Kind: ptr("plain")},
		{ID: 8, Name: "third", Body: ptr([]byte{}), Price: -0.25, Done: true, Wait: 90 * time.Second, Due: due, Kind: ptr("plain")},
	}
}

// Everything that can't lose anything is taken at once, and once.
func TestEvolveTakes(t *testing.T) {
	t.Parallel()
	path := taskFile(t)
	opened := bytesOf(t, path)
	readOnly, err := userdata.Open(path, &userdata.Options{ReadOnly: true}, tasksNew)
	ok(t, err)
	sameRecords(t, readOnly, tasksNew, newTasks())
	ok(t, readOnly.Close())
	if bytesOf(t, path) != opened {
		t.Error("opening read-only altered the file")
	}
	for range 2 {
		db, err := userdata.Open(path, nil, tasksNew)
		ok(t, err)
		sameRecords(t, db, tasksNew, newTasks())
		ok(t, userdata.CheckRecords(t.Context(), db))
		s := db.NewSession()
		got, err := tasksNew.Select(s).Where(userdata.ColumnOf(func(r *taskNew) *bool { return &r.Done }).Eq(true)).All(t.Context())
		ok(t, err)
		if d := cmp.Diff(newTasks(), got, strictly); d != "" {
			t.Errorf("by the new index (-want +got):\n%s", d)
		}
		ok(t, db.Close())
		if errs := checkBolt(path); errs != nil {
			t.Error(errs)
		}
		before := bytesOf(t, path)
		if before == opened {
			t.Error("nothing changed, or each opening changes the file")
		}
		opened = "" // the second time nothing may change
		db, err = userdata.Open(path, nil, tasksNew)
		ok(t, err)
		ok(t, db.Close())
		if bytesOf(t, path) != before {
			t.Error("opening again altered the file")
		}
	}
}

// A program that is older than the file's schema is told so, and the file stays.
func TestEvolveOldProgram(t *testing.T) {
	t.Parallel()
	path := taskFile(t)
	db, err := userdata.Open(path, &userdata.Options{Program: "tasks-2.0"}, tasksNew)
	ok(t, err)
	ok(t, db.Close())
	before := bytesOf(t, path)
	_, err = userdata.Open(path, nil, tasksOld)
	is(t, err, userdata.ErrSchema)
	if err == nil || !strings.Contains(err.Error(), "before tasks-2.0 changed it") {
		t.Errorf("got %v, want it to say that the program is old", err)
	}
	type some struct {
		ID   int64   `userdata:"id,key"`
		Name string  `userdata:"name"`
		More *string `userdata:"more"`
	}
	table := userdata.NewTable[some]("tasks")
	db, err = userdata.Open(path, &userdata.Options{ReadOnly: true}, table)
	ok(t, err)
	sameRecords(t, db, table, []*some{{ID: -5, Name: "first"}, {ID: 7, Name: "second"}, {ID: 8, Name: "third"}})
	s := db.NewSession()
	r, err := table.Get(t.Context(), s, 7)
	ok(t, err)
	r.Name = "changed"
	is(t, s.Commit(t.Context()), userdata.ErrReadOnly)
	ok(t, db.Close())
	if bytesOf(t, path) != before {
		t.Error("the file was altered")
	}
}

// A migration runs once, all of an Open's in one transaction, with a copy of the
// file before it.
func TestMigrations(t *testing.T) {
	t.Parallel()
	type item struct {
		Slug  string `userdata:"slug,key,size=30"`
		Cents int    `userdata:"cents,index"`
		Count string `userdata:"count"`
		Log   string `userdata:"log,default="`
	}
	type task2 struct {
		ID    int32   `userdata:"id,key"`
		Name  string  `userdata:"name,size=20"`
		Price float32 `userdata:"price"`
		Count string  `userdata:"count"`
	}
	type item2 struct {
		Slug  string `userdata:"slug,key,size=30"`
		Cents int    `userdata:"cents"`
		Count string `userdata:"count"`
	}
	items, items2 := userdata.NewTable[item]("items"), userdata.NewTable[item2]("items")
	runs := 0
	migrations := []userdata.Migration{
		{Name: "1-tidy", Steps: []userdata.Step{
			userdata.RenameColumn("tasks", "title", "name"),
			userdata.DropColumn("tasks", "body"),
			userdata.DropColumn("tasks", "late"),
			userdata.DropColumn("tasks", "never-was"),
			userdata.ConvertColumn("tasks", "count", func(n uint16) (string, error) { return strings.Repeat("|", int(n%10)), nil }),
		}},
		{Name: "2-items", Steps: []userdata.Step{
			userdata.RewriteRecords("tasks", func(o *task2) (*item2, error) {
				cents := 0
				if o.Price == o.Price {
					cents = int(o.Price * 100)
				}
				return &item2{Slug: o.Name, Cents: cents, Count: o.Count}, nil
			}),
			userdata.RenameTable("tasks", "items"),
			userdata.RunStep(func(ctx context.Context, s *userdata.Session) error {
				runs++
				r, err := items2.Get(ctx, s, "first")
				if err != nil {
					return err
				}
				r.Cents++
				if err := s.Commit(ctx); err != nil {
					return err
				}
				return s.Add(&item2{Slug: "zero"})
			}, items2),
		}},
	}
	path := taskFile(t)
	original := bytesOf(t, path)
	failing := append(migrations[:2:2], userdata.Migration{Name: "3-fails", Steps: []userdata.Step{
		userdata.RunStep(func(context.Context, *userdata.Session) error { return errors.ErrUnsupported }),
	}})
	_, err := userdata.Open(path, &userdata.Options{Migrations: failing}, items)
	is(t, err, errors.ErrUnsupported)
	if bytesOf(t, path) != original {
		t.Error("a failed migration altered the file")
	}
	if copies, _ := filepath.Glob(path + ".before-*"); copies != nil {
		t.Errorf("a failed migration left %v", copies)
	}
	for range 2 {
		db, err := userdata.Open(path, &userdata.Options{Migrations: migrations}, items)
		ok(t, err)
		sameRecords(t, db, items, []*item{
			{Slug: "first", Cents: 151, Count: "|||||"}, {Slug: "second"}, {Slug: "third", Cents: -25}, {Slug: "zero"},
		})
		ok(t, userdata.CheckRecords(t.Context(), db))
		ok(t, db.Close())
	}
	if runs != 2 { // in the failing open, and once
		t.Errorf("the step was run %d times, want 2", runs)
	}
	copied, err := userdata.Open(path+".before-1-tidy", nil, tasksOld)
	ok(t, err)
	if n, err := tasksOld.Select(copied.NewSession()).Count(t.Context()); n != 3 || err != nil {
		t.Errorf("the copy of before: got %d tasks, %v, want 3", n, err)
	}
	ok(t, copied.Close())
	// A new file has all migrations behind it.
	db, err := userdata.Open(filepath.Join(t.TempDir(), "new.db"), &userdata.Options{Migrations: failing}, items)
	ok(t, err)
	ok(t, db.Close())
	fresh, err := userdata.Open(filepath.Join(t.TempDir(), "new.db"), &userdata.Options{Migrations: failing}, items)
	ok(t, err)
	ok(t, fresh.Close())
}

// sameRecords checks that a table has these records, in this order.
func sameRecords[T any](t *testing.T, db *userdata.DB, table *userdata.Table[T], want []*T) {
	t.Helper()
	s := db.NewSession()
	defer s.Close()
	got, err := table.Select(s).All(t.Context())
	ok(t, err)
	if d := cmp.Diff(want, got, strictly); d != "" {
		t.Errorf("%s (-want +got):\n%s", table.Name(), d)
	}
}
