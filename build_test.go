package userdata_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

// One table as a program's versions declare it.
type (
	postPlain struct {
		ID    int      `userdata:"id,key"`
		Title string   `userdata:"title"`
		Slug  *string  `userdata:"slug"`
		Day   int      `userdata:"day"`
		Tags  []string `userdata:"tags"`
	}
	postIndexed struct {
		ID    int      `userdata:"id,key"`
		Title string   `userdata:"title,index"`
		Slug  *string  `userdata:"slug,index=x"`
		Day   int      `userdata:"day,index=x"`
		Tags  []string `userdata:"tags,index"`
	}
	postUnique struct {
		ID    int      `userdata:"id,key"`
		Title string   `userdata:"title"`
		Slug  *string  `userdata:"slug,unique=x"`
		Day   int      `userdata:"day,unique=x"`
		Tags  []string `userdata:"tags"`
	}
	postOther struct {
		ID    int      `userdata:"id,key"`
		Title string   `userdata:"title"`
		Slug  *string  `userdata:"slug,index=x:2"`
		Day   int      `userdata:"day,index=x:1"`
		Tags  []string `userdata:"tags"`
	}
	postClash struct {
		ID    int      `userdata:"id,key"`
		Title string   `userdata:"title,index"`
		Slug  *string  `userdata:"slug"`
		Day   int      `userdata:"day,unique"`
		Tags  []string `userdata:"tags"`
	}
)

var (
	postsPlain   = userdata.NewTable[postPlain]("posts")
	postsIndexed = userdata.NewTable[postIndexed]("posts")
	postsUnique  = userdata.NewTable[postUnique]("posts")
	postsOther   = userdata.NewTable[postOther]("posts")
	postsClash   = userdata.NewTable[postClash]("posts")
)

// A file is what can be opened several times: a file, or a MemStore.
type file interface {
	open(opts *userdata.Options, table userdata.Mapped) (db *userdata.DB, done func(), err error)
	bytes(t *testing.T) string
}

type boltFile struct{ path string }

func (f boltFile) open(opts *userdata.Options, table userdata.Mapped) (*userdata.DB, func(), error) {
	db, err := userdata.Open(f.path, opts, table)
	return db, func() { db.Close() }, err
}

