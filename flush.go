package userdata

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"
)

// validator is what a record type may have, with a pointer receiver or not.
type validator interface{ Validate() error }

// A slot is what a commit does under one key: it removes one entry's record,
// puts another's, or both, which is an update. Two entries may share a slot: one
// is deleted or moves away, the other is added or moves here.
type slot struct {
	table  *table
	key    string
	remove *entry
	put    *entry
	value  []byte // of put; nil for a record at fault, which is placed to find the faults of others
}

// A flushed session is what a commit is going to write.
type flushed struct {
	slots   []*slot // by table and key
	changes *ChangeSet
	sources []any // of each change: a *slot or an *entryChange
}

// A flusher works out the net effect of what a session holds.
type flusher struct {
	list   []*slot // of one table: what its entries do, in their order, and then by key
	memory slab[slot]
	faults []error
}

// Flush finds what changed and checks it: sizes, UTF-8, keys, and the Validate
// method of records that have one (Validate() error, called once for each added
// or changed record, which it may mend). It writes nothing and keeps nothing:
// Commit flushes by itself, so Flush is for who wants to know the faults early.
//
// All faults of all records come in one error, joined; each is a
// [*RecordError] with table, key and column. They are [ErrInvalid], with
// what Validate returned in their chain; [ErrTooLarge] for a key, or for values
// in an index; [ErrExists] if two records of the session have one key, or the
// same values in a unique index. Other errors: [ErrReadOnly] in a View that changed
// something; [ErrClosed], [ErrConcurrentUse], the context's.
func (s *Session) Flush(ctx context.Context) error {
	if err := s.enter("flush"); err != nil {
		return err
	}
	defer s.leave()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("userdata: flush: %w", err)
	}
	_, err := s.flush("flush")
	return err
}

func (s *Session) flush(op string) (*flushed, error) {
	f, out := flusher{}, &flushed{}
	for _, t := range s.db.sorted() {
		if im := s.known(t); im != nil {
			f.list = nil
			im.touched(f.add)
			f.merge(im)
			out.slots = append(out.slots, f.list...)
		}
	}
	f.faults = append(f.faults, out.finish(s.version)...)
	if f.faults != nil {
		setOp(op, f.faults)
		return nil, errors.Join(f.faults...)
	}
	if s.snapshot != nil && len(out.slots) > 0 {
		return nil, fmt.Errorf("userdata: %s: a View is %w", op, ErrReadOnly)
	}
	return out, nil
}

// setOp says in errors about records what was being done.
func setOp(op string, errs []error) {
	for _, err := range errs {
		var re *RecordError
		if errors.As(err, &re) && re.Op == "" {
			re.Op = op
		}
	}
}

// slot adds a slot to the list.
func (f *flusher) slot(t *table, key string) *slot {
	sl := f.memory.next()
	sl.table, sl.key = t, key
	f.list = append(f.list, sl)
	return sl
}

// merge sorts the list by key, makes one slot of those that have the same, and finds
// records that are put where another one is or comes to be.
func (f *flusher) merge(im *identityMap) {
	sortByKey(f.list, func(sl *slot) string { return sl.key })
	kept := f.list[:0]
	for _, sl := range f.list {
		if n := len(kept); n > 0 && kept[n-1].key == sl.key {
			f.join(kept[n-1], sl)
		} else {
			kept = append(kept, sl)
		}
	}
	f.list = kept
	for _, sl := range kept {
		if sl.put != nil && sl.remove == nil && im.base.find(bytesOf(sl.key)) != nil {
			f.faults = append(f.faults, sl.put.fault("", fmt.Errorf("%w: another record of the session has this key", ErrExists)))
		}
	}
}

// join takes what a later slot of the same key does into the first one.
func (f *flusher) join(first, later *slot) {
	if later.remove != nil {
		first.remove = later.remove
	}
	switch {
	case later.put == nil:
	case first.put != nil:
		f.faults = append(f.faults, later.put.fault("", fmt.Errorf("%w: two records of the session have this key", ErrExists)))
	default:
		first.put, first.value = later.put, later.value
	}
}

