package userdata

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync/atomic"
	"time"
)

// A Session is a unit of work: it tracks the records that a program adds and
// reads, notices what the program changes in them, and writes all of it in one
// transaction when it is committed. It holds one pointer for one table and key.
//
// A Session holds no transaction, lock or other resource between calls, so it
// may live as long as the program likes. It is not safe for concurrent use:
// calls from a second goroutine, or from functions that the session calls,
// return [ErrConcurrentUse] and do nothing. Those that have no error to return
// (Rollback, Expunge, State, Changes) do nothing either and leave a mark: the
// calls after them return ErrConcurrentUse until a Rollback is made undisturbed.
type Session struct {
	db    *DB
	calls turnstile
	marks atomic.Uint32 // closedSession and misusedSession, if it is

	// What options say is not in the unit of work: a program may call one at any time.
	managed      bool // by Transact, which commits
	serializable bool

	*unitOfWork         // nil if it was given back
	had         pointer // then: the record that it had, if any
}

// The marks of a session.
const (
	closedSession  uint32 = 1 << iota
	misusedSession        // a call without an error met another
)

// marked reports whether the session has one of the marks.
func (s *Session) marked(marks uint32) bool { return s.marks.Load()&marks != 0 }

// A SessionOption is an option of [DB.NewSession].
type SessionOption func(*Session)

// Serializable makes a session commit only if nobody else has committed since
// its first read after the last commit or rollback. A read that would see
// another state than that first one returns [ErrConflict] at once.
func Serializable(s *Session) { s.serializable = true }

// NewSession returns a session with nothing in it. Close it when it is done: that holds no
// resources, but the next session may use its memory then.
func (db *DB) NewSession(opts ...SessionOption) *Session {
	s := &Session{db: db, unitOfWork: newUnitOfWork()}
	for _, o := range opts {
		o(s)
	}
	return s
}

// enter begins a call, which must end with leave.
func (s *Session) enter(op string) error {
	if !s.calls.enter() {
		return fmt.Errorf("userdata: %s: %w", op, ErrConcurrentUse)
	}
	switch {
	case !s.marked(closedSession|misusedSession) && !s.torn:
		return nil
	case s.marked(closedSession):
		s.leave()
		return fmt.Errorf("userdata: %s: session is %w", op, ErrClosed)
	}
	s.leave()
	return fmt.Errorf("userdata: %s: %w: an earlier call met another, or a panic, and was not carried out; call Rollback", op, ErrConcurrentUse)
}

func (s *Session) leave() { s.calls.leave() }

// enterQuietly begins a call that can't return an error, and reports whether it
// may go on. If so it must end with leave.
func (s *Session) enterQuietly() bool {
	if !s.calls.enter() {
		s.marks.Or(misusedSession)
		return false
	}
	return true
}

// recordOf returns the pointer to a record that a caller hands in.
func (s *Session) recordOf(op string, record any) (pointer, error) {
	v := reflect.ValueOf(record)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return pointer{}, &RecordError{Op: op, Err: invalidf("%T is not a pointer to a record", record)}
	}
	t := s.db.types[v.Type().Elem()]
	if t == nil {
		return pointer{}, &RecordError{Op: op, Err: invalidf("%s is not the type of a table that was given to Open", v.Type().Elem())}
	}
	return pointer{t, v.UnsafePointer()}, nil
}

// fault returns an error about a tracked record.
func (e *entry) fault(op string, err error) error {
	key := e.currentKey()
	if key == "" {
		key = e.key
	}
	re := &RecordError{Op: op, Table: e.im.table.name, Err: err}
	if key != "" {
		re.Key = e.im.table.keyValue([]byte(key))
	}
	return re
}

// Add makes the records pending: this session's queries see them, and Commit
// writes them. Each is a pointer to a struct of a table's type. The values are
// not looked at before they are flushed, so a record may be filled in later.
// Adding a record that the session has already changes nothing, but takes back
// its Delete.
//
// If one of the records can't be added, none is. Errors: [ErrInvalid] if one is
// not a pointer to a table's type; [ErrExists] if the session tracks another
// pointer under the same key; [ErrReadOnly] in a View; [ErrClosed],
// [ErrConcurrentUse]. That the store has the key already shows at Commit.
func (s *Session) Add(records ...any) error {
	if err := s.enter("add"); err != nil {
		return err
	}
	defer s.leave()
	if s.pointers == nil {
		s.mapPointers(len(records))
	}
	done := make([]addition, 0, len(records))
	for i, r := range records {
		a, err := s.add(r, len(records)-i)
		if err != nil {
			for _, a := range done {
				a.undo(s, a.entry)
			}
			return err
		}
		if a.entry != nil {
			done = append(done, a)
		}
	}
	return nil
}

