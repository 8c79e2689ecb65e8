package userdata_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/seed-5df914be/userdata"
)

// A clash in a unique index comes together with faults of other records, and
// with those of the records that clash.
func TestFlushReportsClashesBesideFaults(t *testing.T) {
	type page struct {
		ID    string `userdata:"id,key"`
		Slug  string `userdata:"slug,unique"`
		Title string `userdata:"title"`
	}
	pages := userdata.NewTable[page]("pages")
	faultsOf := func(t *testing.T, s *userdata.Session) (got []string) {
		t.Helper()
		joined, many := s.Flush(t.Context()).(interface{ Unwrap() []error })
		if !many {
			t.Fatal("got no joined error, want one")
		}
		for _, err := range joined.Unwrap() {
			var re *userdata.RecordError
			if !errors.As(err, &re) {
				t.Fatalf("got %v, want a RecordError", err)
			}
			cause := "?"
			for name, target := range map[string]error{"invalid": userdata.ErrInvalid, "exists": userdata.ErrExists} {
				if errors.Is(err, target) {
					cause = name
				}
			}
			got = append(got, fmt.Sprint(re.Op, " ", re.Key, " ", re.Column, " ", cause))
		}
		return got
	}
	t.Run("a clash of others", func(t *testing.T) {
		s := openHooked(t, userdata.NewMemStore(), pages).NewSession()
		ok(t, s.Add(&page{"a", "same", ""}, &page{"b", "same", ""}, &page{"c", "c", "\xff"}))
		sameAs(t, "faults", faultsOf(t, s), []string{"flush c title invalid", "flush b slug exists"})
	})
	t.Run("a clash with the record at fault", func(t *testing.T) {
		s := openHooked(t, userdata.NewMemStore(), pages).NewSession()
		ok(t, s.Add(&page{"a", "same", "\xff"}, &page{"b", "same", ""}))
		sameAs(t, "faults", faultsOf(t, s), []string{"flush a title invalid", "flush b slug exists"})
	})
	t.Run("the value at fault clashes with none", func(t *testing.T) {
		s := openHooked(t, userdata.NewMemStore(), pages).NewSession()
		ok(t, s.Add(&page{"a", "\xff", ""}, &page{"b", "\xff", ""}))
		sameAs(t, "faults", faultsOf(t, s), []string{"flush a slug invalid", "flush b slug invalid"})
	})
	for name, change := range map[string]func(a, b *page) (want string){
		"a fault in a swap of keys": func(a, b *page) string {
			a.ID, b.ID, a.Title = "b", "a", "\xff"
			return "flush b title invalid"
		},
		"a fault in a swap of unique values": func(a, b *page) string {
			a.Slug, b.Slug, b.Title = b.Slug, a.Slug, "\xff"
			return "flush b title invalid"
		},
		"a key at fault, its place taken": func(a, b *page) string {
			a.ID, b.ID = "", "a"
			return "flush a id invalid" // by the key that it has in the store
		},
		"a unique value at fault, its old one taken": func(a, b *page) string {
			a.Slug, b.Slug = "\xff", "one"
			return "flush a slug invalid"
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := openHooked(t, userdata.NewMemStore(), pages)
			putAll(t, db, &page{"a", "one", ""}, &page{"b", "two", ""})
			s := db.NewSession()
			a, errA := pages.Get(t.Context(), s, "a")
			b, errB := pages.Get(t.Context(), s, "b")
			ok(t, errors.Join(errA, errB))
			want := change(a, b)
			sameAs(t, "faults", faultsOf(t, s), []string{want})
		})
	}
}
