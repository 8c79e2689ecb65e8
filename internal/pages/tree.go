package pages

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"unsafe"
)

// ErrNested is returned where a value is asked for and a bucket is in its place.
var ErrNested = errors.New("a bucket in place of a value")

// A Map is a bbolt file in memory as one transaction sees it, for reading without
// trust: whatever the bytes are, nothing that reads them panics, loops, or looks
// beyond them. What a page must be to be entered is checked in constant time, and
// an element when it is looked at; all else is for [Check] and [Paths].
//
// No read allocates, unless it fails. A Map is safe for concurrent use, as long
// as the bytes of the transaction's pages stay what and where they are: hold a
// bbolt transaction around it, and if that is a write transaction, be done before
// the first write, which may map the file anew. What is returned is of these bytes.
type Map struct {
	data  []byte
	shift uint   // a page has 1 << shift bytes
	pages uint64 // in data and below the high water mark
	root  uint64

	fences *Fences // nil for none
}

// NewMap returns the Map of what the meta m sees in data, which begins with the
// file's first page, and may have less than all pages or more. An error says that
// m is not valid. A root that isn't there is found by the first read.
func NewMap(data []byte, m Meta) (Map, error) {
	switch {
	case m.Err != nil:
		return Map{}, m.Err
	case !plausible(m.PageSize):
		return Map{}, fmt.Errorf("%w: %d", errPageSize, m.PageSize)
	}
	return Map{
		data:  data,
		shift: uint(bits.TrailingZeros32(m.PageSize)),
		pages: min(m.HighWater, uint64(len(data))/uint64(m.PageSize)),
		root:  m.Root,
	}, nil
}

// With returns the Map with what is remembered of branches, by all Maps of a file.
func (m Map) With(fences *Fences) Map {
	m.fences = fences
	return m
}

// Has reports whether the address is one of the Map's bytes.
func (m *Map) Has(addr uintptr) bool {
	if len(m.data) == 0 {
		return false
	}
	first := uintptr(unsafe.Pointer(&m.data[0]))
	return addr >= first && addr-first < uintptr(len(m.data))
}

// MetaAt decodes the meta page that b begins with. Its Err says why bbolt would
// not choose it, or what is wrong with its header: its number must be id.
func MetaAt(b []byte, id uint64) Meta {
	if len(b) < headerSize+metaSize {
		return Meta{Err: errShort}
	}
	m := metaOf(b[headerSize:])
	if m.Err == nil {
		m.Err = checkHeader(id, headerOf(b))
	}
	return m
}

// MetaOf returns the meta of the transaction txid in data, whose pages have the
// given size. bbolt writes it to the page txid%2, but a backup that bbolt makes may
// have it in the other one.
//
// A writer may replace it two commits later. Who reads while another commits
// should rather make the Meta from what the transaction itself says.
func MetaOf(data []byte, pageSize int, txid uint64) (Meta, error) {
	err := errNoMeta
	for i := range uint64(2) {
		id := txid&1 ^ i
		if pageSize <= 0 || len(data)/2 < pageSize {
			return Meta{}, errShort
		}
		m := MetaAt(data[id*uint64(pageSize):], id)
		if m.Err == nil && m.Txid == txid {
			return m, nil
		}
		if m.Err != nil && err == errNoMeta {
			err = fmt.Errorf("%w: %w", errNoMeta, m.Err)
		}
	}
	return Meta{}, err
}

// A view is a branch or a leaf in memory.
type view struct {
	b     []byte // all that it takes
	count int    // elements; b has room for as many
	keys  int    // where an element has the position and the size of its key: 0 in a branch, 4 in a leaf
}

// inLeaf is the keys of a leaf.
const inLeaf = 4

// branch reports whether v is a branch.
func (v *view) branch() bool { return v.keys != inLeaf }

