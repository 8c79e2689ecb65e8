package userdata_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-5df914be/userdata"
)

func ptr[V any](v V) *V { return &v }

// Uniqueness counts by the net effect of a commit, in whatever order the changes
// were made.
func TestUniqueNetEffect(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(s *userdata.Session, a, b, c *article) error
	}{
		{"swap", func(s *userdata.Session, a, b, c *article) error { a.Slug, b.Slug = b.Slug, a.Slug; return nil }},
		{"swap of two columns", func(s *userdata.Session, a, b, c *article) error { a.Page, b.Page = b.Page, a.Page; return nil }},
		{"rotation", func(s *userdata.Session, a, b, c *article) error {
			a.Slug, b.Slug, c.Slug = c.Slug, a.Slug, b.Slug
			return nil
		}},
		{"delete and reuse", func(s *userdata.Session, a, b, c *article) error {
			return errors.Join(s.Delete(a), s.Add(&article{ID: "d", Slug: ptr("a"), Page: 1}))
		}},
		{"reuse, then delete", func(s *userdata.Session, a, b, c *article) error {
			return errors.Join(s.Add(&article{ID: "0", Slug: ptr("a"), Page: 1}), s.Delete(a))
		}},
		{"delete and reuse by an old one", func(s *userdata.Session, a, b, c *article) error {
			b.Slug, b.Page = ptr("a"), 1
			return s.Delete(a)
		}},
		{"delete and add under the same key", func(s *userdata.Session, a, b, c *article) error {
			return errors.Join(s.Delete(a), s.Add(&article{ID: "a", Slug: ptr("a"), Page: 1, Words: 9}))
		}},
		{"move", func(s *userdata.Session, a, b, c *article) error { a.ID = "z"; return nil }},
		{"move and swap", func(s *userdata.Session, a, b, c *article) error {
			a.ID, b.ID = b.ID, a.ID
			a.Slug, b.Slug = b.Slug, a.Slug
			return nil
		}},
		{"chain", func(s *userdata.Session, a, b, c *article) error {
			a.Slug, b.Slug, c.Slug = b.Slug, c.Slug, nil
			return nil
		}},
		{"to null and from null", func(s *userdata.Session, a, b, c *article) error {
			a.Slug, b.Slug, c.Slug = nil, nil, ptr("a")
			return s.Add(&article{ID: "d", Slug: ptr("b"), Page: 7}, &article{ID: "e", Page: 8})
		}},
		{"tags", func(s *userdata.Session, a, b, c *article) error {
			a.Tags, b.Tags = []string{"x", "y", "x", ""}, nil
			return nil
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			db := openDB(t, articles)
			s := db.NewSession()
			a, b, c := &article{ID: "a", Slug: ptr("a"), Page: 1, Tags: []string{"x"}}, &article{ID: "b", Slug: ptr("b"), Page: 2, Tags: []string{"x", "z"}}, &article{ID: "c", Slug: ptr("c"), Page: 3}
			if err := errors.Join(s.Add(a, b, c), s.Commit(ctx)); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(test.change(s, a, b, c), s.Commit(ctx)); err != nil {
				t.Fatal(err)
			}
			if err := userdata.CheckRecords(ctx, db); err != nil {
				t.Error(err)
			}
			all, err := articles.Select(db.NewSession()).All(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range all { // each is found by what it has
				if r.Slug == nil {
					continue
				}
				if got, err := articles.Select(db.NewSession()).Where(articleSlug.Eq(r.Slug)).One(ctx); err != nil || got.ID != r.ID {
					t.Errorf("slug %q: got %v, %v, want %s", *r.Slug, got, err, r.ID)
				}
			}
		})
	}
}

