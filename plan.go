package userdata

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
	"unsafe"
)

// A Plan says what a query reads and what it does with that. [Query.Explain]
// makes it.
type Plan struct {
	Table string

	// Path is "key lookup" of single keys, "key range", "full scan", or
	// "nothing" if no key can match or the limit is 0.
	Path string

	Keys    []string // the keys or ranges of keys read, in words; none for a full scan
	Reverse bool     // whether they are read from the last key to the first
	Filter  string   // the condition that each record read is checked for; "" if none
	Sort    string   // what is sorted in memory; "" if records come in order
	Limit   int      // -1 if there is none
	Offset  int
}

// String returns the plan on one line:
//
//	notes: key range id >= "a" and id < "b"; filter title = "x"; sort by updated desc, id; limit 20
func (p Plan) String() string {
	s := p.Table + ": " + p.Path
	if len(p.Keys) > 0 {
		s += " " + strings.Join(p.Keys, ", ")
	}
	if p.Reverse {
		s += " in reverse"
	}
	if p.Filter != "" {
		s += "; filter " + p.Filter
	}
	if p.Sort != "" {
		s += "; sort by " + p.Sort
	}
	if p.Limit >= 0 {
		s += fmt.Sprintf("; limit %d", p.Limit)
	}
	if p.Offset > 0 {
		s += fmt.Sprintf("; offset %d", p.Offset)
	}
	return s
}

// A candidate is a record on its way to be an answer.
type candidate struct {
	entry *entry // the session's, or nil for one that it does not track
	key   []byte
	value []byte           // as stored, if entry is nil
	ptr   unsafe.Pointer   // the decoded value; nil before it is needed
	sort  []unsafe.Pointer // the values of the order's columns
}

// decoded returns the record of an untracked candidate.
func (c *candidate) decoded(t *table) (unsafe.Pointer, error) {
	if c.ptr == nil {
		p := t.newRecord()
		if err := t.decode(c.key, c.value, p); err != nil {
			return nil, err
		}
		c.ptr = p
	}
	return c.ptr, nil
}

// A plan is how a query is answered.
type plan struct {
	*query
	im      *identityMap
	ranges  ranges
	exact   bool // every stored record in the ranges meets the condition
	inOrder bool // reading keys in order, or its reverse, gives the query's order
	reverse bool // from the last key to the first
	matches bool // a function of the caller's has the last word on each record
	need    int  // how many records, in order, are enough; -1 for all

	// For a page of Query.Rows, which has the stored records next in order, need
	// of them at the most, before a Match is asked, and the session's own among
	// them; limit and offset do not count. Its end is the last key it reaches
	// to, nil if nothing is stored beyond it.
	page *rows
	end  []byte

	// What the run did, for the log.
	start               time.Time
	rowsRead, bytesRead int
}

func (q *query) plan() *plan {
	p := &plan{query: q, im: q.s.tables[q.table], matches: q.where.matches(), need: -1, start: time.Now()}
	if p.im == nil {
		p.im = newIdentityMap(q.table) // nothing tracked: don't begin to for a question
	}
	p.ranges, p.exact = q.where.keys(q.table)
	p.inOrder = q.inOrder()
	p.reverse = len(q.orders) > 0 && p.inOrder && q.orders[0].desc
	switch {
	case q.limit == 0:
		p.need = 0
	case q.limit > 0:
		p.need = addSaturated(q.offset, q.limit)
	}
	return p
}

// inOrder reports whether the keys' order, or its reverse, is the query's.
func (q *query) inOrder() bool { return len(q.orders) == 0 || q.orders[0].col.key }

// addSaturated returns the sum of two counts, or the largest count.
func addSaturated(a, b int) int {
	if a > math.MaxInt-b {
		return math.MaxInt
	}
	return a + b
}

