package userdata_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/seed-5df914be/userdata"
)

// A Memo is the record of the examples.
type Memo struct {
	ID      string    `userdata:"id,key,size=32"`
	Title   string    `userdata:"title,size=120"`
	Labels  []string  `userdata:"labels"`
	Updated time.Time `userdata:"updated"`
}

var (
	Memos       = userdata.NewTable[Memo]("memos")
	MemoID      = userdata.ColumnOf(func(m *Memo) *string { return &m.ID })
	MemoTitle   = userdata.ColumnOf(func(m *Memo) *string { return &m.Title })
	MemoUpdated = userdata.ColumnOf(func(m *Memo) *time.Time { return &m.Updated })
)

// memoDB returns a database in memory with three memos.
func memoDB(ctx context.Context) *userdata.DB {
	db, err := userdata.OpenStore(ctx, userdata.NewMemStore(), nil, Memos)
	if err != nil {
		log.Fatal(err)
	}
	day := func(d int) time.Time { return time.Date(2026, 10, d, 0, 0, 0, 0, time.UTC) }
	err = db.Transact(ctx, func(s *userdata.Session) error {
		return s.Add(
			&Memo{ID: "m1", Title: "Milk", Updated: day(1)},
			&Memo{ID: "m2", Title: "Oven", Updated: day(2)},
			&Memo{ID: "m3", Title: "Oranges", Updated: day(3)},
		)
	})
	if err != nil {
		log.Fatal(err)
	}
	return db
}

// check ends an example at an error that it does not expect.
func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// Records are written to a file, and found again after it was closed.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "userdata-example-")
	check(err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "userdata.db")

	db, err := userdata.Open(path, nil, userdata.UserdataTable)
	check(err)
	s := db.NewSession()
	brad := &userdata.Userdata{UserID: "Brad", UserData: "Brad's data", TimeStamp: time.Date(2026, 10, 12, 19, 58, 0, 0, time.UTC)}
	check(s.Add(brad))
	fmt.Println(s.State(brad))
	check(s.Commit(ctx))
	fmt.Println(s.State(brad))
	check(db.Close())

	db, err = userdata.Open(path, nil, userdata.UserdataTable)
	check(err)
	defer db.Close()
	again, err := userdata.UserdataTable.Get(ctx, db.NewSession(), "Brad")
	check(err)
	fmt.Println(again)
	// Output:
	// pending
	// persistent
	// user_id=Brad, user_data=Brad's data, time_stamp=October 12 19:58
}

func ExampleDB_Schema() {
	db, err := userdata.OpenStore(context.Background(), userdata.NewMemStore(), nil, Memos, userdata.UserdataTable)
	check(err)
	fmt.Print(db.Schema())
	// Output:
	// memos
	//   id       string(32)   key
	//   title    string(120)
	//   labels   []string
	//   updated  time
	//
	// userdata
	//   user_id     string(32)   key
	//   user_data   string(640)
	//   time_stamp  time
}

func ExampleSession_Add() {
	ctx := context.Background()
	db := memoDB(ctx)
	s, other := db.NewSession(), db.NewSession()
	memo := &Memo{ID: "m4", Title: "Bread"}
	check(s.Add(memo))

	found, err := Memos.Select(s).Where(MemoTitle.Eq("Bread")).One(ctx)
	fmt.Println(found == memo, err)
	n, err := Memos.Select(other).Count(ctx)
	fmt.Println(n, err)
	check(s.Commit(ctx))
	n, err = Memos.Select(other).Count(ctx)
	fmt.Println(n, err)
	// Output:
	// true <nil>
	// 3 <nil>
	// 4 <nil>
}

func ExampleTable_Get() {
	ctx := context.Background()
	s := memoDB(ctx).NewSession()
	memo, err := Memos.Get(ctx, s, "m1")
	check(err)
	again, err := Memos.Get(ctx, s, "m1")
	fmt.Println(memo.Title, memo == again, err)
	_, err = Memos.Get(ctx, s, "m9")
	fmt.Println(err, errors.Is(err, userdata.ErrNotFound))
	// Output:
	// Milk true <nil>
	// userdata: get memos "m9": not found true
}

