package userdata_test

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/seed-5df914be/userdata"
)

// collectRows ranges over a query, runs body for each record, and returns their
// keys as they were when they came.
func collectRows(t *testing.T, q userdata.Query[planRec], body func(i int, r *planRec)) (keys []string) {
	t.Helper()
	for r, err := range q.Rows(t.Context()) {
		if err != nil {
			t.Fatalf("after %d rows: %v", len(keys), err)
		}
		keys = append(keys, r.ID)
		if body != nil {
			body(len(keys)-1, r)
		}
	}
	return keys
}

func wantKeys(t *testing.T, what string, got []string, from, to int) {
	t.Helper()
	var want []string
	for i := from; i < to; i++ {
		want = append(want, planKey(i))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %d keys %v, want %d from %d on", what, len(got), got, len(want), from)
	}
}

func transact(t *testing.T, db *userdata.DB, fn func(s *userdata.Session) error) {
	t.Helper()
	if err := db.Transact(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// TestRowsWhileOthersCommit has another session insert and delete all around.
func TestRowsWhileOthersCommit(t *testing.T) {
	t.Parallel()
	for name, order := range map[string][]userdata.Order[planRec]{"keys": nil, "reverse": {planID.Desc()}, "sorted": {planN.Asc()}} {
		for _, untracked := range []bool{false, true} {
			db, s, _ := planDB(t, 500)
			q := planTable.Select(s).OrderBy(order...)
			if untracked {
				q = q.Untracked()
			}
			came := map[string]int{}
			for i, key := range collectRows(t, q, func(i int, r *planRec) {
				if i%10 > 0 || i >= 400 {
					return
				}
				transact(t, db, func(s *userdata.Session) error {
					n, err := planTable.Select(s).Where(planID.Eq(planKey(i))).Delete(t.Context())
					if n != 1 {
						t.Errorf("deleted %d", n)
					}
					return errors.Join(err, s.Add(&planRec{ID: planKey(i) + "+"}))
				})
			}) {
				if came[key]++; came[key] > 1 {
					t.Errorf("%s: row %d, %s, came twice", name, i, key)
				}
			}
			for i := range 500 {
				if (i%10 > 0 || i >= 400) && came[planKey(i)] != 1 {
					t.Errorf("%s: %s came %d times", name, planKey(i), came[planKey(i)])
				}
			}
		}
	}
}

// TestRowsHalloween moves each record ahead as it comes.
func TestRowsHalloween(t *testing.T) {
	t.Parallel()
	for _, commit := range []int{0, 1, 70} {
		for name, order := range map[string][]userdata.Order[planRec]{"keys": nil, "sorted": {planN.Asc()}} {
			_, s, _ := planDB(t, 200)
			seen := map[*planRec]bool{}
			got := collectRows(t, planTable.Select(s).OrderBy(order...), func(i int, r *planRec) {
				if seen[r] {
					t.Errorf("%s: %+v came twice", name, *r)
				}
				seen[r] = true
				r.ID, r.N = "z"+r.ID, r.N+100
				if commit > 0 && i%commit == 0 {
					if err := s.Commit(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			})
			slices.Sort(got)
			wantKeys(t, name, got, 0, 200)
		}
	}
}

// TestRowsKeysHandedOn commits, in the body, keys that go from record to record.
func TestRowsKeysHandedOn(t *testing.T) {
	t.Parallel()
	_, s, _ := planDB(t, 14)
	ctx := t.Context()
	last, err := planTable.Get(ctx, s, "k013")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[*planRec]bool{}
	for r, err := range planTable.Select(s).OrderBy(planN.Asc()).Rows(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if seen[r] {
			t.Errorf("%+v came twice", *r)
		}
		seen[r] = true
		if len(seen) == 1 { // k000 takes the key of k013, whose turn is last
			r.ID, last.ID = last.ID, r.ID
			if err := s.Commit(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(seen) != 14 {
		t.Errorf("got %d records, want 14", len(seen))
	}
}

func TestRowsCommitInTheBody(t *testing.T) {
	t.Parallel()
	for name, order := range map[string]userdata.Order[planRec]{"keys": planID.Asc(), "reverse": planID.Desc(), "sorted": planTitle.Asc()} {
		db, s, _ := planDB(t, 300)
		tracked, err := planTable.Get(t.Context(), s, "k150")
		if err != nil {
			t.Fatal(err)
		}
		changed := ""
		got := collectRows(t, planTable.Select(s).OrderBy(order), func(i int, r *planRec) {
			if r == tracked {
				changed = r.Title
			}
			r.N++
			if i == 0 { // others change what the session tracks, and what it has read and does not
				transact(t, db, func(o *userdata.Session) error {
					_, err := planTable.Select(o).Where(planID.In("k150", "k299", "k000"), planID.Ne(r.ID)).Update(t.Context(), planTitle.Set("t0 others"))
					return err
				})
			}
			if err := s.Commit(t.Context()); err != nil {
				t.Fatalf("%s, row %d, %s: %v", name, i, r.ID, err)
			}
		})
		slices.Sort(got)
		wantKeys(t, name, got, 0, 300)
		if changed != "t0 others" {
			t.Errorf("%s: after a commit a tracked record came as %q, want what others made of it", name, changed)
		}
	}
}

// TestRowsUntrackedCommitInTheBody: nothing but the key tells where the loop stands.
func TestRowsUntrackedCommitInTheBody(t *testing.T) {
	t.Parallel()
	for name, order := range map[string]userdata.Order[planRec]{"keys": planID.Asc(), "reverse": planID.Desc(), "sorted": planTitle.Asc()} {
		_, s, _ := planDB(t, 150)
		got := collectRows(t, planTable.Select(s).Untracked().OrderBy(order), func(i int, r *planRec) {
			if err := s.Commit(t.Context()); err != nil { // of nothing: but what was read may be old
				t.Fatal(err)
			}
		})
		slices.Sort(got)
		wantKeys(t, name, got, 0, 150)
	}
}

// TestRowsOthersDeleteBehindACommit: the rest is read anew.
func TestRowsOthersDeleteBehindACommit(t *testing.T) {
	t.Parallel()
	for name, order := range map[string]userdata.Order[planRec]{"keys": planID.Asc(), "sorted": planTitle.Asc()} {
		db, s, _ := planDB(t, 30)
		if _, err := planTable.Get(t.Context(), s, "k010"); err != nil {
			t.Fatal(err)
		}
		got := collectRows(t, planTable.Select(s).Where(planN.Ne(100)).OrderBy(order), func(i int, r *planRec) {
			if i == 0 {
				transact(t, db, func(o *userdata.Session) error {
					_, err1 := planTable.Select(o).Where(planID.In("k010", "k011")).Delete(t.Context())
					_, err2 := planTable.Select(o).Where(planID.In("k012")).Update(t.Context(), planN.Set(100))
					return errors.Join(err1, err2)
				})
				if err := s.Commit(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		})
		if len(got) != 27 || slices.Contains(got, "k010") || slices.Contains(got, "k011") || slices.Contains(got, "k012") {
			t.Errorf("%s: got %d %v, want 27", name, len(got), got)
		}
	}
}

func TestRowsChangesAhead(t *testing.T) {
	t.Parallel()
	_, s, _ := planDB(t, 200)
	ctx := t.Context()
	q := planTable.Select(s)
	held, err := q.Where(planID.In("k020", "k021", "k022")).All(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Add(&planRec{ID: "k030+"}); err != nil {
		t.Fatal(err)
	}
	got := collectRows(t, q.Where(planN.Le(6)), func(i int, r *planRec) {
		switch i {
		case 0:
			if err := s.Delete(held[0]); err != nil { // a tracked one
				t.Fatal(err)
			}
			held[1].N = 7      // no longer matches
			s.Expunge(held[2]) // is in the store still
			if _, err := q.Where(planID.Between("k040", "k049")).Delete(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := q.Where(planID.Between("k150", "k159")).Update(ctx, planN.Set(8)); err != nil {
				t.Fatal(err)
			}
			added, err := q.Where(planID.Eq("k030+")).One(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Delete(added); err != nil { // pending: forgotten
				t.Fatal(err)
			}
		case 1:
			s.Rollback()
			if err := s.Delete(held[0]); err != nil {
				t.Fatal(err)
			}
			if _, err := q.Where(planID.Between("k040", "k049")).Delete(ctx); err != nil {
				t.Fatal(err)
			}
		}
	})
	var want []string
	for i := range 200 {
		if i != 20 && (i < 40 || i > 49) {
			want = append(want, planKey(i))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d %v, want %d", len(got), got, len(want))
	}
}

// TestRowsWithManyUnfinishedRecords: those that have no key yet all come, once.
func TestRowsWithManyUnfinishedRecords(t *testing.T) {
	t.Parallel()
	_, s, _ := planDB(t, 100)
	for range 150 {
		if err := s.Add(&planRec{N: 1}); err != nil {
			t.Fatal(err)
		}
	}
	q := planTable.Select(s)
	for what, test := range map[string]struct {
		q    userdata.Query[planRec]
		want int
	}{"all": {q, 250}, "reverse": {q.OrderBy(planID.Desc()), 250}, "offset": {q.Offset(70), 180}, "limit": {q.Offset(70).Limit(100), 100}, "untracked": {q.Untracked(), 250}} {
		if got := collectRows(t, test.q, nil); len(got) != test.want {
			t.Errorf("%s: got %d, want %d", what, len(got), test.want)
		}
	}
}

func TestRowsOffsetAndLimitOverPages(t *testing.T) {
	t.Parallel()
	_, s, _ := planDB(t, 500)
	q := planTable.Select(s)
	even := userdata.Match(func(r *planRec) bool { return r.ID[3]%2 == 0 })
	for _, offset := range []int{0, 1, 63, 64, 65, 200, 499, 500, 501} {
		for _, limit := range []int{0, 1, 64, 65, 300, 1000} {
			wantKeys(t, "rows", collectRows(t, q.Offset(offset).Limit(limit), nil), offset, min(500, offset+limit))
			if got, want := len(collectRows(t, q.Where(even).Untracked().Offset(offset).Limit(limit), nil)), min(limit, max(0, 250-offset)); got != want {
				t.Errorf("match, offset %d, limit %d: got %d, want %d", offset, limit, got, want)
			}
		}
	}
}

// TestRowsLeftOutByTheOffset: what the offset left out has had its turn.
func TestRowsLeftOutByTheOffset(t *testing.T) {
	t.Parallel()
	_, s, _ := planDB(t, 100)
	first, err := planTable.Get(t.Context(), s, "k000")
	if err != nil {
		t.Fatal(err)
	}
	got := collectRows(t, planTable.Select(s).Offset(1), func(i int, r *planRec) { first.ID = "z" })
	wantKeys(t, "after the offset", got, 1, 100)
}

// TestRowsOwnRecordsOnLaterPages: the session's own come where they belong.
func TestRowsOwnRecordsOnLaterPages(t *testing.T) {
	t.Parallel()
	_, s, _ := planDB(t, 300)
	if err := s.Add(&planRec{ID: "k150+"}, &planRec{ID: "k299+"}, &planRec{ID: "k000+"}); err != nil {
		t.Fatal(err)
	}
	moved, err := planTable.Get(t.Context(), s, "k010")
	if err != nil {
		t.Fatal(err)
	}
	moved.ID = "k250+"
	for name, q := range map[string]userdata.Query[planRec]{
		"untracked":               planTable.Select(s).Untracked(),
		"none on the first pages": planTable.Select(s).Where(userdata.Match(func(r *planRec) bool { return r.ID >= "k2" })),
		"tracked":                 planTable.Select(s),
	} {
		for _, order := range []userdata.Order[planRec]{planID.Asc(), planID.Desc()} {
			all, err := q.OrderBy(order).Untracked().All(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, r := range all {
				want = append(want, r.ID)
			}
			if got := collectRows(t, q.OrderBy(order), nil); !slices.Equal(got, want) || len(got) < 102 {
				t.Errorf("%s: got %v, want %v", name, got, want)
			}
		}
	}
}

func TestRowsNestedOverOneTable(t *testing.T) {
	t.Parallel()
	_, s, store := planDB(t, 70)
	q := planTable.Select(s)
	n := 0
	got := collectRows(t, q, func(i int, outer *planRec) {
		if store.open > 0 {
			t.Fatal("a View is open in the loop's body")
		}
		n += len(collectRows(t, q.Where(planID.Le(outer.ID)).OrderBy(planN.Asc()), nil))
	})
	wantKeys(t, "outer", got, 0, 70)
	if n != 70*71/2 {
		t.Errorf("inner: got %d, want %d", n, 70*71/2)
	}
}

func TestRowsEnds(t *testing.T) {
	t.Parallel()
	db, s, store := planDB(t, 200)
	rows := planTable.Select(s).Rows(t.Context())
	for range 2 { // each range begins anew
		i := 0
		for r, err := range rows {
			if err != nil || r.ID != planKey(i) {
				t.Fatalf("row %d: got %v %v", i, r, err)
			}
			if i++; i == 3 {
				break
			}
		}
		if store.open > 0 {
			t.Error("a View is open after the break")
		}
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the body's panic did not go on")
			}
		}()
		for range rows {
			panic("body")
		}
	}()
	if n, err := planTable.Select(s).Count(t.Context()); n != 200 || err != nil {
		t.Errorf("after a panic in the body: got %d %v", n, err)
	}
	end := func(end func()) (n int, last error) {
		for r, err := range planTable.Select(s).Rows(t.Context()) {
			if last != nil {
				t.Error("the loop went on after an error")
			}
			if err != nil {
				if r != nil {
					t.Errorf("got %v with an error", r)
				}
				last = err
				continue
			}
			if n++; n == 3 {
				end()
			}
		}
		return n, last
	}
	if n, err := end(func() { s.Close() }); n != 3 || !errors.Is(err, userdata.ErrClosed) {
		t.Errorf("session closed: got %d rows and %v, want 3 and ErrClosed", n, err)
	}
	s = db.NewSession()
	if n, err := end(func() { db.Close() }); n != 64 || !errors.Is(err, userdata.ErrClosed) {
		t.Errorf("database closed: got %d rows and %v, want the page of 64 and ErrClosed", n, err)
	}
}

func TestRowsInAView(t *testing.T) {
	t.Parallel()
	db, _, _ := planDB(t, 200)
	err := db.View(t.Context(), func(s *userdata.Session) error {
		got := collectRows(t, planTable.Select(s), func(i int, r *planRec) {
			if i == 0 {
				transact(t, db, func(o *userdata.Session) error {
					_, err := planTable.Select(o).Where(planID.Gt("k100")).Delete(t.Context())
					return err
				})
			}
		})
		wantKeys(t, "view", got, 0, 200)
		if _, err := planTable.Select(s).Update(t.Context(), planN.Set(1)); !errors.Is(err, userdata.ErrReadOnly) {
			t.Errorf("update: got %v, want ErrReadOnly", err)
		}
		if _, err := planTable.Select(s).Delete(t.Context()); !errors.Is(err, userdata.ErrReadOnly) {
			t.Errorf("delete: got %v, want ErrReadOnly", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Whatever the body reads, expunges, deletes, adds and reads again: each record
// that was there and matched all the time comes once, in order.
func TestRowsWithABusyBody(t *testing.T) {
	t.Parallel()
	const n = 700
	_, s, _ := planDB(t, n)
	ctx := t.Context()
	q := planTable.Select(s)
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 20 {
		if round%2 == 0 { // some of them are tracked before
			if _, err := q.Where(planN.Eq(round % 7)).All(ctx); err != nil {
				t.Fatal(err)
			}
		}
		var came []*planRec
		deleted := map[string]bool{}
		got := collectRows(t, q, func(i int, r *planRec) {
			came = append(came, r)
			key := planKey(rnd.IntN(n))
			other, err := planTable.Get(ctx, s, key)
			if deleted[key] {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			switch rnd.IntN(5) {
			case 0:
				s.Expunge(other)
			case 1:
				for _, r := range came { // so that the session closes gaps
					s.Expunge(r)
				}
				came = nil
			case 2:
				if err := errors.Join(s.Delete(other), s.Add(other)); err != nil { // taken back
					t.Fatal(err)
				}
			case 3:
				if err := s.Delete(other); err != nil {
					t.Fatal(err)
				}
				deleted[key] = true
			}
		})
		var want []string
		for i := range n {
			if !deleted[planKey(i)] {
				want = append(want, planKey(i))
			}
		}
		left := slices.DeleteFunc(slices.Clone(got), func(key string) bool { return deleted[key] })
		if !slices.Equal(left, want) {
			t.Fatalf("round %d: got %d of %d keys\n%v\nwant\n%v", round, len(left), len(got), left, want)
		}
		if !slices.IsSorted(got) {
			t.Fatalf("round %d: out of order: %v", round, got)
		}
		s.Rollback()
	}
}

// Large records don't fill the memory: a page that has 4 MiB of them is full.
func TestRowsOfLargeRecords(t *testing.T) {
	t.Parallel()
	const n, size = 23, 1 << 20
	e := &echo{level: slog.LevelDebug}
	db, err := userdata.OpenStore(t.Context(), openBolt(t), &userdata.Options{Logger: slog.New(e)}, planTable)
	ok(t, err)
	defer db.Close()
	for i := range n {
		putAll(t, db, &planRec{ID: planKey(i), N: n - i, Title: strings.Repeat("x", size)})
	}
	for name, q := range map[string]userdata.Query[planRec]{
		"tracked":       planTable.Select(db.NewSession()),
		"untracked":     planTable.Select(db.NewSession()).Untracked(),
		"limit":         planTable.Select(db.NewSession()).Limit(n),
		"match":         planTable.Select(db.NewSession()).Where(userdata.Match(func(*planRec) bool { return true })),
		"from the end":  planTable.Select(db.NewSession()).OrderBy(planID.Desc()),
		"with a filter": planTable.Select(db.NewSession()).Where(planN.Ge(1)),
	} {
		e.lines, e.attrs = nil, nil
		got := collectRows(t, q, nil)
		if name == "from the end" {
			slices.Reverse(got)
		}
		wantKeys(t, name, got, 0, n)
		for i, a := range e.attrs {
			if most := int64(4<<20 + size + 1000); a["bytes"].Int64() > most || a["records"].Int64() > 4 {
				t.Errorf("%s: page %d has %d records of %d bytes, want at most 4 of %d", name, i, a["records"].Int64(), a["bytes"].Int64(), most)
			}
		}
		if len(e.attrs) < n/4 {
			t.Errorf("%s: got %d pages, want at least %d", name, len(e.attrs), n/4)
		}
	}
}
