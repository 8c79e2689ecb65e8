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

	// keys returns ranges that hold the key of every stored record that meets
	// the condition, and whether every record in them meets it.
	keys(t *table) (in ranges, exact bool)

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
		return (c.encoded != nil && bytes.Equal(r.columns[c.col.place], c.encoded)) == (c.op == opEq), nil
	}
	v, err := t.decodeColumn(r, c.col)
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

func (c *comparison) keys(t *table) (in ranges, exact bool) {
	if !c.col.key || c.op == opNe {
		return allKeys, false
	}
	key, err := t.keyCodec.append(nil, c.value)
	if err != nil { // nothing is stored under it, but what lies before and after it?
		if c.op == opEq {
			return nil, true
		}
		return allKeys, false
	}
	var r Range
	switch c.op {
	case opEq:
		r = Range{From: key, To: after(key)}
	case opLt:
		r = Range{To: key}
	case opLe:
		r = Range{To: after(key)}
	case opGt:
		r = Range{From: after(key)}
	default:
		r = Range{From: key}
	}
	return ranges{r}, true
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
	return m.encoded[string(r.columns[m.col.place])], nil
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
	v, err := t.decodeColumn(r, x.col)
	return err == nil && x.holdsValue(v), err
}

func (x *prefixed) keys(*table) (in ranges, exact bool) {
	if !x.col.key {
		return allKeys, false
	}
	return ranges{{From: []byte(x.prefix), To: afterPrefix([]byte(x.prefix))}}, true
}

func (x *prefixed) matches() bool  { return false }
func (x *prefixed) check() error   { return nil }
func (x *prefixed) String() string { return fmt.Sprintf("%s begins with %q", x.col.name, x.prefix) }

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

func (x conjunction) keys(t *table) (in ranges, exact bool) {
	in, exact = allKeys, true
	for _, e := range x {
		part, all := e.keys(t)
		in, exact = in.intersect(part), exact && all
	}
	return in, exact
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

func (x disjunction) keys(t *table) (in ranges, exact bool) {
	exact = true
	for _, e := range x {
		part, all := e.keys(t)
		in, exact = append(in, part...), exact && all
	}
	return in.normalize(), exact
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

func (x *negation) keys(*table) (in ranges, exact bool) { return allKeys, false }
func (x *negation) matches() bool                       { return x.part.matches() }
func (x *negation) check() error                        { return x.part.check() }
func (x *negation) String() string                      { return "not (" + x.part.String() + ")" }

// A match is a function of the caller's.
type match struct{ fn func(unsafe.Pointer) bool }

func (x *match) holds(p unsafe.Pointer) bool         { return x.fn(p) }
func (x *match) holdsRow(*table, *row) (bool, error) { return true, nil }
func (x *match) keys(*table) (in ranges, exact bool) { return allKeys, false }
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
)

func newNonsense(why string) *nonsense {
	return &nonsense{match{func(unsafe.Pointer) bool { return false }}, invalidf("%s", why)}
}
