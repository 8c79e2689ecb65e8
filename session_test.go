package userdata_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/seed-5df914be/userdata"
)

// A piece is the record of the session tests.
type piece struct {
	ID    string           `userdata:"id,key,size=8"`
	Title string           `userdata:"title,size=10"`
	N     int              `userdata:"n"`
	Done  bool             `userdata:"done"`
	Tags  []string         `userdata:"tags"`
	Attrs map[string][]int `userdata:"attrs"`
	Note  *string          `userdata:"note"`
	Notes string           `userdata:"-"`
}

var (
	pieces     = userdata.NewTable[piece]("pieces")
	pieceID    = userdata.ColumnOf(func(p *piece) *string { return &p.ID })
	pieceTitle = userdata.ColumnOf(func(p *piece) *string { return &p.Title })
	pieceN     = userdata.ColumnOf(func(p *piece) *int { return &p.N })
)

// onStores runs a test on a database in a file and on one in memory.
func onStores(t *testing.T, fn func(t *testing.T, db *userdata.DB)) {
	t.Run("bolt", func(t *testing.T) { fn(t, openDB(t, pieces)) })
	t.Run("mem", func(t *testing.T) { fn(t, openMem(t, pieces)) })
}

// putAll commits records through a session of its own.
func putAll(t *testing.T, db *userdata.DB, records ...any) {
	t.Helper()
	s := db.NewSession()
	defer s.Close()
	ok(t, s.Add(records...))
	ok(t, s.Commit(t.Context()))
}

// titlesOf returns the titles in the store by key, as a fresh session sees them.
func titlesOf(t *testing.T, db *userdata.DB) map[string]string {
	t.Helper()
	all, err := pieces.Select(db.NewSession()).All(t.Context())
	ok(t, err)
	got := map[string]string{}
	for _, p := range all {
		got[p.ID] = p.Title
	}
	return got
}

type titles = map[string]string

// get returns the session's record, which must be there.
func get(t *testing.T, s *userdata.Session, id string) *piece {
	t.Helper()
	p, err := pieces.Get(t.Context(), s, id)
	if err != nil {
		t.Fatalf("Get(%q): got %v, want nil", id, err)
	}
	return p
}

// edit changes a record in a session of its own and commits that.
func edit(t *testing.T, db *userdata.DB, id string, change func(p *piece)) {
	t.Helper()
	s := db.NewSession()
	change(get(t, s, id))
	ok(t, s.Commit(t.Context()))
}

// remove deletes a record in a session of its own and commits that.
func remove(t *testing.T, db *userdata.DB, id string) {
	t.Helper()
	s := db.NewSession()
	ok(t, s.Delete(get(t, s, id)))
	ok(t, s.Commit(t.Context()))
}

func states(s *userdata.Session, records ...any) (out []string) {
	for _, r := range records {
		out = append(out, s.State(r).String())
	}
	return out
}

func TestIdentity(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		s := db.NewSession()
		a := &piece{ID: "a"}
		ok(t, s.Add(a))
		for range 2 {
			one, err := pieces.Select(s).Where(pieceID.Eq("a")).One(t.Context())
			ok(t, err)
			if get(t, s, "a") != a || one != a {
				t.Error("Get or One: got another pointer than the one added")
			}
			ok(t, s.Commit(t.Context()))
		}
		other := db.NewSession()
		b := get(t, other, "a")
		if b == a {
			t.Error("two sessions share a pointer")
		}
		if again := get(t, other, "a"); again != b {
			t.Error("Get: got another pointer the second time")
		}
		is(t, other.Add(&piece{ID: "a"}), userdata.ErrExists)
		is(t, s.Add(&piece{ID: "a"}), userdata.ErrExists)
		var re *userdata.RecordError
		if !errors.As(s.Add(&piece{ID: "a"}), &re) || re.Op != "add" || re.Table != "pieces" || re.Key != "a" {
			t.Errorf("Add: got %+v", re)
		}
	})
}

