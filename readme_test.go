package userdata_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readmeBlocks returns the README's fenced blocks of a kind.
func readmeBlocks(t *testing.T, kind string) []string {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?ms)^```"+kind+"\n(.*?)^```$").FindAllStringSubmatch(string(readme), -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) == 0 {
		t.Fatalf("README.md: no block of kind %q", kind)
	}
	return blocks
}

// goCommand runs the go command in a folder and returns what it printed.
func goCommand(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return string(out)
}

// TestReadmeProgram builds the README's program in a module of its own, as a new
// user would, and compares what it prints.
func TestReadmeProgram(t *testing.T) {
	t.Parallel()
	program, want := readmeBlocks(t, "go"), readmeBlocks(t, "output")
	if len(program) != 1 || len(want) != 1 {
		t.Fatalf("got %d programs and %d outputs, want one of each", len(program), len(want))
	}
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	gomod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	gosum, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	mod := strings.Replace(string(gomod), "module github.com/seed-5df914be/userdata\n", "module example\n", 1) +
		"\nrequire github.com/seed-5df914be/userdata v0.0.0\n\nreplace github.com/seed-5df914be/userdata => " + root + "\n"
	for name, text := range map[string]string{"main.go": program[0], "go.mod": mod, "go.sum": string(gosum)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("the program has %d lines", strings.Count(program[0], "\n"))
	goCommand(t, dir, "build", "-mod=mod", "-o", "program")
	run := exec.CommandContext(t.Context(), filepath.Join(dir, "program"))
	run.Dir = dir
	got, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("the program: %v\n%s", err, got)
	}
	if d := cmp.Diff(want[0], string(got)); d != "" {
		t.Errorf("the program's output (-README +got):\n%s", d)
	}
}

// TestReadmeCommands makes sure that README.md shows two commands, that .ci/run
// runs both, and that the tour prints what README.md says it does.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	if d := cmp.Diff([]string{"go run ./cmd/userdata tour\n", "go test work\n"}, readmeBlocks(t, "sh")); d != "" {
		t.Errorf("commands (-want +got):\n%s", d)
	}
	ci, err := os.ReadFile(filepath.Join(".ci", "run"))
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range readmeBlocks(t, "sh") {
		if !strings.Contains(string(ci), "\n"+command) {
			t.Errorf(".ci/run does not run %q", command)
		}
	}
	tour := goCommand(t, ".", "run", "./cmd/userdata", "tour")
	for _, excerpt := range readmeBlocks(t, "tour") {
		if !strings.Contains(tour, excerpt) {
			t.Errorf("the tour does not print the README's excerpt; it printed:\n%s", tour)
		}
	}
}

// TestReadmeWalk makes sure that the README's commands of the tool, and what they print,
// are in the walk, whose commands a test of the tool runs.
func TestReadmeWalk(t *testing.T) {
	t.Parallel()
	walk := "\n" + string(fileBytes(t, filepath.Join("docs", "walk.md")))
	for _, block := range readmeBlocks(t, "console") {
		commands := strings.Split("\n"+block, "\n$ ")[1:]
		if len(commands) != 5 {
			t.Errorf("got %d commands, want 5", len(commands))
		}
		for _, command := range commands {
			if !strings.Contains(walk, "\n$ "+strings.TrimSuffix(command, "\n")+"\n") {
				t.Errorf("docs/walk.md does not have:\n%s", command)
			}
		}
	}
}
