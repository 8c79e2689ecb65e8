package main

import (
	"bufio"
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/seed-5df914be/userdata"
)

// A parquetOutput writes a Parquet file.
type parquetOutput struct {
	buffered *bufio.Writer
	w        *parquet.GenericWriter[any]
	columns  []parquetColumn
	row      parquet.Row
	n        int
}

// A parquetColumn is a column of the file.
type parquetColumn struct {
	nullable bool
	value    func(v any) parquet.Value
}

// parquetGroup rows are how many records a part of the file has: they are in memory
// until it is written.
const parquetGroup = 50_000

func newParquetOutput(w *bufio.Writer, t *userdata.RowTable, names []string, forms map[string]timeForm) (*parquetOutput, error) {
	o := &parquetOutput{buffered: w}
	types := newColumnTypes(t)
	var fields []orderedField
	for _, name := range names {
		c := t.Columns()[slices.IndexFunc(t.Columns(), func(c userdata.ColumnSchema) bool { return c.Name == name })]
		typ := types.types[name]
		for typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		node, value := parquetNode(typ, forms[name])
		nullable := c.Nullable || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map
		if nullable {
			node = parquet.Optional(node)
		} else {
			node = parquet.Required(node)
		}
		o.columns = append(o.columns, parquetColumn{nullable, value})
		fields = append(fields, orderedField{node, name})
	}
	schema := parquet.NewSchema(t.Name(), orderedGroup{parquet.Group{}, fields})
	o.w = parquet.NewGenericWriter[any](w, schema, parquet.Compression(&parquet.Zstd), parquet.CreatedBy("userdata", "", ""))
	return o, nil
}

// An orderedGroup is a group of columns that keeps their order.
type orderedGroup struct {
	parquet.Group
	fields []orderedField
}

// Fields implements [parquet.Node].
func (g orderedGroup) Fields() []parquet.Field {
	out := make([]parquet.Field, len(g.fields))
	for i := range g.fields {
		out[i] = &g.fields[i]
	}
	return out
}

// An orderedField is one of them.
type orderedField struct {
	parquet.Node
	name string
}

// Name implements [parquet.Field].
func (f *orderedField) Name() string { return f.name }

// Value implements [parquet.Field].
func (f *orderedField) Value(base reflect.Value) reflect.Value {
	return base.MapIndex(reflect.ValueOf(f.name))
}

// parquetNode returns the type of a column, and what makes its values.
func parquetNode(t reflect.Type, form timeForm) (parquet.Node, func(v any) parquet.Value) {
	text := func(v any) parquet.Value { return parquet.ByteArrayValue([]byte(plainCell(v))) }
	integer := func(v any) parquet.Value {
		n := reflect.ValueOf(v)
		if n.CanUint() {
			return parquet.Int64Value(int64(n.Uint()))
		}
		return parquet.Int64Value(n.Int())
	}
	switch k := t.Kind(); {
	case t == reflect.TypeFor[time.Time]():
		switch {
		case form.fine && form.far:
			return parquet.String(), text
		case form.fine:
			return parquet.Timestamp(parquet.Nanosecond), func(v any) parquet.Value { return parquet.Int64Value(asTime(v).UnixNano()) }
		}
		return parquet.Timestamp(parquet.Microsecond), func(v any) parquet.Value { return parquet.Int64Value(asTime(v).UnixMicro()) }
	case isBytes(t):
		return parquet.Leaf(parquet.ByteArrayType), func(v any) parquet.Value {
			b, _ := v.([]byte)
			return parquet.ByteArrayValue(b)
		}
	case k == reflect.String || isText(t):
		return parquet.String(), text
	case k == reflect.Bool:
		return parquet.Leaf(parquet.BooleanType), func(v any) parquet.Value { return parquet.BooleanValue(v == true) }
	case k == reflect.Float32:
		return parquet.Leaf(parquet.FloatType), func(v any) parquet.Value {
			return parquet.FloatValue(float32(reflect.ValueOf(v).Float()))
		}
	case k == reflect.Float64:
		return parquet.Leaf(parquet.DoubleType), func(v any) parquet.Value {
			return parquet.DoubleValue(reflect.ValueOf(v).Float())
		}
	case k >= reflect.Int && k <= reflect.Int64:
		return parquet.Int(64), integer
	case k >= reflect.Uint && k <= reflect.Uint64:
		return parquet.Uint(64), integer
	}
	return parquet.JSON(), func(v any) parquet.Value { return parquet.ByteArrayValue(appendJSON(nil, v)) }
}

// A timeForm says what the times of a column need.
type timeForm struct {
	fine bool // nanoseconds
	far  bool // years that nanoseconds in 64 bits do not reach
}

// note looks at a time.
func (f *timeForm) note(v any) {
	at, ok := v.(time.Time)
	if !ok {
		return
	}
	s := at.Unix()
	f.fine = f.fine || at.Nanosecond()%1000 != 0
	f.far = f.far || s >= math.MaxInt64/1_000_000_000 || s <= math.MinInt64/1_000_000_000
}

func (o *parquetOutput) write(values []any) error {
	o.row = o.row[:0]
	for i, v := range values {
		c := &o.columns[i]
		if v == nil && c.nullable {
			o.row = append(o.row, parquet.NullValue().Level(0, 0, i))
			continue
		}
		level := 0
		if c.nullable {
			level = 1
		}
		o.row = append(o.row, c.value(v).Level(0, level, i))
	}
	if _, err := o.w.WriteRows([]parquet.Row{o.row}); err != nil {
		return err
	}
	if o.n++; o.n%parquetGroup == 0 {
		return o.w.Flush()
	}
	return nil
}

func (o *parquetOutput) close() error {
	if err := o.w.Close(); err != nil {
		return err
	}
	return o.buffered.Flush()
}