// load makes v the page id. Only the root of a tree may be empty.
func (m *Map) load(v *view, id uint64, root bool) error {
	if id < firstPage || id >= m.pages {
		return pageError(id, errBounds)
	}
	b := m.data[id<<m.shift:]
	h := headerOf(b)
	size := uint64(1) << m.shift
	if h.id != id || h.flags != leafPage && h.flags != branchPage || h.overflow > 0 || h.count == 0 {
		var err error
		if size, err = m.size(id, h, root); err != nil {
			return pageError(id, err)
		}
	}
	v.b = b[:size:size]
	v.count = int(h.count)
	v.keys = int(h.flags-branchPage) * inLeaf
	if v.count > v.room() {
		return pageError(id, fmt.Errorf("%w: %d", errCount, v.count))
	}
	return nil
}

// size returns how many bytes the page id takes, which is not the usual page.
func (m *Map) size(id uint64, h header, root bool) (uint64, error) {
	switch {
	case h.id != id:
		return 0, fmt.Errorf("%w: %d", errID, h.id)
	case h.flags != leafPage && h.flags != branchPage:
		return 0, fmt.Errorf("%w: %#x", errKind, h.flags)
	case uint64(h.overflow) >= m.pages-id:
		return 0, fmt.Errorf("%w: %d more", errOverflow, h.overflow)
	case h.overflow > 0 && h.count > 2*minKeys:
		return 0, fmt.Errorf("%w: %d", errCrowded, h.count)
	case h.count == 0 && (h.flags == branchPage || !root):
		return 0, errEmpty
	}
	return (uint64(h.overflow) + 1) << m.shift, nil
}

// pageError says on which page something is wrong.
func pageError(id uint64, err error) error { return fmt.Errorf("page %d: %w", id, err) }

// room is how many elements the view has room for.
func (v *view) room() int { return (len(v.b) - headerSize) / elemSize }

// key returns the key of the element i: nil if it is empty or reaches beyond the
// page.
func (v *view) key(i int) []byte {
	at := headerSize + i*elemSize
	n := le.Uint64(v.b[at+v.keys:])
	off := uint64(at) + n&(1<<32-1)
	end := off + n>>32
	if off == end || end > uint64(len(v.b)) {
		return nil
	}
	return v.b[off:end:end]
}

// child returns the page of the element i of a branch.
func (v *view) child(i int) uint64 { return le.Uint64(v.b[headerSize+i*elemSize+8:]) }

// plain returns what the element i of a leaf has, if it is a value and sound, or
// else nil. The key's capacity reaches over the value.
func (v *view) plain(i int) (key, value []byte) {
	at := headerSize + i*elemSize
	e := v.b[at : at+elemSize]
	front, sizes := le.Uint64(e), le.Uint64(e[8:])
	off := uint64(at) + front>>32
	mid := off + sizes&(1<<32-1)
	end := mid + sizes>>32
	if uint32(front) != 0 || off == mid || end > uint64(len(v.b)) {
		return nil, nil
	}
	return v.b[off:mid:end], v.b[mid:end:end]
}

// entry returns what the element i of a leaf has: a value, or a bucket if nested.
func (v *view) entry(i int) (key, value []byte, nested bool, err error) {
	if key, value = v.plain(i); key != nil {
		return key, value, false, nil
	}
	n := node{head: v.b}
	e := n.elem(i)
	if err := e.check(i, e.off, int64(len(v.b))); err != nil {
		return nil, nil, false, err
	}
	return v.b[e.off : e.off+e.key : e.off+e.key], v.b[e.off+e.key : e.end() : e.end()], true, nil
}

// fault says what is wrong with the element i.
func (v *view) fault(i int) error {
	n := node{branch: v.branch(), head: v.b}
	e := n.elem(i)
	if err := e.check(i, e.off, int64(len(v.b))); err != nil {
		return err
	}
	return errLayout
}

