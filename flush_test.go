package userdata_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/seed-5df914be/userdata"
)

func TestChangeDetection(t *testing.T) {
	text := "text"
	for name, change := range map[string]func(p *piece){
		"string":                 func(p *piece) { p.Title = "" },
		"int":                    func(p *piece) { p.N = 0 },
		"bool":                   func(p *piece) { p.Done = false },
		"element of a slice":     func(p *piece) { p.Tags[1] = "z" },
		"append":                 func(p *piece) { p.Tags = append(p.Tags, "z") },
		"empty for nil":          func(p *piece) { p.Tags = p.Tags[:0] },
		"nil slice":              func(p *piece) { p.Tags = nil },
		"key of a map":           func(p *piece) { p.Attrs["new"] = nil },
		"key removed":            func(p *piece) { delete(p.Attrs, "x") },
		"slice inside a map":     func(p *piece) { p.Attrs["x"][0]++ },
		"behind a pointer":       func(p *piece) { *p.Note = "other" },
		"pointer to nil":         func(p *piece) { p.Note = nil },
		"pointer to another":     func(p *piece) { other := "other"; p.Note = &other },
		"nothing":                func(p *piece) {},
		"nothing, by other ways": func(p *piece) { p.Note = &text; p.Tags = slices.Clone(p.Tags); p.Notes = "not mapped" },
	} {
		t.Run(name, func(t *testing.T) {
			store := userdata.NewMemStore()
			db := openHooked(t, store, pieces)
			attrs := map[string][]int{"x": {1, 2}}
			for _, k := range strings.Split("abcdefghijkl", "") {
				attrs[k] = []int{3}
			}
			putAll(t, db, &piece{ID: "a", Title: "t", N: 1, Done: true, Tags: []string{"x", "y"}, Attrs: attrs, Note: &text})
			s := db.NewSession()
			a := get(t, s, "a")
			change(a)
			wantChanges := 1
			if strings.HasPrefix(name, "nothing") {
				wantChanges = 0
			}
			changes := slices.Collect(s.Changes())
			if len(changes) != wantChanges || wantChanges == 1 && len(changes[0].Columns) != 1 {
				t.Errorf("Changes: got %v, want %d", changes, wantChanges)
			}
			before := version(t, store)
			ok(t, s.Commit(t.Context()))
			if got := version(t, store) != before; got != (wantChanges == 1) {
				t.Errorf("written: got %v, want %v", got, wantChanges == 1)
			}
			want := *a
			want.Notes = ""
			sameAs(t, "stored", get(t, db.NewSession(), "a"), &want)
		})
	}
}

func version(t *testing.T, store userdata.Store) (v uint64) {
	t.Helper()
	ok(t, store.View(t.Context(), func(snap userdata.Snapshot) error { v = snap.Version(); return nil }))
	return v
}

func TestNothingIsCheckedEarly(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		ctx := t.Context()
		s := db.NewSession()
		one, two := &piece{}, &piece{}
		ok(t, s.Add(one, two)) // neither has a key yet
		n, err := pieces.Select(s).Count(ctx)
		if n != 2 || err != nil {
			t.Errorf("Count: got %d, %v, want 2", n, err)
		}
		one.Title, two.Title = "far too long a title", "\xff"
		all, err := pieces.Select(s).OrderBy(pieceTitle.Desc()).All(ctx)
		if len(all) != 2 || err != nil {
			t.Errorf("All: got %v, %v", all, err)
		}
		*one, *two = piece{ID: "1", Title: "one"}, piece{ID: "2", Title: "two"}
		if get(t, s, "1") != one || get(t, s, "2") != two {
			t.Error("Get: got other pointers")
		}
		ok(t, s.Commit(ctx))
		sameAs(t, "store", titlesOf(t, db), titles{"1": "one", "2": "two"})
	})
}

// A judge is a record with opinions, and one column that may refuse.
type judge struct {
	ID    string `userdata:"id,key"`
	Title string `userdata:"title,size=10"`
	Text  moody  `userdata:"text"`

	validate func() error
}

func (j *judge) Validate() error {
	if j.validate != nil {
		return j.validate()
	}
	return nil
}

// moody is text whose marshaler and unmarshaler fail or panic if it says so.
type moody struct{ says string }

