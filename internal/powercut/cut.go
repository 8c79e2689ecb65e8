package powercut

import (
	"fmt"
	"iter"
	"maps"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// A Cut is one choice of what a power cut leaves. Its text says which, for the
// report of a test.
type Cut struct {
	names int      // how many of the pending operations on names are there
	parts []part   // of each undecided write and truncate
	order []fileAt // which these are
}

// fileAt is the place of an undecided operation.
type fileAt struct {
	file FileID
	op   int
}

// A part says what there is of one operation.
type part struct {
	how  extent
	seed uint32 // chooses the sectors: how many, or a set
}

// An extent is how much of an operation there is.
type extent uint8

const (
	nothing  extent = iota
	whole           // all of it
	head            // the first sectors
	tail            // the last sectors
	torn            // any of its sectors
	sizeOnly        // the size that it gives the file, but none of its data
)

// String tells what is there: a letter for each undecided operation, and which of
// its sectors.
func (c Cut) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "names %d, writes ", c.names)
	for _, p := range c.parts {
		s.WriteByte("-Khtrs"[p.how])
		if p.seed != 0 {
			fmt.Fprintf(&s, "(%x)", p.seed)
		}
	}
	return s.String()
}

// undecided returns the operations that may be there or not, of files that have a
// name in some image.
func (d *Disk) undecided() []fileAt {
	reachable := make([]bool, len(d.files))
	for _, id := range d.durable {
		reachable[id] = true
	}
	for _, op := range d.pending {
		if op.Kind == Create || op.Kind == Link {
			reachable[op.File] = true
		}
	}
	var at []fileAt
	for id := range d.files {
		for i, op := range d.files[id].ops {
			if reachable[id] && op.fate != kept {
				at = append(at, fileAt{FileID(id), i})
			}
		}
	}
	return at
}

// Cuts returns at most n different power cuts at this point. If each combination
// of operations that are there or not fits, it returns all of these, and then
// torn ones as far as they fit. Else it returns the extreme ones, then samples.
func (d *Disk) Cuts(n int, rng *rand.Rand) iter.Seq[Cut] {
	return func(yield func(Cut) bool) {
		e := enumeration{disk: d, at: d.undecided(), left: n, seen: map[string]bool{}, yield: yield}
		if len(e.at) < 20 && (len(d.pending)+1)<<len(e.at) <= n {
			e.all()
		} else {
			e.extremes()
		}
		// Many samples in a row that were there before mean that few are left.
		for misses := 0; e.left > 0 && misses < 40; misses++ {
			if e.emit(e.sample(rng)) {
				misses = 0
			}
		}
	}
}

// An enumeration is a run of [Disk.Cuts].
type enumeration struct {
	disk  *Disk
	at    []fileAt
	left  int
	seen  map[string]bool
	yield func(Cut) bool
}

// emit yields a cut, unless it was there before, which it reports.
func (e *enumeration) emit(names int, parts []part) bool {
	c := Cut{names, parts, e.at}
	key := c.String()
	if e.left == 0 || e.seen[key] {
		return false
	}
	e.seen[key] = true
	e.left--
	if !e.yield(c) {
		e.left = 0
	}
	return true
}

// all emits each combination of operations that are there or not.
func (e *enumeration) all() {
	for names := range len(e.disk.pending) + 1 {
		for set := range 1 << len(e.at) {
			parts := make([]part, len(e.at))
			for i := range parts {
				parts[i].how = extent(set >> i & 1)
			}
			e.emit(names, parts)
		}
	}
}

// extremes emits nothing, everything, everything but one, and only one.
func (e *enumeration) extremes() {
	m := len(e.disk.pending)
	for _, rest := range []extent{nothing, whole} {
		e.emit(0, e.allBut(-1, rest))
		e.emit(m, e.allBut(-1, rest))
	}
	for i := range min(len(e.at), e.left/4) {
		e.emit(m, e.allBut(i, whole))
		e.emit(m, e.allBut(i, nothing))
	}
}

// allBut gives all operations one extent, and the i-th the other.
func (e *enumeration) allBut(i int, rest extent) []part {
	parts := make([]part, len(e.at))
	for j := range parts {
		parts[j].how = rest
		if i == j {
			parts[j].how = whole - rest
		}
	}
	return parts
}

