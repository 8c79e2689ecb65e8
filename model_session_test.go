package userdata_test

import (
	"errors"
	"slices"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/seed-5df914be/userdata"
)

// addable returns what Add of a record under the key should say, and whether
// that is certain: Add looks no closer than it must.
func (m *modelSession) addable(key string) (free, certain bool) {
	holders := m.holders(key)
	for _, e := range holders {
		if e.state == userdata.Persistent && e.key == key {
			return false, true
		}
	}
	return len(holders) == 0, len(holders) == 0
}

func (m *modelSession) addRecord(ptr *modelRec, key string) bool {
	free, certain := m.addable(key)
	err := m.s.Add(ptr)
	if !certain {
		free = err == nil
	}
	if free {
		m.wantErr("add", err)
	} else {
		m.wantErr("add", err, userdata.ErrExists)
	}
	return free
}

func (m *modelSession) add() {
	r := m.drawRec()
	if m.addRecord(&r, r.ID) {
		m.track(&modelEntry{ptr: &r, state: userdata.Pending, cur: r.clone()})
	}
}

// readd adds a record that was in the session before, or is.
func (m *modelSession) readd() {
	if rapid.Bool().Draw(m.t, "gone") {
		i := slices.IndexFunc(m.left, func(ptr *modelRec) bool { _, ok := m.gone[ptr]; return ok })
		if i < 0 {
			panic(nothingToDo("no record that left"))
		}
		ptr := m.left[i]
		if m.addRecord(ptr, ptr.ID) {
			m.track(&modelEntry{ptr: ptr, state: userdata.Pending, cur: ptr.clone()})
		}
		return
	}
	e := m.visible()
	if e.live() {
		m.wantErr("add again", m.s.Add(e.ptr))
		return
	}
	if m.addRecord(e.ptr, e.cur.ID) {
		e.state = userdata.Persistent
	}
}

func (m *modelSession) get() { m.getKey("get", m.drawKey(), nil) }

// getKey is Get, or a Merge of the given record.
func (m *modelSession) getKey(op, key string, merge *modelRec) {
	holders, base := m.holders(key), m.base(key)
	stored, inStore := m.store[key]
	moved := len(holders) == 1 && holders[0].state == userdata.Persistent && holders[0].key != key
	if len(holders) > 1 || moved && (holders[0].hidden || holders[0].epoch != m.epoch) {
		panic(nothingToDo("more than one answer is right"))
	}
	var e *modelEntry
	if len(holders) == 1 {
		e = holders[0]
	}
	if e != nil && e.state == userdata.Persistent && e.key == key && e.epoch != m.epoch && !m.refresh(e) {
		e = nil
		m.absent[key] = true
	}
	canLoad := base == nil && inStore
	if e == nil && base == nil && !inStore && key != "" {
		m.absent[key] = true
	}
	var got *modelRec
	var err error
	if merge != nil {
		got, err = modelTable.Merge(m.ctx, m.s, merge)
	} else {
		got, err = modelTable.Get(m.ctx, m.s, key)
	}
	if e == nil && !canLoad {
		if merge == nil {
			m.wantErr(op, err, userdata.ErrNotFound)
			return
		}
		m.wantErr(op, err)
		m.track(&modelEntry{ptr: got, state: userdata.Pending, cur: merge.clone()})
		return
	}
	m.wantErr(op, err)
	if e != nil && (e.hidden || e.ptr == got || !canLoad) {
		m.show(e, got)
	} else {
		if merge == nil && !got.equal(stored) {
			m.t.Fatalf("%s: got %+v, want %+v", op, *got, stored)
		}
		e = m.load(key, got)
	}
	if merge != nil {
		e.cur = merge.clone()
	}
}

func (m *modelSession) merge() {
	r := m.drawRec()
	if r.ID == "" {
		_, err := modelTable.Merge(m.ctx, m.s, &r)
		m.wantErr("merge without a key", err, userdata.ErrInvalid)
		return
	}
	before := r.clone()
	m.getKey("merge", r.ID, &r)
	if !r.equal(before) {
		m.t.Fatalf("merge changed its argument")
	}
}

