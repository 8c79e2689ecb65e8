package userdata_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
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
		if hundredThousand.db != nil {
			hundredThousand.db.Close()
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

// A benchRecord is about 150 bytes as it is stored, with an index on the time.
type benchRecord struct {
	ID      int64     `userdata:"id,key"`
	Title   string    `userdata:"title"`
	Author  string    `userdata:"author"`
	Updated time.Time `userdata:"updated,index"`
	Words   int       `userdata:"words"`
	Done    bool      `userdata:"done"`
	Body    string    `userdata:"body"`
}

var (
	benchRecords       = userdata.NewTable[benchRecord]("records")
	benchRecordWords   = userdata.ColumnOf(func(r *benchRecord) *int { return &r.Words })
	benchRecordUpdated = userdata.ColumnOf(func(r *benchRecord) *time.Time { return &r.Updated })
)

// newBenchRecord returns the i-th record. One in a thousand has 7 words.
func newBenchRecord(i int) *benchRecord {
	return &benchRecord{int64(i), fmt.Sprint("The title of record ", i), "an author", benchTime(i), i%1000 + 7, i%2 == 0, benchBody[:70]}
}

// A benchFile is a file of records, made once for all benchmarks that read it.
type benchFile struct {
	once sync.Once
	path string
	db   *userdata.DB
}

var hundredThousand, million benchFile

// open returns the database of n records.
func (f *benchFile) open(b *testing.B, n int) *userdata.DB {
	b.Helper()
	f.once.Do(func() {
		if benchDir == "" {
			var err error
			if benchDir, err = os.MkdirTemp("", "userdata-bench"); err != nil {
				b.Fatal(err)
			}
		}
		f.path = filepath.Join(benchDir, fmt.Sprint("records-", n, ".db"))
		db, err := userdata.Open(f.path, nil, benchRecords)
		if err != nil {
			b.Fatal(err)
		}
		addRecords(b, db, 0, n)
		f.db = db
	})
	if f.db == nil {
		b.Fatal("the file could not be made")
	}
	return f.db
}

// addRecords commits records from the given one on, 10,000 at a time.
func addRecords(b *testing.B, db *userdata.DB, from, n int) {
	b.Helper()
	for ; n > 0; n -= 10_000 {
		s := db.NewSession()
		for range min(n, 10_000) {
			if err := s.Add(newBenchRecord(from)); err != nil {
				b.Fatal(err)
			}
			from++
		}
		if err := s.Commit(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// perRecord reports the time of one of the n records that each loop handles.
func perRecord(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/record")
}

func BenchmarkEncode(b *testing.B) {
	record := newBenchRecord(12345)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := userdata.Encode(benchRecords, record); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	key, value, err := userdata.Encode(benchRecords, newBenchRecord(12345))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(value)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := userdata.Decode(benchRecords, key, value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	db := hundredThousand.open(b, 100_000)
	b.Run("tracked", func(b *testing.B) {
		s := db.NewSession()
		defer s.Close()
		i := int64(0)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := benchRecords.Get(b.Context(), s, 10_000+i%1000); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
	b.Run("cold", func(b *testing.B) { // each in a session of its own
		i := int64(0)
		b.ReportAllocs()
		for b.Loop() {
			s := db.NewSession()
			if _, err := benchRecords.Get(b.Context(), s, i*7919%100_000); err != nil {
				b.Fatal(err)
			}
			s.Close()
			i++
		}
	})
	b.Run("untracked so far", func(b *testing.B) { // in one session, which grows
		s, i := db.NewSession(), int64(0)
		b.ReportAllocs()
		for b.Loop() {
			if i%100_000 == 0 {
				s = db.NewSession()
			}
			if _, err := benchRecords.Get(b.Context(), s, i*7919%100_000); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
}

func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint("sync=true/n=", n), func(b *testing.B) {
			db, err := userdata.Open(filepath.Join(b.TempDir(), "commit.db"), nil, benchRecords)
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				addRecords(b, db, i, n)
				i += n
			}
			perRecord(b, n)
		})
	}
}

// BenchmarkFlushClean looks for changes in 10,000 records that have none.
func BenchmarkFlushClean(b *testing.B) {
	const n = 10_000
	db := hundredThousand.open(b, 100_000)
	s := db.NewSession()
	defer s.Close()
	if _, err := benchRecords.Select(s).Limit(n).All(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	perRecord(b, n)
}

func BenchmarkScan(b *testing.B) {
	const n = 100_000
	db := hundredThousand.open(b, n)
	b.Run("tracked", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if all, err := benchRecords.Select(db.NewSession()).All(b.Context()); err != nil || len(all) != n {
				b.Fatal(len(all), err)
			}
		}
		perRecord(b, n)
	})
	b.Run("untracked", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if all, err := benchRecords.Select(db.NewSession()).Untracked().All(b.Context()); err != nil || len(all) != n {
				b.Fatal(len(all), err)
			}
		}
		perRecord(b, n)
	})
	rows := func(b *testing.B, q userdata.Query[benchRecord]) {
		seen := 0
		for _, err := range q.Rows(b.Context()) {
			if err != nil {
				b.Fatal(err)
			}
			seen++
		}
		if seen != n {
			b.Fatal(seen)
		}
	}
	b.Run("rows tracked", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			rows(b, benchRecords.Select(db.NewSession()))
		}
		perRecord(b, n)
	})
	b.Run("rows untracked", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			rows(b, benchRecords.Select(db.NewSession()).Untracked())
		}
		perRecord(b, n)
	})
	b.Run("rows of tracked", func(b *testing.B) { // all of which the session has
		s := db.NewSession()
		defer s.Close()
		rows(b, benchRecords.Select(s))
		b.ReportAllocs()
		for b.Loop() {
			rows(b, benchRecords.Select(s))
		}
		perRecord(b, n)
	})
}