// explain puts the plan in words.
func (p *plan) explain() Plan {
	out := Plan{Table: p.table.name, Path: "key range", Reverse: p.reverse, Limit: p.limit, Offset: p.offset}
	points := 0
	for _, r := range p.ranges {
		if _, ok := r.point(); ok {
			points++
		}
		if s := p.table.formatRange(r); s != "" {
			out.Keys = append(out.Keys, s)
		}
	}
	switch {
	case len(p.ranges) == 0 || p.need == 0:
		out.Path, out.Keys = "nothing", nil
	case points == len(p.ranges):
		out.Path = "key lookup"
	case len(out.Keys) < len(p.ranges):
		out.Path = "full scan"
	}
	if !p.exact {
		out.Filter = p.where.String()
	}
	if !p.inOrder {
		var by []string
		for _, o := range p.orders {
			if o.desc {
				by = append(by, o.col.name+" desc")
			} else {
				by = append(by, o.col.name)
			}
		}
		out.Sort = strings.Join(append(by, p.table.key.name), ", ")
	}
	return out
}

// formatRange puts a range of keys in words; "" for all keys.
func (t *table) formatRange(r Range) string {
	name := t.key.name
	if key, ok := r.point(); ok {
		return fmt.Sprintf("%s = %s", name, t.formatKey(key))
	}
	var parts []string
	bound := func(key []byte, incl, excl string) {
		if n := len(key) - 1; n > 0 && key[n] == 0 && !t.isWholeKey(key) {
			key, incl = key[:n], excl
		}
		parts = append(parts, fmt.Sprintf("%s %s %s", name, incl, t.formatKey(key)))
	}
	if len(r.From) > 0 {
		bound(r.From, ">=", ">")
	}
	if r.To != nil {
		bound(r.To, "<", "<=")
	}
	return strings.Join(parts, " and ")
}

// isWholeKey reports whether a bound that ends in zero is a key as it stands,
// and not the first one after a key. Where keys have no fixed size it may be
// either; the second is what queries make.
func (t *table) isWholeKey(key []byte) bool {
	if k := t.key.codec.typ.Kind(); k == reflect.String || k == reflect.Slice {
		return false
	}
	return t.keyCodec.decode(key, t.key.codec.newValue()) == nil
}

// find returns the answers in order.
func (q *query) find(ctx context.Context) ([]*candidate, error) { return q.plan().find(ctx) }

