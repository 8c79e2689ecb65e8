package userdata_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

func TestUserdataString(t *testing.T) {
	t.Parallel()
	u := userdata.Userdata{UserID: "Brian", UserData: "changed", TimeStamp: at(2026, 10, 12, 19, 58, 31, 5)}
	if got, want := u.String(), "user_id=Brian, user_data=changed, time_stamp=October 12 19:58"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	u = userdata.Userdata{TimeStamp: time.Date(2026, 3, 4, 5, 6, 0, 0, time.FixedZone("X", 3600))}
	if got, want := u.String(), "user_id=, user_data=, time_stamp=March 4 05:06"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A stranger is a copy of Userdata that a user of the package could declare.
type stranger struct {
	UserID    string    `userdata:"user_id,key,size=32"`
	UserData  string    `userdata:"user_data,size=640"`
	TimeStamp time.Time `userdata:"time_stamp"`
}

// Userdata has nothing that a user's own type could not have: a copy of it, in
// a table of the same name in another file, is the same bytes.
func TestUserdataIsOrdinary(t *testing.T) {
	t.Parallel()
	strangers := userdata.NewTable[stranger]("userdata")
	if d := cmp.Diff(userdata.UserdataTable.Columns(), strangers.Columns()); d != "" {
		t.Errorf("columns (-Userdata +copy):\n%s", d)
	}
	ours, theirs := openDB(t, userdata.UserdataTable), openDB(t, strangers)
	a, b := ours.NewSession(), theirs.NewSession()
	defer a.Close()
	defer b.Close()
	for _, r := range []stranger{{"Brad", "x", at(2026, 10, 12, 19, 58, 0, 1)}, {"é", "", time.Time{}}, {"Zoe", "ö", time.Now()}} {
		u := userdata.Userdata(r)
		if err := a.Add(&u); err != nil {
			t.Fatal(err)
		}
		if err := b.Add(&r); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(entries(t, ours.Store()), entries(t, theirs.Store())); d != "" {
		t.Errorf("store (-Userdata +copy):\n%s", d)
	}
}

// An item is one entry of a store.
type item struct {
	Bucket     string
	Key, Value []byte
}

// entries returns everything in a store.
func entries(t *testing.T, store userdata.Store) (all []item) {
	t.Helper()
	err := store.View(t.Context(), func(snap userdata.Snapshot) error {
		buckets, err := snap.Buckets()
		for _, b := range buckets {
			if err == nil {
				err = snap.Scan(b, userdata.Range{}, func(k, v []byte) bool {
					all = append(all, item{b, bytes.Clone(k), bytes.Clone(v)})
					return true
				})
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestUserdataColumns(t *testing.T) {
	t.Parallel()
	c := userdata.UserdataColumns
	got := []string{c.UserID.Name(), c.UserData.Name(), c.TimeStamp.Name()}
	if d := cmp.Diff([]string{"user_id", "user_data", "time_stamp"}, got); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
	want := "userdata\n  user_id     string(32)   key\n  user_data   string(640)\n  time_stamp  time\n"
	if got := openDB(t, userdata.UserdataTable).Schema().String(); got != want {
		t.Errorf("Schema: got\n%s\nwant\n%s", got, want)
	}
}
