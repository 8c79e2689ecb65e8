package userdata

import (
	"reflect"
	"slices"
	"unsafe"
	"weak"
)

// State is where a record stands in the life that a session gives it. The words
// are SQLAlchemy's.
type State uint8

const (
	Transient  State = iota // never in the session
	Pending                 // added, not yet committed
	Persistent              // in the session and in the store
	Deleted                 // marked to be deleted, not yet committed
	Detached                // was in the session
)

// String returns the state's name in lower case.
func (s State) String() string {
	names := [...]string{"transient", "pending", "persistent", "deleted", "detached"}
	if int(s) < len(names) {
		return names[s]
	}
	return "unknown"
}

// A pointer identifies a record. An address alone does not: a record that is
// embedded at the beginning of another has the same one.
type pointer struct {
	table *table
	ptr   unsafe.Pointer
}

// A weakPointer identifies a record for good without keeping it: unlike its
// address, it is not used again once the record is gone.
type weakPointer struct {
	table *table
	ptr   weak.Pointer[byte]
}

func (p pointer) weak() weakPointer { return weakPointer{p.table, weak.Make((*byte)(p.ptr))} }

// An entry is a record that a session tracks. A session may have millions of them, each of
// which is a line of the processor's cache.
type entry struct {
	im  *identityMap
	ptr unsafe.Pointer // the record; nil for one that Query.Delete marked without reading it

	// For a record that is in the store: the key it has there, and its bytes
	// there as the session last saw them.
	key      string
	baseline string

	epoch uint64 // of the session, when the baseline was last known to be what the store has
	index uint32 // its place in im.entries
	state State  // Pending, Persistent or Deleted
	moved bool   // im.moved has it

	// hidden says that a bulk Update or Delete made the entry: the program has
	// no pointer to the record, and the session forgets it after the commit.
	hidden bool
}

// record returns the record as the program knows it: a *T.
func (e *entry) record() any { return e.im.table.interfaceTo(e.ptr) }

// pointer identifies the entry's record.
func (e *entry) pointer() pointer { return pointer{e.im.table, e.ptr} }

// tracked reports whether the session has the entry still.
func (e *entry) tracked() bool {
	return int(e.index) < len(e.im.entries) && e.im.entries[e.index] == e
}

// live reports whether the record exists as the session sees things.
func (e *entry) live() bool { return e.state == Pending || e.state == Persistent }

// currentKey returns the key that the record's fields say, "" if that is none.
func (e *entry) currentKey() string {
	if e.ptr == nil {
		return ""
	}
	t := e.im.table
	key, err := t.keyCodec.append(nil, t.key.at(e.ptr))
	if err != nil {
		return ""
	}
	return string(key)
}

// keyIs reports whether the key that the record's fields say is the given one.
func (e *entry) keyIs(key []byte) bool {
	return e.ptr != nil && e.im.table.keyCodec.equal(key, e.im.table.key.at(e.ptr))
}

// bytesOf returns a string's bytes, which must not be changed.
func bytesOf(s string) []byte {
	return unsafe.Slice(unsafe.StringData(s), len(s)) // without a copy, for who only reads
}

