package pages

// Aims are where keys belong that are looked up together.
type Aims struct {
	ids   [Together]uint64 // of leaves
	depth int              // of all leaves
}

// Together is how many keys can wait for memory at once: about as many as a processor can
// wait for.
const Together = 16

// GetAll looks up many keys, each as [Tree.Get] does. Most of a Get in a large file is
// waiting for memory, for one page after the other; here the keys wait together. A nil
// key is passed over. It puts what is under keys[i] to values[i], and returns false if
// anything is wrong: then Get says what, and the values are of no use.
func (t *Tree) GetAll(keys, values [][]byte) (ok bool) {
	var aims Aims
	for len(keys) > 0 {
		n := min(len(keys), Together)
		if !t.Aim(keys[:n], &aims) || !t.GetAimed(keys[:n], values[:n], &aims) {
			return false
		}
		keys, values = keys[n:], values[n:]
	}
	return true
}

// Aim finds out where keys belong, at most [Together], and has their leaves on their way from
// memory until [Tree.GetAimed] looks into them, before which there is time for other things.
// It returns false if anything is wrong.
func (t *Tree) Aim(keys [][]byte, aims *Aims) (ok bool) {
	if t.inline.b != nil {
		return true
	}
	var v view
	aims.depth = -1
	for i, key := range keys {
		if key == nil {
			continue
		}
		if aims.depth < 0 {
			if aims.depth, ok = t.depth(&v, key); !ok {
				return false
			}
		}
		if aims.ids[i], ok = t.leafOf(&v, key, aims.depth); !ok {
			return false
		}
		if aims.ids[i] < t.m.pages {
			prefetchFront(t.m.data[aims.ids[i]<<t.m.shift:])
		}
	}
	return true
}

// GetAimed is GetAll for the keys that [Tree.Aim] was called with. What all of them are certain
// to need next is prefetched before it is looked at.
func (t *Tree) GetAimed(keys, values [][]byte, aims *Aims) (ok bool) {
	if t.inline.b != nil {
		return t.getEach(keys, values)
	}
	var leaves [Together]view
	for i, key := range keys {
		if key == nil {
			continue
		}
		v := &leaves[i]
		if t.load(v, aims.ids[i], aims.depth) != nil || v.branch() {
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

// depth returns how many branches are above the leaf where the key belongs, as above any other.
// Pages that are not on the way there may be ones that can't be read. v is of no use afterwards.
func (t *Tree) depth(v *view, key []byte) (depth int, ok bool) {
	id, depth, leaf := t.descend(key)
	for ; !leaf && depth < maxDepth; depth++ {
		if t.load(v, id, depth) != nil {
			return 0, false
		}
		if leaf = !v.branch(); leaf {
			break
		}
		if id, ok = v.toward(key); !ok {
			return 0, false
		}
	}
	return depth, leaf
}

// leafOf returns the page where the key belongs, so many branches below the root; it does
// not look at it. v is of no use afterwards.
func (t *Tree) leafOf(v *view, key []byte, depth int) (id uint64, ok bool) {
	id, d, _ := t.descend(key)
	for ; d < depth; d++ {
		if t.load(v, id, d) != nil || !v.branch() {
			return 0, false
		}
		next, ok := v.toward(key)
		if !ok {
			return 0, false
		}
		if t.m.fences != nil {
			t.m.fences.learn(t, id, v, next)
		}
		id = next
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
