package pages

import (
	"bytes"
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
	path  [maxDepth - 1]turn
}

// A turn is a branch, and which of its elements was taken.
type turn struct {
	id    uint64
	index int
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
	if c.err = c.enter(c.tree.root, 0, to); c.err != nil {
		return c.stop(c.err)
	}
	return c.here()
}

// Seek goes to the first entry whose key is not less than the given one.
func (c *Cursor) Seek(seek []byte) (key, value []byte, err error) {
	c.err = nil
	if err := c.descend(seek); err != nil {
		return c.stop(err)
	}
	if c.index < c.leaf.count || c.leaf.count == 0 {
		return c.here()
	}
	c.index-- // and from there on, to a key that is greater than the one sought
	c.key, c.place = seek, inside
	key, value, err = c.leave(after)
	if key == nil {
		c.key = nil
	}
	return key, value, err
}

// descend goes to the leaf where the key belongs, and there to the first element
// that is not less, which may be beyond the last one.
func (c *Cursor) descend(key []byte) error {
	id := c.tree.root
	for depth := range maxDepth {
		v, err := c.tree.page(id, depth)
		if err != nil {
			return err
		}
		i, exact, ok := v.search(key)
		if !ok {
			return pageError(id, v.fault(i))
		}
		if !v.branch {
			c.leaf, c.id, c.index, c.depth = v, id, i, depth
			return nil
		}
		if !exact && i > 0 {
			i--
		}
		if depth < len(c.path) {
			c.path[depth] = turn{id, i}
		}
		id = v.child(i)
	}
	return pageError(c.tree.root, errTooDeep)
}

// enter goes down from the page id, which is at the given depth, to the entry
// beneath it from which all others there are in the direction.
func (c *Cursor) enter(id uint64, depth int, to place) error {
	for ; depth < maxDepth; depth++ {
		v, err := c.tree.page(id, depth)
		if err != nil {
			return err
		}
		i := 0
		if to == before {
			i = max(v.count-1, 0)
		}
		if !v.branch {
			c.leaf, c.id, c.index, c.depth = v, id, i, depth
			return nil
		}
		if depth < len(c.path) {
			c.path[depth] = turn{id, i}
		}
		id = v.child(i)
	}
	return pageError(c.tree.root, errTooDeep)
}

// here returns the entry of the element where the cursor is, which must have a
// key, and makes it the cursor's place.
func (c *Cursor) here() (key, value []byte, err error) {
	if c.leaf.count == 0 { // an empty bucket
		c.place = after
		return nil, nil, nil
	}
	key, value, nested, err := c.leaf.entry(c.index)
	if err != nil {
		return c.stop(pageError(c.id, err))
	}
	if nested {
		value = nil
	}
	c.key, c.place = key, inside
	return key, value, nil
}

// stop makes the error the one that the cursor returns until it is placed anew.
func (c *Cursor) stop(err error) (key, value []byte, _ error) {
	c.err, c.key, c.place = err, nil, nowhere
	return nil, nil, err
}

// disorder stops the cursor, since the key in its leaf is not in order.
func (c *Cursor) disorder(key []byte) ([]byte, []byte, error) {
	return c.stop(pageError(c.id, fmt.Errorf("%w: %.64q", errOrder, key)))
}

// Next goes to the next entry. A cursor that is not placed goes to the first one.
func (c *Cursor) Next() (key, value []byte, err error) {
	if c.place != inside || c.index+1 >= c.leaf.count {
		return c.leave(after)
	}
	key, value, nested, err := c.leaf.entry(c.index + 1)
	if err != nil {
		return c.stop(pageError(c.id, err))
	}
	if bytes.Compare(key, c.key) <= 0 {
		return c.disorder(key)
	}
	if nested {
		value = nil
	}
	c.index++
	c.key = key
	return key, value, nil
}

// Prev goes to the entry before. A cursor that is not placed stays so.
func (c *Cursor) Prev() (key, value []byte, err error) {
	if c.place != inside || c.index == 0 {
		return c.leave(before)
	}
	key, value, nested, err := c.leaf.entry(c.index - 1)
	if err != nil {
		return c.stop(pageError(c.id, err))
	}
	if bytes.Compare(key, c.key) >= 0 {
		return c.disorder(key)
	}
	if nested {
		value = nil
	}
	c.index--
	c.key = key
	return key, value, nil
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
		return c.here()
	}
	last := c.key
	moved, err := c.turn(to)
	if err != nil {
		return c.stop(err)
	}
	if !moved {
		c.place = to
		return nil, nil, nil
	}
	if key, value, err = c.here(); err != nil {
		return nil, nil, err
	}
	if order := bytes.Compare(key, last); order == 0 || order > 0 != (to == after) {
		return c.disorder(key)
	}
	return key, value, nil
}

// turn goes to the nearest element of the next leaf in the direction, and reports
// whether there is one: if not, the cursor is where it was.
func (c *Cursor) turn(to place) (moved bool, err error) {
	step := 1
	if to == before {
		step = -1
	}
	for d := c.depth - 1; d >= 0; d-- {
		v, err := c.tree.page(c.path[d].id, d)
		if err != nil {
			return false, err
		}
		if i := c.path[d].index + step; i >= 0 && i < v.count && v.branch {
			c.path[d].index = i
			return true, c.enter(v.child(i), d+1, to)
		}
	}
	return false, nil
}
