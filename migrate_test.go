package userdata_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed-5df914be/userdata"
)

// A step that can't be done fails with what is wrong, and leaves the file alone.
func TestStepErrors(t *testing.T) {
	t.Parallel()
	type short struct {
		ID    int32    `userdata:"id,key"`
		Title string   `userdata:"title,size=3,index"`
		Body  []byte   `userdata:"body,unique"`
		Price float32  `userdata:"price,index"`
		Count uint16   `userdata:"count"`
		Late  *float32 `userdata:"late"`
	}
	type less struct {
		ID int32 `userdata:"id,key"`
	}
	type anyKey struct {
		Title string `userdata:"title,key"`
	}
	path := taskFile(t)
	before := bytesOf(t, path)
	for _, c := range []struct {
		name  string
		step  userdata.Step
		want  error
		text  string
		table userdata.Mapped
	}{
		{"two records get one key", userdata.RewriteRecords("tasks", func(*taskOld) (*anyKey, error) { return &anyKey{"same"}, nil }), userdata.ErrExists, `"same"`, userdata.NewTable[anyKey]("tasks")},
		{"a key that stays is taken", userdata.RewriteRecords("tasks", func(o *taskOld) (*taskOld, error) { n := *o; n.ID = max(o.ID, 7); return &n, nil }), userdata.ErrExists, "7", tasksOld},
		{"a record is nil", userdata.RewriteRecords("tasks", func(*taskOld) (*taskOld, error) { return nil, nil }), userdata.ErrInvalid, "nil", tasksOld},
		{"too long", userdata.RewriteRecords("tasks", func(o *taskOld) (*taskOld, error) {
			n := *o
			n.Title = strings.Repeat("x", 21)
			return &n, nil
		}), userdata.ErrInvalid, "21 runes", tasksOld},
		{"the old type lacks columns", userdata.RewriteRecords("tasks", func(*less) (*taskOld, error) { return &taskOld{}, nil }), userdata.ErrSchema, `column "title string(20)"`, tasksOld},
		{"another type than the file's", userdata.ConvertColumn("tasks", "count", func(int) (string, error) { return "", nil }), userdata.ErrSchema, `"count uint16"`, tasksOld},
		{"null is not null", userdata.ConvertColumn("tasks", "late", func(float32) (string, error) { return "", nil }), userdata.ErrSchema, "null", tasksOld},
		{"longer than declared", userdata.ConvertColumn("tasks", "title", func(s string) (string, error) { return s, nil }), userdata.ErrInvalid, "at most 3", userdata.NewTable[short]("tasks")},
		{"the key is converted", userdata.ConvertColumn("tasks", "id", func(n int32) (string, error) { return "", nil }), userdata.ErrSchema, "RewriteRecords", tasksOld},
		{"a function fails", userdata.ConvertColumn("tasks", "count", func(uint16) (uint16, error) { return 0, errors.ErrUnsupported }), errors.ErrUnsupported, "tasks", tasksOld},
		{"the key is dropped", userdata.DropColumn("tasks", "id"), userdata.ErrSchema, "key", tasksOld},
		{"a name is taken", userdata.RenameColumn("tasks", "title", "body"), userdata.ErrSchema, "body", tasksOld},
		{"a bad name", userdata.RenameColumn("tasks", "title", "a b"), userdata.ErrInvalid, "a b", tasksOld},
		{"the package's own name", userdata.RenameTable("tasks", "_tasks"), userdata.ErrInvalid, "_tasks", tasksOld},
		{"a session fails", userdata.RunStep(func(ctx context.Context, s *userdata.Session) error {
			return errors.Join(s.Add(&taskOld{ID: 99, Title: "more"}), s.Commit(ctx), s.Add(&taskOld{ID: 7}))
		}), userdata.ErrExists, "7", tasksOld},
		{"dropped, but declared", userdata.DropColumn("tasks", "price"), userdata.ErrSchema, `"price float32", which the file does not have`, tasksOld},
	} {
		opts := &userdata.Options{Migrations: []userdata.Migration{{Name: "m", Steps: []userdata.Step{c.step}}}}
		db, err := userdata.Open(path, opts, c.table)
		if err == nil {
			db.Close()
		}
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v, want %v with %q", c.name, err, c.want, c.text)
		}
		if bytesOf(t, path) != before {
			t.Fatalf("%s: the file was altered", c.name)
		}
	}
	for _, bad := range [][]userdata.Migration{{{Name: "a/b"}}, {{}}, {{Name: "a"}, {Name: "a"}}, {{Name: "a", Steps: make([]userdata.Step, 1)}}} {
		_, err := userdata.Open(path, &userdata.Options{Migrations: bad}, tasksOld)
		is(t, err, userdata.ErrInvalid)
	}
}

