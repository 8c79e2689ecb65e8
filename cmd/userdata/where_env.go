package main

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/types"

	"github.com/seed-5df914be/userdata"
)

// A rowEnv is what the names in an expression stand for: the columns of a table.
// What is text or bytes is a string there, a struct or a map with names is a map;
// a column whose name is no identifier is $env["name"].
type rowEnv struct {
	key      string // the key's column
	names    []string
	types    types.Map
	kinds    map[string]reflect.Kind // of the columns; that of a pointer for those that may be null
	elements map[string]reflect.Kind // of columns that are slices
	plain    map[string]reflect.Type // without the pointer
	text     map[string]bool         // the columns that are text, as an expression sees them
}

func newRowEnv(t *userdata.RowTable) *rowEnv {
	env := &rowEnv{key: keyColumn(t).Name, types: types.Map{}, kinds: map[string]reflect.Kind{}, elements: map[string]reflect.Kind{}, plain: map[string]reflect.Type{}, text: map[string]bool{}}
	for name, typ := range newColumnTypes(t).types {
		env.names = append(env.names, name)
		env.kinds[name] = typ.Kind()
		if typ.Kind() == reflect.Slice {
			env.elements[name] = typ.Elem().Kind()
		}
		plain := typ
		for plain.Kind() == reflect.Pointer {
			plain = plain.Elem()
		}
		env.plain[name] = plain
		isTime := plain == reflect.TypeFor[time.Time]()
		env.text[name] = !isTime && (plain.Kind() == reflect.String || isText(plain) || isBytes(plain))
		switch {
		case typ.Kind() == reflect.Pointer:
			env.types[name] = types.Any
		case isTime:
			env.types[name] = types.TypeOf(time.Time{})
		case env.text[name]:
			env.types[name] = types.String
		case plain.Kind() == reflect.Float32:
			env.types[name] = types.Float64
		case plain.Kind() == reflect.Struct || plain.Kind() == reflect.Map || plain.Kind() == reflect.Slice || plain.Kind() == reflect.Array:
			env.types[name] = types.Any
		default:
			env.types[name] = types.TypeOf(reflect.Zero(plain).Interface())
		}
	}
	return env
}

// column returns the column that a part of an expression names: x, or $env["x"].
func (env *rowEnv) column(n ast.Node) (string, bool) {
	name := ""
	switch n := n.(type) {
	case *ast.IdentifierNode:
		name = n.Value
	case *ast.MemberNode:
		of, isName := n.Node.(*ast.IdentifierNode)
		property, isText := n.Property.(*ast.StringNode)
		if isName && isText && of.Value == "$env" {
			name = property.Value
		}
	}
	_, ok := env.kinds[name]
	return name, ok
}

// isTime reports whether a part of an expression names a column of times.
func (env *rowEnv) isTime(n ast.Node) bool {
	name, ok := env.column(n)
	return ok && env.plain[name] == reflect.TypeFor[time.Time]()
}

// mayBeNull reports whether a part of an expression names a column that may be null.
func (env *rowEnv) mayBeNull(n ast.Node) bool {
	name, ok := env.column(n)
	return ok && env.kinds[name] == reflect.Pointer
}

// values returns the values of a row.
func (env *rowEnv) values(row *userdata.Row) map[string]any {
	out := make(map[string]any, len(env.names))
	for _, e := range row.Values() {
		name := e.Key.(string)
		if e.Value != nil {
			out[name] = exprValue(e.Value)
			continue
		}
		switch { // what is nil, but not null, is empty
		case env.kinds[name] == reflect.Slice && env.text[name]:
			out[name] = ""
		case env.kinds[name] == reflect.Slice && !isRaw(env.plain[name]):
			out[name] = []any{}
		case env.kinds[name] == reflect.Map:
			out[name] = map[string]any{}
		default:
			out[name] = nil
		}
	}
	return out
}

// exprValue returns a value as an expression sees it.
func exprValue(v any) any {
	switch v := v.(type) {
	case []byte:
		return string(v)
	case uint64:
		if v > math.MaxInt64 { // an expression takes numbers for int
			return float64(v)
		}
	case float32: // as it is written, so that 0.1 equals 0.1
		f, err := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
		if err != nil {
			return float64(v)
		}
		return f
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = exprValue(e)
		}
		return out
	case []userdata.Entry:
		out := make(map[string]any, len(v))
		for _, e := range v {
			name, ok := jsonName(e.Key)
			if !ok {
				name = plainCell(e.Key)
			}
			out[name] = exprValue(e.Value)
		}
		return out
	}
	return v
}

// columnValue returns a constant of an expression as a value of a column. It
// reports whether the column has such values, and an error for a text that is no
// time.
func (env *rowEnv) columnValue(column string, v any) (any, bool, error) {
	typ := env.plain[column]
	switch v := v.(type) {
	case nil:
		return nil, env.kinds[column] == reflect.Pointer, nil
	case string:
		switch {
		case typ == reflect.TypeFor[time.Time]():
			at, err := parseTime(v)
			return at, err == nil, err
		case isBytes(typ):
			return []byte(v), typ.Kind() == reflect.Slice && v != "", nil // nil bytes are not the empty ones to the library
		}
		return v, typ.Kind() == reflect.String, nil
	case time.Time:
		return v, typ == reflect.TypeFor[time.Time](), nil
	case int:
		switch typ.Kind() {
		case reflect.Float64:
			return float64(v), true, nil
		case reflect.Float32:
			return float32(v), float64(float32(v)) == float64(v), nil
		}
		return v, typ.Kind() >= reflect.Int && typ.Kind() <= reflect.Uint64, nil
	case float64:
		if typ.Kind() == reflect.Float32 {
			return float32(v), exprValue(float32(v)) == any(v), nil
		}
		return v, typ.Kind() == reflect.Float64 && !math.IsNaN(v), nil
	case bool:
		return v, typ.Kind() == reflect.Bool, nil
	}
	return nil, false, nil
}

// A rowPatch changes what an expression means: a text that is compared with a time
// is one, and what is compared with a null is false.
type rowPatch struct {
	env *rowEnv
	err error // a text that is no time
}

// Visit implements [ast.Visitor].
func (p *rowPatch) Visit(n *ast.Node) {
	b, ok := (*n).(*ast.BinaryNode)
	if !ok {
		return
	}
	if p.env.isTime(b.Left) {
		p.timesIn(&b.Right)
	}
	if p.env.isTime(b.Right) {
		p.timesIn(&b.Left)
	}
	switch b.Operator {
	case "<", "<=", ">", ">=", "contains", "startsWith", "endsWith", "matches":
	default:
		return
	}
	for _, side := range []ast.Node{b.Left, b.Right} {
		if p.env.mayBeNull(side) {
			notNull := &ast.BinaryNode{Operator: "!=", Left: side, Right: &ast.NilNode{}}
			ast.Patch(n, &ast.BinaryNode{Operator: "&&", Left: notNull, Right: *n})
		}
	}
}

// timesIn puts times in the place of the texts of a constant.
func (p *rowPatch) timesIn(n *ast.Node) {
	switch c := (*n).(type) {
	case *ast.StringNode:
		at, err := parseTime(c.Value)
		if err != nil && p.err == nil {
			p.err = fmt.Errorf("--where: %w", err)
		}
		ast.Patch(n, &ast.ConstantNode{Value: at.UTC()})
	case *ast.ArrayNode:
		for i := range c.Nodes {
			p.timesIn(&c.Nodes[i])
		}
	}
}
