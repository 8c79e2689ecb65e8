package userdata_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

// TestRecordsOutliveFile makes sure that the records a query has given share nothing with
// the file, whose pages are written again, nor with what later queries give.
func TestRecordsOutliveFile(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	withProcessors(t, 4)
	const n = 1500
	db, err := userdata.Open(tilesFile(t, rng, n), nil, tiles)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	truth := tilesByGet(t, db, n)
	kept, want := map[string][]*tile{}, map[string][]*tile{}
	var sessions []*userdata.Session
	defer func() {
		for _, s := range sessions {
			s.Close()
		}
	}()
	for _, divided := range []bool{false, true} {
		userdata.DivideScans(db, divided)
		for way, read := range waysToGive {
			s := db.NewSession()
			sessions = append(sessions, s)
			got := read(t, t.Context(), tiles.Select(s))
			if divided {
				way += ", in parts"
			}
			kept[way], want[way] = got, cloneTiles(got)
			for _, one := range got {
				if d := cmp.Diff(truth[one.ID], one); d != "" {
					t.Fatalf("%s (-by key +by query):\n%s", way, d)
				}
			}
		}
	}
	for range 10 {
		err := db.Transact(t.Context(), func(s *userdata.Session) error {
			all, err := tiles.Select(s).All(t.Context())
			for _, one := range all {
				one.Text, one.Color = strings.Repeat("y", rng.IntN(60)), "black"
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for way, got := range kept {
		if d := cmp.Diff(want[way], got); d != "" {
			t.Errorf("%s: after ten commits (-before +now):\n%.2000s", way, d)
		}
	}
}

// waysToGive are the ways in which a query gives records, each to be asked a second time
// with the memory that the first has left.
var waysToGive = map[string]func(t *testing.T, ctx context.Context, q userdata.Query[tile]) []*tile{
	"tracked": func(t *testing.T, ctx context.Context, q userdata.Query[tile]) []*tile {
		return allTwice(t, ctx, q)
	},
	"copies": func(t *testing.T, ctx context.Context, q userdata.Query[tile]) []*tile {
		return allTwice(t, ctx, q.Untracked())
	},
	"copies by an index": func(t *testing.T, ctx context.Context, q userdata.Query[tile]) []*tile {
		return allTwice(t, ctx, q.Untracked().OrderBy(tileLaid.Desc()))
	},
	"some copies": func(t *testing.T, ctx context.Context, q userdata.Query[tile]) []*tile {
		return allTwice(t, ctx, q.Untracked().OrderBy(tileSize.Asc()).Limit(300))
	},
	"rows of copies": func(t *testing.T, ctx context.Context, q userdata.Query[tile]) (list []*tile) {
		for range 2 {
			for one, err := range q.Untracked().Rows(ctx) {
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, one)
			}
		}
		return list
	},
}

func allTwice(t *testing.T, ctx context.Context, q userdata.Query[tile]) (list []*tile) {
	for range 2 {
		more, err := q.All(ctx)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, more...)
	}
	return list
}

// tilesByGet returns the tiles as they are when they are read one by one.
func tilesByGet(t *testing.T, db *userdata.DB, n int) map[string]*tile {
	s := db.NewSession()
	defer s.Close()
	truth := map[string]*tile{}
	for i := range n {
		one, err := tiles.Get(t.Context(), s, tileKey(i))
		if err != nil {
			t.Fatal(err)
		}
		truth[strings.Clone(one.ID)] = cloneTiles([]*tile{one})[0]
	}
	return truth
}

// cloneTiles returns tiles that share no memory with the given ones.
func cloneTiles(list []*tile) (clones []*tile) {
	for _, one := range list {
		own := *one
		for _, s := range []*string{&own.ID, &own.Color, &own.Code, &own.Text} {
			*s = strings.Clone(*s)
		}
		clones = append(clones, &own)
	}
	return clones
}
