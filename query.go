package userdata

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"unsafe"
)

// A Query asks a session for records of type T. It is an immutable value: each
// step returns a new one, so that a query can be kept and refined in several
// ways. It is as safe for concurrent use as its session.
//
// Its answers are what the store holds with the session's own pending changes
// laid over: added and changed records appear where they belong now, deleted
// ones do not. A record that the session tracks is answered with the session's
// pointer and judged by the values that it has in memory; the others are tracked
// from then on, unless the query is Untracked. The first query after a commit or
// rollback brings tracked records up to date, in place, where others have
// changed them and the session has not.
//
// A query writes, validates and locks nothing. All, One, First, Count, Exists,
// Update and Delete each read one snapshot. Their errors: [ErrInvalid] for a
// query that makes no sense; [ErrCorrupt]; [ErrConflict] in a Serializable
// session; [ErrClosed], [ErrConcurrentUse], the context's.
type Query[T any] struct{ q query }

// query is a Query of any record type.
type query struct {
	s         *Session
	table     *table
	err       error
	where     conjunction
	orders    []order
	limit     int // -1 for none
	offset    int
	untracked bool
	cursor    string     // as After got it
	after     *candidate // what answers come after; nil for all
	sound     bool       // check found nothing before
}

// Select returns the query for all records of the table, in the order of their
// keys.
func (t *Table[T]) Select(s *Session) Query[T] {
	own, err := s.db.declared(&t.declaration)
	return Query[T]{query{s: s, table: own, err: err, limit: -1}}
}

// Where keeps the records for which all the predicates are true, and those of
// earlier calls.
func (q Query[T]) Where(predicates ...Predicate[T]) Query[T] {
	q.q.restrict(exprsOf(predicates))
	return q
}

// OrderBy sorts by the first order, where that leaves equals by the second, and
// so on, and finally by key. It replaces the orders of earlier calls. It costs
// memory for as many records as the limit and offset ask for, unless the key
// comes first or an index has the order.
func (q Query[T]) OrderBy(orders ...Order[T]) Query[T] {
	q.q.orders = nil
	for _, o := range orders {
		q.q.orders = append(q.q.orders, o.order)
	}
	return q
}

// Limit answers with at most n records.
func (q Query[T]) Limit(n int) Query[T] {
	q.q.setLimit(n)
	return q
}

// Offset leaves out the first n records.
func (q Query[T]) Offset(n int) Query[T] {
	if n < 0 && q.q.err == nil {
		q.q.err = q.q.fault("query", invalidf("an offset of %d", n))
	}
	q.q.offset = n
	return q
}

// Untracked answers with copies that the session does not track, also of those
// that it does: for reading much without holding it in memory.
func (q Query[T]) Untracked() Query[T] {
	q.q.untracked = true
	return q
}

// All returns the records.
func (q Query[T]) All(ctx context.Context) ([]*T, error) {
	answers, err := q.q.all(ctx)
	if err != nil {
		return nil, err
	}
	// The addresses are those of records of type T: a slice of *T has them in the same place.
	return unsafe.Slice((**T)(unsafe.Pointer(unsafe.SliceData(answers))), len(answers)), nil
}

// One returns the only record. Errors besides those of every query:
// [ErrNotFound] if there is none, [ErrMultiple] if there are more.
func (q Query[T]) One(ctx context.Context) (*T, error) {
	if q.q.limit < 0 || q.q.limit > 2 {
		q.q.limit = 2
	}
	found, err := q.All(ctx)
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, q.q.fault("select", ErrNotFound)
	case len(found) > 1:
		return nil, q.q.fault("select", ErrMultiple)
	}
	return found[0], nil
}

