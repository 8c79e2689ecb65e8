package userdata

import (
	"bytes"
	"slices"
	"strings"
	"unsafe"

	"rsc.io/ordered"
)

// A space is where the values of a column are kept in order: the keys of the
// table, or a column of an index.
type space struct {
	col   *column
	keys  *keyCodec // for the table's keys; else nil
	multi bool      // there is an entry for each element of the column, a slice
}

// encode returns the bytes that stand for the value at p, or that would if it
// could be stored.
func (sp *space) encode(p unsafe.Pointer) []byte {
	if sp.keys == nil {
		return sp.col.appendOrdered(nil, p)
	}
	b, _ := sp.keys.append([]byte{}, p)
	return b
}

// prefix returns what the bytes of all values that begin with s begin with.
func (sp *space) prefix(s string) []byte {
	if sp.keys != nil || s == "" { // a nil []byte begins with "", too
		return []byte(s)
	}
	b := ordered.Append(nil, s)
	return b[:len(b)-len(endOfString)]
}

// endOfString is what ordered ends a string with.
const endOfString = "\x00\x00"

// end returns the first bytes beyond those of an encoded value.
func (sp *space) end(value []byte) []byte {
	if sp.keys != nil {
		return after(value)
	}
	return afterPrefix(value)
}

// notNull returns the first bytes that can stand for a value other than null.
func (sp *space) notNull() []byte {
	if sp.keys == nil && sp.col.nullable {
		return []byte{nullByte + 1}
	}
	return nil
}

// single reports whether a range of the space holds one value only.
func (sp *space) single(r Range) bool {
	if sp.keys != nil {
		_, one := r.point()
		return one
	}
	if len(r.From) == 0 || !bytes.Equal(r.To, afterPrefix(r.From)) {
		return false
	}
	_, err := ordered.DecodeAny(r.From)
	return err == nil || r.From[0] == nullByte && len(r.From) == 1
}

// maxPoints is how many single values of an index's columns are looked up one
// by one before the index's next column is no longer made use of.
const maxPoints = 256

// A path is a way to the records that a query is about: through the table's keys,
// or through an index.
type path struct {
	where  conjunction // the conditions
	index  *index      // nil for the table itself
	ranges ranges      // of keys, or of the index's entries

	used  []*column // whose conditions the ranges contain
	fixed int       // how many of the index's first columns have one value in all of the ranges
	exact bool      // every record in the ranges meets the conditions

	lookup     bool   // the ranges are of single values of all the index's columns
	prefix     []byte // the encoded values of the fixed columns
	prefixNull bool   // one of them is null
}

// keyPath is the path through the table's keys.
func (t *table) keyPath(where conjunction) path {
	sp := space{col: t.key, keys: t.keyCodec}
	p := path{where: where, ranges: where.ranges(&sp)}
	if !p.ranges.isAll() {
		p.used = []*column{t.key}
	}
	nothing := func(r Range) bool { return r.To != nil && bytes.Compare(r.To, []byte{0}) <= 0 } // no key is empty
	if slices.ContainsFunc(p.ranges, nothing) {
		p.ranges = slices.DeleteFunc(slices.Clone(p.ranges), nothing)
	}
	p.exact = where.exactOn([]*column{t.key})
	return p
}

// indexPath is the path through an index.
func (x *index) indexPath(where conjunction) path {
	p := path{where: where, index: x, ranges: allKeys}
	prefixes := [][]byte{nil}
	for i, c := range x.columns {
		sp := space{col: c, multi: x.multi && i == len(x.columns)-1}
		within := where.ranges(&sp)
		if within.isAll() {
			break
		}
		p.used = append(p.used, c)
		p.ranges = nil
		var next [][]byte
		for _, prefix := range prefixes {
			for _, r := range within {
				if sp.single(r) {
					next = append(next, slices.Concat(prefix, r.From))
				}
				p.ranges = append(p.ranges, r.under(prefix))
			}
		}
		if len(next) != len(p.ranges) || len(next) > maxPoints {
			break
		}
		if len(next) == 1 {
			p.fixed, p.prefix = i+1, next[0]
			p.prefixNull = p.prefixNull || c.nullable && within[0].From[0] == nullByte
		}
		p.lookup = i == len(x.columns)-1
		prefixes = next
	}
	p.exact = where.exactOn(p.used)
	return p
}

// complete reports whether the path leads to every record that meets the
// conditions. An index of elements lacks the records whose slice is empty.
func (p *path) complete() bool {
	return p.index == nil || !p.index.multi || len(p.ranges) == 0 || len(p.used) == len(p.index.columns)
}