// Changes are noticed, those inside slices too.
func ExampleSession_Commit() {
	ctx := context.Background()
	db := memoDB(ctx)
	s := db.NewSession()
	memo, err := Memos.Get(ctx, s, "m1")
	check(err)
	memo.Title = ""
	memo.Labels = append(memo.Labels, "shop")
	check(s.Commit(ctx))
	memo.Labels[0] = "home"
	check(s.Commit(ctx))

	memo, err = Memos.Get(ctx, db.NewSession(), "m1")
	fmt.Printf("%q %q %v\n", memo.Title, memo.Labels, err)
	// Output:
	// "" ["home"] <nil>
}

// The second of two commits that change one record is refused.
func ExampleSession_Commit_conflict() {
	ctx := context.Background()
	db := memoDB(ctx)
	s1, s2 := db.NewSession(), db.NewSession()
	mine, err := Memos.Get(ctx, s1, "m1")
	check(err)
	theirs, err := Memos.Get(ctx, s2, "m1")
	check(err)
	theirs.Title = "Soy milk"
	check(s2.Commit(ctx))

	mine.Updated = mine.Updated.AddDate(0, 0, 1)
	err = s1.Commit(ctx)
	fmt.Println(err, errors.Is(err, userdata.ErrConflict))
	var re *userdata.RecordError
	if errors.As(err, &re) {
		fmt.Println(re.Base.(*Memo).Title, "became", re.Theirs.(*Memo).Title)
	}
	check(s1.Refresh(ctx, mine)) // what is there now; then once more
	mine.Updated = mine.Updated.AddDate(0, 0, 1)
	check(s1.Commit(ctx))
	fmt.Println(mine.Title, mine.Updated.Format(time.DateOnly))
	// Output:
	// userdata: commit memos "m1": changed by someone else since it was read: title true
	// Milk became Soy milk
	// Soy milk 2026-10-02
}

// All faults come at once, and nothing is written.
func ExampleSession_Flush() {
	ctx := context.Background()
	s := memoDB(ctx).NewSession()
	check(s.Add(&Memo{ID: "a very long id, of more than thirty-two runes", Title: "\xff"}))
	fmt.Println(s.Flush(ctx))
	// Output:
	// userdata: flush memos "a very long id, of more than thirty-two runes" title: invalid: not valid UTF-8
	// userdata: flush memos "a very long id, of more than thirty-two runes" id: invalid: 45 runes, at most 32
}

func ExampleSession_Rollback() {
	ctx := context.Background()
	s := memoDB(ctx).NewSession()
	memo, err := Memos.Get(ctx, s, "m1")
	check(err)
	memo.Title = "a mistake"
	s.Rollback()
	fmt.Println(memo.Title)
	// Output:
	// Milk
}

func ExampleSession_Savepoint() {
	ctx := context.Background()
	s := memoDB(ctx).NewSession()
	memo, err := Memos.Get(ctx, s, "m1")
	check(err)
	memo.Title = "Oat milk"
	err = s.Savepoint(func() error {
		memo.Title = "a mistake"
		return errors.New("on second thoughts")
	})
	fmt.Println(err)
	fmt.Println(memo.Title)
	// Output:
	// on second thoughts
	// Oat milk
}

func ExampleSession_Changes() {
	ctx := context.Background()
	s := memoDB(ctx).NewSession()
	memos, err := Memos.Select(s).Limit(2).All(ctx)
	check(err)
	memos[0].Title = "Oat milk"
	check(s.Delete(memos[1]))
	for c := range s.Changes() {
		fmt.Println(c.Table, c.Key, c.State, c.Columns[0].Column, c.Columns[0].Old, c.Columns[0].New)
	}
	// Output:
	// memos m1 persistent title Milk Oat milk
	// memos m2 deleted id m2 <nil>
}

func ExampleSession_Delete() {
	ctx := context.Background()
	s := memoDB(ctx).NewSession()
	memo, err := Memos.Get(ctx, s, "m1")
	check(err)
	check(s.Delete(memo))
	_, err = Memos.Get(ctx, s, "m1")
	fmt.Println(s.State(memo), errors.Is(err, userdata.ErrNotFound))
	check(s.Commit(ctx))
	fmt.Println(s.State(memo), memo.Title)
	// Output:
	// deleted true
	// detached Milk
}

func ExampleTable_Merge() {
	ctx := context.Background()
	s := memoDB(ctx).NewSession()
	form := &Memo{ID: "m1", Title: "Milk, as the form says"}
	memo, err := Memos.Merge(ctx, s, form)
	fmt.Println(memo.Title, memo == form, s.State(memo), s.State(form), err)
	// Output:
	// Milk, as the form says false persistent transient <nil>
}

