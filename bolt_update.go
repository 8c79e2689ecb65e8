package userdata

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// A directWriter makes change sets one transaction of a directFile. First it collects them,
// each of which is checked against what those before it leave; then it makes them all
// at once, so that each page is written once.
type directWriter struct {
	verifier
	h     *boltHandle
	state *directState // what the file has

	changes   []Change                     // of all sets, one after the other
	sets      int                          // how many were collected
	unchecked bool                         // what they expect was not looked at: there is only one set
	ahead     map[string]map[string][]byte // what they put, by bucket and key, nil for a delete
	noted     int                          // how many of the changes are in ahead

	update    *pages.Update
	sum       bucketSum // of the bucket that is being changed
	made      int       // how many changes were
	conflicts []Conflict
	failed    error // of writing to the file

	// This is the transaction when it is formed.
	next    pages.Meta
	meta    []byte        // the meta page
	rest    []pages.Patch // pages that are still to be written
	flushed bool          // some are written
	in      *mapping      // has room for all of them
	grew    bool          // the file was made longer
	begun   bool          // something was written that is not on free pages
}

// newDirectWriter begins a transaction. Nobody else writes.
func (s *BoltStore) newDirectWriter(h *boltHandle) (*directWriter, error) {
	w := &directWriter{h: h, state: h.direct.newest()}
	return w, h.guard(func() (err error) {
		if err := w.state.untouched(); err != nil {
			return err
		}
		if h.direct.space == nil {
			h.direct.space, err = pages.NewSpace(w.state.in.data, w.state.meta)
			if err != nil {
				return corruptf("%w", err)
			}
		}
		if !s.trusted {
			w.distrust(w.state.snap.file)
		}
		return nil
	})
}

// collect takes up the change set, if it can be applied on top of those before. What a set
// that is alone expects is left to build, which comes to its keys anyway.
func (w *directWriter) collect(set *ChangeSet, alone bool) error {
	err := w.h.guard(func() error {
		if err := w.verify(set.Changes); err != nil {
			return err
		}
		version, get := w.state.snap.version, w.state.snap.Get
		if w.sets > 0 {
			version, get = ofNoSnapshot, w.get
		}
		if alone {
			return set.checkVersion(version)
		}
		return set.check(version, set.by(get))
	})
	if err != nil || len(set.Changes) == 0 {
		return err
	}
	if w.sets++; w.sets == 1 {
		w.changes, w.unchecked = slices.Clip(set.Changes), alone
	} else {
		w.changes = append(w.changes, set.Changes...)
	}
	return nil
}

// get returns what is under the key after the sets that were collected.
func (w *directWriter) get(bucket string, key []byte) ([]byte, error) {
	if w.ahead == nil {
		w.ahead = map[string]map[string][]byte{}
	}
	for ; w.noted < len(w.changes); w.noted++ {
		ch := &w.changes[w.noted]
		in := w.ahead[ch.Bucket]
		if in == nil {
			in = map[string][]byte{}
			w.ahead[ch.Bucket] = in
		}
		in[string(ch.Key)] = ch.Value
	}
	if value, found := w.ahead[bucket][string(key)]; found {
		return value, nil
	}
	return w.state.snap.Get(bucket, key)
}

// net returns what is left of the changes: one for each key, in their order.
func (w *directWriter) net() []Change {
	if w.sets == 1 {
		return w.changes
	}
	slices.SortStableFunc(w.changes, func(a, b Change) int { return a.compare(&b) })
	last := w.changes[:0]
	for i := range w.changes {
		if i+1 == len(w.changes) || w.changes[i].compare(&w.changes[i+1]) != 0 {
			last = append(last, w.changes[i])
		}
	}
	w.changes, w.sets = last, 1
	return last
}

// build makes the changes. What it writes to is free in the file's state, which stays what it is.
// An error is a conflict, or of the file's pages, unless failed is set.
func (w *directWriter) build() error {
	d, m := w.h.direct, w.state.meta
	net := w.net()
	size := 0
	for i := range net {
		size += len(net[i].Key) + len(net[i].Value)
	}
	expected := min(2*uint64(len(net)), m.HighWater) + uint64(size)/uint64(m.PageSize) + pagesBesides
	var err error
	w.update, err = d.space.Begin(w.state.in.data, m, d.inUse(), expected, w.flush)
	if err != nil {
		return fmt.Errorf("userdata: apply: %w", corruptf("%w", err))
	}
	buf := make([]pages.Change, 0, len(net))
	for len(net) > 0 {
		name := net[0].Bucket
		buf = buf[:0]
		for len(net) > 0 && net[0].Bucket == name {
			buf, net = append(buf, pages.Change{Key: net[0].Key, Value: net[0].Value}), net[1:]
		}
		if err := w.put(name, buf); err != nil {
			return err
		}
	}
	if w.conflicts != nil {
		return &ConflictError{Conflicts: w.conflicts}
	}
	return nil
}

// pagesBesides is about how many pages a small commit writes besides those of its changes.
const pagesBesides = 4