// First returns the first record. [ErrNotFound] if there is none.
func (q Query[T]) First(ctx context.Context) (*T, error) {
	if q.q.limit != 0 {
		q.q.limit = 1
	}
	found, err := q.All(ctx)
	if err == nil && len(found) == 0 {
		err = q.q.fault("select", ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// Rows returns the records one by one. No transaction is held while the loop's
// body runs, so it may change, delete, add and commit; breaking out of it frees
// everything. In the order of keys, or of an index, it reads pages in short
// transactions, each going on where the last one ended: no record comes twice,
// and none is missed that was there, and matched in the same place of the order,
// all the time. In another order it reads all keys and values that match first,
// in one snapshot. An error ends the loop, with a nil record.
//
// What happens meanwhile: records that the session deletes, or changes so that
// they no longer match, before their turn do not come; those that it adds, or
// changes so that they match, may come or not; after a commit, the rest is read
// anew. A tracked record comes once, where it stood when it was read, even if its
// key changes; of an Untracked query's copies the session knows
// nothing, so a record that moves ahead in the order comes again.
func (q Query[T]) Rows(ctx context.Context) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		q.q.each(ctx, func(p unsafe.Pointer, err error) bool { return yield((*T)(p), err) })
	}
}

// Count returns how many records there are.
func (q Query[T]) Count(ctx context.Context) (int, error) {
	return q.q.number("count", ctx, (*query).count)
}

// Exists reports whether there is any record.
func (q Query[T]) Exists(ctx context.Context) (bool, error) {
	if q.q.limit != 0 {
		q.q.limit = 1
	}
	n, err := q.Count(ctx)
	return n > 0, err
}

// Update assigns values to columns of the records, and returns how many there
// are. It changes the session only: Commit writes it, Rollback takes it back,
// and values are checked when they are flushed. Records that the session tracks
// are changed in place; it does not begin to track the others, but holds them
// in memory until the commit, which is refused if someone else has changed one.
//
// Errors besides those of every query: [ErrInvalid] for a zero Assignment or
// none; [ErrReadOnly] in a View.
func (q Query[T]) Update(ctx context.Context, assignments ...Assignment[T]) (int, error) {
	list := make([]assignment, len(assignments))
	for i, a := range assignments {
		list[i] = a.assignment
	}
	return q.q.number("update", ctx, func(q *query, ctx context.Context) (int, error) { return q.update(ctx, list) })
}

// Delete marks the records to be deleted by the next Commit, and returns how many
// there are. Records that the session tracks become [Deleted]; pending ones are
// forgotten; others are held in memory as bytes until the commit, which is
// refused if someone else has changed one. [ErrReadOnly] in a View.
func (q Query[T]) Delete(ctx context.Context) (int, error) {
	return q.q.number("delete", ctx, (*query).delete)
}

// Explain says what the query reads, without reading it. Errors: [ErrInvalid] for
// a query that makes no sense; [ErrClosed], [ErrConcurrentUse].
func (q Query[T]) Explain() (Plan, error) { return q.q.explain() }

// restrict adds conditions, and notes if they make no sense.
func (q *query) restrict(more conjunction) {
	if err := more.check(); err != nil && q.err == nil {
		q.err = q.fault("query", err)
	}
	q.where = append(slices.Clip(q.where), more...)
}

// setLimit is Query.Limit.
func (q *query) setLimit(n int) {
	if n < 0 && q.err == nil {
		q.err = q.fault("query", invalidf("a limit of %d", n))
	}
	q.limit = n
}

// all returns the addresses of the answers.
func (q *query) all(ctx context.Context) (answers []unsafe.Pointer, err error) {
	err = q.do("select", func() (err error) {
		p := q.plan()
		defer p.done()
		if p.plainly() {
			h, err := p.harvest(ctx)
			if err == nil {
				answers = h.answers()
			}
			return err
		}
		found, err := p.find(ctx)
		if err != nil {
			return err
		}
		if !q.untracked {
			q.s.entries.reserve(len(found))
			q.s.reserve(q.table, len(found))
		}
		answers = make([]unsafe.Pointer, len(found))
		for i, c := range found {
			if answers[i], err = q.show(c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return answers, nil
}

// each is Query.Rows.
func (q *query) each(ctx context.Context, yield func(unsafe.Pointer, error) bool) {
	r := newRows(*q)
	defer r.leavePage()
	for {
		p := r.quick()
		if p == nil {
			var err error
			if p, err = r.next(ctx); err != nil {
				yield(nil, err)
				return
			}
			r.recent = p
		}
		if p == nil || !yield(p, nil) {
			return
		}
	}
}

// number runs an operation that says how many records there are.
func (q *query) number(op string, ctx context.Context, fn func(*query, context.Context) (int, error)) (n int, err error) {
	err = q.do(op, func() (err error) {
		n, err = fn(q, ctx)
		return err
	})
	return n, err
}

// explain is Query.Explain.
func (q *query) explain() (p Plan, err error) {
	err = q.do("explain", func() error {
		p = q.plan().explain()
		return nil
	})
	return p, err
}

// fault returns an error about the query's table.
func (q *query) fault(op string, err error) error {
	re := &RecordError{Op: op, Err: err}
	if q.table != nil {
		re.Table = q.table.name
	}
	return re
}

// do runs fn as one call of the session, if the query makes sense.
func (q *query) do(op string, fn func() error) error {
	if err := q.begin(op); err != nil {
		return err
	}
	defer q.s.leave()
	return fn()
}

// begin begins a call of the session, which must end with its leave, if the query makes
// sense.
func (q *query) begin(op string) error {
	if q.s == nil {
		return q.fault(op, invalidf("a zero Query: make it with Table.Select"))
	}
	if err := q.s.enter(op); err != nil {
		return err
	}
	if err := q.check(op); err != nil {
		q.s.leave()
		return err
	}
	return nil
}

// check returns why the query makes no sense, if so.
func (q *query) check(op string) error {
	if q.err != nil || q.sound {
		return q.err
	}
	for _, o := range q.orders {
		switch {
		case o.col == nil:
			return q.fault(op, errZeroColumn.err)
		case o.col.codec.compare == nil:
			return q.fault(op, invalidf("column %s has no order: its type is %s", o.col.name, o.col.codec.typ))
		}
	}
	if _, err := q.parseCursor(); err != nil {
		return q.fault(op, err)
	}
	return nil
}

// show returns the address of an answer for the program to have: the session's
// record, or a copy if the query is untracked.
func (q *query) show(c *candidate) (unsafe.Pointer, error) {
	if q.untracked {
		if c.entry != nil {
			return q.table.clone(c.entry.ptr), nil
		}
		return c.decoded(q.table)
	}
	if c.entry == nil {
		p, err := c.decoded(q.table)
		if err != nil {
			return nil, err
		}
		c.entry = q.s.entries.next()
		*c.entry = entry{ptr: p, state: Persistent, key: c.keyString(), baseline: lentText(c.value)}
		q.s.track(q.s.identity(q.table), c.entry)
	}
	return q.s.show(c.entry), nil
}

// update is Query.Update.
func (q *query) update(ctx context.Context, assignments []assignment) (int, error) {
	if q.s.snapshot != nil {
		return 0, q.fault("update", fmt.Errorf("a View is %w", ErrReadOnly))
	}
	q.untracked = false // the records are wanted as they are stored
	if len(assignments) == 0 {
		return 0, q.fault("update", invalidf("no assignments"))
	}
	for _, a := range assignments {
		if a.col == nil {
			return 0, q.fault("update", errZeroColumn.err)
		}
	}
	p := q.plan()
	defer p.done()
	found, err := p.find(ctx)
	if err != nil {
		return 0, err
	}
	for _, c := range found { // all of them first: an error changes nothing
		if c.entry == nil {
			if _, err := c.decoded(q.table); err != nil {
				return 0, err
			}
		}
	}
	im := q.s.identity(q.table)
	for _, c := range found {
		e := c.entry
		if e == nil {
			e = &entry{ptr: c.ptr, state: Persistent, key: string(c.key), baseline: lentText(c.value), hidden: true}
			q.s.track(im, e)
		}
		for _, a := range assignments {
			value := a.col.codec.newValue()
			a.col.codec.clone(value, a.value)
			a.col.assign(a.col.at(e.ptr), value)
		}
		im.rekeyEntry(e)
	}
	return len(found), nil
}

// delete is Query.Delete.
func (q *query) delete(ctx context.Context) (int, error) {
	if q.s.snapshot != nil {
		return 0, q.fault("delete", fmt.Errorf("a View is %w", ErrReadOnly))
	}
	q.untracked = false // the records are wanted as they are stored
	p := q.plan()
	defer p.done()
	found, err := p.find(ctx)
	if err != nil {
		return 0, err
	}
	im := q.s.identity(q.table)
	for _, c := range found {
		if c.entry != nil {
			q.s.delete(c.entry)
			continue
		}
		q.s.track(im, &entry{state: Deleted, key: string(c.key), baseline: lentText(c.value), hidden: true})
	}
	return len(found), nil
}
