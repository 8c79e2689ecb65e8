package userdata_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/seed-5df914be/userdata"
)

// modelRec is the record of the model test. Few values, so that things collide.
type modelRec struct {
	ID    string         `userdata:"id,key,size=3"`
	N     int64          `userdata:"n"`
	Title string         `userdata:"title,size=5"`
	Alias *string        `userdata:"alias"`
	Tags  []string       `userdata:"tags"`
	Attrs map[string]int `userdata:"attrs"`
}

var (
	modelTable = userdata.NewTable[modelRec]("model")
	modelID    = userdata.ColumnOf(func(r *modelRec) *string { return &r.ID })
	modelN     = userdata.ColumnOf(func(r *modelRec) *int64 { return &r.N })
	modelTitle = userdata.ColumnOf(func(r *modelRec) *string { return &r.Title })
	modelAlias = userdata.ColumnOf(func(r *modelRec) **string { return &r.Alias })
)

func (r modelRec) clone() modelRec {
	if r.Alias != nil {
		alias := *r.Alias
		r.Alias = &alias
	}
	r.Tags, r.Attrs = slices.Clone(r.Tags), maps.Clone(r.Attrs)
	return r
}

func (r modelRec) equal(o modelRec) bool { return reflect.DeepEqual(r, o) }

func (r modelRec) valid() bool {
	return r.ID != "" && utf8.ValidString(r.ID) && utf8.RuneCountInString(r.ID) <= 3 &&
		utf8.ValidString(r.Title) && utf8.RuneCountInString(r.Title) <= 5
}

// differing returns how many columns differ.
func (r modelRec) differing(o modelRec) int {
	n := 0
	for i := range reflect.TypeFor[modelRec]().NumField() {
		if !reflect.DeepEqual(reflect.ValueOf(r).Field(i).Interface(), reflect.ValueOf(o).Field(i).Interface()) {
			n++
		}
	}
	return n
}

// A modelEntry is what a session should know of one record.
type modelEntry struct {
	ptr    *modelRec // nil while hidden: the program has no pointer yet
	hidden bool
	state  userdata.State
	key    string   // in the store
	base   modelRec // as last seen there
	cur    modelRec // as it should be in memory
	epoch  int
}

func (e *modelEntry) live() bool {
	return e.state == userdata.Pending || e.state == userdata.Persistent
}

func (e *modelEntry) changed() bool { return !e.cur.equal(e.base) }

// A modelSave is what a session should go back to.
type modelSave struct {
	entries []*modelEntry
	was     []modelEntry
}

// A modelSession is a session and what it should hold.
type modelSession struct {
	*modelMachine
	s       *userdata.Session
	entries []*modelEntry
	gone    map[*modelRec]userdata.State
	left    []*modelRec // the keys of gone, and more, in the order they left
	absent  map[string]bool
	epoch   int
	saves   []*modelSave
}

// A modelMachine is several sessions over one store, and what they should be.
type modelMachine struct {
	t        *rapid.T
	ctx      context.Context
	db       *userdata.DB
	reopen   func() *userdata.DB
	store    map[string]modelRec
	sessions []*modelSession
	depth    int // of savepoints and loops
	looping  bool
	steps    int
}

func (m *modelMachine) open() {
	m.db, m.sessions = m.reopen(), nil
	for range 3 {
		m.sessions = append(m.sessions, &modelSession{
			modelMachine: m, s: m.db.NewSession(), gone: map[*modelRec]userdata.State{}, absent: map[string]bool{}})
	}
}

func (m *modelMachine) session() *modelSession {
	return m.sessions[rapid.IntRange(0, len(m.sessions)-1).Draw(m.t, "session")]
}

