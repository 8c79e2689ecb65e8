package userdata_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

// The tests in this file are what other persistence packages get wrong.

// No lost update: a record is one thing, whichever fields two sessions change.
func TestRivalTwoSessionsEditDifferentFields(t *testing.T) {
	db := openDB(t, pieces)
	putAll(t, db, &piece{ID: "a"})
	s1, s2 := db.NewSession(), db.NewSession()
	get(t, s1, "a").Title = "mine"
	theirs := get(t, s2, "a")
	theirs.N = 7
	ok(t, s1.Commit(t.Context()))
	is(t, s2.Commit(t.Context()), userdata.ErrConflict)
	ok(t, s2.Refresh(t.Context(), theirs))
	theirs.N = 7
	ok(t, s2.Commit(t.Context()))
	sameAs(t, "stored", get(t, db.NewSession(), "a"), &piece{ID: "a", Title: "mine", N: 7})
}

// No guessing: setting a field to zero is a change like any other.
func TestRivalZeroIsAValue(t *testing.T) {
	db := openDB(t, pieces)
	putAll(t, db, &piece{ID: "a", Title: "x", N: 7, Tags: []string{"x"}})
	edit(t, db, "a", func(p *piece) { p.Title, p.N, p.Tags = "", 0, nil })
	sameAs(t, "stored", get(t, db.NewSession(), "a"), &piece{ID: "a"})
}

// No guessing: false is a value, in a record and in a condition.
func TestRivalFalseIsAValue(t *testing.T) {
	db := openDB(t, pieces)
	done := userdata.ColumnOf(func(p *piece) *bool { return &p.Done })
	putAll(t, db, &piece{ID: "a", Done: true}, &piece{ID: "b", Done: true})
	edit(t, db, "a", func(p *piece) { p.Done = false })
	all, err := pieces.Select(db.NewSession()).Where(done.Eq(false)).All(t.Context())
	if err != nil || len(all) != 1 || all[0].ID != "a" || all[0].Done {
		t.Errorf("got %v, %v, want a", all, err)
	}
}

// No lost update: what someone deleted stays deleted; a commit never resurrects it.
func TestRivalUpdateOfWhatSomeoneDeleted(t *testing.T) {
	db := openDB(t, pieces)
	putAll(t, db, &piece{ID: "a"})
	s := db.NewSession()
	get(t, s, "a").Title = "mine"
	remove(t, db, "a")
	is(t, s.Commit(t.Context()), userdata.ErrConflict)
	sameAs(t, "store", titlesOf(t, db), titles{})
}

// No lost update: what someone changed is not deleted unseen.
func TestRivalDeleteOfWhatSomeoneChanged(t *testing.T) {
	db := openDB(t, pieces)
	putAll(t, db, &piece{ID: "a"})
	s := db.NewSession()
	ok(t, s.Delete(get(t, s, "a")))
	edit(t, db, "a", func(p *piece) { p.Title = "theirs" })
	is(t, s.Commit(t.Context()), userdata.ErrConflict)
	sameAs(t, "store", titlesOf(t, db), titles{"a": "theirs"})
}

// No ceremony: an edit inside a map is noticed, without a marker or a Save.
func TestRivalEditInsideAMap(t *testing.T) {
	db := openDB(t, pieces)
	putAll(t, db, &piece{ID: "a", Attrs: map[string][]int{"k": {1}}})
	edit(t, db, "a", func(p *piece) { p.Attrs["k"][0] = 2; p.Attrs["new"] = []int{} })
	sameAs(t, "stored", get(t, db.NewSession(), "a").Attrs, map[string][]int{"k": {2}, "new": {}})
}

// No ceremony: an edit inside a slice is noticed, without a marker or a Save.
func TestRivalEditInsideASlice(t *testing.T) {
	db := openDB(t, pieces)
	putAll(t, db, &piece{ID: "a", Tags: []string{"x", "y"}})
	edit(t, db, "a", func(p *piece) { p.Tags[1] = "z" })
	sameAs(t, "stored", get(t, db.NewSession(), "a").Tags, []string{"x", "z"})
}

