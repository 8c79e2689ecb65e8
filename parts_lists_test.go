package userdata_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

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

// TestListsByIndexOfAnySize reads as many records by an index as fit the first part, and one less
// and more, forward and back.
func TestListsByIndexOfAnySize(t *testing.T) {
	withProcessors(t, 2)
	const n = 700
	db, err := userdata.OpenStore(t.Context(), openBolt(t), nil, tiles)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Transact(t.Context(), func(s *userdata.Session) (err error) {
		for i := range n {
			err = errors.Join(err, s.Add(plainTile(i)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, 2, 16, 17, 127, 128, 129, 255, 256, 257, 384, 600} {
		for _, back := range []bool{false, true} {
			order := tileLaid.Asc()
			if back {
				order = tileLaid.Desc()
			}
			for _, untracked := range []bool{false, true} {
				s := db.NewSession()
				q := tiles.Select(s).Where(tileLaid.Ge(plainTile(40).Laid), tileLaid.Lt(plainTile(40+size).Laid)).OrderBy(order)
				if untracked {
					q = q.Untracked()
				}
				got, err := q.All(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				var want []*tile
				for i := range size {
					want = append(want, plainTile(40+i))
				}
				if back {
					slices.Reverse(want)
				}
				if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
					t.Fatalf("%d tiles, backwards %v, untracked %v (-want +got):\n%.2000s", size, back, untracked, d)
				}
				if k, err := q.Count(t.Context()); k != size || err != nil {
					t.Fatalf("counted %d of %d tiles, error %v", k, size, err)
				}
				s.Close()
			}
		}
	}
}

// endsSoon is a context that is over from the second look on.
type endsSoon struct {
	context.Context
	looks int
}

func (c *endsSoon) Err() error {
	if c.looks++; c.looks > 1 {
		return context.Canceled
	}
	return nil
}

// TestListByIndexInterrupted makes sure that a query by an index notices that its context has ended,
// however many entries there are, and on however many processors.
func TestListByIndexInterrupted(t *testing.T) {
	db, err := userdata.OpenStore(t.Context(), openBolt(t), nil, tiles)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Transact(t.Context(), func(s *userdata.Session) (err error) {
		for i := range 400 {
			err = errors.Join(err, s.Add(plainTile(i)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var absent []time.Time
	for i := range 2000 {
		absent = append(absent, time.Unix(int64(10_000+i), 0).UTC())
	}
	s := db.NewSession()
	defer s.Close()
	q := tiles.Select(s)
	lists := map[string]userdata.Query[tile]{
		"many values": q.Where(tileLaid.In(absent...)),
		"no entries":  q.Where(tileLaid.Ge(absent[0])),
		"few entries": q.Where(tileLaid.Lt(plainTile(100).Laid)),
		"more":        q.Where(tileLaid.Lt(plainTile(300).Laid)),
	}
	for name, q := range lists {
		for _, procs := range []int{1, 2} {
			withProcessors(t, procs)
			got, err := q.All(&endsSoon{Context: t.Context()})
			if procs == 1 && (name == "no entries" || name == "few entries") { // soon done
				continue
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s, %d processors: %d records, error %v", name, procs, len(got), err)
			}
		}
	}
}
