package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/seed-5df914be/userdata"
)

// eachCommand calls fn for the root and all commands below it that are not hidden.
func eachCommand(c *cobra.Command, fn func(*cobra.Command)) {
	fn(c)
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" && sub.Name() != "completion" {
			eachCommand(sub, fn)
		}
	}
}

// markdown returns docs/cli.md.
func markdown() []byte {
	var b bytes.Buffer
	b.WriteString("# The tool\n\nThis page is made from the commands' own help: `go test ./cmd/userdata -run TestDocs -update` writes it anew.\n")
	eachCommand(newRoot(), func(c *cobra.Command) {
		text := c.Long
		if text == "" {
			text = c.Short + "."
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n```\n%s\n```\n", c.CommandPath(), text, c.UseLine())
		if c.Example != "" {
			fmt.Fprintf(&b, "\n```sh\n%s\n```\n", strings.TrimPrefix(strings.ReplaceAll(c.Example, "\n  ", "\n"), "  "))
		}
		if flags := c.NonInheritedFlags().FlagUsages(); flags != "" {
			fmt.Fprintf(&b, "\n```\n%s```\n", flags)
		}
	})
	return b.Bytes()
}

// manPages returns the man pages by name.
func manPages(t *testing.T) map[string][]byte {
	t.Helper()
	pages := map[string][]byte{}
	date := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	eachCommand(newRoot(), func(c *cobra.Command) {
		var b bytes.Buffer
		c.DisableAutoGenTag = true
		if err := doc.GenMan(c, &doc.GenManHeader{Section: "1", Source: "userdata", Manual: "userdata", Date: &date}, &b); err != nil {
			t.Fatal(err)
		}
		pages[strings.ReplaceAll(c.CommandPath(), " ", "-")+".1"] = b.Bytes()
	})
	return pages
}

// docs/cli.md and the man pages are what the commands say of themselves.
func TestDocs(t *testing.T) {
	t.Setenv("USERDATA_DB", "")
	want := map[string][]byte{filepath.Join("..", "..", "docs", "cli.md"): markdown()}
	man := filepath.Join("..", "..", "docs", "man")
	for name, page := range manPages(t) {
		want[filepath.Join(man, name)] = page
	}
	if *updateFiles {
		if err := errors.Join(os.RemoveAll(man), os.MkdirAll(man, 0o755)); err != nil {
			t.Fatal(err)
		}
		for path, text := range want {
			if err := os.WriteFile(path, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	found, err := os.ReadDir(man)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if want[filepath.Join(man, f.Name())] == nil {
			t.Errorf("%s is of no command: run with -update", f.Name())
		}
	}
	for path, text := range want {
		got, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(text), strings.ReplaceAll(string(got), "\r\n", "\n")); d != "" {
			t.Errorf("%s is stale: run with -update (-want +got):\n%s", path, d)
		}
	}
}

// Every command has an example, and each does what it says: it ends with status 0,
// on a file with users, or on none if it makes one.
func TestExamples(t *testing.T) {
	t.Parallel()
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("the examples are written for a shell:", err)
	}
	eachCommand(newRoot(), func(c *cobra.Command) {
		if c.Example == "" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for _, line := range strings.Split(c.Example, "\n") {
			line = strings.TrimSpace(line)
			t.Run(line, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				if !strings.HasPrefix(line, "userdata put Brad") {
					makeUsers(t, filepath.Join(dir, defaultPath))
				}
				write := func(name, text string) {
					if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
						t.Fatal(err)
					}
				}
				write("nano", "#!/bin/sh\n")
				cmd := exec.CommandContext(t.Context(), shell, "-c", line)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "EDITOR=true", "VISUAL=", "USERDATA_DB=", "PATH="+os.Getenv("PATH")+string(filepath.ListSeparator)+dir)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v:\n%s", err, out)
				}
			})
		}
	})
}

// makeUsers makes a file with the users that the examples are about.
func makeUsers(t *testing.T, path string) {
	t.Helper()
	db, err := userdata.Open(path, nil, userdata.UserdataTable)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 10, 12, 19, 58, 0, 0, time.UTC)
	err = db.Transact(t.Context(), func(s *userdata.Session) error {
		return s.Add(&userdata.Userdata{UserID: "Brad", UserData: "Brad's data", TimeStamp: at}, &userdata.Userdata{UserID: "Larry", UserData: "", TimeStamp: at})
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}
