package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/seed-5df914be/userdata"
)

// While a program and a second process of the tool write to a shared file, each list
// is whole: it begins where the records begin, none is missing that was there before,
// and none comes twice.
func TestListBesideWriters(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shared.db")
	db, err := userdata.Open(path, &userdata.Options{Shared: true}, userdata.UserdataTable)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	add := func(id string) error {
		return db.Transact(context.Background(), func(s *userdata.Session) error {
			return s.Add(&userdata.Userdata{UserID: id, UserData: strings.Repeat("x", 500)})
		})
	}
	for i := range 100 {
		if err := add(fmt.Sprintf("a%03d", i)); err != nil {
			t.Fatal(err)
		}
	}
	var writers sync.WaitGroup
	writers.Go(func() {
		for i := range 100 {
			if err := add(fmt.Sprintf("b%03d", i)); err != nil {
				t.Error(err)
			}
		}
	})
	writers.Go(func() {
		for i := range 15 {
			if out, err := exec.CommandContext(t.Context(), "userdata", "--db", path, "put", fmt.Sprintf("c%03d", i), "x").CombinedOutput(); err != nil {
				t.Errorf("put: %v\n%s", err, out)
			}
		}
	})
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for last, finished := 100, false; !finished; {
		select {
		case <-done:
			last, finished = 215, true
		default:
		}
		var out, errs bytes.Buffer
		cmd := exec.CommandContext(t.Context(), "userdata", "--db", path, "list", "userdata", "-c", "user_id", "-o", "csv")
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("list: %v\n%s", err, &errs)
		}
		lines := strings.Fields(out.String())[1:]
		if len(lines) < last {
			t.Fatalf("got %d records, there were %d before", len(lines), last)
		}
		for i, id := range lines {
			if i > 0 && lines[i-1] >= id {
				t.Fatalf("got %s after %s", id, lines[i-1])
			}
		}
		last = len(lines)
	}
}
