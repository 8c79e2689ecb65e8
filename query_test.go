package userdata_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-5df914be/userdata"
)

// wideRec has a column of each type that queries treat in a way of its own.
type wideRec[K any] struct {
	Key    K         `userdata:"key,key"`
	Int    int32     `userdata:"int"`
	Uint   uint16    `userdata:"uint"`
	Text   string    `userdata:"text"`
	Alias  *string   `userdata:"alias"`
	Float  float64   `userdata:"float"`
	Maybe  *float64  `userdata:"maybe"`
	Time   time.Time `userdata:"time"`
	Bytes  []byte    `userdata:"bytes"`
	Flag   bool      `userdata:"flag"`
	Digest [2]byte   `userdata:"digest"`
	Tags   []string  `userdata:"tags"`
}

// A wideColumn makes random conditions, orders and assignments of one column,
// and says in plain Go what they mean.
type wideColumn[K any] struct {
	condition func(t *rapid.T) (userdata.Predicate[wideRec[K]], func(*wideRec[K]) bool)
	order     func(desc bool) (userdata.Order[wideRec[K]], func(a, b *wideRec[K]) int) // nil without an order
	assign    func(t *rapid.T) (userdata.Assignment[wideRec[K]], func(*wideRec[K]))
}

// newWideColumn does so for values as compare orders them; null is nil for a
// column that can't be null. Without an order compare tells equal from not.
func newWideColumn[K, V any](at func(*wideRec[K]) *V, value *rapid.Generator[V], compare func(a, b V) int, ordered bool, null func(V) bool) wideColumn[K] {
	c := userdata.ColumnOf(at)
	type (
		rec  = wideRec[K]
		cond = func(*rec) bool
	)
	isNull := func(v V) bool { return null != nil && null(v) }
	test := func(v V, holds func(cmp int) bool) cond {
		return func(r *rec) bool { return holds(compare(*at(r), v)) }
	}
	bounded := func(v V, holds func(cmp int) bool) cond {
		return func(r *rec) bool { return !isNull(v) && !isNull(*at(r)) && holds(compare(*at(r), v)) }
	}
	w := wideColumn[K]{}
	w.condition = func(t *rapid.T) (userdata.Predicate[rec], func(*rec) bool) {
		kinds := 3
		if ordered {
			kinds = 8
		}
		a, b := value.Draw(t, "value"), value.Draw(t, "value")
		switch rapid.IntRange(0, kinds-1).Draw(t, c.Name()+" test") {
		case 0:
			return c.Eq(a), test(a, func(n int) bool { return n == 0 })
		case 1:
			return c.Ne(a), test(a, func(n int) bool { return n != 0 })
		case 2:
			list := []V{a, b}
			p := c.In(list...)
			clear(list) // the query has its own
			return p, func(r *rec) bool { return compare(*at(r), a) == 0 || compare(*at(r), b) == 0 }
		case 3:
			return c.Lt(a), bounded(a, func(n int) bool { return n < 0 })
		case 4:
			return c.Le(a), bounded(a, func(n int) bool { return n <= 0 })
		case 5:
			return c.Gt(a), bounded(a, func(n int) bool { return n > 0 })
		case 6:
			return c.Ge(a), bounded(a, func(n int) bool { return n >= 0 })
		}
		low, high := bounded(a, func(n int) bool { return n >= 0 }), bounded(b, func(n int) bool { return n <= 0 })
		return c.Between(a, b), func(r *rec) bool { return low(r) && high(r) }
	}
	if ordered {
		w.order = func(desc bool) (userdata.Order[rec], func(a, b *rec) int) {
			if desc {
				return c.Desc(), func(a, b *rec) int { return compare(*at(b), *at(a)) }
			}
			return c.Asc(), func(a, b *rec) int { return compare(*at(a), *at(b)) }
		}
	}
	w.assign = func(t *rapid.T) (userdata.Assignment[rec], func(*rec)) {
		v := value.Draw(t, c.Name()+" value")
		return c.Set(v), func(r *rec) { *at(r) = v }
	}
	return w
}