// lentText returns as a string, without a copy, bytes that never change.
func lentText(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// changed reports whether the record differs from its baseline. A record that
// can't be encoded differs from every stored one.
func (e *entry) changed() bool { return !e.im.table.matches(bytesOf(e.baseline), e.ptr) }

// load makes the record what the stored value says, in place, and the value, which
// never changes, its baseline. Columns that hold that already are left alone, so that the
// program's slices and maps stay its own.
func (e *entry) load(value []byte) error {
	t := e.im.table
	fresh := t.newRecord()
	if err := t.decodeOwn([]byte(e.key), value, fresh); err != nil {
		return err
	}
	t.assign(e.ptr, fresh)
	e.baseline = lentText(value)
	return nil
}

// assign copies those columns from src to dst that differ.
func (t *table) assign(dst, src unsafe.Pointer) {
	for _, c := range t.columns {
		c.assign(c.at(dst), c.at(src))
	}
}

// assign copies a value of the column from src to dst, unless they are equal.
func (c *column) assign(dst, src unsafe.Pointer) {
	if !c.equal(dst, src) {
		reflect.NewAt(c.codec.typ, dst).Elem().Set(reflect.NewAt(c.codec.typ, src).Elem())
	}
}

// clone returns a deep copy of the columns of the record at p; fields that are
// not mapped are zero.
func (t *table) clone(p unsafe.Pointer) unsafe.Pointer {
	n := t.newRecord()
	for _, c := range t.columns {
		c.codec.clone(c.at(n), c.at(p))
	}
	return n
}

// entryOf returns the entry of a record that the program has a pointer to, or nil.
// What it looks it up in is made when that is asked for first: a session that only
// reads, or changes what it has read, does without.
func (s *Session) entryOf(p pointer) *entry {
	if s.pointers == nil {
		s.mapPointers(0)
	}
	return s.pointers[p]
}

// mapPointers fills s.pointers, and makes room in it for more.
func (s *Session) mapPointers(more int) {
	for _, im := range s.tables {
		more += im.count
	}
	s.pointers = make(map[pointer]*entry, more)
	for _, im := range s.tables {
		im.all(func(e *entry) {
			if !e.hidden {
				s.pointers[e.pointer()] = e
			}
		})
	}
}

// An identityMap holds a session's records of one table.
type identityMap struct {
	table   *table
	entries []*entry // in the order in which they were made; nil where one was forgotten
	count   int      // entries that are not nil, and records in runs

	// runs has records that were read and that nobody has asked for since: the program may
	// have changed them. They have no entries yet, and whoever looks at entries makes
	// them first: see list and touched. Who only reads much pays for none.
	runs []recordRun

	// base holds the entries that are in the store, by their key there: all
	// Persistent and Deleted ones, no Pending ones.
	base keyIndex

	// moved holds live entries by the key that their fields said when last
	// looked at, unless base has them under it. A program may change a key field
	// at any time, so what is found here, or in base, is checked before it is
	// believed, and rekey brings moved up to date.
	moved map[string]*entry

	checked uint64 // the session's epoch in which all entries were compared with the store; 0 if some may be older
	moves   int    // how often entries have come to another place
}

// insert takes in a new entry. One that is not Pending has the key that its record's
// fields say: it was just read, or deleted unread.
func (im *identityMap) insert(e *entry) {
	im.list()
	im.compactIfSparse()
	e.im, e.index = im, uint32(len(im.entries))
	im.entries = append(im.entries, e)
	im.count++
	if e.state == Pending {
		im.rekeyEntry(e)
	} else {
		im.base.puts++
	}
}

// insertRuns takes in records that were read, of which base has none.
func (im *identityMap) insertRuns(runs []recordRun) {
	im.compactIfSparse()
	for i := range runs {
		im.count += runs[i].n
		im.base.puts += runs[i].n
	}
	if im.runs == nil {
		im.runs = runs
	} else {
		im.runs = append(im.runs, runs...)
	}
}

// list returns the entries, once all records have theirs.
func (im *identityMap) list() []*entry {
	if len(im.runs) > 0 {
		im.unfoldAll()
	}
	return im.entries
}

func (im *identityMap) unfoldAll() {
	n := 0
	for i := range im.runs {
		n += im.runs[i].n
	}
	im.entries = slices.Grow(im.entries, n)
	keys := newKeyReader(im.table)
	for i := range im.runs {
		im.unfold(keys, &im.runs[i])
	}
	im.runs = nil
}

// unfold makes entries for the records of a run, and empties it.
func (im *identityMap) unfold(keys *keyReader, run *recordRun) {
	entries := make([]entry, run.n)
	for i := range entries {
		e := &entries[i]
		keys.entry(e, run, i)
		e.im, e.index = im, uint32(len(im.entries))
		im.entries = append(im.entries, e)
	}
	*run = recordRun{}
}

// remove forgets an entry, if it is there.
func (im *identityMap) remove(e *entry) {
	if !e.tracked() {
		return
	}
	im.unmove(e)
	im.base.remove(e)
	im.entries[e.index] = nil
	im.count--
}

// compactIfSparse closes the gaps between the entries if there are more gaps than entries.
func (im *identityMap) compactIfSparse() {
	if len(im.entries) > 32 && im.count < len(im.entries)/2 {
		im.compact()
	}
}

// compact closes the gaps that removed entries left.
func (im *identityMap) compact() {
	im.base.settle()
	im.moves++
	kept := im.entries[:0]
	for _, e := range im.entries {
		if e != nil {
			e.index = uint32(len(kept))
			kept = append(kept, e)
		}
	}
	clear(im.entries[len(kept):])
	im.entries = kept
	im.base.renew()
}

// all calls fn for each entry, in the order in which they were made; fn may remove
// entries, but not insert any.
func (im *identityMap) all(fn func(e *entry)) {
	im.list()
	im.touched(fn)
}

// touched is all without runs of records none of which differs from what was read when its
// turn comes: fn may change records, those whose turn is yet to come will be seen.
func (im *identityMap) touched(fn func(e *entry)) {
	var keys *keyReader
	i := 0
	for run := 0; ; run++ {
		for ; i < len(im.entries); i++ {
			if e := im.entries[i]; e != nil {
				fn(e)
			}
		}
		for run < len(im.runs) && !im.runs[run].changed(im.table) {
			run++
		}
		if run >= len(im.runs) {
			break
		}
		if keys == nil {
			keys = newKeyReader(im.table)
		}
		im.unfold(keys, &im.runs[run])
	}
	if keys != nil {
		im.runs = slices.DeleteFunc(im.runs, func(run recordRun) bool { return run.n == 0 })
	}
}

// rekeyEntry brings moved up to date for one entry.
func (im *identityMap) rekeyEntry(e *entry) {
	im.unmove(e)
	if !e.live() || e.state == Persistent && e.keyIs(bytesOf(e.key)) { // where it was, as most are
		return
	}
	if key := e.currentKey(); key != "" && (e.state == Pending || key != e.key) && im.moved[key] == nil {
		e.moved = true
		if im.moved == nil {
			im.moved = map[string]*entry{}
		}
		im.moved[key] = e
	}
}

// unmove takes an entry out of moved.
func (im *identityMap) unmove(e *entry) {
	if !e.moved {
		return
	}
	if im.moved[e.currentKey()] != e { // the program has changed the field since
		im.rekey()
	}
	if key := e.currentKey(); im.moved[key] == e {
		delete(im.moved, key)
	}
	e.moved = false
}

// rekey brings moved up to date.
func (im *identityMap) rekey() {
	im.list()
	im.rekeyEntries()
}

// rekeyEntries is rekey if all records in runs have the keys that they were read with.
func (im *identityMap) rekeyEntries() {
	clear(im.moved)
	for _, e := range im.entries {
		if e != nil {
			e.moved = false
			im.rekeyEntry(e)
		}
	}
}

// lookup returns the live entry whose current key is the given one, as far as
// is known without looking at every entry, and the one whose record has it in the store.
func (im *identityMap) lookup(key []byte) (e, stored *entry) {
	stored = im.base.find(key)
	if len(im.moved) > 0 {
		if e = im.moved[string(key)]; e != nil && e.live() && e.keyIs(key) {
			return e, stored
		}
	}
	if stored != nil && stored.live() && stored.keyIs(key) {
		return stored, stored
	}
	return nil, stored
}

// holds reports whether lookup finds an entry.
func (im *identityMap) holds(key []byte) bool {
	e, _ := im.lookup(key)
	return e != nil
}

// search is lookup, but certain: it looks at every entry's current key.
func (im *identityMap) search(key []byte) *entry {
	e, _ := im.lookup(key)
	if e == nil {
		im.rekey()
		e, _ = im.lookup(key)
	}
	return e
}
