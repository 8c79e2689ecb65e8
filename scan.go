package userdata

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// A scanner reads what a plan's paths lead to.
type scanner struct {
	*plan
	ctx    context.Context
	snap   Snapshot
	out    sink
	atMost int                 // how many records are looked at without an index; 0 for any number
	bare   bool                // out only counts: what an exact path leads to need not be read
	own    *keyIndex           // the session's, by the keys that they have in the store
	once   map[string]struct{} // keys seen, if a record may come twice

	row             row
	ahead           *lookahead
	read, readBytes int // what was looked at
}

// A lookahead has the stored records that the next entries of an index lead to, all of
// them looked up at once: see pages.Tree.GetAll.
type lookahead struct {
	entries []indexEntry
	size    int // how many entries are looked at together next time
	at      int // the entry that is visited
	side    int // which keys are of those that are visited or come next
	keys    [2][farthest][]byte
	values  [farthest][]byte // nil if not known; else the key is the table's own, beside the value
	aims    pages.Aims       // of the keys that come next,
	aimed   bool             // which were aimed at
}

// farthest is how many entries are looked at together at the most.
const farthest = pages.Together

// lookaheads are for scans: they are large.
var lookaheads = sync.Pool{New: func() any { return &lookahead{entries: make([]indexEntry, 0, farthest)} }}

// newScanner returns a scanner of the plan's.
func (p *plan) newScanner(ctx context.Context, snap Snapshot, out sink) *scanner {
	_, bare := out.(*counter)
	sc := &scanner{plan: p, ctx: ctx, snap: snap, out: out, atMost: p.s.db.scanLimit, bare: bare, row: newRow(p.table)}
	if p.page == nil || !p.page.alone || p.paths[0].index != nil { // else none of them lies ahead
		p.im.base.settle()
		sc.own = &p.im.base
	}
	return sc
}

// scan gives out each stored record that the session does not track and that meets the
// conditions, as far as that can be said without the program's code, until it wants no
// more.
func (p *plan) scan(ctx context.Context, snap Snapshot, out sink) error {
	if done, err := p.scanParts(ctx, snap, out); done || err != nil {
		return err
	}
	sc := p.newScanner(ctx, snap, out)
	defer sc.account()
	defer sc.lookAhead()()
	for i := range p.paths {
		if len(p.paths) > 1 || p.paths[i].index != nil && p.paths[i].index.multi {
			sc.once = map[string]struct{}{} // entries of several paths, or elements, lead to one record
			break
		}
	}
	for i := range p.paths {
		if more, err := sc.path(&p.paths[i]); !more || err != nil {
			return err
		}
	}
	return nil
}

// account adds what the scanner has looked at to what the plan's run did.
func (sc *scanner) account() {
	sc.rowsRead += sc.read
	sc.bytesRead += sc.readBytes
	sc.read, sc.readBytes = 0, 0
}

// path reads a path, and reports whether to go on.
func (sc *scanner) path(p *path) (more bool, err error) {
	bucket := sc.table.name
	if p.index != nil {
		bucket = p.index.bucket
	}
	more = true
	for i, span := range sc.spans(p) {
		if i%256 == 255 {
			if err := sc.interrupted(sc.ctx); err != nil {
				return false, err
			}
		}
		if key, ok := span.point(); ok && p.index == nil {
			value, err := sc.snap.Get(bucket, key)
			if err == nil && value != nil {
				more, err = sc.visit(p, key, value)
			}
			if !more || err != nil {
				return false, err
			}
			continue
		}
		if more, err = sc.span(p, bucket, span); !more || err != nil {
			return false, err
		}
	}
	return true, nil
}

// span reads a range of a path, and reports whether to go on.
func (sc *scanner) span(p *path, bucket string, span Range) (more bool, err error) {
	more = true
	var failed error
	a := sc.ahead
	together := a != nil && p.index != nil && !sc.counts(p)
	err = sc.snap.Scan(bucket, span, func(k, v []byte) bool {
		if !together {
			more, failed = sc.visit(p, k, v)
			return more && failed == nil
		}
		if a.entries = append(a.entries, indexEntry{k, v}); len(a.entries) >= a.size {
			more, failed = sc.visitAll(p, a.entries, nil)
			a.entries, a.size = a.entries[:0], min(2*a.size, farthest)
		}
		return more && failed == nil
	})
	if together && more && failed == nil { // those before what may be wrong in the index
		more, failed = sc.visitAll(p, a.entries, nil)
		a.entries = a.entries[:0]
	}
	if !more {
		return false, failed
	}
	return true, cmp.Or(failed, err)
}

