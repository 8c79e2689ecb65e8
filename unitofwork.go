package userdata

import (
	"sync"
	"unsafe"
)

// A unitOfWork is what a session tracks, with all that it needs for that.
type unitOfWork struct {
	snapshot Snapshot // in a View: the one that all reads see
	torn     bool     // a rollback did not come to its end

	tables   []*identityMap     // of each table that was used
	entries  slab[entry]        // memory for those of records that were read
	pointers map[pointer]*entry // what the program has pointers to; nil before it is asked for: see entryOf
	hidden   []*entry           // what bulk updates and deletes made since the last commit; maybe handed out since
	detached map[weakPointer]struct{}
	prune    int          // the size at which detached is rid of records that are no more
	saves    []*savepoint // the open ones, the outermost first

	epoch   uint64               // counts commits and rollbacks
	version uint64               // of the store at the first read, if serializable
	absent  map[absence]struct{} // keys that Get did not find since the last commit or rollback
	gets    uint64               // how many of the session's calls were Get
	key     []byte               // the encoded key of the call under way: its memory is used again
	memory  unitMemory

	reading readRoom // goes with the memory to a later session
}

// An absence is a key under which a session found nothing.
type absence struct {
	table *table
	key   string
}

// unitsOfWork has some that sessions have given back, each like a new one.
var unitsOfWork = sync.Pool{New: func() any { return new(unitOfWork) }}

func newUnitOfWork() *unitOfWork {
	u := unitsOfWork.Get().(*unitOfWork)
	u.epoch = 1
	u.key = u.memory.key[:0]
	u.reading.most = getRoom
	return u
}

// giveBack gives the unit of work of a session that is closing to a later one, if all that was
// done in it was Get, of one record at the most: a program may have very many of those, and
// half of what they allocate was this. Of all else, loops and savepoints might come back to
// it, which are calls as well. The caller is in a call.
func (s *Session) giveBack() {
	u := s.unitOfWork
	if len(u.tables) > 1 || s.marked(misusedSession) || !s.calls.counts(u.gets) {
		return
	}
	if len(u.tables) == 1 {
		switch entries := u.memory.table.entries; len(entries) {
		case 0:
		case 1:
			s.had = entries[0].pointer()
		default:
			return
		}
	}
	s.unitOfWork = nil
	rest := u.reading.rest()
	*u = unitOfWork{}
	u.reading = rest
	unitsOfWork.Put(u)
}

// A readRoom has the memory for what Get reads: blocks, which who keeps one of the records keeps,
// for records that are small as stored. Each larger one has memory of its own.
type readRoom struct {
	blocks
	of *table // whose records are in the blocks
}

// smallRecord is how many bytes a small record has as stored, and its key, at the most.
const smallRecord = getRoom / 4

// newRecord returns a zero record of the table, for what has so many bytes as stored.
func (m *readRoom) newRecord(t *table, size int) unsafe.Pointer {
	if size > smallRecord {
		return t.newRecord()
	}
	if m.of != t {
		m.of, m.records = t, recordRoom{}
	}
	return m.blocks.newRecord(t)
}

// copyBoth is that of the blocks, or of none.
func (m *readRoom) copyBoth(key, value []byte) (k, v []byte) {
	if len(key)+len(value) > smallRecord {
		return new(blocks).copyBoth(key, value)
	}
	return m.blocks.copyBoth(key, value)
}

// rest returns the room without what is used up, which only the records should keep.
func (m *readRoom) rest() readRoom {
	rest := *m
	if rest.records.used == rest.records.size {
		rest.records.block = nil
	}
	return rest
}

// known returns the identity map of a table, or nil if the table was not used yet.
func (u *unitOfWork) known(t *table) *identityMap {
	for _, im := range u.tables {
		if im.table == t {
			return im
		}
	}
	return nil
}

// identity returns the identity map of a table.
func (u *unitOfWork) identity(t *table) *identityMap {
	im := u.known(t)
	switch {
	case im != nil:
		return im
	case u.tables == nil:
		im = u.firstMap()
	default:
		im = &identityMap{}
	}
	im.table, im.base.of = t, im
	u.tables = append(u.tables, im)
	return im
}

// A unitMemory is what a session of one table needs for its first record, so that
// such a one is a single piece of memory.
type unitMemory struct {
	table   identityMap
	tables  [1]*identityMap
	entries [1]*entry
	entry   [1]entry
	key     [32]byte
}

// firstMap puts the memory to use, and returns the identity map in it.
func (u *unitOfWork) firstMap() *identityMap {
	m := &u.memory
	u.tables, u.entries.room = m.tables[:0], m.entry[:0]
	m.table.entries = m.entries[:0]
	return &m.table
}
