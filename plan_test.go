package userdata_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

// planRec is a record with a text key.
type planRec struct {
	ID    string   `userdata:"id,key"`
	Title string   `userdata:"title"`
	N     int      `userdata:"n"`
	Due   *string  `userdata:"due"`
	Tags  []string `userdata:"tags"`
}

// intRec is a record with an integer key.
type intRec struct {
	ID    int64    `userdata:"id,key"`
	Big   uint8    `userdata:"big"`
	Float *float32 `userdata:"float"`
}

var (
	planTable = userdata.NewTable[planRec]("plans")
	planID    = userdata.ColumnOf(func(r *planRec) *string { return &r.ID })
	planTitle = userdata.ColumnOf(func(r *planRec) *string { return &r.Title })
	planN     = userdata.ColumnOf(func(r *planRec) *int { return &r.N })
	planDue   = userdata.ColumnOf(func(r *planRec) **string { return &r.Due })
	planTags  = userdata.ColumnOf(func(r *planRec) *[]string { return &r.Tags })
	intTable  = userdata.NewTable[intRec]("ints")
	intID     = userdata.ColumnOf(func(r *intRec) *int64 { return &r.ID })
	intBig    = userdata.ColumnOf(func(r *intRec) *uint8 { return &r.Big })
)

// countingStore counts what is read through it.
type countingStore struct {
	userdata.Store
	open, gets, scanned int
}

func (c *countingStore) View(ctx context.Context, fn func(userdata.Snapshot) error) error {
	return c.Store.View(ctx, func(snap userdata.Snapshot) error {
		c.open++
		defer func() { c.open-- }()
		return fn(countingSnapshot{snap, c})
	})
}

type countingSnapshot struct {
	userdata.Snapshot
	store *countingStore
}

func (c countingSnapshot) Get(bucket string, key []byte) ([]byte, error) {
	c.store.gets++
	return c.Snapshot.Get(bucket, key)
}

func (c countingSnapshot) Scan(bucket string, r userdata.Range, fn func(key, value []byte) bool) error {
	return c.Snapshot.Scan(bucket, r, func(key, value []byte) bool {
		c.store.scanned++
		return fn(key, value)
	})
}

