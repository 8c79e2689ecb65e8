package userdata

import (
	"reflect"
	"slices"
	"unsafe"
)

// A sink takes what a scan finds.
type sink interface {
	// add takes a record, or nil where an index alone says that there is one, and reports
	// whether more are wanted. The row is the scan's.
	add(r *row) (more bool, err error)

	// fork returns an empty sink of the same kind, for a part of the scan, which another
	// goroutine may read, with that goroutine's room; nil if only join will be called.
	// The part is over when the fork wants no more.
	fork(*room) sink

	// expect says how many records may come, before they do.
	expect(n int)

	// wants returns how many records it takes at the most, -1 for all that there are.
	wants() int

	// join takes what a fork has taken, which was found after what this one has, and
	// reports whether more is wanted.
	join(fork sink) (more bool)

	// spares reports whether join takes what nobody wanted but what was read anyway.
	spares() bool
}

// A counter is a sink that counts records.
type counter struct{ n, enough int } // enough is -1 for all

func (c *counter) add(*row) (more bool, err error) {
	c.n++
	return c.n != c.enough, nil
}

func (c *counter) expect(int) {}

func (c *counter) wants() int { return c.enough }

func (c *counter) fork(*room) sink { return &counter{enough: c.enough} }

func (c *counter) spares() bool { return false }

func (c *counter) join(fork sink) (more bool) {
	c.n += fork.(*counter).n
	if c.enough >= 0 {
		c.n = min(c.n, c.enough)
	}
	return c.n != c.enough
}

// A gatherer is a sink that keeps records as candidates: in order and as many as are
// needed, if that can be said without the program's code.
type gatherer struct {
	*plan
	enough int // how many are; -1 for all
	found  []*candidate
	size   int // bytes of the stored records found, if it is for a page of Rows

	// eager says that records are decoded as they are read: all of them are wanted,
	// and no code of the program's runs then.
	eager bool

	*room
}

// A room is where candidates and what they have are put, side by side. What one query
// leaves of it, another one uses.
type room struct {
	blocks
	candidates slab[candidate] // that are of use until the query is done
	some       slab[candidate] // some of which are let go of before
	sorts      []unsafe.Pointer
	texts      textRoom
	ends       slab[uint32] // of values, for the recordRuns that have them
}

// newRoom returns a room for the plan's answers, which is to be given back by free.
func (p *plan) newRoom() *room {
	r, ok := p.table.rooms.Get().(*room)
	if !ok {
		r = &room{candidates: slab[candidate]{kept: &keptRooms[candidate]{}}}
	}
	r.most, r.coming = listRoom, 0
	if p.page != nil {
		r.most = pageRoom
	}
	r.texts.most = r.most
	return r
}

// free gives the room back, after the last use of its candidates. What they had stays
// as it is.
func (r *room) free(t *table) {
	r.candidates.reset()
	t.rooms.Put(r)
}

// newGatherer returns a gatherer for the plan, with a room until plan.done.
func (p *plan) newGatherer() *gatherer {
	g := &gatherer{plan: p, enough: p.need, room: p.newRoom()}
	p.rooms = append(p.rooms, g.room)
	if p.matches && p.page == nil {
		g.enough = -1
	}
	g.eager = p.table.plain && (p.inOrder || g.enough < 0)
	return g
}

func (g *gatherer) add(r *row) (more bool, err error) {
	memory := &g.candidates
	if g.prunes() {
		memory = &g.some
	}
	c := memory.next()
	if ahead, err := g.fill(c, r); err != nil || !ahead {
		memory.undo()
		return true, err
	}
	g.found = append(g.found, c)
	if g.page != nil {
		g.size += len(r.key) + len(r.value)
	}
	return g.prune(), nil
}

func (g *gatherer) expect(n int) { g.coming = n }

func (g *gatherer) wants() int {
	if g.inOrder {
		return g.enough
	}
	return -1 // the best may come last
}

func (g *gatherer) spares() bool { return false }

func (g *gatherer) fork(r *room) sink {
	return &gatherer{plan: g.plan, enough: g.enough, eager: g.eager, room: r}
}

func (g *gatherer) join(fork sink) (more bool) {
	part := fork.(*gatherer)
	if g.size += part.size; g.found == nil {
		g.found = part.found
	} else {
		g.found = append(g.found, part.found...)
	}
	if g.inOrder && g.enough >= 0 {
		g.found = g.found[:min(g.enough, len(g.found))]
	}
	return g.prune()
}

// prunes reports whether there may be candidates that are let go of.
func (g *gatherer) prunes() bool { return g.enough >= 0 && !g.inOrder }

// prune lets go of candidates that others come before, once there are many more than
// enough, and reports whether more are wanted.
func (g *gatherer) prune() (more bool) {
	switch {
	case g.enough < 0:
	case g.inOrder:
		return len(g.found) < g.enough && g.size < pageBound
	case len(g.found) >= 1024 && len(g.found)/2 >= g.enough:
		g.found = g.best(g.found)
	}
	return true
}