func TestGetOfTrackedReadsNothing(t *testing.T) {
	h := &hookedStore{Store: userdata.NewMemStore()}
	db := openHooked(t, h, pieces)
	putAll(t, db, &piece{ID: "a"})
	s := db.NewSession()
	get(t, s, "a")
	before := h.views
	get(t, s, "a")
	ok(t, s.Add(&piece{ID: "p"}))
	get(t, s, "p")
	if h.views != before {
		t.Errorf("got %d reads, want none", h.views-before)
	}
	ok(t, s.Commit(t.Context()))
	before = h.views
	get(t, s, "a")
	get(t, s, "a")
	if h.views != before+1 {
		t.Errorf("after a commit: got %d reads, want 1", h.views-before)
	}
}

func TestAddIsAllOrNothing(t *testing.T) {
	db := openMem(t, pieces)
	putAll(t, db, &piece{ID: "d"})
	s := db.NewSession()
	d := get(t, s, "d")
	ok(t, s.Delete(d))
	gone := &piece{ID: "g"}
	ok(t, s.Add(gone))
	s.Expunge(gone)
	fresh := &piece{ID: "f"}
	is(t, s.Add(fresh, gone, d, fresh, 7), userdata.ErrInvalid)
	sameAs(t, "states after a failed Add", states(s, fresh, gone, d), []string{"transient", "detached", "deleted"})
	is(t, s.Add(fresh, &piece{ID: "f"}), userdata.ErrExists)
	sameAs(t, "state", states(s, fresh), []string{"transient"})
	ok(t, s.Add(fresh, fresh, d))
	sameAs(t, "states", states(s, fresh, d), []string{"pending", "persistent"})
	ok(t, s.Commit(t.Context()))
	sameAs(t, "store", titlesOf(t, db), titles{"d": "", "f": ""})
}

func TestWhatIsNoRecord(t *testing.T) {
	db := openMem(t, pieces)
	s := db.NewSession()
	type stranger struct {
		ID string `userdata:"id,key"`
	}
	strangers := userdata.NewTable[stranger]("strangers")
	for _, bad := range []any{nil, 7, piece{}, (*piece)(nil), &stranger{}, new(*piece)} {
		is(t, s.Add(bad), userdata.ErrInvalid)
		is(t, s.Delete(bad), userdata.ErrInvalid)
		is(t, s.Refresh(t.Context(), bad), userdata.ErrInvalid)
		s.Expunge(bad)
		if got := s.State(bad); got != userdata.Transient {
			t.Errorf("State(%T): got %v, want transient", bad, got)
		}
	}
	_, err := strangers.Get(t.Context(), s, "x")
	is(t, err, userdata.ErrInvalid)
	_, err = strangers.Merge(t.Context(), s, &stranger{ID: "x"})
	is(t, err, userdata.ErrInvalid)
	_, err = userdata.NewTable[int]("ints").Get(t.Context(), s, 1)
	is(t, err, userdata.ErrInvalid)
	_, err = pieces.Get(t.Context(), s, 1)
	is(t, err, userdata.ErrInvalid)
	_, err = pieces.Merge(t.Context(), s, nil)
	is(t, err, userdata.ErrInvalid)
	_, err = pieces.Merge(t.Context(), s, &piece{})
	is(t, err, userdata.ErrInvalid)
	var re *userdata.RecordError
	if !errors.As(err, &re) || re.Op != "merge" || re.Column != "id" {
		t.Errorf("Merge without a key: got %+v", re)
	}
}

