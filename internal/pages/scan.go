package pages

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// A visitor is what a Walk calls.
type visitor func(bucket [][]byte, key, value []byte) error

// A scan is one Check or Walk.
type scan struct {
	src source
	rep Report
	fn  visitor // nil in a Check
	hwm uint64  // the high water mark, not beyond the file's end

	used pageSet // pages that have an owner
	free pageSet // pages that the freelist names

	todo    []*bucket // buckets that were found and not yet read
	roots   pageSet   // roots of all buckets that were found
	frames  []*frame  // branches from the root of the bucket to the page that is read, and spare ones
	depth   int       // how many frames there are, without the spare ones
	skipped bool      // a page was not followed: what was not reached may be behind it
	noTrees bool      // no tree is read, so that nobody asks what is free

	keys [2][]byte // the key that is read and the one before it, where these are not in the head of their page
	data []byte    // a value
}

// A bucket is one whose pages are to be read.
type bucket struct {
	parent    *bucket // nil in the root bucket
	name      string
	level     int // 0 in the root bucket
	root      uint64
	stat      int      // its place in Report.Buckets, or that of the one in the root which it is in
	leafDepth int      // depth of its leaves; -1 before the first
	last      []byte   // in a Walk: no page that was read yet has a greater key
	path      [][]byte // in a Walk: names from the root down
}

// A frame is a branch whose children are being read.
type frame struct {
	id       uint64
	buf      []byte  // the bytes of the children's keys
	children []child // in order
	next     int     // the child that comes next
	to       []byte  // all keys are less; nil is no bound
}

// A child is an element of a branch.
type child struct {
	id  uint64
	key []byte // its first key; nil if it isn't known
}

// high returns what all keys of the child i are less than.
func (f *frame) high(i int) []byte {
	for _, c := range f.children[i+1:] {
		if c.key != nil {
			return c.key
		}
	}
	return f.to
}

// run reads all that can be reached from the meta that is followed.
func (s *scan) run() error {
	s.used.add(0)
	s.used.add(1)
	m := &s.rep.Metas[s.rep.Meta]
	if m.Freelist != noFreelist {
		if err := s.freelist(m.Freelist); err != nil {
			return err
		}
	}
	s.todo = append(s.todo, &bucket{root: m.Root, stat: -1})
	for i := 0; i < len(s.todo); i++ {
		b := s.todo[i]
		s.todo[i] = nil
		if err := s.tree(b); err != nil {
			return err
		}
	}
	s.account(m.Freelist != noFreelist)
	return nil
}

// account notes the pages that have no owner and aren't free, if the others are
// known well enough to say so.
func (s *scan) account(listed bool) {
	s.rep.Free = s.free.n
	if !listed {
		s.rep.Free = s.hwm - min(s.hwm, s.used.n)
		return
	}
	if s.skipped || s.used.n+s.free.n == s.hwm {
		return
	}
	for from, to := range gaps(&s.used, &s.free, s.hwm) {
		s.rep.Leaked += to - from + 1
		s.note(from, nil, nil, nil, fmt.Errorf("%w: to page %d", ErrLeaked, to)) // is a finding, and no error
	}
}

// note adds a finding to the report. In a Check, an error of the reader is none,
// and is returned instead.
func (s *scan) note(page uint64, b *bucket, from, to []byte, err error) error {
	if _, ok := errors.AsType[*readError](err); ok && s.fn == nil {
		return err
	}
	if len(s.rep.Findings) == maxFindings {
		s.rep.Omitted++
		return nil
	}
	s.rep.Findings = append(s.rep.Findings, Finding{
		Page: page, Bucket: b.names(), From: bytes.Clone(from), To: bytes.Clone(to), Err: err,
	})
	return nil
}

// names returns the names from the root down to b; none for the root.
func (b *bucket) names() []string {
	var names []string
	for ; b != nil && b.parent != nil; b = b.parent {
		names = append(names, b.name)
	}
	slices.Reverse(names)
	return names
}

// tree reads the pages of the bucket.
func (s *scan) tree(b *bucket) error {
	b.leafDepth = -1
	if err := s.enter(b); err != nil {
		return err
	}
	s.depth = 0
	err := s.visit(b, b.root, nil, nil)
	for err == nil && s.depth > 0 {
		f := s.frames[s.depth-1]
		if f.next == len(f.children) {
			s.depth--
			continue
		}
		c := f.children[f.next]
		f.next++
		err = s.visit(b, c.id, c.key, f.high(f.next-1))
	}
	return err
}

