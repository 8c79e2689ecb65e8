package pages

// GetAll looks up many keys, each as [Tree.Get] does. Most of a Get in a large file is
// waiting for memory, for one page after the other; here the keys wait together. A nil
// key is passed over. It puts what is under keys[i] to values[i], and returns false if
// anything is wrong: then Get says what, and the values are of no use.
func (t *Tree) GetAll(keys, values [][]byte) (ok bool) {
	for len(keys) > 0 {
		n := min(len(keys), together)
		if !t.getTogether(keys[:n], values[:n]) {
			return false
		}
		keys, values = keys[n:], values[n:]
	}
	return true
}

// together is how many keys wait for memory at once: about as many as a processor can
// wait for.
const together = 16

// getTogether is GetAll for a few keys. What all of them are certain to need next is
// prefetched before it is looked at.
func (t *Tree) getTogether(keys, values [][]byte) (ok bool) {
	if t.inline.b != nil {
		return t.getEach(keys, values)
	}
	var ids [together]uint64
	var leaves [together]view
	depth, ok := t.depth(&leaves[0])
	if !ok {
		return false
	}
	for i, key := range keys {
		if key == nil {
			continue
		}
		if ids[i], ok = t.leafOf(&leaves[i], key, depth); !ok {
			return false
		}
		if ids[i] < t.m.pages {
			prefetchFront(t.m.data[ids[i]<<t.m.shift:])
		}
	}
	for i, key := range keys {
		if key == nil {
			continue
		}
		v := &leaves[i]
		if t.load(v, ids[i], depth) != nil || v.branch() {
			return false
		}
		v.prefetchKeys()
	}
	for i, key := range keys {
		values[i] = nil
		if key == nil {
			continue
		}
		v := &leaves[i]
		at, exact, ok := v.search(key)
		if !ok {
			return false
		}
		if exact {
			if _, values[i] = v.plain(at); values[i] == nil {
				return false
			}
			prefetchFront(values[i])
		}
	}
	return true
}

// getEach is GetAll, one after the other.
func (t *Tree) getEach(keys, values [][]byte) (ok bool) {
	for i, key := range keys {
		values[i] = nil
		if key == nil {
			continue
		}
		var err error
		if values[i], err = t.Get(key); err != nil {
			return false
		}
	}
	return true
}

// depth returns how many branches are above the first leaf, as above any other. v is of no
// use afterwards.
func (t *Tree) depth(v *view) (depth int, ok bool) {
	id := t.root
	for depth := range maxDepth {
		if t.load(v, id, depth) != nil {
			return 0, false
		}
		if !v.branch() {
			return depth, true
		}
		id = v.child(0)
	}
	return 0, false
}

// leafOf returns the page where the key belongs, so many branches below the root; it does
// not look at it. v is of no use afterwards.
func (t *Tree) leafOf(v *view, key []byte, depth int) (id uint64, ok bool) {
	id, d := t.descend(key)
	for ; d < depth; d++ {
		if t.load(v, id, d) != nil || !v.branch() {
			return 0, false
		}
		if t.m.fences != nil {
			t.m.fences.learn(t, id, v)
		}
		if id, ok = v.toward(key); !ok {
			return 0, false
		}
	}
	return id, d == depth
}

// toward returns the page of the branch's element where the key belongs.
func (v *view) toward(key []byte) (id uint64, ok bool) {
	i, exact, ok := v.search(key)
	if !ok {
		return 0, false
	}
	if !exact && i > 0 {
		i--
	}
	return v.child(i), true
}

// prefetchFront prefetches the first bytes of b: of a leaf, its elements, as a rule.
func prefetchFront(b []byte) {
	if len(b) > 0 {
		prefetch(&b[0], min(len(b), 256))
	}
}
