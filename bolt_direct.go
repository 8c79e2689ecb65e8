package userdata

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"syscall"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// mapsCoherent tells that what is written to a file is seen in its mappings at once. It
// is the case on all systems with one cache for both.
const mapsCoherent = runtime.GOOS != "openbsd"

// A directFile is one that the package itself reads and writes, in bbolt's format and without
// bbolt: the store has it to itself, so nobody else can change it. It has states, one
// after each commit; a read uses one of them, and the pages of that are not used anew
// until it has ended. A write waits for no read, also where the file outgrows its mapping.
type directFile struct {
	own  *os.File // holds the lock
	path string
	log  *slog.Logger

	mu     sync.Mutex
	states []*directState // the newest is the last; of the others only those in use
	fences pages.Fences   // of all of them

	// These are the writer's.
	space *pages.Space // nil until the first commit
	size  int64        // of the file, when it was looked at last
	known int64        // so long it is known to be after a power cut
}

// A directState is what the file has after a commit.
type directState struct {
	meta  pages.Meta
	snap  *boltSnapshot
	in    *mapping
	users int // reads that use it
}

// A mapping is the mapped file, from its beginning on. It may be longer.
type mapping struct {
	data   []byte
	states int // that are in it, under the lock of their file
}

// goesDirect reports whether the store reads and writes the file without bbolt, whose state
// is st: if it has it to itself, and the file says what is free.
func (s *BoltStore) goesDirect(st *fileState) bool {
	return ownsLock && !s.opts.Shared && (s.opts.ReadOnly || mapsCoherent && st.meta().Freelist != pages.NoFreelist)
}

// openOwn opens a handle of the file that is locked by own, in the state st.
func (s *BoltStore) openOwn(own *os.File, st *fileState) (*boltHandle, error) {
	if s.goesDirect(st) {
		return mapHandle(own, s.path, &s.opts, st)
	}
	return openHandle(own, s.path, &s.opts)
}

// mapHandle opens a handle of the file that is locked by own, without bbolt. The file
// has the state st.
func mapHandle(own *os.File, path string, o *Options, st *fileState) (*boltHandle, error) {
	size, err := stillNamed(own, path)
	if err != nil {
		return nil, pathless(err)
	}
	d := &directFile{own: own, path: path, log: o.Logger, known: int64(st.meta().HighWater) * int64(st.PageSize)}
	in, err := d.mapFile(size, !o.ReadOnly)
	if err != nil {
		return nil, fmt.Errorf("map file: %w", err)
	}
	if err := d.publish(in, st.meta()); err != nil {
		return nil, errors.Join(err, unmapFile(in.data))
	}
	return &boltHandle{direct: d, log: o.Logger, span: size, pageSize: int64(st.PageSize)}, nil
}

// mapFile maps the file, which has that size, and what it may grow to. A large mapping is
// done without if the process may not have it.
func (d *directFile) mapFile(size int64, grows bool) (*mapping, error) {
	if grows {
		data, err := mapFile(d.own, max(mappedSize(size), unixMmapSize))
		if err == nil {
			return &mapping{data: data}, nil
		}
		if !errors.Is(err, syscall.ENOMEM) {
			return nil, err
		}
		d.log.Info(noAddressSpace, "path", d.path, "size", int64(unixMmapSize))
		size = mappedSize(size)
	}
	data, err := mapFile(d.own, size)
	return &mapping{data: data}, err
}

// reach returns a mapping that has so many bytes, which the file may not have yet.
func (d *directFile) reach(size int64) (*mapping, error) {
	in := d.newest().in
	if size <= int64(len(in.data)) {
		return in, nil
	}
	return d.mapFile(size, true)
}

// grow makes the file so long, and somewhat longer, and reports whether it was not known to be:
// then that is to be synced. A meta page that is durable before the pages that it leads to
// must not lead beyond the end of the file, and a commit that came to nothing may have left
// a longer one that nobody has synced. It writes the bytes, since what is written to where
// nothing was takes a disk longer to make durable, in each of the next commits.
func (d *directFile) grow(size int64) (grew bool, err error) {
	if size <= d.known {
		return false, nil
	}
	if size <= d.size {
		return true, nil
	}
	more := min(max(size/8, minFileGrowth), maxZeros) &^ (minFileGrowth - 1)
	_, err = d.own.WriteAt(make([]byte, size+more-d.size), d.size)
	if err != nil { // perhaps the disk has no more than that
		more = 0
		_, err = d.own.WriteAt(make([]byte, size-d.size), d.size)
	}
	if err == nil {
		d.size = size + more
	}
	return true, err
}