var (
	errMoody  = errors.New("in no mood")
	moodPanic bool
)

func (m moody) MarshalText() ([]byte, error) {
	switch m.says {
	case "fail":
		return nil, errMoody
	case "panic":
		panic(errMoody)
	}
	return []byte(m.says), nil
}

func (m *moody) UnmarshalText(b []byte) error {
	if moodPanic {
		panic(errMoody)
	}
	m.says = string(b)
	return nil
}

var judges = userdata.NewTable[judge]("judges")

// panicsWith checks that fn panics with want.
func panicsWith(t *testing.T, want any, fn func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if got := recover(); got != want {
			t.Errorf("got panic %v, want %v", got, want)
		}
	}()
	fn()
}

func TestFlushReportsAllFaults(t *testing.T) {
	store := userdata.NewMemStore()
	db := openHooked(t, store, pieces, judges)
	before := version(t, store)
	s := db.NewSession()
	errOpinion := errors.New("not in my court")
	ok(t, s.Add(
		&piece{ID: "too long a key", Title: strings.Repeat("é", 11)},
		&piece{Title: "\xff"},
		&piece{ID: "fine"}, // and twice:
		&judge{ID: strings.Repeat("k", userdata.MaxKeySize+1)},
		&judge{ID: "j", Title: "eleven runes", Text: moody{"fail"}, validate: func() error { return errOpinion }},
	))
	twin := &piece{}
	ok(t, s.Add(twin))
	twin.ID = "fine"
	type fault struct {
		Op, Table, Column string
		Key               any
	}
	for op, err := range map[string]error{"flush": s.Flush(t.Context()), "commit": s.Commit(t.Context())} {
		is(t, err, userdata.ErrInvalid, userdata.ErrTooLarge, userdata.ErrExists, errOpinion, errMoody)
		var got []fault
		for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
			var re *userdata.RecordError
			if !errors.As(e, &re) {
				t.Fatalf("got %v, want a RecordError", e)
			}
			if re.Column != "" && re.Key != nil && len(re.Key.(string)) > 20 {
				re.Key = "long"
			}
			got = append(got, fault{re.Op, re.Table, re.Column, re.Key})
		}
		sameAs(t, "faults", got, []fault{
			{op, "judges", "id", nil},
			{op, "judges", "", "j"},
			{op, "judges", "text", "j"},
			{op, "judges", "title", "j"},
			{op, "pieces", "id", "too long a key"},
			{op, "pieces", "title", "too long a key"},
			{op, "pieces", "title", nil},
			{op, "pieces", "id", nil},
			{op, "pieces", "", "fine"},
		})
	}
	if version(t, store) != before {
		t.Error("something was written")
	}
}

func TestSizes(t *testing.T) {
	type sized struct {
		ID    []byte  `userdata:"id,key,size=2"`
		Bytes []byte  `userdata:"bytes,size=2"`
		Text  *string `userdata:"text,size=2"`
	}
	table := userdata.NewTable[sized]("sized")
	db := openMem(t, table)
	s := db.NewSession()
	fits, tooLong := "éé", "ééé"
	r := &sized{ID: []byte("ab"), Bytes: []byte("é"), Text: &fits}
	ok(t, s.Add(r, &sized{ID: []byte("b")}))
	ok(t, s.Flush(t.Context()))
	*r = sized{ID: []byte("abc"), Bytes: []byte("abc"), Text: &tooLong}
	err := s.Flush(t.Context())
	is(t, err, userdata.ErrInvalid)
	if joined := err.(interface{ Unwrap() []error }).Unwrap(); len(joined) != 3 {
		t.Errorf("got %v, want 3 faults", err)
	}
}

