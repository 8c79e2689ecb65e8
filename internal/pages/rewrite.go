package pages

import (
	"bytes"
	"fmt"
	"slices"
)

// A Change is what is to be under a key of a bucket: Value, or nothing if that is nil.
type Change struct{ Key, Value []byte }

// An item is an element of a page that is to be written.
type item struct {
	key, value []byte // a branch has no values
	child      uint64 // of a branch
	flags      uint32 // of a leaf
}

// size is how many bytes of a page the item takes.
func (e *item) size() int { return elemSize + len(e.key) + len(e.value) }

// sizeOf is how many bytes of a page the items take.
func sizeOf(items []item) (n int) {
	for i := range items {
		n += items[i].size()
	}
	return n
}

// A rewriter makes changes to one tree: it writes anew what they touch, from the leaves
// up, and gives free what that was on. It trusts no page: see Map. Unlike bbolt it has no
// page in memory that is changed step by step; it goes through each once, with all of its
// changes.
//
// A page that has become small, because entries were deleted, is joined with the one beside
// it in its branch; what has no room on a page is divided evenly among as many as it needs.
type rewriter struct {
	u     *Update
	m     *Map
	flags uint32 // of entries that are put: bucketFlag in the tree of buckets
	tail  bool   // all that is put goes behind all that is there
	saw   func(key, before, after []byte)

	deletes bool // some changes are deletes, without which no branch is left with one child
}

// tailFill is how full, in percent, a page is left that is divided because entries were added
// behind all others: no more will come before those.
const tailFill = 90

// A rewritten is what has become of a page.
type rewritten struct {
	items  []item
	leaf   bool
	shrunk bool // entries were deleted
}

// small reports whether the page is to be joined with the one beside it.
func (t *rewriter) small(n *rewritten) bool {
	if !n.leaf && len(n.items) < minKeys {
		return true
	}
	return n.shrunk && headerSize+sizeOf(n.items) < 1<<t.m.shift/4
}

// saves reports whether two pages that are written anyway need one page less if they are
// joined: so what comes in order of no keys leaves pages almost full.
func (t *rewriter) saves(a, b *rewritten) bool {
	room := 1<<t.m.shift - headerSize
	pages := func(size int) int { return (size + room - 1) / room }
	left, right := sizeOf(a.items), sizeOf(b.items)
	return pages(left+right) < pages(left)+pages(right)
}

// get returns an empty list.
func (t *rewriter) get() []item {
	s := t.u.space
	if n := len(s.lists); n > 0 {
		list := s.lists[n-1]
		s.lists = s.lists[:n-1]
		return list
	}
	return make([]item, 0, 64)
}

// put takes back a list.
func (t *rewriter) put(list []item) {
	if s := t.u.space; list != nil && len(s.lists) < maxLists && cap(list) <= maxListItems {
		clear(list)
		s.lists = append(s.lists, list[:0])
	}
}

// maxLists and maxListItems bound what is kept for the next rewriter, by 256 KiB.
const (
	maxLists     = 8
	maxListItems = 512
)

// page makes the changes to a page and those below it, and gives it free.
func (t *rewriter) page(id uint64, depth int, changes []Change) (n rewritten, err error) {
	var v view
	if depth >= maxDepth {
		return n, pageError(id, errTooDeep)
	}
	if err := t.m.load(&v, id, depth == 0); err != nil {
		return n, err
	}
	t.u.drop(id, uint64(len(v.b))>>t.m.shift)
	if v.branch() {
		n, err = t.branch(&v, depth, changes)
	} else {
		n, err = t.leaf(&v, changes)
	}
	if err != nil {
		err = pageError(id, err)
	}
	return n, err
}

