package userdata_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A drawer draws records and questions.
type drawer[K any] struct {
	t    *rapid.T
	kind keyKind[K]
	cols []*col[K]
	used map[string]bool // keys drawn
	next int             // for values that no two records share
}

func draw[V any](t *rapid.T, name string, values []V) V {
	return rapid.SampledFrom(values).Draw(t, name)
}

func (d *drawer[K]) int(low, high int, name string) int {
	return rapid.IntRange(low, high).Draw(d.t, name)
}

func (d *drawer[K]) key() K {
	for {
		k := draw(d.t, "key", d.kind.keys)
		if s := fmt.Sprintf("%#v", k); !d.used[s] {
			d.used[s] = true
			return k
		}
		if len(d.used) > len(d.kind.keys)/2 {
			d.t.Skip("no keys left")
		}
	}
}

func (d *drawer[K]) record() *unindexed[K] {
	r := &unindexed[K]{ID: d.key()}
	for _, c := range d.cols {
		if !c.unique {
			c.set(r, draw(d.t, c.name, c.values))
		}
	}
	r.L, r.LN = draw(d.t, "l", someLists), draw(d.t, "ln", someIntLists)
	d.uniques(r)
	return r.copyOf()
}

var (
	someLists    = [][]string{nil, {}, {""}, {"a"}, {"a", "a"}, {"b", "a", "a\x00"}, {"a\x00", "b"}}
	someIntLists = [][]int64{nil, {}, {1}, {5, 6}, {6, 5, 5}, {math.MinInt64, -1}}
)

// uniques gives a record values that no other has.
func (d *drawer[K]) uniques(r *unindexed[K]) {
	n := d.next
	d.next++
	letter := draw(d.t, "letter", []string{"a", "b", "a\x00"})
	r.X = fmt.Sprint(letter, n)
	r.XP = nil
	if n%3 > 0 {
		v := int64(n) * int64(1-2*(n%2))
		r.XP = &v
	}
	r.C1, r.C2 = int64(n%3), fmt.Sprint(letter, n/2)
}

func (d *drawer[K]) spec(depth int) *spec[K] {
	kinds := []string{"=", "=", "!=", "<", "<=", ">", ">=", "in", "between", "prefix", "has", "hasn", "match"}
	if depth > 0 {
		kinds = append(kinds, "and", "or", "or", "not")
	}
	x := &spec[K]{kind: draw(d.t, "kind", kinds)}
	switch x.kind {
	case "and", "or":
		for range d.int(0, 3, "parts") {
			x.parts = append(x.parts, d.spec(depth-1))
		}
		return x
	case "not":
		x.parts = []*spec[K]{d.spec(depth - 1)}
		return x
	case "match":
		return x
	case "has":
		x.values = []any{draw(d.t, "element", []string{"", "a", "b", "a\x00"})}
		return x
	case "hasn":
		x.values = []any{draw(d.t, "element", []int64{1, 5, 6, -1})}
		return x
	}
	cols := d.cols
	n := 1
	switch x.kind {
	case "prefix":
		cols = slices.DeleteFunc(slices.Clone(cols), func(c *col[K]) bool { return !c.prefix })
	case "in":
		n = d.int(0, 4, "values")
	case "between":
		n = 2
	}
	x.col = draw(d.t, "column", cols)
	for range n {
		x.values = append(x.values, draw(d.t, "value", x.col.values))
	}
	return x
}

func (d *drawer[K]) question() *question[K] {
	q := &question[K]{limit: -1, untracked: rapid.Bool().Draw(d.t, "untracked")}
	for range d.int(0, 3, "conditions") {
		q.where = append(q.where, d.spec(2))
	}
	for range d.int(0, 3, "orders") {
		q.orders = append(q.orders, order[K]{draw(d.t, "by", d.cols), rapid.Bool().Draw(d.t, "desc")})
	}
	if len(q.orders) > 0 && d.int(0, 2, "same direction") > 0 { // as an index can serve it
		for i := range q.orders {
			q.orders[i].desc = q.orders[0].desc
		}
	}
	if rapid.Bool().Draw(d.t, "limited") {
		q.limit = d.int(0, 6, "limit")
	}
	if d.int(0, 3, "skip") == 0 {
		q.offset = d.int(0, 4, "offset")
	}
	return q
}