// planDB returns a database with n records "k000" and so on in a counting
// store, and a session.
func planDB(t *testing.T, n int) (*userdata.DB, *userdata.Session, *countingStore) {
	t.Helper()
	store := &countingStore{Store: userdata.NewMemStore()}
	db := openOn(t, store, planTable, intTable)
	t.Cleanup(func() {
		if err := userdata.CheckRecords(context.Background(), db); err != nil && !errors.Is(err, userdata.ErrClosed) {
			t.Error(err)
		}
		db.Close()
	})
	s := db.NewSession()
	for i := range n {
		r := &planRec{ID: planKey(i), N: i % 7, Title: fmt.Sprint("t", i%3)}
		if err := s.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	store.gets, store.scanned = 0, 0
	return db, db.NewSession(), store
}

func planKey(i int) string { return fmt.Sprintf("k%03d", i) }

func TestExplain(t *testing.T) {
	t.Parallel()
	_, s, store := planDB(t, 3)
	all := planTable.Select(s)
	ints := intTable.Select(s)
	explain := func(q interface {
		Explain() (userdata.Plan, error)
	}) userdata.Plan {
		p, err := q.Explain()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, test := range []struct {
		name string
		got  userdata.Plan
		want userdata.Plan
		text string
	}{
		{"all", explain(all), userdata.Plan{Table: "plans", Path: "full scan", Limit: -1}, `plans: full scan`},
		{"key lookup", explain(all.Where(planID.Eq("a"))),
			userdata.Plan{Table: "plans", Path: "key lookup", Keys: []string{`id = "a"`}, Limit: -1}, `plans: key lookup id = "a"`},
		{"keys, sorted and once", explain(all.Where(planID.In("b", "a", "b"))),
			userdata.Plan{Table: "plans", Path: "key lookup", Keys: []string{`id = "a"`, `id = "b"`}, Limit: -1}, `plans: key lookup id = "a", id = "b"`},
		{"range", explain(all.Where(planID.Gt("a"), planID.Le("b"))),
			userdata.Plan{Table: "plans", Path: "key range", Keys: []string{`id > "a" and id <= "b"`}, Limit: -1}, `plans: key range id > "a" and id <= "b"`},
		{"between", explain(all.Where(planID.Between("a", "b"))),
			userdata.Plan{Table: "plans", Path: "key range", Keys: []string{`id >= "a" and id <= "b"`}, Limit: -1}, `plans: key range id >= "a" and id <= "b"`},
		{"prefix", explain(all.Where(userdata.HasPrefix(planID, "ab"))),
			userdata.Plan{Table: "plans", Path: "key range", Keys: []string{`id >= "ab" and id < "ac"`}, Limit: -1}, `plans: key range id >= "ab" and id < "ac"`},
		{"prefix without end", explain(all.Where(userdata.HasPrefix(planID, "\xff"))),
			userdata.Plan{Table: "plans", Path: "key range", Keys: []string{`id >= "\xff"`}, Limit: -1}, `plans: key range id >= "\xff"`},
		{"empty prefix", explain(all.Where(userdata.HasPrefix(planID, ""))), userdata.Plan{Table: "plans", Path: "full scan", Limit: -1}, `plans: full scan`},
		{"or of ranges", explain(all.Where(userdata.Or(planID.Lt("b"), planID.Ge("x"), planID.Eq("a")))),
			userdata.Plan{Table: "plans", Path: "key range", Keys: []string{`id < "b"`, `id >= "x"`}, Limit: -1}, `plans: key range id < "b", id >= "x"`},
		{"intersection", explain(all.Where(planID.Ge("a")).Where(planID.In("0", "a", "b"), planID.Lt("b"))),
			userdata.Plan{Table: "plans", Path: "key lookup", Keys: []string{`id = "a"`}, Limit: -1}, `plans: key lookup id = "a"`},
		{"nothing", explain(all.Where(planID.Gt("b"), planID.Lt("a"))), userdata.Plan{Table: "plans", Path: "nothing", Limit: -1}, `plans: nothing`},
		{"no values", explain(all.Where(planID.In())), userdata.Plan{Table: "plans", Path: "nothing", Limit: -1}, `plans: nothing`},
		{"no alternatives", explain(all.Where(userdata.Or[planRec]())), userdata.Plan{Table: "plans", Path: "nothing", Limit: -1}, `plans: nothing`},
		{"no key can be empty", explain(all.Where(planID.Eq(""))), userdata.Plan{Table: "plans", Path: "nothing", Limit: -1}, `plans: nothing`},
		{"bound that is no key", explain(all.Where(planID.Lt(""))),
			userdata.Plan{Table: "plans", Path: "nothing", Limit: -1}, `plans: nothing`},
		{"limit of none", explain(all.Where(planID.Ge("a")).Limit(0)), userdata.Plan{Table: "plans", Path: "nothing"}, `plans: nothing; limit 0`},
		{"key and more", explain(all.Where(planID.Ge("a"), planN.Eq(1))),
			userdata.Plan{Table: "plans", Path: "key range", Keys: []string{`id >= "a"`}, Filter: `id >= "a" and n = 1`, Limit: -1},
			`plans: key range id >= "a"; filter id >= "a" and n = 1`},
		{"key or more", explain(all.Where(userdata.Or(planID.Eq("a"), planN.Eq(1)))),
			userdata.Plan{Table: "plans", Path: "full scan", Filter: `id = "a" or n = 1`, Limit: -1}, `plans: full scan; filter id = "a" or n = 1`},
		{"not a key", explain(all.Where(planID.Ne("a"))),
			userdata.Plan{Table: "plans", Path: "full scan", Filter: `id != "a"`, Limit: -1}, `plans: full scan; filter id != "a"`},
		{"match", explain(all.Where(planID.Eq("a"), userdata.Match(func(*planRec) bool { return true }))),
			userdata.Plan{Table: "plans", Path: "key lookup", Keys: []string{`id = "a"`}, Filter: `id = "a" and match(func)`, Limit: -1},
			`plans: key lookup id = "a"; filter id = "a" and match(func)`},
		{"zero predicate", explain(all.Where(userdata.Predicate[planRec]{})), userdata.Plan{Table: "plans", Path: "full scan", Limit: -1}, `plans: full scan`},
		{"nested", explain(all.Where(planTitle.In("x", "y"), userdata.Not(userdata.Or(planDue.Eq(nil), planDue.Lt(new("z")))))),
			userdata.Plan{Table: "plans", Path: "full scan", Filter: `title in ("x", "y") and not (due = null or due < "z")`, Limit: -1},
			`plans: full scan; filter title in ("x", "y") and not (due = null or due < "z")`},
		{"parentheses", explain(all.Where(userdata.Or(userdata.And(planN.Eq(1), planN.Eq(2)), userdata.HasPrefix(planTitle, "x")))),
			userdata.Plan{Table: "plans", Path: "full scan", Filter: `(n = 1 and n = 2) or title begins with "x"`, Limit: -1},
			`plans: full scan; filter (n = 1 and n = 2) or title begins with "x"`},
		{"sorted", explain(all.OrderBy(planTitle.Desc(), planN.Asc()).Limit(20).Offset(3)),
			userdata.Plan{Table: "plans", Path: "full scan", Sort: "title desc, n, id", Limit: 20, Offset: 3},
			`plans: full scan; sort by title desc, n, id; limit 20; offset 3`},
		{"in order", explain(all.OrderBy(planID.Asc(), planN.Desc())), userdata.Plan{Table: "plans", Path: "full scan", Limit: -1}, `plans: full scan`},
		{"in reverse", explain(all.Where(planID.Lt("c")).OrderBy(planID.Desc())),
			userdata.Plan{Table: "plans", Path: "key range", Keys: []string{`id < "c"`}, Reverse: true, Limit: -1}, `plans: key range id < "c" in reverse`},
		{"integer keys", explain(ints.Where(intID.Ge(-256), intID.Lt(256))),
			userdata.Plan{Table: "ints", Path: "key range", Keys: []string{`id >= -256 and id < 256`}, Limit: -1}, `ints: key range id >= -256 and id < 256`},
		{"integer bounds beside", explain(ints.Where(intID.Gt(-256), intID.Le(0))),
			userdata.Plan{Table: "ints", Path: "key range", Keys: []string{`id > -256 and id <= 0`}, Limit: -1}, `ints: key range id > -256 and id <= 0`},
		{"integer neighbours", explain(ints.Where(intID.In(1, 2))),
			userdata.Plan{Table: "ints", Path: "key lookup", Keys: []string{`id = 1`, `id = 2`}, Limit: -1}, `ints: key lookup id = 1, id = 2`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if d := cmp.Diff(test.want, test.got); d != "" {
				t.Errorf("plan: -want +got\n%s", d)
			}
			if got := test.got.String(); got != test.text {
				t.Errorf("got %s, want %s", got, test.text)
			}
		})
	}
	if store.gets+store.scanned > 0 {
		t.Errorf("explaining read %d keys", store.gets+store.scanned)
	}
	s.Close()
	if _, err := all.Explain(); !errors.Is(err, userdata.ErrClosed) {
		t.Errorf("closed session: got %v, want ErrClosed", err)
	}
}

// TestReadsNoMoreThanItMust counts what the store is asked for.
func TestReadsNoMoreThanItMust(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name          string
		run           func(ctx context.Context, q userdata.Query[planRec]) (int, error)
		gets, scanned int
		found         int
	}{
		{"key", all(planID.Eq("k010")), 1, 0, 1},
		{"keys", all(planID.In("k010", "k020", "none")), 3, 0, 2},
		{"range", all(planID.Ge("k010"), planID.Lt("k020")), 0, 10, 10},
		{"range with a filter", all(planID.Ge("k010"), planID.Lt("k020"), planN.Eq(0)), 0, 10, 1},
		{"prefix", all(userdata.HasPrefix(planID, "k01")), 0, 10, 10},
		{"nothing", all(planID.Lt("a"), planID.Gt("b")), 0, 0, 0},
		{"or", all(userdata.Or(planID.Lt("k003"), planID.Ge("k097"))), 0, 6, 6},
		{"limit", func(ctx context.Context, q userdata.Query[planRec]) (int, error) {
			found, err := q.Limit(5).Offset(2).All(ctx)
			return len(found), err
		}, 0, 7, 5},
		{"limit in reverse", func(ctx context.Context, q userdata.Query[planRec]) (int, error) {
			found, err := q.OrderBy(planID.Desc()).Limit(5).All(ctx)
			return len(found), err
		}, 0, 5, 5},
		{"limit of none", func(ctx context.Context, q userdata.Query[planRec]) (int, error) {
			found, err := q.Limit(0).Offset(2).All(ctx)
			return len(found), err
		}, 0, 0, 0},
		{"count with a limit", func(ctx context.Context, q userdata.Query[planRec]) (int, error) { return q.Limit(5).Count(ctx) }, 0, 5, 5},
		{"exists", func(ctx context.Context, q userdata.Query[planRec]) (int, error) {
			found, err := q.Exists(ctx)
			return btoi(found), err
		}, 0, 1, 1},
		{"first", func(ctx context.Context, q userdata.Query[planRec]) (int, error) {
			_, err := q.First(ctx)
			return 1, err
		}, 0, 1, 1},
		{"one of many", func(ctx context.Context, q userdata.Query[planRec]) (int, error) {
			if _, err := q.One(ctx); !errors.Is(err, userdata.ErrMultiple) {
				return 0, err
			}
			return 2, nil
		}, 0, 2, 2},
		{"rows, broken off", func(ctx context.Context, q userdata.Query[planRec]) (int, error) {
			for _, err := range q.Rows(ctx) {
				return 1, err
			}
			return 0, nil
		}, 0, 64, 1},
		{"rows with a limit", func(ctx context.Context, q userdata.Query[planRec]) (int, error) {
			n := 0
			for range q.Limit(3).Offset(4).Rows(ctx) {
				n++
			}
			return n, nil
		}, 0, 7, 3},
		{"rows with a match", func(ctx context.Context, q userdata.Query[planRec]) (int, error) {
			n := 0
			for range q.Where(userdata.Match(func(r *planRec) bool { return r.N == 1 && r.ID > "k002" })).Rows(ctx) {
				n++
			}
			return n, nil
		}, 0, 100, 14},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, s, store := planDB(t, 100)
			found, err := test.run(t.Context(), planTable.Select(s))
			if found != test.found || err != nil {
				t.Fatalf("got %d %v, want %d", found, err, test.found)
			}
			if store.gets != test.gets || store.scanned != test.scanned {
				t.Errorf("got %d gets and %d scanned, want %d and %d", store.gets, store.scanned, test.gets, test.scanned)
			}
		})
	}
}