// An addition is an entry that add has changed, or nil, and what takes that back.
type addition struct {
	entry *entry
	undo  func(*Session, *entry)
}

// add adds one record, the first of so many.
func (s *Session) add(record any, of int) (a addition, err error) {
	p, err := s.recordOf("add", record)
	if err != nil {
		return a, err
	}
	t := p.table
	if s.snapshot != nil {
		return a, &RecordError{Op: "add", Table: t.name, Err: ErrReadOnly}
	}
	im := s.identity(t)
	known := s.entryOf(p)
	if known != nil && known.live() {
		return a, nil
	}
	key, err := t.keyOf(p.ptr)
	if err == nil && im.holds(key) {
		return a, t.recordError("add", key, "", fmt.Errorf("%w: the session holds another record under this key", ErrExists))
	}
	if known != nil {
		known.state = Persistent
		im.checked = 0 // nobody compared it while it was deleted
		im.rekeyEntry(known)
		return addition{known, (*Session).markDeleted}, nil
	}
	drop := (*Session).forget
	if s.wasDetached(p) {
		drop = (*Session).detach
	}
	if im.moved == nil {
		im.moved = make(map[string]*entry, of)
	}
	e := s.entries.next()
	*e = entry{ptr: p.ptr, state: Pending}
	s.track(im, e)
	return addition{e, drop}, nil
}

// track takes an entry into the session.
func (s *Session) track(im *identityMap, e *entry) {
	e.epoch = s.epoch
	im.insert(e)
	if e.hidden {
		s.hidden = append(s.hidden, e)
	} else {
		s.handOut(e)
	}
}

// trackRuns is track for records that a scan found.
func (s *Session) trackRuns(im *identityMap, runs []recordRun) {
	for i := range runs {
		runs[i].epoch = s.epoch
	}
	if s.pointers == nil && len(s.detached) == 0 {
		im.insertRuns(runs)
		return
	}
	im.list()
	im.compactIfSparse()
	known := len(im.entries)
	im.insertRuns(runs)
	for _, e := range im.list()[known:] {
		s.handOut(e)
	}
}

// reserve makes room for n more records, if that is more than growing by and by
// would: half of what tracking costs is the growing.
func (s *Session) reserve(t *table, n int) {
	im := s.identity(t)
	if n <= im.count {
		return
	}
	im.entries = slices.Grow(im.entries, n)
	if s.pointers != nil && n > 1024 {
		pointers := make(map[pointer]*entry, len(s.pointers)+n)
		maps.Copy(pointers, s.pointers)
		s.pointers = pointers
	}
}

// handOut notes that the program gets a pointer to the record.
func (s *Session) handOut(e *entry) {
	e.hidden = false
	if s.pointers != nil {
		s.pointers[e.pointer()] = e
	}
	if len(s.detached) > 0 {
		delete(s.detached, e.pointer().weak())
	}
}

// forget drops an entry from the session.
func (s *Session) forget(e *entry) {
	e.im.remove(e)
	delete(s.pointers, e.pointer())
}

// detach drops an entry whose record State will call detached.
func (s *Session) detach(e *entry) {
	s.forget(e)
	if e.hidden {
		return
	}
	if s.detached == nil {
		s.detached, s.prune = map[weakPointer]struct{}{}, 1024
	}
	if len(s.detached) >= s.prune {
		maps.DeleteFunc(s.detached, func(p weakPointer, _ struct{}) bool { return p.ptr.Value() == nil })
		s.prune = max(1024, 2*len(s.detached))
	}
	s.detached[e.pointer().weak()] = struct{}{}
}

// wasDetached reports whether State calls a record detached.
func (s *Session) wasDetached(p pointer) bool {
	if len(s.detached) == 0 { // a weak pointer is dear
		return false
	}
	_, was := s.detached[p.weak()]
	return was
}

// markDeleted marks a persistent entry to be deleted.
func (s *Session) markDeleted(e *entry) {
	e.im.unmove(e)
	e.state = Deleted
}

