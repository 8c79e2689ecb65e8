package userdata_test

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/seed-5df914be/userdata"
)

// A modelQuery is a query and what it should answer.
type modelQuery struct {
	userdata.Query[modelRec]
	holds         func(modelRec) bool
	compare       func(a, b modelRec) int
	byKey         bool
	limit, offset int
}

// A modelAnswer is a record that a query should find: an entry, or a stored record.
type modelAnswer struct {
	entry *modelEntry
	rec   modelRec
}

func (m *modelMachine) drawPredicate(depth int) (userdata.Predicate[modelRec], func(modelRec) bool) {
	kind := rapid.IntRange(0, 8+3*depth).Draw(m.t, "predicate")
	key := rapid.SampledFrom(modelKeys).Draw(m.t, "value")
	n := rapid.Int64Range(-1, 2).Draw(m.t, "value")
	switch kind {
	case 0:
		return modelID.Eq(key), func(r modelRec) bool { return r.ID == key }
	case 1:
		return modelID.Ge(key), func(r modelRec) bool { return r.ID >= key }
	case 2:
		return modelID.In(key, "b", ""), func(r modelRec) bool { return r.ID == key || r.ID == "b" || r.ID == "" }
	case 3:
		return userdata.HasPrefix(modelID, key), func(r modelRec) bool { return strings.HasPrefix(r.ID, key) }
	case 4:
		return modelN.Lt(n), func(r modelRec) bool { return r.N < n }
	case 5:
		return modelN.Ne(n), func(r modelRec) bool { return r.N != n }
	case 6:
		return modelAlias.Eq(nil), func(r modelRec) bool { return r.Alias == nil }
	case 7:
		return modelAlias.Le(new("p")), func(r modelRec) bool { return r.Alias != nil && *r.Alias <= "p" }
	case 8:
		fn := func(r *modelRec) bool { return len(r.Tags)%2 == 0 }
		return userdata.Match(fn), func(r modelRec) bool { return fn(&r) }
	}
	p, f := m.drawPredicate(depth - 1)
	switch kind % 3 {
	case 0:
		return userdata.Not(p), func(r modelRec) bool { return !f(r) }
	case 1:
		q, g := m.drawPredicate(depth - 1)
		return userdata.And(p, q), func(r modelRec) bool { return f(r) && g(r) }
	}
	q, g := m.drawPredicate(depth - 1)
	return userdata.Or(p, q), func(r modelRec) bool { return f(r) || g(r) }
}

func (m *modelSession) drawQuery() modelQuery {
	q := modelQuery{Query: modelTable.Select(m.s), limit: -1, byKey: true}
	q.holds = func(modelRec) bool { return true }
	if rapid.Bool().Draw(m.t, "where") {
		var p userdata.Predicate[modelRec]
		p, q.holds = m.drawPredicate(2)
		q.Query = q.Where(p)
	}
	byID := func(a, b modelRec) int { return cmp.Compare(a.ID, b.ID) }
	byN := func(a, b modelRec) int { return cmp.Compare(a.N, b.N) }
	q.compare = byID
	switch rapid.IntRange(0, 3).Draw(m.t, "order") {
	case 1:
		q.Query = q.OrderBy(modelID.Desc(), modelN.Asc())
		q.compare = func(a, b modelRec) int { return -byID(a, b) }
	case 2:
		q.Query, q.byKey = q.OrderBy(modelN.Desc()), false
		q.compare = func(a, b modelRec) int { return -cmp.Or(byN(a, b), byID(a, b)) }
	case 3:
		q.Query, q.byKey = q.OrderBy(modelTitle.Asc(), modelN.Asc()), false
		q.compare = func(a, b modelRec) int { return cmp.Or(cmp.Compare(a.Title, b.Title), byN(a, b), byID(a, b)) }
	}
	if rapid.IntRange(0, 2).Draw(m.t, "limited") == 0 {
		q.limit, q.offset = rapid.IntRange(0, 3).Draw(m.t, "limit"), rapid.IntRange(0, 2).Draw(m.t, "offset")
		q.Query = q.Limit(q.limit).Offset(q.offset)
	}
	return q
}