// leaf makes the changes to a leaf.
func (t *rewriter) leaf(v *view, changes []Change) (n rewritten, err error) {
	n = rewritten{items: t.get(), leaf: true}
	next := 0 // the first element that was not copied
	for i := range changes {
		ch := &changes[i]
		at, exact, ok := v.search(ch.Key)
		if !ok {
			return n, v.fault(at)
		}
		if at < next {
			return n, errOrder
		}
		if n.items, err = v.appendItems(n.items, next, at); err != nil {
			return n, err
		}
		next = at
		var before []byte
		if exact {
			next++
			_, value, nested, err := v.entry(at)
			if err != nil {
				return n, err
			}
			if nested != (t.flags == bucketFlag) {
				return n, ErrNested
			}
			before = value
		}
		if t.saw != nil {
			t.saw(ch.Key, before, ch.Value)
		}
		if ch.Value == nil {
			n.shrunk = n.shrunk || exact
			continue
		}
		n.items = append(n.items, item{key: ch.Key, value: ch.Value, flags: t.flags})
	}
	n.items, err = v.appendItems(n.items, next, v.count)
	return n, err
}

// appendItems appends the elements of the page from the one on, up to another.
func (v *view) appendItems(items []item, from, to int) ([]item, error) {
	for i := from; i < to; i++ {
		if v.branch() {
			key := v.key(i)
			if key == nil {
				return items, v.fault(i)
			}
			items = append(items, item{key: key, child: v.child(i)})
			continue
		}
		key, value, nested, err := v.entry(i)
		if err != nil {
			return items, err
		}
		e := item{key: key, value: value}
		if nested {
			e.flags = bucketFlag
		}
		items = append(items, e)
	}
	return items, nil
}

// branch makes the changes to the pages below a branch.
func (t *rewriter) branch(v *view, depth int, changes []Change) (n rewritten, err error) {
	j := joiner{t: t, depth: depth + 1, out: t.get()}
	next := 0 // the first child that was not looked at
	for len(changes) > 0 {
		i, exact, ok := v.search(changes[0].Key)
		if !ok {
			return n, v.fault(i)
		}
		if !exact && i > 0 {
			i--
		}
		if i < next {
			return n, errOrder
		}
		if err := j.keep(v, next, i); err != nil {
			return n, err
		}
		count, err := v.changesOf(i, changes)
		if err != nil {
			return n, err
		}
		child, err := t.page(v.child(i), depth+1, changes[:count])
		if err != nil {
			return n, err
		}
		changes = changes[count:]
		if err := j.add(child); err != nil {
			return n, err
		}
		next = i + 1
	}
	if err := j.keep(v, next, v.count); err != nil {
		return n, err
	}
	if err := j.end(); err != nil {
		return n, err
	}
	return rewritten{items: j.out, shrunk: j.shrunk}, nil
}

// changesOf returns how many of the changes, of which the first belongs to it, belong to
// the child i of a branch.
func (v *view) changesOf(i int, changes []Change) (int, error) {
	if i+1 == v.count {
		return len(changes), nil
	}
	end := v.key(i + 1)
	if end == nil {
		return 0, v.fault(i + 1)
	}
	n := 1
	for n < len(changes) && bytes.Compare(changes[n].Key, end) < 0 {
		n++
	}
	return n, nil
}

// A joiner lists the children of a branch, of which some were rewritten.
type joiner struct {
	t      *rewriter
	depth  int       // of the children
	out    []item    // the children
	held   rewritten // the last one, not written yet: the next may join it
	kept   bool      // the one before it is as it was
	shrunk bool      // there are fewer than before
}

// keep adds children of the page as they are.
func (j *joiner) keep(v *view, from, to int) (err error) {
	if from < to && j.held.items != nil {
		if j.t.small(&j.held) {
			id := v.child(from)
			if err := j.join(id, false); err != nil {
				return err
			}
			from++
		}
		if from < to {
			if err := j.flush(); err != nil {
				return err
			}
		}
	}
	j.kept = j.kept || from < to
	j.out, err = v.appendItems(j.out, from, to)
	return err
}

// join adds the items of a page to the one that is held, in front of its own or behind them.
func (j *joiner) join(id uint64, front bool) error {
	t := j.t
	var v view
	if err := t.m.load(&v, id, false); err != nil {
		return err
	}
	if v.branch() == j.held.leaf {
		return pageError(id, errDepth)
	}
	t.u.drop(id, uint64(len(v.b))>>t.m.shift)
	j.shrunk = true
	if !front {
		var err error
		j.held.items, err = v.appendItems(j.held.items, 0, v.count)
		return err
	}
	items, err := v.appendItems(t.get(), 0, v.count)
	items = append(items, j.held.items...)
	t.put(j.held.items)
	j.held.items = items
	return err
}