func TestValidate(t *testing.T) {
	store := userdata.NewMemStore()
	db := openHooked(t, store, judges)
	ctx := t.Context()
	s := db.NewSession()
	calls := 0
	j := &judge{ID: "j", Title: "  x  "}
	j.validate = func() error { calls++; j.Title = strings.TrimSpace(j.Title); return nil }
	ok(t, s.Add(j))
	ok(t, s.Commit(ctx))
	ok(t, s.Commit(ctx)) // unchanged: not asked
	if calls != 1 {
		t.Errorf("got %d calls, want 1", calls)
	}
	was := version(t, store)
	got, err := judges.Get(ctx, db.NewSession(), "j")
	if err != nil || got.Title != "x" {
		t.Errorf("stored: got %v, %v", got, err)
	}
	j.Title = " x" // mended back to what is stored
	ok(t, s.Commit(ctx))
	if version(t, store) != was {
		t.Error("a record that Validate mended back was written")
	}
	j.validate = func() error { j.ID = "moved"; return nil }
	j.Title = "y"
	ok(t, s.Commit(ctx))
	if _, err := judges.Get(ctx, db.NewSession(), "moved"); err != nil {
		t.Errorf("after Validate changed the key: %v", err)
	}

	// What Validate may not do.
	j.Title = "z"
	j.validate = func() error { return s.Commit(ctx) }
	is(t, s.Commit(ctx), userdata.ErrConcurrentUse, userdata.ErrInvalid)
	j.validate = func() error { s.Rollback(); return nil }
	is(t, s.Commit(ctx), userdata.ErrConcurrentUse)
	if version(t, store) != was+1 {
		t.Error("a commit that was called from Validate went through")
	}
	s.Rollback()
	j.Title = "z"
	j.validate = func() error { panic(errMoody) }
	panicsWith(t, errMoody, func() { s.Commit(ctx) })
	j.validate, j.Text = nil, moody{"panic"}
	panicsWith(t, errMoody, func() { s.Commit(ctx) })
	j.Text = moody{}
	ok(t, s.Commit(ctx))
	got, err = judges.Get(ctx, db.NewSession(), "moved")
	if err != nil || got.Title != "z" {
		t.Errorf("after panics: got %v, %v", got, err)
	}
}

func TestFlushKeepsNothing(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		s := db.NewSession()
		a := &piece{ID: "a"}
		ok(t, s.Add(a))
		ok(t, s.Flush(t.Context()))
		sameAs(t, "state", states(s, a), []string{"pending"})
		sameAs(t, "store", titlesOf(t, db), titles{})
		a.ID = "b"
		ok(t, s.Flush(t.Context()))
		ok(t, s.Commit(t.Context()))
		sameAs(t, "store", titlesOf(t, db), titles{"b": ""})
	})
}

func TestCommitOfNothingTouchesNothing(t *testing.T) {
	h := &hookedStore{Store: userdata.NewMemStore()}
	db := openHooked(t, h, pieces)
	putAll(t, db, &piece{ID: "a"})
	s := db.NewSession()
	a := get(t, s, "a")
	h.apply = func() error { t.Error("Apply was called"); return nil }
	ok(t, s.Commit(t.Context()))
	p := &piece{ID: "p"}
	ok(t, s.Add(p))
	ok(t, s.Delete(p))
	a.N++
	a.N--
	ok(t, s.Commit(t.Context()))
	h.apply = nil
}

func TestFailedCommitChangesNothing(t *testing.T) {
	h := &hookedStore{Store: userdata.NewMemStore()}
	db := openHooked(t, h, pieces)
	ctx := t.Context()
	putAll(t, db, &piece{ID: "a"}, &piece{ID: "b"}, &piece{ID: "c"}, &piece{ID: "d"})
	s := db.NewSession()
	a, b, c, p := get(t, s, "a"), get(t, s, "b"), get(t, s, "c"), &piece{ID: "p"}
	ok(t, s.Add(p))
	ok(t, s.Delete(b))
	a.Title, c.ID = "changed", "moved"
	n, err := pieces.Select(s).Where(pieceID.Eq("d")).Update(ctx, pieceTitle.Set("bulk"))
	if n != 1 || err != nil {
		t.Fatalf("Update: got %d, %v", n, err)
	}
	want := slices.Collect(s.Changes())
	errDisk := errors.New("disk on fire")
	for _, fail := range []struct {
		do   func() error
		want error
	}{
		{func() error { h.apply = func() error { return errDisk }; return s.Commit(ctx) }, errDisk},
		{func() error { p.Title = "too long a title"; return s.Commit(ctx) }, userdata.ErrInvalid},
		{func() error {
			p.Title = ""
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return s.Commit(ctx)
		}, context.Canceled},
		{func() error { h.apply = nil; putAll(t, db, &piece{ID: "p", Title: "theirs"}); return s.Commit(ctx) }, userdata.ErrExists},
	} {
		is(t, fail.do(), fail.want)
		sameAs(t, "states", states(s, a, b, c, p), []string{"persistent", "deleted", "persistent", "pending"})
		if fail.want != userdata.ErrInvalid {
			sameAs(t, "changes", slices.Collect(s.Changes()), want)
		}
		delete := titlesOf(t, db)
		if delete["a"] != "" || delete["d"] != "" || len(delete) > 5 {
			t.Errorf("after %v: the store has %v", fail.want, delete)
		}
		if get(t, s, "moved") != c || get(t, s, "p") != p {
			t.Error("the session lost records")
		}
	}
	p.ID = "q"
	ok(t, s.Commit(ctx))
	sameAs(t, "store", titlesOf(t, db), titles{"a": "changed", "moved": "", "d": "bulk", "p": "theirs", "q": ""})
}