// maxZeros bounds by how many bytes a file grows for later small commits.
const maxZeros = 512 << 10

// publish lets reads that begin from now on use the state after a commit. The mapping has
// all its pages.
func (d *directFile) publish(in *mapping, m pages.Meta) error {
	file, err := pages.NewMap(in.data, m)
	if err != nil {
		return corruptf("%w", err)
	}
	st := &directState{meta: m, in: in, snap: &boltSnapshot{version: m.Txid + 1, file: file.With(&d.fences)}}
	d.mu.Lock()
	defer d.mu.Unlock()
	in.states++
	d.states = append(d.states, st)
	return d.tidy()
}

// newest returns the last state.
func (d *directFile) newest() *directState {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.states[len(d.states)-1]
}

// use counts in a read of the last state.
func (d *directFile) use() *directState {
	d.mu.Lock()
	defer d.mu.Unlock()
	st := d.states[len(d.states)-1]
	st.users++
	return st
}

// leave counts out a read.
func (d *directFile) leave(st *directState) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	st.users--
	return d.tidy()
}

// inUse returns the numbers of the transactions whose states are in use, and of the last.
func (d *directFile) inUse() (all []uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, st := range d.states {
		if n := len(all); n == 0 || all[n-1] != st.meta.Txid { // not that of a state mapped twice
			all = append(all, st.meta.Txid)
		}
	}
	return all
}

// tidy forgets states that are no longer in use, and unmaps what none of the others needs. The
// caller has the lock.
func (d *directFile) tidy() (err error) {
	kept := d.states[:0]
	for i, st := range d.states {
		if st.users > 0 || i == len(d.states)-1 {
			kept = append(kept, st)
		} else if st.in.states--; st.in.states == 0 {
			err = errors.Join(err, unmapFile(st.in.data))
		}
	}
	clear(d.states[len(kept):])
	d.states = kept
	return err
}

// close unmaps the file. Nothing uses it any more.
func (d *directFile) close() (err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, st := range d.states {
		if st.in.states--; st.in.states == 0 {
			err = errors.Join(err, unmapFile(st.in.data))
		}
	}
	d.states = nil
	return err
}

// metaPage returns the bytes of the meta page of a transaction, as they are in the mapping.
func (st *directState) metaPage(txid uint64) []byte {
	size := int(st.meta.PageSize)
	return st.in.data[int(txid&1)*size:][:size]
}

// untouched makes sure that nobody else has written to the file since the state was: a
// program that does not care for its lock.
func (st *directState) untouched() error {
	for slot := range uint64(2) {
		m := pages.MetaAt(st.metaPage(slot), slot)
		same := m == st.meta
		if slot == st.meta.Txid&1 && !same || m.Err == nil && m.Txid > st.meta.Txid {
			return corruptf("its meta page %d has transaction %d, and not %d as it should: another program has written to it", slot, m.Txid, st.meta.Txid)
		}
	}
	return nil
}

// writeTo writes the file as it is in the state, as bbolt does: the meta page of the state before
// it says the same, with the number before.
func (st *directState) writeTo(w *contextWriter) (n int64, err error) {
	size := int64(st.meta.PageSize)
	w.total = int64(st.meta.HighWater) * size
	template := st.metaPage(st.meta.Txid)
	if other := st.metaPage(st.meta.Txid + 1); pages.MetaAt(other, st.meta.Txid&1^1) == st.meta { // as in a backup that bbolt made
		template = other
	}
	for slot := range uint64(2) {
		m := st.meta
		m.Txid -= slot
		page := pages.MetaBytes(template, m)
		pages.MoveMeta(page, int(slot))
		k, err := w.Write(page)
		if n += int64(k); err != nil {
			return n, err
		}
	}
	const chunk = 1 << 20
	for at := 2 * size; at < w.total; at += chunk {
		k, err := w.Write(st.in.data[at:min(at+chunk, w.total)])
		if n += int64(k); err != nil {
			return n, err
		}
	}
	return n, nil
}
