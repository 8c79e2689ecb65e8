package userdata

import (
	"context"
	"slices"
	"unsafe"
)

// A harvest is a sink that makes answers where they are read, with nothing between the
// file and them. It is for queries whose answers are what the scan finds, in the order in which
// it does: see plan.plainly. What it makes is nobody's until it is taken.
type harvest struct {
	*plan
	*room
	enough  int // how many records are; -1 for all
	n       int // how many there are
	size    int // bytes of them as stored, for a page of Rows
	records []recordRun
	begun   bool // past the place that answers come after

	run, taken int // how many of records were taken wholly, and how many records of the next
}

// plainly reports whether the query's answers are what a scan finds: if the order is the
// scan's, and the session has no record of its own among them.
func (p *plan) plainly() bool {
	switch {
	case !p.table.plain || !p.inOrder || p.matches || p.need == 0:
		return false
	case p.im.count == 0:
		return true
	case p.im.checked != p.s.epoch: // some may be older than what the store has
		return false
	case p.page != nil:
		p.page.meet(p)
		return len(p.page.own.ahead) == 0
	}
	return !slices.ContainsFunc(p.im.list(), func(e *entry) bool {
		return e != nil && e.live() && p.where.holds(e.ptr)
	})
}

// harvest reads the answers of a query that is answered plainly.
func (p *plan) harvest(ctx context.Context) (*harvest, error) {
	h := &harvest{plan: p, room: p.newRoom(), enough: p.need, begun: p.after == nil || p.paths[0].index == nil}
	p.rooms = append(p.rooms, h.room)
	if !p.untracked {
		p.im = p.s.identity(p.table)
	}
	if err := p.read(ctx, func(snap Snapshot) error { return p.scan(ctx, snap, h) }); err != nil {
		return nil, err
	}
	p.s.db.echoSelect(ctx, p, h.n)
	return h, nil
}

// answers returns the records after the offset, which the session tracks from now on,
// unless the query is untracked.
func (h *harvest) answers() []unsafe.Pointer {
	for range min(h.offset, h.n) {
		h.take()
	}
	rest := h.rest()
	answers := make([]unsafe.Pointer, 0, max(0, h.n-h.offset))
	for i := range rest {
		for k := range rest[i].n {
			answers = append(answers, rest[i].at(h.table, k))
		}
	}
	if !h.untracked {
		h.s.trackRuns(h.im, rest)
	}
	return answers
}

// take returns the next record, nil after the last.
func (h *harvest) take() unsafe.Pointer {
	for ; h.run < len(h.records); h.run, h.taken = h.run+1, 0 {
		if run := &h.records[h.run]; h.taken < run.n {
			h.taken++
			return run.at(h.table, h.taken-1)
		}
	}
	return nil
}

// latest returns where the record is that take returned last: the run, nil before the first, and
// its place there.
func (h *harvest) latest() (run *recordRun, i int) {
	switch {
	case h.taken > 0:
		return &h.records[h.run], h.taken - 1
	case h.run > 0:
		run := &h.records[h.run-1]
		return run, run.n - 1
	}
	return nil, 0
}

// rest returns the runs of what was not taken, which keep nothing of what was.
func (h *harvest) rest() []recordRun {
	rest := h.records[h.run:]
	clear(h.records[:h.run])
	switch {
	case h.taken == 0:
	case h.taken == rest[0].n:
		rest[0] = recordRun{}
		rest = rest[1:]
	default:
		rest[0] = rest[0].after(h.table, h.taken)
	}
	return rest
}

func (h *harvest) add(r *row) (more bool, err error) {
	p, value, err := h.room.record(r, !h.untracked)
	if err != nil {
		return false, err
	}
	if !h.begun {
		if h.begun = h.isAhead(p, r.key); !h.begun {
			return true, nil
		}
	}
	h.put(p, value, len(r.key)+len(r.value))
	return h.more(), nil
}

