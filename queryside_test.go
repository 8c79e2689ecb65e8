package userdata_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unsafe"

	"github.com/seed-5df914be/userdata"
)

// A tableCol is a column of a table of T.
type tableCol[T any] struct {
	compare    func(op string, values []any) userdata.Predicate[T]
	asc, desc  userdata.Order[T]
	set        func(v any) userdata.Assignment[T]
	min, max   func(context.Context, userdata.Query[T]) (any, error)
	distinct   func(context.Context, userdata.Query[T]) ([]any, error)
	countGroup func(context.Context, userdata.Query[T]) ([]any, []int, error)
}

func newTableCol[T, K, V any](at func(*unindexed[K]) *V) tableCol[T] {
	c := userdata.ColumnOf(func(r *T) *V { return at(asPlain[K](r)) })
	t := tableCol[T]{asc: c.Asc(), desc: c.Desc(), set: func(v any) userdata.Assignment[T] { return c.Set(v.(V)) }}
	t.compare = func(op string, values []any) userdata.Predicate[T] {
		var vs []V
		for _, v := range values {
			vs = append(vs, v.(V))
		}
		switch op {
		case "=":
			return c.Eq(vs[0])
		case "!=":
			return c.Ne(vs[0])
		case "<":
			return c.Lt(vs[0])
		case "<=":
			return c.Le(vs[0])
		case ">":
			return c.Gt(vs[0])
		case ">=":
			return c.Ge(vs[0])
		case "in":
			return c.In(vs...)
		case "between":
			return c.Between(vs[0], vs[1])
		case "prefix":
			switch c := any(c).(type) {
			case userdata.Column[T, string]:
				return userdata.HasPrefix(c, values[0].(string))
			case userdata.Column[T, []byte]:
				return userdata.HasPrefix(c, values[0].([]byte))
			}
		}
		panic(op)
	}
	t.min = func(ctx context.Context, q userdata.Query[T]) (any, error) { return userdata.Min(ctx, q, c) }
	t.max = func(ctx context.Context, q userdata.Query[T]) (any, error) { return userdata.Max(ctx, q, c) }
	t.distinct = func(ctx context.Context, q userdata.Query[T]) (out []any, err error) {
		values, err := userdata.Distinct(ctx, q, c)
		for _, v := range values {
			out = append(out, v)
		}
		return out, err
	}
	t.countGroup = func(ctx context.Context, q userdata.Query[T]) (out []any, counts []int, err error) {
		groups, err := userdata.GroupBy(ctx, q, c)
		for _, g := range groups {
			out, counts = append(out, g.Value), append(counts, g.Count)
		}
		return out, counts, err
	}
	return t
}

func tableColsOf[T, K any]() []tableCol[T] {
	return []tableCol[T]{
		newTableCol[T](func(r *unindexed[K]) *K { return &r.ID }),
		newTableCol[T](func(r *unindexed[K]) *string { return &r.S }),
		newTableCol[T](func(r *unindexed[K]) *int64 { return &r.N }),
		newTableCol[T](func(r *unindexed[K]) *uint64 { return &r.U }),
		newTableCol[T](func(r *unindexed[K]) *float64 { return &r.F }),
		newTableCol[T](func(r *unindexed[K]) *bool { return &r.B }),
		newTableCol[T](func(r *unindexed[K]) *time.Time { return &r.T }),
		newTableCol[T](func(r *unindexed[K]) *[]byte { return &r.Y }),
		newTableCol[T](func(r *unindexed[K]) **string { return &r.PS }),
		newTableCol[T](func(r *unindexed[K]) **int64 { return &r.PN }),
		newTableCol[T](func(r *unindexed[K]) **time.Time { return &r.PT }),
		newTableCol[T](func(r *unindexed[K]) *string { return &r.X }),
		newTableCol[T](func(r *unindexed[K]) **int64 { return &r.XP }),
		newTableCol[T](func(r *unindexed[K]) *int64 { return &r.C1 }),
		newTableCol[T](func(r *unindexed[K]) *string { return &r.C2 }),
	}
}

// A side is a table of T with a session: one with indexes, or without.
type side[K any] interface {
	begin(ctx context.Context)
	add(r *unindexed[K]) error
	change(ctx context.Context, key K, fn func(*unindexed[K])) error
	remove(ctx context.Context, key K) error
	commit(ctx context.Context) error
	rollback()
	update(ctx context.Context, q *question[K], c *col[K], v any) (int, error)
	removeAll(ctx context.Context, q *question[K]) (int, error)
	check(ctx context.Context, q *question[K], records []*unindexed[K]) error
	aggregate(ctx context.Context, q *question[K], c *col[K], records []*unindexed[K]) error
	page(ctx context.Context, q *question[K], cursor string) (records []*unindexed[K], next string, err error)
	rows(ctx context.Context, q *question[K], body func(r *unindexed[K]) error) error
	checkFile(ctx context.Context) error
}

