//go:build unix

package main

import (
	"context"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// BenchmarkOwnFloor is BenchmarkFloor for reads of the package's own file by its own reader,
// which leaves less: the file is open and mapped, nobody else may use it, and there is no
// session, no query, no table with columns and no guard against a bad file. What remains
// is to find the bytes, to compare them with their checksum, and to make the record that the
// program gets, in memory that it may keep, without decoding anything. A scan is read by
// all processors, and its records are nobody's.
func BenchmarkOwnFloor(b *testing.B) {
	f := newFloor(b)
	f.notes, f.pairs = nil, nil
	own := newOwnFile(b, f)
	b.Run("get", own.get)
	b.Run("scan", own.scan)
	b.Run("tracked", own.tracked)
	b.Run("index", own.index)
}

// An ownFile is a file of the package's with the corpus of a floor.
type ownFile struct {
	*floor
	notes, byTime pages.Tree
	entries       [][]byte // the keys of byTime
}

func newOwnFile(b *testing.B, f *floor) *ownFile {
	dir := b.TempDir()
	db, err := userdataPeer.open(context.Background(), dir)
	must(b, err)
	for from := 0; from < f.n; from += commitSize {
		var notes []*Note
		for i := range min(commitSize, f.n-from) {
			notes = append(notes, f.note(from+i))
		}
		must(b, db.insert(context.Background(), notes))
	}
	must(b, db.close())

	file, err := os.Open(filepath.Join(dir, "notes.db"))
	must(b, err)
	defer file.Close()
	info, err := file.Stat()
	must(b, err)
	data, err := syscall.Mmap(int(file.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	must(b, err)
	b.Cleanup(func() { syscall.Munmap(data) })
	rep, err := pages.Metas(file, info.Size())
	must(b, err)
	m, err := pages.NewMap(data, rep.Metas[rep.Meta])
	must(b, err)
	m = m.With(&pages.Fences{})
	o := &ownFile{floor: f}
	for name, tree := range map[string]*pages.Tree{"notes": &o.notes, "_index/notes/updated": &o.byTime} {
		found := false
		if *tree, found, err = m.Bucket([]byte(name)); !found || err != nil {
			b.Fatal(name, found, err)
		}
	}
	var c pages.Cursor
	c.Reset(&o.byTime)
	for key, _, err := c.First(); key != nil; key, _, err = c.Next() {
		must(b, err)
		o.entries = append(o.entries, slices.Clone(key))
	}
	return o
}

// idAt and textAt are where the texts of a note are in its value.
const idAt, textAt = 5, 28

func (o *ownFile) get(b *testing.B) {
	raw := o.raw(b, o.dir)
	defer raw.close()
	m := maker{few: true}
	o.gets(b, raw, func(key string) {
		value, err := o.notes.Get([]byte(key))
		must(b, err)
		made = m.note(value)
	})
}

// each calls fn with the values of all notes, in as many goroutines as there are processors, of
// each of which it has the number.
func (o *ownFile) each(b *testing.B, fn func(reader int, value []byte)) {
	var leaves pages.Leaves
	_, err := leaves.Reset(&o.notes, nil, nil)
	must(b, err)
	var runs [][]uint64
	for {
		run, err := leaves.Next(make([]uint64, 0, 32))
		must(b, err)
		if len(run) == 0 {
			break
		}
		runs = append(runs, run)
	}
	var group sync.WaitGroup
	readers := runtime.GOMAXPROCS(0)
	for reader := range readers {
		group.Go(func() {
			for i := reader; i < len(runs); i += readers {
				for k, id := range runs[i] {
					if k+1 < len(runs[i]) {
						o.notes.Prefetch(runs[i][k+1])
					}
					leaf, err := o.notes.Leaf(id)
					must(b, err)
					var last []byte
					for i := range leaf.Len() {
						key, value := leaf.Entry(i, last)
						last = key
						fn(reader, value)
					}
				}
			}
		})
	}
	group.Wait()
}

// manyNotes is how many notes are allocated at once, and manyBytes how many bytes of texts; fewNotes
// and fewBytes if they are got by key.
const (
	manyNotes, manyBytes = 147, 9472 - 8
	fewNotes, fewBytes   = 15, 1024 - 8
)

// A maker makes notes side by side.
type maker struct {
	few   bool
	notes []Note
	texts []byte
	ends  []uint32
	kept  []keptRun
	last  *Note
	_     [64]byte // no other goroutine writes to what is beside it
}

func (m *maker) note(value []byte) *Note {
	notes, bytes := manyNotes, manyBytes
	if m.few {
		notes, bytes = fewNotes, fewBytes
	}
	if len(m.notes) == 0 {
		m.notes = make([]Note, notes)
	}
	if cap(m.texts)-len(m.texts) < len(value) {
		m.texts = make([]byte, 0, bytes)
	}
	from := len(m.texts)
	m.texts = append(m.texts, value[idAt:]...)
	text := unsafe.String(&m.texts[from], len(m.texts)-from) // nobody writes there again
	m.last, m.notes = &m.notes[0], m.notes[1:]
	*m.last = Note{ID: text[:16], Text: text[textAt-idAt:], Count: int64(crc32.Checksum(value, castagnoli))}
	return m.last
}

func (o *ownFile) scan(b *testing.B) {
	o.scans(b, func(m *maker, value []byte) { m.note(value) })
}

// A keptRun is notes side by side, and the bytes that they were made from, with where each
// ends: the least that a session keeps of what it has read.
type keptRun struct {
	first *Note
	texts []byte
	ends  []uint32
}

func (o *ownFile) tracked(b *testing.B) {
	const many = 255
	o.scans(b, func(m *maker, value []byte) {
		n := m.note(value)
		begins := len(m.ends) == cap(m.ends) || len(m.notes) == manyNotes-1 || len(m.texts) < 2*len(value)
		if len(m.ends) == cap(m.ends) {
			m.ends = make([]uint32, 0, many)
		}
		if begins {
			m.kept = append(m.kept, keptRun{n, m.texts[:0], m.ends[len(m.ends):]})
		}
		m.ends = append(m.ends, uint32(len(m.texts)))
	})
}

// scans has raw and a function read all notes, the latter with a maker for each processor.
func (o *ownFile) scans(b *testing.B, bare func(m *maker, value []byte)) {
	raw := o.raw(b, o.dir)
	defer raw.close()
	versus(b, o.n, func() {}, func() {
		must(b, raw.scan(context.Background(), func(n *Note) { made = n }))
	}, func() {
		makers := make([]maker, runtime.GOMAXPROCS(0))
		o.each(b, func(reader int, value []byte) { bare(&makers[reader], value) })
		made = makers[0].last
	})
}

func (o *ownFile) index(b *testing.B) {
	rng := rand.New(rand.NewPCG(3, 3))
	raw := o.raw(b, o.dir)
	defer raw.close()
	from := 0
	keys, values := make([][]byte, pageSize), make([][]byte, pageSize)
	versus(b, 1, func() { from = rng.IntN(o.n - pageSize) }, func() {
		must(b, raw.between(context.Background(), timeOf(from), timeOf(from+pageSize), func(n *Note) { made = n }))
	}, func() {
		var c pages.Cursor
		var m maker
		c.Reset(&o.byTime)
		key, _, err := c.Seek(o.entries[from])
		for i := range keys {
			must(b, err)
			keys[i] = key[len(key)-16:]
			key, _, err = c.Next()
		}
		if !o.notes.GetAll(keys, values) {
			b.Fatal("a page is not in order")
		}
		for _, value := range values {
			made = m.note(value)
		}
	})
}
