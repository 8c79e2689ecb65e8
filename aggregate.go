package userdata

import (
	"context"
	"reflect"
	"slices"
	"unsafe"

	"rsc.io/ordered"
)

// Min returns the least value of the column among the query's records, nulls
// left out; a NaN is less than all other numbers. An index that begins with the column, or the key, makes it one
// look-up. The query has no limit, offset or cursor, else the error is
// [ErrInvalid]; [ErrNotFound] if there is no value. Further errors are those of
// every query. No record is tracked.
func Min[T, V any](ctx context.Context, q Query[T], c Column[T, V]) (V, error) {
	return extreme(ctx, q, c, c.Asc())
}

// Max returns the greatest value of the column, as [Min] does the least.
func Max[T, V any](ctx context.Context, q Query[T], c Column[T, V]) (V, error) {
	return extreme(ctx, q, c, c.Desc())
}

func extreme[T, V any](ctx context.Context, q Query[T], c Column[T, V], o Order[T]) (V, error) {
	var none V
	if err := q.q.checkWhole("aggregate", c.col); err != nil {
		return none, err
	}
	if c.col.nullable {
		q = q.Where(c.Ne(none))
	}
	record, err := q.OrderBy(o).Untracked().First(ctx)
	if err != nil {
		return none, err
	}
	return *(*V)(c.col.at(unsafe.Pointer(record))), nil
}

// A Group is a value of a column and how many records have it.
type Group[V any] struct {
	Value V
	Count int
}

// GroupBy returns the values of the column among the query's records, each once
// with the number of records that have it, in ascending order. An index that
// begins with the column makes it a walk along the index alone, if that serves
// the query's conditions too. Errors are those of [Min]; there is none for no
// records.
func GroupBy[T, V any](ctx context.Context, q Query[T], c Column[T, V]) ([]Group[V], error) {
	groups, err := groupBy(ctx, q, c.col, true)
	var out []Group[V]
	for _, g := range groups {
		out = append(out, Group[V]{*(*V)(g.value), g.count})
	}
	return out, err
}

// Distinct returns the values of the column among the query's records, each once,
// in ascending order. An index that begins with the column makes it one look-up
// a value, if the query has no conditions on other columns. Errors are those of
// [GroupBy].
func Distinct[T, V any](ctx context.Context, q Query[T], c Column[T, V]) ([]V, error) {
	groups, err := groupBy(ctx, q, c.col, false)
	var out []V
	for _, g := range groups {
		out = append(out, *(*V)(g.value))
	}
	return out, err
}

func groupBy[T any](ctx context.Context, q Query[T], col *column, counting bool) (out []*group, err error) {
	if err := q.q.checkWhole("aggregate", col); err != nil {
		return nil, err
	}
	err = q.q.do("aggregate", func() (err error) {
		g := grouper{plan: q.q.plan(), col: col, counting: counting, groups: map[string]*group{}}
		out, err = g.run(ctx)
		return err
	})
	return out, err
}

// checkWhole makes sure that a query can be summed up by a column.
func (q *query) checkWhole(op string, col *column) error {
	switch err := q.check(op); {
	case err != nil:
		return err
	case col == nil:
		return q.fault(op, errZeroColumn.err)
	case col.codec.compare == nil:
		return q.fault(op, invalidf("column %s has no order: its type is %s", col.name, col.codec.typ))
	case q.limit >= 0 || q.offset > 0 || q.cursor != "":
		return q.fault(op, invalidf("the query has a limit, an offset or a cursor"))
	}
	return nil
}

// A group is the records that share a value.
type group struct {
	value unsafe.Pointer
	count int
}

// A grouper puts the records of a query into groups.
type grouper struct {
	*plan
	col      *column
	counting bool              // else a group's count may stop at 1
	groups   map[string]*group // by the ordered form of the value
	scratch  []byte
}

func (g *grouper) run(ctx context.Context) ([]*group, error) {
	defer g.done()
	if g.matches {
		found, err := g.find(ctx)
		if err != nil {
			return nil, err
		}
		for _, c := range found {
			p := c.ptr
			if c.entry != nil {
				p = c.entry.ptr
			}
			g.addValue(g.col.at(p))
		}
		return g.sorted(), nil
	}
	err := g.read(ctx, func(snap Snapshot) error {
		if p, ok := g.indexed(); ok {
			return g.walk(ctx, snap, &p)
		}
		return g.scan(ctx, snap, g)
	})
	if err != nil {
		return nil, err
	}
	for _, c := range g.overlay(-1) {
		g.addValue(g.col.at(c.entry.ptr))
	}
	out := g.sorted()
	g.s.db.echoSelect(ctx, g.plan, len(out))
	return out, nil
}

