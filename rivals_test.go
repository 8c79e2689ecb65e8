package userdata_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

// These tests are about what other packages of the kind get wrong. Each says
// which promise it is about.

// A gadget has a column of each sort that the comparisons need.
type gadget struct {
	ID    string         `userdata:"id,key"`
	Name  string         `userdata:"name,size=20"`
	Count int            `userdata:"count"`
	On    bool           `userdata:"on"`
	Tags  []string       `userdata:"tags"`
	Parts map[string]int `userdata:"parts"`
}

var (
	gadgets     = userdata.NewTable[gadget]("gadgets")
	gadgetName  = userdata.ColumnOf(func(g *gadget) *string { return &g.Name })
	gadgetCount = userdata.ColumnOf(func(g *gadget) *int { return &g.Count })
	gadgetID    = userdata.ColumnOf(func(g *gadget) *string { return &g.ID })
)

// gadgetDB returns a database with one gadget, "g".
func gadgetDB(t *testing.T) *userdata.DB {
	t.Helper()
	db := openDB(t, gadgets)
	addAll(t, db, &gadget{ID: "g", Name: "lamp", Count: 3, On: true, Tags: []string{"a", "b"}, Parts: map[string]int{"bulb": 1}})
	return db
}

// addAll commits new records.
func addAll(t *testing.T, db *userdata.DB, records ...any) {
	t.Helper()
	if err := db.Transact(t.Context(), func(s *userdata.Session) error { return s.Add(records...) }); err != nil {
		t.Fatal(err)
	}
}

// stored returns a record as a new session reads it.
func stored(t *testing.T, db *userdata.DB, id string) *gadget {
	t.Helper()
	return load(t, db.NewSession(), id)
}

