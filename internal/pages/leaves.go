package pages

import "bytes"

// Leaves hands out the leaves of a [Tree] in order, some at a time, so that several
// goroutines can read them: see [Tree.Leaf]. It looks at branches only.
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

// A Leaf is a leaf of a [Tree].
type Leaf struct{ v view }

// Leaf returns the leaf id. The error says what is wrong with the page.
func (t *Tree) Leaf(id uint64) (Leaf, error) {
	var l Leaf
	err := t.load(&l.v, id, 1)
	if err == nil && l.v.branch() {
		err = pageError(id, errKind)
	}
	return l, err
}

// Len returns how many entries the leaf has.
func (l *Leaf) Len() int { return l.v.count }

// Entry returns the entry i, or nil if that is a bucket, or not within the page, or if its key is
// not greater than another one, which may be nil. A [Cursor] says what is wrong. The key's
// capacity reaches over the value.
func (l *Leaf) Entry(i int, after []byte) (key, value []byte) {
	key, value = l.v.plain(i)
	if after != nil && compare(key, after) <= 0 {
		return nil, nil
	}
	return key, value
}

// Prefetch has the page id on its way from memory when it is read. It may be any number.
func (t *Tree) Prefetch(id uint64) {
	if m := &t.m; id < m.pages {
		prefetch(&m.data[id<<m.shift], 1<<m.shift)
	}
}