func (m *modelSession) changeField() {
	e := m.visible()
	switch rapid.IntRange(0, 2).Draw(m.t, "field") {
	case 0:
		e.ptr.N++
	case 1:
		e.ptr.Title = m.drawTitle()
	default:
		e.ptr.Alias = m.drawAlias()
	}
	e.cur = e.ptr.clone()
}

func (m *modelSession) changeNested() {
	e := m.visible()
	if rapid.Bool().Draw(m.t, "map") {
		if e.ptr.Attrs == nil {
			e.ptr.Attrs = map[string]int{}
		}
		e.ptr.Attrs["k"]++
	} else if len(e.ptr.Tags) > 0 {
		e.ptr.Tags[0] += "'"
	} else {
		e.ptr.Tags = append(e.ptr.Tags, "new")
	}
	e.cur = e.ptr.clone()
}

func (m *modelSession) changeKey() {
	e := m.visible()
	if rapid.Bool().Draw(m.t, "swap") {
		o := m.visible()
		e.ptr.ID, o.ptr.ID = o.ptr.ID, e.ptr.ID
		o.cur = o.ptr.clone()
	} else {
		e.ptr.ID = m.drawKey()
	}
	e.cur = e.ptr.clone()
}

// revert makes a changed record what it was, as if by chance.
func (m *modelSession) revert() {
	e := m.visible()
	if e.state != userdata.Persistent {
		panic(nothingToDo("not persistent"))
	}
	*e.ptr = e.base.clone()
	e.cur = e.base.clone()
}

func (m *modelSession) deleteRecord() {
	e := m.visible()
	m.wantErr("delete", m.s.Delete(e.ptr))
	m.deleted(e)
}

func (m *modelSession) deleted(e *modelEntry) {
	if e.state == userdata.Pending {
		m.drop(e, userdata.Transient)
		return
	}
	e.state = userdata.Deleted
}

func (m *modelSession) deleteStranger() {
	m.wantErr("delete of a stranger", m.s.Delete(&modelRec{ID: "a"}), userdata.ErrNotFound)
	for ptr := range m.gone {
		m.wantErr("delete of one that left", m.s.Delete(ptr), userdata.ErrNotFound)
	}
}

func (m *modelSession) refreshRecord() {
	e := m.visible()
	err := m.s.Refresh(m.ctx, e.ptr)
	now, ok := m.store[e.key]
	switch {
	case e.state == userdata.Pending:
		m.wantErr("refresh", err, userdata.ErrInvalid)
	case !ok:
		m.wantErr("refresh", err, userdata.ErrNotFound)
	default:
		m.wantErr("refresh", err)
		e.base, e.cur, e.epoch = now.clone(), now.clone(), m.epoch
	}
}

func (m *modelSession) expunge() {
	e := m.visible()
	m.s.Expunge(e.ptr)
	m.drop(e, userdata.Detached)
}

func (m *modelSession) rollback() {
	if rapid.Bool().Draw(m.t, "not now") {
		panic(nothingToDo("rollbacks are rare"))
	}
	m.s.Rollback()
	for _, e := range slices.Clone(m.entries) {
		m.restore(e)
	}
	m.saves = nil
	m.begin()
}

func (m *modelSession) restore(e *modelEntry) {
	if e.state == userdata.Pending || e.hidden {
		m.drop(e, userdata.Transient)
		return
	}
	e.state, e.cur = userdata.Persistent, e.base.clone()
}

// A modelSlot is what a commit does under one key.
type modelSlot struct{ remove, put *modelEntry }

// plan works out what a commit would do, and what faults a flush finds.
func (m *modelSession) plan() (map[string]*modelSlot, []error) {
	slots := map[string]*modelSlot{}
	at := func(key string) *modelSlot {
		if slots[key] == nil {
			slots[key] = &modelSlot{}
		}
		return slots[key]
	}
	var faults []error
	for _, e := range m.entries {
		switch {
		case e.state == userdata.Deleted:
			at(e.key).remove = e
		case e.state == userdata.Persistent && !e.changed():
		default:
			if !e.cur.valid() {
				faults = append(faults, userdata.ErrInvalid)
			}
			if e.state == userdata.Persistent {
				at(e.key).remove = e
			}
			if e.cur.ID == "" || !utf8.ValidString(e.cur.ID) {
				continue // of a record at fault the key counts, if that is a key
			}
			if at(e.cur.ID).put != nil {
				faults = append(faults, userdata.ErrExists)
				continue
			}
			at(e.cur.ID).put = e
		}
	}
	for _, e := range m.entries {
		if sl := slots[e.key]; e.state != userdata.Pending && sl != nil && sl.put != nil && sl.remove == nil {
			faults = append(faults, userdata.ErrExists)
		}
	}
	return slots, faults
}

