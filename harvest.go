package userdata

import (
	"context"
	"unsafe"
)

// A harvest is a sink that makes answers where they are read, with nothing between the
// file and them: the records, and the entries of those that the session is to track. It is
// for queries whose answers are what the scan finds, in the order in which it does: see
// plan.plainly. What it makes is nobody's before answers.
type harvest struct {
	*plan
	*room
	enough  int // how many records are; -1 for all
	n       int // how many there are
	records []recordRun
	entries [][]entry // if they are to be tracked, instead
}

// A recordRun is records side by side in one block.
type recordRun struct {
	first unsafe.Pointer
	n     int
}

// plainly reports whether the query's answers are what a scan finds: if the order is the
// scan's, and the session has no record of its own among them.
func (p *plan) plainly() bool {
	if !p.table.plain || !p.inOrder || p.matches || p.after != nil || p.need == 0 {
		return false
	}
	if p.im.count == 0 {
		return true
	}
	return p.im.checked == p.s.epoch && !p.im.any(func(e *entry) bool { return e.live() && p.where.holds(e.ptr) })
}

// harvest returns the answers of a query that is answered plainly.
func (p *plan) harvest(ctx context.Context) (answers []unsafe.Pointer, err error) {
	h := &harvest{plan: p, room: p.table.room(), enough: p.need}
	p.rooms = append(p.rooms, h.room)
	if !p.untracked {
		p.im = p.s.identity(p.table)
		h.room.entries = &p.s.entries
		h.room.entries.reserve(max(h.enough, 0))
	}
	if err := p.read(ctx, func(snap Snapshot) error { return p.scan(ctx, snap, h) }); err != nil {
		return nil, err
	}
	answers = h.answers()
	p.s.db.echoSelect(ctx, p, len(answers))
	return answers, nil
}

// answers returns the records after the offset, which the session tracks from now on,
// unless the query is untracked.
func (h *harvest) answers() []unsafe.Pointer {
	skip, n := min(h.offset, h.n), h.n
	answers := make([]unsafe.Pointer, 0, n-skip)
	size := h.table.typ.Size()
	for _, run := range h.records {
		for i := min(skip, run.n); i < run.n; i++ {
			answers = append(answers, unsafe.Add(run.first, uintptr(i)*size)) // within the block: i < n
		}
		skip -= min(skip, run.n)
	}
	if len(h.entries) > 0 {
		h.s.reserve(h.table, n-skip)
	}
	for _, run := range h.entries {
		for i := min(skip, len(run)); i < len(run); i++ {
			e := &run[i]
			h.s.track(h.im, e)
			answers = append(answers, e.ptr)
		}
		skip -= min(skip, len(run))
	}
	return answers
}

func (h *harvest) add(r *row) (more bool, err error) {
	p, value, err := h.room.record(r, !h.untracked)
	if err != nil {
		return false, err
	}
	if h.untracked {
		h.addRecord(p)
	} else {
		h.addEntry(p, h.room.key(r), value)
	}
	h.n++
	return h.n != h.enough, nil
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
	*e = entry{im: h.im, ptr: p, state: Persistent, key: unsafe.String(unsafe.SliceData(key), len(key)), baseline: value}
	if n := len(h.entries); n > 0 {
		run := h.entries[n-1]
		if len(run) < cap(run) && &run[:len(run)+1][len(run)] == e {
			h.entries[n-1] = run[:len(run)+1]
			return
		}
	}
	h.entries = append(h.entries, h.room.entries.last())
}

func (h *harvest) wants() int { return h.enough }

func (h *harvest) fork(r *room) sink {
	return &harvest{plan: h.plan, room: r, enough: h.enough}
}

func (h *harvest) join(fork sink) (more bool) {
	part := fork.(*harvest)
	h.n += part.n
	h.records = append(h.records, part.records...)
	h.entries = append(h.entries, part.entries...)
	if h.enough >= 0 && h.n > h.enough {
		h.cut()
	}
	return h.n != h.enough
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