// search returns the number of the first element whose key is not less, whether
// it has that very key, and whether all keys that were looked at are in the page:
// i is one that isn't if they are not.
func (v *view) search(key []byte) (i int, exact, ok bool) {
	b, keys := v.b, v.keys
	head, long := headOf(key)
	lo, hi := 0, v.count
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		at := headerSize + mid*elemSize
		n := le.Uint64(b[at+keys:])
		off := uint64(at) + n&(1<<32-1)
		end := off + n>>32
		if off == end || end > uint64(len(b)) {
			return mid, false, false
		}
		if other := b[off:end]; long && len(other) >= headBytes {
			if h := binary.BigEndian.Uint64(other); h != head { // which mostly decides
				if h < head {
					lo = mid + 1
				} else {
					hi = mid
				}
				continue
			}
		}
		order := bytes.Compare(b[off:end], key)
		if order == 0 {
			return mid, true, true
		}
		if order < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, false, true
}

// headBytes is how many bytes of a key are compared as a number.
const headBytes = 8

// headOf returns the first bytes of a key as a number that sorts as they do, if it has so
// many.
func headOf(key []byte) (head uint64, long bool) {
	if len(key) < headBytes {
		return 0, false
	}
	return binary.BigEndian.Uint64(key), true
}

// prefetchKeys prefetches the keys in a leaf that a search may come to, or begins with if there
// are many. Each of them is likely to be a wait for memory, and the search would come from
// one to the next: here none of them waits for the one before.
func (v *view) prefetchKeys() {
	step := 1 << 8 // the part of a key that is 1 << 8
	if v.count > manyKeys {
		step = v.count << 8 / 8
	}
	for part := 0; part < v.count<<8; part += step {
		at := headerSize + part>>8*elemSize
		if off := uint64(at) + uint64(le.Uint32(v.b[at+inLeaf:])); off < uint64(len(v.b)) {
			prefetch(&v.b[off], 1)
		}
	}
}

// manyKeys is how many keys are too many to prefetch them all.
const manyKeys = 24

// A Tree is one bucket of a [Map]. It is a value that may be copied, and is safe
// for concurrent use as the Map is.
type Tree struct {
	m        Map
	root     uint64 // its root page; for an inline bucket the leaf around it
	inline   view   // of an inline bucket; its b is nil if it is none
	sequence uint64
	at       uint64 // where data has the bucket; 0 for the root bucket
}

// Root returns the tree that holds the buckets.
func (m *Map) Root() Tree { return Tree{m: *m, root: m.root} }

// Bucket returns the bucket with that name, and whether there is one.
func (m *Map) Bucket(name []byte) (t Tree, found bool, err error) {
	root := m.Root()
	t, found, err = root.Bucket(name)
	if errors.Is(err, errNotBucket) {
		err = fmt.Errorf("%w: %.64q", errRootEntry, name)
	}
	return t, found, err
}

// errNotBucket is returned where a bucket is asked for and a value is in its place.
var errNotBucket = errors.New("a value in place of a bucket")

// Buckets calls fn with the name of each bucket, in order, until it returns false.
func (m *Map) Buckets(fn func(name []byte) bool) error {
	root := m.Root()
	var c Cursor
	c.Reset(&root)
	name, value, err := c.First()
	for ; name != nil; name, value, err = c.Next() {
		if value != nil {
			return fmt.Errorf("%w: %.64q", errRootEntry, name)
		}
		if !fn(name) {
			return nil
		}
	}
	return err
}

// Sequence returns the bucket's sequence number.
func (t *Tree) Sequence() uint64 { return t.sequence }

// load makes v the page id of the tree, which is at the given depth.
func (t *Tree) load(v *view, id uint64, depth int) error {
	if t.inline.b != nil {
		*v = t.inline
		return nil
	}
	if depth > 0 && id < t.m.pages { // the header alone would be waited for first
		prefetchFront(t.m.data[id<<t.m.shift:])
	}
	return t.m.load(v, id, depth == 0)
}

