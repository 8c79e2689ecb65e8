package userdata

import (
	"bytes"
	"context"
	"runtime"
	"runtime/debug"
	"sync"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// A large scan is read in parts by several goroutines, at most one for each processor,
// and the session's own is one of them. The parts are runs of neighbouring leaves of the
// table, or of entries of an index, whose records may lie anywhere. What is found in them
// is put together in their order, so that nobody can tell, but that a page of Rows has all
// that was read when it had enough.
//
// If anything goes wrong in a part, the whole scan is done again by one goroutine, entry
// by entry, which finds the same and says what it is. So a reader of parts has no words
// for it, and what it found, nobody has seen.

// partSizes say how scans are divided. They are [usualParts] but in tests.
type partSizes struct {
	leaves  int // in a part of the table
	entries int // in a part of an index, or as many as an entryRoom has
	alone   int // how many parts of an index there must be before another goroutine helps
	readers int // goroutines that read one scan at the most; there are no more than processors
}

// usualParts are sizes that take much longer to read than it takes another goroutine to
// begin, which is as long as it takes to read some hundred records.
var usualParts = partSizes{leaves: 16, entries: 128, alone: 4, readers: 8}

// A part is a piece of a scan.
type part struct {
	leaves  []uint64     // of the table
	entries []indexEntry // or of an index
	room    *entryRoom   // that the entries are in

	found           sink
	more            bool // found wanted more at its end
	read, readBytes int
	count           int    // of its leaves: how many entries were read,
	first, last     []byte // and the first and last key that were looked at; nil for none

	done, failed bool // under the partition's lock
}

// An entryRoom has the entries of a part until they were followed.
type entryRoom [128]indexEntry

// entryRooms are those that no part has.
var entryRooms = sync.Pool{New: func() any { return new(entryRoom) }}

// leave gives back the part's room. What is in it is of the file, which may be unmapped.
func (pt *part) leave() {
	if pt.room != nil {
		pt.room.leave(pt.entries)
		pt.room, pt.entries = nil, nil
	}
}

// leave gives back a room, of which no more was used than the entries take.
func (room *entryRoom) leave(entries []indexEntry) {
	clear(entries)
	entryRooms.Put(room)
}

// A partition hands out the parts of a scan.
type partition struct {
	*scanner // of the session's goroutine
	sizes    partSizes
	way      *path
	table    *boltBucket // that the leaves are of; nil for an index
	leaves   *pages.Leaves
	span     Range
	entries  indexRun

	mu      sync.Mutex
	ready   sync.Cond // a part was read
	parts   []*part   // in order
	claimed int       // how many of them somebody reads or has read
	readers int       // goroutines besides the session's
	over    bool      // no part follows
	failed  bool

	running sync.WaitGroup // the readers
}

// scanParts is plan.scan by several goroutines. If it is not worthwhile, or if anything
// goes wrong, it reports false, and out is as it was.
func (p *plan) scanParts(ctx context.Context, snap Snapshot, out sink) (done bool, err error) {
	file, ok := snap.(*boltSnapshot)
	sizes := p.s.db.parts
	sizes.readers = min(sizes.readers, runtime.GOMAXPROCS(0))
	if !ok || !p.table.plain || len(p.paths) != 1 || p.s.db.scanLimit > 0 || sizes.readers < 2 {
		return false, nil
	}
	if p.paths[0].index != nil {
		return p.scanIndex(ctx, file, out, sizes)
	}
	if few(out, 2*32*sizes.leaves) {
		return false, nil
	}
	d := p.newPartition(ctx, snap, out, sizes)
	if !d.beginTable(file) {
		return false, nil
	}
	return d.scan(out)
}

// scanIndex is scanParts for the path through an index. If that has few entries, they are visited
// by the scanner that there is, with nothing to be put together.
func (p *plan) scanIndex(ctx context.Context, snap *boltSnapshot, out sink, sizes partSizes) (done bool, err error) {
	way := &p.paths[0]
	if way.index.multi || few(out, sizes.entries*sizes.alone) {
		return false, nil
	}
	b, err := snap.bucket(way.index.bucket)
	if err != nil || !b.found {
		return false, nil
	}
	run := indexRun{ctx: ctx, bucket: b, spans: p.spans(way), c: cursors.Get().(*pages.Cursor)}
	defer cursors.Put(run.c)
	first, sound := run.part(sizes.entries)
	switch {
	case !sound:
		return false, nil
	case first == nil:
		return true, p.interrupted(ctx)
	case len(first.entries) == cap(first.entries): // there may be more
		d := p.newPartition(ctx, snap, out, sizes)
		d.entries, d.parts = run, []*part{first}
		return d.scan(out)
	}
	defer first.leave()
	sc := p.newScanner(ctx, snap, out)
	defer sc.account()
	defer sc.lookAhead()()
	out.expect(len(first.entries))
	if _, err = sc.visitRun(way, first.entries); err == nil {
		err = p.interrupted(ctx)
	}
	return true, err
}

// newPartition returns a partition for the plan's only path.
func (p *plan) newPartition(ctx context.Context, snap Snapshot, out sink, sizes partSizes) *partition {
	d := &partition{scanner: p.newScanner(ctx, snap, out.fork(nil)), way: &p.paths[0], sizes: sizes}
	d.ready.L = &d.mu
	return d
}

// scan reads all parts, and joins what is found to out unless anything goes wrong.
func (d *partition) scan(out sink) (done bool, err error) {
	if err := d.run(); err != nil || d.failed {
		return false, err
	}
	out.join(d.out)
	return true, nil
}

// few reports whether a sink wants no more than n records.
func few(out sink, n int) bool {
	wanted := out.wants()
	return wanted >= 0 && wanted <= n
}

// beginTable reports whether there are several parts of the table to read.
func (d *partition) beginTable(file *boltSnapshot) bool {
	spans := d.spans(d.way)
	if len(spans) != 1 || d.reverse {
		return false
	}
	b, err := file.bucket(d.plan.table.name)
	if err != nil || !b.found {
		return false
	}
	d.table, d.span, d.leaves = b, spans[0], &pages.Leaves{}
	several, err := d.leaves.Reset(&b.tree, d.span.From, d.span.To)
	return several && err == nil && d.append() && d.append()
}

// append finds the next part, and reports whether there is one. The caller has the
// lock, or there is no reader yet.
func (d *partition) append() bool {
	if d.over {
		return false
	}
	pt, sound := d.next()
	if pt == nil {
		d.over, d.failed = true, d.failed || !sound
		return false
	}
	d.parts = append(d.parts, pt)
	return true
}

// next returns the next part, nil after the last and if anything is wrong.
func (d *partition) next() (pt *part, sound bool) {
	if d.table == nil {
		return d.entries.part(d.sizes.entries)
	}
	leaves, err := d.leaves.Next(make([]uint64, 0, d.sizes.leaves))
	if len(leaves) == 0 || err != nil {
		return nil, err == nil
	}
	return &part{leaves: leaves}, true
}

// claim returns the next part for the caller to read, nil after the last. It begins
// another reader if there is more to read.
func (d *partition) claim() *part {
	d.mu.Lock()
	defer d.mu.Unlock()
	ahead := 1
	if d.table == nil && d.readers == 0 {
		ahead = d.sizes.alone
	}
	for len(d.parts) <= d.claimed+ahead && d.append() {
	}
	if d.claimed == len(d.parts) {
		return nil
	}
	pt := d.parts[d.claimed]
	d.claimed++
	if d.claimed+ahead <= len(d.parts) && d.readers < d.sizes.readers-1 {
		d.readers++
		d.running.Go(d.help)
	}
	return pt
}

// help reads parts until there are no more.
func (d *partition) help() {
	defer func() {
		if recover() != nil { // a fault where the parts are looked for
			d.fail()
		}
	}()
	debug.SetPanicOnFault(true)
	r := d.newReader()
	for pt := d.claim(); pt != nil; pt = d.claim() {
		r.run(pt)
	}
}

// close lets nobody claim a part any more.
func (d *partition) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, pt := range d.parts[d.claimed:] {
		pt.leave()
	}
	d.over, d.parts = true, d.parts[:d.claimed]
}

