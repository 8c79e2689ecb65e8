package userdata

import (
	"bytes"
	"context"
	"math"
	"slices"
	"time"
	"unsafe"
)

// A candidate is a record on its way to be an answer.
type candidate struct {
	entry *entry // the session's, or nil for one that it does not track
	key   []byte
	value []byte           // as stored, if entry is nil; key and value are copies, and never change
	ptr   unsafe.Pointer   // the decoded value; nil before it is needed
	sort  []unsafe.Pointer // the values of the order's columns
}

// keyString returns the candidate's key as a string, which shares its bytes:
// neither ever changes.
func (c *candidate) keyString() string { return lentText(c.key) }

// decoded returns the record of an untracked candidate, whose checksum the scan
// has verified.
func (c *candidate) decoded(t *table) (unsafe.Pointer, error) {
	if c.ptr == nil {
		p := t.newRecord()
		if err := t.decodeVerified(c.key, c.value, p, lentBy(c.value)); err != nil {
			return nil, err
		}
		c.ptr = p
	}
	return c.ptr, nil
}

// A plan is how a query is answered.
type plan struct {
	*query
	im      *identityMap // the session's; none if it does not track the table's records
	none    identityMap
	paths   []path // together they lead to every stored record that matches
	inOrder bool   // reading the one path in order gives the query's order
	reverse bool   // that is, from the last entry to the first
	matches bool   // a function of the caller's has the last word on each record
	need    int    // how many records, in order, are enough; -1 for all

	until *candidate // no answer comes after it; nil if that is not known

	// For a page of Query.Rows, which has the stored records next in order, need
	// of them at the most, before a Match is asked, and the session's own among
	// them; limit and offset do not count. Its end is the last record that it
	// reaches to, nil if nothing is stored beyond it.
	page *rows
	end  *candidate

	rooms []*room // where the candidates are

	// What the run did, for the log.
	start               time.Time
	rowsRead, bytesRead int
}

func (q *query) plan() *plan {
	p := &plan{query: q, im: q.s.known(q.table), matches: q.where.matches(), need: -1, start: time.Now()}
	if p.im == nil {
		p.im, p.none.table = &p.none, q.table // nothing tracked: don't begin to for a question
	}
	if q.cursor != "" {
		own := *q
		own.cursor = ""
		own.after, _ = q.parseCursor() // check has seen that it can be
		p.query = &own
	}
	switch {
	case q.limit == 0:
		p.need = 0
	case q.limit > 0:
		p.need = addSaturated(q.offset, q.limit)
	}
	p.paths = q.table.paths(q.where, q.orders, p.need >= 0)
	if len(p.paths) == 1 {
		p.inOrder, p.reverse = p.paths[0].gives(q.orders)
		p.reverse = p.reverse && p.inOrder
	}
	return p
}

// addSaturated returns the sum of two counts, or the largest count.
func addSaturated(a, b int) int {
	if a > math.MaxInt-b {
		return math.MaxInt
	}
	return a + b
}

// tiesDescend reports whether records that the orders leave equal come from the
// greatest key to the least: as the last order does.
func (q *query) tiesDescend() bool { return len(q.orders) > 0 && q.orders[len(q.orders)-1].desc }

// done frees the memory of the plan's candidates, after their last use.
func (p *plan) done() {
	for _, r := range p.rooms {
		r.free(p.table)
	}
	p.rooms = nil
}

// find returns the answers in order, which are good until done is called.
func (p *plan) find(ctx context.Context) ([]*candidate, error) {
	if p.need == 0 {
		return nil, nil
	}
	known := p.page == nil && p.im.checked == p.s.epoch // the session's own are as they will be
	var laidOver []*candidate
	if known {
		laidOver = p.layOver()
	}
	found, err := p.collect(ctx)
	if err != nil {
		return nil, err
	}
	if p.page != nil && len(found) == p.need {
		p.end = found[p.need-1]
	}
	if p.matches {
		if found, err = p.filter(found); err != nil {
			return nil, err
		}
	}
	if !known {
		laidOver = p.overlay(p.need)
	}
	found = append(found, laidOver...)
	if len(laidOver) > 0 || !p.inOrder {
		p.sort(found)
	}
	if p.page == nil {
		found = found[min(p.offset, len(found)):]
		if p.limit >= 0 {
			found = found[:min(p.limit, len(found))]
		}
	}
	p.s.db.echoSelect(ctx, p, len(found))
	return found, nil
}

// count returns how many answers there are.
func (q *query) count(ctx context.Context) (int, error) {
	p := q.plan()
	defer p.done()
	if p.matches || p.need == 0 || q.after != nil || q.cursor != "" {
		found, err := p.find(ctx)
		return len(found), err
	}
	c := &counter{enough: p.need}
	if err := p.read(ctx, func(snap Snapshot) error { return p.scan(ctx, snap, c) }); err != nil {
		return 0, err
	}
	n := max(0, c.n+p.ownAnswers()-p.offset)
	if p.limit >= 0 {
		n = min(n, p.limit)
	}
	p.s.db.echoSelect(ctx, p, n)
	return n, nil
}