// withPrefix adds HasPrefix to the conditions of a column.
func withPrefix[K any, V ~string | ~[]byte](w wideColumn[K], at func(*wideRec[K]) *V, value *rapid.Generator[V]) wideColumn[K] {
	c, others := userdata.ColumnOf(at), w.condition
	w.condition = func(t *rapid.T) (userdata.Predicate[wideRec[K]], func(*wideRec[K]) bool) {
		if rapid.IntRange(0, 3).Draw(t, "prefix") > 0 {
			return others(t)
		}
		v := value.Draw(t, "prefix")
		v = v[:rapid.IntRange(0, len(v)).Draw(t, "of it")]
		return userdata.HasPrefix(c, v), func(r *wideRec[K]) bool { return strings.HasPrefix(string(*at(r)), string(v)) }
	}
	return w
}

// comparePointers orders nil first.
func comparePointers[V any](compare func(a, b V) int) func(a, b *V) int {
	return func(a, b *V) int {
		switch {
		case a == nil && b == nil:
			return 0
		case a == nil:
			return -1
		case b == nil:
			return 1
		}
		return compare(*a, *b)
	}
}

func compareByteSlices(a, b []byte) int {
	if a == nil || b == nil {
		return cmp.Compare(min(1, len(a)+btoi(a != nil)), min(1, len(b)+btoi(b != nil)))
	}
	return bytes.Compare(a, b)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func compareBools(a, b bool) int { return cmp.Compare(btoi(a), btoi(b)) }

// The values of a wideRec's columns: few, with all that is special.
var (
	wideTexts = rapid.SampledFrom([]string{"", "a", "ab", "b", "é", "\x00"})
	wideBytes = rapid.SampledFrom([][]byte{nil, {}, {0}, {0, 1}, {0xff}, {0xff, 0xff}})
	wideTimes = rapid.SampledFrom([]time.Time{{}, time.Unix(0, 0), time.Unix(0, 1), time.Unix(-1, 5).In(time.FixedZone("X", 3600)),
		time.Date(2026, 2, 3, 4, 5, 6, 7, time.UTC), time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)})
	wideFloats = rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1.5, -2, math.Inf(1), math.Inf(-1), math.NaN()})
)

// pointersTo draws nil or a pointer to a value.
func pointersTo[V any](values *rapid.Generator[V]) *rapid.Generator[*V] {
	return rapid.Custom(func(t *rapid.T) *V {
		if rapid.IntRange(0, 2).Draw(t, "null") == 0 {
			return nil
		}
		return new(values.Draw(t, "value"))
	})
}

// A wideKey is a kind of key: its values, and their order as keys.
type wideKey[K any] struct {
	column  wideColumn[K]
	values  *rapid.Generator[K]
	compare func(a, b K) int
}

func isNilPointer[V any](p *V) bool { return p == nil }

func (k wideKey[K]) columns() []wideColumn[K] {
	type rec = wideRec[K]
	text := func(r *rec) *string { return &r.Text }
	data := func(r *rec) *[]byte { return &r.Bytes }
	return []wideColumn[K]{
		k.column, k.column, k.column, // most often
		newWideColumn(func(r *rec) *int32 { return &r.Int }, rapid.Int32Range(-2, 2), cmp.Compare[int32], true, nil),
		newWideColumn(func(r *rec) *uint16 { return &r.Uint }, rapid.Uint16Range(0, 3), cmp.Compare[uint16], true, nil),
		withPrefix(newWideColumn(text, wideTexts, cmp.Compare[string], true, nil), text, wideTexts),
		newWideColumn(func(r *rec) **string { return &r.Alias }, pointersTo(wideTexts), comparePointers(cmp.Compare[string]), true, isNilPointer[string]),
		newWideColumn(func(r *rec) *float64 { return &r.Float }, wideFloats, cmp.Compare[float64], true, nil),
		newWideColumn(func(r *rec) **float64 { return &r.Maybe }, pointersTo(wideFloats), comparePointers(cmp.Compare[float64]), true, isNilPointer[float64]),
		newWideColumn(func(r *rec) *time.Time { return &r.Time }, wideTimes.Filter(func(t time.Time) bool { return t.Year() < 10000 }), time.Time.Compare, true, nil),
		withPrefix(newWideColumn(data, wideBytes, compareByteSlices, true, nil), data, wideBytes),
		newWideColumn(func(r *rec) *bool { return &r.Flag }, rapid.Bool(), compareBools, true, nil),
		newWideColumn(func(r *rec) *[2]byte { return &r.Digest }, rapid.SampledFrom([][2]byte{{}, {0, 1}, {1, 0}}),
			func(a, b [2]byte) int { return bytes.Compare(a[:], b[:]) }, true, nil),
		newWideColumn(func(r *rec) *[]string { return &r.Tags }, rapid.SampledFrom([][]string{nil, {}, {"a"}, {"a", "b"}}),
			func(a, b []string) int { return btoi(!slices.Equal(a, b) || (a == nil) != (b == nil)) }, false, nil),
	}
}