// stop makes the readers end with the parts that they read.
func (d *partition) stop() {
	d.mu.Lock()
	d.over, d.claimed = true, len(d.parts)
	d.mu.Unlock()
	d.running.Wait()
}

// run reads parts, and puts together what was found in all of them.
func (d *partition) run() error {
	r := d.newReader()
	defer d.stop()
	var last []byte
	count, more, whole := 0, true, true
	for i := 0; more; i++ {
		pt := d.await(r, i)
		if err := d.interrupted(d.ctx); err != nil {
			return err
		}
		if pt == nil {
			break
		}
		if pt.failed || last != nil && pt.first != nil && bytes.Compare(last, pt.first) >= 0 {
			d.fail()
			return nil
		}
		if pt.last != nil {
			last = pt.last
		}
		d.rowsRead += pt.read
		d.bytesRead += pt.readBytes
		count += pt.count
		more = pt.more
		switch enough := !d.out.join(pt.found); {
		case enough && !d.out.spares():
			more = false
		case enough && whole:
			d.close()
			whole = false
		}
	}
	if more && whole && d.table != nil && !d.table.complete(d.span, count) {
		d.fail()
	}
	return nil
}

// fail notes that something is wrong, which ends the search for parts.
func (d *partition) fail() {
	d.mu.Lock()
	d.failed, d.over = true, true
	d.mu.Unlock()
}

