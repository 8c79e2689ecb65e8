package pages_test

import (
	"bytes"
	"errors"
	"fmt"

	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// A tally is what reading a damaged file came to.
type tally struct {
	steps  int     // of cursors
	errs   []error // all that was returned
	opened int     // buckets
}

// add keeps an error, unless it is of what was asked for and not of the file.
func (y *tally) add(err error) {
	if err != nil && !errors.Is(err, pages.ErrNested) && !errors.Is(err, pages.ErrNotBucket) {
		y.errs = append(y.errs, err)
	}
}

// readAll reads all that a Map has in each way there is. It returns early, and
// says so, if there is no end to it: a cursor can't take more steps than there
// are elements in the file.
func readAll(m *pages.Map, size int) (y tally, err error) {
	var names [][]byte
	y.add(m.Buckets(func(name []byte) bool { names = append(names, name); return true }))
	for _, name := range names {
		t, found, err := m.Bucket(name)
		y.add(err)
		if err == nil && found {
			if err := y.tree(&t, size, 0); err != nil {
				return y, fmt.Errorf("bucket %q: %w", name, err)
			}
		}
	}
	root := m.Root()
	return y, y.tree(&root, size, 0)
}

// tree reads one bucket, and those within it to some depth.
func (y *tally) tree(t *pages.Tree, size, depth int) error {
	y.opened++
	var c pages.Cursor
	c.Reset(t)
	var keys [][]byte
	for _, way := range []struct {
		start, step func() ([]byte, []byte, error)
		order       int
	}{{c.First, c.Next, 1}, {c.Last, c.Prev, -1}} {
		var last []byte
		n := 0
		k, _, err := way.start()
		for ; k != nil && err == nil; k, _, err = way.step() {
			if n++; n > size/16 {
				return errors.New("no end")
			}
			if last != nil && bytes.Compare(k, last) != way.order {
				return fmt.Errorf("%q after %q", k, last)
			}
			last = k
			if way.order > 0 {
				keys = append(keys, k)
			}
		}
		y.steps += n
		y.add(err)
		if again, _, err2 := way.step(); err != err2 && err != nil || again != nil {
			return fmt.Errorf("after the end: %q, %v, and before: %v", again, err2, err)
		}
	}
	var sought [20][]byte
	for i := range sought {
		if sought[i] = key(i * 37); i%2 == 0 && len(keys) > 0 {
			sought[i] = keys[i*31%len(keys)]
		}
	}
	if err := errors.Join(sameAsGet(t, sought[:]), sameAsCursor(t, size)); err != nil {
		return err
	}
	for i := range 12 {
		seek := key(i * 37)
		if i&1 == 0 && len(keys) > 0 {
			seek = keys[i*31%len(keys)]
		}
		k, _, err := c.Seek(seek)
		if err == nil && k != nil && bytes.Compare(k, seek) < 0 {
			return fmt.Errorf("sought %q, found %q", seek, k)
		}
		y.add(err)
		_, _, err = c.Next()
		y.add(err)
		_, err = t.Get(seek)
		y.add(err)
		y.add(t.CheckPath(seek))
		in, found, err := t.Bucket(seek)
		y.add(err)
		if found && depth < 1 {
			if err := y.tree(&in, size, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// sameAsGet compares what GetAll finds, if it finds nothing wrong, with what Get does.
func sameAsGet(t *pages.Tree, keys [][]byte) error {
	values := make([][]byte, len(keys))
	if !t.GetAll(keys, values) {
		return nil
	}
	for i, key := range keys {
		if want, err := t.Get(key); err != nil || !bytes.Equal(values[i], want) {
			return fmt.Errorf("key %q: GetAll found %q, Get %q, %v", key, values[i], want, err)
		}
	}
	return nil
}

// sameAsCursor compares what the leaves have, if nothing is wrong with them, with what a
// cursor comes to.
func sameAsCursor(t *pages.Tree, size int) error {
	var leaves pages.Leaves
	if several, err := leaves.Reset(t, nil, nil); !several || err != nil {
		return nil
	}
	var c pages.Cursor
	c.Reset(t)
	var last []byte
	for n := 0; ; {
		ids, err := leaves.Next(make([]uint64, 0, 3))
		if err != nil {
			return nil
		}
		if len(ids) == 0 {
			break
		}
		for _, id := range ids {
			leaf, err := t.Leaf(id)
			if err != nil {
				return nil
			}
			for i := range leaf.Len() {
				key, value := leaf.Entry(i, last)
				if key == nil {
					return nil
				}
				if n++; n > size/16 {
					return errors.New("no end of leaves")
				}
				if k, v, err := c.Next(); err != nil || !bytes.Equal(k, key) || !bytes.Equal(v, value) {
					return fmt.Errorf("leaf %d has %q: %q, the cursor found %q: %q, %v", id, key, value, k, v, err)
				}
				last = key
			}
		}
	}
	if k, _, err := c.Next(); k != nil || err != nil {
		return fmt.Errorf("no more leaves, but the cursor found %q, %v", k, err)
	}
	return nil
}

// Whatever is done to a file, reading it ends, without a panic.
func TestTreeDamage(t *testing.T) {
	n := uint64(damaged)
	if short() {
		n /= 10
	}
	list := victims(t, t.TempDir())
	failed, steps := 0, 0
	var slowest time.Duration
	for seed := range n {
		f, v, kind, how := mutate(list, seed)
		m, ok := mapAt(f, v.size, uint64(v.meta))
		if !ok {
			continue
		}
		start := time.Now()
		y, err := readAll(m, len(f))
		slowest = max(slowest, time.Since(start))
		if err != nil {
			t.Fatalf("seed %d, %s of %s: %v", seed, how, kind, err)
		}
		steps += y.steps
		if len(y.errs) > 0 {
			failed++
		}
	}
	t.Logf("%d files: %d readings failed, %d steps; slowest %v", n, failed, steps, slowest)
	if failed < int(n)/5 || steps < int(n)*100 {
		t.Error("the damage is not what it should be")
	}
}

// mapAt is the Map from the meta i of a file with pages of that size, even if that
// one's checksum is wrong.
func mapAt(f []byte, size int, i uint64) (*pages.Map, bool) {
	if len(f) < (int(i)+1)*size {
		return nil, false
	}
	meta := pages.MetaAt(f[int(i)*size:], i)
	if errors.Is(meta.Err, pages.Rules["checksum"]) {
		meta.Err = nil
	}
	m, err := pages.NewMap(f, meta)
	return &m, err == nil
}

// FuzzTree reads arbitrary bytes as a file, from each meta page: that ends, without
// a panic. (Give it -fuzzminimizetime=20x, or it spends its time on that.)
func FuzzTree(f *testing.F) {
	small := shape{"", bolt.Options{PageSize: 1024}, []func(*bolt.Tx) error{
		put(0, 40, 9, "a"), put(0, 2, 2, "b", "c"), put(0, 1, 1500, "d"), del(0, 9, 2, "a"),
	}}
	file := read(f, small.build(f))
	r := check(f, file)
	f.Add(file[:r.Metas[r.Meta].HighWater<<10], uint16(0), uint64(0))
	for _, c := range crafted {
		f.Add([]byte(c.file), uint16(0), uint64(0))
	}
	f.Fuzz(func(t *testing.T, b []byte, at uint16, v uint64) {
		b = bytes.Clone(b)
		if int(at)+8 <= len(b) {
			le.PutUint64(b[at:], le.Uint64(b[at:])^v)
		}
		if len(b) < 80 {
			return
		}
		size := pages.MetaAt(b, 0).PageSize
		for i := range uint64(2) {
			if m, ok := mapAt(b, int(min(size, 1<<16)), i); ok {
				if _, err := readAll(m, len(b)); err != nil {
					t.Error(err)
				}
			}
		}
	})
}