func (m *modelSession) flush() {
	_, faults := m.plan()
	m.wantErr("flush", m.s.Flush(m.ctx), faults...)
}

func (m *modelSession) commit() {
	err := m.s.Commit(m.ctx)
	if len(m.saves) > 0 {
		m.wantErr("commit in a savepoint", err, userdata.ErrInvalid)
		return
	}
	slots, faults := m.plan()
	if faults == nil {
		for key, sl := range slots {
			now, ok := m.store[key]
			switch {
			case sl.remove != nil && (!ok || !now.equal(sl.remove.base)):
				faults = append(faults, userdata.ErrConflict)
			case sl.remove == nil && ok && m.absent[key]:
				faults = append(faults, userdata.ErrExists, userdata.ErrConflict)
			case sl.remove == nil && ok:
				faults = append(faults, userdata.ErrExists)
			}
		}
	}
	m.wantErr("commit", err, faults...)
	if faults == nil {
		m.settle(slots)
	}
	m.checkStore()
}

func (m *modelSession) settle(slots map[string]*modelSlot) {
	for key, sl := range slots {
		delete(m.store, key)
		if sl.remove != nil && sl.remove.state == userdata.Deleted {
			m.drop(sl.remove, userdata.Detached)
		}
	}
	for key, sl := range slots {
		if e := sl.put; e != nil {
			m.store[key] = e.cur.clone()
			e.state, e.key, e.base = userdata.Persistent, key, e.cur.clone()
		}
	}
	m.entries = slices.DeleteFunc(m.entries, func(e *modelEntry) bool { return e.hidden })
	m.begin()
}

// savepoint runs some actions in a savepoint that ends well, in an error or in a
// panic.
func (m *modelSession) savepoint() {
	if m.depth > 2 {
		panic(nothingToDo("deep enough"))
	}
	end := rapid.SampledFrom([]string{"nil", "error", "panic"}).Draw(m.t, "end")
	failure := errors.New("failure")
	save := &modelSave{}
	for _, e := range m.entries {
		was := *e
		was.cur = e.cur.clone()
		save.entries, save.was = append(save.entries, e), append(save.was, was)
	}
	m.saves = append(m.saves, save)
	run := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				if p != any(failure) {
					panic(p)
				}
				err = failure
			}
		}()
		return m.s.Savepoint(func() error {
			m.nested(rapid.IntRange(1, 5).Draw(m.t, "inner"))
			switch end {
			case "nil":
				return nil
			case "panic":
				panic(failure)
			}
			return failure
		})
	}
	if err := run(); (err == nil) != (end == "nil") || err != nil && err != failure {
		m.t.Fatalf("savepoint that ends in %s: got %v", end, err)
	}
	i := slices.Index(m.saves, save)
	if i < 0 {
		return // rolled back inside
	}
	m.saves = m.saves[:i]
	if end != "nil" {
		m.rollbackTo(save)
	}
}

func (m *modelSession) rollbackTo(save *modelSave) {
	for _, e := range slices.Clone(m.entries) {
		if !slices.Contains(save.entries, e) {
			m.restore(e)
		}
	}
	for i, e := range save.entries {
		was := save.was[i]
		if other := m.base(was.key); was.state != userdata.Pending && other != nil && other != e {
			m.drop(other, userdata.Detached)
		}
		if !slices.Contains(m.entries, e) {
			m.track(e)
		}
		e.state, e.key, e.base, e.cur, e.epoch = was.state, was.key, was.base, was.cur.clone(), was.epoch
	}
}