// add works out what one entry does to the store.
func (f *flusher) add(e *entry) {
	t := e.im.table
	if e.state == Deleted {
		f.slot(t, e.key).remove = e
		return
	}
	unchanged := func() bool { return e.state == Persistent && !e.changed() }
	if unchanged() {
		return
	}
	if t.validates {
		if err := e.record().(validator).Validate(); err != nil {
			f.faults = append(f.faults, e.fault("", fmt.Errorf("%w: %w", ErrInvalid, err)))
		}
		if unchanged() {
			return
		}
	}
	enc := newEncoder()
	defer enc.free()
	key, faults := t.encode(enc, e.ptr)
	var value []byte
	if faults == nil {
		value = enc.bytes()
	}
	if faults = errors.Join(faults, t.checkSizes(e.ptr)); faults != nil {
		f.fault(e, faults)
	}
	if value == nil && t.keyFault(e.ptr) {
		f.leave(e)
		return
	}
	f.place(e, string(key), value)
}

// keyFault reports whether the key of the record at p can't be stored.
func (t *table) keyFault(p unsafe.Pointer) bool {
	_, errKey := t.keyOf(p)
	_, errColumn := t.key.codec.bytes(t.key.at(p))
	return errKey != nil || errColumn != nil
}

// fault notes what encode and checkSizes found wrong with an entry's columns.
func (f *flusher) fault(e *entry, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			f.fault(e, err)
		}
		return
	}
	re := e.fault("", err).(*RecordError)
	var inner *RecordError
	if errors.As(err, &inner) {
		re.Column, re.Err = inner.Column, inner.Err
	}
	f.faults = append(f.faults, re)
}

// place puts an entry's new value under its key, and takes away the old one.
func (f *flusher) place(e *entry, key string, value []byte) {
	if e.state == Persistent && e.key != key {
		f.leave(e)
	}
	to := f.slot(e.im.table, key)
	if to.put, to.value = e, value; e.state == Persistent && e.key == key {
		to.remove = e
	}
}

// leave takes away an entry's old value.
func (f *flusher) leave(e *entry) {
	if e.state == Persistent {
		f.slot(e.im.table, e.key).remove = e
	}
}

// checkSizes returns what is too long in the record at p, one error a column.
func (t *table) checkSizes(p unsafe.Pointer) error {
	var faults []error
	for _, c := range t.columns {
		if c.size == 0 {
			continue
		}
		if n, unit := c.length(c.at(p)); n > c.size {
			faults = append(faults, &RecordError{Table: t.name, Column: c.name, Err: invalidf("%d %s, at most %d", n, unit, c.size)})
		}
	}
	return errors.Join(faults...)
}

// length returns how long the value at p, text or bytes, is in its unit.
func (c *column) length(p unsafe.Pointer) (n int, unit string) {
	if c.nullable {
		if isNil(p) {
			return 0, ""
		}
		p = *(*unsafe.Pointer)(p)
	}
	if strings.HasSuffix(c.codec.name, "string") {
		return utf8.RuneCountInString(*(*string)(p)), "runes"
	}
	return len(*(*[]byte)(p)), "bytes"
}

// A bucketNet is what a commit does in one bucket, by key: in that of a table, or in that of an
// index.
type bucketNet struct {
	bucket  string
	slots   []*slot
	entries []*entryChange
}

