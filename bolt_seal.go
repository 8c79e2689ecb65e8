package userdata

import (
	"fmt"
	"os"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// A commit of bbolt's syncs twice: its pages, and then the meta page that leads to
// them, which must not be on the disk before they are. A small commit of a BoltStore
// syncs once. Behind its meta it writes a seal, the list of the pages that it wrote
// and their checksum, and syncs all together. After a power cut the next opening
// compares: if a page is missing, it goes back to the state before, of which no page
// was overwritten. That commit never returned.
//
// Whether a meta page without a seal is good, the seal before it tells. That is Last if
// the next commit may sync twice: a large one, one of a shared file, or one that another
// program makes after the file was closed. If it is not, the process was stopped before it
// wrote the seal.

const (
	// maxSealedChanges and maxSealedBytes bound the commits that get a seal: a
	// larger one gains little by a sync less, and would have a long list.
	maxSealedChanges = 512
	maxSealedBytes   = 1 << 20
)

// seals reports whether small commits of the store get a seal.
func (s *BoltStore) seals() bool { return s.own != nil && !s.opts.Shared && !s.opts.ReadOnly }

// sealable reports whether a commit of the calls gets a seal.
func sealable(calls []*applyCall) bool {
	changes, size := 0, 0
	for _, c := range calls {
		changes += len(c.changes.Changes)
		size += c.size()
	}
	return changes <= maxSealedChanges && size <= maxSealedBytes
}

// prepareSeal makes ready for a commit, which is small or not, and reports whether it
// is to have a seal. The transaction before is durable, and its seal says what the next
// one will have: before that is written.
func (s *BoltStore) prepareSeal(h *boltHandle, small bool, txid uint64) (bool, error) {
	switch {
	case small && !s.sealed:
		err := s.demandSeal(h, txid-1)
		if err == nil {
			err = h.sync()
		}
		s.sealed = err == nil
		return true, err
	case !small && s.sealed:
		s.sealed = false
		return false, s.markSeal(h, txid-1, true) // durable with the pages of the commit
	}
	return small, nil
}

// demandSeal says that the transaction after the one with that number has a seal.
func (s *BoltStore) demandSeal(h *boltHandle, txid uint64) error {
	has := false
	err := h.guard(func() error {
		page := h.direct.newest().metaPage(txid)
		_, has = pages.SealOf(page, pages.MetaAt(page, txid&1))
		return nil
	})
	if err != nil {
		return err
	}
	if has {
		return s.markSeal(h, txid, false)
	}
	b, _ := (&pages.Seal{Txid: txid, Durable: true}).Bytes(int(h.pageSize))
	return s.writeSeal(h, txid, b, pages.SealOffset)
}

// markSeal marks the seal of a durable transaction: whether it is Last.
func (s *BoltStore) markSeal(h *boltHandle, txid uint64, last bool) error {
	marks := []byte{(&pages.Seal{Durable: true, Last: last}).Marks()}
	return s.writeSeal(h, txid, marks, pages.SealMarksOffset)
}

// writeSeal writes the seal of a transaction, or the part of it from an offset of the
// meta page on.
func (s *BoltStore) writeSeal(h *boltHandle, txid uint64, b []byte, offset int64) error {
	if _, err := s.own.WriteAt(b, int64(txid&1)*h.pageSize+offset); err != nil {
		return fmt.Errorf("write seal: %w", pathless(err))
	}
	return nil
}

// sync syncs the file, and says so if that fails.
func (h *boltHandle) sync() error {
	sync := func() error { return syncData(h.direct.own) }
	if h.direct == nil {
		sync = h.db.Sync
	}
	if err := sync(); err != nil {
		return fmt.Errorf("sync: %w", pathless(err))
	}
	return nil
}

// endSeals marks the last commit as durable, and whoever comes next as free to write
// without seals. If that is lost, the next opening finds out.
func (s *BoltStore) endSeals() {
	if err := s.markSeals(s.handle); err != nil {
		s.log.Warn("userdata: the last commit could not be marked as durable", "path", s.path, "error", err)
	}
}

// markSeals is endSeals for a handle.
func (s *BoltStore) markSeals(h *boltHandle) error {
	if !s.sealed {
		b, _ := (&pages.Seal{Txid: s.seen, Durable: true, Last: true}).Bytes(int(h.pageSize))
		return s.writeSeal(h, s.seen, b, pages.SealOffset)
	}
	if err := s.markSeal(h, s.seen, true); err != nil {
		return err
	}
	return s.markSeal(h, s.seen-1, true)
}

// A fileState is what a file holds for one who opens it.
type fileState struct {
	pages.Report
	slot int // the meta page of the last transaction that is whole

	seal    *pages.Seal
	written []byte // the pages that the seal lists
	settled bool   // it is known to be durable
}

// meta returns the meta of the last transaction that is whole.
func (st *fileState) meta() pages.Meta { return st.Metas[st.slot] }

// readState finds out which transaction is the last one that is whole. It reads only.
// That with the number durable, if it is the last one, is known to be so. The caller has
// the file to itself, or nobody writes to it.
func readState(f *os.File, durable uint64) (*fileState, error) {
	rep, err := readMetas(f)
	if err != nil {
		return nil, err
	}
	st := &fileState{Report: rep, slot: rep.Meta, settled: true}
	if st.seal, err = sealAt(f, rep, st.slot); err != nil {
		return nil, err
	}
	if st.seal == nil {
		if !st.hasBefore() {
			return st, nil
		}
		before, err := sealAt(f, rep, 1-st.slot)
		if err == nil && before != nil && !before.Last { // so the next one needs a seal
			st.slot, st.seal = 1-st.slot, before
		}
		return st, err
	}
	if st.settled = st.seal.Durable || st.seal.Txid == durable; st.settled {
		return st, nil
	}
	if st.written, err = st.seal.Read(f, rep.PageSize); err != nil || st.written != nil {
		return st, pathless(err)
	}
	if !st.hasBefore() {
		return nil, corruptf("pages of its last commit are missing, and there is no state before it; Salvage can save what is readable")
	}
	st.slot, st.settled = 1-st.slot, true
	st.seal, err = sealAt(f, rep, st.slot)
	return st, err
}

// hasBefore reports whether the meta page that bbolt would not choose has the state
// before the last commit.
func (st *fileState) hasBefore() bool {
	before := st.Metas[1-st.Meta]
	return before.Err == nil && before.Txid+1 == st.Metas[st.Meta].Txid
}

// sealAt reads the seal in a meta page, if it has one.
func sealAt(f *os.File, rep pages.Report, slot int) (*pages.Seal, error) {
	page := make([]byte, rep.PageSize)
	if _, err := f.ReadAt(page, int64(slot)*int64(rep.PageSize)); err != nil {
		return nil, pathless(err)
	}
	seal, _ := pages.SealOf(page, rep.Metas[slot])
	return seal, nil
}

// closed reports whether the file was left in order: its last transaction is durable, and
// so is its name, which was made so when the file was opened before that.
func (st *fileState) closed() bool {
	return st.seal != nil && st.seal.Last && !st.cutOff() && st.hasBefore() && uint64(st.slot) == st.meta().Txid&1
}

// settle makes the last transaction durable if it may not be: the kernel may have the
// pages, and not the disk.
func (st *fileState) settle(f *os.File) error {
	if st.settled {
		return nil
	}
	rest := st.written
	for _, run := range st.seal.Runs {
		n := run.Count * uint64(st.PageSize)
		if _, err := f.WriteAt(rest[:n], int64(run.First)*int64(st.PageSize)); err != nil {
			return fmt.Errorf("write pages of the last commit: %w", pathless(err))
		}
		rest = rest[n:]
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync pages of the last commit: %w", pathless(err))
	}
	return nil
}

// mark makes the bytes of the chosen meta page those of a durable transaction with that
// number, after which one may come that has no seal.
func (st *fileState) mark(page []byte, txid uint64) {
	if st.cutOff() {
		pages.SetTxid(page, txid)
		last, _ := (&pages.Seal{Txid: txid, Durable: true, Last: true}).Bytes(len(page))
		clear(page[pages.SealOffset:])
		copy(page[pages.SealOffset:], last)
	} else if st.seal != nil {
		page[pages.SealMarksOffset] = (&pages.Seal{Durable: true, Last: true}).Marks()
	}
}

// cutOff reports whether the last transaction in the file is not whole.
func (st *fileState) cutOff() bool { return st.slot != st.Meta }
