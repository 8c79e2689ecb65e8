package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCommand runs the command as small as it can be, and reads what it writes.
func TestCommand(t *testing.T) {
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "made")
	var stdout bytes.Buffer
	args := "-quick -rows 200 -large 300 -rounds 2 -each 1 -budget 0 -peers bbolt,userdata"
	if err := command(t.Context(), append(strings.Fields(args), "-dir", dir, "-out", out), &stdout, io.Discard); err != nil {
		t.Fatal(err)
	}
	page := readFile(t, out, "peers.md")
	for _, o := range ops {
		if !strings.Contains(page, o.title) || !strings.Contains(stdout.String(), o.title) {
			t.Errorf("%q is missing", o.title)
		}
	}
	for _, text := range []string{page, readFile(t, out, "peers.json"), stdout.String()} {
		if strings.Contains(text, dir) || strings.Contains(text, out) {
			t.Errorf("a path is in %s", text)
		}
	}
	var rep report
	if err := json.Unmarshal([]byte(readFile(t, out, "peers.json")), &rep); err != nil {
		t.Fatal(err)
	}
	if rep.Records != 200 || rep.Rounds != 2 || len(rep.Results) != 2*len(ops) || !strings.Contains(rep.Command, " -quick -rounds 2 -rows 200") {
		t.Errorf("got %+v", rep)
	}
	for _, res := range rep.Results {
		if goals[res.Op] != (goal{}) && res.Peer == subject && (res.Goal == "" || res.Verdict == "") {
			t.Errorf("%s has no goal or verdict: %+v", res.Op, res)
		}
	}
	checkXML(t, readFile(t, out, "peers.svg"))
	checkEmpty(t, dir)
}

// TestScaling measures two sizes of small files.
func TestScaling(t *testing.T) {
	cfg := testConfig(t)
	cfg.rounds, cfg.command = 2, "go run ./bench -scaling"
	s, err := runScaling(t.Context(), cfg, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range scalingOps {
		for _, p := range []string{subject, baseline} {
			if res := s.result(o, p, 1000); res == nil || len(res.Samples) != 2 || res.Cost.Median <= 0 {
				t.Errorf("%s of %s: got %+v", o.name, p, res)
			}
		}
	}
	out := t.TempDir()
	if err := errors.Join(s.write(out), s.print(io.Discard)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"scaling.svg", "memory.svg"} {
		checkXML(t, readFile(t, out, name))
	}
	if page := readFile(t, out, "scaling.md"); !strings.Contains(page, "| get by key, cold | 1,000 |") {
		t.Errorf("got %s", page)
	}
	checkEmpty(t, cfg.dir)
}

// TestCommandRefuses gives the command wrong arguments.
func TestCommandRefuses(t *testing.T) {
	for _, args := range []string{"-peers nobody", "-ops get,nothing", "-rows 0", "more", "-none"} {
		if err := command(t.Context(), strings.Fields(args), io.Discard, io.Discard); err == nil {
			t.Errorf("%s: got no error", args)
		}
	}
}

// TestParse makes sure that only a whole run replaces the reports of the repository.
func TestParse(t *testing.T) {
	tests := []struct {
		args string
		rows int
		out  string
	}{
		{"", 100_000, reportsIn},
		{"-rounds 9", 100_000, reportsIn},
		{"-scaling -long", 100_000, reportsIn},
		{"-quick", 10_000, ""},
		{"-quick -rows 7 -out x", 7, "x"},
		{"-peers bbolt", 100_000, ""},
		{"-ops get", 100_000, ""},
		{"-rows 1000", 1000, ""},
		{"-large 1000", 100_000, ""},
		{"-out x", 100_000, "x"},
	}
	for _, tt := range tests {
		o, err := parse(strings.Fields(tt.args), io.Discard)
		if err != nil || o.rows != tt.rows || o.out != tt.out {
			t.Errorf("%q: got %+v, %v", tt.args, o, err)
		}
	}
}

// readFile returns the text of a file that must be there.
func readFile(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// checkXML makes sure that a text is a whole SVG.
func checkXML(t *testing.T, text string) {
	t.Helper()
	var root struct {
		XMLName xml.Name
		Groups  []struct{} `xml:"g"`
	}
	if err := xml.Unmarshal([]byte(text), &root); err != nil || root.XMLName.Local != "svg" || len(root.Groups) == 0 {
		t.Errorf("got %v, %+v, want an svg", err, root)
	}
}

// checkEmpty makes sure that nothing is left in a folder.
func checkEmpty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("got %v, %v, want an empty folder", left, err)
	}
}
