package pages

import (
	"errors"
	"fmt"
)

// errSingle is that a branch has only one child, which bbolt never writes, and
// can't balance.
var errSingle = errors.New("branch with only one child")

// A Paths verifies those pages of a [Map] that bbolt looks at in one write
// transaction, so that it can be let loose on them, whatever the rest of the file
// is. Name to it all that is to be written, before any of it is: each bucket, each
// key that is put, and each key that is deleted.
//
// A page is verified in full, as by [Check]: all that bbolt follows in it is in
// bounds, and its keys ascend within the range that its parent leaves it. No page
// that was verified has another page as a child that is the child of a second one
// too, a root, or a part of another page. So what bbolt sees is a tree: it can't
// go in a circle or come to one page on two ways.
//
// After deletes, bbolt merges pages that have become small with the ones beside
// them. Those are verified too, and those beside them as far as they are so small
// that merging may go on.
//
// The freelist is not looked at. A Paths is not safe for concurrent use.
type Paths struct {
	m       Map
	claimed pageSet // pages that are a root, a child or a further page of one verified
	sound   pageSet // pages that were verified
	trees   map[uint64]*bucket
	scan    scan
	levels  []level // of the path that is looked at, from the root down
}

// A level is the page of a path that is at one depth, and the pages beside it
// that bbolt may merge it with, from the nearest on.
type level struct {
	page   span
	beside [2][]span // to the left and to the right
}

// A span is a page and the keys that it should hold.
type span struct {
	view
	id       uint64
	from, to []byte // as in verify
	above    int    // its parent: -1 for the page of the path, or else which of those beside
	index    int    // its number in its parent
}

// The sides of a page.
const (
	left = iota
	right
)

// NewPaths returns a Paths to which nothing was named yet.
func NewPaths(m Map) *Paths {
	p := &Paths{m: m, trees: map[uint64]*bucket{}}
	p.scan.src.pageSize = 1 << m.shift
	return p
}

// CheckPath verifies all that bbolt looks at when it puts or deletes the key, in
// this bucket and none around it: see [Paths].
func (t *Tree) CheckPath(key []byte) error { return NewPaths(t.m).Delete(t, key) }

// Bucket verifies what bbolt looks at when it writes to the bucket in the root
// that has that name, or creates it, and returns it and whether there is one.
func (p *Paths) Bucket(name []byte) (t Tree, found bool, err error) {
	root := p.m.Root()
	if err := p.Put(&root, name); err != nil {
		return Tree{}, false, err
	}
	return p.m.Bucket(name)
}

// Put verifies what bbolt looks at when it puts the key.
func (p *Paths) Put(t *Tree, key []byte) error {
	b, err := p.bucket(t)
	if err != nil {
		return err
	}
	if t.inline.b != nil {
		return p.inline(t, b)
	}
	p.levels = p.levels[:0]
	next := span{id: t.root}
	for len(p.levels) < maxDepth {
		s, err := p.enter(b, next, len(p.levels))
		if err != nil {
			return err
		}
		p.grow(s)
		if !s.branch() {
			return nil
		}
		i, exact, _ := s.search(key)
		if !exact && i > 0 {
			i--
		}
		next = s.child(i, -1)
	}
	return pageError(t.root, errTooDeep)
}

// grow adds a level.
func (p *Paths) grow(s span) {
	n := len(p.levels)
	if n < cap(p.levels) {
		p.levels = p.levels[:n+1]
	} else {
		p.levels = append(p.levels, level{})
	}
	l := &p.levels[n]
	l.page = s
	l.beside = [2][]span{l.beside[left][:0], l.beside[right][:0]}
}

// child returns the child i of a branch that is sound, which is the above-th of
// its level.
func (s *span) child(i, above int) span {
	c := span{id: s.view.child(i), from: s.key(i), to: s.to, above: above, index: i}
	if i+1 < s.count {
		c.to = s.key(i + 1)
	}
	return c
}

// bucket returns what is kept of the tree, whose root has no other owner.
func (p *Paths) bucket(t *Tree) (*bucket, error) {
	b := p.trees[t.at]
	if b != nil {
		return b, nil
	}
	b = &bucket{level: 1, leafDepth: -1}
	if t.at == 0 {
		b.level = 0
	}
	if t.inline.b == nil && (t.root < firstPage || t.root >= p.m.pages) {
		return nil, pageError(t.root, errBounds)
	}
	if t.inline.b == nil && !p.claimed.add(t.root) {
		return nil, pageError(t.root, errTwice)
	}
	p.trees[t.at] = b
	return b, nil
}