// wantErr checks that err is of just the given kinds.
func (m *modelMachine) wantErr(what string, err error, want ...error) {
	m.t.Helper()
	if (err != nil) != (len(want) > 0) {
		m.t.Fatalf("%s: got error %v, want %v", what, err, want)
	}
	for _, kind := range []error{userdata.ErrNotFound, userdata.ErrMultiple, userdata.ErrExists, userdata.ErrConflict, userdata.ErrInvalid, userdata.ErrCorrupt, userdata.ErrClosed} {
		if got := errors.Is(err, kind); got != slices.Contains(want, kind) {
			m.t.Fatalf("%s: got error %v, want %v", what, err, want)
		}
	}
}

var modelKeys = []string{"a", "ab", "abc", "b", "c", "d"}

func (m *modelMachine) drawKey() string {
	if rapid.IntRange(0, 15).Draw(m.t, "odd key") == 0 {
		return rapid.SampledFrom([]string{"", "long", "\xff"}).Draw(m.t, "key")
	}
	return rapid.SampledFrom(modelKeys).Draw(m.t, "key")
}

func (m *modelMachine) drawTitle() string {
	if rapid.IntRange(0, 15).Draw(m.t, "odd title") == 0 {
		return rapid.SampledFrom([]string{"much too long", "\xff"}).Draw(m.t, "title")
	}
	return rapid.SampledFrom([]string{"", "x", "xy", "é€"}).Draw(m.t, "title")
}

func (m *modelMachine) drawAlias() *string {
	return rapid.SampledFrom([]*string{nil, new("p"), new("q")}).Draw(m.t, "alias")
}

func (m *modelMachine) drawRec() modelRec {
	return modelRec{
		ID: m.drawKey(), N: rapid.Int64Range(-1, 2).Draw(m.t, "n"), Title: m.drawTitle(), Alias: m.drawAlias(),
		Tags:  rapid.SampledFrom([][]string{nil, {}, {"t"}, {"t", "u"}}).Draw(m.t, "tags"),
		Attrs: rapid.SampledFrom([]map[string]int{nil, {}, {"k": 1}}).Draw(m.t, "attrs"),
	}.clone()
}

// visible returns an entry that the program has a pointer to, nil if there is none.
func (m *modelSession) visible() *modelEntry {
	var all []*modelEntry
	for _, e := range m.entries {
		if !e.hidden {
			all = append(all, e)
		}
	}
	if len(all) == 0 {
		panic(nothingToDo("no record"))
	}
	return rapid.SampledFrom(all).Draw(m.t, "record")
}

func (m *modelSession) base(key string) *modelEntry {
	for _, e := range m.entries {
		if e.state != userdata.Pending && e.key == key {
			return e
		}
	}
	return nil
}

// holders returns the live entries whose fields say the key.
func (m *modelSession) holders(key string) (out []*modelEntry) {
	for _, e := range m.entries {
		if key != "" && e.live() && e.cur.ID == key {
			out = append(out, e)
		}
	}
	return out
}

func (m *modelSession) track(e *modelEntry) {
	e.epoch = m.epoch
	m.entries = append(m.entries, e)
	delete(m.gone, e.ptr)
}

// load is what tracking a stored record makes of it.
func (m *modelSession) load(key string, ptr *modelRec) *modelEntry {
	e := &modelEntry{ptr: ptr, hidden: ptr == nil, state: userdata.Persistent, key: key, base: m.store[key].clone(), cur: m.store[key].clone()}
	m.track(e)
	return e
}

func (m *modelSession) drop(e *modelEntry, state userdata.State) {
	m.entries = slices.DeleteFunc(m.entries, func(o *modelEntry) bool { return o == e })
	if !e.hidden {
		m.gone[e.ptr] = state
		m.left = append(m.left, e.ptr)
	}
}

func (m *modelSession) show(e *modelEntry, ptr *modelRec) {
	if e.hidden {
		e.hidden, e.ptr = false, ptr
		delete(m.gone, ptr)
	}
	if e.ptr != ptr {
		m.t.Fatalf("record %q: got another pointer than before", e.cur.ID)
	}
}