// A wideTest is a session with random pending changes, and a plain list of what
// its queries should see.
type wideTest[K any] struct {
	t       *rapid.T
	ctx     context.Context
	key     wideKey[K]
	columns []wideColumn[K]
	table   *userdata.Table[wideRec[K]]
	db      *userdata.DB
	s       *userdata.Session
	stored  []*wideRec[K] // what the session does not track
	tracked []*wideRec[K] // its own, in the order they came
}

func (w *wideTest[K]) drawRec() *wideRec[K] {
	r := &wideRec[K]{Key: w.key.values.Draw(w.t, "key")}
	for _, c := range w.columns[3:] {
		_, set := c.assign(w.t)
		set(r)
	}
	return r
}

// fill commits random records and gives the session random changes.
func (w *wideTest[K]) fill() {
	var committed []*wideRec[K]
	setup := w.db.NewSession()
	for range rapid.IntRange(0, 30).Draw(w.t, "records") {
		r := w.drawRec()
		if key, err := userdata.EncodeKey(w.table, r.Key); err != nil || key == nil || setup.Add(r) != nil {
			continue // a bad key, or one that is taken
		}
		committed = append(committed, r)
	}
	if err := setup.Commit(w.ctx); err != nil {
		w.t.Fatal(err)
	}
	for _, r := range committed {
		state := rapid.IntRange(0, 5).Draw(w.t, "pending state")
		if state > 3 || w.holds(r.Key) {
			w.stored = append(w.stored, r)
			continue
		}
		mine, err := w.table.Get(w.ctx, w.s, r.Key)
		if err != nil {
			w.t.Fatal(err)
		}
		switch state {
		case 0:
			if err := w.s.Delete(mine); err != nil {
				w.t.Fatal(err)
			}
			continue
		case 1:
			_, set := w.columns[rapid.IntRange(3, len(w.columns)-1).Draw(w.t, "column")].assign(w.t)
			set(mine)
		case 2: // moved, maybe to a key that is none, or is taken
			mine.Key = w.key.values.Draw(w.t, "new key")
		}
		w.tracked = append(w.tracked, mine)
	}
	for range rapid.IntRange(0, 4).Draw(w.t, "added") {
		r := w.drawRec()
		if err := w.s.Add(r); err == nil {
			w.tracked = append(w.tracked, r)
		} else if !errors.Is(err, userdata.ErrExists) {
			w.t.Fatal(err)
		}
	}
}

// holds reports whether a record of the session has the key.
func (w *wideTest[K]) holds(key K) bool {
	return slices.ContainsFunc(w.tracked, func(r *wideRec[K]) bool { return w.key.compare(r.Key, key) == 0 })
}

