package userdata

import (
	"context"
	"errors"
	"iter"
	"reflect"
	"unsafe"
)

// Rollback forgets what was not committed: added records leave the session,
// changed ones get back, in place, what was last read or committed, and deletes
// are taken back. Pointers stay valid. It touches no store. Inside a Savepoint
// it undoes what was done before that, too, and ends it: what follows is no
// longer undone with it.
func (s *Session) Rollback() {
	if !s.enterQuietly() {
		return
	}
	defer s.leave()
	s.marks.And(^misusedSession)
	if s.marked(closedSession) {
		return
	}
	s.torn = true // until all is done: marshalers are the program's, and may panic
	for _, im := range s.tables {
		im.touched(s.restore)
		im.rekeyEntries()
	}
	s.saves, s.hidden, s.torn = nil, nil, false
	s.begin()
	s.db.echo(context.Background(), "ROLLBACK")
}

// restore undoes what was done to an entry since its baseline.
func (s *Session) restore(e *entry) {
	if e.state == Pending || e.hidden {
		s.forget(e)
		return
	}
	e.state = Persistent
	if e.changed() && e.load(bytesOf(e.baseline)) != nil {
		// The baseline was readable once, so a marshaler of the program's refuses
		// what it wrote itself. The record can't be trusted: let it go.
		s.detach(e)
	}
}

// A savepoint remembers what a session held when Savepoint was called.
type savepoint struct{ saved []savedEntry }

// A savedEntry is an entry as it was.
type savedEntry struct {
	*entry
	was    entry
	values unsafe.Pointer // a clone of the record; nil if it equalled its baseline
}

// Savepoint runs fn, and undoes what it did to the session's records if it
// returns an error or panics: they are, in place, what they were before. The
// error is returned as it is, and the panic goes on. SQLAlchemy's word is
// begin_nested. Savepoints may be nested. Nothing is written; fn must not
// commit, which returns [ErrInvalid].
//
// Errors of its own: [ErrClosed]; [ErrConcurrentUse], also if another call is
// under way when fn returns: then nothing is undone before a Rollback, and no
// call goes through.
func (s *Session) Savepoint(fn func() error) (err error) {
	sp, err := s.save()
	if err != nil {
		return err
	}
	kept := false
	defer func() {
		if cerr := s.endSavepoint(sp, kept); cerr != nil && err == nil {
			err = cerr
		}
	}()
	err = fn()
	kept = err == nil
	return err
}

func (s *Session) save() (*savepoint, error) {
	if err := s.enter("savepoint"); err != nil {
		return nil, err
	}
	defer s.leave()
	sp := &savepoint{}
	for _, im := range s.tables {
		for _, e := range im.list() {
			if e == nil {
				continue
			}
			saved := savedEntry{entry: e, was: *e}
			if e.ptr != nil && (e.state == Pending || e.changed()) {
				saved.values = im.table.clone(e.ptr)
			}
			sp.saved = append(sp.saved, saved)
		}
	}
	s.saves = append(s.saves, sp)
	return sp, nil
}

// endSavepoint closes a savepoint and those inside it, and goes back to it
// unless what was done is kept.
func (s *Session) endSavepoint(sp *savepoint, kept bool) error {
	if err := s.enter("savepoint"); err != nil {
		if errors.Is(err, ErrConcurrentUse) {
			s.marks.Or(misusedSession)
		}
		return err
	}
	defer s.leave()
	for i, open := range s.saves {
		if open == sp {
			s.saves = s.saves[:i]
			if !kept {
				s.rollbackTo(sp)
			}
			break
		}
	}
	return nil
}

func (s *Session) rollbackTo(sp *savepoint) {
	s.torn = true // until all is done, as in Rollback
	before := map[*entry]bool{}
	for _, saved := range sp.saved {
		before[saved.entry] = true
	}
	for _, im := range s.tables {
		im.all(func(e *entry) {
			if !before[e] {
				s.restore(e)
			}
		})
	}
	for _, saved := range sp.saved {
		s.restoreSaved(saved)
	}
	for _, im := range s.tables {
		im.rekey()
		im.checked = 0 // what is back may not have been compared with the store
	}
	s.torn = false
	s.db.echo(context.Background(), "ROLLBACK TO SAVEPOINT")
}

