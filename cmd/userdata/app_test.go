package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-5df914be/userdata"
)

func TestPrintable(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain é 漢字 text": "plain é 漢字 text",
		"a\x1b[31mred":    `a\x1b[31mred`,
		"line\nbreak\t":   `line\nbreak\t`,
		"\u202eback":      `\u202eback`,
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q): got %s, want %s", in, got, want)
		}
	}
}

func TestParseTime(t *testing.T) {
	t.Parallel()
	local := time.Date(2026, 10, 12, 19, 58, 0, 0, time.Local)
	for in, want := range map[string]time.Time{
		"2026-10-12T19:58:00+02:00": time.Date(2026, 10, 12, 17, 58, 0, 0, time.UTC),
		"2026-10-12 19:58":          local,
		"2026-10-12 19:58:00":       local,
		"2026-10-12":                time.Date(2026, 10, 12, 0, 0, 0, 0, time.Local),
	} {
		if got, err := parseTime(in); err != nil || !got.Equal(want) {
			t.Errorf("parseTime(%q): got %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "yesterday", "2026-13-01", "2026-10-12 25:00", "12.10.2026"} {
		if got, err := parseTime(in); err == nil {
			t.Errorf("parseTime(%q): got %v, want an error", in, got)
		}
	}
}

func TestExitStatus(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]int{
		userdata.ErrCorrupt:              exitDamaged,
		userdata.ErrConflict:             exitConflict,
		userdata.ErrLocked:               exitLocked,
		userdata.ErrInvalid:              exitError,
		noRecord{"userdata", "tom"}:      exitNotFound,
		usageError{fmt.Errorf("a flag")}: exitUsage,
	} {
		if got := exitStatus(fmt.Errorf("wrapped: %w", err)); got != want {
			t.Errorf("exitStatus(%v): got %d, want %d", err, got, want)
		}
	}
}

// A file that someone else has open is a status and a message, not a hang.
func TestLocked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "userdata.db")
	db, err := userdata.Open(path, nil, userdata.UserdataTable)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var stdout, stderr bytes.Buffer
	if got := run([]string{"get", "Brad", "--db", path}, nil, &stdout, &stderr); got != exitLocked {
		t.Errorf("got status %d, want %d", got, exitLocked)
	}
	if !strings.Contains(stderr.String(), path) || stdout.Len() > 0 {
		t.Errorf("got stdout %q, stderr %q, want the path on stderr", &stdout, &stderr)
	}
}