func (w *wideTest[K]) drawCondition(depth int) (userdata.Predicate[wideRec[K]], func(*wideRec[K]) bool) {
	type rec = wideRec[K]
	kind := rapid.IntRange(0, 9).Draw(w.t, "condition")
	if depth == 0 || kind < 5 {
		return rapid.SampledFrom(w.columns).Draw(w.t, "column").condition(w.t)
	}
	var parts []userdata.Predicate[rec]
	var holds []func(*rec) bool
	for range rapid.IntRange(0, 3).Draw(w.t, "parts") {
		p, f := w.drawCondition(depth - 1)
		parts, holds = append(parts, p), append(holds, f)
	}
	all := func(r *rec) bool {
		return !slices.ContainsFunc(holds, func(f func(*rec) bool) bool { return !f(r) })
	}
	switch kind {
	case 5, 6:
		return userdata.And(parts...), all
	case 7:
		return userdata.Or(parts...), func(r *rec) bool {
			return slices.ContainsFunc(holds, func(f func(*rec) bool) bool { return f(r) })
		}
	case 8:
		return userdata.Not(userdata.And(parts...)), func(r *rec) bool { return !all(r) }
	}
	even := func(r *rec) bool { return (len(r.Text)+int(r.Uint))%2 == 0 }
	return userdata.Match(even), even
}

// A wideQuery is a query and what it should answer.
type wideQuery[K any] struct {
	userdata.Query[wideRec[K]]
	want []*wideRec[K]
}

func (w *wideTest[K]) drawQuery() wideQuery[K] {
	type rec = wideRec[K]
	q := wideQuery[K]{Query: w.table.Select(w.s)}
	holds := func(*rec) bool { return true }
	for range rapid.IntRange(0, 2).Draw(w.t, "where") {
		before := holds
		p, f := w.drawCondition(3)
		q.Query, holds = q.Where(p), func(r *rec) bool { return before(r) && f(r) }
	}
	var orders []userdata.Order[rec]
	var compare []func(a, b *rec) int
	byKey := func(a, b *rec) int { return w.key.compare(a.Key, b.Key) }
	keyFirst, descend := false, false
	for n := range rapid.IntRange(0, 3).Draw(w.t, "orders") {
		i, desc := rapid.IntRange(0, len(w.columns)-2).Draw(w.t, "column"), rapid.Bool().Draw(w.t, "desc")
		o, f := w.columns[i].order(desc)
		orders, descend = append(orders, o), desc
		switch {
		case keyFirst: // what comes after the key says nothing
		case n == 0 && i < 3 && desc:
			keyFirst, compare = true, append(compare, func(a, b *rec) int { return byKey(b, a) })
		case n == 0 && i < 3:
			keyFirst, compare = true, append(compare, byKey)
		default:
			compare = append(compare, f)
		}
	}
	q.Query = q.OrderBy(orders...)
	switch { // equals go by key, in the direction of the last order
	case keyFirst:
	case descend:
		compare = append(compare, func(a, b *rec) int { return byKey(b, a) })
	default:
		compare = append(compare, byKey)
	}
	for _, r := range slices.Concat(w.stored, w.tracked) {
		if holds(r) {
			q.want = append(q.want, r)
		}
	}
	slices.SortStableFunc(q.want, func(a, b *rec) int {
		for _, f := range compare {
			if c := f(a, b); c != 0 {
				return c
			}
		}
		return 0
	})
	if rapid.Bool().Draw(w.t, "offset") {
		n := rapid.IntRange(0, 10).Draw(w.t, "offset")
		q.Query, q.want = q.Offset(n), q.want[min(n, len(q.want)):]
	}
	if rapid.Bool().Draw(w.t, "limit") {
		n := rapid.SampledFrom([]int{0, 1, 2, 5, 20, math.MaxInt}).Draw(w.t, "limit")
		q.Query, q.want = q.Limit(n), q.want[:min(n, len(q.want))]
	}
	return q
}

// same compares answers with what should come; a stored record is a copy.
func (w *wideTest[K]) same(what string, got, want []*wideRec[K], untracked bool) {
	if len(got) != len(want) {
		w.t.Fatalf("%s: got %d records, want %d", what, len(got), len(want))
	}
	for i, r := range got {
		if slices.Contains(w.tracked, r) == untracked && slices.Contains(w.tracked, want[i]) {
			w.t.Fatalf("%s, record %d: tracked is %v", what, i, untracked)
		}
		if !w.equal(r, want[i]) {
			w.t.Fatalf("%s, record %d: got %+v, want %+v", what, i, *r, *want[i])
		}
	}
}