func TestGetErrors(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		s := db.NewSession()
		_, err := pieces.Get(t.Context(), s, "tom")
		is(t, err, userdata.ErrNotFound)
		var re *userdata.RecordError
		if !errors.As(err, &re) || re.Op != "get" || re.Table != "pieces" || re.Key != "tom" {
			t.Errorf("got %+v", re)
		}
		_, err = pieces.Get(t.Context(), s, "")
		is(t, err, userdata.ErrNotFound)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = pieces.Get(ctx, s, "tom")
		is(t, err, context.Canceled)
		_, err = pieces.Merge(ctx, s, &piece{ID: "tom"})
		is(t, err, context.Canceled)
		is(t, s.Flush(ctx), context.Canceled)
		is(t, s.Commit(ctx), context.Canceled)
	})
}

func TestCorruptRecord(t *testing.T) {
	store := userdata.NewMemStore()
	db := openHooked(t, store, pieces)
	putAll(t, db, &piece{ID: "a", Title: "fine"})
	s := db.NewSession()
	a := get(t, s, "a")
	ok(t, s.Commit(t.Context()))
	damage := func(value []byte) {
		ok(t, store.Apply(t.Context(), &userdata.ChangeSet{Changes: []userdata.Change{{Bucket: "pieces", Key: []byte("a"), Value: value}}}))
	}
	damage([]byte("rubbish"))
	_, err := pieces.Get(t.Context(), s, "a")
	is(t, err, userdata.ErrCorrupt)
	_, err = pieces.Get(t.Context(), db.NewSession(), "a")
	is(t, err, userdata.ErrCorrupt)
	is(t, s.Refresh(t.Context(), a), userdata.ErrCorrupt)
	_, err = pieces.Select(s).All(t.Context())
	is(t, err, userdata.ErrCorrupt)
	a.Title = "mine"
	err = s.Commit(t.Context())
	is(t, err, userdata.ErrConflict, userdata.ErrCorrupt)
	s.Rollback()
	if a.Title != "fine" {
		t.Errorf("got %q, want what was read", a.Title)
	}
	damage(nil)
}

func TestDelete(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		putAll(t, db, &piece{ID: "a"}, &piece{ID: "b"})
		s := db.NewSession()
		a, p := get(t, s, "a"), &piece{ID: "p"}
		ok(t, s.Add(p))
		err := s.Delete(a, &piece{ID: "b"})
		is(t, err, userdata.ErrNotFound)
		var re *userdata.RecordError
		if !errors.As(err, &re) || re.Key != "b" || re.Op != "delete" {
			t.Errorf("got %+v", re)
		}
		is(t, s.Delete(&piece{}), userdata.ErrNotFound)
		sameAs(t, "state after a failed Delete", states(s, a), []string{"persistent"})
		ok(t, s.Delete(a, a, p, p))
		sameAs(t, "states", states(s, a, p), []string{"deleted", "transient"})
		_, err = pieces.Get(t.Context(), s, "a")
		is(t, err, userdata.ErrNotFound)
		n, err := pieces.Select(s).Count(t.Context())
		if n != 1 || err != nil {
			t.Errorf("Count: got %d, %v, want 1", n, err)
		}
		ok(t, s.Commit(t.Context()))
		sameAs(t, "state after the commit", states(s, a), []string{"detached"})
		sameAs(t, "store", titlesOf(t, db), titles{"b": ""})
		ok(t, s.Add(a)) // a new record now
		ok(t, s.Commit(t.Context()))
		sameAs(t, "store", titlesOf(t, db), titles{"a": "", "b": ""})
	})
}

