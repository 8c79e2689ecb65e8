package userdata

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// An unwritten is the file of a handle until bbolt is needed, which is before
// the first write. To open a file bbolt puts the number of each free page into a map,
// which takes longer than all else; a program that only reads does without. Nobody
// can change the file: the store has its lock. So reads need no transaction, and all
// see one snapshot, in a mapping of its own.
//
// Reads may be under way when bbolt has opened the file, and go on after that. Until
// the last of them has ended, a read transaction keeps their pages from being used anew.
type unwritten struct {
	own  *os.File // holds the lock
	path string
	opts *Options
	txid uint64 // the last transaction in the file
	data []byte // the mapped file
	snap *boltSnapshot

	mu    sync.Mutex
	users int       // pins that use snap
	tx    *bbolt.Tx // for them, once bbolt has opened the file
	gone  bool      // bbolt has opened the file, and nothing uses snap
	lost  error     // the store has lost the lock
}

// mapHandle opens a handle of the file that is locked by own, without bbolt. The file
// has the state st.
func mapHandle(own *os.File, path string, o *Options, st *fileState) (*boltHandle, error) {
	size, err := stillNamed(own, path)
	if err != nil {
		return nil, pathless(err)
	}
	u := &unwritten{own: own, path: path, opts: o, txid: st.meta().Txid}
	if u.data, err = mapFile(own, size); err != nil {
		return nil, fmt.Errorf("map file: %w", err)
	}
	file, err := pages.NewMap(u.data, st.meta())
	if err != nil {
		return nil, errors.Join(corruptf("%w", err), unmapFile(u.data))
	}
	u.snap = &boltSnapshot{version: u.txid + 1, file: file}
	return &boltHandle{unwritten: u, log: o.Logger, span: size, pageSize: int64(st.PageSize)}, nil
}

// load makes bbolt open the file, if it has not yet. Reads may go on meanwhile.
func (h *boltHandle) load() error {
	u := h.unwritten
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if h.db != nil || u.lost != nil {
		return u.lost
	}
	opened, err := openHandle(u.own, u.path, u.opts)
	if err != nil {
		if errors.Is(err, errLockLost) {
			u.lost = err
		}
		return err
	}
	tx, err := opened.beginTx(false)
	if err == nil && uint64(tx.ID()) != u.txid {
		err = corruptf("it has transaction %d, and had %d when it was opened: another program has written to it", tx.ID(), u.txid)
		opened.abandon(tx)
	}
	if err != nil {
		return errors.Join(err, opened.close())
	}
	h.db, h.file, h.span = opened.db, opened.file, opened.span
	u.tx = tx
	return u.release(h)
}

// use counts in a pin that uses the snapshot of the unwritten file, and returns that.
// It is nil once bbolt has opened the file.
func (u *unwritten) use(h *boltHandle) *boltSnapshot {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if h.db != nil {
		return nil
	}
	u.users++
	return u.snap
}

// leave counts out a pin.
func (u *unwritten) leave(h *boltHandle) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.users--
	if err := u.release(h); err != nil {
		h.log.Warn("userdata: unmap the file as it was opened", "path", u.path, "error", err)
	}
}

// release gives back what pins of the unwritten file need, if bbolt has opened it and
// there are no more. The caller has u.mu.
func (u *unwritten) release(h *boltHandle) error {
	if h.db == nil || u.users > 0 || u.gone {
		return nil
	}
	u.gone = true
	return errors.Join(h.guard(u.tx.Rollback), unmapFile(u.data))
}

// close unmaps the file. Nothing uses the handle any more. It reports whether bbolt has
// not opened it.
func (u *unwritten) close(h *boltHandle) (alone bool, err error) {
	if u == nil {
		return false, nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if alone = h.db == nil; alone && !u.gone {
		u.gone = true
		err = unmapFile(u.data)
	}
	return alone, err
}