// await returns the part i once it was read, nil if there are not so many. It reads others
// rather than wait.
func (d *partition) await(r *partReader, i int) *part {
	for {
		if pt, done := d.part(i); done {
			return pt
		}
		pt := d.claim()
		if pt == nil {
			break
		}
		r.run(pt)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if i >= len(d.parts) {
		return nil
	}
	pt := d.parts[i]
	for !pt.done {
		d.ready.Wait()
	}
	return pt
}

// part returns the part i and whether it was read.
func (d *partition) part(i int) (pt *part, done bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i >= len(d.parts) {
		return nil, false
	}
	return d.parts[i], d.parts[i].done
}

// A partReader reads parts, in one goroutine.
type partReader struct {
	d    *partition
	sc   scanner
	room *room
}

// newReader returns a reader with a room of its own.
func (d *partition) newReader() *partReader {
	r := &partReader{d: d, sc: *d.scanner, room: d.plan.newRoom()}
	r.sc.row = newRow(d.plan.table)
	d.mu.Lock()
	d.rooms = append(d.rooms, r.room)
	d.mu.Unlock()
	return r
}

// run reads a part.
func (r *partReader) run(pt *part) {
	sound := false
	defer func() {
		if !sound {
			recover() // if it is a panic, or a fault of the file, the scan will meet it again
		}
		r.d.mu.Lock()
		pt.done, pt.failed = true, !sound
		r.d.ready.Broadcast()
		r.d.mu.Unlock()
	}()
	pt.found = r.d.out.fork(r.room)
	r.sc.out, r.sc.read, r.sc.readBytes = pt.found, 0, 0
	if pt.leaves != nil {
		sound = r.readLeaves(pt)
		return
	}
	sound = r.readEntries(pt)
	pt.leave()
	pt.read, pt.readBytes = r.sc.read, r.sc.readBytes
}

// readEntries reads the records that entries of an index lead to, and reports whether
// all is well.
func (r *partReader) readEntries(pt *part) bool {
	defer r.sc.lookAhead()()
	pt.found.expect(len(pt.entries))
	more, err := r.sc.visitRun(r.d.way, pt.entries)
	pt.more = more
	return err == nil
}

// readLeaves reads the records in leaves of the table, and reports whether all is well.
func (r *partReader) readLeaves(pt *part) bool {
	span, tree := &r.d.span, &r.d.table.tree
	crop := r.sc.takesAll(r.d.way)
	var first, last []byte // not in pt, which may lie beside what another goroutine writes to
	count, size, more, within := 0, 0, true, span.From == nil
leaves:
	for n, id := range pt.leaves {
		if n+1 < len(pt.leaves) {
			tree.Prefetch(pt.leaves[n+1])
		}
		leaf, err := tree.Leaf(id)
		if err != nil {
			return false
		}
		for i := 0; more && i < leaf.Len(); i++ {
			key, value := leaf.Entry(i, last)
			if key == nil {
				return false
			}
			if last = key; first == nil {
				first = key
			}
			if !within && bytes.Compare(key, span.From) < 0 {
				continue
			}
			if span.To != nil && bytes.Compare(key, span.To) >= 0 {
				break leaves
			}
			count, size, within = count+1, size+len(value), true
			if crop == nil {
				more, err = r.sc.visit(r.d.way, key, value)
			} else if crop.reap(key, value) != nil {
				more = crop.more()
			} else {
				return false
			}
			if err != nil {
				return false
			}
		}
	}
	pt.first, pt.last, pt.count, pt.more = first, last, count, more
	pt.read, pt.readBytes = count, size
	return true
}

// An indexRun goes through the entries of some spans of an index.
type indexRun struct {
	ctx    context.Context
	bucket *boltBucket
	spans  ranges // the rest
	done   int    // how many spans came before
	c      *pages.Cursor
	within bool // the cursor is in the first of them,
	count  int  // and has gone through so many of its entries
}

// part returns the part of the next entries, n if there are so many; nil after the last, and if
// anything is wrong.
func (x *indexRun) part(n int) (pt *part, sound bool) {
	room := entryRooms.Get().(*entryRoom)
	entries, err := x.next(room[:0:min(n, len(room))])
	if len(entries) == 0 || err != nil {
		room.leave(room[:])
		return nil, err == nil
	}
	return &part{room: room, entries: entries}, true
}

// next appends entries as long as there is room for them.
func (x *indexRun) next(entries []indexEntry) ([]indexEntry, error) {
	for len(entries) < cap(entries) && len(x.spans) > 0 {
		span := x.spans[0]
		key, value, err := x.step(span)
		switch {
		case err != nil:
			return nil, err
		case key == nil || !x.inside(span, key):
			if !x.bucket.complete(x.spans[0], x.count) {
				return nil, errIncomplete
			}
			x.spans, x.within = x.spans[1:], false
			if x.done++; x.done%256 == 0 && x.ctx.Err() != nil {
				return nil, x.ctx.Err() // whoever reads on alone says it
			}
		case value == nil:
			return nil, strayError(x.bucket.name, key)
		default:
			x.count++
			entries = append(entries, indexEntry{key, value})
		}
	}
	return entries, nil
}

// inside reports whether the entry is in the span. Those after the first one, which are on the
// way to its end, can only be beyond that.
func (x *indexRun) inside(span Range, key []byte) bool {
	switch {
	case x.count == 0:
		return span.Contains(key)
	case span.Reverse:
		return bytes.Compare(key, span.From) >= 0
	}
	return span.To == nil || bytes.Compare(key, span.To) < 0
}

// errIncomplete says that entries are missing.
var errIncomplete = corruptf("entries are missing")

// step goes to the next entry, or to the first of a span.
func (x *indexRun) step(span Range) (key, value []byte, err error) {
	switch {
	case !x.within:
		x.within, x.count = true, 0
		x.c.Reset(&x.bucket.tree)
		return seekRange(x.c, span)
	case span.Reverse:
		return x.c.Prev()
	}
	return x.c.Next()
}
