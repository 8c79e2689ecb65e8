package userdata_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/seed-5df914be/userdata"
)

// A ranked is a record whose key is a number and whose indexes have nulls and equals.
type ranked struct {
	ID   int    `userdata:"id,key"`
	Rank *int   `userdata:"rank,index"`
	Name string `userdata:"name,index"`
	N    int    `userdata:"n"`
}

var (
	rankedTable = userdata.NewTable[ranked]("ranked")
	rankedRank  = userdata.ColumnOf(func(r *ranked) **int { return &r.Rank })
	rankedName  = userdata.ColumnOf(func(r *ranked) *string { return &r.Name })
	rankedN     = userdata.ColumnOf(func(r *ranked) *int { return &r.N })
)

// rankedDB has n records, of which every other one has no rank: so many that Rows reads
// several pages.
func rankedDB(t *testing.T, n int) *userdata.DB {
	t.Helper()
	db := openOn(t, userdata.NewMemStore(), rankedTable)
	t.Cleanup(func() { db.Close() })
	transact(t, db, func(s *userdata.Session) (err error) {
		for i := range n {
			r := &ranked{ID: i, Name: fmt.Sprintf("name %03d", n-i)}
			if i%2 > 0 {
				rank := i % 9
				r.Rank = &rank
			}
			err = errors.Join(err, s.Add(r))
		}
		return err
	})
	return db
}

// ranks returns the records that Rows hands out, and calls body for each.
func ranks(t *testing.T, q userdata.Query[ranked], body func(i int, r *ranked)) (ids []int) {
	t.Helper()
	for r, err := range q.Rows(t.Context()) {
		if err != nil {
			t.Fatalf("after %d rows: %v", len(ids), err)
		}
		if ids = append(ids, r.ID); len(ids) > 5000 {
			t.Fatal("rows without end")
		}
		if body != nil {
			body(len(ids)-1, r)
		}
	}
	return ids
}

// upTo returns the numbers below n, but for some.
func upTo(n int, but ...int) (ids []int) {
	for i := range n {
		if !slices.Contains(but, i) {
			ids = append(ids, i)
		}
	}
	return ids
}