// equal compares by encoding; what can't be stored compares by its text.
func (w *wideTest[K]) equal(a, b *wideRec[K]) bool {
	if a == b {
		return true
	}
	keyA, valueA, errA := userdata.Encode(w.table, a)
	keyB, valueB, errB := userdata.Encode(w.table, b)
	if errA != nil || errB != nil {
		return (errA != nil) == (errB != nil) && a.Int == b.Int && a.Text == b.Text && a.Uint == b.Uint
	}
	return bytes.Equal(keyA, keyB) && bytes.Equal(valueA, valueB)
}

// ask asks one query with every verb; those that track come last.
func (w *wideTest[K]) ask() {
	q := w.drawQuery()
	if _, err := q.Explain(); err != nil {
		w.t.Fatal(err)
	}
	if n, err := q.Count(w.ctx); n != len(q.want) || err != nil {
		w.t.Fatalf("count: got %d %v, want %d", n, err, len(q.want))
	}
	if found, err := q.Exists(w.ctx); found != (len(q.want) > 0) || err != nil {
		w.t.Fatalf("exists: got %v %v, want %d", found, err, len(q.want))
	}
	copies, err := q.Untracked().All(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	w.same("all, untracked", copies, q.want, true)
	rows := func(q userdata.Query[wideRec[K]], stop int) (got []*wideRec[K]) {
		for r, err := range q.Rows(w.ctx) {
			if err != nil {
				w.t.Fatal(err)
			}
			if got = append(got, r); len(got) == stop {
				break
			}
		}
		return got
	}
	w.same("rows, untracked", rows(q.Untracked(), -1), q.want, true)
	switch rapid.IntRange(0, 5).Draw(w.t, "verb") {
	case 0:
		got, err := q.First(w.ctx)
		w.single("first", got, err, q.want[:min(1, len(q.want))])
	case 1:
		got, err := q.One(w.ctx)
		w.single("one", got, err, q.want)
	case 2:
		stop := rapid.IntRange(1, 5).Draw(w.t, "break")
		w.same("rows", rows(q.Query, stop), q.want[:min(stop, len(q.want))], false)
	case 3:
		w.same("rows", rows(q.Query, -1), q.want, false)
	default:
		got, err := q.All(w.ctx)
		if err != nil {
			w.t.Fatal(err)
		}
		w.same("all", got, q.want, false)
	}
}

func (w *wideTest[K]) single(what string, got *wideRec[K], err error, want []*wideRec[K]) {
	switch {
	case len(want) == 0:
		if !errors.Is(err, userdata.ErrNotFound) {
			w.t.Fatalf("%s: got %v, want ErrNotFound", what, err)
		}
	case len(want) > 1:
		if !errors.Is(err, userdata.ErrMultiple) {
			w.t.Fatalf("%s: got %v, want ErrMultiple", what, err)
		}
	case err != nil:
		w.t.Fatalf("%s: %v", what, err)
	default:
		w.same(what, []*wideRec[K]{got}, want, false)
	}
}

// change updates or deletes what a query finds, and compares all that is there.
func (w *wideTest[K]) change() {
	q := w.drawQuery()
	isWanted := func(r *wideRec[K]) bool { return slices.Contains(q.want, r) }
	if rapid.Bool().Draw(w.t, "delete") {
		if n, err := q.Delete(w.ctx); n != len(q.want) || err != nil {
			w.t.Fatalf("delete: got %d %v, want %d", n, err, len(q.want))
		}
		w.stored, w.tracked = slices.DeleteFunc(w.stored, isWanted), slices.DeleteFunc(w.tracked, isWanted)
	} else {
		var list []userdata.Assignment[wideRec[K]]
		var sets []func(*wideRec[K])
		for range rapid.IntRange(1, 3).Draw(w.t, "assignments") {
			a, set := rapid.SampledFrom(w.columns[3:]).Draw(w.t, "column").assign(w.t)
			list, sets = append(list, a), append(sets, set)
		}
		if n, err := q.Update(w.ctx, list...); n != len(q.want) || err != nil {
			w.t.Fatalf("update: got %d %v, want %d", n, err, len(q.want))
		}
		for _, r := range q.want {
			for _, set := range sets {
				set(r)
			}
		}
	}
	byKey := func(a, b *wideRec[K]) int { return w.key.compare(a.Key, b.Key) }
	want := slices.Concat(w.stored, w.tracked)
	slices.SortStableFunc(want, byKey)
	got, err := w.table.Select(w.s).Untracked().All(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	w.same("all after a change", got, want, true)
	if err := w.s.Commit(w.ctx); err != nil {
		return // keys that are none, or taken
	}
	fresh := w.db.NewSession()
	defer fresh.Close()
	if got, err = w.table.Select(fresh).All(w.ctx); err != nil {
		w.t.Fatal(err)
	}
	w.tracked = nil
	w.same("all after the commit", got, want, true)
}

func testWide[K any](t *testing.T, key func() wideKey[K]) {
	t.Parallel()
	table := userdata.NewTable[wideRec[K]]("wide")
	store := unclosed{userdata.NewMemStore()}
	asked, changed := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		store.Store = userdata.NewMemStore()
		k := key()
		w := &wideTest[K]{t: rt, ctx: t.Context(), key: k, columns: k.columns(), table: table, db: openOn(t, store, table)}
		w.s = w.db.NewSession()
		defer w.s.Close()
		w.fill()
		for range 5 {
			w.ask()
			asked++
			if slices.ContainsFunc(w.stored, func(r *wideRec[K]) bool { return w.holds(r.Key) }) {
				return // what was tracked by now comes after what has the same key
			}
		}
		w.change()
		changed++
	})
	t.Logf("%d queries asked with each verb, %d changes", asked, changed)
}

