package userdata_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-5df914be/userdata"
	"github.com/seed-5df914be/userdata/internal/pages"
)

// A leafNote is the record of the salvage tests.
type leafNote struct {
	ID    string `userdata:"id,key"`
	Title string `userdata:"title,index"`
	Seen  int    `userdata:"seen"`
}

var leafNotes = userdata.NewTable[leafNote]("leaf_notes")

// notesFile makes a file with n notes, the last commit being a change of each tenth,
// and returns its path and bytes. Compacted, it has only one state.
func notesFile(t *testing.T, n int, compacted bool) (path string, file []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "test.db")
	db, err := userdata.Open(path, nil, leafNotes)
	if err != nil {
		t.Fatal(err)
	}
	s := db.NewSession()
	for i := range n {
		if err := s.Add(&leafNote{ID: fmt.Sprintf("note %06d", i), Title: strings.Repeat("x", i%200), Seen: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := leafNotes.Select(s).Where(userdata.Match(func(l *leafNote) bool { return strings.HasSuffix(l.ID, "0") })).Update(t.Context(), leafSeen.Set(2)); err != nil {
		t.Fatal(err)
	}
	err = s.Commit(t.Context())
	if compacted {
		err = errors.Join(err, db.Store().(*userdata.BoltStore).Compact(t.Context()))
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	file, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, file
}

var leafSeen = userdata.ColumnOf(func(l *leafNote) *int { return &l.Seen })

// rescue salvages the file and returns the notes of the new one.
func rescue(t *testing.T, path string, opts *userdata.SalvageOptions) (*userdata.SalvageReport, map[string]*leafNote) {
	t.Helper()
	target := filepath.Join(t.TempDir(), "salvaged.db")
	report, err := userdata.Salvage(t.Context(), path, target, opts)
	if err != nil {
		t.Fatalf("Salvage: %v", err)
	}
	db, err := userdata.Open(target, nil, leafNotes)
	if err != nil {
		t.Fatalf("Open of the salvaged file: %v", err)
	}
	defer db.Close()
	s := db.NewSession()
	all, err := leafNotes.Select(s).All(t.Context())
	if err := errors.Join(err, userdata.CheckRecords(t.Context(), db)); err != nil {
		t.Fatalf("reading the salvaged file: %v", err)
	}
	notes := map[string]*leafNote{}
	for _, l := range all {
		notes[l.ID] = l
	}
	return report, notes
}

// salvaged returns the report's part about the notes.
func salvaged(r *userdata.SalvageReport) userdata.SalvagedTable {
	for _, t := range r.Tables {
		if t.Name == "leaf_notes" {
			return t
		}
	}
	return userdata.SalvagedTable{}
}

func TestSalvageOfSound(t *testing.T) {
	t.Parallel()
	path, before := notesFile(t, 2000, false)
	report, notes := rescue(t, path, nil)
	want := userdata.SalvagedTable{Name: "leaf_notes", Saved: 2000, Expected: 2000}
	if got := salvaged(report); got != want || len(report.Findings) > 0 {
		t.Errorf("got %+v, %q, want %+v and no findings", got, report.Findings, want)
	}
	if len(notes) != 2000 || notes["note 000010"].Seen != 2 {
		t.Errorf("got %d notes, %+v, want 2000 of the last state", len(notes), notes["note 000010"])
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed, %v", err)
	}
	if _, err := userdata.Salvage(t.Context(), path, path, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over the file itself: got %v, want fs.ErrExist", err)
	}
}

// Whatever page is destroyed: all that is not on it is saved, and nothing is wrong.
func TestSalvage(t *testing.T) {
	t.Parallel()
	for _, compacted := range []bool{false, true} {
		least, older, cutOff := salvageEachPage(t, 1500, compacted)
		t.Logf("compacted %v: of 1500 notes at least %d were saved; %d older, %d cut off, in all", compacted, least, older, cutOff)
		if least < 1400 || !compacted && older == 0 || compacted && cutOff < 1400 {
			t.Errorf("compacted %v: got %d, %d older, %d cut off, want all but those of one page", compacted, least, older, cutOff)
		}
	}
}

// salvageEachPage destroys one page after the other, and returns how many of n notes
// were saved at least, and how many of all that were saved were found where.
func salvageEachPage(t *testing.T, n int, compacted bool) (least, older, cutOff int) {
	t.Helper()
	_, file := notesFile(t, n, compacted)
	size := os.Getpagesize()
	rep, err := pages.Check(bytes.NewReader(file), int64(len(file)))
	if err != nil || rep.Err() != nil {
		t.Fatal(err, rep.Err())
	}
	garbage := make([]byte, size)
	rand.NewChaCha8([32]byte{7}).Read(garbage)
	least = n
	for page := 0; page < int(rep.Metas[rep.Meta].HighWater); page++ {
		flags := file[page*size+8]
		if flags == 2 && page%8 > 0 { // not each leaf
			continue
		}
		damaged := bytes.Clone(file)
		copy(damaged[page*size:], garbage)
		broken := filepath.Join(t.TempDir(), "broken.db")
		if err := os.WriteFile(broken, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		report, notes := rescue(t, broken, nil)
		got := salvaged(report)
		for id, l := range notes {
			if want := strings.Repeat("x", len(l.Title)); l.ID != id || l.Title != want || l.Seen != 1 && l.Seen != 2 {
				t.Fatalf("page %d: wrong record %+v", page, l)
			}
		}
		if got.Saved != len(notes) || got.Expected >= 0 && got.Expected != n {
			t.Errorf("page %d: got %+v, and %d notes", page, got, len(notes))
		}
		least, older, cutOff = min(least, len(notes)), older+got.Older, cutOff+got.CutOff
	}
	return least, older, cutOff
}

// Damage in what the last commit wrote leaves the state before it whole.
func TestSalvagePrevious(t *testing.T) {
	t.Parallel()
	path, file := notesFile(t, 1000, false)
	rep, err := pages.Metas(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	at := int64(rep.Metas[rep.Meta].Root) * int64(rep.PageSize)
	overwrite(t, path, at, make([]byte, rep.PageSize))
	_, err = userdata.OpenBolt(path, nil)
	if !errors.Is(err, userdata.ErrCorrupt) || !strings.Contains(err.Error(), "state before") {
		t.Fatalf("OpenBolt: got %v, want ErrCorrupt that offers the state before", err)
	}
	report, notes := rescue(t, path, &userdata.SalvageOptions{Previous: true})
	want := userdata.SalvagedTable{Name: "leaf_notes", Saved: 1000, Expected: 1000}
	if got := salvaged(report); got != want || notes["note 000010"].Seen != 1 {
		t.Errorf("got %+v, %+v, want %+v of the state before", got, notes["note 000010"], want)
	}
}

func TestSalvageOfNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte(strings.Repeat("Dear diary.\n", 5000)), 0o600); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(t.TempDir(), "out.db")
	if _, err := userdata.Salvage(t.Context(), path, target, nil); !errors.Is(err, userdata.ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt", err)
	}
	if _, err := os.Stat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the new file: got %v, want none", err)
	}
}

// A file that is there already stays as it is: when Salvage begins, and when somebody
// puts it there meanwhile.
func TestSalvageOverFile(t *testing.T) {
	t.Parallel()
	path, _ := notesFile(t, 300, false)
	for _, meanwhile := range []bool{false, true} {
		target := filepath.Join(t.TempDir(), "out.db")
		opts := &userdata.SalvageOptions{}
		write := func() { ok(t, os.WriteFile(target, []byte("another's"), 0o600)) }
		if meanwhile {
			opts.Progress = func(string, int, int) { write() }
		} else {
			write()
		}
		if _, err := userdata.Salvage(t.Context(), path, target, opts); !errors.Is(err, fs.ErrExist) {
			t.Errorf("meanwhile %v: got %v, want fs.ErrExist", meanwhile, err)
		}
		if got := string(fileBytes(t, target)); got != "another's" {
			t.Errorf("meanwhile %v: the file is %.20q, want it as it was", meanwhile, got)
		}
	}
}
