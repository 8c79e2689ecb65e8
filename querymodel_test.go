package userdata_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unsafe"
)

// The types below have the same fields, whose tags declare other indexes. So
// the same records and queries can be put to tables of all of them, and to a
// model, which are unindexed records in a slice.

type unindexed[K any] struct {
	ID K          `userdata:"id,key"`
	S  string     `userdata:"s"`
	N  int64      `userdata:"n"`
	U  uint64     `userdata:"u"`
	F  float64    `userdata:"f"`
	B  bool       `userdata:"b"`
	T  time.Time  `userdata:"t"`
	Y  []byte     `userdata:"y"`
	PS *string    `userdata:"ps"`
	PN *int64     `userdata:"pn"`
	PT *time.Time `userdata:"pt"`
	L  []string   `userdata:"l"`
	LN []int64    `userdata:"ln"`
	X  string     `userdata:"x"`  // no two records have the same
	XP *int64     `userdata:"xp"` // nor here, null excepted
	C1 int64      `userdata:"c1"` // nor C1 and C2
	C2 string     `userdata:"c2"`
}

type indexed[K any] struct {
	ID K          `userdata:"id,key"`
	S  string     `userdata:"s,index"`
	N  int64      `userdata:"n,index"`
	U  uint64     `userdata:"u,index"`
	F  float64    `userdata:"f,index"`
	B  bool       `userdata:"b,index"`
	T  time.Time  `userdata:"t,index"`
	Y  []byte     `userdata:"y,index"`
	PS *string    `userdata:"ps,index"`
	PN *int64     `userdata:"pn,index"`
	PT *time.Time `userdata:"pt,index"`
	L  []string   `userdata:"l,index"`
	LN []int64    `userdata:"ln,index"`
	X  string     `userdata:"x,unique"`
	XP *int64     `userdata:"xp,unique"`
	C1 int64      `userdata:"c1,unique=c"`
	C2 string     `userdata:"c2,unique=c"`
}

type composite[K any] struct {
	ID K          `userdata:"id,key,index=u_id:2"`
	S  string     `userdata:"s,index=s_n:1,index=n_s_t:2,index=s_l:1,index=pn_s:2"`
	N  int64      `userdata:"n,index=s_n:2,index=n_s_t:1"`
	U  uint64     `userdata:"u,index=u_id:1"`
	F  float64    `userdata:"f,index=b_f:2"`
	B  bool       `userdata:"b,index=b_f:1,unique=xp_b:2"`
	T  time.Time  `userdata:"t,index=n_s_t:3,index=t_y"`
	Y  []byte     `userdata:"y,index=t_y"`
	PS *string    `userdata:"ps,index=ps_pt"`
	PN *int64     `userdata:"pn,index=pn_s:1"`
	PT *time.Time `userdata:"pt,index=ps_pt"`
	L  []string   `userdata:"l,index=s_l:2"`
	LN []int64    `userdata:"ln,index=ps_pt:3"`
	X  string     `userdata:"x,unique=f_x:1"`
	XP *int64     `userdata:"xp,unique=xp_b:1"`
	C1 int64      `userdata:"c1,unique=c:2"`
	C2 string     `userdata:"c2,unique=c:1"`
}

type mixed[K any] struct {
	ID K          `userdata:"id,key"`
	S  string     `userdata:"s,index"`
	N  int64      `userdata:"n,index,index=n_b_pn:1"`
	U  uint64     `userdata:"u"`
	F  float64    `userdata:"f,index=f_pn"`
	B  bool       `userdata:"b,index=n_b_pn:2"`
	T  time.Time  `userdata:"t"`
	Y  []byte     `userdata:"y,index=y_l"`
	PS *string    `userdata:"ps,index"`
	PN *int64     `userdata:"pn,index=n_b_pn:3,index=f_pn"`
	PT *time.Time `userdata:"pt,index=pt_id:1"`
	L  []string   `userdata:"l,index=y_l"`
	LN []int64    `userdata:"ln"`
	X  string     `userdata:"x,unique"`
	XP *int64     `userdata:"xp,unique=xp_x:1"`
	C1 int64      `userdata:"c1,unique=xp_x:2"`
	C2 string     `userdata:"c2,index=c"`
}

func asPlain[K, T any](r *T) *unindexed[K] { return (*unindexed[K])(unsafe.Pointer(r)) }

// copyOf returns a deep copy.
func (r *unindexed[K]) copyOf() *unindexed[K] {
	n := *r
	n.Y, n.L, n.LN = bytes.Clone(r.Y), slices.Clone(r.L), slices.Clone(r.LN)
	n.PS, n.PN, n.PT, n.XP = clonePtr(r.PS), clonePtr(r.PN), clonePtr(r.PT), clonePtr(r.XP)
	return &n
}

