package userdata

import (
	"context"
	"sort"
	"unsafe"
)

// The sizes of the pages that Rows reads: the first, and the largest, each being
// twice the one before it. A page ends early once its records have pageBound bytes, so
// that large ones do not fill the memory. In a program with little memory in use the garbage
// collector runs the less often, the more a page has.
const (
	firstPage = 64
	lastPage  = 20_000
	pageBound = 4 << 20
)

// rows is where a loop over Query.Rows stands.
type rows struct {
	query
	paged bool         // the records are read in their order, page by page
	page  []*candidate // read, but not yet handed out
	crop  *harvest     // the same, if the page was read plainly; else nil
	size  int          // of the next page
	from  int          // how many records had been handed out when the page was read
	skip  int          // how many records of the offset are still to be left out
	epoch uint64       // of the session, when the page was read
	puts  int          // of the table's keyIndex, when the page was read, and those of its records since
	done  bool         // no page follows
	read  *plan        // of the page
	calls uint64       // the count of the session's calls, as long as the page's records are answers unless there is another

	handed  int            // how many records were handed out
	recent  unsafe.Pointer // the last one of them, unless quickly:
	quickly bool           // quick has handed it out: it is the latest of crop
	last    *candidate     // if paged: what the rest lies beyond, as it was read; nil before the first
	end     *candidate     // likewise: what the page reaches to; nil if it is the last one
	place   candidate      // memory for last
	byText  bool           // a text, the key, is all that there is to hold of a record
	text    string         // of the last one, if last does not have it yet; else ""
	own     ownRecords     // if paged
	alone   bool           // the session tracks nothing of the table but what was handed out in this order
	seen    passed         // tracked records handed out or left out, so that one whose key changes does not come again
}

func newRows(q query) *rows { return &rows{query: q, size: firstPage, skip: q.offset} }

// ownRecords are the session's own records that are still to come, in order:
// where they stood when they were first met. Those that the session comes to
// track meanwhile are met at the next page, so no page looks at all of them again.
type ownRecords struct {
	ahead  []*candidate
	im     *identityMap // where they are from,
	epoch  uint64       // when,
	moves  int          // after how many moves of its entries,
	walked int          // and up to which of them
	memory room
}

// meet takes in the records that the session has tracked since the last page.
func (r *rows) meet(p *plan) {
	own, im := &r.own, p.im
	if own.im != im || own.epoch != r.s.epoch || own.moves != im.moves {
		*own = ownRecords{im: im, epoch: r.s.epoch, moves: im.moves}
	}
	before := len(own.ahead)
	for _, e := range im.list()[own.walked:] {
		if e == nil || e.ptr == nil || r.has(e) {
			continue
		}
		c := r.candidateOf(&own.memory, e)
		if !r.liesAhead(p, c) {
			own.memory.candidates.undo()
			continue
		}
		r.freeze(c)
		own.ahead = append(own.ahead, c)
	}
	own.walked = len(im.entries)
	if len(own.ahead) > before {
		p.sort(own.ahead)
	}
}

// liesAhead reports whether a record of the session's is still to come.
func (r *rows) liesAhead(p *plan, c *candidate) bool {
	if r.last == nil {
		return p.ahead(c)
	}
	if order := p.compare(c, r.last); order != 0 {
		return order > 0
	}
	if c.entry.ptr == r.recent { // expunged and added again
		return false
	}
	return c.entry.state == Pending || c.entry.key != r.last.keyString() // else it is the last one, read since
}

// overlay returns the session's own records on the page that the plan is for.
func (r *rows) overlay(p *plan) []*candidate {
	r.meet(p)
	ahead := r.own.ahead
	n := len(ahead)
	if p.end != nil {
		n = sort.Search(n, func(i int) bool { return p.compare(ahead[i], p.end) > 0 })
	}
	r.own.ahead = ahead[n:]
	var found []*candidate
	for _, c := range ahead[:n] {
		if e := c.entry; e.tracked() && e.live() && !r.has(e) && r.where.holds(e.ptr) {
			found = append(found, c)
		}
	}
	return found
}

// pass notes that the record had its turn, if the session tracks it.
func (r *rows) pass(e *entry) {
	if e != nil {
		r.seen.add(e)
	}
}

// has reports whether the record had its turn.
func (r *rows) has(e *entry) bool { return r.seen.has(e) }