// fill makes a candidate of a row: one to be kept, unless it reports that the record
// comes before where the query begins.
func (g *gatherer) fill(c *candidate, r *row) (ahead bool, err error) {
	if g.eager {
		if err := g.decode(c, r); err != nil {
			return false, err
		}
		columns := g.sortColumns()
		for _, o := range columns {
			g.addSort(c, len(columns), o.col.at(c.ptr))
		}
		return g.ahead(c), nil
	}
	c.key, c.value = r.key, r.value
	columns := g.sortColumns()
	for _, o := range columns {
		v, err := g.table.decodeColumn(r, o.col)
		if err != nil {
			return false, err
		}
		g.addSort(c, len(columns), v)
	}
	if !g.ahead(c) {
		return false, nil
	}
	g.take(c, r)
	return true, nil
}

// decode gives the candidate the row's record, and what else will be wanted of it: of a
// copy for the program, nothing but the key.
func (g *gatherer) decode(c *candidate, r *row) (err error) {
	if c.ptr, c.value, err = g.record(r, !g.untracked); err != nil {
		return err
	}
	c.key = g.key(r)
	return nil
}

// take gives the candidate copies of the row's key and value.
func (g *gatherer) take(c *candidate, r *row) { c.value, c.key = g.copy(r.value), g.key(r) }

// record decodes a row's record. If its bytes are to be kept, value is a copy of them, else
// nil.
func (m *room) record(r *row, keep bool) (p unsafe.Pointer, value []byte, err error) {
	b, mem := r.value, &m.texts
	if keep {
		value = m.copy(r.value)
		b, mem = value, lentBy(value)
	}
	p = m.newRecord(r.table)
	if err := r.table.decodeVerified(r.key, b, p, mem); err != nil {
		return nil, nil, err
	}
	r.record = p
	return p, value, nil
}

// key returns a copy of a row's key.
func (m *room) key(r *row) []byte { return m.keyOf(r.table, r.key, r.record) }

// keyOf returns a copy of a key, whose record, if it was decoded, is at p.
func (m *room) keyOf(t *table, key []byte, p unsafe.Pointer) []byte {
	if t.keyCodec.text && p != nil { // a string's bytes never change
		return bytesOf(*(*string)(t.key.at(p)))
	}
	return m.copy(key)
}

// addSort adds the value of one of the n columns that candidates are compared by.
func (m *room) addSort(c *candidate, n int, v unsafe.Pointer) {
	if c.sort == nil {
		if n > cap(m.sorts)-len(m.sorts) {
			m.sorts = make([]unsafe.Pointer, 0, n*min(max(1, 2*cap(m.sorts)/n), 64))
		}
		at := len(m.sorts)
		m.sorts = m.sorts[:at+n]
		c.sort = m.sorts[at:at:len(m.sorts)]
	}
	c.sort = append(c.sort, v)
}

// Blocks are memory for records and for what they are read from, side by side. Who keeps one
// of those in a block keeps all.
type blocks struct {
	most    int // bytes of a block
	coming  int // how many more records may come, as far as is known
	bytes   []byte
	records recordRoom
}

// newRecord returns a zero record.
func (m *blocks) newRecord(t *table) unsafe.Pointer { return m.records.next(t, m.coming, m.most) }

// copy returns a copy that nobody changes.
func (m *blocks) copy(b []byte) []byte {
	_, b = m.copyBoth(nil, b)
	return b
}

// copyBoth returns copies that nobody changes: of a key, and behind it of its value.
func (m *blocks) copyBoth(key, value []byte) (k, v []byte) {
	size := len(key) + len(value)
	if size > cap(m.bytes)-len(m.bytes) {
		m.bytes = newBytes(max(size, min(max(2*cap(m.bytes), m.coming*size), m.most)), m.bytes)
	}
	n := len(m.bytes)
	m.bytes = append(append(m.bytes, key...), value...)
	both := m.bytes[n:len(m.bytes):len(m.bytes)]
	return both[:len(key)], both[len(key):]
}

// A recordRoom makes records that lie side by side, in blocks of a limited size.
type recordRoom struct {
	block unsafe.Pointer
	used  int
	size  int
}

// next returns a zero record, in a block of at most so many bytes. If a new one is begun it has room
// for those that are to come, or for twice as many as the last one.
func (m *recordRoom) next(t *table, coming, most int) unsafe.Pointer {
	if m.used == m.size {
		m.used, m.size = 0, max(1, min(max(2*m.size, coming), most/max(1, int(t.size))))
		if m.size == 1 {
			m.block = t.newRecord()
		} else {
			m.block = reflect.MakeSlice(t.sliceType, m.size, m.size).UnsafePointer()
		}
	}
	p := unsafe.Add(m.block, uintptr(m.used)*t.size) // within the block: used < size
	m.used++
	return p
}

// beside reports whether the last record that next gave is the one after n others, the first
// of which is given, and in the same block: not just in one that happens to lie behind it.
func (m *recordRoom) beside(t *table, first unsafe.Pointer, n int) bool {
	return n < m.used && first == unsafe.Add(m.block, uintptr(m.used-1-n)*t.size)
}

// best keeps the first candidates that are needed.
func (p *plan) best(found []*candidate) []*candidate {
	slices.SortFunc(found, p.compare)
	n := min(p.need, len(found))
	clear(found[n:])
	return found[:n]
}
