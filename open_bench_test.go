package userdata_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/seed-5df914be/userdata"
)

// BenchmarkOpenSchema opens a store in memory with many tables, so that what it
// costs is the comparison of schemas: by the sums, where nothing has changed, and
// table by table.
func BenchmarkOpenSchema(b *testing.B) {
	for _, n := range []int{1, 20} {
		var tables []userdata.Mapped
		for i := range n {
			d := declare("id int key", "title string size=120", "body string", "due time null", "index title title")
			d.schema.Name = fmt.Sprint("table", i)
			table, err := userdata.RowTableOf(d.schema, nil)
			if err != nil {
				b.Fatal(err)
			}
			tables = append(tables, table)
		}
		for _, way := range []string{"sums", "tables"} {
			b.Run(fmt.Sprintf("compare=%s/tables=%d", way, n), func(b *testing.B) {
				store := userdata.NewMemStore()
				open := func() {
					if _, err := userdata.OpenStore(b.Context(), store, nil, tables...); err != nil {
						b.Fatal(err)
					}
				}
				open()
				if way == "tables" {
					err := store.Apply(b.Context(), &userdata.ChangeSet{Changes: []userdata.Change{{Bucket: "_meta", Key: []byte("schema")}}})
					if err != nil {
						b.Fatal(err)
					}
				}
				b.ReportAllocs()
				for b.Loop() {
					open()
				}
			})
		}
	}
}

// BenchmarkOpenFile opens and closes a file, with all that this checks.
func BenchmarkOpenFile(b *testing.B) {
	path := filepath.Join(b.TempDir(), "open.db")
	b.ReportAllocs()
	for b.Loop() {
		db, err := userdata.Open(path, nil, tools)
		if err != nil {
			b.Fatal(err)
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
