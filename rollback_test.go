package userdata_test

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/seed-5df914be/userdata"
)

func TestRollback(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		ctx := t.Context()
		text := "note"
		putAll(t, db, &piece{ID: "a", Title: "one", Tags: []string{"x"}, Attrs: map[string][]int{"k": {1}}, Note: &text}, &piece{ID: "d"}, &piece{ID: "m"}, &piece{ID: "u"})
		s := db.NewSession()
		a, d, m, p := get(t, s, "a"), get(t, s, "d"), get(t, s, "m"), &piece{ID: "p"}
		want, tags, attrs := userdata.Clone(pieces, a), a.Tags, a.Attrs
		ok(t, s.Add(p))
		ok(t, s.Delete(d))
		a.Title, a.N, a.Notes = "changed", 7, "mine"
		a.Attrs["k"][0] = 2
		*a.Note = "changed"
		m.ID = "moved"
		n, err := pieces.Select(s).Where(pieceID.Ge("t")).Update(ctx, pieceTitle.Set("bulk"))
		if n != 1 || err != nil {
			t.Fatal(n, err)
		}
		s.Rollback()
		want.Notes = "mine" // not a column
		sameAs(t, "rolled back", a, want)
		if &a.Tags[0] != &tags[0] {
			t.Error("an unchanged column lost its slice")
		}
		if attrs["k"][0] != 2 {
			t.Error("a changed column's old map was changed")
		}
		sameAs(t, "states", states(s, a, d, m, p), []string{"persistent", "persistent", "persistent", "transient"})
		if get(t, s, "a") != a || get(t, s, "d") != d || get(t, s, "m") != m || get(t, s, "u").Title != "" {
			t.Error("Get: got other records")
		}
		if _, err := pieces.Get(ctx, s, "moved"); !errors.Is(err, userdata.ErrNotFound) {
			t.Errorf("Get of the key moved to: got %v", err)
		}
		if c := slices.Collect(s.Changes()); len(c) > 0 {
			t.Errorf("Changes: got %v", c)
		}
		ok(t, s.Commit(ctx))
		sameAs(t, "store", titlesOf(t, db), titles{"a": "one", "d": "", "m": "", "u": ""})
		ok(t, s.Add(p))
		ok(t, s.Commit(ctx))
		p.Title = "lost"
		s.Rollback() // to what was committed
		if p.Title != "" {
			t.Errorf("got %q", p.Title)
		}
	})
}

func TestSavepoint(t *testing.T) {
	errFail := errors.New("fail")
	ends := map[string]func() error{
		"error":  func() error { return errFail },
		"panic":  func() error { panic(errFail) },
		"goexit": func() error { runtime.Goexit(); return nil },
		"nil":    func() error { return nil },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			onStores(t, func(t *testing.T, db *userdata.DB) { savepointThatEnds(t, db, name, end, errFail) })
		})
	}
}