// finish makes the change set, and returns the faults that it finds in indexes: with
// any, the change set is not to be applied.
func (f *flushed) finish(version uint64) (faults []error) {
	var groups []bucketNet
	for rest := f.slots; len(rest) > 0; {
		t, n := rest[0].table, 1
		for n < len(rest) && rest[n].table == t {
			n++
		}
		groups = append(groups, bucketNet{bucket: t.name, slots: rest[:n]})
		indexes := reindexer{lists: make([][]*entryChange, len(t.indexes))}
		indexes.addAll(t, rest[:n])
		for i, x := range t.indexes {
			groups = append(groups, bucketNet{bucket: x.bucket, entries: indexes.net(i)})
		}
		faults = append(faults, indexes.faults...)
		rest = rest[n:]
	}
	slices.SortFunc(groups, func(a, b bucketNet) int { return strings.Compare(a.bucket, b.bucket) })
	count := 0
	for _, g := range groups {
		count += len(g.slots) + len(g.entries)
	}
	f.changes = &ChangeSet{Changes: make([]Change, 0, count), Version: version}
	f.sources = make([]any, 0, count)
	for _, g := range groups {
		for _, sl := range g.slots {
			f.add(sl.change(), sl)
		}
		for _, c := range g.entries {
			if ch, needed := c.change(); needed {
				f.add(ch, c)
			}
		}
	}
	return faults
}

// change returns the change to the store.
func (sl *slot) change() Change {
	ch := Change{Bucket: sl.table.name, Key: bytesOf(sl.key), Expect: ExpectNothing}
	if sl.remove != nil {
		ch.Expect, ch.Before = ExpectBytes, bytesOf(sl.remove.baseline)
	}
	if sl.put != nil {
		ch.Value = sl.value
	}
	return ch
}

func (f *flushed) add(ch Change, source any) {
	f.changes.Changes = append(f.changes.Changes, ch)
	f.sources = append(f.sources, source)
}

// Commit flushes, and writes everything that changed since the last commit in
// one transaction of the store: when it returns nil, all of it is durable.
// If nothing changed it touches nothing. Records stay tracked and readable.
//
// If it returns an error, nothing was written, and the session holds what it
// held: mend and commit again, or Rollback. Errors besides those of
// [Session.Flush]: [ErrConflict] if a record that it changes or deletes is no
// longer what the session read, or, in a Serializable session, anything is;
// [ErrExists] if the store has a record under the key of an added one, which is
// also an ErrConflict if a Get of this session has found none there, or if it
// has a record with the same values in a unique index; the error names it. What
// counts is the net effect: two records may swap a unique value. Conflicts
// of several records are joined; each is a [*RecordError] with what was read,
// what is wanted and what is there now. To let theirs win, Refresh the record;
// to let mine win, Refresh it and change it again. Further: [ErrReadOnly],
// [ErrInvalid] inside Transact or Savepoint, the context's if it ends before
// the write begins.
func (s *Session) Commit(ctx context.Context) error { return s.commit(ctx, false) }

// commit is Commit, also for Transact, which alone commits the sessions that it
// manages.
func (s *Session) commit(ctx context.Context, byTransact bool) error {
	if err := s.enter("commit"); err != nil {
		return err
	}
	defer s.leave()
	switch {
	case s.managed && !byTransact:
		return fmt.Errorf("userdata: commit: %w", invalidf("Transact commits by itself when its function returns nil"))
	case len(s.saves) > 0:
		return fmt.Errorf("userdata: commit: %w", invalidf("inside a Savepoint"))
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("userdata: commit: %w", err)
	}
	f, err := s.flush("commit")
	if err != nil {
		return err
	}
	if s.marked(misusedSession) {
		return fmt.Errorf("userdata: commit: %w", ErrConcurrentUse)
	}
	start := time.Now()
	if len(f.slots) > 0 {
		s.db.echoChanges(ctx, f)
		if err = s.db.store.Apply(ctx, f.changes); err != nil {
			err = s.explain(f, err)
		}
	}
	if err == nil {
		s.settle(f) // before anything of the program's runs, such as its logger
	}
	if len(f.slots) > 0 {
		s.db.echoCommit(ctx, f, start, err)
	}
	return err
}

