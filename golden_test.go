package userdata_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata"
)

// update makes TestFormat1 write its file anew. A file of a released format
// must not be: it stands for those of the users.
var update = flag.Bool("update", false, "write testdata/format-1.db anew")

// formatFile is a database of format 1.
const formatFile = "testdata/format-1.db"

// The tables in formatFile, one for each type of key.
var (
	formatWides   = userdata.NewTable[wide]("wides")
	formatInts    = userdata.NewTable[keyed[int64]]("ints")
	formatUints   = userdata.NewTable[keyed[uint16]]("uints")
	formatBlobs   = userdata.NewTable[keyed[[]byte]]("blobs")
	formatIDs     = userdata.NewTable[keyed[id]]("ids")
	formatTimes   = userdata.NewTable[keyed[time.Time]]("times")
	formatStrings = userdata.NewTable[keyed[word]]("strings")
	formatTables  = []userdata.Mapped{formatWides, formatInts, formatUints, formatBlobs, formatIDs, formatTimes, formatStrings, userdata.UserdataTable}
)

// formatRecords returns the records in formatFile, by table, in order of keys.
func formatRecords() ([]*wide, []*userdata.Userdata, map[string][]any) {
	users := []*userdata.Userdata{
		{UserID: "Brad", UserData: "Brad's data", TimeStamp: at(2026, 10, 12, 19, 58, 0, 123456789)},
		{UserID: "Jane"},
		{UserID: "Zoë", UserData: "größer", TimeStamp: at(1969, 7, 20, 20, 17, 40, 0)},
	}
	others := map[string][]any{}
	for _, n := range []int64{-1 << 63, -1, 0, 1 << 31, 1<<63 - 1} {
		others["ints"] = append(others["ints"], &keyed[int64]{n})
	}
	for _, n := range []uint16{0, 258, 65535} {
		others["uints"] = append(others["uints"], &keyed[uint16]{n})
	}
	for _, b := range [][]byte{{0}, {0, 0}, {255}} {
		others["blobs"] = append(others["blobs"], &keyed[[]byte]{b})
	}
	others["ids"] = []any{&keyed[id]{}, &keyed[id]{id{15: 1}}}
	for _, d := range []time.Time{{}, at(1969, 12, 31, 23, 59, 59, 999999999), at(1970, 1, 1, 0, 0, 0, 0), at(9999, 12, 31, 23, 59, 59, 999999999)} {
		others["times"] = append(others["times"], &keyed[time.Time]{d})
	}
	for _, w := range []word{"\x00", "a", "a\x00", "a__b", "é"} {
		others["strings"] = append(others["strings"], &keyed[word]{w})
	}
	return []*wide{newWide(), {ID: "zero"}}, users, others
}

// writeFormatFile writes formatFile, packed as tightly as bbolt can.
func writeFormatFile(t *testing.T) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "new.db")
	db, err := userdata.Open(path, nil, formatTables...)
	if err != nil {
		t.Fatal(err)
	}
	wides, users, others := formatRecords()
	err = db.Transact(t.Context(), func(s *userdata.Session) error {
		for _, r := range wides {
			s.Add(r)
		}
		for _, r := range users {
			s.Add(r)
		}
		for _, rs := range others {
			s.Add(rs...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	src, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	os.Remove(formatFile)
	dst, err := bbolt.Open(formatFile, 0o644, nil)
	if err != nil {
		t.Fatal(err)
	}
	dst.AllocSize = 4096
	if err := bbolt.Compact(dst, src, 0); err != nil {
		t.Fatal(err)
	}
	if err := dst.Close(); err != nil {
		t.Fatal(err)
	}
}

// A file of format 1 can be read for ever, and reading it changes nothing.
func TestFormat1(t *testing.T) {
	if *update {
		writeFormatFile(t)
	}
	original, err := os.ReadFile(formatFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, opts := range []*userdata.Options{{ReadOnly: true}, nil} {
		path := filepath.Join(t.TempDir(), "format-1.db")
		if err := os.WriteFile(path, original, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := userdata.Open(path, opts, formatTables...)
		if err != nil {
			t.Fatal(err)
		}
		checkFormatRecords(t, db)
		if err := userdata.CheckRecords(t.Context(), db); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, original) {
			t.Errorf("%+v: file of %d bytes after reading, %v, want the %d bytes of before", opts, len(after), err, len(original))
		}
	}
}

func checkFormatRecords(t *testing.T, db *userdata.DB) {
	t.Helper()
	wides, users, others := formatRecords()
	same(t, db, formatWides, wides)
	same(t, db, userdata.UserdataTable, users)
	same(t, db, formatInts, typed[keyed[int64]](others["ints"]))
	same(t, db, formatUints, typed[keyed[uint16]](others["uints"]))
	same(t, db, formatBlobs, typed[keyed[[]byte]](others["blobs"]))
	same(t, db, formatIDs, typed[keyed[id]](others["ids"]))
	same(t, db, formatTimes, typed[keyed[time.Time]](others["times"]))
	same(t, db, formatStrings, typed[keyed[word]](others["strings"]))
}

func typed[T any](records []any) (out []*T) {
	for _, r := range records {
		out = append(out, r.(*T))
	}
	return out
}

// same checks that a table has these records, in this order.
func same[T any](t *testing.T, db *userdata.DB, table *userdata.Table[T], want []*T) {
	t.Helper()
	s := db.NewSession()
	defer s.Close()
	got, err := table.Select(s).All(t.Context())
	if err != nil {
		t.Error(err)
	}
	if d := cmp.Diff(want, got, strictly); d != "" {
		t.Errorf("%s (-want +got):\n%s", table.Name(), d)
	}
	// Records written now are the same bytes.
	for _, r := range want {
		key, value, err := userdata.Encode(table, r)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Store().View(t.Context(), func(snap userdata.Snapshot) error {
			stored, err := snap.Get(table.Name(), key)
			if !bytes.Equal(stored, value) {
				t.Errorf("%s %x: file has\n%x\nwant\n%x", table.Name(), key, stored, value)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
