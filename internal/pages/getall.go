package pages

// Aims are where keys belong that are looked up together.
type Aims struct {
	spots [Together]spot // the leaves
	elems [Together]int  // which of their elements seem to have the keys; -1 if none does
	depth int            // of all leaves
}

// Together is how many keys can wait for memory at once: about as many as a processor can
// wait for.
const Together = 16

// GetAll looks up many keys, each as [Tree.Get] does. Most of a Get in a large file is
// waiting for memory, for one page after the other; here the keys wait together. A nil
// key is passed over. It puts what is under keys[i] to values[i], and to keys[i] the page's own
// key, whose capacity reaches over the value. It returns false if anything is wrong: then Get says
// what, and the values are of no use.
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
		s := &aims.spots[i]
		if *s, ok = t.leafOf(&v, key, aims.depth); !ok {
			return false
		}
		if aims.elems[i], ok = t.expect(s, key); !ok {
			aims.elems[i] = -1
			if s.id < t.m.pages {
				prefetchFront(t.m.data[s.id<<t.m.shift:])
			}
		}
	}
	return true
}

// GetAimed is GetAll for the keys that [Tree.Aim] was called with. They are searched for side by
// side, so that what each of them needs next is on its way from memory while the others are
// looked at: no more than that, since a processor can wait for few things at once.
func (t *Tree) GetAimed(keys, values [][]byte, aims *Aims) (ok bool) {
	if t.inline.b != nil {
		return t.getEach(keys, values)
	}
	var all [Together]search
	for i, key := range keys {
		values[i] = nil
		if key == nil {
			continue
		}
		s, at := &all[i], &aims.spots[i]
		if elem := aims.elems[i]; elem >= 0 && t.guessed(&s.v, at.id, elem, key) {
			if keys[i], values[i] = s.v.plain(elem); values[i] == nil {
				return false
			}
			continue
		}
		if t.load(&s.v, at.id, aims.depth) != nil || s.v.branch() {
			return false
		}
		s.hi = s.v.count
	}
	for going := true; going; {
		going = false
		for i := range keys {
			if s := &all[i]; s.lo < s.hi {
				s.v.prefetchKey(s.mid())
				going = true
			}
		}
		for i, key := range keys {
			s := &all[i]
			if s.lo >= s.hi {
				continue
			}
			exact, ok := s.step(key)
			if !ok {
				return false
			}
			if s.lo >= s.hi {
				t.learn(&aims.spots[i], &s.v)
			}
			if exact {
				if keys[i], values[i] = s.v.plain(s.lo); values[i] == nil {
					return false
				}
				prefetchFront(values[i])
			}
		}
	}
	return true
}

// A search is one for a key in a leaf, which is among the elements from lo to hi.
type search struct {
	v      view
	lo, hi int
}

// mid is the element that is looked at next.
func (s *search) mid() int { return int(uint(s.lo+s.hi) / 2) }

// step looks at an element, and reports whether it has the very key, which is the end of the
// search: lo is that element then. It is not ok if the element is not in the page.
func (s *search) step(key []byte) (exact, ok bool) {
	mid := s.mid()
	other := s.v.key(mid)
	if other == nil {
		return false, false
	}
	switch order := compare(other, key); {
	case order == 0:
		s.lo, s.hi = mid, mid
		return true, true
	case order < 0:
		s.lo = mid + 1
	default:
		s.hi = mid
	}
	return false, true
}

// prefetchKey prefetches the key of the element i of a leaf.
func (v *view) prefetchKey(i int) {
	at := headerSize + i*elemSize
	if off := uint64(at) + uint64(le.Uint32(v.b[at+inLeaf:])); off < uint64(len(v.b)) {
		prefetch(&v.b[off], 1)
	}
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
	s := t.descend(key)
	if s.above != nil {
		return s.depth, true
	}
	id := s.id
	for depth := s.depth; depth < maxDepth; depth++ {
		if t.load(v, id, depth) != nil {
			return 0, false
		}
		if !v.branch() {
			return depth, true
		}
		if id, ok = v.toward(key); !ok {
			return 0, false
		}
	}
	return 0, false
}

// leafOf returns where the key belongs, so many branches below the root; it does not look at
// the page. v is of no use afterwards.
func (t *Tree) leafOf(v *view, key []byte, depth int) (s spot, ok bool) {
	for s = t.descend(key); s.depth < depth; s.depth++ {
		if t.load(v, s.id, s.depth) != nil || !v.branch() {
			return s, false
		}
		next, ok := v.toward(key)
		if !ok {
			return s, false
		}
		if t.m.fences != nil {
			t.m.fences.learn(t, s.id, v, next)
		}
		s.id = next
	}
	return s, s.depth == depth
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