// A world is the model and the tables that have to agree with it.
type world[K any] struct {
	drawer[K]
	ctx     context.Context
	sides   []side[K]
	records []*unindexed[K] // as the session sees them
}

func (w *world[K]) each(what string, fn func(s side[K]) error) {
	w.t.Helper()
	for _, s := range w.sides {
		if err := fn(s); err != nil {
			w.t.Fatalf("%s: %v", what, err)
		}
	}
}

func (w *world[K]) add() {
	r := w.record()
	w.each("add", func(s side[K]) error { return s.add(r) })
	w.records = append(w.records, r)
}

// act does something to the session.
func (w *world[K]) act() {
	if len(w.records) == 0 {
		w.add()
		return
	}
	i := w.int(0, len(w.records)-1, "record")
	r := w.records[i]
	change := func(r *unindexed[K], fn func(r *unindexed[K])) {
		key := r.ID
		fn(r)
		w.each("change", func(s side[K]) error { return s.change(w.ctx, key, fn) })
	}
	switch draw(w.t, "act", []string{"add", "add", "change", "change", "change", "uniques", "delete", "move", "swap", "update", "remove"}) {
	case "add":
		w.add()
	case "change":
		for range w.int(1, 3, "changes") {
			c := draw(w.t, "column", w.cols)
			if v := draw(w.t, "value", c.values); !c.unique {
				change(r, func(r *unindexed[K]) { c.set(r, v) })
			}
		}
		l := draw(w.t, "l", someLists)
		change(r, func(r *unindexed[K]) { r.L = slices.Clone(l) })
	case "uniques":
		var fresh unindexed[K]
		w.uniques(&fresh)
		change(r, func(r *unindexed[K]) { r.X, r.XP, r.C1, r.C2 = fresh.X, clonePtr(fresh.XP), fresh.C1, fresh.C2 })
	case "delete":
		w.records = slices.Delete(w.records, i, i+1)
		w.each("delete", func(s side[K]) error { return s.remove(w.ctx, r.ID) })
	case "move":
		key := w.key()
		change(r, func(r *unindexed[K]) { r.ID = key })
	case "swap":
		o := w.records[w.int(0, len(w.records)-1, "other")]
		a, b := r.copyOf(), o.copyOf()
		swap := func(from *unindexed[K]) func(r *unindexed[K]) {
			return func(r *unindexed[K]) { r.X, r.XP, r.C1, r.C2 = from.X, clonePtr(from.XP), from.C1, from.C2 }
		}
		change(r, swap(b))
		change(o, swap(a))
		if r == o {
			change(r, swap(a))
		}
	case "update":
		q := w.question()
		c := draw(w.t, "column", w.cols)
		if v := draw(w.t, "value", c.values); !c.unique {
			found := q.cut(q.answer(w.records))
			w.each("update", func(s side[K]) error {
				n, err := s.update(w.ctx, q, c, v)
				return wantCount(n, len(found), err)
			})
			for _, r := range found {
				c.set(r, v)
			}
		}
	case "remove":
		q := w.question()
		q.limit = w.int(0, 3, "limit")
		found := q.cut(q.answer(w.records))
		w.each("remove", func(s side[K]) error {
			n, err := s.removeAll(w.ctx, q)
			return wantCount(n, len(found), err)
		})
		w.records = slices.DeleteFunc(w.records, func(r *unindexed[K]) bool { return slices.Contains(found, r) })
	}
}

func wantCount(got, want int, err error) error {
	if err == nil && got != want {
		err = fmt.Errorf("got %d, want %d", got, want)
	}
	return err
}

func (w *world[K]) commit() {
	w.each("commit", func(s side[K]) error { return errors.Join(s.commit(w.ctx), s.checkFile(w.ctx)) })
}

