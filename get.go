package userdata

import (
	"context"
	"errors"
	"unsafe"
)

// Get returns the record under the key: the session's own if it tracks it, with
// whatever was changed in it, and else the store's. The key is of the key
// column's type, or one of the same kind. The first Get of a record after a
// commit or rollback looks whether others have changed it.
//
// Records of up to 250 bytes as stored lie side by side in blocks of 1 KB, also if each is got in a
// session of its own: who keeps one keeps what the others in its block have. So they can't be given
// to runtime.SetFinalizer.
//
// Errors: [ErrNotFound]; [ErrInvalid] if the key is of another type;
// [ErrCorrupt]; [ErrConflict] in a Serializable session; [ErrClosed],
// [ErrConcurrentUse], the context's. Getting a tracked record reads nothing.
func (t *Table[T]) Get(ctx context.Context, s *Session, key any) (*T, error) {
	if err := s.enter("get"); err != nil {
		return nil, err
	}
	defer s.leave()
	s.gets++
	own, err := s.db.declared(&t.declaration)
	if err != nil {
		return nil, err
	}
	encoded, err := own.keyFrom(s.key[:0], key)
	if err != nil {
		return nil, &RecordError{Op: "get", Table: t.name, Err: err}
	}
	if encoded != nil {
		s.key = encoded
	}
	e, err := s.get(ctx, own, encoded)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, &RecordError{Op: "get", Table: t.name, Key: copyKey(key), Err: ErrNotFound}
	}
	return (*T)(s.show(e)), nil
}

// show returns the address of a record for the program to have.
func (s *Session) show(e *entry) unsafe.Pointer {
	if e.hidden {
		s.handOut(e)
	}
	return e.ptr
}

// Merge copies a record, typically a detached one, onto the session's record of
// the same key, which it reads if it has to, and returns that. If there is none
// it adds a copy. The given record is not tracked, unless it was already. What
// others have written since the record was read is overwritten: Merge compares
// nothing. Errors are those of [Table.Get] and [Session.Add].
func (t *Table[T]) Merge(ctx context.Context, s *Session, record *T) (*T, error) {
	if err := s.enter("merge"); err != nil {
		return nil, err
	}
	defer s.leave()
	own, err := s.db.declared(&t.declaration)
	if err != nil {
		return nil, err
	}
	if record == nil {
		return nil, &RecordError{Op: "merge", Table: t.name, Err: invalidf("the record is nil")}
	}
	if s.snapshot != nil {
		return nil, &RecordError{Op: "merge", Table: t.name, Err: ErrReadOnly}
	}
	p := pointer{own, unsafe.Pointer(record)}
	if e := s.entryOf(p); e != nil && e.live() {
		return record, nil
	}
	key, err := own.keyOf(p.ptr)
	if err != nil {
		return nil, &RecordError{Op: "merge", Table: t.name, Column: own.key.name, Err: errors.Unwrap(err)}
	}
	e, err := s.get(ctx, own, key)
	if err != nil {
		return nil, err
	}
	copied := own.clone(p.ptr)
	if e == nil {
		e = &entry{ptr: copied, state: Pending}
		s.track(s.identity(own), e)
	} else {
		own.assign(e.ptr, copied)
	}
	return (*T)(s.show(e)), nil
}
