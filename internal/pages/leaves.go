package pages

import "bytes"

// Leaves hands out the leaves of a [Tree] in order, some at a time, so that several
// goroutines can read them, each with [Cursor.Leaf]. It looks at branches only.
type Leaves struct {
	c    Cursor // at the leaf that comes next, or at its branch's end
	to   []byte
	done bool
}

// Reset makes l hand out the leaves that may have keys from from on, and less than to if
// that is not nil. It returns false if the tree has one leaf only.
func (l *Leaves) Reset(t *Tree, from, to []byte) (several bool, err error) {
	l.c.Reset(t)
	l.to, l.done = to, false
	err = l.c.descend(from)
	return l.c.depth > 0, err
}

// Next appends the pages of the next leaves to ids, at most as many as it has room for,
// all of them beneath one branch. It appends none after the last.
func (l *Leaves) Next(ids []uint64) ([]uint64, error) {
	if l.done || l.c.depth == 0 {
		return ids, nil
	}
	up := &l.c.path[l.c.depth-1]
	v := &l.c.leaf
	if err := l.c.tree.load(v, up.id, l.c.depth-1); err != nil {
		return ids, err
	}
	if !v.branch() || v.count != up.count { // the bytes have changed since
		return ids, pageError(up.id, errCount)
	}
	first := up.index
	for ; up.index < up.count && len(ids) < cap(ids); up.index++ {
		if l.to != nil && up.index > first && bytes.Compare(v.key(up.index), l.to) >= 0 {
			l.done = true
			return ids, nil
		}
		ids = append(ids, v.child(up.index))
	}
	return ids, l.forward()
}

// forward goes to the leaf that comes next, if those beneath its branch were all handed
// out.
func (l *Leaves) forward() error {
	up := &l.c.path[l.c.depth-1]
	if up.index < up.count {
		return nil
	}
	up.index = up.count - 1
	moved, err := l.c.turn(after)
	l.done = !moved
	return err
}

// Leaf goes to the first entry of the leaf id of the tree, from where Next goes to its
// last one and no further. Each leaf that it goes to must have greater keys than the one
// before.
func (c *Cursor) Leaf(id uint64) (key, value []byte, err error) {
	c.err = nil
	if err := c.tree.load(&c.leaf, id, 1); err != nil {
		return c.stop(err)
	}
	if c.leaf.branch() {
		return c.stop(pageError(id, errKind))
	}
	c.id, c.depth = id, 0
	if c.key != nil {
		return c.take(0, 1)
	}
	return c.take(0, 0)
}

// Prefetch has the page id on its way from memory when Leaf goes to it. It may be any
// number.
func (c *Cursor) Prefetch(id uint64) {
	if m := &c.tree.m; id < m.pages {
		prefetch(&m.data[id<<m.shift], 1<<m.shift)
	}
}