// add adds a child that was rewritten.
func (j *joiner) add(n rewritten) error {
	if len(n.items) == 0 {
		j.shrunk = true
		j.t.put(n.items)
		return nil
	}
	if j.held.items == nil {
		j.held = n
		return nil
	}
	if n.leaf != j.held.leaf {
		return errDepth
	}
	if j.t.small(&n) || j.t.small(&j.held) || j.t.saves(&j.held, &n) {
		j.held.items = append(j.held.items, n.items...)
		j.held.shrunk = j.held.shrunk || n.shrunk
		j.shrunk = true
		j.t.put(n.items)
		return nil
	}
	err := j.flush()
	j.held = n
	return err
}

// flush writes the child that is held.
func (j *joiner) flush() (err error) {
	if j.held.items == nil {
		return nil
	}
	j.kept = false
	j.out, err = j.t.pack(j.out, &j.held)
	j.t.put(j.held.items)
	j.held = rewritten{}
	return err
}

// end adds what is held. If that is small, there was nothing behind it to join.
func (j *joiner) end() error {
	if last := len(j.out) - 1; j.held.items != nil && j.t.small(&j.held) && j.kept {
		id := j.out[last].child
		j.out = j.out[:last]
		if err := j.join(id, true); err != nil {
			return err
		}
	}
	return j.flush()
}

// tree makes the changes to a bucket's tree, and returns its new root page, or the bytes of
// an inline bucket's page if it has become so small.
func (t *rewriter) tree(tree *Tree, changes []Change) (root uint64, inline []byte, err error) {
	t.deletes = slices.ContainsFunc(changes, func(ch Change) bool { return ch.Value == nil })
	var n rewritten
	if tree.inline.b != nil {
		if n, err = t.leaf(&tree.inline, changes); err != nil {
			return 0, nil, pageError(tree.root, err)
		}
	} else if n, err = t.page(tree.root, 0, changes); err != nil {
		return 0, nil, err
	}
	return t.finish(n)
}

// finish writes what has become of a root, and the branches that are needed above it.
func (t *rewriter) finish(n rewritten) (root uint64, inline []byte, err error) {
	for {
		if !n.leaf {
			if n.items, err = t.mend(n.items); err != nil {
				return 0, nil, err
			}
		}
		switch {
		case len(n.items) == 0:
			n.leaf = true
		case len(n.items) == 1 && !n.leaf:
			return t.only(n.items[0].child), nil, nil
		}
		if n.leaf && t.flags == 0 && t.inlineable(n.items) {
			return 0, t.inlinePage(n.items), nil
		}
		out, err := t.pack(t.get(), &n)
		if err != nil {
			return 0, nil, err
		}
		t.put(n.items)
		n = rewritten{items: out}
	}
}

// only returns what is to be the root if a page is all that its branch has: that, or what is
// the only child of it.
func (t *rewriter) only(id uint64) uint64 {
	for page := t.u.branches[id]; len(page.items) == 1; page = t.u.branches[id] {
		t.u.drop(id, page.count)
		id = page.items[0].child
	}
	return id
}

// inlineable reports whether bbolt would keep a leaf with the items in the leaf around the
// bucket.
func (t *rewriter) inlineable(items []item) bool {
	size := headerSize
	for i := range items {
		if size += items[i].size(); items[i].flags != 0 || size > 1<<t.m.shift/inlineShare {
			return false
		}
	}
	return true
}

// inlinePage returns the page of an inline bucket.
func (t *rewriter) inlinePage(items []item) []byte {
	b := make([]byte, headerSize+sizeOf(items))
	fillPage(b, header{flags: leafPage}, items)
	return b
}