// answers returns what the query should find, without limit and offset.
func (m *modelSession) answers(q modelQuery) (out []modelAnswer) {
	for _, key := range slices.Sorted(maps.Keys(m.store)) {
		if m.base(key) == nil && q.holds(m.store[key]) {
			out = append(out, modelAnswer{rec: m.store[key].clone()})
		}
	}
	for _, e := range m.entries {
		if e.live() && q.holds(e.cur) {
			out = append(out, modelAnswer{e, e.cur.clone()})
		}
	}
	slices.SortStableFunc(out, func(a, b modelAnswer) int { return q.compare(a.rec, b.rec) })
	return out
}

// ask is answers with limit and offset, after what reading does to the session.
func (m *modelSession) ask(q modelQuery) []modelAnswer {
	if q.limit == 0 {
		return nil
	}
	m.refreshAll()
	out := m.answers(q)
	out = out[min(q.offset, len(out)):]
	if q.limit > 0 {
		out = out[:min(q.limit, len(out))]
	}
	return out
}

// shown is what handing out a record does to the session.
func (m *modelSession) shown(a modelAnswer, got *modelRec) {
	if !got.equal(a.rec) {
		m.t.Fatalf("query: got %+v, want %+v", *got, a.rec)
	}
	if a.entry != nil {
		m.show(a.entry, got)
	} else {
		m.load(a.rec.ID, got)
	}
}

func (m *modelSession) query() {
	q := m.drawQuery()
	switch rapid.IntRange(0, 5).Draw(m.t, "verb") {
	case 0:
		n, err := q.Count(m.ctx)
		if want := len(m.ask(q)); n != want || err != nil {
			m.t.Fatalf("count: got %d %v, want %d", n, err, want)
		}
	case 1:
		found, err := q.Exists(m.ctx)
		if want := len(m.ask(q)) > 0; found != want || err != nil {
			m.t.Fatalf("exists: got %v %v, want %v", found, err, want)
		}
	case 2:
		got, err := q.First(m.ctx)
		want := m.ask(q)
		if len(want) == 0 {
			m.wantErr("first", err, userdata.ErrNotFound)
			return
		}
		m.wantErr("first", err)
		m.shown(want[0], got)
	case 3:
		copies, err := q.Untracked().All(m.ctx)
		want := m.ask(q)
		m.wantErr("all, untracked", err)
		if len(copies) != len(want) {
			m.t.Fatalf("all, untracked: got %d records, want %d", len(copies), len(want))
		}
		for i, c := range copies {
			if !c.equal(want[i].rec) || m.s.State(c) != userdata.Transient {
				m.t.Fatalf("all, untracked: got %+v %v, want %+v", *c, m.s.State(c), want[i].rec)
			}
		}
	default:
		got, err := q.All(m.ctx)
		want := m.ask(q)
		m.wantErr("all", err)
		if len(got) != len(want) {
			m.t.Fatalf("all: got %d records, want %d", len(got), len(want))
		}
		for i := range got {
			m.shown(want[i], got[i])
		}
	}
}

func (m *modelSession) bulkUpdate() {
	q := m.drawQuery()
	n, title, alias := rapid.Int64Range(-1, 2).Draw(m.t, "n"), m.drawTitle(), m.drawAlias()
	set := []userdata.Assignment[modelRec]{modelN.Set(n), modelTitle.Set(title), modelAlias.Set(alias)}
	key := ""
	if !m.looping && rapid.IntRange(0, 5).Draw(m.t, "assign key") == 0 {
		key = rapid.SampledFrom(modelKeys).Draw(m.t, "key")
		set = append(set, modelID.Set(key))
	}
	got, err := q.Update(m.ctx, set...)
	want := m.ask(q)
	if got != len(want) || err != nil {
		m.t.Fatalf("update: got %d %v, want %d", got, err, len(want))
	}
	for _, a := range want {
		e := a.entry
		if e == nil {
			e = m.load(a.rec.ID, nil)
		}
		e.cur.N, e.cur.Title, e.cur.Alias = n, title, alias
		if key != "" {
			e.cur.ID = key
		}
	}
}

func (m *modelSession) bulkDelete() {
	q := m.drawQuery()
	got, err := q.Delete(m.ctx)
	want := m.ask(q)
	if got != len(want) || err != nil {
		m.t.Fatalf("delete: got %d %v, want %d", got, err, len(want))
	}
	for _, a := range want {
		e := a.entry
		if e == nil {
			e = m.load(a.rec.ID, nil)
		}
		m.deleted(e)
	}
}