// A value that two records have is ErrExists, which names both, column and value,
// and the commit changes nothing.
func TestUniqueClash(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(s *userdata.Session, a *article) error
		key    any
		column string
		want   string // in the text
	}{
		{"store", func(s *userdata.Session, a *article) error { return s.Add(&article{ID: "x", Slug: ptr("b"), Page: 9}) }, "x", "slug", `record "b" has slug "b"`},
		{"store, changed", func(s *userdata.Session, a *article) error { a.Slug = ptr("b"); return nil }, "a", "slug", `record "b" has slug "b"`},
		{"store, two columns", func(s *userdata.Session, a *article) error { a.Page = 2; return nil }, "a", "day, page", `record "b" has day 0, page 2`},
		{"session", func(s *userdata.Session, a *article) error {
			return s.Add(&article{ID: "x", Slug: ptr("q"), Page: 8}, &article{ID: "y", Slug: ptr("q"), Page: 9})
		}, "y", "slug", `record "x" has slug "q"`},
		{"session, changed", func(s *userdata.Session, a *article) error {
			a.Slug = ptr("q")
			return s.Add(&article{ID: "x", Slug: ptr("q"), Page: 8})
		}, "x", "slug", `record "a" has slug "q"`},
		{"moved here, not away", func(s *userdata.Session, a *article) error {
			return errors.Join(s.Delete(a), s.Add(&article{ID: "x", Slug: ptr("a"), Page: 1}, &article{ID: "y", Slug: ptr("a"), Page: 9}))
		}, "y", "slug", `record "x" has slug "a"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			store := userdata.NewMemStore()
			db, err := userdata.OpenStore(ctx, store, nil, articles)
			if err != nil {
				t.Fatal(err)
			}
			s := db.NewSession()
			a, b := &article{ID: "a", Slug: ptr("a"), Page: 1}, &article{ID: "b", Slug: ptr("b"), Page: 2}
			if err := errors.Join(s.Add(a, b), s.Commit(ctx)); err != nil {
				t.Fatal(err)
			}
			before, version, _ := contents(store)
			s = db.NewSession()
			if a, err = articles.Get(ctx, s, "a"); err != nil {
				t.Fatal(err)
			}
			if err := test.change(s, a); err != nil {
				t.Fatal(err)
			}
			err = s.Commit(ctx)
			var re *userdata.RecordError
			if !errors.Is(err, userdata.ErrExists) || errors.Is(err, userdata.ErrConflict) || !errors.As(err, &re) {
				t.Fatalf("got %v, want a RecordError that is ErrExists", err)
			}
			if re.Op != "commit" || re.Table != "articles" || re.Key != test.key || re.Column != test.column || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v (%q, %v, %q), want key %v, column %q and %q", err, re.Op, re.Key, re.Column, test.key, test.column, test.want)
			}
			after, now, _ := contents(store)
			if now != version || fmt.Sprint(after) != fmt.Sprint(before) {
				t.Error("the failed commit changed the store")
			}
			// Mended, it goes through.
			for r, err := range articles.Select(s).Rows(ctx) {
				if err != nil {
					t.Fatal(err)
				}
				r.Slug, r.Page = ptr("mended "+r.ID), int(r.ID[0])
			}
			if err := s.Commit(ctx); err != nil {
				t.Errorf("mended: got %v, want nil", err)
			}
			if err := userdata.CheckRecords(ctx, db); err != nil {
				t.Error(err)
			}
		})
	}
}

// A record that others changed is a conflict, even where a unique value is in
// dispute too; and a value that others took since it was read is ErrExists.
func TestUniqueConflict(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openDB(t, articles)
	mine, theirs := db.NewSession(), db.NewSession()
	a := &article{ID: "a", Slug: ptr("a")}
	if err := errors.Join(mine.Add(a), mine.Commit(ctx)); err != nil {
		t.Fatal(err)
	}
	other, err := articles.Get(ctx, theirs, "a")
	if err != nil {
		t.Fatal(err)
	}
	other.Slug = ptr("b")
	if err := errors.Join(theirs.Add(&article{ID: "c", Slug: ptr("a"), Page: 1}), theirs.Commit(ctx)); err != nil {
		t.Fatal(err)
	}
	a.Slug = ptr("c")
	if err := mine.Commit(ctx); !errors.Is(err, userdata.ErrConflict) || errors.Is(err, userdata.ErrCorrupt) {
		t.Errorf("got %v, want ErrConflict alone", err)
	}
	if err := mine.Refresh(ctx, a); err != nil {
		t.Fatal(err)
	}
	a.Slug = ptr("a")
	if err := mine.Commit(ctx); !errors.Is(err, userdata.ErrExists) {
		t.Errorf("got %v, want ErrExists", err)
	}
	a.Slug = ptr("c")
	if err := mine.Commit(ctx); err != nil {
		t.Error(err)
	}
}

// A commit that finds another record in the place of its own in a unique index
// is refused: the index is damaged.
func TestUniqueCorrupt(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store := userdata.NewMemStore()
	db, err := userdata.OpenStore(ctx, store, nil, articles)
	if err != nil {
		t.Fatal(err)
	}
	s := db.NewSession()
	a := &article{ID: "a", Slug: ptr("a")}
	if err := errors.Join(s.Add(a), s.Commit(ctx)); err != nil {
		t.Fatal(err)
	}
	bucket := "_index/articles/slug"
	for k := range bucketEntries(t, store, bucket) {
		put(t, store, bucket, k, "other")
	}
	a.Slug = ptr("b")
	err = s.Commit(ctx)
	var re *userdata.RecordError
	if !errors.Is(err, userdata.ErrCorrupt) || !errors.As(err, &re) || re.Key != "a" || re.Column != "slug" {
		t.Errorf("got %v, want ErrCorrupt that names record and column", err)
	}
}

// Values that make an index's key too large are an error of the commit.
func TestIndexTooLarge(t *testing.T) {
	t.Parallel()
	db := openDB(t, articles)
	s := db.NewSession()
	err := errors.Join(s.Add(&article{ID: "a", Author: strings.Repeat("x", userdata.MaxKeySize)}), s.Commit(t.Context()))
	var re *userdata.RecordError
	if !errors.Is(err, userdata.ErrTooLarge) || !errors.As(err, &re) || re.Key != "a" || !strings.Contains(re.Column, "author") {
		t.Errorf("got %v, want ErrTooLarge of author", err)
	}
}

// After random commits of several sessions, each of which may fail, the indexes
// hold what the records say.
func TestMaintenance(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		ctx := t.Context()
		store := userdata.NewMemStore()
		db, err := userdata.OpenStore(ctx, store, nil, articles)
		if err != nil {
			rt.Fatal(err)
		}
		sessions := []*userdata.Session{db.NewSession(), db.NewSession(), db.NewSession()}
		slugs := []*string{nil, ptr("a"), ptr("b"), ptr("c"), ptr("d")}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			s := draw(rt, "session", sessions)
			id := draw(rt, "id", []string{"1", "2", "3", "4", "5"})
			switch draw(rt, "step", []string{"put", "put", "put", "delete", "move", "bulk", "commit", "commit", "rollback"}) {
			case "put":
				r, err := articles.Get(ctx, s, id)
				if errors.Is(err, userdata.ErrNotFound) {
					r = &article{ID: id}
					err = s.Add(r)
				}
				if err != nil {
					rt.Fatal(err)
				}
				r.Slug, r.Day, r.Page = draw(rt, "slug", slugs), rapid.IntRange(0, 2).Draw(rt, "day"), rapid.IntRange(0, 2).Draw(rt, "page")
				r.Tags = draw(rt, "tags", someLists)
			case "delete":
				if r, err := articles.Get(ctx, s, id); err == nil {
					if err := s.Delete(r); err != nil {
						rt.Fatal(err)
					}
				}
			case "move":
				if r, err := articles.Get(ctx, s, id); err == nil {
					r.ID = draw(rt, "to", []string{"1", "3", "5", "6", "7"})
				}
			case "bulk":
				if _, err := articles.Select(s).Where(articleDay.Eq(1)).Update(ctx, articleAuthor.Set(id), articlePage.Set(len(id))); err != nil {
					rt.Fatal(err)
				}
			case "commit":
				before, _, _ := contents(store)
				err := s.Commit(ctx)
				if errors.Is(err, userdata.ErrCorrupt) {
					rt.Fatal(err)
				}
				if after, _, _ := contents(store); err != nil && fmt.Sprint(after) != fmt.Sprint(before) {
					rt.Fatalf("the failed commit changed the store: %v", err)
				}
				if err := userdata.CheckRecords(ctx, db); err != nil {
					rt.Fatal(err)
				}
				if err != nil && rapid.Bool().Draw(rt, "give up") {
					s.Rollback()
				}
			case "rollback":
				s.Rollback()
			}
		}
	})
}
