package userdata_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/seed-5df914be/userdata"
)

// The benchmarks below are on a file, and every commit is synced to the disk.
// Each runs with indexes and without; the files are made once.

type benchNote struct {
	ID      int       `userdata:"id,key"`
	Slug    string    `userdata:"slug,unique"`
	Kind    string    `userdata:"kind,index"`
	Updated time.Time `userdata:"updated,index"`
	Body    string    `userdata:"body"`
}

type benchPlain struct {
	ID      int       `userdata:"id,key"`
	Slug    string    `userdata:"slug"`
	Kind    string    `userdata:"kind"`
	Updated time.Time `userdata:"updated"`
	Body    string    `userdata:"body"`
}

// benchMinute is how far apart two notes are: 100,000 are within 70 days.
const benchMinute = time.Minute

func benchTime(i int) time.Time { return articleStart.Add(time.Duration(i) * benchMinute) }

var benchBody = fmt.Sprintf("%0200d", 0)

type benchDBs struct {
	once           sync.Once
	indexed, plain *userdata.DB
}

var benches, sharedValue benchDBs

var (
	benchNotes  = userdata.NewTable[benchNote]("notes")
	benchPlains = userdata.NewTable[benchPlain]("notes")
)

// benchDir is where the benchmarks' files are; TestMain removes it.
var benchDir string

func TestMain(m *testing.M) {
	seedRapid()
	code := m.Run()
	if benchDir != "" {
		for _, dbs := range []*benchDBs{&benches, &sharedValue} {
			if dbs.indexed != nil {
				dbs.indexed.Close()
				dbs.plain.Close()
			}
		}
		os.RemoveAll(benchDir)
	}
	os.Exit(code)
}

// open makes two files of n notes once: with indexes, and without.
func (d *benchDBs) open(b *testing.B, n int) (indexed, plain *userdata.DB) {
	b.Helper()
	d.once.Do(func() {
		var err error
		if benchDir == "" {
			if benchDir, err = os.MkdirTemp("", "userdata-bench"); err != nil {
				b.Fatal(err)
			}
		}
		make := func(name string, table userdata.Mapped, record func(i int) any) *userdata.DB {
			db, err := userdata.Open(filepath.Join(benchDir, fmt.Sprintf("%s-%d.db", name, n)), nil, table)
			if err != nil {
				b.Fatal(err)
			}
			for from := 0; from < n; from += 10_000 {
				s := db.NewSession()
				for i := from; i < min(n, from+10_000); i++ {
					if err := s.Add(record(i)); err != nil {
						b.Fatal(err)
					}
				}
				if err := s.Commit(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
			return db
		}
		d.indexed = make("indexed", benchNotes, func(i int) any {
			return &benchNote{i, fmt.Sprint("slug", i), "shared", benchTime(i), benchBody}
		})
		d.plain = make("plain", benchPlains, func(i int) any {
			return &benchPlain{i, fmt.Sprint("slug", i), "shared", benchTime(i), benchBody}
		})
	})
	if d.indexed == nil || d.plain == nil {
		b.Fatal("the files could not be made")
	}
	return d.indexed, d.plain
}

// BenchmarkInsertShared adds a record to an index whose one value 16,000 records
// have, and two other indexes.
func BenchmarkInsertShared(b *testing.B) {
	indexed, plain := sharedValue.open(b, 16_000)
	i := 16_000
	insert := func(b *testing.B, db *userdata.DB, record func(i int) any) {
		b.ReportAllocs()
		for b.Loop() {
			i++
			s := db.NewSession()
			if err := s.Add(record(i)); err != nil {
				b.Fatal(err)
			}
			if err := s.Commit(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("index=true/sync=true/n=16000", func(b *testing.B) {
		insert(b, indexed, func(i int) any { return &benchNote{i, fmt.Sprint("slug", i), "shared", benchTime(i), benchBody} })
	})
	b.Run("index=false/sync=true/n=16000", func(b *testing.B) {
		insert(b, plain, func(i int) any { return &benchPlain{i, fmt.Sprint("slug", i), "shared", benchTime(i), benchBody} })
	})
}

// benchQueries runs the same query with indexes and without.
func benchQueries(b *testing.B, want int, indexed func(ctx context.Context, q userdata.Query[benchNote]) (int, error), plain func(ctx context.Context, q userdata.Query[benchPlain]) (int, error)) {
	withIndexes, without := benches.open(b, 100_000)
	b.Run("index=true/sync=true/n=100000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if n, err := indexed(b.Context(), benchNotes.Select(withIndexes.NewSession())); n != want || err != nil {
				b.Fatalf("got %d, %v, want %d", n, err, want)
			}
		}
	})
	b.Run("index=false/sync=true/n=100000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if n, err := plain(b.Context(), benchPlains.Select(without.NewSession())); n != want || err != nil {
				b.Fatalf("got %d, %v, want %d", n, err, want)
			}
		}
	})
}

func lengthOf[T any](all []*T, err error) (int, error) { return len(all), err }

func BenchmarkNewest20(b *testing.B) {
	updated := userdata.ColumnOf(func(n *benchNote) *time.Time { return &n.Updated })
	bare := userdata.ColumnOf(func(n *benchPlain) *time.Time { return &n.Updated })
	benchQueries(b, 20,
		func(ctx context.Context, q userdata.Query[benchNote]) (int, error) {
			return lengthOf(q.OrderBy(updated.Desc()).Limit(20).All(ctx))
		},
		func(ctx context.Context, q userdata.Query[benchPlain]) (int, error) {
			return lengthOf(q.OrderBy(bare.Desc()).Limit(20).All(ctx))
		})
}

func BenchmarkUniqueLookup(b *testing.B) {
	slug := userdata.ColumnOf(func(n *benchNote) *string { return &n.Slug })
	bare := userdata.ColumnOf(func(n *benchPlain) *string { return &n.Slug })
	benchQueries(b, 1,
		func(ctx context.Context, q userdata.Query[benchNote]) (int, error) {
			return lengthOf(q.Where(slug.Eq("slug54321")).All(ctx))
		},
		func(ctx context.Context, q userdata.Query[benchPlain]) (int, error) {
			return lengthOf(q.Where(bare.Eq("slug54321")).All(ctx))
		})
}

func BenchmarkRange1000(b *testing.B) {
	updated := userdata.ColumnOf(func(n *benchNote) *time.Time { return &n.Updated })
	bare := userdata.ColumnOf(func(n *benchPlain) *time.Time { return &n.Updated })
	benchQueries(b, 1000,
		func(ctx context.Context, q userdata.Query[benchNote]) (int, error) {
			return lengthOf(q.Where(updated.Ge(benchTime(50_000)), updated.Lt(benchTime(51_000))).All(ctx))
		},
		func(ctx context.Context, q userdata.Query[benchPlain]) (int, error) {
			return lengthOf(q.Where(bare.Ge(benchTime(50_000)), bare.Lt(benchTime(51_000))).All(ctx))
		})
}

func BenchmarkCountMonth(b *testing.B) {
	updated := userdata.ColumnOf(func(n *benchNote) *time.Time { return &n.Updated })
	bare := userdata.ColumnOf(func(n *benchPlain) *time.Time { return &n.Updated })
	from, to := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	benchQueries(b, 28*24*60,
		func(ctx context.Context, q userdata.Query[benchNote]) (int, error) {
			return q.Where(updated.Ge(from), updated.Lt(to)).Count(ctx)
		},
		func(ctx context.Context, q userdata.Query[benchPlain]) (int, error) {
			return q.Where(bare.Ge(from), bare.Lt(to)).Count(ctx)
		})
}
