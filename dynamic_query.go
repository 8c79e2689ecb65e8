package userdata

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"unsafe"
)

// A RowQuery is to a [Row] what a [Query] is to a struct: an immutable value that
// asks a session for the rows of a [RowTable], by conditions on columns that are
// given by name. Plans, pages, pending changes and errors are those of a Query,
// and so are the answers, records of the session. It is as safe for concurrent use
// as its session.
type RowQuery struct{ q query }

// errOtherDatabase is the cause when a RowTable meets a session that is not of its
// database.
var errOtherDatabase = invalidf("the table is of another database")

// Select returns the query for all rows of the table, in the order of their keys.
func (t *RowTable) Select(s *Session) RowQuery {
	q := query{s: s, table: t.table, limit: -1}
	if s != nil && s.db.tables[t.table.name] != t.table {
		q.err = q.fault("query", errOtherDatabase)
	}
	return RowQuery{q}
}

// A RowColumn is the name of a column of a [RowTable]. As a [Column] does, it makes
// conditions and orders, of which [And], [Or] and [Not] make others:
//
//	notes.Select(s).Where(userdata.RowColumn("title").Eq("Milk"))
//
// Values are what [Row.Set] takes, or a text that stands for one, as [Row.SetText]
// takes it. Whether the table has the column, and the column such values, shows
// when a [RowQuery] gets the condition: it returns [ErrInvalid] then.
type RowColumn string

// Eq is true where the column equals v. Nil stands for null.
func (c RowColumn) Eq(v any) Predicate[Row] { return c.compare(opEq, v) }

// Ne is true where the column does not equal v, as [Column.Ne] is.
func (c RowColumn) Ne(v any) Predicate[Row] { return c.compare(opNe, v) }

// Lt is true where the column is less than v.
func (c RowColumn) Lt(v any) Predicate[Row] { return c.compare(opLt, v) }

// Le is true where the column is less than v or equals it.
func (c RowColumn) Le(v any) Predicate[Row] { return c.compare(opLe, v) }

// Gt is true where the column is greater than v.
func (c RowColumn) Gt(v any) Predicate[Row] { return c.compare(opGt, v) }

// Ge is true where the column is greater than v or equals it.
func (c RowColumn) Ge(v any) Predicate[Row] { return c.compare(opGe, v) }

// Between is true where the column is at least low and at most high.
func (c RowColumn) Between(low, high any) Predicate[Row] { return And(c.Ge(low), c.Le(high)) }

// In is true where the column equals one of the values.
func (c RowColumn) In(values ...any) Predicate[Row] {
	values = slices.Clone(values)
	return c.condition("in", func(col *column) (expr, error) {
		list := make([]expr, len(values))
		for i, v := range values {
			p, err := addressOf(col.codec.typ, v)
			if err != nil {
				return nil, err
			}
			list[i] = newComparison(col, opEq, p)
		}
		return newMembership(col, list), nil
	})
}

// HasPrefix is true where the column, text or bytes that can't be null, begins
// with prefix.
func (c RowColumn) HasPrefix(prefix string) Predicate[Row] {
	return c.condition("begins with", func(col *column) (expr, error) {
		t := col.codec.typ
		isBytes := t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
		if marshalsItself(t) || t.Kind() != reflect.String && !isBytes {
			return nil, invalidf("only text and bytes that can't be null have prefixes, not %s", col.codec.name)
		}
		return &prefixed{col, prefix}, nil
	})
}

// Contains is true where the column, a slice of values that have an order, has an
// element that equals v.
func (c RowColumn) Contains(v any) Predicate[Row] {
	return c.condition("contains", func(col *column) (expr, error) {
		if col.elements == nil {
			return nil, invalidf("it is not a slice of values that have an order, but %s", col.codec.name)
		}
		p, err := addressOf(col.codec.elem.typ, v)
		if err != nil {
			return nil, err
		}
		return &containing{col, p, orderedAppender(col.codec.elem)(nil, p)}, nil
	})
}

// Asc orders by the column, the least value first.
func (c RowColumn) Asc() Order[Row] { return Order[Row]{order{name: string(c)}} }

// Desc orders by the column, the greatest value first.
func (c RowColumn) Desc() Order[Row] { return Order[Row]{order{name: string(c), desc: true}} }

func (c RowColumn) compare(op op, v any) Predicate[Row] {
	return c.condition(op.String(), func(col *column) (expr, error) {
		p, err := addressOf(col.codec.typ, v)
		if err != nil {
			return nil, err
		}
		return newComparison(col, op, p), nil
	})
}

func (c RowColumn) condition(words string, on func(*column) (expr, error)) Predicate[Row] {
	return Predicate[Row]{&named{column: string(c), words: words, on: on}}
}

// addressOf returns the address of a new value of type t, set to what a caller
// hands in.
func addressOf(t reflect.Type, value any) (unsafe.Pointer, error) {
	v := reflect.New(t)
	err := setValue(v.Elem(), value)
	return v.UnsafePointer(), err
}

// A named is a condition on a column that is known by its name only. It is true
// nowhere: a RowQuery puts what it stands for in its place.
type named struct {
	match
	column, words string
	on            func(*column) (expr, error)
}

