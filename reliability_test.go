package userdata_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// The tests that docs/reliability.md names exist.
func TestReliabilityPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/reliability.md")
	ok(t, err)
	var source strings.Builder
	for _, pattern := range []string{"*_test.go", "internal/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		ok(t, err)
		for _, name := range files {
			source.Write(fileBytes(t, name))
		}
	}
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]*)`").FindAllStringSubmatch(string(page), -1) {
		named[m[1]] = true
		if !strings.Contains(source.String(), "\nfunc "+m[1]+"(") {
			t.Errorf("the page names %s, which does not exist", m[1])
		}
	}
	if len(named) < 50 {
		t.Errorf("the page names %d tests, want more", len(named))
	}
}

// The deliberate bugs name tests that exist, in files that do, and are enough.
func TestBugsList(t *testing.T) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("some of the tests are only there where system calls can be intercepted")
	}
	t.Parallel()
	tests, bugs := regexp.MustCompile(`Test[A-Za-z0-9]*`), 0
	own, err := exec.CommandContext(t.Context(), os.Args[0], "-test.list", "^Test").Output()
	ok(t, err)
	for line := range strings.Lines(string(fileBytes(t, ".ci/bugs.list"))) {
		part := strings.SplitN(strings.TrimSpace(line), " | ", 4)
		if len(part) < 4 {
			continue
		}
		bugs++
		if _, err := os.Stat(part[1]); err != nil {
			t.Errorf("%s: %v", part[0], err)
		}
		for _, name := range tests.FindAllString(part[2], -1) {
			if !strings.Contains("\n"+string(own), "\n"+name+"\n") {
				t.Errorf("%s: there is no %s", part[0], name)
			}
		}
	}
	if bugs < 20 {
		t.Errorf("got %d bugs, want 20 at least", bugs)
	}
}