// settle makes the session's entries what the store has after a commit.
func (s *Session) settle(f *flushed) {
	for _, sl := range f.slots { // first out, then in: keys may have been swapped
		e := sl.remove
		if e == nil {
			continue
		}
		if sl.put == e && sl.key == e.key {
			continue // it stays where it is
		}
		e.im.base.remove(e)
		if e.state == Deleted {
			s.detach(e)
		}
	}
	for _, sl := range f.slots {
		if e := sl.put; e != nil {
			e.state, e.key, e.baseline = Persistent, sl.key, lentText(sl.value)
			if sl.remove != e {
				e.im.base.add(e)
			}
		}
	}
	for _, e := range s.hidden {
		if e.hidden {
			s.forget(e)
		}
	}
	s.hidden = nil
	for _, sl := range f.slots {
		if e := sl.put; e != nil && !e.hidden {
			e.im.rekeyEntry(e)
		}
	}
	s.begin()
}

// begin starts the session's next transaction: what it read may be old now.
func (s *Session) begin() {
	s.epoch++
	s.version = 0
	s.absent = nil
}

// explain turns a store's refusal into errors about records.
func (s *Session) explain(f *flushed, err error) error {
	ce, ok := isConflict(err)
	if !ok {
		return err
	}
	if len(ce.Conflicts) == 0 {
		return fmt.Errorf("userdata: commit of a serializable session: the store was %w", ErrConflict)
	}
	var faults, damage []error
	for _, c := range ce.Conflicts {
		switch source := f.sources[c.Change].(type) {
		case *slot:
			faults = append(faults, s.conflict(source, c.Found))
		case *entryChange:
			err := source.explain(c.Found)
			if errors.Is(err, ErrCorrupt) {
				damage = append(damage, err)
			} else {
				faults = append(faults, err)
			}
		}
	}
	if faults == nil { // else an index differs because a record does
		faults = damage
	}
	setOp("commit", faults)
	return errors.Join(faults...)
}

// conflict describes what stands under a slot's key in place of what was expected.
func (s *Session) conflict(sl *slot, found []byte) error {
	t := sl.table
	re := &RecordError{Op: "commit", Table: t.name, Key: t.keyValue([]byte(sl.key))}
	decode := func(value []byte) any {
		if value == nil {
			return nil
		}
		p := t.newRecord()
		if err := t.decode([]byte(sl.key), value, p); err != nil {
			re.Err = err
			return nil
		}
		return t.interfaceTo(p)
	}
	switch {
	case sl.put != nil:
		re.Mine = t.interfaceTo(t.clone(sl.put.ptr))
	case sl.remove.live(): // it moved to another key
		re.Mine = t.interfaceTo(t.clone(sl.remove.ptr))
	}
	re.Theirs = decode(found)
	cause := error(ErrExists)
	if sl.remove != nil {
		re.Base = decode(bytesOf(sl.remove.baseline))
		cause = t.conflictCause(bytesOf(sl.remove.baseline), sl.key, found)
	} else if _, looked := s.absent[absence{t, sl.key}]; looked {
		cause = fmt.Errorf("%w: %w", ErrExists, ErrConflict)
	}
	if re.Err != nil {
		cause = fmt.Errorf("%w; what is there can't be read: %w", cause, re.Err)
	}
	re.Err = cause
	return re
}

// conflictCause says what others did to a record.
func (t *table) conflictCause(baseline []byte, key string, found []byte) error {
	if found == nil {
		return fmt.Errorf("%w: it was deleted", ErrConflict)
	}
	was, err1 := t.open([]byte(key), baseline)
	is, err2 := t.open([]byte(key), found)
	if err1 != nil || err2 != nil {
		return ErrConflict
	}
	var names []string
	for _, c := range t.columns {
		if !bytes.Equal(was.columns[c.place], is.columns[c.place]) {
			names = append(names, c.name)
		}
	}
	return fmt.Errorf("%w: %s", ErrConflict, strings.Join(names, ", "))
}