// TestRowsInOrder reads pages in orders that have equals and nulls where pages end, by
// keys that are not text.
func TestRowsInOrder(t *testing.T) {
	t.Parallel()
	const n = 700
	db := rankedDB(t, n)
	for name, orders := range map[string][]userdata.Order[ranked]{
		"key": nil, "rank": {rankedRank.Asc()}, "rank, descending": {rankedRank.Desc()}, "name": {rankedName.Asc()},
	} {
		for _, untracked := range []bool{false, true} {
			s := db.NewSession()
			q := rankedTable.Select(s).OrderBy(orders...)
			if untracked {
				q = q.Untracked()
			}
			all, err := q.All(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
			s = db.NewSession()
			q = rankedTable.Select(s).OrderBy(orders...)
			if untracked {
				q = q.Untracked()
			}
			got := ranks(t, q, func(_ int, r *ranked) {
				if untracked {
					r.ID, r.Rank, r.Name = -1, nil, "" // it is the program's
				}
			})
			if len(got) != n {
				t.Fatalf("%s: %d rows", name, len(got))
			}
			for i, r := range all {
				if got[i] != r.ID {
					t.Fatalf("%s, untracked %t: row %d is %d, want %d", name, untracked, i, got[i], r.ID)
				}
			}
			s.Close()
		}
	}
}

// TestRowsPassOverOwn has a record that the session does not want to see, far ahead.
func TestRowsPassOverOwn(t *testing.T) {
	t.Parallel()
	db := rankedDB(t, 500)
	for name, hide := range map[string]func(s *userdata.Session, r *ranked) error{
		"deleted": func(s *userdata.Session, r *ranked) error { return s.Delete(r) },
		"changed": func(_ *userdata.Session, r *ranked) error { r.N = 1; return nil },
		"moved":   func(_ *userdata.Session, r *ranked) error { r.ID, r.N = -1, 1; return nil },
	} {
		for _, untracked := range []bool{false, true} {
			s := db.NewSession()
			hidden, err := rankedTable.Get(t.Context(), s, 400)
			if err := errors.Join(err, hide(s, hidden)); err != nil {
				t.Fatal(err)
			}
			q := rankedTable.Select(s).Where(rankedN.Eq(0))
			if untracked {
				q = q.Untracked()
			}
			if got := ranks(t, q, nil); !slices.Equal(got, upTo(500, 400)) {
				t.Errorf("%s, untracked %t: got %d rows, %v", name, untracked, len(got), got)
			}
			s.Close()
		}
	}
}

// TestRowsReadMeanwhile gets and deletes records while they lie ahead on the page.
func TestRowsReadMeanwhile(t *testing.T) {
	t.Parallel()
	db := rankedDB(t, 500)
	for _, untracked := range []bool{false, true} {
		s := db.NewSession()
		q := rankedTable.Select(s)
		if untracked {
			q = q.Untracked()
		}
		got := map[int]*ranked{}
		came := ranks(t, q, func(i int, r *ranked) {
			switch {
			case i%100 == 30: // read, and changed
				one, err := rankedTable.Get(t.Context(), s, i+5)
				if err != nil {
					t.Fatal(err)
				}
				one.N, got[i+5] = 7, one
			case i%100 == 35:
				if (got[i] == r) == untracked || r.N != 7 {
					t.Errorf("untracked %t: row %d is %p, %+v; the session has %p", untracked, i, r, r, got[i])
				}
			case i == 240:
				one, err := rankedTable.Get(t.Context(), s, 450)
				if err := errors.Join(err, s.Delete(one)); err != nil {
					t.Fatal(err)
				}
			}
		})
		if !slices.Equal(came, upTo(500, 450)) {
			t.Errorf("untracked %t: %d rows, %v", untracked, len(came), came)
		}
		s.Close()
	}
}

// TestRowsMovedAhead changes keys, so that records lie ahead again, in a session that
// forgets most of the others.
func TestRowsMovedAhead(t *testing.T) {
	t.Parallel()
	db := rankedDB(t, 1000)
	s := db.NewSession()
	defer s.Close()
	came := ranks(t, rankedTable.Select(s), func(i int, r *ranked) {
		if i%10 == 5 {
			r.ID += 10_000
		} else {
			s.Expunge(r)
		}
	})
	if !slices.Equal(came, upTo(1000)) {
		t.Errorf("%d rows, %v", len(came), came)
	}
}

// TestRowsBackFromExpunge has the session take records out that were handed out, and takes
// that back, at the end of a page and within it.
func TestRowsBackFromExpunge(t *testing.T) {
	t.Parallel()
	for _, at := range []int{5, 63} {
		for _, move := range []bool{false, true} {
			s := rankedDB(t, 300).NewSession()
			came := ranks(t, rankedTable.Select(s), func(i int, r *ranked) {
				if i != at {
					return
				}
				if move {
					r.ID += 1000
				}
				undo := errors.New("undo")
				if err := s.Savepoint(func() error { s.Expunge(r); return undo }); err != undo {
					t.Fatal(err)
				}
			})
			if !slices.Equal(came, upTo(300)) {
				t.Errorf("at %d, moved %t: %d rows, %v", at, move, len(came), came)
			}
			s.Close()
		}
	}
}

// TestRowsReadAgain has the session read a record that it does not track, after it was handed
// out: within a page, at its end, and after that.
func TestRowsReadAgain(t *testing.T) {
	t.Parallel()
	db := rankedDB(t, 300)
	for _, orders := range [][]userdata.Order[ranked]{nil, {rankedName.Desc()}} {
		for _, untracked := range []bool{false, true} {
			for _, at := range []int{5, 63, 64} {
				s := db.NewSession()
				q := rankedTable.Select(s).OrderBy(orders...)
				if untracked {
					q = q.Untracked()
				}
				came := ranks(t, q, func(i int, r *ranked) {
					if i != at {
						return
					}
					s.Expunge(r)
					if _, err := rankedTable.Get(t.Context(), s, r.ID); err != nil {
						t.Fatal(err)
					}
				})
				if !slices.Equal(came, upTo(300)) {
					t.Errorf("at %d, %d orders, untracked %t: %d rows, %v", at, len(orders), untracked, len(came), came)
				}
				s.Close()
			}
		}
	}
}

// TestRowsMovedToTheLast changes the key of a record ahead to that of the last one of a
// page: it is still to come.
func TestRowsMovedToTheLast(t *testing.T) {
	t.Parallel()
	s := rankedDB(t, 300).NewSession()
	defer s.Close()
	var far *ranked
	came := ranks(t, rankedTable.Select(s).Untracked(), func(_ int, r *ranked) {
		if r.ID != 63 || far != nil {
			return
		}
		var err error
		if far, err = rankedTable.Get(t.Context(), s, 200); err != nil {
			t.Fatal(err)
		}
		far.ID = 63
	})
	want := slices.Insert(upTo(300, 200), 64, 63)
	if !slices.Equal(came, want) {
		t.Errorf("%d rows, %v", len(came), came)
	}
}

// TestRowsOthersMove has another session move a record ahead, in the order of an index,
// that was handed out.
func TestRowsOthersMove(t *testing.T) {
	t.Parallel()
	db := rankedDB(t, 500)
	s := db.NewSession()
	defer s.Close()
	first := map[int]*ranked{}
	came := ranks(t, rankedTable.Select(s).OrderBy(rankedName.Desc()), func(i int, r *ranked) {
		if first[r.ID] = r; i%50 == 10 {
			transact(t, db, func(s *userdata.Session) error {
				other, err := rankedTable.Get(t.Context(), s, r.ID)
				if err == nil {
					other.Name = "a" + other.Name
				}
				return err
			})
		}
	})
	if !slices.Equal(came, upTo(500)) {
		t.Errorf("%d rows, %v", len(came), came)
	}
	for id, r := range first {
		if got, err := rankedTable.Get(t.Context(), s, id); err != nil || got != r {
			t.Fatalf("the session has %p under %d, %v; the loop got %p", got, id, err, r)
		}
	}
}

// TestRowsAfterCommit commits in the body: the rest is read anew.
func TestRowsAfterCommit(t *testing.T) {
	t.Parallel()
	for _, untracked := range []bool{false, true} {
		db := rankedDB(t, 300)
		s := db.NewSession()
		q := rankedTable.Select(s)
		if untracked {
			q = q.Untracked()
		}
		came := ranks(t, q, func(i int, r *ranked) {
			if i%100 != 20 {
				return
			}
			transact(t, db, func(s *userdata.Session) error {
				gone, err := rankedTable.Get(t.Context(), s, i+10)
				return errors.Join(err, s.Delete(gone))
			})
			if err := s.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
		if !slices.Equal(came, upTo(300, 30, 130, 230)) {
			t.Errorf("untracked %t: %d rows, %v", untracked, len(came), came)
		}
		s.Close()
	}
}

// TestQueriesAfterOthers ask a session whose records others have changed, once it has
// rolled back: they come up to date first, and are judged by that.
func TestQueriesAfterOthers(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(q userdata.Query[ranked]) []int{
		"All": func(q userdata.Query[ranked]) (ids []int) {
			all, err := q.All(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range all {
				ids = append(ids, r.ID)
			}
			return ids
		},
		"Rows": func(q userdata.Query[ranked]) []int { return ranks(t, q, nil) },
	} {
		db := rankedDB(t, 100)
		s := db.NewSession()
		mine, err := rankedTable.Get(t.Context(), s, 50)
		if err != nil {
			t.Fatal(err)
		}
		transact(t, db, func(s *userdata.Session) error {
			other, err := rankedTable.Get(t.Context(), s, 50)
			if err == nil {
				other.N = 1
			}
			return err
		})
		s.Rollback()
		if got := ask(rankedTable.Select(s).Where(rankedN.Eq(1))); !slices.Equal(got, []int{50}) || mine.N != 1 {
			t.Errorf("%s: got %v; N is %d", name, got, mine.N)
		}
		if got := ask(rankedTable.Select(s).Where(rankedN.Eq(0))); !slices.Equal(got, upTo(100, 50)) {
			t.Errorf("%s: got %v", name, got)
		}
		s.Close()
	}
}

// callingStore calls a function in each View.
type callingStore struct {
	userdata.Store
	onView func()
}

func (c *callingStore) View(ctx context.Context, fn func(userdata.Snapshot) error) error {
	if c.onView != nil {
		c.onView()
	}
	return c.Store.View(ctx, fn)
}

// A loop during whose read another call without an error was not carried out ends, as all calls do.
func TestRowsOfMisusedSession(t *testing.T) {
	t.Parallel()
	store := &callingStore{Store: userdata.NewMemStore()}
	db := openOn(t, store, rankedTable)
	defer db.Close()
	transact(t, db, func(s *userdata.Session) (err error) {
		for i := range 200 {
			err = errors.Join(err, s.Add(&ranked{ID: i}))
		}
		return err
	})
	for name, of := range map[string]func(q userdata.Query[ranked]) userdata.Query[ranked]{
		"tracked":   func(q userdata.Query[ranked]) userdata.Query[ranked] { return q },
		"untracked": userdata.Query[ranked].Untracked,
	} {
		s := db.NewSession()
		store.onView = func() { s.Rollback() }
		n := 0
		var last error
		for _, err := range of(rankedTable.Select(s)).Rows(t.Context()) {
			n, last = n+1, err
		}
		store.onView = nil
		if n > 2 || !errors.Is(last, userdata.ErrConcurrentUse) {
			t.Errorf("%s: got %d records and %v, want one and ErrConcurrentUse", name, n, last)
		}
	}
}

// A record that its loop adds to the session has had its turn, whoever is next in line.
func TestRowsOfAdded(t *testing.T) {
	t.Parallel()
	rankedOnce(t, true, func(s *userdata.Session, r *ranked) {
		if r.ID == 63 || r.ID == 99 || r.ID == 191 { // the last ones of pages, and one between
			ok(t, s.Add(r))
		}
	})
}

// So has one of which the loop got another copy, because a call has tracked it meanwhile.
func TestRowsOfAddedCopy(t *testing.T) {
	t.Parallel()
	rankedOnce(t, true, func(s *userdata.Session, r *ranked) {
		if r.ID != 62 && r.ID != 63 { // the last one of its page, and the one before
			return
		}
		tracked, err := rankedTable.Get(t.Context(), s, 63)
		ok(t, err)
		if r.ID == 63 {
			s.Expunge(tracked)
			ok(t, s.Add(r))
		}
	})
}

// So has one that the loop's body expunges and adds again.
func TestRowsOfAddedAgain(t *testing.T) {
	t.Parallel()
	rankedOnce(t, false, func(s *userdata.Session, r *ranked) {
		s.Expunge(r)
		ok(t, s.Add(r))
	})
}

// rankedOnce makes sure that a loop over 300 records with this body gives each of them once.
func rankedOnce(t *testing.T, untracked bool, body func(s *userdata.Session, r *ranked)) {
	t.Helper()
	s := rankedDB(t, 300).NewSession()
	defer s.Close()
	q := rankedTable.Select(s)
	if untracked {
		q = q.Untracked()
	}
	next := 0
	for r, err := range q.Rows(t.Context()) {
		ok(t, err)
		if r.ID != next {
			t.Fatalf("got record %d, want %d", r.ID, next)
		}
		next++
		body(s, r)
	}
	if next != 300 {
		t.Errorf("got %d records, want 300", next)
	}
}

// A loop that commits after each record reads few records anew each time, however many there
// are ahead.
func TestRowsReadsLittleAfterCommits(t *testing.T) {
	t.Parallel()
	const n = 900
	_, s, store := planDB(t, n)
	done := 0
	for r, err := range planTable.Select(s).Rows(t.Context()) {
		ok(t, err)
		done++
		if r.N++; done > 2 { // so that the first page is read out in part
			ok(t, s.Commit(t.Context()))
		}
	}
	if done != n || store.scanned > 70*n {
		t.Errorf("%d records came, and %d were read, want %d and at most %d", done, store.scanned, n, 70*n)
	}
}
