package pages_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// check is Check of a file's bytes.
func check(t testing.TB, file []byte) pages.Report {
	t.Helper()
	r, err := pages.Check(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatalf("Check: %v", err)
	}
	return r
}

// walk is Walk of a file's bytes from the meta page that it is best read from.
func walk(t testing.TB, file []byte, meta int) (pages.Report, contents) {
	t.Helper()
	c := contents{}
	r, err := pages.Walk(bytes.NewReader(file), int64(len(file)), meta, c.visit)
	if err != nil {
		t.Fatalf("Walk: %v", err)
	}
	return r, c
}

// counts are the buckets that a report of the contents must have.
func (c contents) counts() map[string][2]uint64 {
	n := map[string][2]uint64{}
	for path, v := range c {
		parts := strings.Split(path, `"/"`)
		root := strings.Trim(parts[0], `/"`)
		k := n[root]
		if v != nil && len(parts) == 2 {
			k[0]++
		} else if v != nil {
			k[1]++
		}
		n[root] = k
	}
	return n
}

func TestShapes(t *testing.T) {
	for _, s := range shapes() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			path := s.build(t)
			file := read(t, path)
			want := load(t, path, s.opts)
			r := check(t, file)
			if err := r.Err(); err != nil {
				t.Fatalf("%v", r.Findings)
			}
			got := map[string][2]uint64{}
			for _, b := range r.Buckets {
				got[b.Name] = [2]uint64{b.Entries, b.Nested}
			}
			if diff := cmp.Diff(want.counts(), got); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
			w, seen := walk(t, file, r.Meta)
			if diff := cmp.Diff(w, r); diff != "" {
				t.Errorf("reports of Walk and Check differ (-Walk +Check):\n%s", diff)
			}
			if !maps.EqualFunc(want, seen, bytes.Equal) {
				t.Errorf("contents (-want +got):\n%.2000s", cmp.Diff(want, seen))
			}
			samePages(t, path, s.opts, &r)
		})
	}
}

// samePages compares the numbers of pages with those that bbolt knows.
func samePages(t *testing.T, path string, opts bolt.Options, r *pages.Report) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &opts)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var want pages.Report
	err = db.View(func(tx *bolt.Tx) error {
		for id := 0; ; id++ {
			p, err := tx.Page(id)
			if p == nil || err != nil {
				want.Metas[r.Meta].HighWater = uint64(id)
				return err
			}
			switch p.Type {
			case "branch":
				want.Branches++
			case "leaf":
				want.Leaves++
			case "freelist":
				want.Freelist += 1 + uint64(p.OverflowCount)
				want.Overflow -= uint64(p.OverflowCount)
			case "free":
				want.Free++
			}
			if p.Type != "free" { // which has the header of what it once was
				want.Overflow += uint64(p.OverflowCount)
				id += p.OverflowCount
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	got := [...]uint64{r.Metas[r.Meta].HighWater, r.Branches, r.Leaves, r.Overflow, r.Freelist, r.Free}
	if w := [...]uint64{want.Metas[r.Meta].HighWater, want.Branches, want.Leaves, want.Overflow, want.Freelist, want.Free}; got != w {
		t.Errorf("high water, branches, leaves, overflow, freelist, free: got %d, want %d", got, w)
	}
	if r.PageSize != db.Info().PageSize {
		t.Errorf("page size: got %d, want %d", r.PageSize, db.Info().PageSize)
	}
}

// TestWorkload shows that the rules hold for what bbolt writes: after each of
// many random transactions there is no finding, from either meta page, but for
// leaks that bbolt sees as well.
func TestWorkload(t *testing.T) {
	for i := range 8 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			opts := bolt.Options{
				NoSync: true, PageSize: []int{1024, 4096}[i&1], NoFreelistSync: i&2 != 0,
				FreelistType: []bolt.FreelistType{bolt.FreelistArrayType, bolt.FreelistMapType}[i>>2&1],
			}
			path := filepath.Join(t.TempDir(), "db")
			db, err := bolt.Open(path, 0o600, &opts)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			rnd := newRand(uint64(i))
			for n := range 80 {
				err := db.Update(func(tx *bolt.Tx) error {
					for range rnd.IntN(4) {
						if err := randomly(tx, rnd); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				file := read(t, path)
				for m := range 2 {
					r, err := pages.CheckMeta(bytes.NewReader(file), int64(len(file)), m)
					if err = errors.Join(err, r.Unsafe()); err != nil {
						t.Fatalf("transaction %d, meta %d: %v", n, m, r.Findings)
					}
					if r.Leaked > uint64(leaks(db)) {
						t.Fatalf("transaction %d, meta %d: bbolt sees less: %v", n, m, r.Findings)
					}
				}
			}
		})
	}
}

// leaks counts what bbolt finds, which must be nothing but pages that are neither
// used nor free. They stay so for ever.
func leaks(db *bolt.DB) (n int) {
	db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			if n++; !strings.HasSuffix(err.Error(), "unreachable unfreed") {
				panic(err)
			}
		}
		return nil
	})
	return n
}