// lookAhead makes the scanner look ahead in indexes, where the store can do that, until
// the function is called that it returns.
func (sc *scanner) lookAhead() (end func()) {
	if _, ok := sc.snap.(*boltSnapshot); !ok {
		return func() {}
	}
	sc.ahead = lookaheads.Get().(*lookahead)
	sc.ahead.size, sc.ahead.aimed = 1, false
	return func() {
		sc.ahead.entries = sc.ahead.entries[:0]
		lookaheads.Put(sc.ahead)
		sc.ahead = nil
	}
}

// aim prepares to visit entries of an index, of which there are no more than farthest, if the
// records that they lead to are to be looked up together.
func (sc *scanner) aim(p *path, entries []indexEntry) {
	a := sc.ahead
	keys := a.keys[a.side][:len(entries)]
	for i, e := range entries {
		key, err := p.index.key(e.key, e.value)
		if err != nil || sc.own != nil && sc.own.get(key) != nil {
			key = nil
		}
		keys[i] = key
	}
	a.aimed = len(keys) > 1 && !sc.counts(p) && sc.snap.(*boltSnapshot).aim(sc.table.name, keys, &a.aims)
}

// visitAll visits entries of an index, of which there are no more than farthest, and
// reports whether to go on. Those that are visited next, as far as they are known, are on
// their way from memory meanwhile.
func (sc *scanner) visitAll(p *path, entries, next []indexEntry) (more bool, err error) {
	a := sc.ahead
	defer clear(a.values[:])
	if !a.aimed {
		sc.aim(p, entries)
	}
	n, keys := len(entries), &a.keys[a.side]
	if a.aimed && !sc.snap.(*boltSnapshot).getAimed(sc.table.name, keys[:n], a.values[:n], &a.aims) {
		clear(a.values[:]) // one by one they say what is wrong
	}
	a.side, a.aimed = 1-a.side, false
	if len(next) > 0 {
		sc.aim(p, next)
	}
	if sc.read%256+n >= 256 {
		if err := sc.interrupted(sc.ctx); err != nil {
			return false, err
		}
	}
	more = true
	crop := sc.takesAll(p)
	for i := 0; more && err == nil && i < n; i++ {
		a.at = i
		if crop != nil && a.values[i] != nil {
			if record := crop.reap(keys[i], a.values[i]); record != nil {
				sc.read++
				sc.readBytes += len(entries[i].value) + len(a.values[i])
				sc.row.key, sc.row.record = keys[i], record
				more, err = crop.more(), sc.check(p.index, entries[i])
				continue
			}
		}
		more, err = sc.visit(p, entries[i].key, entries[i].value)
	}
	return more && err == nil, err
}

// visitRun visits entries of an index that are known, as many together as it can, and reports
// whether to go on.
func (sc *scanner) visitRun(p *path, entries []indexEntry) (more bool, err error) {
	more = true
	for more && err == nil && len(entries) > 0 {
		n := min(len(entries), farthest)
		next := entries[n:]
		more, err = sc.visitAll(p, entries[:n], next[:min(len(next), farthest)])
		entries = next
	}
	return more, err
}

// spans returns the ranges of a path that are to be read, in their order.
func (p *plan) spans(way *path) ranges {
	spans := way.ranges
	if p.inOrder && p.after != nil {
		spans = spans.intersect(p.rest(way))
	}
	if p.until != nil {
		spans = spans.intersect(p.upTo(way))
	}
	if p.reverse {
		spans = spans.reversed()
	}
	return spans
}

// rest returns the range of what comes after the place where the query begins.
// In an index it has the entry at that place too, which in a unique one may be
// another record's by now: query.ahead tells.
func (p *plan) rest(way *path) ranges {
	at := p.position(way, p.after)
	switch {
	case way.index == nil && p.reverse:
		return ranges{{To: at}}
	case way.index == nil:
		return ranges{{From: after(at)}}
	case p.reverse:
		return ranges{{To: after(at)}}
	}
	return ranges{{From: at}}
}

// upTo returns the range of what comes no later than until does.
func (p *plan) upTo(way *path) ranges {
	at := p.position(way, p.until)
	if p.reverse {
		return ranges{{From: at}}
	}
	return ranges{{To: after(at)}}
}