// No transaction is held: a record is a plain struct, whole and readable after its
// session and database are closed.
func TestRivalReadAfterClose(t *testing.T) {
	db := openDB(t, pieces)
	note := "note"
	want := &piece{ID: "a", Title: "x", Tags: []string{"y"}, Attrs: map[string][]int{"k": {1}}, Note: &note}
	putAll(t, db, userdata.Clone(pieces, want))
	s := db.NewSession()
	a := get(t, s, "a")
	a.N = 0
	ok(t, s.Commit(t.Context()))
	ok(t, s.Close())
	ok(t, db.Close())
	sameAs(t, "record", a, want)
}

// No guessing: a query flushes nothing, so a record that is being filled in does not
// break it.
func TestRivalHalfBuiltRecordWhileAQueryRuns(t *testing.T) {
	db := openDB(t, pieces)
	putAll(t, db, &piece{ID: "a", Title: "x"})
	s := db.NewSession()
	p := &piece{Title: "this is far too long"}
	ok(t, s.Add(p))
	all, err := pieces.Select(s).Where(pieceTitle.Eq("x")).All(t.Context())
	if err != nil || len(all) != 1 {
		t.Errorf("got %v, %v, want a", all, err)
	}
	p.ID, p.Title = "p", all[0].Title
	ok(t, s.Commit(t.Context()))
	sameAs(t, "store", titlesOf(t, db), titles{"a": "x", "p": "x"})
}

// No half commit: after a failed one the session still holds everything, to be mended and
// committed again.
func TestRivalGoingOnAfterAFailedCommit(t *testing.T) {
	db := openDB(t, pieces)
	s := db.NewSession()
	a, b := &piece{ID: "a"}, &piece{ID: "b", Title: "this is far too long"}
	ok(t, s.Add(a, b))
	is(t, s.Commit(t.Context()), userdata.ErrInvalid)
	sameAs(t, "store", titlesOf(t, db), titles{})
	b.Title = "short"
	ok(t, s.Commit(t.Context()))
	sameAs(t, "store", titlesOf(t, db), titles{"a": "", "b": "short"})
}

// No guessing: a query is a value, and refining it leaves it as it was.
func TestRivalQueryValueReused(t *testing.T) {
	db := openDB(t, pieces)
	putAll(t, db, &piece{ID: "a", N: 1}, &piece{ID: "b", N: 1, Title: "x"}, &piece{ID: "c", N: 2, Title: "x"})
	all := pieces.Select(db.NewSession())
	ones := all.Where(pieceN.Eq(1))
	titled, untitled := ones.Where(pieceTitle.Eq("x")), ones.Where(pieceTitle.Eq(""))
	for name, tc := range map[string]struct {
		q    userdata.Query[piece]
		want int
	}{"all": {all, 3}, "ones": {ones, 2}, "titled": {titled, 1}, "untitled": {untitled, 1}, "limited": {ones.Limit(1), 1}, "ones again": {ones, 2}} {
		for range 2 {
			if n, err := tc.q.Count(t.Context()); n != tc.want || err != nil {
				t.Errorf("%s: got %d, %v, want %d", name, n, err, tc.want)
			}
		}
	}
}

// One table and key, one pointer: what a bulk update does, live objects show, and the
// commit does not undo.
func TestRivalBulkUpdateSeenByLiveObjects(t *testing.T) {
	db := openDB(t, pieces)
	putAll(t, db, &piece{ID: "a"}, &piece{ID: "b"})
	s := db.NewSession()
	a, p := get(t, s, "a"), &piece{ID: "p"}
	ok(t, s.Add(p))
	a.N = 7
	n, err := pieces.Select(s).Where(pieceTitle.Eq("")).Update(t.Context(), pieceTitle.Set("bulk"))
	if n != 3 || err != nil {
		t.Errorf("Update: got %d, %v, want 3", n, err)
	}
	if a.Title != "bulk" || p.Title != "bulk" || get(t, s, "b").Title != "bulk" {
		t.Errorf("got %v, %v", a, p)
	}
	ok(t, s.Commit(t.Context()))
	sameAs(t, "store", titlesOf(t, db), titles{"a": "bulk", "b": "bulk", "p": "bulk"})
	sameAs(t, "stored", get(t, db.NewSession(), "a"), &piece{ID: "a", Title: "bulk", N: 7})
}

