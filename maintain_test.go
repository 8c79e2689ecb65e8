package userdata_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/seed-5df914be/userdata"
)

// What a store can do, the database can; what it can't is ErrInvalid.
func TestMaintenanceOfStores(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := userdata.Open(filepath.Join(dir, "a.db"), nil, cards)
	ok(t, err)
	ok(t, db.Transact(t.Context(), func(s *userdata.Session) error { return s.Add(&card{ID: "k"}) }))
	copied := filepath.Join(dir, "b.db")
	ok(t, db.Backup(t.Context(), copied))
	ok(t, db.Compact(t.Context()))
	report, err := db.Check(t.Context())
	ok(t, errors.Join(err, report.Err()))
	ok(t, db.Close())
	for _, path := range []string{filepath.Join(dir, "a.db"), copied} {
		again, err := userdata.Open(path, nil, cards)
		ok(t, err)
		_, err = cards.Get(t.Context(), again.NewSession(), "k")
		ok(t, errors.Join(err, again.Close()))
	}

	mem, err := userdata.OpenStore(t.Context(), userdata.NewMemStore(), nil, cards)
	ok(t, err)
	_, checking := mem.Check(t.Context())
	for op, err := range map[string]error{"backup": mem.Backup(t.Context(), copied), "compact": mem.Compact(t.Context()), "check": checking} {
		if !errors.Is(err, userdata.ErrInvalid) {
			t.Errorf("%s of a MemStore: got %v, want ErrInvalid", op, err)
		}
	}
}
