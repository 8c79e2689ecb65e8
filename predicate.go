package userdata

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unsafe"
)

// An expr is what a Predicate is for any record type.
type expr interface {
	// holds reports whether the record at p meets the condition. It may run
	// code of the caller's.
	holds(p unsafe.Pointer) bool

	// holdsRow reports the same for a stored record. It runs no code of the
	// caller's; a Match counts as met, and so does what has a Match inside a Not.
	holdsRow(t *table, r *row) (bool, error)

	// ranges returns the ranges of the space in which every record that meets the
	// condition has its value, and maybe others have theirs.
	ranges(sp *space) ranges

	// exactOn reports whether the condition says nothing but that single values of
	// these columns lie in the ranges that it returns for each.
	exactOn(cols []*column) bool

	// matches reports whether there is a Match inside.
	matches() bool

	// check returns why the condition makes no sense, if so.
	check() error

	String() string
}

type op uint8

const (
	opEq op = iota
	opNe
	opLt
	opLe
	opGt
	opGe
)

func (o op) String() string { return [...]string{"=", "!=", "<", "<=", ">", ">="}[o] }

// test reports whether a comparison's result satisfies the operator.
func (o op) test(cmp int) bool {
	switch o {
	case opEq:
		return cmp == 0
	case opNe:
		return cmp != 0
	case opLt:
		return cmp < 0
	case opLe:
		return cmp <= 0
	case opGt:
		return cmp > 0
	}
	return cmp >= 0
}

// A comparison is column op value.
type comparison struct {
	col     *column
	op      op
	value   unsafe.Pointer
	encoded []byte // the value in msgpack; nil if it can't be stored, and so equals nothing stored
}

func newComparison(col *column, op op, value unsafe.Pointer) *comparison {
	c := &comparison{col: col, op: op, value: col.codec.newValue()}
	col.codec.clone(c.value, value)
	c.encoded, _ = col.codec.bytes(c.value)
	return c
}

// byBytes reports whether the comparison can look at encoded bytes alone.
func (c *comparison) byBytes() bool {
	return (c.op == opEq || c.op == opNe) && (c.col.codec.exact || c.col.codec.compare == nil)
}

func (c *comparison) holds(p unsafe.Pointer) bool {
	if c.col.codec.compare != nil {
		return c.holdsValue(c.col.at(p))
	}
	b, err := c.col.codec.bytes(c.col.at(p))
	return (err == nil && c.encoded != nil && bytes.Equal(b, c.encoded)) == (c.op == opEq)
}

func (c *comparison) holdsRow(t *table, r *row) (bool, error) {
	if c.byBytes() {
		b, err := r.column(c.col)
		if err == nil && c.encoded != nil && bytes.Equal(b, c.encoded) {
			return c.op == opEq, nil
		}
		_, err = r.sound(c.col) // else it could be another encoding of the value
		return err == nil && c.op == opNe, err
	}
	if order := c.col.codec.order; order != nil && r.record == nil {
		b, err := r.column(c.col)
		if err != nil {
			return false, err
		}
		if o, ok := order(b, c.value); ok {
			return c.op.test(o), nil
		}
	}
	v, err := r.peek(c.col)
	return err == nil && c.holdsValue(v), err
}

func (c *comparison) holdsValue(v unsafe.Pointer) bool {
	if c.op > opNe && c.col.nullable && (isNil(v) || isNil(c.value)) {
		return false
	}
	return c.op.test(c.col.codec.compare(v, c.value))
}

// isNil reports whether the pointer stored at p, a nullable column, is nil.
func isNil(p unsafe.Pointer) bool { return *(*unsafe.Pointer)(p) == nil }

func (c *comparison) ranges(sp *space) ranges {
	if c.col != sp.col || sp.multi {
		return allKeys
	}
	if c.op > opNe && c.col.nullable && isNil(c.value) {
		return nil
	}
	value := sp.encode(c.value)
	switch end := sp.end(value); c.op {
	case opNe:
		if c.col.nullable && isNil(c.value) {
			return ranges{{From: sp.notNull()}}
		}
	case opEq:
		return ranges{{From: value, To: end}}
	case opLt:
		if below := (Range{From: sp.notNull(), To: value}); !below.empty() {
			return ranges{below}
		}
		return nil
	case opLe:
		return ranges{{From: sp.notNull(), To: end}}
	case opGt:
		return ranges{{From: end}}
	case opGe:
		return ranges{{From: value}}
	}
	return allKeys
}