// bbolt leaks pages where a bucket is deleted in the transaction that changed it.
func TestLeak(t *testing.T) {
	s := shape{"", bolt.Options{PageSize: 1024}, []func(*bolt.Tx) error{
		put(0, 50, 20, "a", "1"), put(0, 50, 20, "a", "2"), put(0, 50, 20, "a", "3"), put(0, 9, 9, "b"),
		func(tx *bolt.Tx) error { return errors.Join(put(0, 1, 1, "a")(tx), drop(tx)) },
	}}
	path := s.build(t)
	file := read(t, path)
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	want := leaks(db)
	r := check(t, file)
	if r.Leaked == 0 || r.Leaked != uint64(want) || !errors.Is(r.Err(), pages.ErrLeaked) || r.Unsafe() != nil {
		t.Errorf("got %d pages, %v; bbolt finds %d", r.Leaked, r.Findings, want)
	}
}

// randomly does something in a random bucket, a little or much.
func randomly(tx *bolt.Tx, rnd *rand.Rand) error {
	path := []string{string(rune('a' + rnd.IntN(3)))}
	for rnd.IntN(3) == 0 {
		path = append(path, fmt.Sprint(rnd.IntN(4)))
	}
	b, err := bucket(tx, path)
	if err != nil {
		return err
	}
	b.FillPercent = []float64{0.1, 0.5, 0.5, 0.9, 1}[rnd.IntN(5)]
	from, n := rnd.IntN(500), 1<<rnd.IntN(9)
	what, step, long := rnd.IntN(8), 1+rnd.IntN(3)*rnd.IntN(3), rnd.IntN(9) == 0
	for i := 0; i < n && err == nil; i++ {
		k := key(from + i*step)
		if long {
			k = append(k, make([]byte, rnd.IntN(900))...)
		}
		switch {
		case what < 4:
			err = b.Put(k, make([]byte, rnd.IntN(1<<rnd.IntN(12))))
		case what < 7:
			err = b.Delete(k)
		default:
			c := b.Cursor()
			if k, v := c.Seek(k); v != nil && k != nil {
				err = c.Delete()
			}
		}
	}
	if err == nil && len(path) > 1 && rnd.IntN(9) == 0 {
		var parent *bolt.Bucket
		if parent, err = bucket(tx, path[:len(path)-1]); err == nil {
			err = parent.DeleteBucket([]byte(path[len(path)-1]))
		}
	}
	return err
}

// A backup has two meta pages of which neither has the number of its place.
func TestBackup(t *testing.T) {
	for n := range 2 {
		s := shape{"", bolt.Options{}, all[:len(all)-n]}
		db, err := bolt.Open(s.build(t), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var file bytes.Buffer
		if err := db.View(func(tx *bolt.Tx) error { _, err := tx.WriteTo(&file); return err }); err != nil {
			t.Fatal(err)
		}
		for m := range 2 {
			r, err := pages.CheckMeta(bytes.NewReader(file.Bytes()), int64(file.Len()), m)
			if err := errors.Join(err, r.Err()); err != nil {
				t.Errorf("meta %d: %v", m, err)
			}
		}
	}
}

// A failing reader gives a part of the file, and fails for the rest.
type failing struct {
	io.ReaderAt
	from, to int64
}

var errDisk = errors.New("disk fault")

func (f failing) ReadAt(b []byte, off int64) (int, error) {
	if off < f.to && off+int64(len(b)) > f.from {
		return 0, errDisk
	}
	return f.ReaderAt.ReadAt(b, off)
}

// What can't be read is an error of Check, and costs Walk no more than the page.
func TestReadErrors(t *testing.T) {
	for _, s := range []shape{
		{"", bolt.Options{PageSize: 4096}, append(all[:len(all):len(all)],
			wide(30, 2000))},
		{"", bolt.Options{PageSize: 1024}, []func(*bolt.Tx) error{put(0, 5, 80000, "a"), drop, put(0, 50, 9, "b")}},
	} {
		path := s.build(t)
		file := read(t, path)
		want := load(t, path, s.opts)
		r := check(t, file)
		pageSize := int64(s.opts.PageSize)
		must := map[int64]bool{0: true, pageSize: true} // sectors that can't be done without
		for i := range r.Freelist {
			must[int64(r.Metas[r.Meta].Freelist+i)*pageSize] = true
		}
		for id := range r.Metas[r.Meta].HighWater { // and all keys of a branch
			p := file[int64(id)*pageSize:]
			if over := int64(le.Uint32(p[12:])); le.Uint64(p) == id && le.Uint16(p[8:]) == 1 && over > 0 {
				for at := int64(id) * pageSize; at < (int64(id)+over)*pageSize; at += 512 {
					must[at] = s.opts.PageSize == 4096
				}
			}
		}
		failed := 0
		for from := int64(0); from < int64(r.Metas[r.Meta].HighWater)*pageSize; from += 512 {
			f := failing{bytes.NewReader(file), from, from + 512}
			c, err := pages.Check(f, int64(len(file)))
			if err != nil {
				failed++
			} else if c.Err() != nil {
				t.Errorf("at %d: a finding, and no error: %v", from, c.Err())
			}
			if must[from] && err == nil || err != nil && !errors.Is(err, errDisk) {
				t.Errorf("at %d: got %v", from, err)
			}
			partly(t, f, int64(len(file)), &r, want, from >= 2*pageSize && err != nil)
		}
		if failed < 15 {
			t.Errorf("only %d of the reads failed", failed)
		}
		short := io.NewSectionReader(bytes.NewReader(file), 0, 3*pageSize)
		if _, err := pages.Check(short, int64(len(file))); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("file shorter than said: got %v", err)
		}
	}
}