// refresh is what meeting the store again makes of an entry; it reports whether
// the record is there still.
func (m *modelSession) refresh(e *modelEntry) bool {
	now, ok := m.store[e.key]
	switch {
	case ok && now.equal(e.base), e.changed():
	case !ok:
		m.drop(e, userdata.Detached)
		return false
	default:
		e.base, e.cur = now.clone(), now.clone()
	}
	e.epoch = m.epoch
	return true
}

func (m *modelSession) refreshAll() {
	for _, e := range slices.Clone(m.entries) {
		if e.state == userdata.Persistent && e.epoch != m.epoch {
			m.refresh(e)
		}
	}
}

func (m *modelSession) begin() {
	m.epoch++
	clear(m.absent)
}

// check compares every session with its model.
func (m *modelMachine) check() {
	for i, s := range m.sessions {
		s.checkSession(i)
	}
}

func (m *modelSession) checkSession(i int) {
	var pending, changed, deleted, columns int
	for _, e := range m.entries {
		switch {
		case e.state == userdata.Pending:
			pending++
			columns += 6
		case e.state == userdata.Deleted:
			deleted++
			columns += 6
		case e.changed():
			changed++
			columns += e.cur.differing(e.base)
		}
		if e.hidden {
			continue
		}
		if got := m.s.State(e.ptr); got != e.state {
			m.t.Fatalf("session %d, record %q: got state %v, want %v", i, e.cur.ID, got, e.state)
		}
		if !e.ptr.equal(e.cur) {
			m.t.Fatalf("session %d: got record %+v, want %+v", i, *e.ptr, e.cur)
		}
	}
	for ptr, want := range m.gone {
		if got := m.s.State(ptr); got != want {
			m.t.Fatalf("session %d, record %q that left: got state %v, want %v", i, ptr.ID, got, want)
		}
	}
	got := map[userdata.State]int{}
	for c := range m.s.Changes() {
		got[c.State]++
		columns -= len(c.Columns)
	}
	if got[userdata.Pending] != pending || got[userdata.Persistent] != changed || got[userdata.Deleted] != deleted || columns != 0 {
		m.t.Fatalf("session %d: got changes %v, want %d pending, %d changed, %d deleted; %d columns missing", i, got, pending, changed, deleted, columns)
	}
}

// checkStore compares the whole store with the model through a fresh session.
func (m *modelMachine) checkStore() {
	s := m.db.NewSession()
	defer s.Close()
	all, err := modelTable.Select(s).All(m.ctx)
	if err != nil {
		m.t.Fatal(err)
	}
	if len(all) != len(m.store) {
		m.t.Fatalf("got %d records in the store, want %d", len(all), len(m.store))
	}
	for _, got := range all {
		if want := m.store[got.ID]; !got.equal(want) {
			m.t.Fatalf("in the store: got %+v, want %+v", *got, want)
		}
	}
}

// nested runs n actions inside another.
func (m *modelMachine) nested(n int) {
	m.depth++
	defer func() { m.depth-- }()
	actions := modelActions()
	names := slices.Sorted(maps.Keys(actions))
	for range n {
		name := rapid.SampledFrom(names).Draw(m.t, "inner action")
		m.attempt(func() { actions[name](m.session()) })
		m.check()
	}
}

// nothingToDo is what an action panics with that makes no sense just now. Skip
// of rapid would not do: it ends all the actions around it.
type nothingToDo string

// attempt runs an action that may find nothing to do.
func (m *modelMachine) attempt(action func()) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(nothingToDo); !ok {
				panic(p)
			}
		}
	}()
	action()
	m.steps++
}