// quick is next, without being a call, for a record that is at hand, if the session tracks
// none of the page's and there was no call since: nothing can have changed then. Else it
// returns nil.
func (r *rows) quick() (p unsafe.Pointer) {
	if r.crop == nil || !r.untracked || r.limit >= 0 && r.handed >= r.limit || !r.s.calls.unpassed(r.calls) {
		return nil
	}
	if r.s.marked(closedSession | misusedSession) { // by a call that met the last one of this loop
		return nil
	}
	if p = r.crop.take(); p == nil {
		return nil
	}
	r.quickly = true
	if r.byText {
		r.text = *(*string)(r.table.key.at(p))
	} else {
		r.hold(p)
	}
	r.handed++
	return p
}

// next returns the address of the next record, or nil after the last.
func (r *rows) next(ctx context.Context) (p unsafe.Pointer, err error) {
	if err := r.begin("rows"); err != nil {
		return nil, err
	}
	defer r.s.leave()
	r.sound = true
	if r.text != "" {
		r.place.key, r.text = bytesOf(r.text), ""
		r.last = &r.place
	}
	if r.quickly {
		run, i := r.crop.latest()
		r.recent, r.quickly = run.at(r.table, i), false
	}
	for p == nil && (r.limit < 0 || r.handed < r.limit) {
		if err := r.fill(ctx); err != nil || len(r.page) == 0 && r.crop == nil {
			return nil, err
		}
		if r.crop != nil {
			p, err = r.glean(ctx)
		} else {
			c := r.page[0]
			r.advance(1)
			p, err = r.resolve(ctx, c)
		}
		if err != nil {
			return nil, err
		}
	}
	r.handed++
	return p, nil
}

// glean returns the address of the next record of a page that was read plainly, or nil if
// it is no answer any more, or if there is none.
func (r *rows) glean(ctx context.Context) (p unsafe.Pointer, err error) {
	if p = r.crop.take(); p == nil {
		r.crop = nil
		return nil, nil
	}
	r.hold(p)
	im := r.s.identity(r.table)
	switch {
	case r.untracked && r.puts == im.base.puts:
		r.calls = r.s.calls.afterThis()
		return p, nil
	case r.untracked: // some were read by another call meanwhile
		return r.resolve(ctx, &candidate{key: r.last.key, ptr: p})
	}
	run, i := r.crop.latest()
	key, value := r.crop.keyOf(r.table, r.last.key, p), run.value(i)
	if r.puts != im.base.puts {
		return r.resolve(ctx, &candidate{key: key, value: value, ptr: p})
	}
	e := r.s.entries.next()
	*e = entry{ptr: p, state: Persistent, key: lentText(key), baseline: lentText(value)}
	r.s.track(im, e)
	r.puts = im.base.puts
	r.seen.add(e)
	return p, nil
}

// hold makes last where the record stands, before the program gets it and may change it.
func (r *rows) hold(p unsafe.Pointer) {
	c := &r.place
	if r.table.keyCodec.text {
		c.key = bytesOf(*(*string)(r.table.key.at(p)))
	} else {
		c.key, _ = r.table.keyCodec.append(c.key[:0], r.table.key.at(p)) // as it was read: it is a key
	}
	for i, o := range r.sortColumns() {
		if i == len(c.sort) {
			c.sort = append(c.sort, o.col.codec.newValue())
		}
		if o.col.nullable {
			*(*unsafe.Pointer)(c.sort[i]) = nil // a clone is made into a zero value
		}
		o.col.codec.clone(c.sort[i], o.col.at(p))
	}
	r.last = c
}

// advance takes n candidates off the page.
func (r *rows) advance(n int) {
	if n > 0 {
		r.last = r.page[n-1]
		r.page = r.page[n:]
	}
	if len(r.page) == 0 && r.end != nil {
		r.last = r.end
	}
}

// fill makes sure that candidates are at hand, unless there are no more.
func (r *rows) fill(ctx context.Context) error {
	if r.paged && r.epoch != r.s.epoch {
		r.page, r.crop, r.done = nil, nil, false                    // what was read may be old now
		r.size = min(max(2*(r.handed-r.from), firstPage), lastPage) // the next commit may be as near
	}
	for len(r.page) == 0 && r.crop == nil && !r.done {
		if err := r.readPage(ctx); err != nil {
			return err
		}
	}
	return nil
}

