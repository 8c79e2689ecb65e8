package userdata_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed-5df914be/userdata"
)

func TestColumnOfPanics(t *testing.T) {
	t.Parallel()
	var elsewhere string
	for name, fn := range map[string]func(){
		"no struct":        func() { userdata.ColumnOf(func(n *int) *int { return n }) },
		"the record":       func() { userdata.ColumnOf(func(r *planRec) *planRec { return r }) },
		"nil":              func() { userdata.ColumnOf(func(*planRec) *string { return nil }) },
		"another variable": func() { userdata.ColumnOf(func(*planRec) *string { return &elsewhere }) },
		"a column's inside": func() {
			userdata.ColumnOf(func(r *wideRec[string]) *byte { return &r.Digest[0] })
		},
	} {
		func() {
			defer func() {
				if err, ok := recover().(error); !ok || !errors.Is(err, userdata.ErrInvalid) {
					t.Errorf("%s: got %v, want a panic with ErrInvalid", name, err)
				}
			}()
			fn()
		}()
	}
	if got := planDue.Name(); got != "due" {
		t.Errorf("got name %q, want due", got)
	}
}

// TestZeroValues: what was not made as it should be is ErrInvalid or harmless.
func TestZeroValues(t *testing.T) {
	t.Parallel()
	db, s, _ := planDB(t, 3)
	ctx := t.Context()
	q := planTable.Select(s)
	var zero userdata.Column[planRec, string]
	if zero.Name() != "" {
		t.Errorf("got name %q, want none", zero.Name())
	}
	stranger := userdata.NewTable[planRec]("stranger")
	invalid := map[string]userdata.Query[planRec]{
		"zero query":       {},
		"refined":          userdata.Query[planRec]{}.Where(planN.Eq(1)).OrderBy(planN.Asc()).Limit(1).Offset(1).Untracked(),
		"eq":               q.Where(zero.Eq("x")),
		"in":               q.Where(zero.In("x")),
		"prefix":           q.Where(userdata.HasPrefix(zero, "x")),
		"inside":           q.Where(userdata.Not(userdata.Or(planN.Eq(1), userdata.And(zero.Lt("x"))))),
		"order":            q.OrderBy(zero.Desc()),
		"zero order":       q.OrderBy(userdata.Order[planRec]{}),
		"nil match":        q.Where(userdata.Match[planRec](nil)),
		"limit":            q.Limit(-1).Limit(5),
		"offset":           q.Offset(-1),
		"undeclared":       stranger.Select(s),
		"unordered lt":     q.Where(planTags.Lt(nil)),
		"unordered range":  q.Where(planTags.Between(nil, nil)),
		"unordered sorted": q.OrderBy(planTags.Asc()),
	}
	for name, q := range invalid {
		_, all := q.All(ctx)
		_, count := q.Count(ctx)
		_, explain := q.Explain()
		_, update := q.Update(ctx, planN.Set(1))
		_, del := q.Delete(ctx)
		_, first := q.First(ctx)
		errs := []error{all, count, explain, update, del, first}
		for _, err := range q.Rows(ctx) {
			errs = append(errs, err)
		}
		if len(errs) != 7 {
			t.Errorf("%s: rows gave %d errors, want 1", name, len(errs)-6)
		}
		for i, err := range errs {
			if !errors.Is(err, userdata.ErrInvalid) || !strings.HasPrefix(err.Error(), "userdata: ") {
				t.Errorf("%s, verb %d: got %v, want ErrInvalid", name, i, err)
			}
		}
	}
	for name, set := range map[string][]userdata.Assignment[planRec]{"none": nil, "zero": {{}}, "of a zero column": {planN.Set(1), zero.Set("x")}} {
		if _, err := q.Update(ctx, set...); !errors.Is(err, userdata.ErrInvalid) {
			t.Errorf("update, assignment %s: got %v, want ErrInvalid", name, err)
		}
	}
	var nothing userdata.Predicate[planRec]
	if n, err := q.Where(nothing, userdata.And[planRec](), userdata.Not(userdata.Or[planRec]())).Count(ctx); n != 3 || err != nil {
		t.Errorf("zero predicate: got %d %v, want 3", n, err)
	}
	if got := nothing.String(); got != "true" {
		t.Errorf("got %q, want true", got)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := q.All(ctx); !errors.Is(err, userdata.ErrClosed) {
		t.Errorf("closed: got %v, want ErrClosed", err)
	}
}

// TestQueriesAreValues keeps a query, refines it twice, and changes what it was
// made of.
func TestQueriesAreValues(t *testing.T) {
	t.Parallel()
	_, s, _ := planDB(t, 21)
	ctx := t.Context()
	count := func(q userdata.Query[planRec]) int {
		n, err := q.Count(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	base := planTable.Select(s).Where(planN.Lt(3)).Where(planN.Ge(0)).Where(planN.Ge(-1))
	one, two := base.Where(planN.Eq(1)), base.Where(planN.Eq(2), planID.Lt("k005"))
	if a, b, c := count(base), count(one), count(two); a != 9 || b != 3 || c != 1 {
		t.Errorf("got %d, %d, %d, want 9, 3, 1", a, b, c)
	}
	limited := base.Limit(2).OrderBy(planN.Desc())
	if a, b, c := count(limited), count(limited.Limit(4)), count(base.Offset(8)); a != 2 || b != 4 || c != 1 {
		t.Errorf("got %d, %d, %d, want 2, 4, 1", a, b, c)
	}
	r, err := limited.OrderBy().First(ctx)
	if err != nil || r.ID != "k000" {
		t.Errorf("orders replaced by none: got %v %v, want k000", r, err)
	}
	keys := []string{"k000", "k001"}
	tags := []string{"x"}
	in, set, eq := planID.In(keys...), planTags.Set(tags), planTags.Eq(tags)
	predicates := []userdata.Predicate[planRec]{in}
	where, and := planTable.Select(s).Where(predicates...), userdata.And(predicates...)
	keys[0], tags[0], predicates[0] = "none", "y", planN.Eq(100)
	if n, err := where.Update(ctx, set); n != 2 || err != nil {
		t.Errorf("update: got %d %v, want 2", n, err)
	}
	if a, b := count(planTable.Select(s).Where(eq)), count(planTable.Select(s).Where(and)); a != 2 || b != 2 {
		t.Errorf("got %d, %d, want 2, 2", a, b)
	}
	first, _ := planTable.Get(ctx, s, "k000")
	first.Tags[0] = "mine"
	second, _ := planTable.Get(ctx, s, "k001")
	if second.Tags[0] != "x" {
		t.Error("two updated records share a slice")
	}
}

// TestNullAndOrderlessColumns asks both the store and the session.
func TestNullAndOrderlessColumns(t *testing.T) {
	t.Parallel()
	db, _, _ := planDB(t, 0)
	ctx := t.Context()
	s := db.NewSession()
	if err := s.Add(&planRec{ID: "a"}, &planRec{ID: "b", Due: new("")}, &planRec{ID: "c", Due: new("m"), Tags: []string{}}, &planRec{ID: "d", Due: new("z"), Tags: []string{"x"}}); err != nil {
		t.Fatal(err)
	}
	check := func(what string, s *userdata.Session) {
		q := planTable.Select(s).Untracked()
		for _, test := range []struct {
			p    userdata.Predicate[planRec]
			want string
		}{
			{planDue.Eq(nil), "a"}, {planDue.Ne(nil), "bcd"}, {planDue.Ne(new("m")), "abd"}, {planDue.In(nil, new("z")), "ad"},
			{planDue.Lt(new("m")), "b"}, {planDue.Le(new("m")), "bc"}, {planDue.Gt(new("")), "cd"}, {planDue.Ge(new("")), "bcd"},
			{planDue.Lt(nil), ""}, {planDue.Le(nil), ""}, {planDue.Gt(nil), ""}, {planDue.Ge(nil), ""},
			{planDue.Between(nil, new("z")), ""}, {userdata.Not(planDue.Lt(new("m"))), "acd"},
			{planTags.Eq(nil), "ab"}, {planTags.Eq([]string{}), "c"}, {planTags.Ne([]string{"x"}), "abc"}, {planTags.In([]string{"x"}, nil), "abd"},
			{planTags.Eq([]string{"\xff"}), ""}, {planTags.Ne([]string{"\xff"}), "abcd"}, {planTitle.Eq("\xff"), ""},
		} {
			found, err := q.Where(test.p).All(ctx)
			got := ""
			for _, r := range found {
				got += r.ID
			}
			if got != test.want || err != nil {
				t.Errorf("%s, %s: got %q %v, want %q", what, test.p, got, err, test.want)
			}
		}
		for _, test := range []struct {
			o    userdata.Order[planRec]
			want string
		}{{planDue.Asc(), "abcd"}, {planDue.Desc(), "dcba"}} {
			found, err := q.OrderBy(test.o).All(ctx)
			got := ""
			for _, r := range found {
				got += r.ID
			}
			if got != test.want || err != nil {
				t.Errorf("%s: got order %q %v, want %q", what, got, err, test.want)
			}
		}
	}
	check("pending", s)
	if err := s.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	check("tracked", s)
	check("stored", db.NewSession())
}

func TestPredicateString(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("X", 3600))
	type rec = wideRec[[]byte]
	data := userdata.ColumnOf(func(r *rec) *[]byte { return &r.Bytes })
	digest := userdata.ColumnOf(func(r *rec) *[2]byte { return &r.Digest })
	when := userdata.ColumnOf(func(r *rec) *time.Time { return &r.Time })
	float := userdata.ColumnOf(func(r *rec) *float64 { return &r.Float })
	flag := userdata.ColumnOf(func(r *rec) *bool { return &r.Flag })
	for want, p := range map[string]userdata.Predicate[rec]{
		"bytes = 0aff":                      data.Eq([]byte{10, 255}),
		"digest != 0aff":                    digest.Ne([2]byte{10, 255}),
		"time >= 2026-01-02T03:04:05+01:00": when.Ge(at),
		"float < 1.5 and flag = true":       userdata.And(float.Lt(1.5), flag.Eq(true)),
		`bytes begins with "\n"`:            userdata.HasPrefix(data, []byte("\n")),
		"float > 1 or (true)":               userdata.Or(float.Gt(1), userdata.Predicate[rec]{}),
		"false":                             userdata.Or[rec](),
	} {
		if got := p.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestOneAndFirst(t *testing.T) {
	t.Parallel()
	_, s, _ := planDB(t, 3)
	ctx := t.Context()
	q := planTable.Select(s)
	for _, test := range []struct {
		name       string
		q          userdata.Query[planRec]
		one, first string
		oneErr     error
		firstErr   error
	}{
		{"several", q, "", "k000", userdata.ErrMultiple, nil},
		{"one", q.Where(planID.Eq("k001")), "k001", "k001", nil, nil},
		{"none", q.Where(planID.Eq("x")), "", "", userdata.ErrNotFound, userdata.ErrNotFound},
		{"limited to one", q.Limit(1).Offset(2), "k002", "k002", nil, nil},
		{"limited to two", q.Limit(2), "", "k000", userdata.ErrMultiple, nil},
		{"limited to none", q.Limit(0), "", "", userdata.ErrNotFound, userdata.ErrNotFound},
		{"last", q.OrderBy(planID.Desc()).Limit(100), "", "k002", userdata.ErrMultiple, nil},
	} {
		one, err := test.q.One(ctx)
		if !errors.Is(err, test.oneErr) || (one != nil) != (test.one != "") || one != nil && one.ID != test.one {
			t.Errorf("%s: one: got %v %v, want %q %v", test.name, one, err, test.one, test.oneErr)
		}
		first, err := test.q.First(ctx)
		if !errors.Is(err, test.firstErr) || (first != nil) != (test.first != "") || first != nil && first.ID != test.first {
			t.Errorf("%s: first: got %v %v, want %q %v", test.name, first, err, test.first, test.firstErr)
		}
	}
}

// TestUntrackedAnswersAreCopies, also of what the session tracks.
func TestUntrackedAnswersAreCopies(t *testing.T) {
	t.Parallel()
	_, s, _ := planDB(t, 3)
	ctx := t.Context()
	mine, err := planTable.Get(ctx, s, "k001")
	if err != nil {
		t.Fatal(err)
	}
	mine.Tags = []string{"mine"}
	found, err := planTable.Select(s).Untracked().All(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range found {
		if s.State(r) != userdata.Transient || r == mine {
			t.Errorf("%+v is %v, want a transient copy", *r, s.State(r))
		}
	}
	found[1].Tags[0] = "changed"
	if mine.Tags[0] != "mine" {
		t.Error("a copy shares a slice with the session's record")
	}
	again, err := planTable.Select(s).All(ctx)
	if err != nil || again[1] != mine || again[0] == found[0] {
		t.Errorf("got %v %v, want the session's own pointer", again, err)
	}
}

// TestStaleRecordsOfAnOldEpoch: what was deleted or put back by a savepoint when
// a query looked at all records is looked at by the next.
func TestStaleRecordsOfAnOldEpoch(t *testing.T) {
	t.Parallel()
	db, s, _ := planDB(t, 2)
	ctx := t.Context()
	found, err := planTable.Select(s).All(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.Rollback()
	transact(t, db, func(o *userdata.Session) error {
		_, err := planTable.Select(o).Update(ctx, planTitle.Set("theirs"))
		return err
	})
	if err := s.Delete(found[0]); err != nil {
		t.Fatal(err)
	}
	failure := errors.New("failure")
	err = s.Savepoint(func() error {
		if n, err := planTable.Select(s).Count(ctx); n != 1 || err != nil {
			t.Errorf("got %d %v, want 1", n, err)
		}
		return failure
	})
	if err != failure {
		t.Fatal(err)
	}
	if err := s.Add(found[0]); err != nil { // takes the Delete back
		t.Fatal(err)
	}
	if n, err := planTable.Select(s).Where(planTitle.Eq("theirs")).Count(ctx); n != 2 || err != nil {
		t.Errorf("got %d %v, want 2: records are brought up to date by a query", n, err)
	}
}

// A pointer to a nil []byte is one to an empty one, in memory as in the store.
func TestPointerToNilBytesComparesAsStored(t *testing.T) {
	type page struct {
		ID   string  `userdata:"id,key"`
		Hash *[]byte `userdata:"hash"`
	}
	pages := userdata.NewTable[page]("pages")
	hash := userdata.ColumnOf(func(p *page) **[]byte { return &p.Hash })
	db := openHooked(t, userdata.NewMemStore(), pages)
	putAll(t, db, &page{"stored", new([]byte)})
	s := db.NewSession()
	ok(t, s.Add(&page{"pending", new([]byte)}))
	empty := []byte{}
	for name, q := range map[string]userdata.Predicate[page]{
		"= empty":             hash.Eq(&empty),
		"= pointer to nil":    hash.Eq(new([]byte)),
		"not < empty":         userdata.Not(hash.Lt(&empty)),
		">= pointer to nil":   hash.Ge(new([]byte)),
		"in pointer to nil":   hash.In(new([]byte)),
		"not != empty":        userdata.Not(hash.Ne(&empty)),
		"<= pointer to empty": hash.Le(&empty),
	} {
		if n, err := pages.Select(s).Where(q).Count(t.Context()); n != 2 || err != nil {
			t.Errorf("%s: got %d, %v, want 2, the stored and the pending one", name, n, err)
		}
	}
}