func (m *modelMachine) restart() {
	if m.depth > 0 || rapid.IntRange(0, 3).Draw(m.t, "not now") > 0 {
		panic(nothingToDo("reopening is rare"))
	}
	for _, s := range m.sessions {
		if err := s.s.Close(); err != nil {
			m.t.Fatal(err)
		}
		for _, e := range s.entries {
			if !e.hidden && (!e.ptr.equal(e.cur) || s.s.State(e.ptr) != userdata.Detached) {
				m.t.Fatalf("after Close: got %+v %v, want %+v detached", *e.ptr, s.s.State(e.ptr), e.cur)
			}
		}
	}
	if err := m.db.Close(); err != nil {
		m.t.Fatal(err)
	}
	m.open()
	m.checkStore()
}

func modelActions() map[string]func(*modelSession) {
	return map[string]func(*modelSession){
		"add": (*modelSession).add, "add again": (*modelSession).readd, "get": (*modelSession).get,
		"merge": (*modelSession).merge, "change field": (*modelSession).changeField,
		"change nested": (*modelSession).changeNested, "change key": (*modelSession).changeKey,
		"revert": (*modelSession).revert, "delete": (*modelSession).deleteRecord,
		"delete stranger": (*modelSession).deleteStranger, "refresh": (*modelSession).refreshRecord,
		"expunge": (*modelSession).expunge, "rollback": (*modelSession).rollback,
		"flush": (*modelSession).flush, "commit": (*modelSession).commit, "commit too": (*modelSession).commit,
		"savepoint": (*modelSession).savepoint, "query": (*modelSession).query, "query too": (*modelSession).query,
		"loop": (*modelSession).loop, "bulk update": (*modelSession).bulkUpdate, "bulk delete": (*modelSession).bulkDelete,
	}
}

// testModel runs the state machine over the stores that open makes, some
// hundred times, and wants at least that many steps.
func testModel(t *testing.T, repeats, wantSteps int, open func() (reopen func() *userdata.DB)) {
	steps := 0
	rapid.Check(t, func(rt *rapid.T) {
		m := &modelMachine{t: rt, ctx: t.Context(), reopen: open(), store: map[string]modelRec{}}
		m.open()
		defer func() {
			steps += m.steps
			m.db.Close()
		}()
		actions := map[string]func(*rapid.T){
			"": func(*rapid.T) { m.check() },
			"reopen": func(rt *rapid.T) {
				m.t = rt
				m.attempt(m.restart)
			},
		}
		for name, action := range modelActions() {
			actions[name] = func(rt *rapid.T) {
				m.t = rt
				m.attempt(func() { action(m.session()) })
			}
		}
		for range repeats {
			rt.Repeat(actions)
		}
		m.checkStore()
		if err := userdata.CheckRecords(m.ctx, m.db); err != nil {
			rt.Fatal(err)
		}
	})
	t.Logf("%d steps", steps)
	if steps < wantSteps && !testing.Short() {
		t.Errorf("got %d steps, want at least %d", steps, wantSteps)
	}
}

func TestModelMem(t *testing.T) {
	t.Parallel()
	repeats := 20
	if underRace { // one goroutine does nearly all of it
		repeats = 5
	}
	testModel(t, repeats, repeats*2000, func() func() *userdata.DB {
		store := unclosed{userdata.NewMemStore()}
		return func() *userdata.DB { return openOn(t, store, modelTable) }
	})
}

func TestModelBolt(t *testing.T) {
	t.Parallel()
	n := 0
	testModel(t, 5, 10000, func() func() *userdata.DB {
		n++
		path := filepath.Join(t.TempDir(), fmt.Sprintf("model%d.db", n))
		return func() *userdata.DB { return openOn(t, openBoltFile(t, path, nil), modelTable) }
	})
}

// unclosed is a store that survives its database.
type unclosed struct{ userdata.Store }

func (unclosed) Close() error { return nil }

// openOn opens a database on a store.
func openOn(t *testing.T, store userdata.Store, tables ...userdata.Mapped) *userdata.DB {
	t.Helper()
	db, err := userdata.OpenStore(t.Context(), store, nil, tables...)
	if err != nil {
		t.Fatal(err)
	}
	return db
}
