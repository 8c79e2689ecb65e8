package userdata_test

import (
	"encoding/base64"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seed-5df914be/userdata"
)

func TestCursor(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, reads := articleDB(t, 100, nil)
	newest := func() articleQuery {
		return articles.Select(db.NewSession()).OrderBy(articleUpdated.Desc()).Limit(20)
	}
	page, err := newest().All(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cursor, err := newest().Cursor(page[19])
	if err != nil || !regexp.MustCompile(`^[A-Za-z0-9_-]+$`).MatchString(cursor) {
		t.Fatalf("got %q, %v, want letters, digits, - and _", cursor, err)
	}
	clear(reads)
	next, err := newest().After(cursor).All(ctx) // another session: as in another process
	if err != nil || len(next) != 20 || next[0].ID != "a0079" || next[19].ID != "a0060" {
		t.Errorf("got %v, %v, want the articles 79 to 60", next, err)
	}
	if n := reads["_index/articles/updated"]; n > 21 {
		t.Errorf("the next page read %d entries, want 20 and the cursor's own", n)
	}
	if n, err := newest().After(cursor).Count(ctx); n != 20 || err != nil {
		t.Errorf("Count: got %d, %v, want 20", n, err)
	}
	if all, err := newest().After(cursor).After("").All(ctx); err != nil || all[0].ID != "a0099" {
		t.Errorf("the empty cursor: got %v, %v, want the first page", all, err)
	}
	moved := *page[19]
	moved.ID, moved.Updated = "", time.Time{}
	if _, err := newest().Cursor(&moved); !errors.Is(err, userdata.ErrInvalid) {
		t.Errorf("Cursor of a record without a key: got %v, want ErrInvalid", err)
	}
	if _, err := newest().Cursor(nil); !errors.Is(err, userdata.ErrInvalid) {
		t.Errorf("Cursor of nil: got %v, want ErrInvalid", err)
	}
}

// A cursor of another query, or what is none, is refused; never believed.
func TestCursorRefused(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	other := userdata.NewTable[postPlain]("posts")
	db, err := userdata.OpenStore(ctx, userdata.NewMemStore(), nil, articles, other)
	if err != nil {
		t.Fatal(err)
	}
	s := db.NewSession()
	q := articles.Select(s)
	byTime, err := q.OrderBy(articleUpdated.Asc()).Cursor(articleNumber(1))
	if err != nil {
		t.Fatal(err)
	}
	byKey, err := q.Cursor(articleNumber(1))
	if err != nil {
		t.Fatal(err)
	}
	otherTable, err := other.Select(s).Cursor(&postPlain{ID: 1})
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := base64.RawURLEncoding.DecodeString(byTime)
	cut := base64.RawURLEncoding.EncodeToString(raw[:len(raw)-3])
	more := base64.RawURLEncoding.EncodeToString(append(raw, 0xc0))
	tests := map[string]struct {
		q      articleQuery
		cursor string
	}{
		"other direction": {q.OrderBy(articleUpdated.Desc()), byTime},
		"other order":     {q.OrderBy(articleDay.Asc()), byTime},
		"no order":        {q, byTime},
		"an order":        {q.OrderBy(articleUpdated.Asc()), byKey},
		"more orders":     {q.OrderBy(articleUpdated.Asc(), articleDay.Asc()), byTime},
		"other table":     {q, otherTable},
		"text":            {q, "hello"},
		"not base64":      {q, "%%%"},
		"cut":             {q.OrderBy(articleUpdated.Asc()), cut},
		"more":            {q.OrderBy(articleUpdated.Asc()), more},
	}
	for name, test := range tests {
		if _, err := test.q.After(test.cursor).All(ctx); !errors.Is(err, userdata.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

func FuzzCursor(f *testing.F) {
	ctx := f.Context()
	db, err := userdata.OpenStore(ctx, userdata.NewMemStore(), nil, articles)
	if err != nil {
		f.Fatal(err)
	}
	s := db.NewSession()
	for i := range 20 {
		if err := s.Add(articleNumber(i)); err != nil {
			f.Fatal(err)
		}
	}
	if err := s.Commit(ctx); err != nil {
		f.Fatal(err)
	}
	seed, err := articles.Select(s).OrderBy(articleUpdated.Asc()).Cursor(articleNumber(3))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, cursor string) {
		for _, q := range []articleQuery{articles.Select(db.NewSession()).OrderBy(articleUpdated.Asc()), articles.Select(db.NewSession()).OrderBy(articleSlug.Desc())} {
			if _, err := q.After(cursor).All(ctx); err != nil && !errors.Is(err, userdata.ErrInvalid) {
				t.Errorf("got %v, want ErrInvalid or nil", err)
			}
		}
	})
}

// Records that share nulls in a unique index are told apart by their keys, in
// either direction.
func TestCursorAmongNulls(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openDB(t, articles)
	s := db.NewSession()
	for i := range 5 {
		if err := s.Add(&article{ID: string(rune('a' + i)), Page: i}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	all := articles.Select(db.NewSession()).Untracked() // nothing tracked: the index is read
	where := all.Where(articleSlug.Eq(nil)).Limit(2)
	for want, q := range map[string]articleQuery{
		"abcde": where, "edcba": where.OrderBy(articleID.Desc()),
		"abcde ": all.OrderBy(articleSlug.Asc()).Limit(2), "edcba ": all.OrderBy(articleSlug.Desc()).Limit(2),
	} {
		if plan, err := q.Explain(); err != nil || plan.Index != "slug" || plan.Sort != "" {
			t.Errorf("got %s, %v, want the index's order", plan, err)
		}
		got := ""
		for cursor, pages := "", 0; pages < 4; pages++ {
			page, err := q.After(cursor).All(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range page {
				got += a.ID
			}
			if len(page) > 0 {
				if cursor, err = q.Cursor(page[len(page)-1]); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got != strings.TrimSpace(want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
