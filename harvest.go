package userdata

import (
	"context"
	"slices"
	"unsafe"
)

// A harvest is a sink that makes answers where they are read, with nothing between the
// file and them: the records, and the entries of those that the session is to track. It is
// for queries whose answers are what the scan finds, in the order in which it does: see
// plan.plainly. What it makes is nobody's until it is taken.
type harvest struct {
	*plan
	*room
	enough  int // how many records are; -1 for all
	n       int // how many there are
	size    int // bytes of them as stored, for a page of Rows
	records []recordRun
	entries [][]entry // if they are to be tracked, instead
	begun   bool      // past the place that answers come after

	run, taken int // how many of records were taken wholly, and how many records of the next
}

// A recordRun is records side by side in one block.
type recordRun struct {
	first unsafe.Pointer
	n     int
}

// at returns the record i of the run.
func (r *recordRun) at(t *table, i int) unsafe.Pointer {
	return unsafe.Add(r.first, uintptr(i)*t.size) // within the block: i < n
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
	return !slices.ContainsFunc(p.im.entries, func(e *entry) bool {
		return e != nil && e.live() && p.where.holds(e.ptr)
	})
}

// harvest reads the answers of a query that is answered plainly.
func (p *plan) harvest(ctx context.Context) (*harvest, error) {
	h := &harvest{plan: p, room: p.newRoom(), enough: p.need, begun: p.after == nil || p.paths[0].index == nil}
	p.rooms = append(p.rooms, h.room)
	if !p.untracked {
		p.im = p.s.identity(p.table)
		h.room.entries = &p.s.entries
		h.room.entries.reserve(max(h.enough, 0))
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
	skip := min(h.offset, h.n)
	n := h.n - skip
	for range skip {
		h.take()
	}
	answers := make([]unsafe.Pointer, 0, n)
	if !h.untracked {
		h.s.reserve(h.table, n)
		for _, run := range h.entries {
			h.s.trackAll(h.im, run)
			for i := range run {
				answers = append(answers, run[i].ptr)
			}
		}
		return answers
	}
	for p, _ := h.take(); p != nil; p, _ = h.take() {
		answers = append(answers, p)
	}
	return answers
}

// trackAll is track for entries of records that were read, side by side.
func (s *Session) trackAll(im *identityMap, entries []entry) {
	if s.pointers != nil || len(s.detached) > 0 {
		for i := range entries {
			s.track(im, &entries[i])
		}
		return
	}
	im.insertRead(entries, s.epoch)
}

// take returns the next record, nil after the last, and its entry if it is to be tracked.
func (h *harvest) take() (p unsafe.Pointer, e *entry) {
	for len(h.entries) > 0 {
		if run := h.entries[0]; len(run) > 0 {
			h.entries[0] = run[1:]
			return run[0].ptr, &run[0]
		}
		h.entries = h.entries[1:]
	}
	for ; h.run < len(h.records); h.run, h.taken = h.run+1, 0 {
		if run := &h.records[h.run]; h.taken < run.n {
			h.taken++
			return run.at(h.table, h.taken-1), nil
		}
	}
	return nil, nil
}

// latest returns the record of an untracked query that take returned last, nil before the first.
func (h *harvest) latest() unsafe.Pointer {
	switch {
	case h.taken > 0:
		return h.records[h.run].at(h.table, h.taken-1)
	case h.run > 0:
		run := &h.records[h.run-1]
		return run.at(h.table, run.n-1)
	}
	return nil
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
	h.put(p, r.key, value, len(r.value))
	return h.more(), nil
}

// put takes in a record of the room's, with the key that it is stored under, and a copy of its
// value of that size if it is to be tracked.
func (h *harvest) put(p unsafe.Pointer, key, value []byte, size int) {
	if h.untracked {
		h.addRecord(p)
	} else {
		h.addEntry(p, h.room.keyOf(h.table, key, p), value)
	}
	h.n++
	h.size += len(key) + size
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
	h.put(p, key, value, len(value))
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
	h.records = append(h.records, recordRun{p, 1})
}

// addEntry makes an entry for a record.
func (h *harvest) addEntry(p unsafe.Pointer, key, value []byte) {
	e := h.room.entries.next()
	*e = entry{im: h.im, ptr: p, state: Persistent, key: lentText(key), baseline: lentText(value)}
	if n := len(h.entries); n > 0 {
		run := h.entries[n-1]
		if len(run) < cap(run) && &run[:len(run)+1][len(run)] == e {
			h.entries[n-1] = run[:len(run)+1]
			return
		}
	}
	h.entries = append(h.entries, h.room.entries.last())
}

func (h *harvest) expect(n int) {
	h.room.coming = n
	if !h.untracked {
		h.room.entries.reserve(n)
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
	h.records = append(h.records, part.records...)
	h.entries = append(h.entries, part.entries...)
	if h.enough >= 0 && h.n > h.enough && !h.spares() {
		h.cut()
	}
	return h.more()
}

// cut lets go of what is more than enough.
func (h *harvest) cut() {
	for h.n > h.enough {
		over := h.n - h.enough
		if i := len(h.records) - 1; i >= 0 {
			n := min(over, h.records[i].n)
			if h.records[i].n -= n; h.records[i].n == 0 {
				h.records = h.records[:i]
			}
			h.n -= n
			continue
		}
		i := len(h.entries) - 1
		n := min(over, len(h.entries[i]))
		if h.entries[i] = h.entries[i][:len(h.entries[i])-n]; len(h.entries[i]) == 0 {
			h.entries = h.entries[:i]
		}
		h.n -= n
	}
}
