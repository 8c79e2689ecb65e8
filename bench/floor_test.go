package main

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// BenchmarkFloor measures, in turns with raw bbolt, what is left of each of its
// operations when all is taken away that a store of records in bbolt's pages could do
// otherwise: values are encoded and sorted before the clock runs, and looked at
// afterwards or not at all, transactions and buckets are at hand, and a commit is synced
// once. What remains is bbolt's own, and the memory's and the disk's. Nothing that opens
// such a file and writes to it by bbolt can cost less, whatever its own part is, but for
// reads that several processors share.
func BenchmarkFloor(b *testing.B) {
	f := newFloor(b)
	b.Run("load", f.load)
	b.Run("change", f.change)
	f.notes, f.pairs = nil, nil // garbage is collected the less often the more memory is in use
	b.Run("open", f.open)
	b.Run("get", f.get)
	b.Run("scan", f.scan)
	b.Run("tracked", f.tracked)
	b.Run("index", f.index)
	b.Run("filter", f.filter)
}

// A floor is a corpus, and a file of raw bbolt that has it.
type floor struct {
	*corpus
	dir   string      // of that
	notes [][]*Note   // in commits
	pairs [][2][]pair // the same, of both buckets
}

func newFloor(b *testing.B) *floor {
	f := &floor{corpus: newCorpus(100_000), dir: b.TempDir()}
	for from := 0; from < f.n; from += commitSize {
		var notes []*Note
		var records, entries []pair
		for i := range min(commitSize, f.n-from) {
			n := f.note(from + i)
			value, err := encodeNote(n)
			if err != nil {
				b.Fatal(err)
			}
			notes = append(notes, n)
			records, entries = append(records, pair{[]byte(n.ID), value}), append(entries, pair{indexKey(n), nil})
		}
		f.notes = append(f.notes, notes)
		f.pairs = append(f.pairs, [2][]pair{sorted(records), sorted(entries)})
	}
	db := f.raw(b, f.dir)
	f.insertAll(b, db)
	if err := db.close(); err != nil {
		b.Fatal(err)
	}
	return f
}

// sorted returns pairs in the order of their keys.
func sorted(pairs []pair) []pair {
	slices.SortFunc(pairs, func(a, b pair) int { return slices.Compare(a.key, b.key) })
	return pairs
}

// raw opens the peer's file in a folder.
func (f *floor) raw(b *testing.B, dir string) database {
	db, err := bboltPeer.open(context.Background(), dir)
	if err != nil {
		b.Fatal(err)
	}
	return db
}

func (f *floor) insertAll(b *testing.B, db database) {
	for _, notes := range f.notes {
		if err := db.insert(context.Background(), notes); err != nil {
			b.Fatal(err)
		}
	}
}

// versus runs both ways in turns, each of which does so many things. Before each of them,
// without the clock, it draws what they are done to.
func versus(b *testing.B, things int, draw, raw, bare func()) {
	var spent [2]time.Duration
	n := 0
	for b.Loop() {
		for i, fn := range []func(){raw, bare} {
			draw()
			begin := time.Now()
			fn()
			spent[i] += time.Since(begin)
		}
		n += things
	}
	b.ReportMetric(float64(spent[0])/float64(n), "ns/raw")
	b.ReportMetric(float64(spent[1])/float64(n), "ns/floor")
	b.ReportMetric(float64(spent[1])/float64(spent[0]), "floor/raw")
}

// must ends the benchmark if there is an error.
func must(b *testing.B, err error) {
	if err != nil {
		b.Fatal(err)
	}
}

// update is DB.Update with one sync for the commit, not two.
func update(b *testing.B, db *bbolt.DB, fn func(tx *bbolt.Tx)) {
	db.NoSync = true
	must(b, db.Update(func(tx *bbolt.Tx) error { fn(tx); return nil }))
	must(b, db.Sync())
}

func putAll(b *testing.B, bucket *bbolt.Bucket, pairs []pair) {
	for _, p := range pairs {
		must(b, bucket.Put(p.key, p.value))
	}
}

// bare opens a file of raw bbolt's, without the clock.
func bare(b *testing.B, path string) *bbolt.DB {
	db, err := bbolt.Open(path, 0o600, nil)
	must(b, err)
	b.Cleanup(func() { db.Close() })
	return db
}

func (f *floor) load(b *testing.B) {
	dir := ""
	versus(b, f.n, func() { dir = b.TempDir() }, func() {
		db := f.raw(b, dir)
		f.insertAll(b, db)
		must(b, db.close())
	}, func() {
		db := bare(b, filepath.Join(dir, "bare"))
		for _, p := range f.pairs {
			update(b, db, func(tx *bbolt.Tx) {
				for i, name := range [][]byte{bucketNotes, bucketIndex} {
					bucket, err := tx.CreateBucketIfNotExists(name)
					must(b, err)
					putAll(b, bucket, p[i])
				}
			})
		}
		must(b, db.Close())
	})
}

func (f *floor) open(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	key := ""
	versus(b, 1, func() { key = f.key(rng.IntN(f.n)) }, func() {
		db := f.raw(b, f.dir)
		_, err := db.get(context.Background(), key)
		must(b, err)
		must(b, db.close())
	}, func() {
		db, err := bbolt.Open(filepath.Join(f.dir, "notes.db"), 0o600, nil)
		must(b, err)
		must(b, db.Close())
	})
}

