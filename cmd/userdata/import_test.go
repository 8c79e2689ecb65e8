package main

import (
	"bytes"
	"context"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/seed-5df914be/userdata"
)

// tool runs the command on a file, and returns what it prints and its exit status.
func tool(t testing.TB, db, stdin string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(append([]string{"--db", db}, args...), strings.NewReader(stdin), &out, &errs)
	return out.String(), errs.String(), status
}

// mustRun is tool for what must succeed.
func mustRun(t testing.TB, db, stdin string, args ...string) string {
	t.Helper()
	out, errs, status := tool(t, db, stdin, args...)
	if status != 0 {
		t.Fatalf("userdata %q: got status %d: %s", args, status, errs)
	}
	return out
}

// settable are the columns of samples that can be made from text: all but the one
// whose type has itself inside.
func settable() string {
	var names []string
	for _, c := range samples.Columns() {
		if !isInsideItself(c) {
			names = append(names, c.Name)
		}
	}
	return strings.Join(names, ",")
}

// emptySamples returns the path of a file with the table of samples, and none in it.
func emptySamples(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "empty.db")
	db, err := userdata.Open(path, nil, samples)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// What is exported, imported and exported again is the same, of columns of every type.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	from := sampleFile(t)
	for _, format := range []string{"jsonl", "json", "csv", "tsv"} {
		first := mustRun(t, from, "", "export", "samples", "-o", format, "--columns", settable())
		to := emptySamples(t)
		mustRun(t, to, first, "import", "samples", "--format", format)
		again := mustRun(t, to, "", "export", "samples", "-o", format, "--columns", settable())
		if d := cmp.Diff(first, again); d != "" {
			t.Errorf("%s (-first +again):\n%s", format, d)
		}
		_, errs, _ := tool(t, to, first, "import", "samples", "--format", format, "--replace")
		if want := "samples: 0 added, 0 changed, 3 unchanged\n"; errs != want {
			t.Errorf("%s: imported again: got %q, want %q", format, errs, want)
		}
	}
}

// Restore makes an equal file of what dump writes, with indexes and the names of
// migrations.
func TestDumpRestore(t *testing.T) {
	t.Parallel()
	from := filepath.Join(t.TempDir(), "from.db")
	db, err := userdata.Open(from, &userdata.Options{Migrations: []userdata.Migration{{Name: "first"}, {Name: "second"}}}, samples, notes, userdata.UserdataTable)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	full := sampleFile(t)
	for _, table := range []string{"samples", "notes", "userdata"} {
		args := []string{"export", table, "-o", "jsonl"}
		if table == "samples" {
			args = append(args, "--columns", settable())
		}
		mustRun(t, from, mustRun(t, full, "", args...), "import", table)
	}
	text := mustRun(t, from, "", "dump")
	to := filepath.Join(t.TempDir(), "to.db")
	mustRun(t, to, text, "restore")
	if out, _, status := tool(t, from, "", "diff", from, to); status != 0 || out != "" {
		t.Errorf("diff: got status %d and %q", status, out)
	}
	if again := mustRun(t, to, "", "dump"); again != text {
		t.Errorf("the dump of the restored file differs (-first +again):\n%s", cmp.Diff(text, again))
	}
	mustRun(t, to, "", "check")
	ran := false
	step := userdata.RunStep(func(context.Context, *userdata.Session) error { ran = true; return nil })
	db, err = userdata.Open(to, &userdata.Options{Migrations: []userdata.Migration{{Name: "first", Steps: []userdata.Step{step}}, {Name: "second"}}}, samples, notes, userdata.UserdataTable)
	if err != nil || ran {
		t.Errorf("the restored file: got %v, and a migration that the first had has run: %v", err, ran)
	}
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Error(err)
	}
}