func all(where ...userdata.Predicate[planRec]) func(ctx context.Context, q userdata.Query[planRec]) (int, error) {
	return func(ctx context.Context, q userdata.Query[planRec]) (int, error) {
		found, err := q.Where(where...).All(ctx)
		return len(found), err
	}
}

func TestLimitedSortKeepsWhatItNeeds(t *testing.T) {
	t.Parallel()
	_, s, _ := planDB(t, 10000)
	q := planTable.Select(s).OrderBy(planN.Desc()).Limit(5).Offset(1)
	if held, err := userdata.Held(t.Context(), q); held > 2048 || err != nil {
		t.Errorf("got %d %v, want 2048 at the most", held, err)
	}
	found, err := q.All(t.Context())
	if err != nil || len(found) != 5 || found[0].ID != planKey(9988) {
		t.Errorf("got %v %v, want 5 from %s on", found, err, planKey(9988))
	}
	if found, err = q.Limit(math.MaxInt).Offset(math.MaxInt).All(t.Context()); len(found) != 0 || err != nil {
		t.Errorf("got %d %v, want none", len(found), err)
	}
}

// TestMatchRunsWithoutATransaction lets the function see whether a View is open.
func TestMatchRunsWithoutATransaction(t *testing.T) {
	t.Parallel()
	db, s, store := planDB(t, 200)
	ctx := t.Context()
	calls := 0
	q := planTable.Select(s).Where(planN.Eq(0), userdata.Match(func(r *planRec) bool {
		calls++
		if store.open > 0 {
			t.Fatalf("a View is open while Match looks at %s", r.ID)
		}
		if calls == 1 {
			err := db.Transact(ctx, func(s *userdata.Session) error { return s.Add(&planRec{ID: "new", N: 1}) })
			if err != nil {
				t.Fatal(err)
			}
		}
		if r.N != 0 {
			t.Fatalf("Match is asked about %+v, which the other condition keeps out", *r)
		}
		if _, err := planTable.Get(ctx, s, "k000"); !errors.Is(err, userdata.ErrConcurrentUse) {
			t.Fatalf("use of the session in a Match: got %v, want ErrConcurrentUse", err)
		}
		return true
	}))
	for _, n := range []int{29} {
		if got, err := q.Count(ctx); got != n || err != nil {
			t.Errorf("count: got %d %v, want %d", got, err, n)
		}
		if got, err := q.All(ctx); len(got) != n || err != nil {
			t.Errorf("all: got %d %v, want %d", len(got), err, n)
		}
		got := 0
		for _, err := range q.Rows(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			got++
		}
		if got != n {
			t.Errorf("rows: got %d, want %d", got, n)
		}
		if got, err := q.Update(ctx, planTitle.Set("x")); got != n || err != nil {
			t.Errorf("update: got %d %v, want %d", got, err, n)
		}
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic of a Match did not go on")
			}
		}()
		planTable.Select(s).Where(userdata.Match(func(*planRec) bool { panic("match") })).All(ctx)
	}()
	if n, err := planTable.Select(s).Count(ctx); n != 201 || err != nil {
		t.Errorf("after the panic: got %d %v, want 201", n, err)
	}
}