func newWorld[K any](t *rapid.T, ctx context.Context, kind keyKind[K], cols []*col[K], sides ...side[K]) *world[K] {
	return &world[K]{drawer: drawer[K]{t: t, kind: kind, cols: cols, used: map[string]bool{}}, ctx: ctx, sides: sides}
}

// TestQueries puts random questions to sessions with random pending changes: the
// answer is that of a unindexed filter and sort, whatever the plan.
func TestQueries(t *testing.T) {
	t.Parallel()
	t.Run("string", func(t *testing.T) { testQueries(t, stringKeys) })
	t.Run("int64", func(t *testing.T) { testQueries(t, intKeys) })
	t.Run("time", func(t *testing.T) { testQueries(t, timeKeys) })
}

func testQueries[K any](t *testing.T, kind keyKind[K]) {
	t.Parallel()
	cols := columnsOf(kind)
	plainCols, singleCols, compositeCols, mixedCols := tableColsOf[unindexed[K], K](), tableColsOf[indexed[K], K](), tableColsOf[composite[K], K](), tableColsOf[mixed[K], K]()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt, t.Context(), kind, cols,
			newSide[unindexed[K], K](rt, plainCols), newSide[indexed[K], K](rt, singleCols),
			newSide[composite[K], K](rt, compositeCols), newSide[mixed[K], K](rt, mixedCols))
		for range w.int(0, 15, "records") {
			w.add()
		}
		w.commit()
		for range w.int(0, 3, "committed acts") {
			w.act()
		}
		w.commit()
		if rapid.Bool().Draw(rt, "new session") {
			w.each("begin", func(s side[K]) error { s.begin(w.ctx); return nil })
		}
		for range 2 {
			for range w.int(0, 6, "acts") {
				w.act()
			}
			for range 4 {
				q := w.question()
				w.each("query", func(s side[K]) error { return s.check(w.ctx, q, w.records) })
				c := draw(rt, "column", cols)
				w.each("aggregate", func(s side[K]) error { return s.aggregate(w.ctx, q, c, w.records) })
			}
		}
		w.commit()
		q := w.question()
		w.each("query after commit", func(s side[K]) error { return s.check(w.ctx, q, w.records) })
	})
}

// TestPages reads whole answers page by page, while others add, change and delete
// records between the pages: what stayed as it was comes once.
func TestPages(t *testing.T) {
	t.Parallel()
	t.Run("string", func(t *testing.T) { testPages(t, stringKeys) })
	t.Run("int64", func(t *testing.T) { testPages(t, intKeys) })
	t.Run("time", func(t *testing.T) { testPages(t, timeKeys) })
}

func testPages[K any](t *testing.T, kind keyKind[K]) {
	t.Parallel()
	cols := columnsOf(kind)
	plainCols, singleCols, compositeCols, mixedCols := tableColsOf[unindexed[K], K](), tableColsOf[indexed[K], K](), tableColsOf[composite[K], K](), tableColsOf[mixed[K], K]()
	rapid.Check(t, func(rt *rapid.T) {
		sides := []side[K]{
			newSide[unindexed[K], K](rt, plainCols), newSide[indexed[K], K](rt, singleCols),
			newSide[composite[K], K](rt, compositeCols), newSide[mixed[K], K](rt, mixedCols),
		}
		w := newWorld(rt, t.Context(), kind, cols, sides...)
		for range w.int(0, 15, "records") {
			w.add()
		}
		w.commit()
		q := w.question()
		q.offset, q.limit = 0, w.int(1, 4, "page")
		whole := q.answer(w.records)
		quiet := rapid.Bool().Draw(rt, "quiet")
		touched := map[*unindexed[K]]bool{}
		cursors := make([]string, len(sides))
		var got [][]string
		for range sides {
			got = append(got, nil)
		}
		for page := 0; page < 30; page++ {
			more := false
			for i, s := range sides {
				records, next, err := s.page(w.ctx, q, cursors[i])
				if err != nil {
					rt.Fatal(err)
				}
				got[i] = append(got[i], recordStrings(records)...)
				if next != "" {
					more, cursors[i] = true, next
				}
			}
			if !more {
				break
			}
			if !quiet {
				w.disturb(touched)
			}
		}
		for i := range sides {
			if quiet && !slices.Equal(got[i], recordStrings(whole)) {
				rt.Fatalf("pages: got %q\nwant %q", got[i], recordStrings(whole))
			}
			if !slices.Equal(got[i], got[0]) {
				rt.Fatalf("pages with indexes: got %q\nwithout %q", got[i], got[0])
			}
			seen := map[string]int{}
			for _, r := range got[i] {
				seen[r]++
			}
			for _, r := range whole {
				if !touched[r] && seen[r.String()] != 1 {
					rt.Fatalf("a record that stayed came %d times, want once: %s", seen[r.String()], r)
				}
			}
		}
	})
}