func load(t *testing.T, s *userdata.Session, id string) *gadget {
	t.Helper()
	g, err := gadgets.Get(t.Context(), s, id)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func commit(t *testing.T, s *userdata.Session) {
	t.Helper()
	if err := s.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// wantErr fails the test unless err is the wanted one.
func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

// No lost update: neither session's field may vanish.
func TestRivalDifferentFields(t *testing.T) {
	t.Parallel()
	db := gadgetDB(t)
	s1, s2 := db.NewSession(), db.NewSession()
	g1, g2 := load(t, s1, "g"), load(t, s2, "g")
	g1.Name, g2.Count = "torch", 4
	commit(t, s1)
	wantErr(t, s2.Commit(t.Context()), userdata.ErrConflict)
	if got := stored(t, db, "g"); got.Name != "torch" || got.Count != 3 {
		t.Errorf("got %+v, want the first commit alone", got)
	}
	if g2.Count != 4 {
		t.Errorf("the refused session's change is gone: %+v", g2)
	}
	if err := s2.Refresh(t.Context(), g2); err != nil {
		t.Fatal(err)
	}
	g2.Count = 4
	commit(t, s2)
	if got := stored(t, db, "g"); got.Name != "torch" || got.Count != 4 {
		t.Errorf("got %+v, want both changes", got)
	}
}

// No guessing: zero, "" and false are values like any other.
func TestRivalZeroValues(t *testing.T) {
	t.Parallel()
	db := gadgetDB(t)
	s := db.NewSession()
	g := load(t, s, "g")
	g.Name, g.Count, g.On, g.Tags, g.Parts = "", 0, false, nil, nil
	commit(t, s)
	if d := cmp.Diff(&gadget{ID: "g"}, stored(t, db, "g")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	addAll(t, db, &gadget{ID: "zero"})
	if d := cmp.Diff(&gadget{ID: "zero"}, stored(t, db, "zero")); d != "" {
		t.Errorf("added as zero (-want +got):\n%s", d)
	}
}

// No lost update: a delete by someone else is not undone in silence.
func TestRivalUpdateOfDeleted(t *testing.T) {
	t.Parallel()
	db := gadgetDB(t)
	s1, s2 := db.NewSession(), db.NewSession()
	g1, g2 := load(t, s1, "g"), load(t, s2, "g")
	if err := s1.Delete(g1); err != nil {
		t.Fatal(err)
	}
	commit(t, s1)
	g2.Count++
	wantErr(t, s2.Commit(t.Context()), userdata.ErrConflict)
	_, err := gadgets.Get(t.Context(), db.NewSession(), "g")
	wantErr(t, err, userdata.ErrNotFound)
}

// No lost update: a change by someone else is not deleted unseen.
func TestRivalDeleteOfChanged(t *testing.T) {
	t.Parallel()
	db := gadgetDB(t)
	s1, s2 := db.NewSession(), db.NewSession()
	g1, g2 := load(t, s1, "g"), load(t, s2, "g")
	g1.Count = 99
	commit(t, s1)
	if err := s2.Delete(g2); err != nil {
		t.Fatal(err)
	}
	err := s2.Commit(t.Context())
	wantErr(t, err, userdata.ErrConflict)
	var re *userdata.RecordError
	if !errors.As(err, &re) || re.Mine != nil || re.Base.(*gadget).Count != 3 || re.Theirs.(*gadget).Count != 99 {
		t.Errorf("got %+v, want base 3, theirs 99, nothing of mine", re)
	}
	if got := stored(t, db, "g"); got.Count != 99 {
		t.Errorf("got %+v, want it as it was changed", got)
	}
}

// No ceremony: edits inside a map and a slice are changes.
func TestRivalInPlaceEdits(t *testing.T) {
	t.Parallel()
	db := gadgetDB(t)
	s := db.NewSession()
	g := load(t, s, "g")
	g.Tags[1] = "B"
	commit(t, s)
	g.Parts["bulb"]++
	commit(t, s)
	delete(g.Parts, "bulb")
	g.Parts["shade"] = 2
	commit(t, s)
	want := &gadget{ID: "g", Name: "lamp", Count: 3, On: true, Tags: []string{"a", "B"}, Parts: map[string]int{"shade": 2}}
	if d := cmp.Diff(want, stored(t, db, "g")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// No change where there is none: a map of many keys commits nothing, however Go
// happens to walk it.
func TestRivalMapIsNoChange(t *testing.T) {
	t.Parallel()
	db := gadgetDB(t)
	parts := map[string]int{}
	for i := range 100 {
		parts[fmt.Sprint("part", i)] = i
	}
	addAll(t, db, &gadget{ID: "many", Parts: parts})
	s := db.NewSession()
	load(t, s, "many")
	for range 20 {
		for c := range s.Changes() {
			t.Fatalf("got change %+v, want none", c)
		}
	}
}

// No surprise: records outlive session and database.
func TestRivalReadAfterClose(t *testing.T) {
	t.Parallel()
	db := gadgetDB(t)
	s := db.NewSession()
	g := load(t, s, "g")
	if err := errors.Join(s.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	if g.Name != "lamp" || g.Tags[1] != "b" || g.Parts["bulb"] != 1 {
		t.Errorf("got %+v", g)
	}
	if got := s.State(g); got != userdata.Detached {
		t.Errorf("got state %v, want detached", got)
	}
}

// Nothing is checked early: SQLAlchemy's autoflush would fail the query.
func TestRivalHalfBuilt(t *testing.T) {
	t.Parallel()
	db := gadgetDB(t)
	s := db.NewSession()
	half := &gadget{Name: "a name of more than twenty runes"}
	if err := s.Add(half, &gadget{}); err != nil {
		t.Fatal(err)
	}
	if n, err := gadgets.Select(s).Where(gadgetName.Eq("lamp")).Count(t.Context()); n != 1 || err != nil {
		t.Errorf("got %d, %v, want 1", n, err)
	}
	if n, err := gadgets.Select(s).Count(t.Context()); n != 3 || err != nil {
		t.Errorf("got %d, %v, want all three", n, err)
	}
	wantErr(t, s.Commit(t.Context()), userdata.ErrInvalid)
	half.ID, half.Name = "half", "short"
	if n, err := gadgets.Select(s).Where(gadgetID.Eq("")).Delete(t.Context()); n != 1 || err != nil {
		t.Errorf("got %d, %v, want the other one forgotten", n, err)
	}
	commit(t, s)
	if got := stored(t, db, "half"); got.Name != "short" {
		t.Errorf("got %+v", got)
	}
}

// Going on after a failed commit: what is mended is written, once.
func TestRivalGoOnAfterFailedCommit(t *testing.T) {
	t.Parallel()
	db := gadgetDB(t)
	s := db.NewSession()
	g, added := load(t, s, "g"), &gadget{ID: "new", Name: "a name of more than twenty runes"}
	g.Count = 7
	if err := s.Add(added); err != nil {
		t.Fatal(err)
	}
	wantErr(t, s.Commit(t.Context()), userdata.ErrInvalid)
	if got := stored(t, db, "g").Count; got != 3 {
		t.Errorf("half a commit: count is %d", got)
	}
	if s.State(added) != userdata.Pending || g.Count != 7 {
		t.Errorf("the session lost its changes: %v, %+v", s.State(added), g)
	}
	added.Name = "short"
	commit(t, s)
	if a, b := stored(t, db, "g"), stored(t, db, "new"); a.Count != 7 || b.Name != "short" {
		t.Errorf("got %+v and %+v", a, b)
	}
}

// No guessing: refining a query does not change the one it came from.
func TestRivalQueryReused(t *testing.T) {
	t.Parallel()
	db := gadgetDB(t)
	addAll(t, db, &gadget{ID: "h", Name: "lamp", Count: 5})
	s := db.NewSession()
	base := gadgets.Select(s).Where(gadgetName.Eq("lamp"))
	few := base.Where(gadgetCount.Lt(4))
	many := base.Where(gadgetCount.Gt(4)).Limit(1)
	for _, c := range []struct {
		name string
		q    userdata.Query[gadget]
		want int
	}{{"few", few, 1}, {"many", many, 1}, {"base", base, 2}, {"few again", few, 1}} {
		if n, err := c.q.Count(t.Context()); n != c.want || err != nil {
			t.Errorf("%s: got %d, %v, want %d", c.name, n, err, c.want)
		}
	}
}

// Bulk changes are seen by the objects that the program holds.
func TestRivalBulkUpdateAndLiveObjects(t *testing.T) {
	t.Parallel()
	db := gadgetDB(t)
	addAll(t, db, &gadget{ID: "h", Name: "lamp", Count: 5})
	s := db.NewSession()
	g := load(t, s, "g")
	n, err := gadgets.Select(s).Where(gadgetName.Eq("lamp")).Update(t.Context(), gadgetCount.Set(0))
	if n != 2 || err != nil || g.Count != 0 {
		t.Errorf("got %d, %v, %+v, want 2 and count 0", n, err, g)
	}
	commit(t, s)
	if a, b := stored(t, db, "g").Count, stored(t, db, "h").Count; a != 0 || b != 0 {
		t.Errorf("got counts %d and %d, want 0", a, b)
	}
	if h := load(t, s, "h"); h.Count != 0 || s.State(g) != userdata.Persistent {
		t.Errorf("got %+v, %v", h, s.State(g))
	}
}

// Two types of one name don't share a table, since the program names it.
func TestRivalSameTypeName(t *testing.T) {
	t.Parallel()
	first := func() userdata.Mapped {
		type item struct {
			ID string `userdata:"id,key"`
		}
		return userdata.NewTable[item]("first")
	}()
	type item struct {
		ID  int64 `userdata:"id,key"`
		Sum int   `userdata:"sum"`
	}
	second := userdata.NewTable[item]("second")
	db := openDB(t, first, second)
	addAll(t, db, &item{ID: 1, Sum: 2})
	got, err := second.Get(t.Context(), db.NewSession(), 1)
	if err != nil || got.Sum != 2 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// No wrong read: integers are not cut to 32 bits, and keys sort as numbers do.
func TestRivalIntegers(t *testing.T) {
	t.Parallel()
	type number struct {
		N     int64 `userdata:"n,key"`
		Value int   `userdata:"value"`
	}
	numbers := userdata.NewTable[number]("numbers")
	db := openDB(t, numbers)
	want := []int64{-1 << 63, -1 << 33, -256, -2, -1, 0, 1, 255, 1 << 31, 1<<63 - 1}
	for _, n := range []int{3, 0, 9, 5, 1, 8, 2, 7, 4, 6} {
		addAll(t, db, &number{N: want[n], Value: int(want[n])})
	}
	all, err := numbers.Select(db.NewSession()).All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	for _, n := range all {
		got = append(got, n.N)
		if int64(n.Value) != n.N {
			t.Errorf("key %d: got value %d", n.N, n.Value)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("order of keys (-want +got):\n%s", d)
	}
}

// Keys are taken as they are: no separator in them means anything, and "" is refused.
func TestRivalKeys(t *testing.T) {
	t.Parallel()
	db := gadgetDB(t)
	ids := []string{"a", "a\x00", "a\x00b", "a__b", "a__b__c", "a:b", "b", "__a", "\uffff"}
	for i, id := range ids {
		addAll(t, db, &gadget{ID: id, Count: i})
	}
	for i, id := range ids {
		if got := stored(t, db, id); got.Count != i || got.ID != id {
			t.Errorf("%q: got %+v, want count %d", id, got, i)
		}
	}
	if n, err := gadgets.Select(db.NewSession()).Where(userdata.HasPrefix(gadgetID, "a__b")).Count(t.Context()); n != 2 || err != nil {
		t.Errorf("prefix a__b: got %d, %v, want 2", n, err)
	}
	err := db.Transact(t.Context(), func(s *userdata.Session) error { return s.Add(&gadget{}) })
	wantErr(t, err, userdata.ErrInvalid)
	_, err = gadgets.Get(context.Background(), db.NewSession(), "")
	wantErr(t, err, userdata.ErrNotFound)
}