// BenchmarkTracked asks a session that has all of 100,000 records.
func BenchmarkTracked(b *testing.B) {
	const n = 100_000
	s := hundredThousand.open(b, n).NewSession()
	defer s.Close()
	all := benchRecords.Select(s)
	ask := func(q userdata.Query[benchRecord], want int) func(b *testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got, err := q.All(b.Context()); err != nil || len(got) != want {
					b.Fatal(len(got), err)
				}
			}
		}
	}
	if got, err := all.All(b.Context()); err != nil || len(got) != n {
		b.Fatal(len(got), err)
	}
	b.Run("all", ask(all, n))
	b.Run("first 10", ask(all.Limit(10), 10))
}

// BenchmarkFilter finds 100 of 100,000 by a column without an index.
func BenchmarkFilter(b *testing.B) {
	const n = 100_000
	db := hundredThousand.open(b, n)
	for name, q := range map[string]userdata.Predicate[benchRecord]{
		"equal": benchRecordWords.Eq(7), "less": benchRecordWords.Lt(8),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if all, err := benchRecords.Select(db.NewSession()).Where(q).All(b.Context()); err != nil || len(all) != 100 {
					b.Fatal(len(all), err)
				}
			}
			perRecord(b, n)
		})
	}
}

// BenchmarkIndexPage reads 100 records in the order of an index.
func BenchmarkIndexPage(b *testing.B) {
	db := hundredThousand.open(b, 100_000)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		q := benchRecords.Select(db.NewSession()).Where(benchRecordUpdated.Ge(benchTime(i * 7919 % 99_000))).OrderBy(benchRecordUpdated.Asc()).Limit(100)
		if all, err := q.All(b.Context()); err != nil || len(all) != 100 {
			b.Fatal(len(all), err)
		}
		i++
	}
	perRecord(b, 100)
}

// BenchmarkCommitters has goroutines that commit one record at a time.
func BenchmarkCommitters(b *testing.B) {
	for _, n := range []int{1, 8, 64} {
		b.Run(fmt.Sprint("sync=true/goroutines=", n), func(b *testing.B) {
			db, err := userdata.Open(filepath.Join(b.TempDir(), "committers.db"), nil, benchRecords)
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for range n {
				wg.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						s := db.NewSession()
						if err := errors.Join(s.Add(newBenchRecord(int(i))), s.Commit(b.Context())); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// BenchmarkOpen opens a file and gets a record of it.
func BenchmarkOpen(b *testing.B) {
	b.Run("n=1000000", func(b *testing.B) {
		if testing.Short() {
			b.Skip("making the file takes a while")
		}
		if err := million.open(b, 1_000_000).Close(); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			db, err := userdata.Open(million.path, nil, benchRecords)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := benchRecords.Get(b.Context(), db.NewSession(), int64(777_777)); err != nil {
				b.Fatal(err)
			}
			if err := db.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkMemory reports what a tracked record takes, its own bytes included.
func BenchmarkMemory(b *testing.B) {
	const n = 100_000
	db := hundredThousand.open(b, n)
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := db.NewSession()
		if _, err := benchRecords.Select(s).All(b.Context()); err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(s)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/record")
	b.ReportMetric(0, "ns/op")
}