// position returns the entry that stands for a candidate on a path that gives
// the query's order.
func (q *query) position(p *path, c *candidate) []byte {
	if p.index == nil {
		return c.key
	}
	at := slices.Clone(p.prefix)
	null := p.prefixNull
	rest := p.index.columns[p.fixed:]
	for i, o := range q.orders {
		if len(rest) == 0 || o.col != rest[0] {
			continue // it has one value, or is a key that comes last anyway
		}
		rest = rest[1:]
		if !o.col.key {
			var isNull bool
			at, isNull = o.col.appendNullable(at, c.sort[i])
			null = null || isNull
			continue
		}
		v := o.col.codec.newValue()
		if q.table.keyCodec.decode(c.key, v) != nil {
			return at // not a key: it comes before all others
		}
		at = o.col.appendOrdered(at, v)
	}
	if !p.index.unique || null {
		at = append(at, c.key...)
	}
	return at
}

// visit looks at one entry of a table or an index, and reports whether to go on.
func (sc *scanner) visit(p *path, key, value []byte) (more bool, err error) {
	sc.read++
	sc.readBytes += len(value)
	if sc.read%256 == 0 {
		if err := sc.interrupted(sc.ctx); err != nil {
			return false, err
		}
	}
	if sc.atMost > 0 && sc.read > sc.atMost && len(p.used) == 0 && len(p.ranges) > 0 {
		return false, sc.fault("select", fmt.Errorf("%w: it reads more than %d records, which no index narrows down: %s", ErrTooLarge, sc.atMost, sc.explain()))
	}
	entry := indexEntry{key, value}
	if p.index != nil {
		if key, err = p.index.key(key, value); err != nil {
			return false, sc.fault("read", err)
		}
	}
	if sc.own != nil && sc.own.get(key) != nil || sc.once != nil && sc.seen(key) {
		return true, nil
	}
	if sc.counts(p) {
		return sc.out.add(nil)
	}
	if p.index != nil {
		err = sc.follow(p.index, key)
	} else {
		err = sc.row.skim(sc.table, key, value)
	}
	if err != nil {
		return false, err
	}
	if p.exact && (p.index == nil || !p.index.multi) {
		if more, err = sc.out.add(&sc.row); err != nil || p.index == nil {
			return more, err
		}
		return more, sc.check(p.index, entry) // which is quick if the record was decoded
	}
	if p.index != nil {
		if err := sc.check(p.index, entry); err != nil {
			return false, err
		}
	}
	ok, err := sc.where.holdsRow(sc.table, &sc.row)
	if !ok || err != nil {
		return err == nil, err
	}
	return sc.out.add(&sc.row)
}

// takesAll returns the harvest that all records on the path are for, so that nothing has to be
// known of one before it is made: see harvest.reap. It is nil if there is none.
func (sc *scanner) takesAll(p *path) *harvest {
	crop, _ := sc.out.(*harvest)
	if crop == nil || !crop.begun || sc.atMost > 0 || !p.exact || p.index != nil && p.index.multi || sc.once != nil || sc.own != nil && sc.own.used > 0 {
		return nil
	}
	return crop
}

// counts reports whether a path's entries say it all: their records need not be read.
func (sc *scanner) counts(p *path) bool { return sc.bare && p.exact }

// seen reports whether the record came before, by another entry.
func (sc *scanner) seen(key []byte) bool {
	_, seen := sc.once[string(key)]
	if !seen {
		sc.once[string(key)] = struct{}{}
	}
	return seen
}

// follow opens the record that an entry of an index leads to.
func (sc *scanner) follow(x *index, key []byte) error {
	var value []byte
	if a := sc.ahead; a != nil && a.values[a.at] != nil {
		key, value = a.keys[1-a.side][a.at], a.values[a.at] // of the side before
	}
	if value == nil {
		var err error
		if value, err = sc.snap.Get(sc.table.name, key); err != nil {
			return err
		}
	}
	if value == nil {
		return sc.table.recordError("read", key, "", corruptf("index %s has the record, the table does not", x.name))
	}
	sc.readBytes += len(value)
	return sc.row.skim(sc.table, key, value)
}

// check makes sure that the record in the row says what the entry of an index does that led
// to it.
func (sc *scanner) check(x *index, e indexEntry) error {
	if err := x.check(&sc.row, e); err != nil {
		return sc.table.entryError("read", sc.row.key, err)
	}
	return nil
}
