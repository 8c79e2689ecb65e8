package userdata_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/seed-5df914be/userdata"
)

// Getting what the session has takes no memory, whatever the key's type.
func TestGetOfTrackedTakesNoMemory(t *testing.T) {
	getsTracked(t, "a")
	getsTracked(t, 7_000_000)
	getsTracked(t, int64(-7_000_000))
	getsTracked(t, uint64(1<<40))
}

func getsTracked[K any](t *testing.T, key K) {
	t.Helper()
	type record struct {
		Key K `userdata:"key,key"`
	}
	table := userdata.NewTable[record]("t")
	db := openHooked(t, userdata.NewMemStore(), table)
	putAll(t, db, &record{key})
	s, ctx := db.NewSession(), t.Context()
	get := func() {
		if r, err := table.Get(ctx, s, key); err != nil || any(r.Key) != any(key) {
			t.Fatalf("got %v, %v, want %v", r, err, key)
		}
	}
	get()
	if n := testing.AllocsPerRun(100, get); n > 2 { // those of the comparison in this test
		t.Errorf("%T: got %v allocations, want none of Get", key, n)
	}
	if n := testing.AllocsPerRun(100, func() { table.Get(ctx, s, key) }); n > 0 {
		t.Errorf("%T: got %v allocations, want 0", key, n)
	}
}

// A key of any type that fits finds its record, and is named if there is none.
func TestGetByKeysOfOtherTypes(t *testing.T) {
	getsBy(t, label("l"), "l", label("l"))
	getsBy(t, "l", label("l"))
	getsBy(t, level(3), 3, int8(3), int64(3), level(3))
	getsBy(t, uint8(3), uint(3), uint64(3), uint8(3))
	getsBy(t, stamp(at(2026, 1, 1, 0, 0, 0, 0)), at(2026, 1, 1, 0, 0, 0, 0), stamp(at(2026, 1, 1, 0, 0, 0, 0)))
	getsBy(t, at(2026, 1, 1, 0, 0, 0, 0), stamp(at(2026, 1, 1, 0, 0, 0, 0)))
	getsBy(t, []byte("b"), []byte("b"), blob("b"))
	getsBy(t, id{1, 2}, id{1, 2}, [16]byte{1, 2})
}

func getsBy[K any](t *testing.T, key K, asked ...any) {
	t.Helper()
	type record struct {
		Key K `userdata:"key,key"`
	}
	table := userdata.NewTable[record]("t")
	db := openHooked(t, userdata.NewMemStore(), table)
	for _, found := range []bool{false, true} {
		if found {
			putAll(t, db, &record{key})
		}
		for _, k := range asked {
			r, err := table.Get(t.Context(), db.NewSession(), k)
			var re *userdata.RecordError
			switch {
			case found && (err != nil || !reflect.DeepEqual(r.Key, key)):
				t.Errorf("%T by %T: got %v, %v, want the record", key, k, r, err)
			case !found && (!errors.Is(err, userdata.ErrNotFound) || !errors.As(err, &re) || !reflect.DeepEqual(re.Key, k)):
				t.Errorf("%T by %T: got %v, want ErrNotFound with the key %v", key, k, err, k)
			}
		}
	}
}
