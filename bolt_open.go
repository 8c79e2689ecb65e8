package userdata

import (
	"errors"
	"fmt"
	"os"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// verifyAtOpen is the size in bytes of the largest file that is checked in full
// when it is opened. That takes about 0.6 ms for each MiB.
const verifyAtOpen = 8 << 20

// open opens the file for the first time. Nothing in it is trusted before it was
// checked, and nothing is written to one that is damaged.
func (s *BoltStore) open() (err error) {
	own, err := openLocked(s.path, s.opts.ReadOnly, s.opts.lockTimeout())
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			own.Close() // perhaps for the second time
		}
	}()
	st, err := readState(own, 0)
	if err != nil {
		return err
	}
	small, err := inspect(own, st.slot)
	if err != nil {
		return err
	}
	if !s.opts.ReadOnly && !st.closed() {
		if err := syncFolder(s.path); err != nil { // its creator may have been killed before
			return fmt.Errorf("sync folder: %w", err)
		}
	}
	if err := s.renew(own); err != nil {
		return err
	}
	if ownsLock {
		s.own = own
	} else {
		own.Close()
	}
	s.trusted = small && !s.opts.Shared // with others, the file may grow
	if small {
		err = s.handle.snapshot(verifySums)
	}
	if err == nil && s.opts.Shared {
		err = s.unlockTurn()
	}
	if err != nil {
		s.handle.close()
	}
	return err
}

// inspect checks the structure of the file from a meta page on, if it is small, or its
// meta pages and its freelist. It reports whether it is small. In a larger file each page
// of the trees is checked before it is read or written to.
func inspect(f *os.File, slot int) (small bool, err error) {
	info, err := f.Stat()
	if err != nil {
		return false, pathless(err)
	}
	if info.Size() > verifyAtOpen {
		rep, err := pages.CheckFreelist(f, info.Size(), slot)
		if err == nil && rep.Err() != nil {
			err = corruptf("%w; Salvage can save what is readable", rep.Err())
		}
		if err != nil || rep.Freelist > 0 {
			return false, pathless(err)
		} // else bbolt goes through the whole file to find out what is free
	}
	rep, err := pages.CheckMeta(f, info.Size(), slot)
	if err != nil {
		return true, pathless(err)
	}
	err = rep.Unsafe()
	if err == nil {
		return true, nil
	}
	if soundBefore(f, info.Size(), rep) {
		return true, corruptf("%w; the state before the last commit is whole: Salvage can go back to it", err)
	}
	return true, corruptf("%w; Salvage can save what is readable", err)
}

// soundBefore reports whether the other meta page leads to a sound file, which is
// that before the last commit.
func soundBefore(f *os.File, size int64, rep pages.Report) bool {
	if rep.Meta < 0 || rep.Metas[1-rep.Meta].Err != nil {
		return false
	}
	before, err := pages.CheckMeta(f, size, 1-rep.Meta)
	return err == nil && before.Unsafe() == nil
}

// verifySums compares what each bucket has with what its sum says.
func verifySums(snap Snapshot) error {
	names, err := snap.Buckets()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := verifySum(snap.(*boltSnapshot), name); err != nil {
			return err
		}
	}
	return nil
}

// verifySum compares what the bucket has with what its sum says, if it keeps one.
func verifySum(snap *boltSnapshot, name string) error {
	want, err := snap.sum(name)
	if want == 0 || err != nil {
		return err
	}
	var got bucketSum
	err = snap.Scan(name, Range{}, func(key, value []byte) bool {
		got = got.with(key, value)
		return true
	})
	if err == nil && got != want {
		err = sumError(name, want, got)
	}
	return err
}

// sumError says how a bucket differs from its sum.
func sumError(name string, want, got bucketSum) error {
	if missing := int32(want.count() - got.count()); missing > 0 {
		return fmt.Errorf("userdata: bucket %s: %w", name, corruptf("%d of %d entries are missing", missing, want.count()))
	} else if missing < 0 {
		return fmt.Errorf("userdata: bucket %s: %w", name, corruptf("%d entries too many, beside %d", -missing, want.count()))
	}
	return fmt.Errorf("userdata: bucket %s: %w", name, corruptf("some of its %d entries are not the newest", want.count()))
}

// checkPages checks the structure of the file for a report. Nobody writes to it.
func (s *BoltStore) checkPages(report *CheckReport) error {
	f, err := s.descriptor()
	if err != nil {
		return pathless(err)
	}
	if f != s.own {
		defer f.Close()
	}
	info, err := f.Stat()
	if err != nil {
		return pathless(err)
	}
	found, err := pages.Check(f, info.Size())
	if err != nil {
		return pathless(err)
	}
	if found.Meta >= 0 {
		report.Pages = found.Metas[found.Meta].HighWater
	}
	report.Free, report.Lost = found.Free, found.Leaked
	for _, finding := range found.Findings {
		if !errors.Is(finding.Err, pages.ErrLeaked) {
			report.note(corruptf("%s", finding))
		}
	}
	report.Omitted += found.Omitted
	return nil
}