// savepointThatEnds does everything that can be done in a savepoint.
func savepointThatEnds(t *testing.T, db *userdata.DB, name string, end func() error, errFail error) {
	ctx := t.Context()
	for _, id := range []string{"clean", "dirty", "del", "redel", "exp", "ref", "bulk", "hidden", "unread", "gone"} {
		putAll(t, db, &piece{ID: id, Title: "base", Tags: []string{"base"}})
	}
	s := db.NewSession()
	clean, dirty, del, redel, exp, ref := get(t, s, "clean"), get(t, s, "dirty"), get(t, s, "del"), get(t, s, "redel"), get(t, s, "exp"), get(t, s, "ref")
	pend, pend2 := &piece{ID: "pend", Title: "before"}, &piece{ID: "pend2"}
	ok(t, s.Add(pend, pend2))
	dirty.Title, dirty.Tags[0] = "before", "before"
	ok(t, s.Delete(redel))
	if _, err := pieces.Select(s).Where(pieceID.Eq("hidden")).Update(ctx, pieceTitle.Set("before")); err != nil {
		t.Fatal(err)
	}
	edit(t, db, "ref", func(p *piece) { p.Title = "theirs" })
	byKey := func(a, b userdata.RecordChange) int { return strings.Compare(a.Key.(string), b.Key.(string)) }
	before := slices.SortedFunc(s.Changes(), byKey)

	var fresh, unread, exp2 *piece
	fn := func() error {
		fresh = &piece{ID: "fresh"}
		ok(t, s.Add(fresh, redel))
		clean.Title, clean.Tags[0] = "inside", "inside"
		dirty.Title, dirty.Tags[0], dirty.ID = "inside", "inside", "moved"
		pend.Title = "inside"
		ok(t, s.Delete(del, pend2))
		ok(t, s.Add(pend2)) // the same pointer, anew
		s.Expunge(exp)
		exp2 = get(t, s, "exp")
		exp2.Title = "inside"
		ok(t, s.Refresh(ctx, ref))
		unread = get(t, s, "unread")
		unread.Title = "inside"
		get(t, s, "hidden").Title = "inside"
		if _, err := pieces.Select(s).Where(pieceID.Eq("bulk")).Update(ctx, pieceTitle.Set("inside")); err != nil {
			t.Fatal(err)
		}
		if _, err := pieces.Select(s).Where(pieceID.Eq("gone")).Delete(ctx); err != nil {
			t.Fatal(err)
		}
		is(t, s.Commit(ctx), userdata.ErrInvalid)
		return end()
	}
	var err error
	done := make(chan any, 1)
	go func() {
		defer func() { done <- recover() }()
		err = s.Savepoint(fn)
	}()
	p := <-done
	if name == "panic" && p != errFail {
		t.Errorf("got panic %v, want fn's", p)
	}
	if name == "nil" {
		ok(t, err)
		ok(t, s.Commit(ctx))
		sameAs(t, "store", titlesOf(t, db), titles{"clean": "inside", "moved": "inside", "redel": "base", "exp": "inside", "ref": "theirs",
			"bulk": "inside", "hidden": "inside", "unread": "inside", "pend": "inside", "pend2": "", "fresh": ""})
		return
	}
	if name == "error" && err != errFail {
		t.Errorf("got %v, want fn's error as it is", err)
	}
	sameAs(t, "changes", slices.SortedFunc(s.Changes(), byKey), before)
	sameAs(t, "states", states(s, clean, dirty, del, redel, exp, exp2, ref, pend, pend2, fresh, unread),
		[]string{"persistent", "persistent", "persistent", "deleted", "persistent", "detached", "persistent", "pending", "pending", "transient", "persistent"})
	sameAs(t, "clean", clean, &piece{ID: "clean", Title: "base", Tags: []string{"base"}})
	sameAs(t, "dirty", dirty, &piece{ID: "dirty", Title: "before", Tags: []string{"before"}})
	sameAs(t, "unread", unread.Title, "base")
	sameAs(t, "ref", ref.Title, "base")
	if get(t, s, "exp") != exp || get(t, s, "pend") != pend || get(t, s, "dirty") != dirty {
		t.Error("Get: got other pointers")
	}
	if _, err := pieces.Get(ctx, s, "moved"); !errors.Is(err, userdata.ErrNotFound) {
		t.Errorf("Get of the key moved to: got %v", err)
	}
	if _, err := pieces.Select(s).Where(pieceN.Eq(0)).All(ctx); err != nil {
		t.Fatal(err)
	}
	ok(t, s.Commit(ctx))
	want := titles{"clean": "base", "dirty": "before", "del": "base", "exp": "base", "ref": "theirs", "bulk": "base", "hidden": "before",
		"unread": "base", "gone": "base", "pend": "before", "pend2": ""}
	sameAs(t, "store", titlesOf(t, db), want)
	if get(t, s, "ref") != ref || ref.Title != "theirs" {
		t.Errorf("ref after the commit: got %v", ref)
	}
}

func TestSavepointsNest(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		putAll(t, db, &piece{ID: "a", Title: "0"})
		s := db.NewSession()
		a := get(t, s, "a")
		errFail := errors.New("fail")
		level := func(title string, inner func(), err error) {
			t.Helper()
			if got := s.Savepoint(func() error {
				a.Title = title
				ok(t, s.Add(&piece{ID: title}))
				if inner != nil {
					inner()
				}
				return err
			}); got != err {
				t.Errorf("got %v, want %v", got, err)
			}
		}
		level("1", func() {
			level("2", nil, errFail)
			if a.Title != "1" {
				t.Errorf("after the inner one failed: got %q", a.Title)
			}
			level("3", func() { level("4", nil, nil) }, nil)
		}, nil)
		if a.Title != "4" {
			t.Errorf("got %q, want what the innermost one kept", a.Title)
		}
		level("5", func() { level("6", nil, nil) }, errFail) // the outer one takes the inner one with it
		if a.Title != "4" {
			t.Errorf("got %q", a.Title)
		}
		ok(t, s.Commit(t.Context()))
		sameAs(t, "store", titlesOf(t, db), titles{"a": "4", "1": "1"[1:], "3": "", "4": ""})
	})
}