// The bucket in a leaf that overflows is read apart from its name.
func TestReadErrorInBucket(t *testing.T) {
	s := shape{"", bolt.Options{}, []func(*bolt.Tx) error{put(0, 2, 6000, "a"), put(0, 3, 5, "a", "the name")}}
	file := read(t, s.build(t))
	for _, offset := range []int64{0, 15, 16, 31, 32, 50} { // of the bucket: its root, and then its page
		failed := false
		for at := 0; ; at++ {
			next := bytes.Index(file[at:], []byte("the name"))
			if next < 0 {
				break
			}
			at += next
			from := int64(at+len("the name")) + offset
			_, err := pages.Check(failing{bytes.NewReader(file), from, from + 1}, int64(len(file)))
			failed = failed || errors.Is(err, errDisk)
		}
		if !failed {
			t.Errorf("offset %d: the disk fault is not seen", offset)
		}
	}
}

// A lazy reader breaks the promise that it fails if it reads less.
type lazy struct{}

func (lazy) ReadAt([]byte, int64) (int, error) { return 0, nil }

func TestLazyReader(t *testing.T) {
	if _, err := pages.Check(lazy{}, 1<<20); err == nil || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

// partly walks through a file that can't be read everywhere, and expects no other
// contents than these, and that the report tells of it.
func partly(t *testing.T, f failing, size int64, r *pages.Report, want contents, tells bool) {
	t.Helper()
	got := contents{}
	w, err := pages.Walk(f, size, r.Meta, got.visit)
	if err != nil {
		t.Fatalf("at %d: %v", f.from, err)
	}
	if tells && !errors.Is(w.Err(), errDisk) {
		t.Errorf("at %d: Walk reports %v", f.from, w.Err())
	}
	for _, f := range w.Findings {
		if f.Page != w.Findings[0].Page {
			t.Errorf("more than one page is lost: %v, %v", f, w.Findings[0])
		}
	}
	for k, v := range got {
		if w, ok := want[k]; !ok || !bytes.Equal(w, v) {
			t.Fatalf("at %d: %s is %.20q", f.from, k, v)
		}
	}
}

// Walk stops at once when the visitor fails, wherever it is.
func TestVisitorFails(t *testing.T) {
	s := shape{"", bolt.Options{}, all}
	file := read(t, s.build(t))
	stop := errors.New("stop")
	m := check(t, file).Meta
	for n := 0; ; n++ {
		calls := 0
		_, err := pages.Walk(bytes.NewReader(file), int64(len(file)), m, func([][]byte, []byte, []byte) error {
			if calls++; calls > n {
				return stop
			}
			return nil
		})
		if err == nil {
			break
		}
		if err != stop || calls != n+1 {
			t.Fatalf("after %d calls of %d: %v", calls, n+1, err)
		}
	}
	r, err := pages.Walk(bytes.NewReader(file), int64(len(file)), m, nil)
	if err != nil || r.Err() != nil {
		t.Errorf("without a visitor: %v, %v", err, r.Err())
	}
}