type tableSide[T, K any] struct {
	table *userdata.Table[T]
	db    *userdata.DB
	s     *userdata.Session
	cols  []tableCol[T]
}

func newSide[T, K any](t fatal, cols []tableCol[T]) side[K] {
	x := &tableSide[T, K]{table: userdata.NewTable[T]("records"), cols: cols}
	db, err := userdata.OpenStore(context.Background(), userdata.NewMemStore(), nil, x.table)
	if err != nil {
		t.Fatal(err)
	}
	x.db = db
	x.begin(context.Background())
	return x
}

// fatal is what testing.T and rapid.T have.
type fatal interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func (x *tableSide[T, K]) begin(context.Context) { x.s = x.db.NewSession() }

func (x *tableSide[T, K]) add(r *unindexed[K]) error {
	return x.s.Add((*T)(unsafe.Pointer(r.copyOf())))
}

func (x *tableSide[T, K]) change(ctx context.Context, key K, fn func(*unindexed[K])) error {
	r, err := x.table.Get(ctx, x.s, key)
	if err == nil {
		fn(asPlain[K](r))
	}
	return err
}

func (x *tableSide[T, K]) remove(ctx context.Context, key K) error {
	r, err := x.table.Get(ctx, x.s, key)
	if err == nil {
		err = x.s.Delete(r)
	}
	return err
}

func (x *tableSide[T, K]) commit(ctx context.Context) error { return x.s.Commit(ctx) }
func (x *tableSide[T, K]) rollback()                        { x.s.Rollback() }
func (x *tableSide[T, K]) checkFile(ctx context.Context) error {
	return userdata.CheckRecords(ctx, x.db)
}

func (x *tableSide[T, K]) predicate(c *spec[K]) userdata.Predicate[T] {
	var parts []userdata.Predicate[T]
	for _, p := range c.parts {
		parts = append(parts, x.predicate(p))
	}
	switch c.kind {
	case "and":
		return userdata.And(parts...)
	case "or":
		return userdata.Or(parts...)
	case "not":
		return userdata.Not(parts[0])
	case "match":
		return userdata.Match(func(r *T) bool { return asPlain[K](r).N%2 == 0 })
	case "has":
		return userdata.Contains(userdata.ColumnOf(func(r *T) *[]string { return &asPlain[K](r).L }), c.values[0].(string))
	case "hasn":
		return userdata.Contains(userdata.ColumnOf(func(r *T) *[]int64 { return &asPlain[K](r).LN }), c.values[0].(int64))
	}
	return x.cols[c.col.index].compare(c.kind, c.values)
}

// query returns the question as a query of the table, all but limit and offset.
func (x *tableSide[T, K]) query(q *question[K]) userdata.Query[T] {
	out := x.table.Select(x.s)
	for _, w := range q.where {
		out = out.Where(x.predicate(w))
	}
	var orders []userdata.Order[T]
	for _, o := range q.orders {
		if o.desc {
			orders = append(orders, x.cols[o.col.index].desc)
		} else {
			orders = append(orders, x.cols[o.col.index].asc)
		}
	}
	out = out.OrderBy(orders...)
	if q.untracked {
		out = out.Untracked()
	}
	return out
}

func (x *tableSide[T, K]) cutQuery(q *question[K]) userdata.Query[T] {
	out := x.query(q).Offset(q.offset)
	if q.limit >= 0 {
		out = out.Limit(q.limit)
	}
	return out
}

func (x *tableSide[T, K]) update(ctx context.Context, q *question[K], c *col[K], v any) (int, error) {
	return x.cutQuery(q).Update(ctx, x.cols[c.index].set(v))
}

func (x *tableSide[T, K]) removeAll(ctx context.Context, q *question[K]) (int, error) {
	return x.cutQuery(q).Delete(ctx)
}

