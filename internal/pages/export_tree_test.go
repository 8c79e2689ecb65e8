package pages

// Rules of trees that are read in memory, which a finding can't break.
var (
	ErrNotBucket = errNotBucket
	ErrSingle    = errSingle
)

// Map is the map that the tree is of.
func (t *Tree) Map() Map { return t.m }