// A dump of a value that can't be made again fails, and so does restore of every
// beginning of a dump, leaving no file.
func TestDumpIncomplete(t *testing.T) {
	t.Parallel()
	if _, errs, status := tool(t, sampleFile(t), "", "dump"); status != 1 || !strings.Contains(errs, "itself inside") {
		t.Errorf("a type with itself inside: got status %d and %q", status, errs)
	}
	path := filepath.Join(t.TempDir(), "a.db")
	mustRun(t, path, "id,name\n1,a\n2,b\n", "import", "t", "--create")
	text := mustRun(t, path, "", "dump")
	dir := t.TempDir()
	for n := range len(text) - 1 {
		if n%7 > 0 && n < len(text)-20 {
			continue
		}
		if _, _, status := tool(t, filepath.Join(dir, "to.db"), text[:n], "restore"); status != 1 {
			t.Errorf("%d bytes of %d: got status %d, want 1", n, len(text), status)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("got %v %v in the folder, want nothing", left, err)
	}
}

// A Parquet file has the columns in their order, and their values.
func TestParquet(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s.parquet")
	mustRun(t, sampleFile(t), "", "export", "samples", path, "--columns", settable())
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	pf, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range pf.Schema().Columns() {
		names = append(names, c[0])
	}
	if got := strings.Join(names, ","); got != settable() {
		t.Errorf("columns: got %s, want %s", got, settable())
	}
	rows := pf.RowGroups()[0].Rows()
	defer rows.Close()
	buf := make([]parquet.Row, 5)
	n, err := rows.ReadRows(buf)
	if n != 3 || err != nil && err != io.EOF {
		t.Fatalf("got %d rows and %v, want 3", n, err)
	}
	row := map[string]string{}
	for i, v := range buf[1] {
		row[names[i]] = v.String()
	}
	for name, want := range map[string]string{
		"id": "1", "b": "true", "i8": "-128", "f32": "0.1", "t": "2026-10-12T19:58:00.123456789Z", "pt": "1791835080123456789", "lasts": "1000000000",
		"stamp": "s", "tags": `["","b"]`, "words": `{"":2,"b":1}`, "y": "\x00\xff",
	} {
		if row[name] != want {
			t.Errorf("%s: got %q, want %q", name, row[name], want)
		}
	}
	if got := buf[1][3].Uint64(); got != math.MaxUint64 {
		t.Errorf("u64: got %d", got)
	}
	if buf[0][7].IsNull() != true || buf[1][7].IsNull() {
		t.Errorf("ps: got %v and %v, want null and a text", buf[0][7], buf[1][7])
	}
}

// A large input that fails in its last line leaves the file as it was: it is written
// in a copy.
func TestImportAllOrNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	mustRun(t, path, "id,name\n-1,a\n", "import", "t", "--create")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var many strings.Builder
	many.WriteString("id,name\n")
	for i := range readAhead + 2500 {
		many.WriteString(strconv.Itoa(i) + ",x\n")
	}
	for _, last := range []string{"-1,again\n", "7,again\n", "x,text\n", "9", "99999,\"\n"} {
		_, errs, status := tool(t, path, many.String()+last, "import", "t")
		if status != 1 || !strings.HasPrefix(errs, "stdin:"+strconv.Itoa(readAhead+2502)) {
			t.Errorf("%q: got status %d and %q", last, status, errs)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%q: the file is changed", last)
		}
	}
	if _, errs, status := tool(t, path, many.String(), "import", "t", "--dry-run"); status != 0 || !strings.Contains(errs, "nothing was changed") {
		t.Errorf("dry run: got status %d and %q", status, errs)
	}
	mustRun(t, path, many.String()+"-1,again\n", "import", "t", "--ignore")
	if got := mustRun(t, path, "", "list", "t", "--count"); got != strconv.Itoa(readAhead+2501)+"\n" {
		t.Errorf("got %s records", got)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("got %v %v in the folder, want one file", left, err)
	}
}

// An export that fails leaves the folder as it was.
func TestExportFails(t *testing.T) {
	t.Parallel()
	path := sampleFile(t)
	dir := t.TempDir()
	for _, name := range []string{"a.csv", "a.jsonl.zst", "a.parquet"} {
		target := filepath.Join(dir, name)
		if _, errs, status := tool(t, path, "", "export", "notes", target, "--where", "stars / (id - 2) > 0 && [1][id] == 1"); status != 1 || errs == "" {
			t.Errorf("%s: got status %d and %q, want 1", name, status, errs)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: got %v %v in the folder, want nothing", name, left, err)
		}
	}
}