// addValue counts a value.
func (g *grouper) addValue(v unsafe.Pointer) {
	form := g.col.appendOrdered(nil, v)
	if g.groups[string(form)] == nil {
		value := g.col.codec.newValue()
		g.col.codec.clone(value, v)
		g.groups[string(form)] = &group{value: value}
	}
	g.groups[string(form)].count++
}

// add implements [sink]: it counts the value of a row.
func (g *grouper) add(r *row) (more bool, err error) {
	v, err := r.peek(g.col)
	if err != nil {
		return false, err
	}
	g.scratch = g.col.appendOrdered(g.scratch[:0], v)
	if known := g.groups[string(g.scratch)]; known != nil {
		known.count++
		return true, nil
	}
	if v, err = g.table.decodeColumn(r, g.col); err != nil { // of its own: the group keeps it
		return false, err
	}
	g.groups[string(g.scratch)] = &group{value: v, count: 1}
	return true, nil
}

// expect implements [sink].
func (g *grouper) expect(int) {}

// wants implements [sink].
func (g *grouper) wants() int { return -1 }

// spares implements [sink].
func (g *grouper) spares() bool { return false }

// fork implements [sink].
func (g *grouper) fork(*room) sink {
	return &grouper{plan: g.plan, col: g.col, counting: g.counting, groups: map[string]*group{}}
}

// join implements [sink].
func (g *grouper) join(fork sink) (more bool) {
	for form, x := range fork.(*grouper).groups {
		if known := g.groups[form]; known != nil {
			known.count += x.count
		} else {
			g.groups[form] = x
		}
	}
	return true
}

// sorted returns the groups by value.
func (g *grouper) sorted() []*group {
	out := make([]*group, 0, len(g.groups))
	for _, x := range g.groups {
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b *group) int { return g.col.codec.compare(a.value, b.value) })
	return out
}

// indexed returns a path through an index that begins with the column, if one
// serves all conditions.
func (g *grouper) indexed() (path, bool) {
	for _, x := range g.table.indexes {
		if x.columns[0] == g.col && !x.multi {
			if p := x.indexPath(g.where); p.exact {
				return p, true
			}
		}
	}
	return path{}, false
}

// walk counts the entries of an index, value by value.
func (g *grouper) walk(ctx context.Context, snap Snapshot, p *path) error {
	sc := g.newScanner(ctx, snap, &counter{enough: -1})
	defer sc.account()
	for _, span := range p.ranges {
		for more := true; more; {
			var err error
			if more, err = g.walkSpan(sc, p, &span); err != nil {
				return err
			}
		}
	}
	return nil
}

// walkSpan counts entries from the beginning of the span. Where only values are
// wanted it stops at the first record of each, and moves the span beyond it.
func (g *grouper) walkSpan(sc *scanner, p *path, span *Range) (again bool, err error) {
	if span.empty() {
		return false, nil
	}
	counted := sc.out.(*counter)
	var failed error
	err = sc.snap.Scan(p.index.bucket, *span, func(key, value []byte) bool {
		counted.n = 0
		if _, failed = sc.visit(p, key, value); failed != nil || counted.n == 0 {
			return failed == nil
		}
		var form []byte
		if form, failed = g.addEntry(sc, p.index, indexEntry{key, value}); failed != nil || g.counting {
			return failed == nil
		}
		span.From, again = afterPrefix(form), true
		return false
	})
	if failed != nil {
		err = failed
	}
	return again && span.From != nil, err
}

// form returns the part of an index's key that stands for the column's value.
func (g *grouper) form(x *index, key []byte) ([]byte, error) {
	parts := []any{nil}
	if t := baseType(g.col.codec.typ); t.Kind() == reflect.Struct && key[0] != nullByte { // a time: seconds and nanoseconds
		parts = append(parts, nil)
	}
	rest, err := ordered.DecodePrefix(key, parts...)
	if err != nil {
		return nil, g.fault("read", corruptf("index %s: an entry without a value: %w", x.name, err))
	}
	return key[:len(key)-len(rest)], nil
}

// baseType returns what a pointer points to, or the type itself.
func baseType(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// addEntry counts an entry of an index, and returns the form of its value. The
// first of a group reads its record for the value.
func (g *grouper) addEntry(sc *scanner, x *index, e indexEntry) (form []byte, err error) {
	if form, err = g.form(x, e.key); err != nil {
		return nil, err
	}
	if known := g.groups[string(form)]; known != nil {
		known.count++
		return form, nil
	}
	key, err := x.key(e.key, e.value)
	if err != nil {
		return nil, g.fault("read", err)
	}
	if err := sc.follow(x, key); err != nil {
		return nil, err
	}
	if err := sc.check(x, e); err != nil {
		return nil, err
	}
	v, err := g.table.decodeColumn(&sc.row, g.col)
	if err != nil {
		return nil, err
	}
	g.groups[string(form)] = &group{value: v, count: 1}
	return form, nil
}