// under returns the range of keys that begin with the prefix and go on within r.
func (r Range) under(prefix []byte) Range {
	if len(prefix) == 0 {
		return r
	}
	out := Range{From: slices.Concat(prefix, r.From)}
	if r.To != nil {
		out.To = slices.Concat(prefix, r.To)
	} else {
		out.To = afterPrefix(prefix)
	}
	return out
}

// gives reports whether the path's entries, read in order, give the records in
// the order asked for, and whether that is from the last to the first.
func (p *path) gives(orders []order) (inOrder, reverse bool) {
	if p.index == nil {
		return len(orders) == 0 || orders[0].col.key, len(orders) > 0 && orders[0].desc
	}
	reverse = len(orders) > 0 && orders[len(orders)-1].desc
	rest := p.index.columns[p.fixed:]
	for _, o := range orders {
		switch {
		case p.isFixed(o.col):
		case o.desc != reverse:
			return false, false
		case len(rest) > 0 && o.col == rest[0]:
			rest = rest[1:]
		case len(rest) == 0 && o.col.key:
			return true, reverse
		default:
			return false, false
		}
	}
	return len(rest) == 0, reverse
}

// isFixed reports whether a column has one value in all of the path's ranges.
func (p *path) isFixed(c *column) bool { return slices.Contains(p.index.columns[:p.fixed], c) }

// rank says how good a path is: the higher the better.
func (p *path) rank(orders []order, limited bool) int {
	inOrder, _ := p.gives(orders)
	points := len(p.ranges) > 0
	for _, r := range p.ranges {
		if _, one := r.point(); p.index != nil || !one {
			points = false
		}
	}
	n := 0
	switch {
	case len(p.ranges) == 0:
		return 1000
	case points:
		return 900
	case p.index == nil && len(p.used) > 0:
		n = 60
	case p.index == nil:
		n = 1
	case p.index.unique && p.fixed == len(p.index.columns):
		return 800
	case p.lookup && p.fixed == 0:
		n = 90 * len(p.used)
	case p.fixed > 0:
		n = 100*p.fixed + 50*(len(p.used)-p.fixed)
	case len(p.used) > 0:
		n = 50 * len(p.used)
	case inOrder && len(orders) > 0 && p.index != nil:
		n = 20 // no condition helps, but nothing need be sorted
	default:
		return 0
	}
	for _, r := range p.ranges { // closed on both sides
		if len(p.used) > 0 && len(r.From) > 0 && r.To != nil {
			n += 10
			break
		}
	}
	if inOrder && limited {
		n += 25
	} else if inOrder {
		n += 5
	}
	return n
}

// bestPath returns the best of the paths through the table and its indexes.
func (t *table) bestPath(where conjunction, orders []order, limited bool) path {
	best := t.keyPath(where)
	top := best.rank(orders, limited)
	for _, x := range t.indexes {
		p := x.indexPath(where)
		if n := p.rank(orders, limited); n > top && p.complete() {
			best, top = p, n
		}
	}
	return best
}

// paths returns the paths that together lead to every record that meets the
// conditions: one, or a union of one for each side of an Or.
func (t *table) paths(where conjunction, orders []order, limited bool) []path {
	best := t.bestPath(where, orders, limited)
	if len(best.used) > 0 || len(best.ranges) == 0 {
		return []path{best}
	}
	for i, e := range where {
		if or, ok := e.(disjunction); ok && len(or) > 1 {
			if union := t.union(where, i, or); union != nil {
				return union
			}
		}
	}
	return []path{best}
}

// union returns a path for each side of an Or, the i-th of the conditions; nil if
// one of them would read the whole table.
func (t *table) union(where conjunction, i int, or disjunction) []path {
	var union []path
	for _, side := range or {
		conditions := append(slices.Delete(slices.Clone(where), i, i+1), flatten(side)...)
		p := t.bestPath(conditions, nil, false)
		if len(p.used) == 0 && len(p.ranges) > 0 {
			return nil
		}
		union = append(union, p)
	}
	return union
}

// flatten returns the parts of a conjunction, or the condition itself.
func flatten(e expr) conjunction {
	if c, ok := e.(conjunction); ok {
		return c
	}
	return conjunction{e}
}

// conditions puts the conditions that an index's path serves in words.
func (p *path) conditions() string {
	var parts []string
	for _, e := range flattenAll(p.where) {
		for _, c := range p.used {
			sp := space{col: c, multi: c.elements != nil}
			if !e.ranges(&sp).isAll() {
				parts = append(parts, e.String())
				break
			}
		}
	}
	return strings.Join(parts, " and ")
}

// flattenAll returns the conditions with conjunctions inside taken apart.
func flattenAll(where conjunction) conjunction {
	var out conjunction
	for _, e := range where {
		if c, ok := e.(conjunction); ok {
			out = append(out, flattenAll(c)...)
		} else {
			out = append(out, e)
		}
	}
	return out
}