func TestRollbackInsideASavepoint(t *testing.T) {
	db := openMem(t, pieces)
	putAll(t, db, &piece{ID: "a", Title: "base"})
	s := db.NewSession()
	a := get(t, s, "a")
	a.Title = "before"
	errFail := errors.New("fail")
	err := s.Savepoint(func() error {
		s.Rollback()
		if a.Title != "base" {
			t.Errorf("got %q, want what was read: Rollback undoes what was before the savepoint", a.Title)
		}
		a.Title = "after"
		return errFail
	})
	if err != errFail || a.Title != "after" {
		t.Errorf("got %v and %q, want the savepoint to have ended with Rollback", err, a.Title)
	}
	ok(t, s.Commit(t.Context()))
}

// A savepoint that is undone takes baselines back, too: the next query has to
// look whether they are old.
func TestQueryAfterASavepointRefreshes(t *testing.T) {
	db := openMem(t, pieces)
	putAll(t, db, &piece{ID: "a", Title: "one"})
	s := db.NewSession()
	a := get(t, s, "a")
	ok(t, s.Commit(t.Context()))
	edit(t, db, "a", func(p *piece) { p.Title = "two" })
	count := func() int {
		n, err := pieces.Select(s).Where(pieceTitle.Eq("two")).Count(t.Context())
		ok(t, err)
		return n
	}
	s.Savepoint(func() error {
		if count() != 1 || a.Title != "two" {
			t.Errorf("inside: got %q", a.Title)
		}
		return errors.New("undo")
	})
	if a.Title != "one" {
		t.Errorf("undone: got %q, want what it was", a.Title)
	}
	if n := count(); n != 1 || a.Title != "two" {
		t.Errorf("the next query: got %d and %q, want the store's", n, a.Title)
	}
}

func TestSavepointOfASessionInTrouble(t *testing.T) {
	db := openMem(t, pieces)
	putAll(t, db, &piece{ID: "a", Title: "base"})
	ctx := t.Context()
	errFail := errors.New("fail")

	// Another goroutine is in a call when the savepoint ends.
	s := db.NewSession()
	a := get(t, s, "a")
	entered, release, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	err := s.Savepoint(func() error {
		a.Title = "inside"
		go func() {
			defer close(done)
			_, err := pieces.Select(s).Where(userdata.Match(func(*piece) bool { close(entered); <-release; return true })).Count(ctx)
			if err != nil {
				t.Errorf("the other call: %v", err)
			}
		}()
		<-entered
		return errFail
	})
	close(release)
	<-done
	if err != errFail {
		t.Errorf("got %v", err)
	}
	is(t, s.Commit(ctx), userdata.ErrConcurrentUse) // or what was to be undone would be written
	s.Rollback()
	if a.Title != "base" {
		t.Errorf("got %q", a.Title)
	}
	a.Title = "after"
	ok(t, s.Commit(ctx))

	is(t, s.Savepoint(func() error { return s.Close() }), userdata.ErrClosed)
}

// A marshaler that panics in the middle of a rollback must not leave half of it
// to be committed.
func TestRollbackThatPanics(t *testing.T) {
	for _, how := range []string{"rollback", "savepoint"} {
		t.Run(how, func(t *testing.T) {
			db := openMem(t, judges)
			putAll(t, db, &judge{ID: "a", Title: "base"}, &judge{ID: "b", Title: "base"})
			s := db.NewSession()
			ctx := t.Context()
			a, err := judges.Get(ctx, s, "a")
			ok(t, err)
			b, err := judges.Get(ctx, s, "b")
			ok(t, err)
			moodPanic = true
			defer func() { moodPanic = false }()
			panicsWith(t, errMoody, func() {
				change := func() error { a.Title, b.Title = "changed", "changed"; return errMoody }
				if how == "savepoint" {
					s.Savepoint(change)
				}
				change()
				s.Rollback()
			})
			is(t, s.Commit(ctx), userdata.ErrConcurrentUse)
			moodPanic = false
			s.Rollback()
			if a.Title != "base" || b.Title != "base" {
				t.Errorf("got %q, %q", a.Title, b.Title)
			}
			ok(t, s.Commit(ctx))
		})
	}
}