func TestRefresh(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		putAll(t, db, &piece{ID: "a", Title: "one", Tags: []string{"x"}})
		s := db.NewSession()
		a := get(t, s, "a")
		edit(t, db, "a", func(p *piece) { p.Title = "two" })
		a.Title, a.N, a.ID, a.Notes = "mine", 7, "moved", "kept"
		tags := a.Tags
		ok(t, s.Refresh(t.Context(), a))
		sameAs(t, "refreshed", a, &piece{ID: "a", Title: "two", Tags: []string{"x"}, Notes: "kept"})
		if &tags[0] != &a.Tags[0] {
			t.Error("a column that did not change lost its slice")
		}
		if get(t, s, "a") != a {
			t.Error("Get: got another pointer")
		}
		a.N = 8 // to let mine win
		ok(t, s.Commit(t.Context()))

		ok(t, s.Delete(a))
		edit(t, db, "a", func(p *piece) { p.Title = "three" })
		ok(t, s.Refresh(t.Context(), a))
		sameAs(t, "state of a refreshed deleted record", states(s, a), []string{"deleted"})
		ok(t, s.Commit(t.Context()))
		sameAs(t, "store", titlesOf(t, db), titles{})

		is(t, s.Refresh(t.Context(), a), userdata.ErrNotFound) // not in the session
		p := &piece{ID: "p"}
		ok(t, s.Add(p))
		is(t, s.Refresh(t.Context(), p), userdata.ErrInvalid)
		ok(t, s.Commit(t.Context()))
		remove(t, db, "p")
		is(t, s.Refresh(t.Context(), p), userdata.ErrNotFound)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		is(t, s.Refresh(ctx, p), context.Canceled)
	})
}

func TestExpunge(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		putAll(t, db, &piece{ID: "a"}, &piece{ID: "d"})
		s := db.NewSession()
		a, d, p := get(t, s, "a"), get(t, s, "d"), &piece{ID: "p"}
		ok(t, s.Add(p))
		ok(t, s.Delete(d))
		a.Title = "lost"
		s.Expunge(a, d, p, &piece{}, nil)
		sameAs(t, "states", states(s, a, d, p), []string{"detached", "detached", "detached"})
		ok(t, s.Commit(t.Context()))
		sameAs(t, "store", titlesOf(t, db), titles{"a": "", "d": ""})
		if b := get(t, s, "a"); b == a || b.Title != "" || a.Title != "lost" {
			t.Errorf("Get after Expunge: got %v, the old pointer %v", b, a)
		}
	})
}

func TestMerge(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		ctx := t.Context()
		putAll(t, db, &piece{ID: "a", Title: "one"}, &piece{ID: "b"})
		s := db.NewSession()
		detached := &piece{ID: "a", Title: "two", Tags: []string{"x"}}
		m, err := pieces.Merge(ctx, s, detached)
		ok(t, err)
		if m == detached || m != get(t, s, "a") || m.Title != "two" {
			t.Errorf("Merge: got %v", m)
		}
		detached.Tags[0] = "y"
		sameAs(t, "merged tags", m.Tags, []string{"x"})
		again, err := pieces.Merge(ctx, s, m)
		if again != m || err != nil {
			t.Errorf("Merge of a tracked record: got %v, %v", again, err)
		}
		added, err := pieces.Merge(ctx, s, &piece{ID: "new"})
		ok(t, err)
		sameAs(t, "states", states(s, detached, m, added), []string{"transient", "persistent", "pending"})
		b := get(t, s, "b")
		ok(t, s.Delete(b))
		b2, err := pieces.Merge(ctx, s, b) // delete then add: an update
		ok(t, err)
		b2.Title = "again"
		ok(t, s.Commit(ctx))
		sameAs(t, "store", titlesOf(t, db), titles{"a": "two", "b": "again", "new": ""})
		sameAs(t, "states", states(s, b, b2), []string{"detached", "persistent"})
	})
}