// Delete marks the records to be deleted by the next Commit. A pending record is
// simply forgotten. Each must be in the session: a pointer that Get or a query
// returned, or that was added.
//
// If one of the records can't be marked, none is. Errors: [ErrNotFound] if the
// session does not have the record; [ErrInvalid] if it is not a pointer to a
// table's type; [ErrReadOnly] in a View; [ErrClosed], [ErrConcurrentUse].
func (s *Session) Delete(records ...any) error {
	if err := s.enter("delete"); err != nil {
		return err
	}
	defer s.leave()
	entries, err := s.entriesOf("delete", records)
	if err != nil {
		return err
	}
	if s.snapshot != nil {
		return fmt.Errorf("userdata: delete: a View is %w", ErrReadOnly)
	}
	for _, e := range entries {
		s.delete(e)
	}
	return nil
}

// delete marks or forgets one entry.
func (s *Session) delete(e *entry) {
	if e.state != Pending {
		s.markDeleted(e)
	} else if s.entryOf(e.pointer()) == e { // else it came twice in one call
		s.forget(e)
	}
}

// entriesOf returns the entries of records that must be in the session.
func (s *Session) entriesOf(op string, records []any) ([]*entry, error) {
	entries := make([]*entry, 0, len(records))
	for _, r := range records {
		p, err := s.recordOf(op, r)
		if err != nil {
			return nil, err
		}
		e := s.entryOf(p)
		if e == nil {
			key, keyErr := p.table.keyOf(p.ptr)
			err := &RecordError{Op: op, Table: p.table.name, Err: fmt.Errorf("%w in this session: Get or query the record first, and use the pointer that it returns", ErrNotFound)}
			if keyErr == nil {
				err.Key = p.table.keyValue(key)
			}
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// read runs fn on a snapshot: that of the View, or one of its own.
func (s *Session) read(ctx context.Context, fn func(Snapshot) error) error {
	check := fn
	if s.serializable {
		check = func(snap Snapshot) error {
			if s.version == 0 {
				s.version = snap.Version()
			}
			if s.version != snap.Version() {
				return fmt.Errorf("userdata: read in a serializable session: the store was %w", ErrConflict)
			}
			return fn(snap)
		}
	}
	switch {
	case s.snapshot == nil:
		return s.db.store.View(ctx, check)
	case s.marked(closedSession): // the View ended while this call was under way
		return fmt.Errorf("userdata: read: session is %w", ErrClosed)
	case ctx.Err() != nil:
		return fmt.Errorf("userdata: read: %w", ctx.Err())
	}
	return check(s.snapshot)
}

// get returns the live entry under the key, reading it if the session does not
// have it, or nil if there is none.
func (s *Session) get(ctx context.Context, t *table, key []byte) (*entry, error) {
	if key == nil { // one that no record can have
		return nil, nil
	}
	im := s.identity(t)
	e, has := im.lookup(key)
	if e != nil && (e.state == Pending || e.epoch == s.epoch) {
		return e, nil
	}
	if e == nil && has != nil { // deleted, or moved to another key
		return im.search(key), nil
	}
	stored := key
	if e != nil {
		stored = []byte(e.key)
	}
	own, value, err := s.readValue(ctx, t, stored)
	if err != nil {
		return nil, err
	}
	switch {
	case e != nil:
		e, err = s.refreshed(e, value)
	case value != nil:
		e, err = s.load(im, own, value)
	}
	if e == nil && err == nil { // not in the store, but another record's key may have been changed to it
		if e = im.search(key); e == nil {
			s.noteAbsent(t, string(key))
		}
	}
	return e, err
}

// readValue returns copies of the key and of what the store has under it, nil for nothing.
func (s *Session) readValue(ctx context.Context, t *table, key []byte) (own, value []byte, err error) {
	var start time.Time
	echoes := s.db.echoes(ctx)
	if echoes {
		start = time.Now()
	}
	if store, plain := s.db.store.(*BoltStore); plain && s.snapshot == nil && !s.serializable {
		own, value, err = store.valueCopy(ctx, t.name, key, &s.reading)
	} else {
		own, value, err = s.readCopy(ctx, t, key)
	}
	if err == nil && echoes {
		s.db.echoGet(ctx, t, key, value, start)
	}
	return own, value, err
}

// readCopy is readValue in the session's own way to read.
func (s *Session) readCopy(ctx context.Context, t *table, key []byte) (own, value []byte, err error) {
	err = s.read(ctx, func(snap Snapshot) (err error) {
		own, value, err = copyValue(snap, t.name, key, &s.reading)
		return err
	})
	return own, value, err
}

// noteAbsent remembers that the key was looked for and not found.
func (s *Session) noteAbsent(t *table, key string) {
	if s.absent == nil {
		s.absent = map[absence]struct{}{}
	}
	s.absent[absence{t, key}] = struct{}{}
}

// load decodes what readValue returned, which it keeps, and tracks the record.
func (s *Session) load(im *identityMap, key, value []byte) (*entry, error) {
	p := s.reading.newRecord(im.table, len(key)+len(value))
	if err := im.table.decodeOwn(key, value, p); err != nil {
		return nil, err
	}
	e := s.entries.next()
	*e = entry{ptr: p, state: Persistent, key: lentText(key), baseline: lentText(value)}
	if im.table.keyCodec.text {
		e.key = *(*string)(im.table.key.at(p)) // the same, and what it is compared with when it is looked up
	}
	s.track(im, e)
	return e, nil
}

// refreshed brings an entry up to date with what the store has now: value, or
// nil. A record that the session has changed stays as it is; the commit will
// tell. It returns nil if the record is gone.
func (s *Session) refreshed(e *entry, value []byte) (*entry, error) {
	switch {
	case string(value) == e.baseline:
	case e.changed():
	case value == nil:
		s.detach(e)
		return nil, nil
	default:
		if err := e.load(value); err != nil {
			return nil, err
		}
	}
	e.epoch = s.epoch
	return e, nil
}

// Refresh reads the record again and makes it, in place, what the store has. What
// the session changed in it is lost. A record that is marked to be deleted stays
// so. Errors: [ErrNotFound] if it is not in the session or no longer in the
// store; [ErrInvalid] if it is pending; [ErrCorrupt], [ErrClosed],
// [ErrConcurrentUse], the context's.
func (s *Session) Refresh(ctx context.Context, record any) error {
	if err := s.enter("refresh"); err != nil {
		return err
	}
	defer s.leave()
	entries, err := s.entriesOf("refresh", []any{record})
	if err != nil {
		return err
	}
	e := entries[0]
	if e.state == Pending {
		return e.fault("refresh", invalidf("the record was never committed"))
	}
	_, value, err := s.readValue(ctx, e.im.table, []byte(e.key))
	if err != nil {
		return err
	}
	if value == nil {
		return e.im.table.recordError("refresh", []byte(e.key), "", ErrNotFound)
	}
	if err := e.load(value); err != nil {
		return err
	}
	e.epoch = s.epoch
	e.im.rekeyEntry(e)
	return nil
}

// Expunge takes records out of the session, with what was changed in them: they
// are detached. Those that the session does not have are passed over.
func (s *Session) Expunge(records ...any) {
	if !s.enterQuietly() {
		return
	}
	defer s.leave()
	if s.marked(closedSession) {
		return
	}
	for _, r := range records {
		if p, err := s.recordOf("expunge", r); err == nil {
			if e := s.entryOf(p); e != nil {
				s.detach(e)
			}
		}
	}
}

// State reports where a record stands in this session.
func (s *Session) State(record any) State {
	p, err := s.recordOf("state", record)
	if err != nil || !s.enterQuietly() {
		return Transient
	}
	defer s.leave()
	if s.unitOfWork == nil {
		if p == s.had {
			return Detached
		}
		return Transient
	}
	if e := s.entryOf(p); e != nil {
		if s.marked(closedSession) {
			return Detached
		}
		return e.state
	}
	if s.wasDetached(p) {
		return Detached
	}
	return Transient
}

// Close forgets what was not committed, and every record: they stay readable.
// A second Close does nothing. It returns [ErrConcurrentUse] if another call is
// under way.
func (s *Session) Close() error {
	if !s.calls.enter() {
		return fmt.Errorf("userdata: close session: %w", ErrConcurrentUse)
	}
	defer s.leave()
	s.marks.Or(closedSession)
	if s.unitOfWork != nil { // or it was closed before
		s.saves, s.absent, s.hidden = nil, nil, nil
		s.giveBack()
	}
	return nil
}

// end closes a session whose function has returned, even if a goroutine that
// the function left behind is in a call: that is its last one.
func (s *Session) end() {
	s.marks.Or(closedSession)
	s.Close()
}
