package pages

// Rules of trees that are read in memory, which a finding can't break.
var (
	ErrNotBucket = errNotBucket
	ErrSingle    = errSingle
)

// Map is the map that the tree is of.
func (t *Tree) Map() Map { return t.m }

// Remember has the fences of the tree's map remember all its branches.
func (t *Tree) Remember() error {
	todo := []spot{{id: t.root}}
	for len(todo) > 0 {
		s := todo[0]
		todo = todo[1:]
		var v, child view
		if err := t.load(&v, s.id, s.depth); err != nil || !v.branch() {
			return err
		}
		f := newFence(s.id, &v)
		if err := t.load(&child, v.child(0), s.depth+1); err != nil {
			return err
		}
		if f.last = !child.branch(); f.last {
			f.each = marksFor(&child)
		}
		t.m.fences.add(f)
		for i := range v.count {
			todo = append(todo, spot{id: v.child(i), depth: s.depth + 1})
		}
	}
	return nil
}

// Expected reports whether a mark leads to the key.
func (t *Tree) Expected(key []byte) bool {
	s := t.descend(key)
	i, ok := t.expect(&s, key)
	var v view
	return ok && t.guessed(&v, s.id, i, key)
}