// sample chooses at random: mostly there, half and half, or mostly not; and how
// many of the operations are torn.
func (e *enumeration) sample(rng *rand.Rand) (names int, parts []part) {
	there, tear := 1+rng.IntN(8)*rng.IntN(2)+rng.IntN(3), rng.IntN(3)
	parts = make([]part, len(e.at))
	for i := range parts {
		op := &e.disk.files[e.at[i].file].ops[e.at[i].op]
		switch {
		case op.Kind == Write && rng.IntN(4) < tear:
			parts[i] = tearing(op.sectors(), rng)
		case rng.IntN(10) < there:
			parts[i].how = whole
		}
	}
	return rng.IntN(len(e.disk.pending) + 1), parts
}

// sectors returns how many sectors a write touches.
func (op *Op) sectors() int64 {
	if len(op.Data) == 0 {
		return 0
	}
	return (op.Offset+int64(len(op.Data))-1)/sector - op.Offset/sector + 1
}

// tearing chooses which of n sectors are there.
func tearing(n int64, rng *rand.Rand) part {
	if n < 2 {
		return part{how: sizeOnly}
	}
	p := part{how: head + extent(rng.IntN(4))}
	switch p.how {
	case head, tail:
		p.seed = 1 + rng.Uint32N(uint32(n-1))
	case torn:
		p.seed = 1 + rng.Uint32N(1<<min(n, 31)-1)
	}
	return p
}

// has reports whether sector i of n is there.
func (p part) has(i, n int64) bool {
	switch {
	case p.how == head:
		return i < int64(p.seed)
	case p.how == tail:
		return i >= int64(p.seed)
	case n <= 31:
		return p.seed>>i&1 == 1
	}
	return bits.OnesCount64((uint64(p.seed)+uint64(i)*0x9e3779b97f4a7c15)*0xbf58476d1ce4e5b9>>40)%2 == 1
}

// An Image is the files that are found after a power cut, by name.
type Image map[string][]byte

// Image returns the files that the cut leaves.
func (d *Disk) Image(c Cut) Image {
	names := maps.Clone(d.durable)
	if names == nil {
		names = map[string]FileID{}
	}
	for _, op := range d.pending[:c.names] {
		op.apply(names)
	}
	parts := map[fileAt]part{}
	for i, at := range c.order {
		parts[at] = c.parts[i]
	}
	image := Image{}
	for name, id := range names {
		image[name] = d.files[id].image(id, parts)
	}
	return image
}

// image returns the contents that a cut leaves.
func (f *file) image(id FileID, parts map[fileAt]part) []byte {
	b := make([]byte, len(f.base), max(len(f.base), len(f.cache)))
	copy(b, f.base)
	for i := range f.ops {
		op := &f.ops[i]
		p, undecided := parts[fileAt{id, i}]
		if !undecided {
			p.how = whole // it is kept
		}
		b = op.leave(b, p)
	}
	return b
}

// leave applies that part of an operation to b which is there.
func (op *Op) leave(b []byte, p part) []byte {
	if p.how == nothing {
		return b
	}
	if p.how == whole || op.Kind == Truncate {
		return op.change(b)
	}
	end := op.Offset + int64(len(op.Data))
	if p.how == sizeOnly {
		return resize(b, max(end, int64(len(b))))
	}
	first, n := op.Offset/sector, op.sectors()
	for s := first; s < first+n; s++ {
		if !p.has(s-first, n) {
			continue
		}
		from, to := max(s*sector, op.Offset), min((s+1)*sector, end)
		piece := Op{Kind: Write, Offset: from, Data: op.Data[from-op.Offset : to-op.Offset]}
		b = piece.change(b)
	}
	return b
}

// Write makes the folder, which exists, hold the files of the image and nothing
// else. It syncs nothing.
func (m Image) Write(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if m[e.Name()] != nil {
			continue // is overwritten
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	for name, b := range m {
		if err := overwrite(filepath.Join(dir, name), b); err != nil {
			return err
		}
	}
	return nil
}

// overwrite gives a file its contents, in place, which is faster than to free what
// it has first.
func overwrite(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(int64(len(b))); err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	return err
}

// A Trace is a run of operations on a disk.
type Trace struct {
	Start *Disk // not to be changed
	Ops   []Op
}

// Disks returns the disk before each operation, and after the last one. It is the
// same Disk each time, valid until the next.
func (t *Trace) Disks() iter.Seq2[int, *Disk] {
	return func(yield func(int, *Disk) bool) {
		d := t.Start.Clone()
		for i, op := range t.Ops {
			if !yield(i, d) {
				return
			}
			d.Apply(op)
		}
		yield(len(t.Ops), d)
	}
}
