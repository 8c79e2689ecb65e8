package pages

import (
	"cmp"
	"fmt"
	"slices"
)

// A Shrunk is a transaction after which the file can be cut: what the trees have stays
// as it is, but pages at the file's end have moved to free ones before.
type Shrunk struct {
	Meta    Meta // its number is one more than that of the last transaction
	Patches []Patch

	// Moved is how many pages of trees it writes.
	Moved uint64
}

// A Patch is what pages beside each other become.
type Patch struct {
	First uint64
	Bytes []byte
}

// Free returns how many pages the freelist of m names, in the file that begins with data.
func Free(data []byte, m Meta) (uint64, error) {
	free, err := freelistAt(data, m)
	return uint64(free.len()), err
}

// Shrink plans the transaction after that of m that lets most be cut off the end of the
// file in data. It moves at most so many pages, besides branches and the freelist, and leaves
// slack free ones at the end. All that it writes, besides its meta page, is to pages that are
// free in m: so m holds until that is replaced. It is nil if less would be cut off than
// written.
//
// Pages are moved as they are, with the branches above them; no leaf is read but those
// that move. A page that belongs to nobody, as far as can be seen, stays what and where
// it is; so do those of buckets within buckets. The freelist is believed, as bbolt does: a
// page that it names and that is found to be used is an error, but not all are found. An
// error says what is wrong with the file.
func Shrink(data []byte, m Meta, most, slack uint64) (*Shrunk, error) {
	s := shrinker{meta: m, slack: slack, from: map[uint64]int{}}
	var err error
	if s.file, err = NewMap(data, m); err != nil {
		return nil, err
	}
	if s.file.pages != m.HighWater {
		return nil, fmt.Errorf("%w: %d and %d", errHighWater, s.file.pages, m.HighWater)
	}
	if err := s.readFree(); err != nil {
		return nil, pageError(m.Freelist, err)
	}
	if err := s.tree(m.Root, mover{parent: -1}, true); err != nil {
		return nil, err
	}
	if err := s.choose(most); err != nil {
		return nil, err
	}
	if !s.renewBranches() {
		return nil, nil
	}
	return s.shrunk(), nil
}

// A shrinker plans a Shrunk.
type shrinker struct {
	file  Map
	meta  Meta
	slack uint64

	list   idList         // the freelist
	own    Run            // its pages
	unused pageSet        // the pages that it names, and its own
	free   []Run          // what of its pages is not taken yet, ascending
	from   map[uint64]int // by the size of a run, where in free one may still be found
	taken  pageSet

	movers   []mover // each behind that of its parent
	seen     pageSet
	branches uint64 // pages of those movers that lead to others
	end      uint64 // all pages from here on are unused, or move
}

// A mover is a branch, or a leaf with buckets, or a leaf that may have to move.
type mover struct {
	id, count uint64 // count is 0 until it was read
	to        uint64 // where it moves to; 0 for nowhere
	parent    int    // -1 for none
	at        int    // where in its parent's bytes its number is
	root      bool   // of a tree
}

// readFree reads the freelist.
func (s *shrinker) readFree() (err error) {
	if s.list, s.own, s.free, err = freePages(s.file.data, s.meta); err != nil {
		return err
	}
	for i := range s.list.len() {
		s.unused.add(s.list.at(i))
	}
	for i := range s.own.Count {
		s.unused.add(s.own.First + i)
	}
	return nil
}

// appendRun appends pages behind those of the runs.
func appendRun(runs []Run, r Run) []Run {
	if last := len(runs) - 1; last >= 0 && runs[last].First+runs[last].Count == r.First {
		runs[last].Count += r.Count
		return runs
	}
	return append(runs, r)
}

// tree adds the pages of a tree, whose root is the mover's. That of the file has buckets
// in its leaves.
func (s *shrinker) tree(id uint64, root mover, buckets bool) error {
	root.id, root.root = id, true
	var v view
	for above := range maxDepth {
		if err := s.file.load(&v, id, above == 0); err != nil {
			return err
		}
		if !v.branch() {
			return s.add(root, above, buckets)
		}
		id = v.child(0)
	}
	return pageError(root.id, errTooDeep)
}