// fillPage makes b, which must have the room, a page with that header and the items.
func fillPage(b []byte, h header, items []item) {
	h.count = uint16(len(items))
	putHeader(b, h)
	at, data := headerSize, headerSize+len(items)*elemSize
	for i := range items {
		e := &items[i]
		elem := b[at : at+elemSize]
		if h.flags == branchPage {
			le.PutUint32(elem, uint32(data-at))
			le.PutUint32(elem[4:], uint32(len(e.key)))
			le.PutUint64(elem[8:], e.child)
		} else {
			le.PutUint64(elem, uint64(e.flags)|uint64(data-at)<<32)
			le.PutUint64(elem[8:], uint64(len(e.key))|uint64(len(e.value))<<32)
		}
		data += copy(b[data:], e.key)
		data += copy(b[data:], e.value)
		at += elemSize
	}
	clear(b[data:])
}

// checkOrder makes sure that the keys of the items ascend: whatever a page was, what is
// written in its place is sound.
func checkOrder(items []item) error {
	for i := 1; i < len(items); i++ {
		if bytes.Compare(items[i-1].key, items[i].key) >= 0 {
			return fmt.Errorf("%w: %.64x after %.64x", errOrder, items[i].key, items[i-1].key)
		}
	}
	return nil
}

// mend joins branches with only one child, which bbolt can't balance, with those beside them.
// Such a one comes about where nothing else is left below the branch above, and stays unless
// that is all there is in the tree.
func (t *rewriter) mend(items []item) (_ []item, err error) {
	for i := 0; t.u.lone && i < len(items) && len(items) > 1; i++ {
		if len(t.u.branches[items[i].child].items) != 1 {
			continue
		}
		i = max(i-1, 0)
		n := rewritten{items: t.get()}
		for _, e := range items[i : i+2] {
			if n.items, err = t.reopen(n.items, e.child); err != nil {
				return nil, err
			}
		}
		both, err := t.pack(nil, &n)
		if err != nil {
			return nil, err
		}
		items = slices.Replace(items, i, i+2, both...)
		i--
	}
	return items, nil
}

// reopen appends the items of a branch, which may be one that was written, and gives it free.
func (t *rewriter) reopen(items []item, id uint64) ([]item, error) {
	if page, written := t.u.branches[id]; written {
		t.u.drop(id, page.count)
		return append(items, page.items...), nil
	}
	var v view
	if err := t.m.load(&v, id, false); err != nil {
		return items, err
	}
	if !v.branch() {
		return items, pageError(id, errDepth)
	}
	t.u.drop(id, uint64(len(v.b))>>t.m.shift)
	return v.appendItems(items, 0, v.count)
}

// pack writes the items of a page, as many pages as that needs, and appends what their
// branch has of each.
func (t *rewriter) pack(out []item, n *rewritten) (_ []item, err error) {
	if !n.leaf {
		if n.items, err = t.mend(n.items); err != nil {
			return out, err
		}
	}
	if err := checkOrder(n.items); err != nil {
		return out, err
	}
	rest, total := n.items, sizeOf(n.items)
	for first := true; len(rest) > 0 || first; first = false {
		count, size := t.group(rest, total, n.leaf)
		id, err := t.u.write(rest[:count], headerSize+size, n.leaf, t.deletes)
		if err != nil {
			return out, err
		}
		e := item{child: id}
		if count > 0 {
			e.key = rest[0].key
		}
		out = append(out, e)
		rest, total = rest[count:], total-size
	}
	return out, nil
}

// group returns how many of the items, which have that size in all, go onto the next page,
// and their size. bbolt wants two on a branch at least, and no more than four on what is
// more than a page.
func (t *rewriter) group(items []item, total int, leaf bool) (count, size int) {
	room := 1<<t.m.shift - headerSize
	if total <= room {
		return len(items), total
	}
	least := 1
	if !leaf {
		least = minKeys
	}
	want := total / ((total + room - 1) / room)
	if t.tail {
		want = room * tailFill / 100
	}
	for count < len(items) {
		next := items[count].size()
		if left := len(items) - count; count >= least && left >= least {
			if !leaf && left == least && size+next+items[count+1].size() > room {
				break
			}
			if size <= room && (size+next > room || size+next/2 > want) {
				break
			}
			if size > room && (count == 2*minKeys || (size+next+headerSize-1)>>t.m.shift > (size+headerSize-1)>>t.m.shift) {
				break
			}
		}
		size += next
		count++
	}
	return count, size
}
