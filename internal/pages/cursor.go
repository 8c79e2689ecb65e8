package pages

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
)

// A Cursor goes through the entries of a [Tree] in order, back and forth. The
// zero Cursor is of no tree until it is Reset.
//
// Each method that moves it returns the entry where it is then: the key nil
// beyond the last entry and before the first one, and only the value nil if it is
// a bucket. Each key that a cursor returns is greater than the one before, or in
// the other direction less, or else it returns an error: so no cursor goes on for
// ever. An error is returned again until the cursor is placed anew.
//
// A Cursor is not safe for concurrent use. None of its methods allocates, unless
// it fails.
type Cursor struct {
	tree  Tree
	leaf  view
	id    uint64 // page of the leaf
	index int    // of the element in the leaf
	key   []byte // of that element
	place place
	err   error // that stopped it
	depth int   // how many branches are above the leaf
	path  [maxDepth]turn
}

// A turn is a branch, and which of its elements was taken.
type turn struct {
	id           uint64
	index, count int
}

// A place is where a cursor is.
type place uint8

const (
	nowhere place = iota // not placed since Reset
	inside               // at an entry
	before               // before the first one, at which its element is
	after                // beyond the last one, at which its element is
)

// Reset makes the cursor one of the tree. It is then before the first entry.
func (c *Cursor) Reset(t *Tree) {
	c.tree = *t
	c.place, c.err, c.key, c.leaf = nowhere, nil, nil, view{}
}

// First goes to the first entry.
func (c *Cursor) First() (key, value []byte, err error) { return c.end(after) }

// Last goes to the last entry.
func (c *Cursor) Last() (key, value []byte, err error) { return c.end(before) }

// end goes to the entry from which all others are in the direction.
func (c *Cursor) end(to place) (key, value []byte, err error) {
	c.err = nil
	if err := c.enter(c.tree.root, 0, to); err != nil {
		return c.stop(err)
	}
	return c.take(c.index, 0)
}

// Seek goes to the first entry whose key is not less than the given one.
func (c *Cursor) Seek(seek []byte) (key, value []byte, err error) {
	c.err = nil
	if err := c.descend(seek); err != nil {
		return c.stop(err)
	}
	if c.index < c.leaf.count || c.leaf.count == 0 {
		return c.take(c.index, 0)
	}
	c.index-- // and from there on, to a key that is greater than the one sought
	c.key, c.place = seek, inside
	key, value, err = c.leave(after)
	if key == nil {
		c.key = nil
	}
	return key, value, err
}

// Next goes to the next entry. A cursor that is not placed goes to the first one.
func (c *Cursor) Next() (key, value []byte, err error) {
	i := c.index + 1
	if c.place != inside || i >= c.leaf.count {
		return c.leave(after)
	}
	key, value = c.leaf.plain(i)
	if value == nil || compare(key, c.key) <= 0 {
		return c.take(i, 1)
	}
	c.index, c.key = i, key
	return key, value, nil
}

// compare is bytes.Compare.
func compare(a, b []byte) int {
	if len(a) >= headBytes && len(b) >= headBytes {
		if x, y := binary.BigEndian.Uint64(a), binary.BigEndian.Uint64(b); x != y { // which mostly decides
			return cmp.Compare(x, y)
		}
	}
	return bytes.Compare(a, b)
}

// Prev goes to the entry before. A cursor that is not placed stays so.
func (c *Cursor) Prev() (key, value []byte, err error) {
	i := c.index - 1
	if c.place != inside || i < 0 {
		return c.leave(before)
	}
	key, value = c.leaf.plain(i)
	if value == nil || bytes.Compare(key, c.key) >= 0 {
		return c.take(i, -1)
	}
	c.index, c.key = i, key
	return key, value, nil
}

// take makes the element i of the leaf the cursor's place, and returns its entry.
// Its key must compare to the one before as order says, unless that is 0.
func (c *Cursor) take(i, order int) (key, value []byte, err error) {
	if c.leaf.count == 0 { // an empty bucket
		c.place = after
		return nil, nil, nil
	}
	key, value, nested, err := c.leaf.entry(i)
	switch {
	case err != nil:
		return c.stop(pageError(c.id, err))
	case order != 0 && bytes.Compare(key, c.key) != order:
		return c.stop(pageError(c.id, fmt.Errorf("%w: element %d, %.64q", errOrder, i, key)))
	case nested:
		value = nil
	}
	c.index, c.key, c.place = i, key, inside
	return key, value, nil
}

// stop makes the error the one that the cursor returns until it is placed anew.
func (c *Cursor) stop(err error) (key, value []byte, _ error) {
	c.err, c.key, c.place = err, nil, nowhere
	return nil, nil, err
}

// leave is a step in the direction of the place to, where that is not to the
// element beside in the same leaf.
func (c *Cursor) leave(to place) (key, value []byte, err error) {
	switch {
	case c.err != nil:
		return nil, nil, c.err
	case c.place == to || c.place == nowhere && to == before:
		return nil, nil, nil
	case c.place == nowhere:
		return c.First()
	case c.place != inside: // back from one end
		return c.take(c.index, 0)
	}
	moved, err := c.turn(to)
	switch {
	case err != nil:
		return c.stop(err)
	case !moved:
		c.place = to
		return nil, nil, nil
	case to == before:
		return c.take(c.index, -1)
	}
	return c.take(c.index, 1)
}

// turn goes to the nearest element of the next leaf in the direction, and reports
// whether there is one: if not, the cursor is where it was.
func (c *Cursor) turn(to place) (moved bool, err error) {
	step := 1
	if to == before {
		step = -1
	}
	for d := c.depth - 1; d >= 0; d-- {
		up := &c.path[d]
		if i := up.index + step; i >= 0 && i < up.count {
			up.index = i
			if err := c.tree.load(&c.leaf, up.id, d); err != nil {
				return false, err
			}
			if c.leaf.count != up.count { // the bytes have changed since
				return false, pageError(up.id, errCount)
			}
			return true, c.enter(c.leaf.child(i), d+1, to)
		}
	}
	return false, nil
}

// enter goes down from the page id, which is at the given depth, to the entry
// beneath it from which all others there are in the direction.
func (c *Cursor) enter(id uint64, depth int, to place) error {
	v := &c.leaf
	for ; depth < maxDepth; depth++ {
		if err := c.tree.load(v, id, depth); err != nil {
			return err
		}
		i := 0
		if to == before {
			i = max(v.count-1, 0)
		}
		if !v.branch() {
			c.id, c.index, c.depth = id, i, depth
			return nil
		}
		c.path[depth] = turn{id, i, v.count}
		id = v.child(i)
	}
	return pageError(c.tree.root, errTooDeep)
}

// descend goes to the leaf where the key belongs, and there to the first element
// that is not less, which may be beyond the last one.
func (c *Cursor) descend(key []byte) error {
	v, id := &c.leaf, c.tree.root
	for depth := range maxDepth {
		if err := c.tree.load(v, id, depth); err != nil {
			return err
		}
		i, exact, ok := v.search(key)
		if !ok {
			return pageError(id, v.fault(i))
		}
		if !v.branch() {
			c.id, c.index, c.depth = id, i, depth
			return nil
		}
		if !exact && i > 0 {
			i--
		}
		c.path[depth] = turn{id, i, v.count}
		id = v.child(i)
	}
	return pageError(c.tree.root, errTooDeep)
}