// read runs fn on a snapshot, and brings those tracked records up to date with
// it that have not been compared with the store since the last commit.
func (p *plan) read(ctx context.Context, fn func(Snapshot) error) error {
	type stale struct {
		entry *entry
		value []byte
	}
	var changed []stale
	err := p.s.read(ctx, func(snap Snapshot) error {
		if p.im.checked == p.s.epoch {
			return fn(snap)
		}
		for _, e := range p.im.list() {
			if e == nil || e.state != Persistent || e.epoch == p.s.epoch {
				continue
			}
			value, err := snap.Get(p.table.name, []byte(e.key))
			if err != nil {
				return err
			}
			if string(value) == e.baseline {
				e.epoch = p.s.epoch
			} else {
				changed = append(changed, stale{e, bytes.Clone(value)})
			}
		}
		return fn(snap)
	})
	if err != nil {
		return err
	}
	for _, c := range changed { // may run code of the program's: after the read
		if _, err := p.s.refreshed(c.entry, c.value); err != nil {
			return err
		}
	}
	p.im.checked = p.s.epoch
	return nil
}

// interrupted returns why a long read should end, if the context has.
func (p *plan) interrupted(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return p.fault("select", err)
	}
	return nil
}

// decodeColumn returns the address of one column's value in a stored record.
func (t *table) decodeColumn(r *row, c *column) (unsafe.Pointer, error) {
	b, err := r.column(c)
	if err != nil {
		return nil, err
	}
	v := c.codec.newValue()
	if err := decodeValue(c.codec, b, v); err != nil {
		return nil, t.recordError("read", r.key, c.name, err)
	}
	return v, nil
}

// collect returns the stored records that meet the conditions: in order and as
// many as are needed, if that can be said without the program's code.
func (p *plan) collect(ctx context.Context) ([]*candidate, error) {
	g := p.newGatherer()
	err := p.read(ctx, func(snap Snapshot) error { return p.scan(ctx, snap, g) })
	if !p.inOrder && g.enough >= 0 {
		g.found = p.best(g.found)
	}
	if p.page != nil && p.inOrder && g.size >= pageBound {
		p.need = min(p.need, len(g.found)) // the page is full
	}
	return g.found, err
}

// sortColumns returns the orders that candidates are compared by; none if the
// keys say it all.
func (q *query) sortColumns() []order {
	if len(q.orders) > 0 && q.orders[0].col.key {
		return nil
	}
	return q.orders
}

// compare puts candidates in the query's order.
func (q *query) compare(a, b *candidate) int {
	for i, o := range q.sortColumns() {
		if c := o.col.codec.compare(a.sort[i], b.sort[i]); c != 0 {
			if o.desc {
				return -c
			}
			return c
		}
	}
	descend := q.tiesDescend()
	if len(q.orders) > 0 && q.orders[0].col.key {
		descend = q.orders[0].desc
	}
	if descend {
		return bytes.Compare(b.key, a.key)
	}
	return bytes.Compare(a.key, b.key)
}

// ahead reports whether the candidate comes after where the query begins.
func (q *query) ahead(c *candidate) bool { return q.after == nil || q.compare(c, q.after) > 0 }

// filter asks the whole condition of candidates that passed scan.
func (p *plan) filter(found []*candidate) ([]*candidate, error) {
	kept := found[:0]
	for _, c := range found {
		ptr, err := c.decoded(p.table)
		if err != nil {
			return nil, err
		}
		if p.where.holds(ptr) {
			kept = append(kept, c)
		}
	}
	return kept, nil
}

// overlay returns the session's own records that meet the condition and lie after
// where the query begins, but no more than the first that are needed, if that is not -1; on a
// page, those on it.
func (p *plan) overlay(need int) []*candidate {
	if p.page != nil {
		return p.page.overlay(p)
	}
	r := p.newRoom()
	p.rooms = append(p.rooms, r)
	var found []*candidate
	var last *candidate // beyond which none is needed; nil if that is not known
	for _, e := range p.im.list() {
		if e == nil || !e.live() || p.after == nil && !p.where.holds(e.ptr) {
			continue
		}
		c := p.candidateOf(r, e)
		if last != nil && p.compare(c, last) >= 0 || p.after != nil && !(p.ahead(c) && p.where.holds(e.ptr)) {
			r.candidates.undo()
			continue
		}
		found = append(found, c)
		if need > 0 && len(found) >= 1024 && len(found)/2 >= need {
			p.sort(found)
			clear(found[need:])
			found, last = found[:need], found[need-1]
		}
	}
	return found
}

// layOver is overlay before the store is read: where the session has all that is needed, the
// store is read no further than those reach.
func (p *plan) layOver() []*candidate {
	own := p.overlay(p.need)
	if p.inOrder && p.need > 0 && len(own) >= p.need {
		p.sort(own)
		own = own[:p.need]
		p.until = own[p.need-1]
	}
	return own
}

// ownAnswers returns how many of the session's own records meet the condition.
func (p *plan) ownAnswers() (n int) {
	p.im.all(func(e *entry) {
		if e.live() && p.where.holds(e.ptr) {
			n++
		}
	})
	return n
}

// sort sorts candidates; the session's are often in order, as they were read.
func (q *query) sort(found []*candidate) {
	if !slices.IsSortedFunc(found, q.compare) {
		slices.SortStableFunc(found, q.compare)
	}
}

// candidateOf returns a candidate in the room for a record of the session's.
func (q *query) candidateOf(r *room, e *entry) *candidate {
	c := r.candidates.next()
	c.entry = e
	if e.state == Persistent && e.keyIs(bytesOf(e.key)) {
		c.key = bytesOf(e.key) // without a copy: a candidate's key never changes
	} else {
		c.key = []byte(e.currentKey())
	}
	columns := q.sortColumns()
	for _, o := range columns {
		r.addSort(c, len(columns), o.col.at(e.ptr))
	}
	return c
}
