package userdata_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/seed-5df914be/userdata"
)

// lapNote is a record of TestLimitOfManyTracked.
type lapNote struct {
	ID   string `userdata:"id,key"`
	Rank int    `userdata:"rank,index"`
	Odd  bool   `userdata:"odd"`
}

var (
	lapNotes = userdata.NewTable[lapNote]("laps")
	lapID    = userdata.ColumnOf(func(n *lapNote) *string { return &n.ID })
	lapRank  = userdata.ColumnOf(func(n *lapNote) *int { return &n.Rank })
	lapOdd   = userdata.ColumnOf(func(n *lapNote) *bool { return &n.Odd })
)

// The first answers of a query are those that all of its answers begin with, also where the
// session has thousands of records: read, added, changed and deleted ones.
func TestLimitOfManyTracked(t *testing.T) {
	t.Parallel()
	const seed, stored, kept = 5, 6000, 4000
	rng := rand.New(rand.NewPCG(seed, seed))
	ctx := context.Background()
	db := openDB(t, lapNotes)
	newNote := func(i int) *lapNote {
		return &lapNote{ID: fmt.Sprintf("%05d", i), Rank: rng.IntN(stored / 3), Odd: rng.IntN(2) == 0}
	}
	err := db.Transact(ctx, func(s *userdata.Session) error {
		for i := range stored {
			if err := s.Add(newNote(2 * i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	s := db.NewSession()
	defer s.Close()
	tracked := map[string]*lapNote{}
	for _, i := range rng.Perm(stored)[:kept] {
		n, err := lapNotes.Get(ctx, s, fmt.Sprintf("%05d", 2*i))
		if err != nil {
			t.Fatal(err)
		}
		tracked[n.ID] = n
	}
	for _, i := range rng.Perm(stored)[:200] {
		if err := s.Add(newNote(2*i + 1)); err != nil {
			t.Fatal(err)
		}
	}
	changed := 0
	for i := range stored {
		n := tracked[fmt.Sprintf("%05d", 2*i)]
		switch {
		case n == nil:
		case i%7 == 0:
			n.Rank, changed = rng.IntN(stored/3), changed+1
		case i%11 == 0:
			if err := s.Delete(n); err != nil {
				t.Fatal(err)
			}
		}
	}
	if changed == 0 {
		t.Fatal("nothing was changed")
	}

	all := lapNotes.Select(s)
	for name, q := range map[string]userdata.Query[lapNote]{
		"by key":                 all,
		"by key, down":           all.OrderBy(lapID.Desc()),
		"by rank":                all.OrderBy(lapRank.Asc()),
		"by rank, down":          all.OrderBy(lapRank.Desc()),
		"by what has no index":   all.OrderBy(lapOdd.Asc()),
		"odd":                    all.Where(lapOdd.Eq(true)).OrderBy(lapRank.Asc()),
		"ranks":                  all.Where(lapRank.Between(100, 1500)).OrderBy(lapRank.Desc()),
		"matched":                all.Where(userdata.Match(func(n *lapNote) bool { return n.Rank%3 > 0 })).OrderBy(lapRank.Asc()),
		"after a cursor, by key": all.Where(lapID.Gt("03000")),
	} {
		want, err := q.Untracked().All(ctx)
		if err != nil {
			t.Fatal(name, err)
		}
		for round := range 40 {
			offset, limit := rng.IntN(700), rng.IntN(700)
			if rng.IntN(3) == 0 {
				offset, limit = rng.IntN(5), 1+rng.IntN(20)
			}
			part := q.Offset(offset).Limit(limit)
			if round < 35 {
				part = part.Untracked() // else few are left that the session does not have
			}
			got, err := part.All(ctx)
			if err != nil {
				t.Fatal(name, err)
			}
			end := min(len(want), offset+limit)
			if len(got) != end-min(offset, end) {
				t.Fatalf("seed %d: %s, offset %d, limit %d: got %d records, want %d", seed, name, offset, limit, len(got), end-min(offset, end))
			}
			for i, n := range got {
				if w := want[offset+i]; *n != *w {
					t.Fatalf("seed %d: %s, offset %d, limit %d: record %d is %v, want %v", seed, name, offset, limit, i, *n, *w)
				}
			}
		}
	}
}

// Of a table whose first records the session has, no more is read than those reach.
func TestLimitOfTrackedReadsLittle(t *testing.T) {
	t.Parallel()
	_, s, store := planDB(t, 500)
	q := planTable.Select(s)
	if all, err := q.All(t.Context()); err != nil || len(all) != 500 {
		t.Fatal(len(all), err)
	}
	for name, q := range map[string]userdata.Query[planRec]{"up": q.OrderBy(planID.Asc()), "down": q.OrderBy(planID.Desc())} {
		store.scanned = 0
		got, err := q.Offset(3).Limit(5).All(t.Context())
		if err != nil || len(got) != 5 {
			t.Fatal(name, len(got), err)
		}
		if store.scanned > 9 {
			t.Errorf("%s: %d records were read, want 8 or 9", name, store.scanned)
		}
	}
}
