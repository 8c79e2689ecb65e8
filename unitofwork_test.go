package userdata_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

// What a closed session says must not depend on what became of its memory: after a Get
// alone, that is used by others.
func TestClosedAfterGet(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		putAll(t, db, &piece{ID: "a", Title: "one"}, &piece{ID: "b", Title: "two"})
		ctx := t.Context()
		s := db.NewSession()
		a, err := pieces.Get(ctx, s, "a")
		ok(t, err)
		ok(t, s.Close())
		other := db.NewSession()
		b, err := pieces.Get(ctx, other, "b")
		ok(t, err)

		_, err = pieces.Get(ctx, s, "a")
		is(t, err, userdata.ErrClosed)
		_, err = pieces.Merge(ctx, s, a)
		is(t, err, userdata.ErrClosed)
		q := pieces.Select(s)
		_, err = q.All(ctx)
		is(t, err, userdata.ErrClosed)
		_, err = q.Count(ctx)
		is(t, err, userdata.ErrClosed)
		_, err = q.Explain()
		is(t, err, userdata.ErrClosed)
		_, err = userdata.Max(ctx, q, pieceN)
		is(t, err, userdata.ErrClosed)
		_, err = q.Where(pieceN.Eq(0)).Delete(ctx)
		is(t, err, userdata.ErrClosed)
		for _, err := range q.Rows(ctx) {
			is(t, err, userdata.ErrClosed)
		}
		is(t, s.Add(a), userdata.ErrClosed)
		is(t, s.Delete(b), userdata.ErrClosed)
		is(t, s.Flush(ctx), userdata.ErrClosed)
		is(t, s.Commit(ctx), userdata.ErrClosed)
		is(t, s.Refresh(ctx, a), userdata.ErrClosed)
		is(t, s.Savepoint(func() error { return nil }), userdata.ErrClosed)
		s.Rollback()
		s.Expunge(a, b)
		for c := range s.Changes() {
			t.Errorf("Changes of a closed session: got %+v", c)
		}
		ok(t, s.Close())
		states := []userdata.State{s.State(a), s.State(b), other.State(a), other.State(b)}
		want := []userdata.State{userdata.Detached, userdata.Transient, userdata.Transient, userdata.Persistent}
		if diff := cmp.Diff(want, states); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
		if a.Title != "one" || b.Title != "two" {
			t.Errorf("records: got %q and %q", a.Title, b.Title)
		}
	})
}

// A session that begins with memory of another's has nothing of it.
func TestNothingLeftOfOtherSessions(t *testing.T) {
	db := openMem(t, pieces)
	putAll(t, db, &piece{ID: "a"})
	for range 100 { // a pool may lose what it is given
		s := db.NewSession(userdata.Serializable)
		old, err := pieces.Get(t.Context(), s, "a")
		ok(t, err)
		_, err = pieces.Get(t.Context(), s, "missing")
		is(t, err, userdata.ErrNotFound)
		ok(t, s.Close())

		s = db.NewSession()
		if got := s.State(old); got != userdata.Transient {
			t.Fatalf("State of another session's record: got %v, want transient", got)
		}
		a, err := pieces.Get(t.Context(), s, "a")
		ok(t, err)
		if a == old {
			t.Fatal("Get returned another session's record")
		}
		a.N++
		putAll(t, db, &piece{ID: fmt.Sprint("x", a.N)})
		ok(t, s.Commit(t.Context())) // it is not serializable, and found nothing missing
		ok(t, s.Close())
	}
}

// What a session knows of records that are not in it any more stays true when it is closed.
func TestClosedAfterMore(t *testing.T) {
	db := openMem(t, pieces)
	putAll(t, db, &piece{ID: "a"}, &piece{ID: "b"})
	ctx := t.Context()
	for name, use := range map[string]func(s *userdata.Session) (*piece, error){
		"expunged": func(s *userdata.Session) (*piece, error) {
			a, err := pieces.Get(ctx, s, "a")
			s.Expunge(a)
			return a, err
		},
		"added": func(s *userdata.Session) (*piece, error) {
			p := &piece{ID: "new"}
			return p, s.Add(p)
		},
		"first of two": func(s *userdata.Session) (*piece, error) {
			a, err := pieces.Get(ctx, s, "a")
			_, other := pieces.Get(ctx, s, "b")
			return a, errors.Join(err, other)
		},
		"closed in a loop": func(s *userdata.Session) (p *piece, err error) {
			for p, err = range pieces.Select(s).Rows(ctx) {
				if err != nil {
					return p, nil // the session is closed
				}
				if err := s.Close(); err != nil {
					return nil, err
				}
				defer func(first *piece) { p = first }(p)
			}
			return p, errors.New("the loop has not noticed that the session was closed")
		},
		"closed in a savepoint": func(s *userdata.Session) (p *piece, err error) {
			p = &piece{ID: "new"}
			err = s.Savepoint(func() error { return errors.Join(s.Add(p), s.Close()) })
			if errors.Is(err, userdata.ErrClosed) {
				err = nil
			}
			return p, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := db.NewSession()
			p, err := use(s)
			ok(t, err)
			ok(t, s.Close())
			if got := s.State(p); got != userdata.Detached {
				t.Errorf("State: got %v, want detached", got)
			}
		})
	}
}

// Sessions that are closed while other goroutines call them pass no record to anybody else.
func TestCloseMeetsGet(t *testing.T) {
	db := openDB(t, pieces)
	const n = 8
	var all []any
	for i := range n {
		all = append(all, &piece{ID: fmt.Sprint(i), N: i})
	}
	putAll(t, db, all...)
	get := func(s *userdata.Session, i int) error {
		p, err := pieces.Get(t.Context(), s, fmt.Sprint(i))
		switch {
		case errors.Is(err, userdata.ErrClosed), errors.Is(err, userdata.ErrConcurrentUse):
			return nil
		case err == nil && p.N != i:
			return fmt.Errorf("got record %d, want %d", p.N, i)
		}
		return err
	}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			for range 300 {
				s := db.NewSession()
				var others sync.WaitGroup
				for range 2 {
					others.Go(func() {
						err := get(s, i)
						s.Close()
						if err := errors.Join(err, get(s, i)); err != nil {
							t.Error(err)
						}
					})
				}
				others.Wait()
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// A session for one Get leaves nothing for the garbage collector but itself, the record and
// its bytes.
func TestGetAllocatesLittle(t *testing.T) {
	if underRace {
		t.Skip("a pool loses much of what it is given under the race detector")
	}
	db := openDB(t, pieces)
	putAll(t, db, &piece{ID: "a"})
	const n, most = 1000, 400
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		s := db.NewSession()
		_, err := pieces.Get(t.Context(), s, "a")
		ok(t, err)
		ok(t, s.Close())
	}
	runtime.ReadMemStats(&after)
	if got := (after.TotalAlloc - before.TotalAlloc) / n; got > most {
		t.Errorf("a session with one Get allocates %d bytes, want at most %d", got, most)
	}
}

// A program may call an option on a session at any time, also a closed one.
func TestOptionsOfClosedSessions(t *testing.T) {
	db := openMem(t, pieces)
	s := db.NewSession()
	ok(t, s.Close())
	userdata.Serializable(s)

	closing := func(s *userdata.Session) { s.Close() }
	_, err := pieces.Get(t.Context(), db.NewSession(closing, userdata.Serializable), "a")
	is(t, err, userdata.ErrClosed)
	is(t, db.Transact(t.Context(), func(s *userdata.Session) error {
		_, err := pieces.Get(t.Context(), s, "a")
		return err
	}, closing), userdata.ErrClosed)
}