// readPage reads the page after the last record; in an order that nothing gives
// there is one page, with everything.
func (r *rows) readPage(ctx context.Context) (err error) {
	r.leavePage()
	r.from = r.handed
	q := r.query
	if r.last != nil {
		q.cursor, q.after = "", r.last
	}
	p := q.plan()
	r.read, r.paged = p, p.inOrder
	if r.paged {
		p.page, p.need = r, r.size
		if r.limit >= 0 {
			p.need = min(r.size, addSaturated(r.skip, r.limit-r.handed))
		}
		r.size = min(2*r.size, lastPage)
	}
	if r.paged && p.plainly() {
		return r.readPlainly(ctx, p)
	}
	r.alone = false
	if r.page, err = p.find(ctx); err != nil {
		return err
	}
	r.end, r.done, r.epoch, r.puts = p.end, p.end == nil, r.s.epoch, p.im.base.puts
	if r.paged {
		for _, c := range r.page {
			r.freeze(c)
		}
		n := min(r.skip, len(r.page))
		for _, c := range r.page[:n] {
			r.pass(c.entry)
		}
		r.skip -= n
		r.advance(n)
	}
	return nil
}

// readPlainly reads a page on which the session has no record of its own.
func (r *rows) readPlainly(ctx context.Context, p *plan) error {
	r.alone = p.im.count == 0 || r.alone && r.puts == p.im.base.puts
	h, err := p.harvest(ctx)
	if err != nil {
		return err
	}
	r.byText = r.table.keyCodec.text && len(r.sortColumns()) == 0
	r.crop, r.end, r.done, r.epoch, r.puts = h, nil, h.more(), r.s.epoch, p.im.base.puts
	for ; r.skip > 0; r.skip-- {
		p := h.take()
		if p == nil {
			break
		}
		r.hold(p)
	}
	return nil
}

// leavePage keeps of the page that was read what the next one needs.
func (r *rows) leavePage() {
	if r.read == nil {
		return
	}
	if r.last != nil && r.last != &r.place {
		last := *r.last
		r.last = &last
	}
	r.page, r.end = nil, nil
	r.read.done()
}

// freeze notes where a candidate stands, whatever the program does to its record
// afterwards.
func (q *query) freeze(c *candidate) {
	for i, o := range q.sortColumns() {
		v := o.col.codec.newValue()
		o.col.codec.clone(v, c.sort[i])
		c.sort[i] = v
	}
}

// resolve returns the address of a candidate's record for the program to have,
// or nil if it is no answer any more.
func (r *rows) resolve(ctx context.Context, c *candidate) (p unsafe.Pointer, err error) {
	e, base := c.entry, &r.s.identity(r.table).base
	if e != nil && !e.tracked() || e == nil && (r.epoch != r.s.epoch || r.puts != base.puts) {
		e = base.find(c.key) // read by another call meanwhile
	}
	switch {
	case e != nil:
		if e, err = r.current(ctx, e); e == nil || err != nil {
			return nil, err
		}
		c = &candidate{entry: e}
	case c.entry == nil && r.epoch == r.s.epoch: // as it was read
	case c.entry == nil || c.entry.state != Pending: // expunged meanwhile, or there was a commit or rollback
		if c, err = r.reread(ctx, c.key); c == nil || err != nil {
			return nil, err
		}
	default: // a pending record that the session has forgotten
		return nil, nil
	}
	alone := r.puts == base.puts
	p, err = r.show(c)
	if alone {
		r.puts = base.puts // with its own
	}
	r.pass(c.entry)
	return p, err
}

// current brings an entry up to date if there was a commit or rollback since it
// was, and returns nil if it is no answer any more.
func (r *rows) current(ctx context.Context, e *entry) (*entry, error) {
	if e.state == Persistent && e.epoch != r.s.epoch {
		_, value, err := r.s.readValue(ctx, r.table, []byte(e.key))
		if err != nil {
			return nil, err
		}
		if e, err = r.s.refreshed(e, value); e == nil || err != nil {
			return nil, err
		}
	}
	if !e.live() || r.has(e) || !r.where.holds(e.ptr) {
		return nil, nil
	}
	return e, nil
}

// reread looks a key up again, and returns nil if its record no longer matches.
func (r *rows) reread(ctx context.Context, key []byte) (*candidate, error) {
	key, value, err := r.s.readValue(ctx, r.table, key)
	if value == nil || err != nil {
		return nil, err
	}
	c := &candidate{key: key, value: value, ptr: r.table.newRecord()}
	if err := r.table.decodeOwn(key, value, c.ptr); err != nil || !r.where.holds(c.ptr) {
		return nil, err
	}
	return c, nil
}