// inline verifies an inline bucket.
func (p *Paths) inline(t *Tree, b *bucket) error {
	n := node{id: t.root, count: t.inline.count, extent: int64(len(t.inline.b)), head: t.inline.b}
	p.scan.depth = 0
	if err := p.scan.verify(b, &n, nil, nil); err != nil {
		return pageError(t.root, err)
	}
	return nil
}

// enter reads the page of the span and verifies it, if it isn't known to be sound.
func (p *Paths) enter(b *bucket, s span, depth int) (span, error) {
	if err := p.m.load(&s.view, s.id, depth == 0); err != nil {
		return s, err
	}
	if p.sound.has(s.id) {
		return s, nil
	}
	n := node{id: s.id, branch: s.branch(), count: s.count, extent: int64(len(s.b)), head: s.b}
	n.pages = uint64(len(s.b)) >> p.m.shift
	p.scan.depth = depth
	err := p.scan.verify(b, &n, s.from, s.to)
	if err == nil {
		err = p.claim(&s, n.pages)
	}
	if err != nil {
		return s, pageError(s.id, err)
	}
	p.sound.add(s.id)
	return s, nil
}

// claim makes the span the only owner of its further pages and its children.
func (p *Paths) claim(s *span, n uint64) error {
	for id := s.id + 1; id < s.id+n; id++ {
		if !p.claimed.add(id) {
			return fmt.Errorf("%w: %d", errTwice, id)
		}
	}
	if !s.branch() {
		return nil
	}
	if s.count == 1 {
		return errSingle
	}
	for i := range s.count {
		id := s.view.child(i)
		if id < firstPage || id >= p.m.pages {
			return fmt.Errorf("%w: element %d, %d", errBounds, i, id)
		}
		if !p.claimed.add(id) {
			return fmt.Errorf("%w: element %d, %d", errTwice, i, id)
		}
	}
	return nil
}

// Delete verifies what bbolt looks at when it deletes the key.
func (p *Paths) Delete(t *Tree, key []byte) error {
	if err := p.Put(t, key); err != nil || t.inline.b != nil {
		return err
	}
	b, err := p.bucket(t)
	if err != nil {
		return err
	}
	for d := len(p.levels) - 1; d > 0; d-- {
		for side := range 2 {
			for p.wanting(d, side) {
				more, err := p.extend(b, d, side)
				if err != nil {
					return err
				}
				if !more {
					break
				}
			}
		}
	}
	return nil
}

// wanting reports whether bbolt may merge the page of the path at the depth d
// with a further one on that side.
//
// It merges a page that became small with the one beside it, so with one at least.
// It goes on from there only in branches, when children were merged away, and
// while what they have is small: at most half of what a page is filled to, or two
// elements. Of what the pages beside have, only the children that were merged
// themselves may be gone by then, and these are the nearest.
func (p *Paths) wanting(d, side int) bool {
	list := p.levels[d].beside[side]
	if len(list) == 0 {
		return true
	}
	if d == len(p.levels)-1 {
		return false
	}
	gone := len(p.levels[d+1].beside[side])
	count, size := 0, 0
	for i := range list {
		s := &list[i]
		n := max(s.count-gone, 0)
		gone -= s.count - n
		if n > 0 {
			count += n
			first, last := 0, n-1
			if side == right {
				first, last = s.count-n, s.count-1
			}
			size += n*elemSize + s.end(last) - s.end(first) + len(s.key(first))
		}
	}
	return count <= minKeys || headerSize+size <= 1<<p.m.shift/2
}

// end is where the key of the element i of a sound branch ends.
func (v *view) end(i int) int {
	at := headerSize + i*elemSize
	n := le.Uint64(v.b[at+v.keys:])
	return at + int(n&(1<<32-1)) + int(n>>32)
}

// extend adds one more page beside the path at the depth d, and reports whether
// there is one.
func (p *Paths) extend(b *bucket, d, side int) (bool, error) {
	if d == 0 {
		return false, nil
	}
	l, up := &p.levels[d], &p.levels[d-1]
	at := &l.page
	if n := len(l.beside[side]); n > 0 {
		at = &l.beside[side][n-1]
	}
	parent, above := &up.page, at.above
	if above >= 0 {
		parent = &up.beside[side][above]
	}
	i := at.index - 1
	if side == right {
		i = at.index + 1
	}
	if i < 0 || i >= parent.count {
		above++
		if above == len(up.beside[side]) {
			if more, err := p.extend(b, d-1, side); !more {
				return false, err
			}
		}
		parent = &up.beside[side][above]
		i = parent.count - 1
		if side == right {
			i = 0
		}
	}
	s, err := p.enter(b, parent.child(i, above), d)
	if err == nil && s.branch() != l.page.branch() {
		err = pageError(s.id, errDepth)
	}
	if err != nil {
		return false, err
	}
	l.beside[side] = append(l.beside[side], s)
	return true, nil
}
