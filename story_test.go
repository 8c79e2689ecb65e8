package userdata_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

// storyFile names, in a child process, the file to read Brad from.
const storyFile = "USERDATA_TEST_STORY"

var users, userColumns = userdata.UserdataTable, userdata.UserdataColumns

// TestStory is the story of a first day with the package, step by step.
func TestStory(t *testing.T) {
	if path := os.Getenv(storyFile); path != "" {
		printBrad(t, path)
		return
	}
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "userdata.db")
	db := createTwice(t, path)
	now := time.Date(2026, 10, 12, 19, 58, 0, 0, time.UTC)
	user := func(id string) *userdata.Userdata {
		return &userdata.Userdata{UserID: id, UserData: id + "'s data", TimeStamp: now}
	}
	brad, larry, jane := user("Brad"), user("Larry"), user("Jane")
	byID := func(s *userdata.Session, id string) userdata.Query[userdata.Userdata] {
		return users.Select(s).Where(userColumns.UserID.Eq(id))
	}

	// Added records are this session's until the commit.
	s := db.NewSession()
	defer s.Close()
	if err := s.Add(brad, larry, jane); err != nil {
		t.Fatal(err)
	}
	if got, err := byID(s, "Brad").One(ctx); err != nil || got != brad {
		t.Errorf("before commit: got %v, %v, want the pointer that was added", got, err)
	}
	if n, err := users.Select(db.NewSession()).Count(ctx); err != nil || n != 0 {
		t.Errorf("before commit another session counts %d, %v, want 0", n, err)
	}
	if v := rawValue(t, db, "Brad"); v != nil {
		t.Errorf("before commit the file has %q", v)
	}
	commit(t, s)
	if v := rawValue(t, db, "Brad"); v == nil {
		t.Error("after the commit the file has no Brad")
	}

	// A new process finds Brad.
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestStory$")
	child.Env = append(os.Environ(), storyFile+"="+path)
	if out, err := child.CombinedOutput(); err != nil || !bytes.Contains(out, []byte(brad.String()+"\n")) {
		t.Errorf("in a new process: %v\n%s", err, out)
	}
	db = reopen(t, path)
	s = db.NewSession()

	// Change through the object, and by query.
	found, err := byID(s, "Brad").One(ctx)
	if err != nil {
		t.Fatal(err)
	}
	found.UserData = "changed"
	commit(t, s)
	if got := found.String(); got != "user_id=Brad, user_data=changed, time_stamp=October 12 19:58" {
		t.Errorf("got %s", got)
	}
	set := []userdata.Assignment[userdata.Userdata]{userColumns.UserData.Set("updated information"), userColumns.TimeStamp.Set(now.Add(time.Hour))}
	for id, want := range map[string]int{"tom": 0, "Larry": 1} {
		if n, err := byID(s, id).Update(ctx, set...); err != nil || n != want {
			t.Errorf("update of %s: got %d, %v, want %d", id, n, err, want)
		}
	}
	commit(t, s)
	wantUsers(t, db, "Brad: changed", "Jane: Jane's data", "Larry: updated information")

	// Roll back; delete; delete someone who is not there.
	found.UserData = "a mistake"
	s.Rollback()
	if found.UserData != "changed" {
		t.Errorf("after Rollback: got %v", found)
	}
	if got, err := users.Get(ctx, s, "Jane"); err != nil || s.Delete(got) != nil {
		t.Errorf("delete Jane: %v", err)
	}
	commit(t, s)
	wantErr(t, s.Delete(user("tom")), userdata.ErrNotFound)
	if n, err := byID(s, "tom").Delete(ctx); err != nil || n != 0 {
		t.Errorf("delete of tom: got %d, %v, want 0", n, err)
	}
	wantUsers(t, db, "Brad: changed", "Larry: updated information")

	// Two sessions change Brad.
	s2 := db.NewSession()
	theirs, err := users.Get(ctx, s2, "Brad")
	if err != nil {
		t.Fatal(err)
	}
	found.UserData, theirs.UserData = "first", "second"
	commit(t, s)
	wantErr(t, s2.Commit(ctx), userdata.ErrConflict)
	if theirs.UserData != "second" {
		t.Errorf("the refused session lost its change: %v", theirs)
	}
	wantUsers(t, db, "Brad: first", "Larry: updated information")

	// What does not fit: every fault at once, nothing written.
	tooLong := &userdata.Userdata{UserID: strings.Repeat("é", 33), UserData: strings.Repeat("x", 641)}
	if err := s.Add(tooLong, &userdata.Userdata{UserData: "\xff"}, user("Fine")); err != nil {
		t.Fatal(err)
	}
	wantFaults(t, s.Commit(ctx), "user_data", "user_data", "user_id", "user_id")
	wantUsers(t, db, "Brad: first", "Larry: updated information")
}

// createTwice creates the file, and opens it again to see that nothing is altered.
func createTwice(t *testing.T, path string) *userdata.DB {
	t.Helper()
	read := func() []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if err := reopen(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	before := read()
	db := reopen(t, path)
	if !bytes.Equal(before, read()) {
		t.Error("opening again altered the file")
	}
	return db
}

func reopen(t *testing.T, path string) *userdata.DB {
	t.Helper()
	db, err := userdata.Open(path, nil, users)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// rawValue returns what the store has under a user's key.
func rawValue(t *testing.T, db *userdata.DB, id string) (value []byte) {
	t.Helper()
	err := db.Store().View(t.Context(), func(snap userdata.Snapshot) error {
		v, err := snap.Get("userdata", []byte(id))
		value = bytes.Clone(v)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// printBrad is the child process of TestStory.
func printBrad(t *testing.T, path string) {
	db := reopen(t, path)
	defer db.Close()
	brad, err := users.Get(context.Background(), db.NewSession(), "Brad")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(brad)
}

// wantUsers compares all records, "id: data" each, as a new session sees them.
func wantUsers(t *testing.T, db *userdata.DB, want ...string) {
	t.Helper()
	var got []string
	for u, err := range users.Select(db.NewSession()).Rows(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, u.UserID+": "+u.UserData)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("users (-want +got):\n%s", d)
	}
}

// wantFaults fails the test unless err joins one invalid RecordError for each of
// the columns, which are sorted.
func wantFaults(t *testing.T, err error, columns ...string) {
	t.Helper()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("got %v, want %d faults", err, len(columns))
	}
	counts := map[string]int{}
	for _, err := range joined.Unwrap() {
		var re *userdata.RecordError
		if !errors.As(err, &re) || !errors.Is(err, userdata.ErrInvalid) {
			t.Errorf("got %v, want a RecordError that is ErrInvalid", err)
			continue
		}
		counts[re.Column]++
	}
	want := map[string]int{}
	for _, c := range columns {
		want[c]++
	}
	if d := cmp.Diff(want, counts); d != "" {
		t.Errorf("columns at fault (-want +got):\n%s", d)
	}
}
