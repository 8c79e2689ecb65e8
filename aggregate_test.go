package userdata_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

func TestAggregates(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openDB(t, articles)
	s := db.NewSession()
	for i := range 10 {
		a := articleNumber(i)
		if a.Page = i; i%2 > 0 {
			a.Slug = nil
		}
		a.Day = i % 3
		if err := s.Add(a); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	q := articles.Select(s)
	gone, err := articles.Get(ctx, s, "a0000")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Delete(gone), s.Add(&article{ID: "new", Day: 7, Slug: ptr("")})); err != nil {
		t.Fatal(err)
	}
	groups, err := userdata.GroupBy(ctx, q, articleDay)
	if d := cmp.Diff([]userdata.Group[int]{{0, 3}, {1, 3}, {2, 3}, {7, 1}}, groups); d != "" || err != nil {
		t.Errorf("GroupBy (-want +got), %v:\n%s", err, d)
	}
	days, err := userdata.Distinct(ctx, q.Where(articleDay.Ge(1)), articleDay)
	if d := cmp.Diff([]int{1, 2, 7}, days); d != "" || err != nil {
		t.Errorf("Distinct (-want +got), %v:\n%s", err, d)
	}
	low, err := userdata.Min(ctx, q, articleSlug)
	if err != nil || low == nil || *low != "" {
		t.Errorf("Min: got %v, %v, want the empty slug, not null", low, err)
	}
	high, err := userdata.Max(ctx, q, articleSlug)
	if err != nil || high == nil || *high != "slug8" {
		t.Errorf("Max: got %v, %v, want slug8", high, err)
	}
	if s.State(gone) != userdata.Deleted {
		t.Error("an aggregate changed the session")
	}
}

// The values handed out are the program's own.
func TestAggregateCopies(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openDB(t, articles)
	s := db.NewSession()
	a := &article{ID: "a", Slug: ptr("slug")}
	if err := errors.Join(s.Add(a), s.Commit(ctx)); err != nil {
		t.Fatal(err)
	}
	q := articles.Select(s)
	groups, err1 := userdata.GroupBy(ctx, q, articleSlug)
	slugs, err2 := userdata.Distinct(ctx, q, articleSlug)
	low, err3 := userdata.Min(ctx, q, articleSlug)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	*groups[0].Value, *slugs[0], *low = "x", "y", "z"
	if *a.Slug != "slug" {
		t.Errorf("got %q, want the record as it was", *a.Slug)
	}
}

func TestAggregateInvalid(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openDB(t, articles)
	q := articles.Select(db.NewSession())
	cursor, err := q.Cursor(articleNumber(1))
	if err != nil {
		t.Fatal(err)
	}
	for name, q := range map[string]articleQuery{"limit": q.Limit(1), "offset": q.Offset(1), "cursor": q.After(cursor), "zero query": {}} {
		_, err1 := userdata.Min(ctx, q, articleDay)
		_, err2 := userdata.Max(ctx, q, articleDay)
		_, err3 := userdata.Distinct(ctx, q, articleDay)
		groups, err4 := userdata.GroupBy(ctx, q, articleDay)
		for i, err := range []error{err1, err2, err3, err4} {
			if !errors.Is(err, userdata.ErrInvalid) {
				t.Errorf("%s, %d: got %v, want ErrInvalid", name, i, err)
			}
		}
		if groups != nil {
			t.Errorf("%s: got groups with an error", name)
		}
	}
	_, err1 := userdata.Distinct(ctx, q, articleTags)
	_, err2 := userdata.Min(ctx, q, userdata.Column[article, int]{})
	if !errors.Is(err1, userdata.ErrInvalid) || !errors.Is(err2, userdata.ErrInvalid) {
		t.Error(fmt.Sprint("a column without order, a zero column: got ", err1, ", ", err2, ", want ErrInvalid"))
	}
	if _, err := userdata.Min(ctx, q, articleDay); !errors.Is(err, userdata.ErrNotFound) {
		t.Errorf("Min of nothing: got %v, want ErrNotFound", err)
	}
}