// A migration is run even if the tables fit, and once; a file that has had one
// which the program does not know is that of a newer program, if it does not fit.
func TestMigrationOfRecordsOnly(t *testing.T) {
	t.Parallel()
	path := taskFile(t)
	runs := 0
	opts := &userdata.Options{NoBackup: true, Migrations: []userdata.Migration{{Name: "only-records", Steps: []userdata.Step{
		userdata.RunStep(func(ctx context.Context, s *userdata.Session) error {
			runs++
			r, err := tasksOld.Get(ctx, s, 7)
			if err == nil {
				r.Title = "migrated"
			}
			return err
		}),
	}}}}
	for range 3 {
		db, err := userdata.Open(path, opts, tasksOld)
		ok(t, err)
		r, err := tasksOld.Get(t.Context(), db.NewSession(), int32(7))
		if err != nil || r.Title != "migrated" {
			t.Errorf("got %+v, %v, want it migrated", r, err)
		}
		ok(t, userdata.CheckRecords(t.Context(), db))
		ok(t, db.Close())
	}
	if runs != 1 {
		t.Errorf("the step was run %d times, want 1", runs)
	}
	type less struct {
		ID int32 `userdata:"id,key"`
	}
	_, err := userdata.Open(path, nil, userdata.NewTable[less]("tasks"))
	is(t, err, userdata.ErrSchema)
	if err == nil || !strings.Contains(err.Error(), "only-records") {
		t.Errorf("got %v, want the unknown migration in it", err)
	}
}

func TestDefaultTags(t *testing.T) {
	t.Parallel()
	type a struct {
		ID int `userdata:"id,key,default=1"`
	}
	type b struct {
		ID int  `userdata:"id,key"`
		N  int8 `userdata:"n,default=300"`
	}
	type c struct {
		ID int    `userdata:"id,key"`
		S  string `userdata:"s,size=3,default=four"`
	}
	type d struct {
		ID int   `userdata:"id,key"`
		S  []int `userdata:"s,default=1"`
	}
	type e struct {
		ID int       `userdata:"id,key"`
		T  time.Time `userdata:"t,default=now"`
	}
	type f struct {
		ID int    `userdata:"id,key"`
		A  string `userdata:"a,was=b"`
		B  string `userdata:"b"`
	}
	type g struct {
		ID int `userdata:"id,key"`
		In struct {
			X int `userdata:"x,default=1"`
		} `userdata:"in"`
	}
	type h struct {
		ID int    `userdata:"id,key"`
		A  string `userdata:"a,default"`
	}
	for _, table := range []userdata.Mapped{userdata.NewTable[a]("t"), userdata.NewTable[b]("t"), userdata.NewTable[c]("t"), userdata.NewTable[d]("t"),
		userdata.NewTable[e]("t"), userdata.NewTable[f]("t"), userdata.NewTable[g]("t"), userdata.NewTable[h]("t")} {
		_, err := userdata.OpenStore(t.Context(), userdata.NewMemStore(), nil, table)
		is(t, err, userdata.ErrInvalid)
	}
}