func (f boltFile) bytes(t *testing.T) string {
	b, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

type memFile struct{ *userdata.MemStore }

func (f memFile) open(opts *userdata.Options, table userdata.Mapped) (*userdata.DB, func(), error) {
	db, err := userdata.OpenStore(context.Background(), f, opts, table)
	return db, func() {}, err
}

func (f memFile) bytes(*testing.T) string {
	all, version, err := contents(f)
	return fmt.Sprint(all, version, err)
}

// forEachFile runs a test on a file of 2500 posts without indexes, and on a store
// in memory.
func forEachFile(t *testing.T, test func(t *testing.T, f file)) {
	for name, f := range map[string]file{"bolt": boltFile{filepath.Join(t.TempDir(), "posts.db")}, "mem": memFile{userdata.NewMemStore()}} {
		t.Run(name, func(t *testing.T) {
			db, done, err := f.open(nil, postsPlain)
			if err != nil {
				t.Fatal(err)
			}
			defer done()
			s := db.NewSession()
			for i := range 2500 {
				p := &postPlain{ID: i, Title: fmt.Sprint("title", i%7), Day: i, Tags: []string{"x", fmt.Sprint(i % 3)}}
				if i%2 > 0 {
					p.Slug = ptr(fmt.Sprint(i))
				}
				if err := s.Add(p); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			done()
			test(t, f)
			if b, ok := f.(boltFile); ok {
				for _, err := range checkBolt(b.path) {
					t.Error(err)
				}
			}
		})
	}
}

func TestBuildIndexes(t *testing.T) {
	t.Parallel()
	forEachFile(t, func(t *testing.T, f file) {
		var progress []string
		opts := &userdata.Options{Progress: func(table string, done, total int) { progress = append(progress, fmt.Sprint(table, done, total)) }}
		steps := []struct {
			name  string
			table userdata.Mapped
			want  []string // of the progress
		}{
			{"new", postsIndexed, []string{"posts1000 2500", "posts2000 2500", "posts2500 2500"}},
			{"the same", postsIndexed, nil},
			{"now unique, others dropped", postsUnique, []string{"posts1000 2500", "posts2000 2500", "posts2500 2500"}},
			{"no longer unique, other order", postsOther, []string{"posts1000 2500", "posts2000 2500", "posts2500 2500"}},
			{"dropped", postsPlain, nil},
			{"unique, new", postsUnique, []string{"posts1000 2500", "posts2000 2500", "posts2500 2500"}},
			{"no longer unique, same order", postsIndexed, []string{"posts1000 2500", "posts2000 2500", "posts2500 2500"}},
		}
		for _, step := range steps {
			before := f.bytes(t)
			progress = nil
			db, done, err := f.open(opts, step.table)
			if err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			if err := userdata.CheckRecords(t.Context(), db); err != nil {
				t.Errorf("%s: %v", step.name, err)
			}
			if d := cmp.Diff(step.want, progress); d != "" {
				t.Errorf("%s: progress (-want +got):\n%s", step.name, d)
			}
			done()
			if step.name == "the same" && f.bytes(t) != before {
				t.Error("opening with the same indexes changed the file")
			}
		}
	})
}

// A unique index that the data contradicts is refused, and nothing changes.
func TestBuildClash(t *testing.T) {
	t.Parallel()
	forEachFile(t, func(t *testing.T, f file) {
		db, done, err := f.open(nil, postsIndexed)
		if err != nil {
			t.Fatal(err)
		}
		s := db.NewSession()
		if err := errors.Join(s.Add(&postIndexed{ID: 9000, Title: "a", Day: 17}, &postIndexed{ID: 9001, Day: 5}), s.Commit(t.Context())); err != nil {
			t.Fatal(err)
		}
		done()
		before := f.bytes(t)
		_, _, err = f.open(nil, postsClash)
		var re *userdata.RecordError
		if !errors.Is(err, userdata.ErrSchema) || !errors.As(err, &re) || re.Key != 9001 || re.Column != "day" ||
			!strings.Contains(err.Error(), "record 5 has day 5") || !strings.Contains(err.Error(), "posts 9000 day: already exists: record 17 has day 17") {
			t.Errorf("got %v, want ErrSchema that names the records 9001 and 5, 9000 and 17", err)
		}
		if after := f.bytes(t); after != before {
			t.Error("the refused index changed the file")
		}
		db, done, err = f.open(nil, postsIndexed)
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		if err := userdata.CheckRecords(t.Context(), db); err != nil {
			t.Error(err)
		}
	})
}

// Opened read-only, queries make do without the indexes that the file lacks.
func TestBuildReadOnly(t *testing.T) {
	t.Parallel()
	slug := userdata.ColumnOf(func(p *postUnique) **string { return &p.Slug })
	forEachFile(t, func(t *testing.T, f file) {
		for _, stored := range []userdata.Mapped{postsPlain, postsIndexed, postsUnique} {
			_, done, err := f.open(nil, stored)
			if err != nil {
				t.Fatal(err)
			}
			done()
			before := f.bytes(t)
			db, done, err := f.open(&userdata.Options{ReadOnly: true}, postsUnique)
			if err != nil {
				t.Fatal(err)
			}
			q := postsUnique.Select(db.NewSession()).Where(slug.Eq(ptr("77")))
			if r, err := q.One(t.Context()); err != nil || r.ID != 77 {
				t.Errorf("got %v, %v, want post 77", r, err)
			}
			plan, err := q.Explain()
			if has := stored == userdata.Mapped(postsUnique); err != nil || (plan.Index == "x") != has || (len(db.Schema().Tables[0].Indexes) == 1) != has {
				t.Errorf("got %s, %v, %s, want the index there only if the file has it", plan, err, db.Schema())
			}
			done()
			if f.bytes(t) != before {
				t.Error("the file was changed")
			}
		}
	})
}

// A damaged record ends the building, and is named.
func TestBuildCorrupt(t *testing.T) {
	t.Parallel()
	forEachFile(t, func(t *testing.T, f file) {
		m, ok := f.(memFile)
		if !ok {
			return
		}
		var key []byte
		for k := range bucketEntries(t, m, "posts") {
			key = []byte(k)
		}
		if err := m.Apply(t.Context(), &userdata.ChangeSet{Changes: []userdata.Change{{Bucket: "posts", Key: key, Value: bytes.Repeat([]byte{1}, 20)}}}); err != nil {
			t.Fatal(err)
		}
		before := f.bytes(t)
		_, _, err := f.open(nil, postsIndexed)
		var re *userdata.RecordError
		if !errors.Is(err, userdata.ErrCorrupt) || !errors.As(err, &re) || re.Key == nil || f.bytes(t) != before {
			t.Errorf("got %v, want ErrCorrupt that names the record, and nothing changed", err)
		}
	})
}
