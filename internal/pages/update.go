package pages

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// An Update is a write transaction of a file, which has bbolt's format and is not made by
// bbolt. It changes nothing that the state before has: all that it writes is on pages that
// are free in that, or behind all others. So the file is as it was until the meta page of
// the next state is in place, which is the caller's to write: see [Update.Finish]. The
// caller need not end an Update that comes to nothing.
//
// What it writes is on pages beside each other, as far as that can be, in few long
// patches: a disk writes these several times as fast as page by page. It is not safe for
// concurrent use.
type Update struct {
	space *Space
	file  Map
	meta  Meta // of the state before
	taker *taker

	list    Run      // where the freelist will be, if it is not longer
	names   []Change // what becomes of the entries of the buckets
	dropped []Run    // the pages that the next state has not
	lone    bool     // a branch with only one child was written: see mend

	branches map[uint64]branch // those that were written

	patches []Patch
	size    int               // bytes in patches
	room    []byte            // which they are in, but for those of patches for which it was too small
	flush   func(Patch) error // see Begin
	flushed bool
}

// A branch is what was written to count pages.
type branch struct {
	items []item
	count uint64
}

// flushSize is how many bytes of patches an Update has, at most, before it hands them out.
const flushSize = 1 << 20

// Begin begins the transaction after the one of m, whose file is in data. The states are
// the numbers of the transactions whose states somebody reads, ascending, and that of m at
// their end. It will take about so many pages. What is more than 1 MiB is handed to
// flush, which writes it where it belongs, and keeps no bytes.
func (s *Space) Begin(data []byte, m Meta, states []uint64, expected uint64, flush func(Patch) error) (*Update, error) {
	file, err := NewMap(data, m)
	if err != nil {
		return nil, err
	}
	if file.pages != m.HighWater {
		return nil, fmt.Errorf("%w: %d and %d", errHighWater, file.pages, m.HighWater)
	}
	s.release(states)
	u := &Update{space: s, file: file, meta: m, taker: newTaker(s, m.HighWater, expected), flush: flush}
	u.room, u.patches = s.room[:0], s.patches[:0]
	u.list.Count = listPages(s.count+countPages(s.heldRuns)+expected, file.shift)
	u.list.First = u.taker.reserve(u.list.Count)
	return u, nil
}

// Txid returns the number of the transaction.
func (u *Update) Txid() uint64 { return u.meta.Txid + 1 }

// Put makes the changes, at least one, which are in the order of their keys, each of another
// one, to the bucket with that name, and creates it if it does not exist. It is to be called
// once for a bucket, and keeps the keys and values until Finish. saw is called for each change with the value before it, nil for none;
// sequence then returns the bucket's sequence number. An error other than that of flush
// says what is wrong with the file.
func (u *Update) Put(name []byte, changes []Change, saw func(key, before, after []byte), sequence func() uint64) error {
	tree, found, err := u.file.Bucket(name)
	if err != nil {
		return err
	}
	t := rewriter{u: u, m: &u.file, saw: saw, tail: !found}
	if !found {
		if !slices.ContainsFunc(changes, func(ch Change) bool { return ch.Value != nil }) {
			for i := range changes {
				saw(changes[i].Key, nil, nil)
			}
			return nil
		}
		tree.inline = view{b: emptyLeaf[:], keys: inLeaf}
	} else if t.tail, err = tree.endsBefore(changes[0].Key); err != nil {
		return err
	}
	root, inline, err := t.tree(&tree, changes)
	if err != nil {
		return err
	}
	value := le.AppendUint64(make([]byte, 0, bucketSize+len(inline)), root)
	value = append(le.AppendUint64(value, sequence()), inline...)
	u.names = append(u.names, Change{name, value})
	return nil
}

// emptyLeaf is the page of an inline bucket without entries.
var emptyLeaf = func() (b [headerSize]byte) {
	putHeader(b[:], header{flags: leafPage})
	return b
}()