// A record whose own unmarshaler refuses what it wrote can't be rolled back.
func TestRollbackOfWhatCannotBeRead(t *testing.T) {
	for _, how := range []string{"rollback", "savepoint"} {
		db := openMem(t, fickles)
		r := &fickle{ID: "a"}
		putAll(t, db, r)
		s := db.NewSession()
		r, err := fickles.Get(t.Context(), s, "a")
		ok(t, err)
		r2 := *r
		fickleRefuses = true
		if how == "rollback" {
			r.ID = "b"
			s.Rollback()
		} else {
			s.Savepoint(func() error { r.ID = "b"; return errMoody })
		}
		fickleRefuses = false
		sameAs(t, how, states(s, r), []string{"detached"})
		ok(t, s.Commit(t.Context()))
		if again, err := fickles.Get(t.Context(), s, "a"); err != nil || again == r || *again != r2 {
			t.Errorf("Get: got %v, %v", again, err)
		}
	}
}

type fickle struct {
	ID string      `userdata:"id,key"`
	V  fickleValue `userdata:"v"`
}

type fickleValue struct{}

var (
	fickles       = userdata.NewTable[fickle]("fickles")
	fickleRefuses bool
)

func (fickleValue) MarshalBinary() ([]byte, error) { return nil, nil }
func (*fickleValue) UnmarshalBinary([]byte) error {
	if fickleRefuses {
		return errMoody
	}
	return nil
}

func TestChanges(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		putAll(t, db, &piece{ID: "c", Tags: []string{"x"}}, &piece{ID: "d", Title: "old"}, &piece{ID: "m"}, &piece{ID: "same"}, &piece{ID: "u"})
		s := db.NewSession()
		c, d, m, same := get(t, s, "c"), get(t, s, "d"), get(t, s, "m"), get(t, s, "same")
		p := &piece{ID: "p", N: 1}
		ok(t, s.Add(p, &piece{}))
		c.Tags[0], c.N = "y", 7
		m.ID = "moved"
		same.Notes = "not mapped"
		ok(t, s.Delete(d))
		if _, err := pieces.Select(s).Where(pieceID.Eq("u")).Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := slices.Collect(s.Changes())
		all := func(old, new *piece) (out []userdata.ColumnChange) {
			value := func(p *piece, v any) any {
				if p == nil {
					return nil
				}
				return v
			}
			z := &piece{}
			o, n := old, new
			if o == nil {
				o = z
			}
			if n == nil {
				n = z
			}
			return []userdata.ColumnChange{
				{Column: "id", Old: value(old, o.ID), New: value(new, n.ID)},
				{Column: "title", Old: value(old, o.Title), New: value(new, n.Title)},
				{Column: "n", Old: value(old, o.N), New: value(new, n.N)},
				{Column: "done", Old: value(old, o.Done), New: value(new, n.Done)},
				{Column: "tags", Old: value(old, o.Tags), New: value(new, n.Tags)},
				{Column: "attrs", Old: value(old, o.Attrs), New: value(new, n.Attrs)},
				{Column: "note", Old: value(old, o.Note), New: value(new, n.Note)},
			}
		}
		want := []userdata.RecordChange{
			{Table: "pieces", Key: "c", State: userdata.Persistent, Columns: []userdata.ColumnChange{{Column: "n", Old: 0, New: 7}, {Column: "tags", Old: []string{"x"}, New: []string{"y"}}}},
			{Table: "pieces", Key: "d", State: userdata.Deleted, Columns: all(&piece{ID: "d", Title: "old"}, nil)},
			{Table: "pieces", Key: "m", State: userdata.Persistent, Columns: []userdata.ColumnChange{{Column: "id", Old: "m", New: "moved"}}},
			{Table: "pieces", Key: "p", State: userdata.Pending, Columns: all(nil, p)},
			{Table: "pieces", State: userdata.Pending, Columns: all(nil, &piece{})},
			{Table: "pieces", Key: "u", State: userdata.Deleted, Columns: all(&piece{ID: "u"}, nil)},
		}
		sameAs(t, "changes", got, want)
		got[0].Columns[1].New.([]string)[0] = "z"
		if c.Tags[0] != "y" {
			t.Error("Changes shares memory with the record")
		}
		for range s.Changes() { // the body may use the session, and leave
			ok(t, s.Add(&piece{ID: "more"}))
			break
		}
	})
}