// reading gives the raw peer, and the buckets of the same file in an open transaction.
func (f *floor) reading(b *testing.B, fn func(raw database, notes, index *bbolt.Bucket)) {
	raw := f.raw(b, f.dir)
	must(b, raw.(*bboltDB).db.View(func(tx *bbolt.Tx) error {
		fn(raw, tx.Bucket(bucketNotes), tx.Bucket(bucketIndex))
		return nil
	}))
	must(b, raw.close())
}

// kept is what was read, so that no compiler leaves the reading out.
var kept []byte

func (f *floor) get(b *testing.B) {
	f.reading(b, func(raw database, notes, _ *bbolt.Bucket) {
		f.gets(b, raw, func(key string) { kept = slices.Clone(notes.Get([]byte(key))) })
	})
}

// gets has raw and a function read notes by key.
func (f *floor) gets(b *testing.B, raw database, bare func(key string)) {
	rng := rand.New(rand.NewPCG(2, 2))
	keys := make([]string, getsAtOnce)
	draw := func() {
		for i := range keys {
			keys[i] = f.key(rng.IntN(f.n))
		}
	}
	versus(b, len(keys), draw, func() {
		for _, key := range keys {
			_, err := raw.get(context.Background(), key)
			must(b, err)
		}
	}, func() {
		for _, key := range keys {
			bare(key)
		}
	})
}

// castagnoli is the checksum that this package's records have.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// made is what a scan gives out.
var made *Note

func (f *floor) scan(b *testing.B) {
	f.reading(b, func(raw database, notes, _ *bbolt.Bucket) {
		versus(b, f.n, func() {}, func() {
			must(b, raw.scan(context.Background(), func(n *Note) { made = n }))
		}, func() {
			must(b, notes.ForEach(func(key, value []byte) error {
				text := string(value)
				made = &Note{ID: text[5:21], Text: text[28:], Count: int64(crc32.Checksum(value, castagnoli))}
				return nil
			}))
		})
	})
}

// tracked is scan where all records are kept, as those of a session are, side by side, and with
// them the bytes that they are compared with later, which their strings are parts of.
func (f *floor) tracked(b *testing.B) {
	const many = 256
	f.reading(b, func(raw database, notes, _ *bbolt.Bucket) {
		versus(b, f.n, func() {}, func() {
			must(b, raw.scan(context.Background(), func(n *Note) { made = n }))
		}, func() {
			var all [][]Note
			var room []Note
			must(b, notes.ForEach(func(key, value []byte) error {
				if len(room) == 0 {
					room = make([]Note, many)
					all = append(all, room)
				}
				text := string(value)
				made, room = &room[0], room[1:]
				*made = Note{ID: text[5:21], Text: text[28:], Count: int64(crc32.Checksum(value, castagnoli))}
				return nil
			}))
		})
	})
}

func (f *floor) index(b *testing.B) {
	rng := rand.New(rand.NewPCG(3, 3))
	f.reading(b, func(raw database, notes, index *bbolt.Bucket) {
		from := 0
		versus(b, 1, func() { from = rng.IntN(f.n - pageSize) }, func() {
			must(b, raw.between(context.Background(), timeOf(from), timeOf(from+pageSize), func(n *Note) { made = n }))
		}, func() {
			c := index.Cursor()
			k, _ := c.Seek(timeKey(timeOf(from)))
			for range pageSize {
				kept = slices.Clone(notes.Get(k[8:]))
				k, _ = c.Next()
			}
		})
	})
}

func (f *floor) filter(b *testing.B) {
	f.reading(b, func(raw database, notes, _ *bbolt.Bucket) {
		versus(b, 1, func() {}, func() {
			must(b, raw.below(context.Background(), filterLimit, func(n *Note) { made = n }))
		}, func() {
			sum := uint32(0)
			must(b, notes.ForEach(func(key, value []byte) error {
				sum += crc32.Checksum(value, castagnoli)
				return nil
			}))
			kept = binary.BigEndian.AppendUint32(nil, sum)
		})
	})
}

func (f *floor) change(b *testing.B) {
	rng := rand.New(rand.NewPCG(4, 4))
	dirs := [2]string{b.TempDir(), b.TempDir()}
	for _, dir := range dirs {
		db := f.raw(b, dir)
		f.insertAll(b, db)
		must(b, db.close())
	}
	raw := f.raw(b, dirs[0])
	defer raw.close()
	db := bare(b, filepath.Join(dirs[1], "notes.db"))
	keys := make([]string, changeRecords)
	var pairs []pair
	draw := func() {
		pairs = nil
		for _, i := range rng.Perm(f.n)[:len(keys)] {
			n := f.note(i)
			n.Count++
			value, err := encodeNote(n)
			must(b, err)
			keys[len(pairs)] = n.ID
			pairs = append(pairs, pair{[]byte(n.ID), value})
		}
		pairs = sorted(pairs)
	}
	versus(b, len(keys), draw, func() {
		must(b, raw.change(context.Background(), keys))
	}, func() {
		update(b, db, func(tx *bbolt.Tx) { putAll(b, tx.Bucket(bucketNotes), pairs) })
	})
}