func (c *comparison) exactOn(cols []*column) bool {
	isRange := c.op != opNe || c.col.nullable && isNil(c.value)
	return isRange && c.col.elements == nil && slices.Contains(cols, c.col)
}
func (c *comparison) matches() bool { return false }

func (c *comparison) check() error {
	if c.op > opNe && c.col.codec.compare == nil {
		return invalidf("column %s has no order: its type is %s", c.col.name, c.col.codec.typ)
	}
	return nil
}

func (c *comparison) String() string {
	return fmt.Sprintf("%s %s %s", c.col.name, c.op, formatValue(c.col, c.value))
}

// formatValue returns a column's value as Explain prints it.
func formatValue(c *column, p unsafe.Pointer) string {
	v := reflect.NewAt(c.codec.typ, p).Elem()
	if c.nullable {
		if v.IsNil() {
			return "null"
		}
		v = v.Elem()
	}
	return formatKey(v.Interface())
}

// A membership is column in (a, b, ...).
type membership struct {
	comparisons
	col     *column
	encoded map[string]bool // the values in msgpack, if they compare by bytes
}

func newMembership(col *column, list []expr) *membership {
	m := &membership{comparisons: list, col: col}
	if col.codec.exact || col.codec.compare == nil {
		m.encoded = map[string]bool{}
		for _, e := range list {
			if b := e.(*comparison).encoded; b != nil {
				m.encoded[string(b)] = true
			}
		}
	}
	return m
}

func (m *membership) holdsRow(t *table, r *row) (bool, error) {
	if m.encoded == nil {
		return m.comparisons.holdsRow(t, r)
	}
	b, err := r.sound(m.col)
	return err == nil && m.encoded[string(b)], err
}

func (m *membership) String() string {
	values := make([]string, len(m.comparisons))
	for i, e := range m.comparisons {
		values[i] = formatValue(m.col, e.(*comparison).value)
	}
	return fmt.Sprintf("%s in (%s)", m.col.name, strings.Join(values, ", "))
}

// comparisons is the disjunction that a membership stands for.
type comparisons = disjunction

// A prefixed is column beginning with a prefix.
type prefixed struct {
	col    *column
	prefix string
}

func (x *prefixed) holds(p unsafe.Pointer) bool { return x.holdsValue(x.col.at(p)) }

func (x *prefixed) holdsValue(v unsafe.Pointer) bool {
	if x.col.codec.typ.Kind() == reflect.String {
		return strings.HasPrefix(*(*string)(v), x.prefix)
	}
	return bytes.HasPrefix(*(*[]byte)(v), []byte(x.prefix))
}

func (x *prefixed) holdsRow(t *table, r *row) (bool, error) {
	v, err := r.peek(x.col)
	return err == nil && x.holdsValue(v), err
}

func (x *prefixed) ranges(sp *space) ranges {
	if x.col != sp.col || sp.multi {
		return allKeys
	}
	from := sp.prefix(x.prefix)
	return ranges{{From: from, To: afterPrefix(from)}}
}

func (x *prefixed) exactOn(cols []*column) bool { return slices.Contains(cols, x.col) }
func (x *prefixed) matches() bool               { return false }
func (x *prefixed) check() error                { return nil }
func (x *prefixed) String() string              { return fmt.Sprintf("%s begins with %q", x.col.name, x.prefix) }

// A containing is slice column containing a value.
type containing struct {
	col     *column
	elem    unsafe.Pointer
	ordered []byte // the value as indexes hold it
}

func (x *containing) holds(p unsafe.Pointer) bool { return x.holdsValue(x.col.at(p)) }

func (x *containing) holdsValue(v unsafe.Pointer) bool {
	return slices.ContainsFunc(x.col.elements(nil, v), func(b []byte) bool { return bytes.Equal(b, x.ordered) })
}

func (x *containing) holdsRow(t *table, r *row) (bool, error) {
	v, err := r.peek(x.col)
	return err == nil && x.holdsValue(v), err
}

func (x *containing) ranges(sp *space) ranges {
	if x.col != sp.col || !sp.multi {
		return allKeys
	}
	return ranges{{From: x.ordered, To: afterPrefix(x.ordered)}}
}

func (x *containing) exactOn(cols []*column) bool { return slices.Contains(cols, x.col) }
func (x *containing) matches() bool               { return false }
func (x *containing) check() error                { return nil }

func (x *containing) String() string {
	return fmt.Sprintf("%s contains %v", x.col.name, reflect.NewAt(x.col.codec.elem.typ, x.elem).Elem())
}

// A conjunction is true where all its parts are.
type conjunction []expr

func (x conjunction) holds(p unsafe.Pointer) bool {
	for _, e := range x {
		if !e.holds(p) {
			return false
		}
	}
	return true
}

