package userdata_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"

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

// A peg is of another size than a tile, and its key is no text.
type peg struct {
	ID    int    `userdata:"id,key"`
	Holes []int  `userdata:"holes"`
	Name  string `userdata:"name,size=2000"`
}

var pegs = userdata.NewTable[peg]("pegs")

// pegOf and plainTile make the records that TestRecordsByKeyAreApart gets.
func pegOf(i int) *peg {
	return &peg{i, []int{i, i * i}, strings.Repeat(string(rune('a'+i%26)), 1+i*i%1500)}
}

func plainTile(i int) *tile {
	return &tile{ID: tileKey(i), Size: i, Laid: time.Unix(int64(i), 0).UTC(), Code: tileKey(i), Text: strings.Repeat("t", i%90)}
}

// TestRecordsByKeyAreApart gets records in sessions that leave their memory to each other, and
// makes sure that none shares with another one what may change.
func TestRecordsByKeyAreApart(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 2))
	t.Logf("seed %d", seed)
	const n = 150
	db, err := userdata.OpenStore(t.Context(), openBolt(t), nil, tiles, pegs)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Transact(t.Context(), func(s *userdata.Session) (err error) {
		for i := range n {
			err = errors.Join(err, s.Add(plainTile(i), pegOf(i)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	gotTiles, gotPegs := map[*tile]int{}, map[*peg]int{}
	for range 800 {
		s := db.NewSession()
		for range 1 + rng.IntN(2)*rng.IntN(40) {
			i := rng.IntN(n * 11 / 10)
			var err error
			if rng.IntN(4) > 0 {
				var one *tile
				if one, err = tiles.Get(t.Context(), s, tileKey(i)); err == nil {
					gotTiles[one] = i
				}
			} else {
				var one *peg
				if one, err = pegs.Get(t.Context(), s, i); err == nil {
					gotPegs[one] = i
				}
			}
			if (err != nil) != (i >= n) {
				t.Fatalf("record %d: %v", i, err)
			}
		}
		if rng.IntN(10) > 0 {
			s.Close()
		}
	}
	changed := 0
	for one := range gotPegs {
		if changed++; changed%3 == 0 {
			one.Holes[0], one.Name = -1, "changed"
			_ = append(one.Holes, -2)
			delete(gotPegs, one)
		}
	}
	for one, i := range gotPegs {
		if d := cmp.Diff(pegOf(i), one); d != "" {
			t.Fatalf("peg %d (-want +got):\n%.2000s", i, d)
		}
	}
	for one, i := range gotTiles {
		if d := cmp.Diff(plainTile(i), one); d != "" {
			t.Fatalf("tile %d (-want +got):\n%.2000s", i, d)
		}
	}
	if len(gotTiles) < 1000 || len(gotPegs) < 500 {
		t.Errorf("got %d tiles and %d pegs", len(gotTiles), len(gotPegs))
	}
}

// TestTablesOfSeveralDatabases gets records by the same tables from databases that have them in
// another order, under other names, or not at all.
func TestTablesOfSeveralDatabases(t *testing.T) {
	other := userdata.NewTable[peg]("other")
	dbs := map[*userdata.DB]*userdata.Table[peg]{}
	for i, tables := range [][]userdata.Mapped{{tiles, pegs}, {pegs, tiles}, {tiles, other}, {tiles}} {
		db, err := userdata.OpenStore(t.Context(), openBolt(t), nil, tables...)
		if err != nil {
			t.Fatal(err)
		}
		dbs[db] = []*userdata.Table[peg]{pegs, pegs, other, nil}[i]
		err = db.Transact(t.Context(), func(s *userdata.Session) error {
			if dbs[db] != nil {
				return s.Add(pegOf(i), plainTile(i))
			}
			return s.Add(plainTile(i))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		for db, has := range dbs {
			s := db.NewSession()
			for _, table := range []*userdata.Table[peg]{pegs, other} {
				n, err := table.Select(s).Count(t.Context())
				if table == has && (n != 1 || err != nil) || table != has && !errors.Is(err, userdata.ErrInvalid) {
					t.Errorf("table %s: %d records, error %v", table.Name(), n, err)
				}
			}
			if n, err := tiles.Select(s).Count(t.Context()); n != 1 || err != nil {
				t.Errorf("%d tiles, error %v", n, err)
			}
			s.Close()
		}
	}
}

// A sack may be small as stored, or have much.
type sack struct {
	ID   int    `userdata:"id,key"`
	Data []byte `userdata:"data"`
}

// TestKeptRecordKeepsFew makes sure that the program keeps no large record because it keeps a
// small one that it got by key before or after.
func TestKeptRecordKeepsFew(t *testing.T) {
	sacks := userdata.NewTable[sack]("sacks")
	db, err := userdata.OpenStore(t.Context(), openBolt(t), nil, sacks)
	if err != nil {
		t.Fatal(err)
	}
	const n, small = 60, 7
	err = db.Transact(t.Context(), func(s *userdata.Session) (err error) {
		for i := range n {
			size := 10
			if i%small > 0 {
				size = 300 * (1 + i)
			}
			err = errors.Join(err, s.Add(&sack{i, make([]byte, size)}))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var kept []*sack
	large := map[int]weak.Pointer[byte]{}
	for i := range n {
		s := db.NewSession()
		one, err := sacks.Get(t.Context(), s, i)
		if err != nil {
			t.Fatal(err)
		}
		if i%small == 0 {
			kept = append(kept, one)
		} else {
			large[i] = weak.Make(&one.Data[0])
		}
		s.Close()
	}
	for range 3 { // what sync.Pool has is let go of by the second
		runtime.GC()
	}
	for i, data := range large {
		if data.Value() != nil {
			t.Errorf("record %d, of %d bytes, is still in memory", i, 300*(1+i))
		}
	}
	runtime.KeepAlive(kept)
}

// TestTableThatIsNone asks for the table that nobody made, and for a copy of one.
func TestTableThatIsNone(t *testing.T) {
	db, err := userdata.OpenStore(t.Context(), openBolt(t), nil, pegs)
	if err != nil {
		t.Fatal(err)
	}
	s := db.NewSession()
	var none userdata.Table[peg]
	if _, err := none.Get(t.Context(), s, 1); !errors.Is(err, userdata.ErrInvalid) {
		t.Error(err)
	}
	if _, err := none.Select(s).All(t.Context()); !errors.Is(err, userdata.ErrInvalid) {
		t.Error(err)
	}
	if db, err := userdata.OpenStore(t.Context(), openBolt(t), nil, &none); !errors.Is(err, userdata.ErrInvalid) {
		t.Error(db, err)
	}
	copied := *pegs
	if n, err := copied.Select(s).Count(t.Context()); n != 0 || err != nil {
		t.Error(n, err)
	}
}