func TestKeyMoves(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		for name, tc := range map[string]struct {
			do      func(s *userdata.Session, a, b, c *piece)
			want    titles
			wantErr error
		}{
			"simple":   {func(s *userdata.Session, a, b, c *piece) { a.ID = "x" }, titles{"x": "A", "b": "B", "c": "C"}, nil},
			"swap":     {func(s *userdata.Session, a, b, c *piece) { a.ID, b.ID = "b", "a" }, titles{"b": "A", "a": "B", "c": "C"}, nil},
			"rotation": {func(s *userdata.Session, a, b, c *piece) { a.ID, b.ID, c.ID = "b", "c", "a" }, titles{"b": "A", "c": "B", "a": "C"}, nil},
			"onto deleted": {func(s *userdata.Session, a, b, c *piece) { s.Delete(b); a.ID = "b" },
				titles{"b": "A", "c": "C"}, nil},
			"onto one deleted later":  {func(s *userdata.Session, a, b, c *piece) { a.ID = "b"; s.Delete(b) }, titles{"b": "A", "c": "C"}, nil},
			"onto occupied":           {func(s *userdata.Session, a, b, c *piece) { a.ID = "b" }, nil, userdata.ErrExists},
			"two onto one":            {func(s *userdata.Session, a, b, c *piece) { a.ID, b.ID = "x", "x" }, nil, userdata.ErrExists},
			"onto one that is moving": {func(s *userdata.Session, a, b, c *piece) { a.ID, b.ID = "b", "x" }, titles{"b": "A", "x": "B", "c": "C"}, nil},
			"away and back":           {func(s *userdata.Session, a, b, c *piece) { a.ID = "x"; a.ID = "a" }, titles{"a": "A", "b": "B", "c": "C"}, nil},
			"add at the old key": {func(s *userdata.Session, a, b, c *piece) { a.ID = "x"; s.Add(&piece{ID: "a", Title: "new"}) },
				titles{"x": "A", "a": "new", "b": "B", "c": "C"}, nil},
			"delete after a move": {func(s *userdata.Session, a, b, c *piece) { a.ID = "x"; s.Delete(a) }, titles{"b": "B", "c": "C"}, nil},
			"moved and deleted, add at the new key": {func(s *userdata.Session, a, b, c *piece) {
				a.ID = "x"
				s.Delete(a)
				s.Add(&piece{ID: "x", Title: "new"})
			}, titles{"x": "new", "b": "B", "c": "C"}, nil},
			"to no key": {func(s *userdata.Session, a, b, c *piece) { a.ID = "" }, nil, userdata.ErrInvalid},
			"swap, then delete one": {func(s *userdata.Session, a, b, c *piece) { a.ID, b.ID = "b", "a"; s.Delete(a) },
				titles{"a": "B", "c": "C"}, nil},
			"bulk move": {func(s *userdata.Session, a, b, c *piece) {
				pieces.Select(s).Where(pieceID.Eq("a")).Update(t.Context(), pieceID.Set("x"))
			}, titles{"x": "A", "b": "B", "c": "C"}, nil},
		} {
			t.Run(name, func(t *testing.T) {
				start := titles{"a": "A", "b": "B", "c": "C"}
				old := db.NewSession()
				_, err := pieces.Select(old).Delete(t.Context())
				ok(t, err)
				ok(t, old.Add(&piece{ID: "a", Title: "A"}, &piece{ID: "b", Title: "B"}, &piece{ID: "c", Title: "C"}))
				ok(t, old.Commit(t.Context()))

				s := db.NewSession()
				a, b, c := get(t, s, "a"), get(t, s, "b"), get(t, s, "c")
				tc.do(s, a, b, c)
				err = s.Commit(t.Context())
				if tc.wantErr != nil {
					is(t, err, tc.wantErr)
					is(t, s.Flush(t.Context()), tc.wantErr) // without asking the store
					sameAs(t, "store", titlesOf(t, db), start)
					s.Rollback()
					sameAs(t, "keys rolled back", []string{a.ID, b.ID, c.ID}, []string{"a", "b", "c"})
					return
				}
				ok(t, err)
				sameAs(t, "store", titlesOf(t, db), tc.want)
				for id, title := range tc.want {
					if p := get(t, s, id); p.Title != title {
						t.Errorf("Get(%q): got %q, want %q", id, p.Title, title)
					}
				}
				for id := range start {
					if _, err := pieces.Get(t.Context(), s, id); tc.want[id] == "" && !errors.Is(err, userdata.ErrNotFound) {
						t.Errorf("Get(%q): got %v, want ErrNotFound", id, err)
					}
				}
				for _, p := range []*piece{a, b, c} { // and tracked still
					p.N++
				}
				ok(t, s.Commit(t.Context()))
			})
		}
	})
}