// put takes in a record of the room's, of so many bytes as stored, and if it is to be tracked, a
// copy of its value, the last bytes that the room was given.
func (h *harvest) put(p unsafe.Pointer, value []byte, size int) {
	if h.untracked {
		h.addRecord(p)
	} else {
		h.addValued(p, value)
	}
	h.n++
	h.size += size
}

// reap is add for what a scanner finds that [scanner.takesAll]: with no row between, so that
// the collector, when it is at work, is told of nothing but what is kept. It returns the
// record, or nil if all is not well: then add says what is wrong.
func (h *harvest) reap(key, value []byte) unsafe.Pointer {
	t, m := h.table, h.room
	b, err := verifyChecksum(t.seed, key, value)
	if err != nil {
		return nil
	}
	texts := &m.texts
	if !h.untracked {
		value = m.copy(value)
		b, texts = value[:len(b)], lentBy(value)
	}
	p := m.newRecord(t)
	if !t.parse(key, b, p, texts) {
		return nil
	}
	h.put(p, value, len(key)+len(value))
	return p
}

// isAhead reports whether a record comes after where the query begins.
func (h *harvest) isAhead(p unsafe.Pointer, key []byte) bool {
	c := candidate{key: key}
	for _, o := range h.sortColumns() {
		c.sort = append(c.sort, o.col.at(p))
	}
	return h.ahead(&c)
}

// more reports whether more records are wanted.
func (h *harvest) more() bool {
	return (h.enough < 0 || h.n < h.enough) && (h.page == nil || h.size < pageBound)
}

// addRecord takes in a record of the room's.
func (h *harvest) addRecord(p unsafe.Pointer) {
	if n := len(h.records); n > 0 {
		if run := &h.records[n-1]; h.room.records.beside(h.table, run.first, run.n) {
			run.n++
			return
		}
	}
	h.records = append(h.records, recordRun{first: p, n: 1})
}

// addValued is addRecord with the value that the record was read from.
func (h *harvest) addValued(p unsafe.Pointer, value []byte) {
	m := h.room
	end := uint32(len(m.bytes)) // a stored value is smaller than 2 GB
	from := end - uint32(len(value))
	*m.ends.next() = end
	ends := m.ends.last()
	if n := len(h.records); n > 0 {
		run := &h.records[n-1]
		if run.valuesGoOn(m.bytes, from, ends) && m.records.beside(h.table, run.first, run.n) {
			run.n++
			run.ends = run.ends[:run.n]
			return
		}
	}
	h.records = append(h.records, recordRun{first: p, n: 1, values: m.bytes[:0], from: from, ends: ends})
}

func (h *harvest) expect(n int) {
	if h.room.coming = n; !h.untracked {
		h.room.ends.need(n)
	}
}

func (h *harvest) wants() int { return h.enough }

// spares implements [sink]: a page of Rows may have more records than were asked for.
func (h *harvest) spares() bool { return h.page != nil && h.limit < 0 }

func (h *harvest) fork(r *room) sink {
	part := &harvest{plan: h.plan, room: r, enough: h.enough, begun: h.begun}
	if r != nil && h.spares() {
		part.enough = -1
	}
	return part
}

func (h *harvest) join(fork sink) (more bool) {
	part := fork.(*harvest)
	h.n += part.n
	h.size += part.size
	if n := len(part.records); n > cap(h.records)-len(h.records) {
		h.records = slices.Grow(h.records, len(h.records)+n) // append grows long lists by a quarter each time
	}
	h.records = append(h.records, part.records...)
	if h.enough >= 0 && h.n > h.enough && !h.spares() {
		h.cut()
	}
	return h.more()
}

// cut lets go of what is more than enough.
func (h *harvest) cut() {
	for h.n > h.enough {
		i := len(h.records) - 1
		run := &h.records[i]
		n := min(h.n-h.enough, run.n)
		if h.n -= n; n == run.n {
			*run = recordRun{} // what lies behind the list would be kept with it
			h.records = h.records[:i]
		} else {
			*run = run.before(run.n - n)
		}
	}
}
