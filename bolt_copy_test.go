package userdata_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata"
)

// openImpatient opens a database whose store waits for reads but briefly.
func openImpatient(t *testing.T, path string) (*userdata.DB, *userdata.BoltStore) {
	t.Helper()
	store := openBoltFile(t, path, &userdata.Options{LockTimeout: 30 * time.Millisecond})
	db, err := userdata.OpenStore(t.Context(), store, nil, pieces)
	ok(t, err)
	return db, store
}

// getN returns the N of the piece "a", as a session of its own gets it.
func getN(t *testing.T, db *userdata.DB) int {
	t.Helper()
	s := db.NewSession()
	defer s.Close()
	a, err := pieces.Get(t.Context(), s, "a")
	if err != nil {
		t.Error(err)
		return -1
	}
	return a.N
}

// A Get that has ended is in nobody's way, although the next one may go where it went: also
// where bbolt writes the file, since that does not say what is free in it.
func TestGetsHoldNothingUp(t *testing.T) {
	paths := []string{t.TempDir() + "/test.db", t.TempDir() + "/bbolt.db"}
	bolt, err := bbolt.Open(paths[1], 0o600, &bbolt.Options{NoFreelistSync: true})
	ok(t, err)
	ok(t, errors.Join(bolt.Update(func(*bbolt.Tx) error { return nil }), bolt.Close()))
	for _, path := range paths {
		db, store := openImpatient(t, path)
		if byBolt := path == paths[1]; byBolt && !userdata.Loaded(store) {
			t.Errorf("bbolt writes %s: got false, want true", path)
		}
		putAll(t, db, &piece{ID: "a", N: 1})
		getN(t, db)
		getN(t, db)
		userdata.SetSpan(store, fileSize(t, path)) // it outgrows its mapping
		putAll(t, db, &piece{ID: "b", Attrs: map[string][]int{"long": make([]int, 1<<18)}})
		if n := getN(t, db); n != 1 {
			t.Errorf("N: got %d, want 1", n)
		}
		ok(t, db.Compact(t.Context()))
		getN(t, db)
		ok(t, store.Close())
		_, err := pieces.Get(t.Context(), db.NewSession(), "a")
		is(t, err, userdata.ErrClosed)
	}
}

// A Get sees every commit that was done when it began, whatever others get meanwhile, also
// while the file is compacted and closed.
func TestGetsSeeCommits(t *testing.T) {
	db, store := openImpatient(t, t.TempDir()+"/test.db")
	putAll(t, db, &piece{ID: "a"})
	const commits, readers = 150, 4
	var done atomic.Int64
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for last := int64(0); last < commits; {
				before := done.Load()
				n := int64(getN(t, db))
				if n < before || n < last || n > done.Load()+1 {
					t.Errorf("got N %d, after %d were committed and %d was seen", n, before, last)
				}
				if last = n; t.Failed() {
					return
				}
			}
		})
	}
	for i := range commits {
		ok(t, db.Transact(t.Context(), func(s *userdata.Session) error {
			a, err := pieces.Get(t.Context(), s, "a")
			if err == nil {
				a.N++
			}
			return err
		}))
		done.Add(1)
		if i%50 == 49 {
			ok(t, db.Compact(t.Context()))
		}
	}
	wg.Wait()
	getN(t, db)
	ok(t, store.Close())
}

// Closing a store while Gets come and go lets each of them end, and refuses the next ones.
func TestCloseDuringGets(t *testing.T) {
	for round := range 20 {
		db, store := openImpatient(t, t.TempDir()+"/test.db")
		putAll(t, db, &piece{ID: "a", N: round})
		var wg sync.WaitGroup
		started := make(chan struct{}, 3)
		for range cap(started) {
			wg.Go(func() {
				for i := 0; ; i++ {
					s := db.NewSession()
					a, err := pieces.Get(t.Context(), s, "a")
					s.Close()
					if err != nil {
						is(t, err, userdata.ErrClosed)
						return
					}
					if a.N != round {
						t.Error(fmt.Sprint("got N ", a.N, ", want ", round))
						return
					}
					if i == 10 {
						started <- struct{}{}
					}
				}
			})
		}
		for range cap(started) {
			<-started
		}
		ok(t, store.Close())
		wg.Wait()
	}
}
