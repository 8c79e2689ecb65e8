package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever is imported, it is all taken in, or nothing is changed; and what is taken
// in can be exported and imported again, to the same bytes.
func FuzzImport(f *testing.F) {
	for _, seed := range []string{
		"id,name,at\n1,a,2026-10-12T19:58:00Z\n2,\"b\r\n\"\"c\"\"\",\n", "\ufeffid\tname\n1\t007\n", "id\n1\n1\n", "id,id\n1,2\n", "id,n\n1,\xff\n", "id,n\n1,\"\n",
		`[{"id":1,"n":[1,null]},{"id":2,"n":[],"o":{"a":1.5,"b":true}}]`, `{"id":"a","x":null}` + "\n" + `{"id":"b","x":18446744073709551615}`,
		`[{"id":1},`, `{"id":1,"id":2}`, `{"id":1,"a b":"\ud800"}`, `[[1]]`, `{"id":1e400}`, `{"id":-0,"f":-0.0,"g":1e2}`, "id,f\n-5,1e999\n6,0x1p4\n7,NaN\n",
		`{"id":1,"a":{}}`, `{"id":1,"a":{"x":{"y":[[{"z":1}]]}}}`, "", "id", "id\n", "id,\n1,2\n", "{}", "null", "\x00", "id,n\n1,\x00\n", strings.Repeat("[", 200),
	} {
		for _, format := range []bool{false, true} {
			f.Add([]byte(seed), format, format)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, isJSON, replace bool) {
		dir := t.TempDir()
		in := filepath.Join(dir, "in.csv")
		if isJSON {
			in = filepath.Join(dir, "in.json")
		}
		if err := os.WriteFile(in, data, 0o600); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "t.db")
		args := []string{"import", "t", in, "--create"}
		if replace {
			args = append(args, "--replace")
		}
		if _, errs, status := tool(t, path, "", args...); status != 0 {
			if errs == "" {
				t.Error("a failure without a message")
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
				t.Errorf("a failure leaves %v %v", left, err)
			}
			return
		}
		mustRun(t, path, "", "check")
		again(t, path, dir)
		halfway(t, path, in)
	})
}

// again exports a table, makes another of that by import, and compares the exports.
func again(t *testing.T, path, dir string) {
	t.Helper()
	for _, format := range []string{"jsonl", "csv"} {
		first := mustRun(t, path, "", "export", "t", "-o", format)
		empty := filepath.Join(dir, format+".db")
		schema, _, _ := strings.Cut(mustRun(t, path, "", "dump"), `{"records"`)
		mustRun(t, empty, schema+`{"end":0}`, "restore")
		mustRun(t, empty, first, "import", "t", "--format", format)
		if got := mustRun(t, empty, "", "export", "t", "-o", format); got != first {
			t.Errorf("%s: got\n%s, want\n%s", format, got, first)
		}
	}
}

// halfway imports an input once more, with a line in the end that is wrong.
func halfway(t *testing.T, path, in string) {
	t.Helper()
	if _, _, status := tool(t, path, "", "import", "t", in, "--merge"); status != 0 {
		t.Errorf("imported again with --merge: got status %d", status)
	}
	merged, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := mustRun(t, path, "", "export", "t") + "{"
	if _, _, status := tool(t, path, text, "import", "t", "--replace"); status != 1 {
		t.Errorf("a line that is not complete: got status %d, want 1", status)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(after, merged) {
		t.Errorf("an import that failed has changed the file: %v", err)
	}
}
