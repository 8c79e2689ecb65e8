package userdata_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/seed-5df914be/userdata"
)

func TestStory(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "userdata.db")
	db, err := userdata.Open(path, nil, userdata.UserdataTable)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	before, _ := os.ReadFile(path)
	db, err = userdata.Open(path, nil, userdata.UserdataTable)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	after, _ := os.ReadFile(path)
	if !cmp.Equal(before, after) {
		t.Error("opening again altered the file")
	}
	now := time.Date(2026, 10, 12, 19, 58, 0, 0, time.UTC)
	s := db.NewSession()
	defer s.Close()
	brad := &userdata.Userdata{UserID: "Brad", UserData: "Brad's data", TimeStamp: now}
	if err := s.Add(brad, &userdata.Userdata{UserID: "Larry", UserData: "x", TimeStamp: now}, &userdata.Userdata{UserID: "Jane", TimeStamp: now}); err != nil {
		t.Fatal(err)
	}
	got, err := userdata.UserdataTable.Select(s).Where(userdata.UserdataColumns.UserID.Eq("Brad")).One(ctx)
	if err != nil || got != brad {
		t.Fatal(got, err)
	}
	s2 := db.NewSession()
	if n, err := userdata.UserdataTable.Select(s2).Count(ctx); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if err := s.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	b2, err := userdata.UserdataTable.Get(ctx, s2, "Brad")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(brad, b2); d != "" {
		t.Error(d)
	}
	fmt.Println(b2, db.Schema())
	brad.UserData = "changed"
	if err := s.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	b2.UserData = "mine"
	err = s2.Commit(ctx)
	fmt.Println(err)
	if !errors.Is(err, userdata.ErrConflict) {
		t.Fatal(err)
	}
	s2.Rollback()
	fmt.Println(b2)
	if n, err := userdata.UserdataTable.Select(s2).Where(userdata.UserdataColumns.UserID.Eq("Brad")).Update(ctx, userdata.UserdataColumns.UserData.Set("up")); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	fmt.Println(b2)
	if err := s2.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	s.Add(&userdata.Userdata{UserID: strings.Repeat("é", 33), UserData: strings.Repeat("x", 641)}, &userdata.Userdata{UserData: "\xff"})
	fmt.Println(s.Commit(ctx))
	for c := range s.Changes() {
		fmt.Println(c)
	}
	p, err := userdata.UserdataTable.Select(s).Where(userdata.UserdataColumns.UserID.Gt("A"), userdata.HasPrefix(userdata.UserdataColumns.UserData, "c")).OrderBy(userdata.UserdataColumns.TimeStamp.Desc()).Limit(3).Explain()
	fmt.Println(p, err)
	_ = context.Background
}