// add adds a page of a tree, which is so far above the leaves, and those below. Leaves
// that are before all pages that could be cut off are left out.
func (s *shrinker) add(n mover, above int, buckets bool) error {
	inner := above > 0 || buckets
	if s.unused.has(n.id) {
		return pageError(n.id, errFree)
	}
	if !inner && n.id < s.meta.HighWater-s.unused.n {
		return nil
	}
	if !s.seen.add(n.id) {
		return pageError(n.id, errTwice)
	}
	number := len(s.movers)
	s.movers = append(s.movers, n)
	if !inner {
		return nil
	}
	v, err := s.read(&s.movers[number])
	if err != nil {
		return err
	}
	if v.branch() != (above > 0) {
		return pageError(n.id, errDepth)
	}
	s.branches += s.movers[number].count
	for i := range v.count {
		child, isRoot, err := v.leadsTo(i)
		if err == nil && isRoot && child != 0 {
			err = s.tree(child, mover{parent: number, at: int(v.bucketAt(i))}, false)
		} else if err == nil && v.branch() {
			err = s.add(mover{id: child, parent: number, at: headerSize + i*elemSize + 8}, above-1, buckets)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// leadsTo returns the page that the element i of a branch, or a bucket in a leaf,
// leads to: 0 if it is neither, or an inline bucket.
func (v *view) leadsTo(i int) (id uint64, root bool, err error) {
	if v.branch() {
		return v.child(i), false, nil
	}
	e := v.b[headerSize+i*elemSize:][:elemSize]
	if le.Uint32(e) != bucketFlag {
		return 0, false, nil
	}
	off := v.bucketAt(i)
	if le.Uint32(e[12:]) < bucketSize || off+bucketSize > uint64(len(v.b)) {
		return 0, false, errBucket
	}
	return le.Uint64(v.b[off:]), true, nil
}

// bucketAt returns where in its page the bucket is that the element i of a leaf is.
func (v *view) bucketAt(i int) uint64 {
	at := headerSize + i*elemSize
	return uint64(at) + uint64(le.Uint32(v.b[at+4:])) + uint64(le.Uint32(v.b[at+8:]))
}

// read reads the mover's page, and how many pages it takes.
func (s *shrinker) read(n *mover) (v view, err error) {
	if err := s.file.load(&v, n.id, n.root); err != nil {
		return v, err
	}
	n.count = uint64(len(v.b)) >> s.file.shift
	for i := range n.count {
		if s.unused.has(n.id + i) {
			return v, pageError(n.id+i, errFree)
		}
	}
	return v, nil
}

// choose finds a place for what is at the file's end, from the last page on, as long as
// there is one before it.
func (s *shrinker) choose(most uint64) error {
	var order []int
	for i := range s.movers {
		order = append(order, i)
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(s.movers[b].id, s.movers[a].id) })
	s.end = s.meta.HighWater
	spare := s.branches + s.listPages(uint64(s.list.len())) // for what else has to be written
	moved := uint64(0)
	for _, i := range order {
		n := &s.movers[i]
		if _, err := s.read(n); err != nil {
			return err
		}
		next, end := n.id+n.count, s.trimmed(s.end)
		if next > end {
			return pageError(n.id, errTwice)
		}
		left := uint64(s.list.rank(n.id)) - s.taken.n
		if next < end || moved+n.count > most || left < n.count+spare {
			break
		}
		if n.to = s.take(n.count, n.id); n.to == 0 {
			break
		}
		moved += n.count
		s.end = n.id
	}
	for low := s.trimmed(s.end); s.end > low && uint64(s.list.rank(s.end-1)) >= s.taken.n+spare; {
		s.end--
	}
	return nil
}

// trimmed returns where pages end that something uses, all pages from end on being
// unused or moved.
func (s *shrinker) trimmed(end uint64) uint64 {
	for end > firstPage && s.unused.has(end-1) && !s.taken.has(end-1) {
		end--
	}
	return end
}

// take takes the first run of so many free pages, all below a page. It returns 0 if there
// is none.
func (s *shrinker) take(count, below uint64) (first uint64) {
	for i := s.from[count]; i < len(s.free); i++ {
		r := &s.free[i]
		if r.Count < count {
			continue
		}
		s.from[count] = i
		if first = r.First; first+count > below {
			return 0
		}
		r.First, r.Count = first+count, r.Count-count
		for id := range count {
			s.taken.add(first + id)
		}
		return first
	}
	s.from[count] = len(s.free)
	return 0
}

// place is take for what has to be written because others move: it may be behind what
// was the end without it.
func (s *shrinker) place(count uint64) (first uint64) {
	first = s.take(count, s.meta.HighWater)
	s.end = max(s.end, first+count)
	return first
}

// renewBranches finds places for all that leads to pages that move. It is false if there is not
// room enough.
func (s *shrinker) renewBranches() bool {
	for i := len(s.movers) - 1; i > 0; i-- {
		n := &s.movers[i]
		if n.to == 0 || s.movers[n.parent].to != 0 {
			continue
		}
		above := &s.movers[n.parent]
		if above.to = s.place(above.count); above.to == 0 {
			return false
		}
	}
	return true
}

// listPages is how many pages bbolt takes for a freelist of so many.
func (s *shrinker) listPages(n uint64) uint64 { return listPages(n, s.file.shift) }

// shrunk forms the transaction. It is nil if it is not worth while, or has no room for
// its freelist.
func (s *shrinker) shrunk() *Shrunk {
	m := s.meta
	m.Txid++
	size := s.listPages(uint64(len(s.freed(min(s.end+s.slack, m.HighWater)))))
	if m.Freelist = s.place(size); m.Freelist == 0 {
		return nil
	}
	m.HighWater = min(s.end+s.slack, m.HighWater)
	free := s.freed(m.HighWater)
	out := &Shrunk{}
	moved := make([]*mover, 0, len(s.movers))
	for i := range s.movers {
		if n := &s.movers[i]; n.to != 0 {
			moved = append(moved, n)
			out.Moved += n.count
		}
	}
	if s.meta.HighWater-m.HighWater < out.Moved+size || size < s.listPages(uint64(len(free))) {
		return nil
	}
	if root := s.movers[0]; root.to != 0 {
		m.Root = root.to
	}
	out.Meta = m
	out.Patches = s.patches(moved, Patch{m.Freelist, s.listBytes(m.Freelist, size, free)})
	return out
}

// freed returns the numbers of the pages below high that are free after the transaction.
func (s *shrinker) freed(high uint64) (ids []uint64) {
	add := func(r Run) {
		for id := r.First; id < min(r.First+r.Count, high); id++ {
			ids = append(ids, id)
		}
	}
	for _, r := range s.free {
		add(r)
	}
	add(s.own)
	for _, n := range s.movers {
		if n.to != 0 {
			add(Run{n.id, n.count})
		}
	}
	slices.Sort(ids)
	return ids
}

// listBytes returns the bytes of a freelist, which is on so many pages from first on.
func (s *shrinker) listBytes(first, count uint64, free []uint64) []byte {
	all := make([]byte, count<<s.file.shift)
	putHeader(all, header{first, freelistPage, uint16(min(len(free), manyFree)), uint32(count - 1)})
	b := all[:headerSize]
	if len(free) >= manyFree {
		b = le.AppendUint64(b, uint64(len(free)))
	}
	for _, id := range free {
		b = le.AppendUint64(b, id)
	}
	return all
}

// patches returns what the transaction writes: the pages that move, as they are but for
// their numbers and those of the pages that they lead to, and the freelist.
func (s *shrinker) patches(moved []*mover, list Patch) (all []Patch) {
	slices.SortFunc(moved, func(a, b *mover) int { return cmp.Compare(a.to, b.to) })
	place := map[uint64][]byte{} // where the bytes of each are, by its number before
	for _, n := range moved {
		b := slices.Clone(s.file.data[n.id<<s.file.shift : (n.id+n.count)<<s.file.shift])
		le.PutUint64(b, n.to)
		place[n.id] = b
		all = append(all, Patch{n.to, b})
	}
	for _, n := range moved {
		if n.parent >= 0 {
			le.PutUint64(place[s.movers[n.parent].id][n.at:], n.to)
		}
	}
	at, _ := slices.BinarySearchFunc(all, list.First, func(p Patch, id uint64) int { return cmp.Compare(p.First, id) })
	return joined(slices.Insert(all, at, list), s.file.shift)
}

// joined returns the patches with those in one that are beside each other.
func joined(all []Patch, shift uint) (out []Patch) {
	for _, p := range all {
		last := len(out) - 1
		if last >= 0 && out[last].First+uint64(len(out[last].Bytes))>>shift == p.First {
			out[last].Bytes = append(out[last].Bytes, p.Bytes...)
		} else {
			out = append(out, p)
		}
	}
	return out
}