// check puts a question in every way, and compares with the model's answer.
func (x *tableSide[T, K]) check(ctx context.Context, q *question[K], records []*unindexed[K]) error {
	query := x.cutQuery(q)
	plan, err := query.Explain()
	if err != nil {
		return err
	}
	fault := func(what string, got, want any) error {
		return fmt.Errorf("%s of %T:\n%s\ngot  %v\nwant %v", what, *new(T), plan, got, want)
	}
	want := q.cut(q.answer(records))
	if n, err := query.Count(ctx); n != len(want) || err != nil {
		return fault("Count", fmt.Sprint(n, err), len(want))
	}
	if ok, err := query.Exists(ctx); ok != (len(want) > 0) || err != nil {
		return fault("Exists", fmt.Sprint(ok, err), len(want) > 0)
	}
	first, err := query.First(ctx)
	if len(want) == 0 && !errors.Is(err, userdata.ErrNotFound) || len(want) > 0 && (err != nil || asPlain[K](first).String() != want[0].String()) {
		return fault("First", fmt.Sprint(asPlain[K](first), err), want)
	}
	all, err := query.All(ctx)
	if got := plainStrings[K](all); !slices.Equal(got, recordStrings(want)) || err != nil {
		return fault("All", fmt.Sprintf("%q %v", got, err), fmt.Sprintf("%q", recordStrings(want)))
	}
	all = nil
	for r, err := range query.Rows(ctx) {
		if err != nil {
			return fault("Rows", err, nil)
		}
		all = append(all, r)
	}
	if got := plainStrings[K](all); !slices.Equal(got, recordStrings(want)) {
		return fault("Rows", fmt.Sprintf("%q", got), fmt.Sprintf("%q", recordStrings(want)))
	}
	return nil
}

func plainStrings[K, T any](records []*T) (out []string) {
	for _, r := range records {
		out = append(out, asPlain[K](r).String())
	}
	return out
}

func recordStrings[K any](records []*unindexed[K]) (out []string) {
	for _, r := range records {
		out = append(out, r.String())
	}
	return out
}

// aggregate sums up in every way, and compares with the model.
func (x *tableSide[T, K]) aggregate(ctx context.Context, q *question[K], c *col[K], records []*unindexed[K]) error {
	bare := *q
	bare.orders = []order[K]{{c, false}}
	query := x.query(q)
	var values []any
	var counts []int
	for _, r := range bare.answer(records) {
		v := c.get(r)
		if n := len(values); n > 0 && compareValues(values[n-1], v) == 0 {
			counts[n-1]++
			continue
		}
		values, counts = append(values, v), append(counts, 1)
	}
	same := func(a, b any) bool { return compareValues(a, b) == 0 }
	got, gotCounts, err := x.cols[c.index].countGroup(ctx, query)
	if !slices.EqualFunc(got, values, same) || !slices.Equal(gotCounts, counts) || err != nil {
		return fmt.Errorf("GroupBy %s of %T: got %v %v %v, want %v %v", c.name, *new(T), got, gotCounts, err, values, counts)
	}
	if got, err = x.cols[c.index].distinct(ctx, query); !slices.EqualFunc(got, values, same) || err != nil {
		return fmt.Errorf("Distinct %s of %T: got %v %v, want %v", c.name, *new(T), got, err, values)
	}
	values = slices.DeleteFunc(values, func(v any) bool { return deref(v) == nil })
	low, errLow := x.cols[c.index].min(ctx, query)
	high, errHigh := x.cols[c.index].max(ctx, query)
	if len(values) == 0 {
		if !errors.Is(errLow, userdata.ErrNotFound) || !errors.Is(errHigh, userdata.ErrNotFound) {
			return fmt.Errorf("Min, Max %s of %T: got %v, %v, want ErrNotFound", c.name, *new(T), errLow, errHigh)
		}
		return nil
	}
	if errLow != nil || errHigh != nil || !same(low, values[0]) || !same(high, values[len(values)-1]) {
		return fmt.Errorf("Min, Max %s of %T: got %v, %v, %v, %v, want %v, %v", c.name, *new(T), low, errLow, high, errHigh, values[0], values[len(values)-1])
	}
	return nil
}

// page reads the page after a cursor in a session of its own.
func (x *tableSide[T, K]) page(ctx context.Context, q *question[K], cursor string) (page []*unindexed[K], next string, err error) {
	query := x.query(q).Limit(q.limit).After(cursor)
	all, err := query.All(ctx)
	if err != nil {
		return nil, "", err
	}
	if n, err := query.Count(ctx); n != len(all) || err != nil {
		return nil, "", fmt.Errorf("Count of a page: got %d, %v, want %d", n, err, len(all))
	}
	for _, r := range all {
		page = append(page, asPlain[K](r))
	}
	if len(all) > 0 {
		next, err = query.Cursor(all[len(all)-1])
	}
	return page, next, err
}

func (x *tableSide[T, K]) rows(ctx context.Context, q *question[K], body func(r *unindexed[K]) error) error {
	for r, err := range x.query(q).Rows(ctx) {
		if err == nil {
			err = body(asPlain[K](r))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