func TestRefreshAfterCommit(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		ctx := t.Context()
		for _, how := range []string{"get", "query", "rollback"} {
			t.Run(how, func(t *testing.T) {
				id := func(n int) string { return fmt.Sprint(how[:1], n) }
				putAll(t, db, &piece{ID: id(1), Title: "one"}, &piece{ID: id(2), Title: "one"}, &piece{ID: id(3), Title: "one"}, &piece{ID: id(4), Title: "one"})
				s := db.NewSession()
				clean, dirty, gone, deleted := get(t, s, id(1)), get(t, s, id(2)), get(t, s, id(3)), get(t, s, id(4))
				if how == "rollback" {
					s.Rollback()
				} else {
					ok(t, s.Commit(ctx))
				}
				edit(t, db, id(1), func(p *piece) { p.Title = "two" })
				edit(t, db, id(2), func(p *piece) { p.Title = "two" })
				remove(t, db, id(3))
				dirty.N = 7
				ok(t, s.Delete(deleted))
				if how == "query" {
					n, err := pieces.Select(s).Where(pieceTitle.Eq("two"), userdata.HasPrefix(pieceID, "q")).Count(ctx)
					if n != 1 || err != nil {
						t.Errorf("Count: got %d, %v, want 1", n, err)
					}
				}
				if get(t, s, id(1)) != clean || clean.Title != "two" {
					t.Errorf("a clean record was not refreshed in place: %v", clean)
				}
				if get(t, s, id(2)) != dirty || dirty.Title != "one" || dirty.N != 7 {
					t.Errorf("a dirty record was refreshed: %v", dirty)
				}
				_, err := pieces.Get(ctx, s, id(3))
				is(t, err, userdata.ErrNotFound)
				sameAs(t, "states", states(s, clean, dirty, gone, deleted), []string{"persistent", "persistent", "detached", "deleted"})
				is(t, s.Commit(ctx), userdata.ErrConflict)
			})
		}
	})
}

// A record that others deleted, under a key that another one was moved to.
func TestGetFindsWhatMovedToAGoneKey(t *testing.T) {
	db := openMem(t, pieces)
	putAll(t, db, &piece{ID: "a"}, &piece{ID: "b"})
	s := db.NewSession()
	get(t, s, "a")
	b := get(t, s, "b")
	ok(t, s.Commit(t.Context()))
	remove(t, db, "a")
	b.ID = "a"
	if got, err := pieces.Get(t.Context(), s, "a"); got != b {
		t.Errorf("got %v, %v, want the record that moved there", got, err)
	}
	ok(t, s.Commit(t.Context()))
	sameAs(t, "store", titlesOf(t, db), titles{"a": ""})
}

func TestSessionClose(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		ctx := t.Context()
		putAll(t, db, &piece{ID: "a", Title: "one"})
		s := db.NewSession()
		a, p := get(t, s, "a"), &piece{ID: "p"}
		ok(t, s.Add(p))
		a.Title = "changed"
		rows := pieces.Select(s).Rows(ctx)
		ok(t, s.Close())
		ok(t, s.Close())
		if a.Title != "changed" || p.ID != "p" {
			t.Error("records changed at Close")
		}
		sameAs(t, "states", states(s, a, p, &piece{}), []string{"detached", "detached", "transient"})
		_, getErr := pieces.Get(ctx, s, "a")
		_, mergeErr := pieces.Merge(ctx, s, a)
		_, allErr := pieces.Select(s).All(ctx)
		for _, err := range rows {
			is(t, err, userdata.ErrClosed)
		}
		for _, err := range []error{s.Add(a), s.Delete(a), s.Flush(ctx), s.Commit(ctx), s.Refresh(ctx, a),
			s.Savepoint(func() error { return nil }), getErr, mergeErr, allErr} {
			is(t, err, userdata.ErrClosed)
		}
		for c := range s.Changes() {
			t.Errorf("Changes: got %v", c)
		}
		s.Rollback()
		s.Expunge(a)
		sameAs(t, "store", titlesOf(t, db), titles{"a": "one"})
	})
}