// find makes v the leaf where the key belongs, and returns its page, the number of
// the first element in it that is not less, and whether that has the key.
func (t *Tree) find(v *view, key []byte) (id uint64, i int, exact bool, err error) {
	s := t.descend(key)
	if i, ok := t.expect(&s, key); ok && t.guessed(v, s.id, i, key) {
		return s.id, i, true, nil
	}
	id = s.id
	for depth := s.depth; depth < maxDepth; depth++ {
		if err := t.load(v, id, depth); err != nil {
			return id, 0, false, err
		}
		if !v.branch() {
			v.prefetchKeys()
		}
		i, exact, ok := v.search(key)
		if !ok {
			return id, i, false, pageError(id, v.fault(i))
		}
		if !v.branch() {
			t.learn(&s, v)
			return id, i, exact, nil
		}
		if !exact && i > 0 {
			i--
		}
		next := v.child(i)
		if t.m.fences != nil {
			t.m.fences.learn(t, id, v, next)
		}
		id = next
	}
	return id, 0, false, pageError(t.root, errTooDeep)
}

// A spot is as far as what is remembered leads toward a key.
type spot struct {
	id    uint64
	depth int
	above *fence // the branch that has the leaf; nil if the page is not known to be one
	at    int    // its place there
}

// descend goes from the root toward the key as far as what is remembered leads.
func (t *Tree) descend(key []byte) (s spot) {
	s.id = t.root
	if t.m.fences == nil || t.inline.b != nil {
		return s
	}
	for s.depth < maxDepth {
		f := t.m.fences.of(s.id)
		if f == nil {
			break
		}
		at, ok := f.toward(key)
		if !ok {
			break
		}
		s.id, s.depth = uint64(f.below[at]), s.depth+1
		if f.last {
			s.above, s.at = f, at
			break
		}
	}
	return s
}

// Get returns the value under the key: nil if there is none, and not nil if it is
// empty. Its error is [ErrNested] if the key is that of a bucket, or else says
// what is wrong with a page that was read.
func (t *Tree) Get(key []byte) ([]byte, error) {
	var v view
	id, i, exact, err := t.find(&v, key)
	if err != nil || !exact {
		return nil, err
	}
	_, value, nested, err := v.entry(i)
	switch {
	case err != nil:
		return nil, pageError(id, err)
	case nested:
		return nil, ErrNested
	}
	return value, nil
}

// Bucket returns the bucket with that name in this one, and whether there is one.
func (t *Tree) Bucket(name []byte) (in Tree, found bool, err error) {
	var v view
	id, i, exact, err := t.find(&v, name)
	if err != nil || !exact {
		return Tree{}, false, err
	}
	_, value, nested, err := v.entry(i)
	switch {
	case err != nil:
		return Tree{}, false, pageError(id, err)
	case !nested:
		return Tree{}, false, errNotBucket
	}
	in, err = t.open(id, value)
	n := node{head: v.b}
	e := n.elem(i)
	in.at = id<<t.m.shift + uint64(e.off+e.key)
	if err != nil {
		return Tree{}, false, pageError(id, err)
	}
	return in, true, nil
}

// open returns the bucket that is the value, which is on the leaf id.
func (t *Tree) open(id uint64, value []byte) (Tree, error) {
	if t.inline.b != nil {
		return Tree{}, errInline
	}
	if len(value) < bucketSize {
		return Tree{}, fmt.Errorf("%w: %d", errBucket, len(value))
	}
	in := Tree{m: t.m, root: le.Uint64(value), sequence: le.Uint64(value[8:])}
	rest := value[bucketSize:]
	if in.root != 0 {
		if len(rest) > 0 {
			return Tree{}, fmt.Errorf("%w: %d", errBucket, len(value))
		}
		return in, nil
	}
	if len(rest) < headerSize || len(rest) > 1<<t.m.shift/inlineShare {
		return Tree{}, fmt.Errorf("%w: %d", errBucket, len(value))
	}
	h := headerOf(rest)
	in.root = id
	in.inline = view{b: rest, count: int(h.count), keys: inLeaf}
	switch {
	case h.flags != leafPage:
		return Tree{}, fmt.Errorf("%w: %#x", errKind, h.flags)
	case h.id != 0 || h.overflow != 0:
		return Tree{}, errHeader
	case in.inline.count > in.inline.room():
		return Tree{}, fmt.Errorf("%w: %d", errCount, h.count)
	}
	return in, nil
}