// endsBefore reports whether all keys of the tree are less.
func (t *Tree) endsBefore(key []byte) (bool, error) {
	var c Cursor
	c.Reset(t)
	next, _, err := c.Seek(key)
	return next == nil, err
}

// drop says that the next state has not the pages.
func (u *Update) drop(first, count uint64) { u.dropped = append(u.dropped, Run{first, count}) }

// write writes a page with the items, which takes so many bytes, and returns its number. The
// items of a branch are kept, for mend, if that is asked for.
func (u *Update) write(items []item, size int, leaf, keep bool) (id uint64, err error) {
	kind := uint16(leafPage)
	if !leaf {
		kind = branchPage
	}
	id, b, err := u.add(uint64(size+1<<u.file.shift-1) >> u.file.shift)
	if err != nil {
		return 0, err
	}
	fillPage(b, header{id: id, flags: kind, overflow: uint32(len(b)>>u.file.shift) - 1}, items)
	if !leaf && keep {
		if u.branches == nil {
			u.branches = map[uint64]branch{}
		}
		u.branches[id] = branch{slices.Clone(items), uint64(len(b)) >> u.file.shift}
		u.lone = u.lone || len(items) == 1
	}
	return id, nil
}

// errTooLarge says that there are not so many pages.
var errTooLarge = errors.New("more than a page can have")

// add returns so many pages, beside each other, that are to be written, and their bytes,
// which may be anything.
func (u *Update) add(count uint64) (first uint64, b []byte, err error) {
	if count > math.MaxUint32 || count > math.MaxInt>>u.file.shift/2 {
		return 0, nil, errTooLarge
	}
	first = u.taker.take(count)
	b, err = u.bytes(first, int(count<<u.file.shift))
	return first, b, err
}

// bytes returns so many bytes that are to be written from a page on.
func (u *Update) bytes(first uint64, size int) ([]byte, error) {
	if u.size > 0 && u.size+size > flushSize {
		if err := u.flushAll(); err != nil {
			return nil, err
		}
	}
	u.size += size
	at := len(u.room)
	if size > cap(u.room)-at { // what is written already stays where it is
		u.room, at = make([]byte, 0, max(size, min(2*cap(u.room), flushSize), firstRoom)), 0
	}
	u.room = u.room[:at+size]
	b := u.room[at:]
	if last := len(u.patches) - 1; at > 0 && last >= 0 && u.patches[last].end(u.file.shift) == first {
		p := &u.patches[last]
		p.Bytes = u.room[at-len(p.Bytes):]
		return b, nil
	}
	u.patches = append(u.patches, Patch{first, b})
	return b, nil
}

// firstRoom is for how many bytes there is room at first.
const firstRoom = 64 << 10

// end is the page behind the patch.
func (p *Patch) end(shift uint) uint64 { return p.First + uint64(len(p.Bytes))>>shift }

// flushAll hands out what was written.
func (u *Update) flushAll() error {
	for _, p := range u.patches {
		if err := u.flush(p); err != nil {
			return err
		}
	}
	u.patches, u.size, u.room, u.flushed = u.patches[:0], 0, u.room[:0], true
	return nil
}

// Finish ends the transaction. It returns what is still to be written, in the order of the
// file, and whether some was handed to flush, and the meta of the next state: that is to be
// written when the pages are durable, or else with a seal. When it is, [Update.Done]
// is to be called.
func (u *Update) Finish() (patches []Patch, flushed bool, m Meta, err error) {
	m = u.meta
	if len(u.names) > 0 {
		slices.SortFunc(u.names, func(a, b Change) int { return cmp.Compare(string(a.Key), string(b.Key)) })
		t := rewriter{u: u, m: &u.file, flags: bucketFlag}
		root := u.file.Root()
		if m.Root, _, err = t.tree(&root, u.names); err != nil {
			return nil, false, m, err
		}
	}
	u.drop(u.space.list.First, u.space.list.Count)
	if m.Freelist, err = u.writeFreelist(); err != nil {
		return nil, false, m, err
	}
	m.HighWater = u.taker.high
	m.Txid = u.Txid()
	slices.SortFunc(u.patches, func(a, b Patch) int { return cmp.Compare(a.First, b.First) })
	return u.patches, u.flushed, m, nil
}

