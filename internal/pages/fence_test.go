package pages

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// branchOf returns a branch with these keys, whose children are the pages from 100 on.
func branchOf(keys [][]byte) *view {
	b := make([]byte, headerSize+len(keys)*elemSize)
	for i, key := range keys {
		at := headerSize + i*elemSize
		le.PutUint32(b[at:], uint32(len(b)-at))
		le.PutUint32(b[at+4:], uint32(len(key)))
		le.PutUint64(b[at+8:], uint64(100+i))
		b = append(b, key...)
	}
	return &view{b: b, count: len(keys)}
}

// randomKeys returns keys in order that are like each other.
func randomKeys(rng *rand.Rand) (keys [][]byte) {
	prefix := bytes.Repeat([]byte("ab\x00"), rng.IntN(5))
	letters, longest := 1+rng.IntN(4), 1+rng.IntN(14)
	for range 1 + rng.IntN(120) {
		key := slices.Clone(prefix)
		for range 1 + rng.IntN(longest) {
			key = append(key, byte(rng.IntN(letters)))
		}
		keys = append(keys, key)
	}
	slices.SortFunc(keys, bytes.Compare)
	return slices.CompactFunc(keys, bytes.Equal)
}

// TestFences looks keys up by the fences of random branches and by the branches.
func TestFences(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	sure, unsure := 0, 0
	for range 3000 {
		keys := randomKeys(rng)
		v := branchOf(keys)
		f := newFence(5, v)
		if f == nil {
			t.Fatalf("no fence of %q", keys)
		}
		for range 30 {
			key := slices.Clone(keys[rng.IntN(len(keys))])
			for range rng.IntN(3) {
				key[rng.IntN(len(key))] += byte(rng.IntN(3)) - 1
			}
			key = append(key[:rng.IntN(len(key)+1)], []byte{0, 1, 2, 255}[:rng.IntN(5)]...)
			if len(key) == 0 {
				continue
			}
			want, ok := v.toward(key)
			if !ok {
				t.Fatal("the branch is not in order")
			}
			at, ok := f.toward(key)
			got := uint64(f.below[at])
			if ok && got != want {
				t.Fatalf("keys %q: %q is below page %d by the fence, and by the branch below %d", keys, key, got, want)
			}
			if ok {
				sure++
			} else {
				unsure++
			}
		}
	}
	if sure < 10_000 || unsure < 10_000 {
		t.Errorf("the fences knew %d times and did not %d times", sure, unsure)
	}
}

// TestFenceOfDamagedBranch makes no fence of a branch that is not in order.
func TestFenceOfDamagedBranch(t *testing.T) {
	keys := [][]byte{[]byte("key-aaaaaaaa"), []byte("key-bbbbbbbb"), []byte("key-cccccccc"), []byte("key-dddddddd")}
	for name, damage := range map[string]func(b []byte){
		"order":        func(b []byte) { b[len(b)-20] = 'z' },
		"prefix":       func(b []byte) { b[headerSize+4*elemSize+12] = 'x' },
		"beyond":       func(b []byte) { le.PutUint32(b[headerSize+elemSize:], 1<<31) },
		"no key":       func(b []byte) { le.PutUint32(b[headerSize+elemSize+4:], 0) },
		"distant page": func(b []byte) { le.PutUint64(b[headerSize+8:], 1<<40) },
	} {
		v := branchOf(keys)
		if newFence(5, v) == nil {
			t.Fatal("no fence of a sound branch")
		}
		damage(v.b)
		if f := newFence(5, v); f != nil {
			t.Errorf("%s: got a fence: %v", name, f)
		}
	}
}

// TestFencesDropped has fences come and go, which are found until they are dropped, and which
// take no more room than those that are there.
func TestFencesDropped(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var x Fences
	there := map[uint64]*fence{}
	for i := range 20_000 {
		id := uint64(rng.IntN(500)) + uint64(i/100)
		if rng.IntN(3) == 0 {
			n := uint64(rng.IntN(8))
			x.Drop(id, n)
			for k := range n {
				delete(there, id+k)
			}
		} else {
			there[id] = &fence{id: id}
			x.add(there[id])
		}
		id = uint64(rng.IntN(800)) // 0 is no branch's, but may be that of a damaged one's child
		if got := x.of(id); got != there[id] {
			t.Fatalf("after %d steps: page %d has %v, want %v", i, id, got, there[id])
		}
	}
	if n := len(*x.table.Load()); n > 8*len(there)+256 {
		t.Errorf("%d fences are in a table of %d", len(there), n)
	}
}

// TestFencesAtOnce has many read fences while one goroutine makes and drops them.
func TestFencesAtOnce(t *testing.T) {
	var x Fences
	var group sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		group.Go(func() {
			for id := uint64(0); ; id++ {
				select {
				case <-stop:
					return
				default:
				}
				if f := x.of(id % 300); f != nil && f.id != id%300 {
					t.Errorf("page %d has the fence of %d", id%300, f.id)
					return
				}
			}
		})
	}
	for i := range uint64(20_000) {
		x.add(&fence{id: i * 7 % 300})
		x.Drop(i%300, i%5)
	}
	close(stop)
	group.Wait()
}

// TestMarksForDamaged asks for the marks of leaves that say they have very many elements: a number
// that can be made, also where an int has 32 bits.
func TestMarksForDamaged(t *testing.T) {
	for _, size := range []int{1 << 12, 1 << 16, 1 << 20} {
		for _, count := range []int{1, 30, 80, 81, 4000, size/elemSize - 2} {
			count = min(count, size/elemSize-2)
			v := &view{b: make([]byte, size), count: count, keys: inLeaf}
			at := headerSize + (count-1)*elemSize
			le.PutUint32(v.b[at+4:], elemSize) // the last element is sound
			le.PutUint32(v.b[at+8:], 1)
			if each := marksFor(v); each < 0 || each > maxEach {
				t.Errorf("%d elements in %d bytes: %d words", count, size, each)
			}
		}
	}
}
