package userdata_test

import (
	"context"
	"errors"
	"testing"

	"github.com/seed-5df914be/userdata"
)

// openDB opens a database in a temporary file, and after the test closes it and
// checks the file: bbolt's own check, and every record of every table.
func openDB(t *testing.T, tables ...userdata.Mapped) *userdata.DB {
	t.Helper()
	store := openBolt(t)
	db, err := userdata.OpenStore(t.Context(), store, nil, tables...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		err := userdata.CheckRecords(ctx, db)
		if errors.Is(err, userdata.ErrClosed) { // the test has closed it
			var again *userdata.DB
			if again, err = userdata.Open(store.Path(), nil, tables...); err == nil {
				err = errors.Join(userdata.CheckRecords(ctx, again), again.Close())
			}
		}
		if err != nil {
			t.Errorf("records at the end of the test: %v", err)
		}
	})
	return db
}