// loop ranges over Rows, and maybe changes things in its body or breaks.
func (m *modelSession) loop() {
	if m.depth > 1 {
		panic(nothingToDo("deep enough"))
	}
	hidden := map[string]bool{}
	for _, e := range m.entries {
		if e.hidden && hidden[e.cur.ID] {
			panic(nothingToDo("who comes could not be told"))
		}
		hidden[e.cur.ID] = hidden[e.cur.ID] || e.hidden
	}
	q := m.drawQuery()
	want := m.ask(q)
	if rapid.Bool().Draw(m.t, "quiet") {
		stop, i := rapid.IntRange(1, 4).Draw(m.t, "break after"), 0
		for got, err := range q.Rows(m.ctx) {
			if err != nil || i == len(want) {
				m.t.Fatalf("rows: got %v %v after %d records, want %d", got, err, i, len(want))
			}
			m.shown(want[i], got)
			if i++; i == stop {
				break
			}
		}
		if i < min(stop, len(want)) {
			m.t.Fatalf("rows: got %d records, want %d", i, len(want))
		}
		return
	}
	body := []func(*modelSession){(*modelSession).changeField, (*modelSession).changeKey, (*modelSession).deleteRecord, (*modelSession).add,
		(*modelSession).expunge, (*modelSession).bulkUpdate, (*modelSession).bulkDelete, (*modelSession).readd}
	if q.byKey { // in another order the rest is not refreshed at once
		body = append(body, (*modelSession).commit, (*modelSession).rollback)
	}
	m.depth++
	m.looping = true
	defer func() { m.depth, m.looping = m.depth-1, false }()
	seen, seenKeys, epoch := map[*modelRec]bool{}, map[string]bool{}, m.epoch
	names := make([]int, len(body))
	for i := range names {
		names[i] = i
	}
	for got, err := range q.Rows(m.ctx) {
		m.wantErr("rows", err)
		if epoch != m.epoch {
			epoch = m.epoch
			m.refreshAll()
		}
		if seen[got] {
			m.t.Fatalf("rows: %+v came twice", *got)
		}
		seen[got] = true
		seenKeys[m.met(q, got)] = true
		m.attempt(func() { body[rapid.SampledFrom(names).Draw(m.t, "body")](m) })
		want = slices.DeleteFunc(want, func(a modelAnswer) bool { return !m.unmoved(a) && !seen[a.entry.pointer()] })
		m.check()
	}
	if epoch != m.epoch && (q.limit < 0 || len(seen) < q.limit) {
		m.refreshAll()
	}
	if q.limit >= 0 {
		return
	}
	for _, a := range want {
		if m.unmoved(a) && !seenKeys[a.key()] && !seen[a.entry.pointer()] {
			m.t.Fatalf("rows: %+v was missed", a.rec)
		}
	}
}

// key returns the answer's key in the store.
func (a modelAnswer) key() string {
	if a.entry != nil {
		return a.entry.key
	}
	return a.rec.ID
}

func (e *modelEntry) pointer() *modelRec {
	if e == nil {
		return nil
	}
	return e.ptr
}

// unmoved reports whether an answer is there as it was, under its key.
func (m *modelSession) unmoved(a modelAnswer) bool {
	if a.entry != nil {
		return slices.Contains(m.entries, a.entry) && a.entry.live() && a.entry.cur.equal(a.rec)
	}
	if e := m.base(a.rec.ID); e != nil {
		return e.live() && e.cur.equal(a.rec)
	}
	now, ok := m.store[a.rec.ID]
	return ok && now.equal(a.rec)
}

// met is what a loop does to the session when a record comes. It returns the
// record's key in the store.
func (m *modelSession) met(q modelQuery, got *modelRec) string {
	if !q.holds(*got) {
		m.t.Fatalf("rows: got %+v, which does not match", *got)
	}
	i := slices.IndexFunc(m.entries, func(e *modelEntry) bool { return e.ptr == got })
	if i < 0 {
		i = slices.IndexFunc(m.entries, func(e *modelEntry) bool { return e.hidden && e.live() && e.cur.equal(*got) })
	}
	if i >= 0 {
		e := m.entries[i]
		if !e.live() {
			m.t.Fatalf("rows: got %+v, which is %v", *got, e.state)
		}
		m.show(e, got)
		return e.key
	}
	if stored, ok := m.store[got.ID]; !ok || !got.equal(stored) || m.base(got.ID) != nil {
		m.t.Fatalf("rows: got %+v, which is not there", *got)
	}
	return m.load(got.ID, got).key
}