func (x conjunction) holdsRow(t *table, r *row) (bool, error) {
	for _, e := range x {
		if ok, err := e.holdsRow(t, r); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (x conjunction) ranges(sp *space) ranges {
	all := allKeys
	for _, e := range x {
		r := e.ranges(sp)
		if !sp.multi {
			all = all.intersect(r)
		} else if all.isAll() { // of several elements each may be another one
			all = r
		}
	}
	return all
}

// exactOn allows one part about the elements of a slice: ranges has only one.
func (x conjunction) exactOn(cols []*column) bool {
	single := slices.DeleteFunc(slices.Clone(cols), func(c *column) bool { return c.elements != nil })
	multi := 0
	for _, e := range x {
		if !e.exactOn(cols) {
			return false
		}
		if len(single) < len(cols) && !e.exactOn(single) {
			multi++
		}
	}
	return multi <= 1
}
func (x conjunction) matches() bool { return slices.ContainsFunc(x, expr.matches) }
func (x conjunction) check() error  { return firstFault(x) }

func (x conjunction) String() string {
	if len(x) == 0 {
		return "true"
	}
	return joinExprs(x, " and ")
}

// A disjunction is true where any of its parts is.
type disjunction []expr

func (x disjunction) holds(p unsafe.Pointer) bool {
	return slices.ContainsFunc(x, func(e expr) bool { return e.holds(p) })
}

func (x disjunction) holdsRow(t *table, r *row) (bool, error) {
	for _, e := range x {
		if ok, err := e.holdsRow(t, r); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

func (x disjunction) ranges(sp *space) ranges {
	var all ranges
	for _, e := range x {
		all = append(all, e.ranges(sp)...)
	}
	return all.normalize()
}

// exactOn is only known for one column: the ranges of several are looked at
// apart from each other.
func (x disjunction) exactOn(cols []*column) bool {
	return slices.ContainsFunc(cols, func(c *column) bool {
		return !slices.ContainsFunc(x, func(e expr) bool { return !e.exactOn([]*column{c}) })
	})
}
func (x disjunction) matches() bool { return slices.ContainsFunc(x, expr.matches) }
func (x disjunction) check() error  { return firstFault(x) }

func (x disjunction) String() string {
	if len(x) == 0 {
		return "false"
	}
	return joinExprs(x, " or ")
}

func firstFault(exprs []expr) error {
	for _, e := range exprs {
		if err := e.check(); err != nil {
			return err
		}
	}
	return nil
}

func joinExprs(exprs []expr, by string) string {
	parts := make([]string, len(exprs))
	for i, e := range exprs {
		parts[i] = e.String()
		switch e.(type) {
		case conjunction, disjunction:
			if len(exprs) > 1 {
				parts[i] = "(" + parts[i] + ")"
			}
		}
	}
	return strings.Join(parts, by)
}

// A negation is true where its part is false.
type negation struct{ part expr }

func (x *negation) holds(p unsafe.Pointer) bool { return !x.part.holds(p) }

func (x *negation) holdsRow(t *table, r *row) (bool, error) {
	if x.matches() {
		return true, nil
	}
	ok, err := x.part.holdsRow(t, r)
	return !ok && err == nil, err
}

func (x *negation) ranges(*space) ranges   { return allKeys }
func (x *negation) exactOn([]*column) bool { return false }
func (x *negation) matches() bool          { return x.part.matches() }
func (x *negation) check() error           { return x.part.check() }
func (x *negation) String() string         { return "not (" + x.part.String() + ")" }

// A match is a function of the caller's.
type match struct{ fn func(unsafe.Pointer) bool }

func (x *match) holds(p unsafe.Pointer) bool         { return x.fn(p) }
func (x *match) holdsRow(*table, *row) (bool, error) { return true, nil }
func (x *match) ranges(*space) ranges                { return allKeys }
func (x *match) exactOn([]*column) bool              { return false }
func (x *match) matches() bool                       { return true }
func (x *match) check() error                        { return nil }
func (x *match) String() string                      { return "match(func)" }

// A nonsense is a condition that can't be asked.
type nonsense struct {
	match
	err error
}

func (x *nonsense) check() error { return x.err }

var (
	errZeroColumn = newNonsense("a zero Column: make it with ColumnOf")
	errNilMatch   = newNonsense("a Match of a nil function")
	errRowMatch   = newNonsense("a Match of rows: use RowQuery.Filter")
)

func newNonsense(why string) *nonsense {
	return &nonsense{match{func(unsafe.Pointer) bool { return false }}, invalidf("%s", why)}
}