// writeFreelist writes the freelist, with the pages that somebody may still read.
func (u *Update) writeFreelist() (id uint64, err error) {
	u.dropped = sortRuns(u.dropped)
	u.fitFreelist()
	unused := u.dropped
	if len(u.space.heldRuns) > 0 {
		unused = mergeRuns(u.space.heldRuns, u.dropped)
	}
	b, err := u.bytes(u.list.First, int(u.list.Count<<u.file.shift))
	if err != nil {
		return 0, err
	}
	fillFreelist(b, u.list, u.taker.count+countPages(unused), u.taker.left(), unused)
	return u.list.First, nil
}

// fitFreelist makes the place for the freelist as long as that is: the rest, or all of it if it
// is too short, is free.
func (u *Update) fitFreelist() {
	if u.list.First+u.list.Count == u.taker.high { // nothing is behind it
		u.taker.high -= u.list.Count
		u.list.Count = 0
	}
	count := countPages(u.dropped) + countPages(u.space.heldRuns) + u.taker.count
	need := listPages(count, u.file.shift)
	rest := u.list
	if need > u.list.Count {
		u.list.Count = listPages(count+rest.Count, u.file.shift)
		u.list.First = u.taker.reserve(u.list.Count)
	} else {
		for need < u.list.Count && listPages(count+u.list.Count-need, u.file.shift) > need {
			need++
		}
		u.list.Count = need
		rest = Run{u.list.First + need, rest.Count - need}
	}
	if rest.Count > 0 {
		u.dropped = mergeRuns(u.dropped, []Run{rest})
	}
}

// listPages is how many pages bbolt takes for a freelist of so many.
func listPages(n uint64, shift uint) uint64 { return (headerSize+(1+n)*idSize)>>shift + 1 }

// fillFreelist makes b the freelist with the pages of both, so many, which takes the pages of own.
func fillFreelist(b []byte, own Run, count uint64, free, unused []Run) {
	putHeader(b, header{own.First, freelistPage, uint16(min(count, manyFree)), uint32(own.Count - 1)})
	at := headerSize
	if count >= manyFree {
		le.PutUint64(b[at:], count)
		at += idSize
	}
	for len(free)+len(unused) > 0 {
		next, other := &free, unused
		if len(free) == 0 || len(unused) > 0 && unused[0].First < free[0].First {
			next, other = &unused, free
		}
		n := len(*next)
		if len(other) > 0 {
			n = runsBefore(*next, other[0].First)
		}
		for _, r := range (*next)[:n] {
			for id := r.First; id < r.First+r.Count; id++ {
				le.PutUint64(b[at:], id)
				at += idSize
			}
		}
		*next = (*next)[n:]
	}
	clear(b[at:])
}

// Done takes notice that the transaction is in the file.
func (u *Update) Done() {
	u.space.free, u.space.other = u.taker.left(), u.space.free
	u.space.count = u.taker.count
	clear(u.patches)
	u.space.patches = u.patches
	if cap(u.room) <= flushSize {
		u.space.room = u.room
	}
	u.space.list = u.list
	u.space.note(u.Txid(), u.taker.taken, u.dropped)
}

// MetaBytes returns a meta page for m, of which the root bucket's sequence number is that
// of page, a meta page of the same file.
func MetaBytes(page []byte, m Meta) []byte {
	b := make([]byte, m.PageSize)
	putHeader(b, header{id: m.Txid & 1, flags: metaPage})
	meta := b[headerSize : headerSize+metaSize]
	copy(meta, page[headerSize:headerSize+metaSize])
	SetMeta(b, m)
	return b
}