func ExampleTable_Select() {
	ctx := context.Background()
	s := memoDB(ctx).NewSession()
	memos, err := Memos.Select(s).
		Where(userdata.HasPrefix(MemoTitle, "O"), MemoUpdated.Ge(time.Date(2026, 10, 2, 0, 0, 0, 0, time.UTC))).
		OrderBy(MemoUpdated.Desc()).Limit(10).All(ctx)
	check(err)
	for _, m := range memos {
		fmt.Println(m.ID, m.Title)
	}
	// Output:
	// m3 Oranges
	// m2 Oven
}

func ExampleQuery_Rows() {
	ctx := context.Background()
	s := memoDB(ctx).NewSession()
	for m, err := range Memos.Select(s).Where(MemoID.Gt("m1")).Rows(ctx) {
		check(err)
		fmt.Println(m.Title)
	}
	// Output:
	// Oven
	// Oranges
}

func ExampleQuery_Update() {
	ctx := context.Background()
	s := memoDB(ctx).NewSession()
	memo, err := Memos.Get(ctx, s, "m1")
	check(err)
	n, err := Memos.Select(s).Where(userdata.Not(MemoTitle.Eq("Oven"))).Update(ctx, MemoTitle.Set("untitled"))
	fmt.Println(n, memo.Title, err)
	check(s.Commit(ctx))
	// Output:
	// 2 untitled <nil>
}

func ExampleQuery_Delete() {
	ctx := context.Background()
	s := memoDB(ctx).NewSession()
	n, err := Memos.Select(s).Where(MemoID.In("m1", "m2", "m9")).Delete(ctx)
	check(err)
	left, err := Memos.Select(s).Count(ctx)
	fmt.Println(n, left, err)
	// Output:
	// 2 1 <nil>
}

func ExampleQuery_Explain() {
	s := memoDB(context.Background()).NewSession()
	plan, err := Memos.Select(s).Where(MemoID.Between("m1", "m2"), MemoTitle.Ne("")).OrderBy(MemoTitle.Asc()).Explain()
	fmt.Println(plan, err)
	// Output:
	// memos: key range id >= "m1" and id <= "m2"; filter (id >= "m1" and id <= "m2") and title != ""; sort by title, id <nil>
}

func ExampleDB_Transact() {
	ctx := context.Background()
	db := memoDB(ctx)
	err := db.Transact(ctx, func(s *userdata.Session) error {
		memo, err := Memos.Get(ctx, s, "m1")
		if err != nil {
			return err
		}
		memo.Title += "!"
		return nil
	})
	check(err)
	memo, err := Memos.Get(ctx, db.NewSession(), "m1")
	fmt.Println(memo.Title, err)
	// Output:
	// Milk! <nil>
}

func ExampleDB_View() {
	ctx := context.Background()
	err := memoDB(ctx).View(ctx, func(s *userdata.Session) error {
		n, err := Memos.Select(s).Count(ctx)
		fmt.Println(n)
		return errors.Join(err, s.Add(&Memo{ID: "m4"}))
	})
	fmt.Println(err)
	// Output:
	// 3
	// userdata: add memos: read-only
}

// A logger at debug level gets a line for each thing done.
func ExampleOptions_logger() {
	ctx := context.Background()
	opts := &userdata.Options{Logger: slog.New(lineHandler{})}
	db, err := userdata.OpenStore(ctx, userdata.NewMemStore(), opts, userdata.UserdataTable)
	check(err)
	s := db.NewSession()
	check(s.Add(&userdata.Userdata{UserID: "Brad", UserData: "Brad's data", TimeStamp: time.Date(2026, 10, 12, 19, 58, 0, 0, time.UTC)}))
	check(s.Commit(ctx))
	s.Rollback()
	// Output:
	// INSERT userdata "Brad" 59 B
	// COMMIT 1 insert ...
	// ROLLBACK
}

// lineHandler prints messages, durations left out.
type lineHandler struct{}

func (h lineHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h lineHandler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h lineHandler) WithGroup(string) slog.Handler            { return h }
func (h lineHandler) Handle(_ context.Context, r slog.Record) error {
	fmt.Println(regexp.MustCompile(`[0-9.]+(ns|µs|ms|s)$`).ReplaceAllString(r.Message, "..."))
	return nil
}