// disturb adds, changes or deletes records and commits, noting the old ones that
// it touches.
func (w *world[K]) disturb(touched map[*unindexed[K]]bool) {
	for range w.int(0, 3, "disturbances") {
		if len(w.records) == 0 || rapid.Bool().Draw(w.t, "add") {
			w.add()
			continue
		}
		i := w.int(0, len(w.records)-1, "record")
		r := w.records[i]
		touched[r] = true
		w.records = slices.Delete(slices.Clone(w.records), i, i+1)
		w.each("delete", func(s side[K]) error { return s.remove(w.ctx, r.ID) })
		if rapid.Bool().Draw(w.t, "again") { // its unique values under another key
			n := r.copyOf()
			n.ID = w.key()
			w.each("add", func(s side[K]) error { return s.add(n) })
			w.records = append(w.records, n)
		}
	}
	w.commit()
}

// TestRowsDisturbed changes and commits in the body of a loop over Rows.
func TestRowsDisturbed(t *testing.T) {
	t.Parallel()
	cols := columnsOf(intKeys)
	singleCols, compositeCols := tableColsOf[indexed[int64], int64](), tableColsOf[composite[int64], int64]()
	rapid.Check(t, func(rt *rapid.T) {
		indexed := newSide[indexed[int64], int64](rt, singleCols)
		if rapid.Bool().Draw(rt, "composite") {
			indexed = newSide[composite[int64], int64](rt, compositeCols)
		}
		w := newWorld(rt, t.Context(), intKeys, cols, indexed)
		for range w.int(0, 20, "records") {
			w.add()
		}
		w.commit()
		if rapid.Bool().Draw(rt, "new session") {
			indexed.begin(w.ctx)
		}
		q := w.question()
		q.untracked = false
		whole := q.answer(w.records)
		touched := map[*unindexed[int64]]bool{}
		seen := map[int64]int{}
		var order []*unindexed[int64]
		err := indexed.rows(w.ctx, q, func(r *unindexed[int64]) error {
			seen[r.ID]++
			order = append(order, r.copyOf())
			for range w.int(0, 2, "disturbances") {
				if len(w.records) == 0 || rapid.Bool().Draw(rt, "add") {
					w.add()
					continue
				}
				i := w.int(0, len(w.records)-1, "record")
				victim := w.records[i]
				touched[victim] = true
				w.records = slices.Delete(slices.Clone(w.records), i, i+1)
				if err := indexed.remove(w.ctx, victim.ID); err != nil {
					return err
				}
			}
			if rapid.Bool().Draw(rt, "commit") {
				return indexed.commit(w.ctx)
			}
			return nil
		})
		if err != nil {
			rt.Fatal(err)
		}
		for _, r := range whole {
			if n := seen[r.ID]; n > 1 || n == 0 && !touched[r] {
				rt.Fatalf("a record came %d times: %s", n, r)
			}
		}
		if !slices.IsSortedFunc(order, q.compare) {
			rt.Fatalf("rows are not in order: %q", recordStrings(order))
		}
		w.commit()
	})
}