// enter announces the bucket to the visitor of a Walk.
func (s *scan) enter(b *bucket) error {
	if s.fn == nil || b.parent == nil {
		return nil
	}
	for _, name := range b.names() {
		b.path = append(b.path, []byte(name))
	}
	return s.fn(b.path, nil, nil)
}

// visit reads one page of the bucket, which should hold the keys from from up to
// but not including to.
func (s *scan) visit(b *bucket, id uint64, from, to []byte) error {
	n, err := s.load(id)
	usable := n.count >= 0
	if err == nil {
		err = s.verify(b, &n, from, to)
	}
	if err == nil {
		err = s.claim(&n)
	}
	sound := err == nil
	if !sound {
		s.skipped = true
		if err := s.note(id, b, from, to, err); err != nil {
			return err
		}
		if s.fn == nil || !usable {
			return nil
		}
	}
	if n.branch {
		return s.descend(b, &n, to, sound)
	}
	return s.entries(b, &n, to, sound)
}

// load reads the first page of the branch or leaf at id and checks its header.
// The node's count is negative if it can't be used for anything.
func (s *scan) load(id uint64) (node, error) {
	n := node{id: id, count: -1}
	if id < firstPage || id >= s.hwm {
		return n, errBounds
	}
	if !s.used.add(id) {
		return n, errTwice
	}
	head, err := s.src.page(id)
	if err != nil {
		return n, err
	}
	h := headerOf(head)
	if h.flags != branchPage && h.flags != leafPage {
		return n, fmt.Errorf("%w: %#x", errKind, h.flags)
	}
	n.branch = h.flags == branchPage
	n.count = int(h.count)
	n.pages = min(uint64(h.overflow)+1, s.hwm-id)
	n.extent = int64(n.pages) * s.src.pageSize
	n.head = head
	switch {
	case h.id != id:
		return n, fmt.Errorf("%w: %d", errID, h.id)
	case n.pages <= uint64(h.overflow):
		return n, fmt.Errorf("%w: %d more", errOverflow, h.overflow)
	case s.free.has(id):
		return n, errFree
	}
	return n, nil
}

// claim takes the further pages of a sound node, and counts the node.
func (s *scan) claim(n *node) error {
	for id := n.id + 1; id < n.id+n.pages; id++ {
		if s.free.has(id) {
			return fmt.Errorf("%w: %d", errFree, id)
		}
		if !s.used.add(id) {
			return fmt.Errorf("%w: %d", errTwice, id)
		}
	}
	s.rep.Overflow += n.pages - 1
	if n.branch {
		s.rep.Branches++
	} else {
		s.rep.Leaves++
	}
	return nil
}

// descend makes the children of a branch the next pages to be read.
func (s *scan) descend(b *bucket, n *node, to []byte, sound bool) error {
	if s.depth == maxDepth {
		s.skipped = true
		return s.note(n.id, b, nil, to, errTooDeep)
	}
	if s.depth == len(s.frames) {
		s.frames = append(s.frames, &frame{})
	}
	f := s.frames[s.depth]
	*f = frame{id: n.id, buf: f.buf[:0], children: f.children[:0], to: to}
	var known []byte // the last key that fits
	count := n.count
	if !sound {
		count = n.likely()
	}
	for i := range count {
		e := n.elem(i)
		c := child{id: e.child}
		if n.holds(&e) {
			key, err := s.src.bytes(n, e.off, e.key, &s.keys[0])
			if err != nil {
				if err := s.note(n.id, b, nil, to, err); err != nil {
					return err
				}
			} else if fits(key, known, to) {
				c.key = f.keep(key)
				known = c.key
			}
		}
		f.children = append(f.children, c)
	}
	s.depth++
	return nil
}

// keep returns a copy of the key.
func (f *frame) keep(key []byte) []byte {
	at := len(f.buf)
	f.buf = append(f.buf, key...)
	return f.buf[at:len(f.buf):len(f.buf)]
}

// holds reports whether the element of a node that is not sound has a key, and
// lies within the node.
func (n *node) holds(e *element) bool {
	return e.key > 0 && e.key <= maxKeySize && e.off >= headerSize+elemSize && e.end() <= n.extent &&
		e.key+e.value <= maxAddress && e.flags <= bucketFlag
}

// fits reports whether the key is between after and to, without these.
func fits(key, after, to []byte) bool {
	return (after == nil || bytes.Compare(key, after) > 0) && (to == nil || bytes.Compare(key, to) < 0)
}
