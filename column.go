package userdata

import (
	"fmt"
	"reflect"
	"unsafe"
)

// A Column is a column of the records of type T, whose values are of type V. It
// makes the conditions, orders and assignments of a [Query], as a mapped
// attribute does in SQLAlchemy. It is safe for concurrent use.
//
// Values compare as Go's operators and [cmp.Compare] do: false before true,
// strings and bytes by their bytes, times by instant, NaN equal to itself and
// before all other numbers. Null, a nil pointer, equals null only and comes
// first in an order; Lt, Le, Gt, Ge and Between are false for it. A nil []byte is
// not null, but a value before the empty one.
// Types that have no order (structs, slices, maps and what marshals itself)
// know only Eq, Ne, In and Set; a query that orders by them returns [ErrInvalid].
type Column[T, V any] struct{ col *column }

// ColumnOf returns the column for the field that the function points to:
//
//	var NoteTitle = userdata.ColumnOf(func(n *Note) *string { return &n.Title })
//
// It is meant for package variables, and panics if T can't be mapped, or if the
// function returns anything else than the address of a mapped field.
func ColumnOf[T, V any](field func(*T) *V) Column[T, V] {
	typ := reflect.TypeFor[T]()
	rt, err := recordTypeOf(typ)
	if err != nil {
		panic(fmt.Errorf("userdata: ColumnOf: %w", err))
	}
	record := new(T)
	offset := uintptr(unsafe.Pointer(field(record))) - uintptr(unsafe.Pointer(record))
	for _, c := range rt.columns {
		if c.offset == offset && c.codec.typ == reflect.TypeFor[V]() {
			return Column[T, V]{c}
		}
	}
	panic(fmt.Errorf("userdata: ColumnOf: %w", invalidf("the function does not return the address of a column of %s, but a %s at offset %d: return &record.Field of a tagged field", typ, reflect.TypeFor[*V](), offset)))
}

// Name returns the column's name.
func (c Column[T, V]) Name() string {
	if c.col == nil {
		return ""
	}
	return c.col.name
}

// Eq is true where the column equals v.
func (c Column[T, V]) Eq(v V) Predicate[T] { return c.compare(opEq, v) }

// Ne is true where the column does not equal v. Unlike SQL's <>, it is true for
// null, unless v is null.
func (c Column[T, V]) Ne(v V) Predicate[T] { return c.compare(opNe, v) }

// Lt is true where the column is less than v.
func (c Column[T, V]) Lt(v V) Predicate[T] { return c.compare(opLt, v) }

// Le is true where the column is less than v or equals it.
func (c Column[T, V]) Le(v V) Predicate[T] { return c.compare(opLe, v) }

// Gt is true where the column is greater than v.
func (c Column[T, V]) Gt(v V) Predicate[T] { return c.compare(opGt, v) }

// Ge is true where the column is greater than v or equals it.
func (c Column[T, V]) Ge(v V) Predicate[T] { return c.compare(opGe, v) }

// Between is true where the column is at least low and at most high.
func (c Column[T, V]) Between(low, high V) Predicate[T] { return And(c.Ge(low), c.Le(high)) }

// In is true where the column equals one of the values.
func (c Column[T, V]) In(values ...V) Predicate[T] {
	if c.col == nil {
		return Predicate[T]{errZeroColumn}
	}
	list := make([]expr, len(values))
	for i := range values {
		list[i] = newComparison(c.col, opEq, unsafe.Pointer(&values[i]))
	}
	return Predicate[T]{newMembership(c.col, list)}
}

// Set assigns v to the column in [Query.Update].
func (c Column[T, V]) Set(v V) Assignment[T] {
	if c.col == nil {
		return Assignment[T]{}
	}
	p := c.col.codec.newValue()
	c.col.codec.clone(p, unsafe.Pointer(&v))
	return Assignment[T]{assignment{c.col, p}}
}

// Asc orders by the column, the least value first.
func (c Column[T, V]) Asc() Order[T] { return Order[T]{order{col: c.col}} }

// Desc orders by the column, the greatest value first.
func (c Column[T, V]) Desc() Order[T] { return Order[T]{order{col: c.col, desc: true}} }

func (c Column[T, V]) compare(op op, v V) Predicate[T] {
	if c.col == nil {
		return Predicate[T]{errZeroColumn}
	}
	return Predicate[T]{newComparison(c.col, op, unsafe.Pointer(&v))}
}

// A Predicate is a condition on records of type T. It is an immutable value,
// safe for concurrent use; the zero Predicate is true for every record.
type Predicate[T any] struct{ expr expr }

// String returns the condition in words, as [Query.Explain] prints it.
func (p Predicate[T]) String() string { return exprOf(p).String() }

// An Order is a column and a direction to sort by.
type Order[T any] struct{ order order }

type order struct {
	col  *column
	desc bool
	name string // of a column that has to be found in the table first: see RowColumn
}

// An Assignment is a new value for a column.
type Assignment[T any] struct{ assignment assignment }

type assignment struct {
	col   *column
	value unsafe.Pointer
}

// HasPrefix is true where the column, a string or []byte, begins with prefix.
func HasPrefix[T any, V ~string | ~[]byte](c Column[T, V], prefix V) Predicate[T] {
	if c.col == nil {
		return Predicate[T]{errZeroColumn}
	}
	return Predicate[T]{&prefixed{c.col, string(prefix)}}
}

// Contains is true where the column, a slice of values that have an order, has
// an element that equals v.
func Contains[T any, V ~[]E, E any](c Column[T, V], v E) Predicate[T] {
	switch {
	case c.col == nil:
		return Predicate[T]{errZeroColumn}
	case c.col.elements == nil:
		return Predicate[T]{newNonsense(fmt.Sprintf("column %s is not a slice of values that have an order, but %s", c.col.name, c.col.codec.typ))}
	}
	elem := c.col.codec.elem
	p := elem.newValue()
	elem.clone(p, unsafe.Pointer(&v))
	return Predicate[T]{&containing{c.col, p, orderedAppender(elem)(nil, p)}}
}

// And is true where all the predicates are; And() is true everywhere.
func And[T any](predicates ...Predicate[T]) Predicate[T] {
	return Predicate[T]{conjunction(exprsOf(predicates))}
}

// Or is true where any of the predicates is; Or() is false everywhere.
func Or[T any](predicates ...Predicate[T]) Predicate[T] {
	return Predicate[T]{disjunction(exprsOf(predicates))}
}

// Not is true where the predicate is false.
func Not[T any](p Predicate[T]) Predicate[T] { return Predicate[T]{&negation{exprOf(p)}} }

// Match is true where the function returns true. No transaction is held while
// it runs: a query reads the records that its other conditions let through
// into memory first. It must not keep or change the record, nor use the
// session, whose methods return [ErrConcurrentUse] meanwhile.
func Match[T any](fn func(*T) bool) Predicate[T] {
	switch {
	case fn == nil:
		return Predicate[T]{errNilMatch}
	case reflect.TypeFor[T]() == reflect.TypeFor[Row]():
		return Predicate[T]{errRowMatch}
	}
	return Predicate[T]{&match{func(p unsafe.Pointer) bool { return fn((*T)(p)) }}}
}

func exprOf[T any](p Predicate[T]) expr {
	if p.expr == nil {
		return conjunction(nil)
	}
	return p.expr
}

func exprsOf[T any](predicates []Predicate[T]) []expr {
	exprs := make([]expr, len(predicates))
	for i, p := range predicates {
		exprs[i] = exprOf(p)
	}
	return exprs
}