func (p *plan) find(ctx context.Context) ([]*candidate, error) {
	if p.need == 0 {
		return nil, nil
	}
	found, err := p.collect(ctx)
	if err != nil {
		return nil, err
	}
	if p.page != nil && len(found) == p.need {
		p.end = found[p.need-1].key
	}
	if p.matches {
		if found, err = p.filter(found); err != nil {
			return nil, err
		}
	}
	laidOver := p.overlay()
	found = append(found, laidOver...)
	if len(laidOver) > 0 || !p.inOrder {
		slices.SortStableFunc(found, p.compare)
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
	if p.matches || p.need == 0 {
		found, err := p.find(ctx)
		return len(found), err
	}
	n := 0
	err := p.read(ctx, func(snap Snapshot) error {
		return p.scan(ctx, snap, func(*row) (bool, error) {
			n++
			return p.need < 0 || n < p.need, nil
		})
	})
	if err != nil {
		return 0, err
	}
	n = max(0, n+len(p.overlay())-p.offset)
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
		for _, e := range p.im.entries {
			if e == nil || e.state != Persistent || e.epoch == p.s.epoch {
				continue
			}
			value, err := snap.Get(p.table.name, []byte(e.key))
			if err != nil {
				return err
			}
			if bytes.Equal(value, e.baseline) {
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
	return nil
}

// scan calls fn for each stored record that the session does not track and that
// meets the conditions, as far as that can be said without the program's code,
// until fn returns false.
func (p *plan) scan(ctx context.Context, snap Snapshot, fn func(r *row) (bool, error)) error {
	r := row{columns: make([][]byte, len(p.table.stored))}
	var failed error
	visit := func(key, value []byte) (more bool) {
		p.bytesRead += len(value)
		if p.rowsRead++; p.rowsRead%256 == 0 {
			failed = p.interrupted(ctx)
		}
		if failed != nil || p.im.base[string(key)] != nil {
			return failed == nil
		}
		if failed = r.open(p.table, key, value); failed != nil {
			return false
		}
		ok, err := p.where.holdsRow(p.table, &r)
		if err == nil && ok {
			more, err = fn(&r)
		}
		failed = err
		return err == nil && (more || !ok)
	}
	spans := p.ranges
	if p.reverse {
		spans = spans.reversed()
	}
	for i, span := range spans {
		if i%256 == 255 {
			if err := p.interrupted(ctx); err != nil {
				return err
			}
		}
		more := true
		if key, ok := span.point(); ok {
			value, err := snap.Get(p.table.name, key)
			if err != nil {
				return err
			}
			more = value == nil || visit(key, value)
		} else if err := snap.Scan(p.table.name, span, func(k, v []byte) bool {
			more = visit(k, v)
			return more
		}); err != nil {
			return err
		}
		if failed != nil || !more {
			return failed
		}
	}
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
	v := c.codec.newValue()
	if err := decodeValue(c.codec, r.columns[c.place], v); err != nil {
		return nil, t.recordError("read", r.key, c.name, err)
	}
	return v, nil
}

// collect returns the stored records that meet the conditions: in order and as
// many as are needed, if that can be said without the program's code.
func (p *plan) collect(ctx context.Context) (found []*candidate, err error) {
	enough := p.need
	if p.matches && p.page == nil {
		enough = -1
	}
	err = p.read(ctx, func(snap Snapshot) error {
		return p.scan(ctx, snap, func(r *row) (bool, error) {
			c := &candidate{key: bytes.Clone(r.key), value: bytes.Clone(r.value)}
			for _, o := range p.sortColumns() {
				v, err := p.table.decodeColumn(r, o.col)
				if err != nil {
					return false, err
				}
				c.sort = append(c.sort, v)
			}
			found = append(found, c)
			switch {
			case enough < 0:
			case p.inOrder:
				return len(found) < enough, nil
			case len(found) >= 1024 && len(found)/2 >= enough:
				found = p.best(found)
			}
			return true, nil
		})
	})
	if !p.inOrder && enough >= 0 {
		found = p.best(found)
	}
	return found, err
}

// best keeps the first candidates that are needed.
func (p *plan) best(found []*candidate) []*candidate {
	slices.SortFunc(found, p.compare)
	n := min(p.need, len(found))
	clear(found[n:])
	return found[:n]
}

// sortColumns returns the orders that candidates are compared by; none if the
// keys say it all.
func (p *plan) sortColumns() []order {
	if p.inOrder {
		return nil
	}
	return p.orders
}

// compare puts candidates in the query's order.
func (p *plan) compare(a, b *candidate) int {
	for i, o := range p.sortColumns() {
		if c := o.col.codec.compare(a.sort[i], b.sort[i]); c != 0 {
			if o.desc {
				return -c
			}
			return c
		}
	}
	return p.compareKeys(a.key, b.key)
}

// compareKeys puts keys in the order in which they are read.
func (p *plan) compareKeys(a, b []byte) int {
	if p.reverse {
		return bytes.Compare(b, a)
	}
	return bytes.Compare(a, b)
}

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

// overlay returns the session's own records that meet the condition.
func (p *plan) overlay() []*candidate {
	var found []*candidate
	for _, e := range p.im.entries {
		if e == nil || !e.live() {
			continue
		}
		c := &candidate{entry: e, key: []byte(e.currentKey())}
		if !p.inPage(c) || !p.where.holds(e.ptr) {
			continue
		}
		for _, o := range p.sortColumns() {
			c.sort = append(c.sort, o.col.at(e.ptr))
		}
		found = append(found, c)
	}
	return found
}

// inPage reports whether one of the session's own records belongs to the page,
// if the plan is for one: its key lies there, and it was on none before.
func (p *plan) inPage(c *candidate) bool {
	switch {
	case p.page == nil:
		return true
	case p.page.has(c.entry), p.page.last != nil && p.compareKeys(c.key, p.page.last) < 0:
		return false // with the last key itself there may be two records, for now
	}
	return p.end == nil || p.compareKeys(c.key, p.end) <= 0
}