// wideKeyOf makes a kind of key.
func wideKeyOf[K any](values *rapid.Generator[K], compare func(a, b K) int) wideKey[K] {
	return wideKey[K]{newWideColumn(func(r *wideRec[K]) *K { return &r.Key }, values, compare, true, nil), values, compare}
}

func TestQueriesAgainstPlainGo(t *testing.T) {
	t.Parallel()
	t.Run("string keys", func(t *testing.T) {
		testWide(t, func() wideKey[string] {
			values := rapid.StringOfN(rapid.RuneFrom([]rune("\x00aé")), 0, 3, -1)
			k := wideKeyOf(values, cmp.Compare[string])
			k.column = withPrefix(k.column, func(r *wideRec[string]) *string { return &r.Key }, values)
			return k
		})
	})
	t.Run("integer keys", func(t *testing.T) {
		testWide(t, func() wideKey[int64] {
			return wideKeyOf(rapid.OneOf(rapid.Int64Range(-20, 20), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64, 1 << 40, -256})), cmp.Compare[int64])
		})
	})
	t.Run("time keys", func(t *testing.T) {
		testWide(t, func() wideKey[time.Time] {
			values := rapid.Custom(func(t *rapid.T) time.Time {
				return time.Unix(rapid.Int64Range(-3, 3).Draw(t, "seconds"), rapid.Int64Range(0, 3).Draw(t, "nanoseconds")).In(time.FixedZone("X", 60))
			})
			return wideKeyOf(rapid.OneOf(values, values, wideTimes.Filter(func(t time.Time) bool { return t.Year() < 10000 })), time.Time.Compare)
		})
	})
	t.Run("byte keys", func(t *testing.T) {
		testWide(t, func() wideKey[[]byte] {
			values := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0xfe, 0xff}), 0, 3)
			k := wideKeyOf(values, bytes.Compare)
			k.column = wideKeyOf(values, compareByteSlices).column
			k.column = withPrefix(k.column, func(r *wideRec[[]byte]) *[]byte { return &r.Key }, values)
			return k
		})
	})
}
