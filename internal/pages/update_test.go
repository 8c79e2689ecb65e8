package pages

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
)

// An updated is a file in memory that Updates change, and what it should have.
type updated struct {
	t     *testing.T
	rng   *rand.Rand
	path  string
	data  []byte
	meta  Meta
	space *Space
	known *Fences                      // of the file's branches
	want  map[string]map[string]string // by bucket
	held  []heldState

	unseen bool // what it has is not compared, nor where it is written
	room   []byte
}

// A heldState is a state that somebody reads.
type heldState struct {
	meta Meta
	want map[string]map[string]string
}

func newUpdated(t *testing.T, seed uint64, pageSize int) *updated {
	f := &updated{t: t, rng: rand.New(rand.NewPCG(seed, 1)), path: filepath.Join(t.TempDir(), "file"), want: map[string]map[string]string{}, room: make([]byte, 400_000)}
	db, err := bbolt.Open(f.path, 0o600, &bbolt.Options{PageSize: pageSize, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	f.load()
	return f
}

// load reads the file from the disk.
func (f *updated) load() {
	f.t.Helper()
	var err error
	if f.data, err = os.ReadFile(f.path); err != nil {
		f.t.Fatal(err)
	}
	rep, err := Metas(bytes.NewReader(f.data), int64(len(f.data)))
	if err != nil || rep.Err() != nil {
		f.t.Fatal(err, rep.Err())
	}
	f.meta = rep.Metas[rep.Meta]
	if f.space, err = NewSpace(f.data, f.meta); err != nil {
		f.t.Fatal(err)
	}
	f.held, f.known = nil, &Fences{}
}

// write writes pages to the file, which must be free in all states that somebody reads.
func (f *updated) write(p Patch) error {
	for _, h := range append(f.held, heldState{meta: f.meta}) {
		if f.unseen {
			break
		}
		m, _ := NewMap(f.data, h.meta)
		f.used(&m, func(first, count uint64) {
			if first < p.end(m.shift) && p.First < first+count {
				f.t.Fatalf("pages %d to %d are written, and transaction %d has %d to %d", p.First, p.end(m.shift)-1, h.meta.Txid, first, first+count-1)
			}
		})
	}
	f.known.Drop(p.First, uint64(len(p.Bytes))/uint64(f.meta.PageSize))
	at := int(p.First) * int(f.meta.PageSize)
	if n := at + len(p.Bytes); n > len(f.data) {
		f.data = append(f.data, make([]byte, n-len(f.data))...)
	}
	copy(f.data[at:], p.Bytes)
	return nil
}

// used calls fn with all pages that a state has.
func (f *updated) used(m *Map, fn func(first, count uint64)) {
	var walk func(id uint64, root bool)
	walk = func(id uint64, root bool) {
		var v view
		if err := m.load(&v, id, root); err != nil {
			f.t.Fatal(err)
		}
		fn(id, uint64(len(v.b))>>m.shift)
		if v.branch() && v.count < minKeys {
			f.t.Fatalf("page %d is a branch with %d children", id, v.count)
		}
		for i := range v.count {
			if child, isRoot, err := v.leadsTo(i); err != nil {
				f.t.Fatal(err)
			} else if child != 0 {
				walk(child, isRoot)
			}
		}
	}
	walk(m.root, true)
}

// update makes the changes in one transaction.
func (f *updated) update(all map[string]map[string]string) (written int) {
	f.t.Helper()
	var states []uint64
	for _, h := range f.held {
		if h.meta.Txid < f.meta.Txid {
			states = append(states, h.meta.Txid)
		}
	}
	states = append(states, f.meta.Txid)
	expected := uint64(f.rng.IntN([]int{200, 100_000}[f.rng.IntN(2)]))
	f.space.Tight = f.rng.IntN(4) == 0
	if f.unseen {
		expected, f.space.Tight = 0, false
		for _, changes := range all {
			for key, value := range changes {
				expected += uint64(len(key)+len(value))/uint64(f.meta.PageSize) + 2
			}
		}
	}
	u, err := f.space.Begin(slices.Clip(f.data), f.meta, states, expected, func(p Patch) error {
		written += len(p.Bytes)
		return f.write(p)
	})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		var changes []Change
		for _, key := range slices.Sorted(maps.Keys(all[name])) {
			ch := Change{Key: []byte(key)}
			if v := all[name][key]; v != gone {
				ch.Value = []byte(v)
			}
			changes = append(changes, ch)
		}
		before := f.want[name]
		saw := func(key, was, _ []byte) {
			if f.unseen {
				return
			}
			if value, found := before[string(key)]; string(was) != value || (was != nil) != found {
				f.t.Fatalf("bucket %s, key %.40q: got %.40q before, want %.40q, %v", name, key, was, value, found)
			}
		}
		if err := u.Put([]byte(name), changes, saw, func() uint64 { return uint64(len(name)) }); err != nil {
			f.t.Fatal(err)
		}
		after := maps.Clone(before)
		if after == nil {
			after = map[string]string{}
		}
		for key, value := range all[name] {
			if after[key] = value; value == gone {
				delete(after, key)
			}
		}
		if len(after) > 0 || before != nil {
			f.want = maps.Clone(f.want)
			f.want[name] = after
		}
	}
	patches, _, m, err := u.Finish()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, p := range patches {
		written += len(p.Bytes)
		f.write(p)
	}
	copy(f.data[int(m.Txid&1)*int(m.PageSize):], MetaBytes(f.data[:m.PageSize], m))
	if n := int(m.HighWater) * int(m.PageSize); n > len(f.data) {
		f.t.Fatalf("the file has %d bytes, and should have %d", len(f.data), n)
	}
	f.meta = m
	u.Done()
	return written
}

// updateSeeds is how many random files are tried.
var updateSeeds = uint64(4)

// gone stands for a key that is deleted.
const gone = "\x00gone"

// check compares the file, and all states that somebody reads, with what they should have.
func (f *updated) check() {
	f.t.Helper()
	rep, err := Check(bytes.NewReader(f.data), int64(len(f.data)))
	if err != nil || len(rep.Findings) > 0 {
		f.t.Fatalf("transaction %d: got %v, %v, want a sound file", f.meta.Txid, rep.Findings, err)
	}
	for _, h := range append(slices.Clone(f.held), heldState{f.meta, f.want}) {
		m, _ := NewMap(f.data, h.meta)
		f.used(&m, func(_, _ uint64) {})
		got := map[string]map[string]string{}
		err := m.Buckets(func(name []byte) bool {
			got[string(name)] = map[string]string{}
			tree, _, err := m.Bucket(name)
			var c Cursor
			c.Reset(&tree)
			for key, value, err := c.First(); key != nil; key, value, err = c.Next() {
				if err != nil {
					f.t.Fatal(err)
				}
				got[string(name)][string(key)] = string(value)
			}
			f.lookUp(&m, name, h.want[string(name)])
			return err == nil
		})
		if diff := cmp.Diff(h.want, got); diff != "" || err != nil {
			f.t.Fatalf("transaction %d (-want +got):\n%.2000s%v", h.meta.Txid, diff, err)
		}
	}
}

// lookUp looks keys of a bucket up, with what is remembered of branches.
func (f *updated) lookUp(m *Map, name []byte, want map[string]string) {
	f.t.Helper()
	known := m.With(f.known)
	tree, _, err := known.Bucket(name)
	if err != nil {
		f.t.Fatal(err)
	}
	var keys [][]byte
	for key := range want {
		if keys = append(keys, []byte(key), []byte(key+"!")); len(keys) > 100 {
			break
		}
	}
	values := make([][]byte, len(keys))
	if !tree.GetAll(keys, values) {
		f.t.Fatalf("bucket %s: GetAll found something wrong", name)
	}
	for i, key := range keys {
		value, found := want[string(key)]
		got, err := tree.Get(key)
		if err != nil || string(got) != value || (got != nil) != found || string(values[i]) != value || (values[i] != nil) != found {
			f.t.Fatalf("transaction %d, bucket %s, key %.40q: got %.40q, %.40q and %v, want %.40q, %v", f.meta.Txid, name, key, got, values[i], err, value, found)
		}
	}
}

// bolt has bbolt check the file and change it, which goes on from there.
func (f *updated) bolt() {
	f.t.Helper()
	if err := os.WriteFile(f.path, f.data, 0o600); err != nil {
		f.t.Fatal(err)
	}
	db, err := bbolt.Open(f.path, 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		f.t.Fatal(err)
	}
	err = db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			f.t.Errorf("bbolt says: %v", err)
		}
		for name, entries := range f.want {
			if n := tx.Bucket([]byte(name)).Sequence(); n != uint64(len(name)) {
				f.t.Errorf("bucket %s has the sequence number %d", name, n)
			}
			for key, value := range entries {
				if got := tx.Bucket([]byte(name)).Get([]byte(key)); string(got) != value {
					f.t.Errorf("bucket %s, key %.40q: bbolt has %.40q, want %.40q", name, key, got, value)
				}
			}
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for name, entries := range f.want {
			n := 0
			for _, key := range slices.Sorted(maps.Keys(entries)) {
				if f.rng.IntN(4) != 0 || n > 40 {
					continue
				}
				n++
				b := tx.Bucket([]byte(name))
				if err := b.Delete([]byte(key)); err != nil {
					return err
				}
				delete(entries, key)
				if f.rng.IntN(2) == 0 {
					if err := b.Put([]byte(key+"b"), []byte("by bbolt")); err != nil {
						return err
					}
					entries[key+"b"] = "by bbolt"
				}
			}
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		f.t.Fatal(err)
	}
	f.load()
	f.check()
}

// draw returns changes of one transaction.
func (f *updated) draw() map[string]map[string]string {
	rng := f.rng
	all := map[string]map[string]string{}
	for range 1 + rng.IntN(3) {
		name := strings.Repeat("b", 1+rng.IntN(5))
		if rng.IntN(20) == 0 {
			name = fmt.Sprintf("bucket%d", rng.IntN(200))
		}
		changes := map[string]string{}
		most := []int{1, 3, 30, 1000}[rng.IntN(4)]
		existing := slices.Sorted(maps.Keys(f.want[name]))
		deletes := rng.IntN(4)
		from := 0
		if len(existing) > 0 {
			from = rng.IntN(len(existing))
		}
		for i := range 1 + rng.IntN(most) {
			var key string
			switch {
			case len(existing) > 0 && rng.IntN(4) < deletes:
				at := rng.IntN(len(existing))
				if deletes == 3 { // beside each other
					at = (from + i) % len(existing)
				}
				if key = existing[at]; rng.IntN(5) > 0 {
					changes[key] = gone
					continue
				}
			case rng.IntN(50) == 0:
				key = strings.Repeat(fmt.Sprintf("%c", 'a'+rng.IntN(26)), 1+rng.IntN(rng.IntN(maxKeySize)+1))
			case rng.IntN(3) == 0:
				key = fmt.Sprintf("z%08d", int(f.meta.Txid)*1000+i)
			default:
				key = fmt.Sprintf("%06d", rng.IntN(5000))
			}
			size := rng.IntN(200)
			if rng.IntN(40) == 0 {
				size = rng.IntN(20_000)
			}
			changes[key] = strings.Repeat(fmt.Sprintf("%c", 'a'+rng.IntN(26)), size)
		}
		if rng.IntN(40) == 0 { // all of them
			for _, key := range existing {
				changes[key] = gone
			}
		}
		all[name] = changes
	}
	return all
}

// Whatever is changed, a file has what it should have, also for those who read states before;
// all its pages are sound, and used or free; and bbolt can go on with it.
func TestUpdates(t *testing.T) {
	t.Parallel()
	for seed := range updateSeeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			f := newUpdated(t, seed, 1024<<(seed%4))
			for n := range 100 {
				f.update(f.draw())
				f.check()
				if f.rng.IntN(5) == 0 {
					f.held = append(f.held, heldState{f.meta, f.want})
				}
				if len(f.held) > 0 && f.rng.IntN(8) == 0 {
					i := f.rng.IntN(len(f.held))
					f.held = slices.Delete(f.held, i, i+1)
				}
				if n%25 == 24 {
					f.bolt()
				}
			}
		})
	}
}
