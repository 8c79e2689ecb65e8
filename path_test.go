package userdata_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

// A readCounter counts what is read from each bucket.
type readCounter struct {
	userdata.Store
	reads map[string]int // entries of scans and values of gets, by bucket
}

func (s *readCounter) View(ctx context.Context, fn func(userdata.Snapshot) error) error {
	return s.Store.View(ctx, func(snap userdata.Snapshot) error { return fn(readCounterSnapshot{snap, s.reads}) })
}

type readCounterSnapshot struct {
	userdata.Snapshot
	reads map[string]int
}

func (s readCounterSnapshot) Get(bucket string, key []byte) ([]byte, error) {
	s.reads[bucket]++
	return s.Snapshot.Get(bucket, key)
}

func (s readCounterSnapshot) Scan(bucket string, r userdata.Range, fn func(key, value []byte) bool) error {
	return s.Snapshot.Scan(bucket, r, func(key, value []byte) bool {
		s.reads[bucket]++
		return fn(key, value)
	})
}

// articleDB returns a database of n articles, and what is read from it.
func articleDB(t testing.TB, n int, opts *userdata.Options) (*userdata.DB, map[string]int) {
	t.Helper()
	store := &readCounter{userdata.NewMemStore(), map[string]int{}}
	db, err := userdata.OpenStore(t.Context(), store, opts, articles)
	if err != nil {
		t.Fatal(err)
	}
	s := db.NewSession()
	for i := range n {
		if err := s.Add(articleNumber(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	clear(store.reads)
	return db, store.reads
}

var articleStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func articleNumber(i int) *article {
	return &article{
		ID: fmt.Sprintf("a%04d", i), Author: string(rune('a' + i%5)), Updated: articleStart.Add(time.Duration(i) * time.Hour),
		Slug: ptr(fmt.Sprint("slug", i)), Day: i % 10, Page: i / 10, Tags: []string{"all", fmt.Sprint("tag", i%7)}, Words: i % 3,
	}
}

func hours(n int) time.Time { return articleStart.Add(time.Duration(n) * time.Hour) }

type articleQuery = userdata.Query[article]

func TestPlans(t *testing.T) {
	t.Parallel()
	db, _ := articleDB(t, 0, nil)
	q := articles.Select(db.NewSession())
	or := func(p ...userdata.Predicate[article]) userdata.Predicate[article] { return userdata.Or(p...) }
	tests := []struct {
		name string
		q    articleQuery
		want string
	}{
		{"nothing asked", q, `articles: full scan`},
		{"key", q.Where(articleID.Eq("a")), `articles: key lookup id = "a"`},
		{"keys", q.Where(articleID.In("b", "a")), `articles: key lookup id = "a", id = "b"`},
		{"key range", q.Where(articleID.Ge("a"), articleID.Lt("b")), `articles: key range id >= "a" and id < "b"`},
		{"equality", q.Where(articleDay.Eq(3)), `articles: index lookup day (day = 3)`},
		{"in", q.Where(articleDay.In(3, 4, 9)), `articles: index lookup day (day in (3, 4, 9)); sort by id`},
		{"in one", q.Where(articleDay.In(3)), `articles: index lookup day (day in (3))`},
		{"in none", q.Where(articleDay.In()), `articles: nothing`},
		{"range", q.Where(articleDay.Gt(3), articleDay.Le(5)), `articles: index range day (day > 3 and day <= 5); sort by id`},
		{"between", q.Where(articleDay.Between(3, 5)), `articles: index range day (day >= 3 and day <= 5); sort by id`},
		{"contradiction", q.Where(articleDay.Gt(5), articleDay.Lt(3)), `articles: nothing`},
		{"order only", q.OrderBy(articleUpdated.Asc()), `articles: index scan updated`},
		{"order and limit", q.OrderBy(articleUpdated.Desc()).Limit(20), `articles: index scan updated in reverse; limit 20`},
		{"range and its order", q.Where(articleUpdated.Gt(hours(1))).OrderBy(articleUpdated.Desc()), `articles: index range updated (updated > 2026-01-01T01:00:00Z) in reverse`},
		{"order by key", q.OrderBy(articleID.Desc()).Limit(3), `articles: full scan in reverse; limit 3`},
		{"unique", q.Where(articleSlug.Eq(ptr("x"))), `articles: index lookup slug (slug = "x")`},
		{"null", q.Where(articleSlug.Eq(nil)), `articles: index lookup slug (slug = null)`},
		{"not null", q.Where(articleSlug.Ne(nil)).OrderBy(articleSlug.Asc()), `articles: index range slug (slug != null)`},
		{"composite, prefix", q.Where(articleAuthor.Eq("a")), `articles: index range by_author (author = "a"); sort by id`},
		{"composite, all", q.Where(articleUpdated.Eq(hours(0)), articleAuthor.Eq("a")), `articles: index lookup by_author (updated = 2026-01-01T00:00:00Z and author = "a")`},
		{"composite, range", q.Where(articleAuthor.Eq("a"), articleUpdated.Ge(hours(0))).OrderBy(articleUpdated.Asc()), `articles: index range by_author (author = "a" and updated >= 2026-01-01T00:00:00Z)`},
		{"composite, equality and order", q.Where(articleAuthor.Eq("a")).OrderBy(articleUpdated.Desc()).Limit(5), `articles: index range by_author (author = "a") in reverse; limit 5`},
		{"composite, order by both", q.Where(articleAuthor.Eq("a")).OrderBy(articleAuthor.Asc(), articleUpdated.Desc()).Limit(5), `articles: index range by_author (author = "a") in reverse; limit 5`},
		{"composite, order by all", q.OrderBy(articleAuthor.Asc(), articleUpdated.Asc(), articleID.Asc()).Limit(5), `articles: index scan by_author; limit 5`},
		{"composite, wrong direction", q.OrderBy(articleAuthor.Asc(), articleUpdated.Desc()).Limit(5), `articles: full scan; sort by author, updated desc, id desc; limit 5`},
		{"composite, in and equality", q.Where(articleAuthor.In("a", "b"), articleUpdated.Eq(hours(0))), `articles: index lookup by_author (author in ("a", "b") and updated = 2026-01-01T00:00:00Z); sort by id`},
		{"unique of two", q.Where(articleDay.Eq(1), articlePage.Eq(2)), `articles: index lookup one_a_day (day = 1 and page = 2)`},
		{"prefix", q.Where(userdata.HasPrefix(articleAuthor, "a")), `articles: index range by_author (author begins with "a"); sort by id`},
		{"empty prefix", q.Where(userdata.HasPrefix(articleAuthor, "")), `articles: full scan; filter author begins with ""`},
		{"element", q.Where(userdata.Contains(articleTags, "x")), `articles: index lookup tags (tags contains x)`},
		{"two elements", q.Where(userdata.Contains(articleTags, "x"), userdata.Contains(articleTags, "y")),
			`articles: index lookup tags (tags contains x and tags contains y); filter tags contains x and tags contains y`},
		{"key beats index", q.Where(articleDay.Eq(3), articleID.Eq("a")), `articles: key lookup id = "a"; filter day = 3 and id = "a"`},
		{"unique beats index", q.Where(articleDay.Eq(3), articleSlug.Eq(ptr("x"))), `articles: index lookup slug (slug = "x"); filter day = 3 and slug = "x"`},
		{"index beats key range", q.Where(articleDay.Eq(3), articleID.Gt("a")), `articles: index lookup day (day = 3); filter day = 3 and id > "a"`},
		{"equality beats range", q.Where(articleUpdated.Gt(hours(0)), articleDay.Eq(3)), `articles: index lookup day (day = 3); filter updated > 2026-01-01T00:00:00Z and day = 3`},
		{"residue", q.Where(articleDay.Eq(3), articleWords.Eq(1)), `articles: index lookup day (day = 3); filter day = 3 and words = 1`},
		{"not served", q.Where(articleWords.Eq(1)), `articles: full scan; filter words = 1`},
		{"negation", q.Where(userdata.Not(articleDay.Eq(1))), `articles: full scan; filter not (day = 1)`},
		{"unequal", q.Where(articleDay.Ne(1)), `articles: full scan; filter day != 1`},
		{"or of one column", q.Where(or(articleDay.Eq(1), articleDay.Gt(5))), `articles: index range day (day = 1 or day > 5); sort by id`},
		{"union", q.Where(or(articleDay.Eq(1), articleAuthor.Eq("a"), articleID.Eq("x"))),
			`articles: union index lookup day (day = 1), index range by_author (author = "a"), key lookup id = "x"; filter day = 1 or author = "a" or id = "x"; sort by id`},
		{"union and a condition", q.Where(articleWords.Eq(1), or(articleDay.Eq(1), articleAuthor.Eq("a"))),
			`articles: union index lookup day (day = 1), index range by_author (author = "a"); filter words = 1 and (day = 1 or author = "a"); sort by id`},
		{"half a union", q.Where(or(articleDay.Eq(1), articleWords.Eq(1))), `articles: full scan; filter day = 1 or words = 1`},
		{"limit and offset", q.Where(articleDay.Eq(1)).Limit(3).Offset(2), `articles: index lookup day (day = 1); limit 3; offset 2`},
	}
	for _, test := range tests {
		first, err := test.q.Explain()
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if got := first.String(); got != test.want {
			t.Errorf("%s:\ngot  %s\nwant %s", test.name, got, test.want)
		}
		for range 5 {
			if again, _ := test.q.Explain(); !cmp.Equal(first, again) {
				t.Errorf("%s: another plan: %s", test.name, again)
			}
		}
	}
}

// What a query reads, of 1000 articles.
func TestReads(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, reads := articleDB(t, 1000, &userdata.Options{ScanLimit: 100})
	s := db.NewSession()
	q := articles.Select(s).Untracked()
	all := func(q articleQuery) func() (int, error) {
		return func() (int, error) { r, err := q.All(ctx); return len(r), err }
	}
	count := func(q articleQuery) func() (int, error) { return func() (int, error) { return q.Count(ctx) } }
	const table, x = "articles", "_index/articles/"
	tests := []struct {
		name string
		run  func() (int, error)
		want int
		read map[string]int
	}{
		{"newest 20", all(q.OrderBy(articleUpdated.Desc()).Limit(20)), 20, map[string]int{table: 20, x + "updated": 20}},
		{"next 20", all(q.OrderBy(articleUpdated.Desc()).Limit(20).Offset(20)), 20, map[string]int{table: 40, x + "updated": 40}},
		{"an author's newest 5", all(q.Where(articleAuthor.Eq("b")).OrderBy(articleUpdated.Desc()).Limit(5)), 5, map[string]int{table: 5, x + "by_author": 5}},
		{"first 3 by key", all(q.Limit(3)), 3, map[string]int{table: 3}},
		{"unique", all(q.Where(articleSlug.Eq(ptr("slug7")))), 1, map[string]int{table: 1, x + "slug": 1}},
		{"unique, none", all(q.Where(articleSlug.Eq(ptr("slug")))), 0, map[string]int{}},
		{"range", all(q.Where(articleUpdated.Ge(hours(10)), articleUpdated.Lt(hours(30)))), 20, map[string]int{table: 20, x + "updated": 20}},
		{"count", count(q.Where(articleUpdated.Ge(hours(10)), articleUpdated.Lt(hours(30)))), 20, map[string]int{x + "updated": 20}},
		{"count of equals", count(q.Where(articleDay.Eq(3))), 100, map[string]int{x + "day": 100}},
		{"count, not null", count(q.Where(articleSlug.Ne(nil)).Limit(7)), 7, map[string]int{x + "slug": 7}},
		{"count of an element", count(q.Where(userdata.Contains(articleTags, "tag3"))), 143, map[string]int{x + "tags": 143}},
		{"count of two elements", count(q.Where(userdata.And(userdata.Contains(articleTags, "tag3"), userdata.Contains(articleTags, "tag4")))), 0, map[string]int{x + "tags": 143, table: 143}},
		{"count of a union", count(q.Where(userdata.Or(articleDay.Eq(1), articleSlug.Eq(ptr("slug7"))))), 101, map[string]int{x + "day": 100, x + "slug": 1}},
		{"count with a filter", count(q.Where(articleDay.Eq(3), articleWords.Eq(1))), 33, map[string]int{x + "day": 100, table: 100}},
		{"exists", func() (int, error) {
			ok, err := q.Where(articleDay.Eq(3)).Exists(ctx)
			return map[bool]int{true: 1}[ok], err
		}, 1, map[string]int{x + "day": 1}},
		{"min", func() (int, error) {
			v, err := userdata.Min(ctx, q, articleUpdated)
			return int(v.Sub(articleStart) / time.Hour), err
		}, 0, map[string]int{x + "updated": 1, table: 1}},
		{"max", func() (int, error) {
			v, err := userdata.Max(ctx, q, articleUpdated)
			return int(v.Sub(articleStart) / time.Hour), err
		}, 999, map[string]int{x + "updated": 1, table: 1}},
		{"max of an author", func() (int, error) {
			v, err := userdata.Max(ctx, q.Where(articleAuthor.Eq("b")), articleUpdated)
			return int(v.Sub(articleStart) / time.Hour), err
		}, 996, map[string]int{x + "by_author": 1, table: 1}},
		{"min of the key", func() (int, error) { v, err := userdata.Min(ctx, q, articleID); return len(v), err }, 5, map[string]int{table: 1}},
		{"distinct", func() (int, error) { v, err := userdata.Distinct(ctx, q, articleDay); return len(v), err }, 10, map[string]int{x + "day": 10, table: 10}},
		{"groups", func() (int, error) {
			v, err := userdata.GroupBy(ctx, q.Where(articleDay.Lt(3)), articleDay)
			return len(v), err
		}, 3, map[string]int{x + "day": 300, table: 3}},
	}
	for _, test := range tests {
		clear(reads)
		if n, err := test.run(); n != test.want || err != nil {
			t.Errorf("%s: got %d, %v, want %d", test.name, n, err, test.want)
		}
		if d := cmp.Diff(test.read, reads); d != "" {
			t.Errorf("%s: reads (-want +got):\n%s", test.name, d)
		}
	}
}

// A query that reads more records than ScanLimit without an index that narrows
// them down is refused, and says what it reads.
func TestScanLimit(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, _ := articleDB(t, 200, &userdata.Options{ScanLimit: 50})
	q := articles.Select(db.NewSession()).Untracked()
	refused := map[string]articleQuery{
		"full scan":     q,
		"filter":        q.Where(articleWords.Eq(99)),
		"sort":          q.OrderBy(articleWords.Asc()).Limit(1),
		"index's order": q.OrderBy(articleUpdated.Asc()).Where(articleWords.Eq(99)).Limit(1),
		"half a union":  q.Where(userdata.Or(articleWords.Eq(1), articleDay.Eq(1))),
	}
	for name, q := range refused {
		_, err := q.All(ctx)
		plan, _ := q.Explain()
		if !errors.Is(err, userdata.ErrTooLarge) || !strings.Contains(fmt.Sprint(err), plan.String()) {
			t.Errorf("%s: got %v, want ErrTooLarge with the plan %s", name, err, plan)
		}
	}
	served := map[string]articleQuery{
		"limit":     q.Limit(50),
		"range":     q.Where(articleUpdated.Ge(hours(0))),
		"key range": q.Where(articleID.Ge("a")),
		"newest":    q.OrderBy(articleUpdated.Desc()).Limit(20),
		"union":     q.Where(userdata.Or(articleAuthor.Gt(""), articleDay.Ge(0))),
	}
	for name, q := range served {
		if _, err := q.All(ctx); err != nil {
			t.Errorf("%s: got %v, want nil", name, err)
		}
	}
}