func clonePtr[V any](p *V) *V {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// String returns all values.
func (r *unindexed[K]) String() string {
	var b strings.Builder
	for _, v := range []any{r.ID, r.S, r.N, r.U, r.F, r.B, r.T, r.Y, r.PS, r.PN, r.PT, r.L, r.LN, r.X, r.XP, r.C1, r.C2} {
		switch v := deref(v).(type) {
		case time.Time:
			fmt.Fprint(&b, v.UTC().Format(time.RFC3339Nano), " ")
		case nil:
			b.WriteString("null ")
		default:
			fmt.Fprintf(&b, "%#v ", v)
		}
	}
	return b.String()
}

// deref returns what a pointer points to; nil for a nil one, and other values as
// they are.
func deref(v any) any {
	switch v := v.(type) {
	case *string:
		return derefPtr(v)
	case *int64:
		return derefPtr(v)
	case *time.Time:
		return derefPtr(v)
	}
	return v
}

func derefPtr[V any](p *V) any {
	if p == nil {
		return nil
	}
	return *p
}

// compareValues is what the model sorts by.
func compareValues(a, b any) int {
	a, b = deref(a), deref(b)
	if a == nil || b == nil {
		return compareBool(a != nil, b != nil)
	}
	switch a := a.(type) {
	case string:
		return strings.Compare(a, b.(string))
	case int64:
		return cmp.Compare(a, b.(int64))
	case uint64:
		return cmp.Compare(a, b.(uint64))
	case float64:
		return cmp.Compare(a, b.(float64))
	case bool:
		return compareBool(a, b.(bool))
	case time.Time:
		return a.Compare(b.(time.Time))
	case []byte:
		if b := b.([]byte); a == nil || b == nil {
			return compareBool(a != nil, b != nil)
		}
		return bytes.Compare(a, b.([]byte))
	}
	panic(fmt.Sprintf("%T", a))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// The values that records and conditions have.
var (
	someStrings = []string{"", "a", "ab", "a\x00", "a\x00b", "b", "\x00", "\x00\xf0\x9f\x98\x80", "é", "ba"}
	someInts    = []int64{math.MinInt64, -65537, -256, -255, -1, 0, 1, 5, 6, 255, 256, math.MaxInt64}
	someUints   = []uint64{0, 1, 255, 256, 1 << 63, math.MaxUint64}
	someFloats  = []float64{math.NaN(), math.Inf(-1), -1.5, math.Copysign(0, -1), 0, 5e-324, 1.5, math.Inf(1)}
	someTimes   = []time.Time{
		{}, time.Date(1969, 12, 31, 23, 59, 59, 999999999, time.UTC), time.Unix(0, 0).UTC(), time.Unix(0, 1).In(time.FixedZone("", 3600)),
		time.Date(2026, 10, 12, 19, 58, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), time.Date(1677, 1, 1, 0, 0, 0, 5, time.UTC),
	}
	someBytes   = [][]byte{nil, {}, {0}, {0, 0xff}, {0, 0}, {1}, {0xff}, {0xff, 0xff}}
	someStrPtrs = append([]*string{nil, nil}, pointers(someStrings)...)
	someIntPtrs = append([]*int64{nil, nil}, pointers(someInts)...)
	someTimePtr = append([]*time.Time{nil, nil}, pointers(someTimes)...)
)

func pointers[V any](values []V) []*V {
	var out []*V
	for _, v := range values {
		out = append(out, &v)
	}
	return out
}

// A keyKind is a type of key.
type keyKind[K any] struct {
	keys  []K // for records
	wrong []K // for conditions only: no record can have them
}

var (
	stringKeys = keyKind[string]{keys: manyStringKeys(), wrong: []string{""}}
	intKeys    = keyKind[int64]{keys: manyIntKeys()}
	timeKeys   = keyKind[time.Time]{keys: manyTimeKeys(), wrong: []time.Time{time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)}}
)

func manyStringKeys() (keys []string) {
	letters := []string{"a", "\x00", "b", "é"}
	for _, x := range letters {
		keys = append(keys, x)
		for _, y := range letters {
			keys = append(keys, x+y)
			for _, z := range letters {
				keys = append(keys, x+y+z)
			}
		}
	}
	return keys
}

func manyIntKeys() (keys []int64) {
	for i := range int64(20) {
		keys = append(keys, i, -i-1, math.MinInt64+i, math.MaxInt64-i)
	}
	return keys
}

func manyTimeKeys() (keys []time.Time) {
	for i := range 20 {
		d := time.Duration(i)
		keys = append(keys, someTimes[0].Add(d*time.Hour), time.Unix(0, 0).UTC().Add(-10+d), someTimes[4].Add(d*time.Second), someTimes[5].Add(-d))
	}
	return keys
}

// A col is a column of the model and of the tables: it is told apart by its name.
type col[K any] struct {
	name   string
	get    func(*unindexed[K]) any
	set    func(*unindexed[K], any)
	values []any
	null   bool // values may be null
	prefix bool
	unique bool // not to be set to any value
	index  int  // in cols.list, and in the lists of each table
}

func newCol[K, V any](name string, at func(*unindexed[K]) *V, values []V) *col[K] {
	c := &col[K]{name: name, get: func(r *unindexed[K]) any { return *at(r) }, set: func(r *unindexed[K], v any) { *at(r) = v.(V) }}
	for _, v := range values {
		c.values = append(c.values, v)
	}
	_, ps := any(values).([]*string)
	_, pn := any(values).([]*int64)
	_, pt := any(values).([]*time.Time)
	c.null = ps || pn || pt
	return c
}

func columnsOf[K any](kind keyKind[K]) []*col[K] {
	list := []*col[K]{
		newCol("id", func(r *unindexed[K]) *K { return &r.ID }, append(slices.Clone(kind.wrong), kind.keys...)),
		newCol("s", func(r *unindexed[K]) *string { return &r.S }, someStrings),
		newCol("n", func(r *unindexed[K]) *int64 { return &r.N }, someInts),
		newCol("u", func(r *unindexed[K]) *uint64 { return &r.U }, someUints),
		newCol("f", func(r *unindexed[K]) *float64 { return &r.F }, someFloats),
		newCol("b", func(r *unindexed[K]) *bool { return &r.B }, []bool{false, true}),
		newCol("t", func(r *unindexed[K]) *time.Time { return &r.T }, someTimes),
		newCol("y", func(r *unindexed[K]) *[]byte { return &r.Y }, someBytes),
		newCol("ps", func(r *unindexed[K]) **string { return &r.PS }, someStrPtrs),
		newCol("pn", func(r *unindexed[K]) **int64 { return &r.PN }, someIntPtrs),
		newCol("pt", func(r *unindexed[K]) **time.Time { return &r.PT }, someTimePtr),
		newCol("x", func(r *unindexed[K]) *string { return &r.X }, []string{"", "a0", "a1", "b2", "b3"}),
		newCol("xp", func(r *unindexed[K]) **int64 { return &r.XP }, append([]*int64{nil}, pointers([]int64{0, 1, 2, 3, -4})...)),
		newCol("c1", func(r *unindexed[K]) *int64 { return &r.C1 }, []int64{0, 1, 2}),
		newCol("c2", func(r *unindexed[K]) *string { return &r.C2 }, []string{"", "a0", "a1", "b2", "b3"}),
	}
	for i, c := range list {
		c.index = i
		_, isString := c.values[0].(string)
		_, isBytes := c.values[0].([]byte)
		c.prefix = isString || isBytes
		c.unique = c.name == "id" || c.name[0] == 'x' || c.name[0] == 'c'
	}
	return list
}

// A spec is a condition.
type spec[K any] struct {
	kind   string
	col    *col[K]
	values []any
	parts  []*spec[K]
}

// holds is the model's word on a record.
func (x *spec[K]) holds(r *unindexed[K]) bool {
	switch x.kind {
	case "and":
		return !slices.ContainsFunc(x.parts, func(p *spec[K]) bool { return !p.holds(r) })
	case "or":
		return slices.ContainsFunc(x.parts, func(p *spec[K]) bool { return p.holds(r) })
	case "not":
		return !x.parts[0].holds(r)
	case "match":
		return r.N%2 == 0
	case "has":
		return slices.Contains(r.L, x.values[0].(string))
	case "hasn":
		return slices.Contains(r.LN, x.values[0].(int64))
	}
	v := x.col.get(r)
	switch x.kind {
	case "in":
		return slices.ContainsFunc(x.values, func(w any) bool { return compareValues(v, w) == 0 })
	case "prefix":
		if s, ok := v.(string); ok {
			return strings.HasPrefix(s, x.values[0].(string))
		}
		return bytes.HasPrefix(v.([]byte), x.values[0].([]byte))
	case "=":
		return compareValues(v, x.values[0]) == 0
	case "!=":
		return compareValues(v, x.values[0]) != 0
	}
	if deref(v) == nil || slices.ContainsFunc(x.values, func(w any) bool { return deref(w) == nil }) {
		return false
	}
	c := compareValues(v, x.values[0])
	switch x.kind {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	case ">=":
		return c >= 0
	case "between":
		return c >= 0 && compareValues(v, x.values[1]) <= 0
	}
	panic(x.kind)
}

// A question is a query but for its table.
type question[K any] struct {
	where         []*spec[K]
	orders        []order[K]
	limit, offset int
	untracked     bool
}

type order[K any] struct {
	col  *col[K]
	desc bool
}

// compare puts two records in the question's order.
func (q *question[K]) compare(a, b *unindexed[K]) int {
	desc := false
	for _, o := range q.orders {
		desc = o.desc
		if c := compareValues(o.col.get(a), o.col.get(b)); c != 0 {
			return sign(c, desc)
		}
	}
	return sign(compareValues(a.ID, b.ID), desc)
}

func sign(c int, desc bool) int {
	if desc {
		return -c
	}
	return c
}

// answer is the model's, before limit and offset.
func (q *question[K]) answer(records []*unindexed[K]) []*unindexed[K] {
	out := slices.DeleteFunc(slices.Clone(records), func(r *unindexed[K]) bool {
		return slices.ContainsFunc(q.where, func(x *spec[K]) bool { return !x.holds(r) })
	})
	slices.SortFunc(out, q.compare)
	return out
}

func (q *question[K]) cut(all []*unindexed[K]) []*unindexed[K] {
	all = all[min(q.offset, len(all)):]
	if q.limit >= 0 {
		all = all[:min(q.limit, len(all))]
	}
	return all
}