// restoreSaved makes an entry and its record what they were.
func (s *Session) restoreSaved(saved savedEntry) {
	e, t := saved.entry, saved.im.table
	if other := e.im.base.find(bytesOf(saved.was.key)); other != nil && other != e {
		s.detach(other) // fn expunged the record and read it again
	}
	e.state, e.key, e.baseline = saved.was.state, saved.was.key, saved.was.baseline
	if !e.tracked() {
		e.im.moves++     // it is at another place than before
		s.track(e.im, e) // fn took it out of the session
	}
	e.epoch = saved.was.epoch
	switch {
	case saved.values != nil:
		t.assign(e.ptr, saved.values)
	case e.ptr != nil && e.changed():
		if e.load(bytesOf(e.baseline)) != nil {
			s.detach(e)
		}
	}
}

// A RecordChange is what a session would do to one record if it were committed.
type RecordChange struct {
	Table   string
	Key     any   // the key's value; nil if an added record has no valid one yet
	State   State // Pending, Persistent (a change) or Deleted
	Columns []ColumnChange
}

// A ColumnChange is a column's value before and after. They are copies of the
// column's type. Old is nil for an added record, New for a deleted one.
type ColumnChange struct {
	Column   string
	Old, New any
}

// Changes returns what a commit would write: added and changed records with the
// columns that differ, and deleted ones, in no order that holds. It validates nothing.
// The loop's body may use the session; changes that it makes are not seen. In SQLAlchemy
// this is session.new, dirty and deleted with the attributes' history.
func (s *Session) Changes() iter.Seq[RecordChange] {
	return func(yield func(RecordChange) bool) {
		for _, c := range s.collectChanges() {
			if !yield(c) {
				return
			}
		}
	}
}

func (s *Session) collectChanges() []RecordChange {
	if !s.enterQuietly() {
		return nil
	}
	defer s.leave()
	if s.marked(closedSession) {
		return nil
	}
	var out []RecordChange
	for _, t := range s.db.sorted() {
		if im := s.known(t); im != nil {
			im.touched(func(e *entry) {
				if c := e.change(); len(c.Columns) > 0 {
					out = append(out, c)
				}
			})
		}
	}
	return out
}

// change compares an entry with its baseline, column by column.
func (e *entry) change() RecordChange {
	t := e.im.table
	c := RecordChange{Table: t.name, State: e.state}
	if key := e.key; key != "" {
		c.Key = t.keyValue([]byte(key))
	} else if key = e.currentKey(); key != "" {
		c.Key = t.keyValue([]byte(key))
	}
	var old unsafe.Pointer
	if e.state != Pending {
		if e.state == Persistent && !e.changed() {
			return c
		}
		old = t.newRecord()
		if t.decode([]byte(e.key), bytesOf(e.baseline), old) != nil {
			return c
		}
	}
	for _, col := range t.columns {
		cc := ColumnChange{Column: col.name}
		if old != nil {
			cc.Old = col.codec.value(col.at(old))
		}
		if e.state != Deleted {
			cc.New = col.codec.value(col.at(e.ptr))
		}
		if old == nil || e.state == Deleted || !col.equal(col.at(old), col.at(e.ptr)) {
			c.Columns = append(c.Columns, cc)
		}
	}
	return c
}

// equal reports whether two values of the column are stored as the same bytes.
func (c *column) equal(a, b unsafe.Pointer) bool {
	e := newEncoder()
	defer e.free()
	x, ok := c.codec.append(e.buf.AvailableBuffer(), a, 0)
	return ok && c.codec.match(x, b) == len(x)
}

// interfaceTo returns the record at p as the program knows it: a *T.
func (t *table) interfaceTo(p unsafe.Pointer) any { return reflect.NewAt(t.typ, p).Interface() }
