package userdata_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-5df914be/userdata"
)

// TestStoryInANewProcess is not a test: TestStory runs it in another process.
func TestStoryInANewProcess(t *testing.T) {
	path := os.Getenv("USERDATA_STORY_FILE")
	if path == "" {
		t.Skip("run by TestStory")
	}
	db, err := userdata.Open(path, nil, userdata.UserdataTable)
	ok(t, err)
	defer db.Close()
	brad, err := userdata.UserdataTable.Get(t.Context(), db.NewSession(), "Brad")
	ok(t, err)
	fmt.Println("read:", brad)
}

// TestStory tells the whole story of a user of this package, from an empty folder on.
func TestStory(t *testing.T) {
	ctx := t.Context()
	users, col := userdata.UserdataTable, userdata.UserdataColumns
	path := filepath.Join(t.TempDir(), "userdata.db")
	now := time.Date(2026, 10, 12, 19, 58, 0, 0, time.UTC)
	open := func() *userdata.DB {
		db, err := userdata.Open(path, nil, users)
		ok(t, err)
		return db
	}
	all := func(s *userdata.Session) (got []string) {
		t.Helper()
		for u, err := range users.Select(s).Rows(ctx) {
			ok(t, err)
			got = append(got, u.UserID+": "+u.UserData)
		}
		return got
	}

	// A file that does not exist is created with the table; opening it again
	// alters nothing.
	ok(t, open().Close())
	before := bytesOf(t, path)
	db := open()
	if bytesOf(t, path) != before {
		t.Error("opening again altered the file")
	}
	want := "userdata\n  user_id     string(32)   key\n  user_data   string(640)\n  time_stamp  time\n"
	sameAs(t, "schema", fmt.Sprint(db.Schema()), want)

	// Added records are seen by their session, and by nobody else.
	s := db.NewSession()
	brad := &userdata.Userdata{UserID: "Brad", UserData: "Brad's data", TimeStamp: now}
	larry := &userdata.Userdata{UserID: "Larry", UserData: "Larry's data", TimeStamp: now}
	jane := &userdata.Userdata{UserID: "Jane", UserData: "Jane's data", TimeStamp: now}
	ok(t, s.Add(brad, larry, jane))
	found, err := users.Select(s).Where(col.UserID.Eq("Brad")).One(ctx)
	if found != brad || err != nil {
		t.Errorf("Select before the commit: got %v, %v, want the pointer that was added", found, err)
	}
	sameAs(t, "another session before the commit", all(db.NewSession()), []string(nil))
	ok(t, db.Store().View(ctx, func(snap userdata.Snapshot) error {
		value, err := snap.Get("userdata", []byte("Brad"))
		if value != nil || err != nil {
			t.Errorf("the file has the key Brad before the commit: %x, %v", value, err)
		}
		return err
	}))

	// Commit: one write transaction.
	was := version(t, db.Store())
	ok(t, s.Commit(ctx))
	if got := version(t, db.Store()); got != was+1 {
		t.Errorf("the commit made %d transactions, want 1", got-was)
	}

	// Brad is there in a new process.
	ok(t, db.Close())
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestStoryInANewProcess$", "-test.v")
	cmd.Env = append(os.Environ(), "USERDATA_STORY_FILE="+path)
	out, err := cmd.CombinedOutput()
	if line := "read: user_id=Brad, user_data=Brad's data, time_stamp=October 12 19:58"; err != nil || !strings.Contains(string(out), line) {
		t.Fatalf("in a new process: got %v\n%s, want %q", err, out, line)
	}
	db = open()
	defer db.Close()

	// Select by user_id, print, change through the object.
	s = db.NewSession()
	brad, err = users.Select(s).Where(col.UserID.Eq("Brad")).One(ctx)
	ok(t, err)
	sameAs(t, "printed", fmt.Sprint(brad), "user_id=Brad, user_data=Brad's data, time_stamp=October 12 19:58")
	brad.UserData = "changed"
	ok(t, s.Commit(ctx))

	// Change by query.
	ok(t, s.Add(&userdata.Userdata{UserID: "tom", UserData: "Tom's data"}))
	ok(t, s.Commit(ctx))
	n, err := users.Select(s).Where(col.UserID.Eq("tom")).Update(ctx, col.UserData.Set("updated information"), col.TimeStamp.Set(now))
	if n != 1 || err != nil {
		t.Errorf("Update: got %d, %v, want 1", n, err)
	}
	ok(t, s.Commit(ctx))
	tom, err := users.Get(ctx, db.NewSession(), "tom")
	if err != nil || tom.UserData != "updated information" || !tom.TimeStamp.Equal(now) {
		t.Errorf("tom: got %v, %v", tom, err)
	}
	four := []string{"Brad: changed", "Jane: Jane's data", "Larry: Larry's data", "tom: updated information"}
	sameAs(t, "everybody", all(s), four)

	// Roll a change back and see the object restored.
	brad.UserData = "a mistake"
	sameAs(t, "in the session", all(s)[0], "Brad: a mistake")
	s.Rollback()
	sameAs(t, "rolled back", brad.UserData, "changed")

	// Delete Jane, and someone who is not there.
	jane, err = users.Get(ctx, s, "Jane")
	ok(t, err)
	ok(t, s.Delete(jane))
	ok(t, s.Commit(ctx))
	_, err = users.Get(ctx, s, "Jane")
	is(t, err, userdata.ErrNotFound)
	is(t, s.Delete(jane), userdata.ErrNotFound)
	n, err = users.Select(s).Where(col.UserID.Eq("nobody")).Delete(ctx)
	if n != 0 || err != nil {
		t.Errorf("Delete of nobody: got %d, %v, want 0", n, err)
	}

	// Two sessions change Brad: the second commit is refused, and nothing is lost.
	s2 := db.NewSession()
	mine, err := users.Get(ctx, s2, "Brad")
	ok(t, err)
	brad.UserData = "by the first"
	mine.UserData = "by the second"
	ok(t, s.Commit(ctx))
	err = s2.Commit(ctx)
	is(t, err, userdata.ErrConflict)
	if mine.UserData != "by the second" {
		t.Error("the session lost its change")
	}
	three := []string{"Brad: by the first", "Larry: Larry's data", "tom: updated information"}
	sameAs(t, "everybody", all(db.NewSession()), three)
	ok(t, s2.Refresh(ctx, mine))
	sameAs(t, "refreshed", mine.UserData, "by the first")

	// One error names every fault, and nothing is written.
	was = version(t, db.Store())
	ok(t, s.Add(
		&userdata.Userdata{UserID: strings.Repeat("é", 33)},
		&userdata.Userdata{UserID: "data", UserData: strings.Repeat("é", 641)},
		&userdata.Userdata{},
		&userdata.Userdata{UserID: "text", UserData: "\xff"},
		&userdata.Userdata{UserID: strings.Repeat("é", 32), UserData: strings.Repeat("é", 640)}, // fits
	))
	err = s.Commit(ctx)
	is(t, err, userdata.ErrInvalid)
	var faults []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		faults = append(faults, e.Error())
	}
	sameAs(t, "faults", faults, []string{
		`userdata: commit userdata "` + strings.Repeat("é", 33) + `" user_id: invalid: 33 runes, at most 32`,
		`userdata: commit userdata "data" user_data: invalid: 641 runes, at most 640`,
		`userdata: commit userdata user_id: invalid: the key is empty`,
		`userdata: commit userdata "text" user_data: invalid: not valid UTF-8`,
	})
	if version(t, db.Store()) != was {
		t.Error("something was written")
	}
	sameAs(t, "everybody", all(db.NewSession()), three)
}