// cancelling is a context that ends when it has been asked some times.
type cancelling struct {
	context.Context
	left int
}

func (c *cancelling) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestCancelledWhileReading(t *testing.T) {
	t.Parallel()
	_, s, store := planDB(t, 2000)
	many := make([]string, 2000)
	for i := range many {
		many[i] = fmt.Sprint("absent", i)
	}
	for name, q := range map[string]userdata.Query[planRec]{
		"scan": planTable.Select(s).Where(planN.Eq(100)), "lookups": planTable.Select(s).Where(planID.In(many...)),
	} {
		store.gets, store.scanned = 0, 0
		_, err := q.All(&cancelling{t.Context(), 2})
		var re *userdata.RecordError
		if !errors.Is(err, context.Canceled) || !errors.As(err, &re) || re.Table != "plans" {
			t.Errorf("%s: got %v, want a RecordError that is Canceled", name, err)
		}
		if n := store.gets + store.scanned; n == 0 || n > 600 {
			t.Errorf("%s: got %d read, want some hundred", name, n)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := planTable.Select(s).Count(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("count: got %v, want Canceled", err)
	}
	err := func() error {
		for _, err := range planTable.Select(s).Rows(ctx) {
			return err
		}
		return nil
	}()
	if !errors.Is(err, context.Canceled) {
		t.Errorf("rows: got %v, want Canceled", err)
	}
}

// TestCorruptRecordMetByAQuery wants errors that name record and column.
func TestCorruptRecordMetByAQuery(t *testing.T) {
	t.Parallel()
	store := userdata.NewMemStore()
	db := openOn(t, store, planTable, intTable)
	ctx := t.Context()
	s := db.NewSession()
	if err := s.Add(&intRec{ID: 1}, &intRec{ID: 2, Big: 200}, &intRec{ID: 3}); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	key, value, err := userdata.Encode(intTable, &intRec{ID: 2, Big: 200})
	if err != nil {
		t.Fatal(err)
	}
	put := func(value []byte) {
		if err := store.Apply(ctx, &userdata.ChangeSet{Changes: []userdata.Change{{Bucket: "ints", Key: key, Value: value}}}); err != nil {
			t.Fatal(err)
		}
	}
	wrongType := slices.Clone(value[:len(value)-6])
	at := slices.Index(wrongType, 0xcc) // the number 200: a byte follows
	wrongType = slices.Concat(wrongType[:at], []byte{0xcd, 0x01, 0x00}, wrongType[at+2:])
	flipped := slices.Clone(value)
	flipped[1] ^= 1
	for _, test := range []struct {
		name, column string
		value        []byte
	}{{"a bit", "", flipped}, {"256 in a uint8", "big", userdata.Seal("ints", key, wrongType)}} {
		put(test.value)
		fresh := db.NewSession()
		q := intTable.Select(fresh)
		queries := map[string]func() error{
			"all":    func() error { _, err := q.All(ctx); return err },
			"where":  func() error { _, err := q.Where(intBig.Gt(1)).Count(ctx); return err },
			"order":  func() error { _, err := q.OrderBy(intBig.Asc()).All(ctx); return err },
			"update": func() error { _, err := q.Update(ctx, intBig.Set(1)); return err },
			"match": func() error {
				_, err := q.Where(userdata.Match(func(*intRec) bool { return true })).Count(ctx)
				return err
			},
			"rows": func() error {
				for _, err := range q.Rows(ctx) {
					if err != nil {
						return err
					}
				}
				return nil
			},
		}
		for name, run := range queries {
			err := run()
			var re *userdata.RecordError
			if !errors.Is(err, userdata.ErrCorrupt) || !errors.As(err, &re) || re.Table != "ints" || re.Key != any(int64(2)) || re.Column != test.column {
				t.Errorf("%s, %s: got %v, want ErrCorrupt of ints 2 %s", test.name, name, err, test.column)
			}
		}
		if n := len(slices.Collect(fresh.Changes())); n != 0 {
			t.Errorf("%s: got %d changes, want none after failed updates", test.name, n)
		}
		if n, err := q.Where(intID.Ne(2), intID.Lt(2)).Count(ctx); n != 1 || err != nil {
			t.Errorf("%s, beside it: got %d %v, want 1", test.name, n, err)
		}
	}
	put(value)
}
