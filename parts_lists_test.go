package userdata_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/seed-5df914be/userdata"
)

// A list that is read in parts notices one bit in the texts of records, which nothing but their
// checksums could tell from others.
func TestPartsOfChangedText(t *testing.T) {
	withProcessors(t, 4)
	const n = 1500
	path := tilesFile(t, rand.New(rand.NewPCG(1, 4)), n)
	db, err := userdata.Open(path, nil, tiles)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := db.NewSession()
	defer s.Close()
	all, err := tiles.Select(s).Untracked().All(t.Context())
	if err != nil || len(all) != n {
		t.Fatal(len(all), err)
	}
	at := slices.IndexFunc(all, func(r *tile) bool { return len(r.Text) > 20 })
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	id, text := all[at].ID, []byte(all[at].Text)
	changed := bytes.Clone(text)
	changed[3] ^= 1
	if bytes.Count(whole, text) == 0 {
		t.Fatal("the text is not in the file")
	}
	overwrite(t, path, 0, bytes.ReplaceAll(whole, text, changed))
	for _, q := range []userdata.Query[tile]{tiles.Select(s).Untracked(), tiles.Select(s)} {
		if all, err := q.All(t.Context()); !errors.Is(err, userdata.ErrCorrupt) || !strings.Contains(err.Error(), id) {
			t.Errorf("got %d records, %v, want ErrCorrupt for %s", len(all), err, id)
		}
	}
}

// A limit of what may be read holds for what an index has in order, in a file as elsewhere.
func TestScanLimitOfFile(t *testing.T) {
	db, err := userdata.Open(tilesFile(t, rand.New(rand.NewPCG(1, 3)), 500), &userdata.Options{ScanLimit: 50}, tiles)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	q := tiles.Select(db.NewSession()).OrderBy(tileLaid.Asc())
	for _, q := range []userdata.Query[tile]{q, q.Untracked(), q.Limit(100)} {
		if all, err := q.All(t.Context()); !errors.Is(err, userdata.ErrTooLarge) {
			t.Errorf("got %d records, %v, want ErrTooLarge", len(all), err)
		}
	}
}

// A list leaves out what its session has deleted.
func TestPartsPassOverDeleted(t *testing.T) {
	withProcessors(t, 4)
	rng := rand.New(rand.NewPCG(1, 2))
	const n = 1500
	db, err := userdata.Open(tilesFile(t, rng, n), nil, tiles)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := db.NewSession()
	defer s.Close()
	gone, err := tiles.Select(s).Offset(n / 2).First(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(gone); err != nil {
		t.Fatal(err)
	}
	for _, q := range []userdata.Query[tile]{tiles.Select(s).Untracked(), tiles.Select(s)} {
		all, err := q.All(t.Context())
		if err != nil || len(all) != n-1 {
			t.Errorf("got %d records, %v, want %d", len(all), err, n-1)
		}
		if slices.ContainsFunc(all, func(r *tile) bool { return r.ID == gone.ID }) {
			t.Errorf("got record %s, which the session has deleted", gone.ID)
		}
	}
}
