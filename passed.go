package userdata

// passed are entries of one identity map that had their turn. Mostly they came one after the
// other, and are next to each other in the map's list.
type passed struct {
	im     *identityMap
	moves  int      // of the map's entries, when first was noted
	first  int      // where the first of the run is in the map's list
	run    []*entry // beside each other from there
	others map[*entry]struct{}
}

// add takes in an entry that its session tracks.
func (x *passed) add(e *entry) {
	x.settle(e.im)
	switch {
	case x.has(e):
	case len(x.run) == 0:
		x.first, x.run = int(e.index), append(x.run, e)
	case int(e.index) == x.first+len(x.run):
		x.run = append(x.run, e)
	default:
		x.put(e)
	}
}

// has reports whether the entry is among them.
func (x *passed) has(e *entry) bool {
	x.settle(e.im)
	if i := int(e.index) - x.first; i >= 0 && i < len(x.run) && x.run[i] == e {
		return true
	}
	_, ok := x.others[e]
	return ok
}

// settle makes sure that the run is where it is said to be.
func (x *passed) settle(im *identityMap) {
	if x.im == im && x.moves == im.moves {
		return
	}
	for _, e := range x.run {
		x.put(e)
	}
	x.im, x.moves, x.run = im, im.moves, nil
}

func (x *passed) put(e *entry) {
	if x.others == nil {
		x.others = map[*entry]struct{}{}
	}
	x.others[e] = struct{}{}
}
