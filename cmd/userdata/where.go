package main

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"github.com/seed-5df914be/userdata"
)

// A condition is what --where says: the part that the library's queries can answer,
// from an index where there is one, and the rest, which is asked of each row that
// this part lets through.
type condition struct {
	served []userdata.Predicate[userdata.Row]
	rest   string // an expression; "" if there is none

	program *vm.Program
	env     *rowEnv
	err     error // what went wrong with a row
}

// parseWhere reads an expression about the columns of a table. An error is a
// usageError.
func parseWhere(t *userdata.RowTable, s *userdata.Session, text string) (*condition, error) {
	env := newRowEnv(t)
	if _, err := compile(env, text); err != nil { // what is served has the same types
		return nil, err
	}
	tree, err := parser.Parse(text)
	if err != nil {
		return nil, whereError(err)
	}
	c := &condition{env: env}
	sp := &splitter{env: env, accepts: func(p userdata.Predicate[userdata.Row]) bool {
		_, err := t.Select(s).Where(p).Explain()
		return err == nil
	}}
	var rest []string
	for _, part := range conjuncts(tree.Node) {
		p, ok := sp.predicate(part)
		if sp.err != nil {
			return nil, sp.err
		}
		if ok {
			c.served = append(c.served, p)
		} else {
			rest = append(rest, "("+part.String()+")")
		}
	}
	if len(rest) == 0 {
		return c, nil
	}
	c.rest = strings.Join(rest, " and ")
	if len(rest) == 1 {
		c.rest = strings.TrimSuffix(strings.TrimPrefix(c.rest, "("), ")")
	}
	c.program, err = compile(env, c.rest)
	return c, err
}

// conjuncts returns the parts of which all must be true.
func conjuncts(n ast.Node) []ast.Node {
	if b, ok := n.(*ast.BinaryNode); ok && (b.Operator == "&&" || b.Operator == "and") {
		return append(conjuncts(b.Left), conjuncts(b.Right)...)
	}
	return []ast.Node{n}
}

// compile makes a program of an expression, which must be true or false.
func compile(env *rowEnv, text string) (*vm.Program, error) {
	if strings.TrimSpace(text) == "" {
		return nil, usageError{errors.New("--where is empty: write a condition such as 'time_stamp > \"2026-01-01\"'")}
	}
	patch := &rowPatch{env: env}
	program, err := expr.Compile(text, expr.Env(env.types), expr.AsBool(), expr.Patch(patch))
	if patch.err != nil {
		return nil, patch.err
	}
	if err != nil {
		return nil, whereError(err)
	}
	return program, nil
}

// whereError says that an expression is none.
func whereError(err error) error {
	return usageError{fmt.Errorf("--where: %w", err)}
}

// apply gives a query the condition.
func (c *condition) apply(q userdata.RowQuery) userdata.RowQuery {
	q = q.Where(c.served...)
	if c.rest != "" {
		q = q.Filter(c.holds)
	}
	return q
}

// holds asks the rest of a row. After an error it holds for no row: see fault.
func (c *condition) holds(row *userdata.Row) bool {
	if c.err != nil {
		return false
	}
	v, err := expr.Run(c.program, c.env.values(row))
	if err == nil {
		return v == true
	}
	key, _ := row.Get(c.env.key)
	c.err = fmt.Errorf("--where: record %s, where a column may be null (write 'column != nil and ...'): %w", printable(plainCell(key)), err)
	return false
}

// fault returns what went wrong with a row, if anything did.
func (c *condition) fault() error {
	if c == nil {
		return nil
	}
	return c.err
}

// A splitter finds out which parts of an expression the library can answer.
type splitter struct {
	env     *rowEnv
	accepts func(userdata.Predicate[userdata.Row]) bool
	err     error
}