func TestSerializable(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		ctx := t.Context()
		putAll(t, db, &piece{ID: "a"}, &piece{ID: "b"})
		skew := func(opts ...userdata.SessionOption) error {
			s1, s2 := db.NewSession(opts...), db.NewSession(opts...)
			a1, a2, b1, b2 := get(t, s1, "a"), get(t, s2, "a"), get(t, s1, "b"), get(t, s2, "b")
			a1.N = b1.N + 1 // each writes what the other one has read
			b2.N = a2.N + 1
			ok(t, s1.Commit(ctx))
			return s2.Commit(ctx)
		}
		ok(t, skew()) // by value alone it goes through
		is(t, skew(userdata.Serializable), userdata.ErrConflict)

		s := db.NewSession(userdata.Serializable)
		a := get(t, s, "a")
		putAll(t, db, &piece{ID: "c"})
		_, err := pieces.Get(ctx, s, "b")
		is(t, err, userdata.ErrConflict)
		_, err = pieces.Select(s).Count(ctx)
		is(t, err, userdata.ErrConflict)
		a.Title = "mine"
		is(t, s.Commit(ctx), userdata.ErrConflict)
		s.Rollback()
		get(t, s, "b")
		a.Title = "mine"
		ok(t, s.Commit(ctx))
		putAll(t, db, &piece{ID: "d"}) // after the commit, before the next read
		get(t, s, "c")
		a.Title = "again"
		ok(t, s.Commit(ctx))
		s.Add(&piece{ID: "e"}) // without a read there is nothing to have changed
		putAll(t, db, &piece{ID: "f"})
		ok(t, s.Commit(ctx))
	})
}

// onceBlocked calls block, which must call enter while it blocks until release
// is closed, on another goroutine; then runs fn, and releases it.
func onceBlocked(fn func(), block func(enter func())) {
	entered, release, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		block(func() { close(entered); <-release })
	}()
	<-entered
	fn()
	close(release)
	<-done
}

func TestConcurrentUse(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		ctx := t.Context()
		putAll(t, db, &piece{ID: "a", Title: "one"}, &piece{ID: "b"})
		s := db.NewSession()
		a := get(t, s, "a")
		block := func(enter func()) {
			n, err := pieces.Select(s).Where(userdata.Match(func(p *piece) bool {
				if p.ID == "a" {
					enter()
				}
				return true
			})).Count(ctx)
			if n != 2 || err != nil {
				t.Errorf("the call that was disturbed: got %d, %v, want 2", n, err)
			}
		}
		onceBlocked(func() {
			_, getErr := pieces.Get(ctx, s, "a")
			_, mergeErr := pieces.Merge(ctx, s, a)
			_, allErr := pieces.Select(s).All(ctx)
			for i, err := range []error{s.Add(a), s.Delete(a), s.Flush(ctx), s.Commit(ctx), s.Refresh(ctx, a), s.Close(),
				s.Savepoint(func() error { t.Error("ran"); return nil }), getErr, mergeErr, allErr} {
				if !errors.Is(err, userdata.ErrConcurrentUse) {
					t.Errorf("call %d: got %v, want ErrConcurrentUse", i, err)
				}
			}
		}, block)
		get(t, s, "a") // calls that return errors leave no mark

		a.Title = "changed"
		for name, quiet := range map[string]func(){
			"Rollback": s.Rollback,
			"Expunge":  func() { s.Expunge(a) },
			"State": func() {
				if got := s.State(a); got != userdata.Transient {
					t.Errorf("State: got %v", got)
				}
			},
			"Changes": func() {
				for c := range s.Changes() {
					t.Errorf("Changes: got %v", c)
				}
			},
		} {
			onceBlocked(quiet, block)
			_, err := pieces.Get(ctx, s, "a")
			is(t, err, userdata.ErrConcurrentUse)
			is(t, s.Commit(ctx), userdata.ErrConcurrentUse)
			if name == "Rollback" && a.Title != "changed" {
				t.Error("Rollback was carried out")
			}
			s.Rollback()
			if get(t, s, "a") != a || a.Title != "one" {
				t.Errorf("%s: after Rollback: got %v", name, a)
			}
			a.Title = "changed"
		}
		ok(t, s.Commit(ctx))
	})
}