func (x *named) holds(unsafe.Pointer) bool { return false }
func (x *named) String() string            { return x.column + " " + x.words + " ..." }

// check refuses the condition where nothing has put another in its place.
func (x *named) check() error {
	return invalidf("a condition on %s that no RowQuery has got", x.column)
}

// resolve puts conditions on the table's columns in the place of those on names.
func (t *table) resolve(e expr) expr {
	switch x := e.(type) {
	case conjunction:
		return conjunction(t.resolveAll(x))
	case disjunction:
		return disjunction(t.resolveAll(x))
	case *negation:
		return &negation{t.resolve(x.part)}
	case *named:
		col, err := t.columnNamed(x.column)
		if err == nil {
			e, err = x.on(col)
		}
		if err != nil {
			return &nonsense{err: fmt.Errorf("column %s: %w", x.column, err)}
		}
	}
	return e
}

func (t *table) resolveAll(parts []expr) []expr {
	out := make([]expr, len(parts))
	for i, e := range parts {
		out[i] = t.resolve(e)
	}
	return out
}

// columnNamed returns the column of that name.
func (t *table) columnNamed(name string) (*column, error) {
	i := slices.IndexFunc(t.columns, func(c *column) bool { return c.name == name })
	if i < 0 {
		return nil, invalidf("the table has no such column")
	}
	return t.columns[i], nil
}

// Where keeps the rows for which all the predicates are true, and those of earlier
// calls.
func (q RowQuery) Where(predicates ...Predicate[Row]) RowQuery {
	if q.q.table != nil {
		q.q.restrict(q.q.table.resolveAll(exprsOf(predicates)))
	}
	return q
}

// Filter keeps the rows for which fn returns true, as a [Match] does: fn must not
// keep or change the row, nor use the session.
func (q RowQuery) Filter(fn func(*Row) bool) RowQuery {
	if fn == nil {
		q.q.restrict(conjunction{errNilMatch})
		return q
	}
	t := q.q.table
	q.q.restrict(conjunction{&match{func(p unsafe.Pointer) bool { return fn(&Row{t, p}) }}})
	return q
}

// OrderBy sorts by the orders, and finally by key, as [Query.OrderBy] does. It
// replaces the orders of earlier calls.
func (q RowQuery) OrderBy(orders ...Order[Row]) RowQuery {
	q.q.orders = nil
	for _, o := range orders {
		if q.q.table == nil || o.order.name == "" {
			q.q.orders = append(q.q.orders, o.order) // makes no sense, which check says
			continue
		}
		col, err := q.q.table.columnNamed(o.order.name)
		if err != nil {
			if q.q.err == nil {
				q.q.err = q.q.fault("query", fmt.Errorf("column %s: %w", o.order.name, err))
			}
			return q
		}
		q.q.orders = append(q.q.orders, order{col: col, desc: o.order.desc})
	}
	return q
}

// Limit answers with at most n rows.
func (q RowQuery) Limit(n int) RowQuery {
	q.q.setLimit(n)
	return q
}

// Untracked answers with copies that the session does not track, as
// [Query.Untracked] does.
func (q RowQuery) Untracked() RowQuery {
	q.q.untracked = true
	return q
}

// After answers with the rows that come after the one that the cursor stands for,
// as [Query.After] does.
func (q RowQuery) After(cursor string) RowQuery {
	q.q.cursor = cursor
	return q
}

// Cursor returns the cursor of a row's place in the query's order, as
// [Query.Cursor] does. The row need not be stored: in the order of keys, a new one
// that has only its key will do.
func (q RowQuery) Cursor(row *Row) (string, error) {
	switch {
	case row == nil:
		return q.q.cursorOf(nil)
	case row.table != q.q.table:
		return "", q.q.fault("cursor", invalidf("the row is of another table"))
	}
	return q.q.cursorOf(row.ptr)
}

// All returns the rows.
func (q RowQuery) All(ctx context.Context) ([]*Row, error) {
	answers, err := q.q.all(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]*Row, len(answers))
	for i, p := range answers {
		out[i] = &Row{q.q.table, p}
	}
	return out, nil
}

// Rows returns the rows one by one, without a transaction while the loop's body
// runs, as [Query.Rows] does.
func (q RowQuery) Rows(ctx context.Context) iter.Seq2[*Row, error] {
	return func(yield func(*Row, error) bool) {
		q.q.each(ctx, func(p unsafe.Pointer, err error) bool {
			if err != nil {
				return yield(nil, err)
			}
			return yield(&Row{q.q.table, p}, nil)
		})
	}
}

// Count returns how many rows there are.
func (q RowQuery) Count(ctx context.Context) (int, error) {
	return q.q.number("count", ctx, (*query).count)
}

// Delete marks the rows to be deleted by the next Commit, and returns how many
// there are, as [Query.Delete] does.
func (q RowQuery) Delete(ctx context.Context) (int, error) {
	return q.q.number("delete", ctx, (*query).delete)
}

// Explain says what the query reads, without reading it.
func (q RowQuery) Explain() (Plan, error) { return q.q.explain() }
