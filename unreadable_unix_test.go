//go:build linux || darwin

package userdata

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
)

// A spread is a record of TestOthersOfUnreadablePage.
type spread struct {
	ID   int    `userdata:"id,key"`
	Name string `userdata:"name,index"`
}

// firstLeaf returns the page of a bucket's first leaf, of a bucket in the leaf that is the root.
func firstLeaf(t *testing.T, data []byte, root uint64, bucket string) (id uint64) {
	t.Helper()
	const size, header = 4096, 16
	le := binary.LittleEndian
	page := data[root*size:][:size]
	for i := range int(le.Uint16(page[10:])) {
		e := page[header+header*i:]
		at, n := le.Uint32(e[4:]), le.Uint32(e[8:])
		if string(e[at:at+n]) == bucket {
			id = le.Uint64(e[at+n:])
		}
	}
	for depth := 0; depth < 10; depth++ {
		if page = data[id*size:][:size]; le.Uint16(page[8:])&2 != 0 {
			if depth == 0 {
				t.Fatal("the bucket has one page")
			}
			return id
		}
		id = le.Uint64(page[header+8:])
	}
	t.Fatal("there is no leaf")
	return 0
}

// Where a page can't be read, the records of other pages can: by key, one by one so often that the
// branches are remembered, and by an index.
func TestOthersOfUnreadablePage(t *testing.T) {
	if syscall.Getpagesize() != 4096 {
		t.Skip("the system's pages do not have the size of the file's")
	}
	if !ownsLock {
		t.Skip("files are read by bbolt here")
	}
	table := NewTable[spread]("spread")
	name := ColumnOf(func(r *spread) *string { return &r.Name })
	const n = 20_000
	for what, read := range map[string]func(db *DB, i int) error{
		"get": func(db *DB, i int) error {
			_, err := table.Get(t.Context(), db.NewSession(), n/2+i)
			return err
		},
		"index": func(db *DB, i int) error {
			from := n/2 + i
			all, err := table.Select(db.NewSession()).Where(name.Between(fmt.Sprintf("%05d", from), fmt.Sprintf("%05d", from+99))).All(t.Context())
			if err == nil && len(all) != 100 {
				err = fmt.Errorf("%d records", len(all))
			}
			return err
		},
	} {
		db, err := Open(filepath.Join(t.TempDir(), what+".db"), nil, table)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		err = db.Transact(t.Context(), func(s *Session) (err error) {
			for i := range n {
				if err = s.Add(&spread{i, fmt.Sprintf("%05d", i)}); err != nil {
					break
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		state := db.store.(*BoltStore).handle.direct.newest()
		leaf := firstLeaf(t, state.in.data, state.meta.Root, "spread") * 4096
		protect := func(how int) {
			if err := syscall.Mprotect(state.in.data[leaf:leaf+4096], how); err != nil {
				t.Fatal(err)
			}
		}
		protect(syscall.PROT_NONE)
		if _, err := table.Get(t.Context(), db.NewSession(), 0); err == nil {
			t.Errorf("%s: the page could be read", what)
		}
		for i := range 2000 {
			if err := read(db, i); err != nil {
				t.Errorf("%s %d: %v", what, i, err)
				break
			}
		}
		protect(syscall.PROT_READ)
	}
}