// In the loop of TestKeyMoves one session replaces three records: delete and
// then add under one key. Here the pieces of that.
func TestDeleteThenAddIsAnUpdate(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		ctx := t.Context()
		putAll(t, db, &piece{ID: "a", Title: "old"})
		s := db.NewSession()
		old := get(t, s, "a")
		ok(t, s.Delete(old))
		a := &piece{ID: "a", Title: "new"}
		ok(t, s.Add(a))
		is(t, s.Add(old), userdata.ErrExists) // its key is taken now
		if get(t, s, "a") != a {
			t.Error("Get: got the deleted record")
		}
		ok(t, s.Commit(ctx))
		sameAs(t, "states", states(s, old, a), []string{"detached", "persistent"})
		sameAs(t, "store", titlesOf(t, db), titles{"a": "new"})

		ok(t, s.Delete(a))
		ok(t, s.Add(&piece{ID: "a", Title: "newer"}))
		edit(t, db, "a", func(p *piece) { p.Title = "theirs" })
		is(t, s.Commit(ctx), userdata.ErrConflict)
		sameAs(t, "store", titlesOf(t, db), titles{"a": "theirs"})

		s = db.NewSession() // deleted in bulk, then added
		_, err := pieces.Select(s).Delete(ctx)
		ok(t, err)
		ok(t, s.Add(&piece{ID: "a", Title: "bulk"}))
		ok(t, s.Commit(ctx))
		sameAs(t, "store", titlesOf(t, db), titles{"a": "bulk"})
	})
}

