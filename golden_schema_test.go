package userdata_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

// indexesFile is a database of format 1 with every kind of index, and with what
// Open keeps of changes of the schema: two versions and a migration.
const indexesFile = "testdata/format-1-indexes.db"

// A shelf has every kind of index.
type (
	shelfOld struct {
		ID   int    `userdata:"id,key"`
		Name string `userdata:"label"`
		Code string `userdata:"code"`
	}
	shelf struct {
		ID    int        `userdata:"id,key"`
		Name  string     `userdata:"name,index,unique=by_name_place:1"`
		Code  *string    `userdata:"code,unique"`
		Place int8       `userdata:"place,default=3,unique=by_name_place:2,index=by_place_id:1"`
		Again *time.Time `userdata:"again,index"`
		Tags  []string   `userdata:"tags,index,index=by_on_tag:2"`
		On    bool       `userdata:"on,default=true,index=by_on_tag:1"`
		Cost  *float64   `userdata:"cost,index"`
		Hash  *[4]byte   `userdata:"hash,index"`
		Blob  *[]byte    `userdata:"blob,unique"`
		Count uint64     `userdata:"count,default=18446744073709551615,index"`
	}
)

var (
	shelvesOld = userdata.NewTable[shelfOld]("shelves")
	shelves    = userdata.NewTable[shelf]("shelves")
	toShelves  = []userdata.Migration{{Name: "1-names", Steps: []userdata.Step{
		userdata.RenameColumn("shelves", "label", "name"),
		userdata.ConvertColumn("shelves", "code", func(s string) (*string, error) {
			if s == "" {
				return nil, nil
			}
			return &s, nil
		}),
		userdata.RewriteRecords("shelves", func(o *struct {
			ID   int     `userdata:"id,key"`
			Name string  `userdata:"name"`
			Code *string `userdata:"code"`
		}) (*struct {
			ID   int      `userdata:"id,key"`
			Name string   `userdata:"name"`
			Code *string  `userdata:"code"`
			Tags []string `userdata:"tags"`
		}, error) {
			n := &struct {
				ID   int      `userdata:"id,key"`
				Name string   `userdata:"name"`
				Code *string  `userdata:"code"`
				Tags []string `userdata:"tags"`
			}{ID: o.ID, Name: o.Name, Code: o.Code}
			return n, nil
		}),
	}}}
)

// goldenShelves are the records in indexesFile.
func goldenShelves() []*shelf {
	return []*shelf{
		{ID: -1, Name: "a", Code: ptr("x"), Place: 3, On: true, Count: 1<<64 - 1},
		{ID: 2, Name: "a", Place: 4, Again: ptr(at(2026, 10, 12, 19, 58, 0, 7)), Tags: []string{"b", "a", "b"}, Cost: ptr(-0.5), Hash: &[4]byte{1}, Blob: ptr([]byte{0, 1}), Count: 5},
		{ID: 3, Name: "", Place: -128, On: true, Tags: []string{}, Count: 1<<64 - 1},
	}
}

func writeIndexesFile(t *testing.T) {
	t.Helper()
	ok(t, os.RemoveAll(indexesFile))
	db, err := userdata.Open(indexesFile, &userdata.Options{Program: "golden-1"}, shelvesOld)
	ok(t, err)
	putAll(t, db, &shelfOld{ID: -1, Name: "a", Code: "x"}, &shelfOld{ID: 3})
	ok(t, db.Close())
	db, err = userdata.Open(indexesFile, &userdata.Options{Program: "golden-2", Migrations: toShelves, NoBackup: true}, shelves)
	ok(t, err)
	s := db.NewSession()
	all, err := shelves.Select(s).All(t.Context())
	ok(t, err)
	for i, want := range map[int]*shelf{0: goldenShelves()[0], 1: goldenShelves()[2]} {
		*all[i] = *want
	}
	ok(t, s.Add(goldenShelves()[1]))
	ok(t, s.Commit(t.Context()))
	store := db.Store().(*userdata.BoltStore)
	ok(t, store.Compact(t.Context()))
	ok(t, db.Close())
}

// A file with every kind of index and a history can be read for ever, and reading
// changes nothing.
func TestFormat1Indexes(t *testing.T) {
	if *update {
		writeIndexesFile(t)
	}
	original, err := os.ReadFile(indexesFile)
	ok(t, err)
	path := filepath.Join(t.TempDir(), "shelves.db")
	ok(t, os.WriteFile(path, original, 0o600))
	for _, opts := range []*userdata.Options{{ReadOnly: true}, {Migrations: toShelves}} {
		db, err := userdata.Open(path, opts, shelves)
		ok(t, err)
		ok(t, userdata.CheckRecords(t.Context(), db))
		same(t, db, shelves, goldenShelves())
		ok(t, db.Close())
	}
	db, err := userdata.OpenFile(path, nil)
	ok(t, err)
	ok(t, userdata.CheckRecords(t.Context(), db))
	history, err := db.History(t.Context())
	ok(t, err)
	ok(t, db.Close())
	got := [][]string{}
	for i, v := range history {
		if v.Version != i+1 || v.Time.IsZero() {
			t.Errorf("got %+v as version %d", v, i+1)
		}
		got = append(got, append([]string{v.Program}, v.Migrations...))
	}
	if d := cmp.Diff([][]string{{"golden-1"}, {"golden-2", "1-names"}}, got); d != "" {
		t.Errorf("history (-want +got):\n%s", d)
	}
	if bytesOf(t, path) != string(original) {
		t.Error("the file was altered")
	}
	_, err = userdata.Open(path, nil, shelvesOld)
	is(t, err, userdata.ErrSchema)
}
