package userdata

import (
	"bytes"
	"context"
	"unsafe"
)

// The sizes of the pages that Rows reads: the first, and the largest, each being
// twice the one before it.
const (
	firstPage = 64
	lastPage  = 4096
)

// rows is where a loop over Query.Rows stands.
type rows struct {
	query
	page  []*candidate // read, but not yet handed out
	size  int          // of the next page
	epoch uint64       // of the session, when the page was read
	done  bool         // no page follows

	handed int                 // how many records were handed out
	last   []byte              // the key of the last candidate; nil before the first
	seen   map[*entry]struct{} // tracked records handed out, so that one whose key changes does not come again
}

func newRows(q query) *rows {
	return &rows{query: q, size: firstPage, seen: map[*entry]struct{}{}}
}

// has reports whether the record was handed out before.
func (r *rows) has(e *entry) bool {
	if r == nil {
		return false
	}
	_, ok := r.seen[e]
	return ok
}

// ahead reports whether the key is still to come.
func (r *rows) ahead(key []byte, reverse bool) bool {
	if r == nil || r.last == nil {
		return true
	}
	if c := bytes.Compare(key, r.last); !reverse {
		return c > 0
	} else {
		return c < 0
	}
}

// next returns the address of the next record, or nil after the last.
func (r *rows) next(ctx context.Context) (p unsafe.Pointer, err error) {
	err = r.do("rows", func() error {
		for p == nil && (r.limit < 0 || r.handed < r.limit) {
			more, err := r.fill(ctx)
			if err != nil || !more {
				return err
			}
			c := r.page[0]
			r.page, r.last = r.page[1:], c.key
			if p, err = r.resolve(ctx, c); err != nil {
				return err
			}
		}
		r.handed++
		return nil
	})
	return p, err
}

// fill makes sure that a page is at hand, and reports whether there is one.
func (r *rows) fill(ctx context.Context) (bool, error) {
	plan := r.plan()
	if plan.inOrder && r.epoch != r.s.epoch {
		r.page, r.done = nil, false // what was read may be old now
	}
	if len(r.page) > 0 || r.done {
		return len(r.page) > 0, nil
	}
	if plan.inOrder {
		return r.fillInOrder(ctx)
	}
	r.done, r.epoch = true, r.s.epoch
	var err error
	r.page, err = plan.find(ctx)
	return len(r.page) > 0, err
}

// fillInOrder reads the page after the last key.
func (r *rows) fillInOrder(ctx context.Context) (bool, error) {
	q := r.query
	q.limit = r.size
	if r.limit >= 0 {
		q.limit = min(r.size, r.limit-r.handed)
	}
	if r.last != nil {
		q.offset = 0
	}
	p := q.plan()
	p.resume = r
	switch {
	case r.last == nil:
	case p.reverse:
		p.ranges = p.ranges.intersect(ranges{{To: r.last}})
	default:
		p.ranges = p.ranges.intersect(ranges{{From: after(r.last)}})
	}
	var err error
	r.page, err = p.find(ctx)
	r.done, r.epoch = len(r.page) < q.limit, r.s.epoch
	r.size = min(2*r.size, lastPage)
	return len(r.page) > 0, err
}

// resolve returns the address of a candidate's record for the program to have,
// or nil if it is no answer any more.
func (r *rows) resolve(ctx context.Context, c *candidate) (unsafe.Pointer, error) {
	im := r.s.identity(r.table)
	if r.epoch != r.s.epoch { // committed or rolled back since: look again
		fresh, err := r.reread(ctx, im, c.key)
		if fresh == nil || err != nil {
			return nil, err
		}
		c = fresh
	}
	if c.entry == nil {
		c.entry = im.base[string(c.key)] // read by another call meanwhile
	}
	if e := c.entry; e != nil {
		if !e.tracked() || !e.live() || !r.where.holds(e.ptr) {
			return nil, nil
		}
	}
	p, err := r.show(c)
	if err == nil && c.entry != nil {
		r.seen[c.entry] = struct{}{}
	}
	return p, err
}

// reread looks a key up again, and returns nil if its record no longer matches.
func (r *rows) reread(ctx context.Context, im *identityMap, key []byte) (*candidate, error) {
	if e := im.lookup(string(key)); e != nil {
		return &candidate{entry: e, key: key}, nil
	}
	if im.base[string(key)] != nil {
		return nil, nil
	}
	value, err := r.s.readValue(ctx, r.table, key)
	if value == nil || err != nil {
		return nil, err
	}
	c := &candidate{key: key, value: value}
	p, err := c.decoded(r.table)
	if err != nil || !r.where.holds(p) {
		return nil, err
	}
	return c, nil
}