func TestConflicts(t *testing.T) {
	base, theirs, mine := &piece{ID: "a", Title: "base"}, &piece{ID: "a", Title: "theirs"}, &piece{ID: "a", Title: "mine"}
	none := (*piece)(nil)
	change := func(t *testing.T, s *userdata.Session, a *piece) { a.Title = "mine" }
	del := func(t *testing.T, s *userdata.Session, a *piece) { ok(t, s.Delete(a)) }
	for name, tc := range map[string]struct {
		do                 func(t *testing.T, s *userdata.Session, a *piece)
		gone               bool // others delete it, else they change it
		base, mine, theirs *piece
	}{
		"change of a changed one": {change, false, base, mine, theirs},
		"change of a gone one":    {change, true, base, mine, none},
		"delete of a changed one": {del, false, base, none, theirs},
		"delete of a gone one":    {del, true, base, none, none},
		"move of a changed one":   {func(t *testing.T, s *userdata.Session, a *piece) { a.ID = "x" }, false, base, &piece{ID: "x", Title: "base"}, theirs},
		"move of a gone one":      {func(t *testing.T, s *userdata.Session, a *piece) { a.ID = "x" }, true, base, &piece{ID: "x", Title: "base"}, none},
		"replaced": {func(t *testing.T, s *userdata.Session, a *piece) {
			ok(t, s.Delete(a))
			ok(t, s.Add(&piece{ID: "a", Title: "mine"}))
		}, false, base, mine, theirs},
	} {
		t.Run(name, func(t *testing.T) {
			db := openMem(t, pieces)
			putAll(t, db, &piece{ID: "a", Title: "base"})
			s := db.NewSession()
			a := get(t, s, "a")
			tc.do(t, s, a)
			want := titles{}
			if tc.gone {
				remove(t, db, "a")
			} else {
				edit(t, db, "a", func(p *piece) { p.Title = "theirs" })
				want["a"] = "theirs"
			}
			err := s.Commit(t.Context())
			is(t, err, userdata.ErrConflict)
			isNot(t, err, userdata.ErrExists, userdata.ErrCorrupt)
			var re *userdata.RecordError
			if !errors.As(err, &re) {
				t.Fatalf("got %v, want a RecordError", err)
			}
			as := func(v any) *piece { p, _ := v.(*piece); return p }
			sameAs(t, "base", as(re.Base), tc.base)
			sameAs(t, "mine", as(re.Mine), tc.mine)
			sameAs(t, "theirs", as(re.Theirs), tc.theirs)
			if tc.theirs == nil && re.Theirs != nil || tc.mine == nil && re.Mine != nil {
				t.Errorf("got a pointer that is nil, want nil")
			}
			if re.Op != "commit" || re.Table != "pieces" || re.Key != "a" {
				t.Errorf("got %+v", re)
			}
			if re.Mine == any(a) {
				t.Error("Mine is the session's own record")
			}
			sameAs(t, "store", titlesOf(t, db), want)
		})
	}
}

func TestConflictsAreJoined(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		putAll(t, db, &piece{ID: "a"}, &piece{ID: "b"}, &piece{ID: "c"})
		s := db.NewSession()
		a, b, c := get(t, s, "a"), get(t, s, "b"), get(t, s, "c")
		a.N, b.N, c.N = 1, 1, 1
		ok(t, s.Add(&piece{ID: "p"}))
		edit(t, db, "a", func(p *piece) { p.Title = "theirs" })
		remove(t, db, "c")
		putAll(t, db, &piece{ID: "p", Title: "theirs"})
		err := s.Commit(t.Context())
		is(t, err, userdata.ErrConflict, userdata.ErrExists)
		var keys []any
		for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
			var re *userdata.RecordError
			errors.As(e, &re)
			keys = append(keys, re.Key)
			if re.Key == "p" {
				isNot(t, e, userdata.ErrConflict)
				sameAs(t, "theirs", re.Theirs, any(&piece{ID: "p", Title: "theirs"}))
				if re.Base != nil {
					t.Errorf("Base of an added one: got %v", re.Base)
				}
			}
		}
		sameAs(t, "keys", keys, []any{"a", "c", "p"})
	})
}

func TestExistsAfterAbsenceIsAConflict(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		ctx := t.Context()
		s := db.NewSession()
		_, err := pieces.Get(ctx, s, "a")
		is(t, err, userdata.ErrNotFound)
		ok(t, s.Add(&piece{ID: "a"}))
		putAll(t, db, &piece{ID: "a", Title: "theirs"})
		is(t, s.Commit(ctx), userdata.ErrExists, userdata.ErrConflict)

		s.Rollback() // forgets that, too
		ok(t, s.Add(&piece{ID: "a"}))
		err = s.Commit(ctx)
		is(t, err, userdata.ErrExists)
		isNot(t, err, userdata.ErrConflict)

		tries := 0
		ok(t, db.Transact(ctx, func(s *userdata.Session) error { // get or create
			tries++
			p, err := pieces.Get(ctx, s, "new")
			if errors.Is(err, userdata.ErrNotFound) {
				p = &piece{ID: "new"}
				err = s.Add(p)
			}
			if tries == 1 {
				putAll(t, db, &piece{ID: "new", N: 1})
			}
			if err == nil {
				p.N++
			}
			return err
		}))
		if p := get(t, db.NewSession(), "new"); p.N != 2 || tries != 2 {
			t.Errorf("got %d after %d tries, want 2 after 2", p.N, tries)
		}
	})
}
