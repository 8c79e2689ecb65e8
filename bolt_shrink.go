package userdata

import (
	"fmt"
	"os"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// bbolt never makes a file smaller, and a commit writes all pages that it changes anew
// before those of the state before are free: after a load half of the file may be. So
// Close cuts the file. It moves pages from the file's end to free ones before, as a
// transaction would, and syncs them; then both meta pages, one after the other, each
// synced, so that whichever is lost the other one is whole; and then it cuts off what is
// no longer used. Whenever that is stopped, all that was committed stays.
const (
	// shrinkPages is how many pages are free, at least, in a file that is cut; and one
	// in shrinkShare of all.
	shrinkPages = 64
	shrinkShare = 4

	// maxShrinkMove bounds, in bytes, what one Close moves, besides branches and the list of
	// free pages. A file that needs more is cut again when it is closed the next time.
	maxShrinkMove = 16 << 20

	// maxShrinkFile is the size of the largest file that is cut: in a larger one even to
	// find out what could move takes long. Compact has no such limit.
	maxShrinkFile = 1 << 30

	// One page in shrinkSlack stays free, or shrinkPages if that is more, so that
	// the next small commits do not make the file grow.
	shrinkSlack = 128
)

// shrink cuts the file, if it is worth while, and marks it as closed in order. It is
// closed, but for the store's descriptor, and the store has it to itself. It reports
// whether it has tried. If that failed, the next opening makes the file sound: no commit is
// lost by it.
func (s *BoltStore) shrink() (tried bool) {
	var before, after int64
	err := s.handle.guard(func() (err error) {
		out, err := planShrink(s.own, s.seen)
		if err != nil || out == nil {
			return err
		}
		tried = true
		before, after, err = cutFile(s.own, out)
		return err
	})
	if err != nil {
		s.log.Warn("userdata: the file could not be made smaller", "path", s.path, "error", err)
	} else if tried {
		s.log.Debug("userdata: the file was made smaller", "path", s.path, "before", before, "after", after)
	}
	return tried
}

// planShrink returns the transaction after which the file can be cut, whose last one is durable and
// has that number: nil for none.
func planShrink(f *os.File, txid uint64) (out *pages.Shrunk, err error) {
	rep, err := readMetas(f)
	if err != nil {
		return nil, err
	}
	m, size := rep.Metas[rep.Meta], int64(rep.PageSize)
	if m.Txid != txid || uint64(rep.Meta) != txid&1 || m.HighWater > maxShrinkFile/uint64(size) {
		return nil, nil
	}
	data, err := mapFile(f, int64(m.HighWater)*size)
	if err != nil {
		return nil, fmt.Errorf("map file: %w", err)
	}
	defer unmapFile(data)
	defer func() {
		if err != nil {
			err = corruptf("%w", err)
		}
	}()
	free, err := pages.Free(data, m)
	if err != nil || free < shrinkPages || free < m.HighWater/shrinkShare {
		return nil, err
	}
	return pages.Shrink(data, m, uint64(maxShrinkMove/size), max(shrinkPages, m.HighWater/shrinkSlack))
}

// cutFile makes the transaction, and cuts the file. It returns how many bytes that had, and has.
func cutFile(f *os.File, out *pages.Shrunk) (before, after int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, 0, pathless(err)
	}
	if err := writePatches(f, out); err != nil {
		return 0, 0, err
	}
	if err := writeMetas(f, out.Meta); err != nil {
		return 0, 0, err
	}
	after = int64(out.Meta.HighWater) * int64(out.Meta.PageSize)
	if err := f.Truncate(after); err != nil {
		return 0, 0, fmt.Errorf("truncate: %w", pathless(err))
	}
	return info.Size(), after, nil
}

// writePatches writes the pages of the transaction, and syncs them.
func writePatches(f *os.File, out *pages.Shrunk) error {
	for _, p := range out.Patches {
		if _, err := f.WriteAt(p.Bytes, int64(p.First)*int64(out.Meta.PageSize)); err != nil {
			return fmt.Errorf("write pages: %w", pathless(err))
		}
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync pages: %w", pathless(err))
	}
	return nil
}

// writeMetas makes the transaction durable whose pages are. Then it does so with another one that
// says the same, since the state before needs what is to be cut off. Only when both are
// synced the last one says that the file was closed in order.
func writeMetas(f *os.File, m pages.Meta) error {
	page := make([]byte, m.PageSize)
	size := int64(m.PageSize)
	if _, err := f.ReadAt(page, int64((m.Txid-1)&1)*size); err != nil {
		return fmt.Errorf("read meta page: %w", pathless(err))
	}
	clear(page[pages.SealOffset:])
	for range 2 {
		slot := m.Txid & 1
		pages.MoveMeta(page, int(slot))
		pages.SetMeta(page, m)
		seal, _ := (&pages.Seal{Txid: m.Txid, Durable: true}).Bytes(len(page))
		copy(page[pages.SealOffset:], seal)
		if _, err := f.WriteAt(page, int64(slot)*size); err != nil {
			return fmt.Errorf("write meta page: %w", pathless(err))
		}
		if err := f.Sync(); err != nil {
			return fmt.Errorf("sync meta page: %w", pathless(err))
		}
		m.Txid++
	}
	marks := []byte{(&pages.Seal{Durable: true, Last: true}).Marks()}
	if _, err := f.WriteAt(marks, int64((m.Txid-1)&1)*size+pages.SealMarksOffset); err != nil {
		return fmt.Errorf("write seal: %w", pathless(err))
	}
	return nil
}