func noteTableOfOnePackage() userdata.Mapped {
	type note struct {
		ID string `userdata:"id,key"`
	}
	return userdata.NewTable[note]("notes")
}

func noteTableOfAnother() userdata.Mapped {
	type note struct {
		Number int `userdata:"number,key"`
	}
	return userdata.NewTable[note]("remarks")
}

// No guessing: a table's name is what the program says, so two types of one name share
// nothing.
func TestRivalSameTypeNameInTwoPackages(t *testing.T) {
	db := openDB(t, noteTableOfOnePackage(), noteTableOfAnother())
	want := "notes\n  id  string  key\n\nremarks\n  number  int  key\n"
	if d := cmp.Diff(want, db.Schema().String()); d != "" {
		t.Error(d)
	}
}

// No wrong read: an integer comes back as it was, however large.
func TestRivalLargeIntegers(t *testing.T) {
	type number struct {
		ID  string `userdata:"id,key"`
		Int int64  `userdata:"int"`
		Un  uint64 `userdata:"un"`
	}
	numbers := userdata.NewTable[number]("numbers")
	db := openDB(t, numbers)
	want := []*number{{"a", 1<<31 + 1, 1<<53 + 1}, {"b", 1<<63 - 1, 1<<64 - 1}, {"c", -1 << 63, 0}}
	putAll(t, db, want[0], want[1], want[2])
	got, err := numbers.Select(db.NewSession()).All(t.Context())
	ok(t, err)
	sameAs(t, "numbers", got, want)
}

// No wrong read: keys are bytes of their own, whatever separators others put between them.
func TestRivalKeysThatLookAlike(t *testing.T) {
	db := openDB(t, pieces)
	putAll(t, db, &piece{ID: "a", Title: "1"}, &piece{ID: "a__b", Title: "2"}, &piece{ID: "a\x00", Title: "3"}, &piece{ID: " a", Title: "4"})
	edit(t, db, "a", func(p *piece) { p.N = 1 })
	remove(t, db, "a\x00")
	sameAs(t, "store", titlesOf(t, db), titles{"a": "1", "a__b": "2", " a": "4"})
}

// No guessing: an empty key is refused by name, not stored as something else.
func TestRivalEmptyKey(t *testing.T) {
	db := openDB(t, pieces)
	s := db.NewSession()
	ok(t, s.Add(&piece{Title: "x"}))
	err := s.Commit(t.Context())
	is(t, err, userdata.ErrInvalid)
	var re *userdata.RecordError
	if !errors.As(err, &re) || re.Column != "id" {
		t.Errorf("got %+v, want the column named", re)
	}
	_, err = pieces.Get(t.Context(), db.NewSession(), "")
	is(t, err, userdata.ErrNotFound)
}

// No wrong read: integers are ordered as integers, the negative ones first.
func TestRivalNegativeKeysInOrder(t *testing.T) {
	type level struct {
		N int `userdata:"n,key"`
	}
	levels := userdata.NewTable[level]("levels")
	n := userdata.ColumnOf(func(l *level) *int { return &l.N })
	db := openDB(t, levels)
	putAll(t, db, &level{10}, &level{-1}, &level{2}, &level{0}, &level{-300})
	var got []int
	for l, err := range levels.Select(db.NewSession()).Where(n.Lt(10)).Rows(t.Context()) {
		ok(t, err)
		got = append(got, l.N)
	}
	sameAs(t, "order", got, []int{-300, -1, 0, 2})
}
