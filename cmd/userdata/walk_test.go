package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The commands of docs/walk.md print what stands there.
func TestWalk(t *testing.T) {
	t.Parallel()
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip(err)
	}
	path := filepath.Join("..", "..", "docs", "walk.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	makeQuakes(t, filepath.Join(dir, "quakes.csv"))
	var got strings.Builder
	inside := false
	want := strings.ReplaceAll(string(text), "\r\n", "\n")
	for line := range strings.Lines(want) {
		command, isCommand := strings.CutPrefix(strings.TrimSpace(line), "$ ")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = !inside
			got.WriteString(line)
		case !inside:
			got.WriteString(line)
		case isCommand:
			got.WriteString(line)
			if !strings.HasPrefix(command, "go run") {
				got.WriteString(runShell(t, shell, dir, command))
			}
		}
	}
	if *updateFiles {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(want, got.String()); d != "" {
		t.Errorf("%s is stale: run with -update (-want +got):\n%s", path, d)
	}
}

// makeQuakes writes the catalogue.
func makeQuakes(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.CommandContext(t.Context(), "go", "run", "./examples/earthquakes")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Stdout, cmd.Stderr = f, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
}

// runShell runs a line, and returns all that it prints.
func runShell(t *testing.T, shell, dir, line string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), shell, "-c", line)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "USERDATA_DB=quakes.db", "TZ=UTC")
	out, err := cmd.CombinedOutput()
	var status *exec.ExitError
	if err != nil && !(errors.As(err, &status) && status.ExitCode() == 1 && strings.HasPrefix(line, "userdata diff")) {
		t.Fatalf("%s: %v:\n%s", line, err, out)
	}
	return string(out)
}
