package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-5df914be/userdata"
)

// toolProcess runs the tool in a process of its own, again and again as long as the
// file is locked by others.
func toolProcess(ctx context.Context, db, stdin string, args ...string) (string, error) {
	for {
		cmd := exec.CommandContext(ctx, "userdata", append([]string{"--db", db}, args...)...)
		var out, errs bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
		err := cmd.Run()
		if cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == exitLocked {
			continue
		}
		if err != nil {
			err = fmt.Errorf("userdata %q: %w: %s", args, err, errs.String())
		}
		return out.String(), err
	}
}

// Two processes import into one file, a few records a commit, while a third lists it.
func TestProcessesAtWork(t *testing.T) {
	t.Parallel()
	const each, step = 200, 20
	path := filepath.Join(t.TempDir(), "shared.db")
	mustRun(t, path, "id,who\n-1,none\n", "import", "t", "--create")
	done := make(chan error, 2)
	for worker := range 2 {
		var csv strings.Builder
		csv.WriteString("id,who\n")
		for i := range each {
			fmt.Fprintf(&csv, "%d,worker %d\n", 2*i+worker, worker)
		}
		go func() {
			_, err := toolProcess(t.Context(), path, csv.String(), "import", "t", "--ignore", "--batch", strconv.Itoa(step))
			done <- err
		}()
	}
	last := 0
	for working := 2; working > 0; {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			working--
			continue
		default:
		}
		out, err := toolProcess(t.Context(), path, "", "list", "t")
		if err != nil {
			t.Error(err)
			continue
		}
		n := strings.Count(out, "\n")
		if n < last || strings.Count(out, `"id":`) != n || !strings.HasPrefix(out, `{"id":-1,"who":"none"}`) {
			t.Errorf("after %d lines the list has %d", last, n)
		}
		last = n
	}
	if got := mustRun(t, path, "", "list", "t", "--count"); got != strconv.Itoa(2*each+1)+"\n" {
		t.Errorf("got %s records, want %d", got, 2*each+1)
	}
	mustRun(t, path, "", "check")
}

// An import that takes the file's place is seen by a program that has it open.
func TestBulkBesideProgram(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shared.db")
	mustRun(t, path, "id\n-1\n", "import", "t", "--create")
	db, err := userdata.OpenFile(path, &userdata.Options{Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Rows("t")
	if err != nil {
		t.Fatal(err)
	}
	var csv strings.Builder
	csv.WriteString("id\n")
	for i := range readAhead + 1 {
		fmt.Fprintln(&csv, i)
	}
	if _, err := toolProcess(t.Context(), path, csv.String(), "import", "t"); err != nil {
		t.Fatal(err)
	}
	err = db.Transact(t.Context(), func(s *userdata.Session) error {
		row := rows.New()
		if err := row.Set("id", -2); err != nil {
			return err
		}
		return s.Add(row.Record())
	})
	if err != nil {
		t.Error(err)
	}
	s := db.NewSession()
	defer s.Close()
	if n, err := rows.Select(s).Count(t.Context()); n != readAhead+3 || err != nil {
		t.Errorf("the program counts %d and %v, want %d", n, err, readAhead+3)
	}
}