// put makes the changes to one bucket, and keeps its sum.
func (w *directWriter) put(name string, changes []pages.Change) error {
	b, err := w.state.snap.bucket(name)
	if err != nil {
		return err
	}
	w.sum = bucketSum(b.tree.Sequence())
	if b.found && w.sum == 0 {
		if w.sum, err = addUp(&b.tree); err != nil {
			return pageFault(name, nil, err)
		}
	}
	first := w.made
	err = w.update.Put([]byte(name), changes, w.saw, func() uint64 { return uint64(w.sum) })
	switch {
	case err == nil || w.failed != nil:
		w.made = first + len(changes)
		return err
	case errors.Is(err, pages.ErrNested):
		return strayError(name, changes[w.made-first].Key)
	}
	return pageFault(name, nil, err)
}

// saw looks at a change that is made, and at what was before it.
func (w *directWriter) saw(key, before, after []byte) {
	if w.unchecked && !w.changes[w.made].holds(before) {
		w.conflicts = append(w.conflicts, Conflict{Change: w.made, Found: bytes.Clone(before)})
	}
	w.made++
	if before != nil {
		w.sum = w.sum.without(key, before)
	}
	if after != nil {
		w.sum = w.sum.with(key, after)
	}
}

// flush writes pages.
func (w *directWriter) flush(p pages.Patch) error {
	w.h.direct.fences.Drop(p.First, uint64(int64(len(p.Bytes))/w.h.pageSize))
	_, err := w.h.direct.own.WriteAt(p.Bytes, int64(p.First)*w.h.pageSize)
	if err != nil {
		w.failed = fmt.Errorf("write pages: %w", pathless(err))
	}
	return w.failed
}

// attemptDirect is attempt for a file that is written without bbolt.
func (s *BoltStore) attemptDirect(h *boltHandle, calls []*applyCall) (again []*applyCall) {
	w, err := s.newDirectWriter(h)
	if err != nil {
		fail(calls, err)
		return nil
	}
	for _, c := range calls {
		c.err = w.collect(c.changes, len(calls) == 1)
	}
	if w.sets == 0 {
		return nil
	}
	small := sealable(calls)
	err = w.prepare(small)
	if space := h.direct.space; w.failed != nil && !space.Tight { // the disk may be full, and pages free
		space.Tight = true
		err = w.prepare(small)
	}
	if err == nil {
		err = s.commitDirect(h, w, small)
	}
	if err == nil {
		return nil
	}
	if unmapping := w.unmap(); unmapping != nil {
		err = errors.Join(err, unmapping)
	}
	switch {
	case w.begun:
		h.broken = true
		return s.settle(calls, w.state.meta.Txid+1, err)
	case len(calls) > 1:
		return calls // one of them may be the reason
	}
	calls[0].err = err
	return nil
}

// prepare forms the transaction, and writes its pages: to where nothing is in the file's state,
// so that nothing has to be mended if that fails.
func (w *directWriter) prepare(small bool) error {
	w.made, w.conflicts, w.failed = 0, nil, w.unmap()
	err := w.h.guard(func() (err error) {
		if err = w.build(); err == nil {
			w.rest, w.flushed, w.next, err = w.update.Finish()
		}
		if err == nil {
			w.meta = pages.MetaBytes(w.state.metaPage(w.state.meta.Txid), w.next)
		}
		return err
	})
	if err == nil {
		err = w.writeRest(small)
	}
	if w.failed != nil {
		err = fmt.Errorf("userdata: apply: %w", errnoOf(w.failed))
	}
	return err
}

// unmap ends a mapping that was made for what is not to be.
func (w *directWriter) unmap() (err error) {
	if w.in != nil && w.in != w.state.in {
		err = unmapFile(w.in.data)
	}
	w.in = nil
	return err
}

// writeRest writes the pages that are not written, and makes room for all in the mapping and, for a
// small commit, in the file.
func (w *directWriter) writeRest(small bool) (err error) {
	d, end := w.h.direct, int64(w.next.HighWater)*w.h.pageSize
	if w.in, err = d.reach(end); err != nil {
		return fmt.Errorf("userdata: apply: map file: %w", err)
	}
	if small && !w.flushed {
		if w.grew, err = d.grow(end); err != nil {
			w.failed = fmt.Errorf("write pages: %w", pathless(err))
			return w.failed
		}
	}
	for _, p := range w.rest {
		if err := w.flush(p); err != nil {
			return err
		}
	}
	return nil
}

// commitDirect makes the transaction durable, whose pages are written.
func (s *BoltStore) commitDirect(h *boltHandle, w *directWriter, small bool) error {
	w.begun = true
	if w.grew {
		if err := h.sync(); err != nil {
			return err
		}
		h.direct.known = h.direct.size
	}
	sealing, err := s.prepareSeal(h, small, w.next.Txid)
	if err != nil {
		return err
	}
	listed := sealing && !w.flushed && pages.SealPatches(w.meta, w.next.Txid, w.rest)
	if !listed {
		if err := h.sync(); err != nil {
			return err
		}
	}
	if sealing && !listed {
		pages.SealDurable(w.meta, w.next.Txid)
	}
	if _, err := s.own.WriteAt(w.meta, int64(w.next.Txid&1)*h.pageSize); err != nil {
		return fmt.Errorf("write meta page: %w", pathless(err))
	}
	if err := h.sync(); err != nil {
		return err
	}
	h.direct.known = max(h.direct.known, int64(w.next.HighWater)*h.pageSize)
	w.update.Done()
	if w.next.HighWater > w.state.meta.HighWater {
		h.direct.space.Tight = false
	}
	if err := h.direct.publish(w.in, w.next); err != nil {
		return err
	}
	s.committed(h, w.next.Txid)
	return nil
}