// comparisons are the operators that compare, and what they are from the other
// side.
var comparisons = map[string]string{"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

// predicate returns what a part of an expression is to the library, if it can
// answer it.
func (sp *splitter) predicate(n ast.Node) (p userdata.Predicate[userdata.Row], ok bool) {
	switch n := n.(type) {
	case *ast.UnaryNode:
		if n.Operator == "!" || n.Operator == "not" {
			p, ok = sp.predicate(n.Node)
			return userdata.Not(p), ok
		}
		return p, false
	case *ast.BinaryNode:
		p, ok = sp.binary(n)
	default: // a column of bools
		if column, found := sp.env.column(n); found && sp.env.kinds[column] == reflect.Bool {
			p, ok = userdata.RowColumn(column).Eq(true), true
		}
	}
	return p, ok && sp.err == nil && sp.accepts(p)
}

// binary returns what an operator and its sides are to the library.
func (sp *splitter) binary(n *ast.BinaryNode) (p userdata.Predicate[userdata.Row], ok bool) {
	switch n.Operator {
	case "||", "or", "&&", "and":
		left, leftOK := sp.predicate(n.Left)
		right, rightOK := sp.predicate(n.Right)
		if n.Operator == "||" || n.Operator == "or" {
			return userdata.Or(left, right), leftOK && rightOK
		}
		return userdata.And(left, right), leftOK && rightOK
	case "startsWith":
		column, isColumn := sp.env.column(n.Left)
		prefix, isText := n.Right.(*ast.StringNode)
		if !isColumn || !isText || sp.env.kinds[column] != reflect.String {
			return p, false
		}
		return userdata.RowColumn(column).HasPrefix(prefix.Value), true
	case "in":
		return sp.in(n)
	}
	flipped, compares := comparisons[n.Operator]
	if !compares {
		return p, false
	}
	op, column, isColumn, value := n.Operator, "", false, n.Right
	if column, isColumn = sp.env.column(n.Left); !isColumn {
		column, isColumn = sp.env.column(n.Right)
		op, value = flipped, n.Left
	}
	if !isColumn {
		return p, false
	}
	v, ok := sp.constant(column, value)
	c := userdata.RowColumn(column)
	switch op {
	case "==":
		return c.Eq(v), ok
	case "!=":
		return c.Ne(v), ok
	case ">":
		return c.Gt(v), ok
	case ">=":
		return c.Ge(v), ok
	case "<":
		p = c.Lt(v)
	case "<=":
		p = c.Le(v)
	}
	if k := sp.env.plain[column].Kind(); k == reflect.Float32 || k == reflect.Float64 {
		p = userdata.And(c.Ge(math.Inf(-1)), p) // without NaN, which the library has before all others
	}
	return p, ok
}

// in returns what "column in [a, b]" and "a in column" are to the library.
func (sp *splitter) in(n *ast.BinaryNode) (p userdata.Predicate[userdata.Row], ok bool) {
	if column, isColumn := sp.env.column(n.Right); isColumn {
		text, isText := n.Left.(*ast.StringNode)
		if !isText {
			return p, false
		}
		return userdata.RowColumn(column).Contains(text.Value), sp.env.elements[column] == reflect.String
	}
	column, isColumn := sp.env.column(n.Left)
	list, isList := n.Right.(*ast.ArrayNode)
	if !isColumn || !isList {
		return p, false
	}
	var values []any
	for _, e := range list.Nodes {
		v, ok := sp.constant(column, e)
		if !ok {
			return p, false
		}
		values = append(values, v)
	}
	return userdata.RowColumn(column).In(values...), true
}

// constant returns the value for a column that a part of an expression stands for,
// if it has no column in it and the value is one of the column's.
func (sp *splitter) constant(column string, n ast.Node) (any, bool) {
	finder := &columnFinder{env: sp.env}
	ast.Walk(&n, finder)
	if finder.found {
		return nil, false
	}
	v, err := expr.Eval(n.String(), nil)
	if err != nil {
		return nil, false
	}
	v, ok, err := sp.env.columnValue(column, v)
	if err != nil && sp.err == nil {
		sp.err = err
	}
	return v, ok
}

// A columnFinder finds out whether there is a column in an expression.
type columnFinder struct {
	env   *rowEnv
	found bool
}

// Visit implements [ast.Visitor].
func (f *columnFinder) Visit(n *ast.Node) {
	_, isName := (*n).(*ast.IdentifierNode)
	f.found = f.found || isName
}
