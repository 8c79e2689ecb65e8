package userdata

import (
	"context"
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// compactChunk is how many bytes of entries go into one transaction of the new file.
const compactChunk = 4 << 20

// Compact writes the file anew without the space that deleted and changed entries
// have left. Reads go on meanwhile, with the file as it is; commits wait. The new
// file takes the name of the old one when it is complete, synced and verified: if
// the process or the machine stops, the old or the new one is there, whole. It
// needs as much free space as the new file takes.
//
// The state of the store and its version stay what they are. Where the system does
// not let go of the name of an open file, on Windows, Compact waits for Views at
// its end, as Apply may.
//
// Errors: the context's, [ErrReadOnly], [ErrClosed], [ErrLocked], [ErrCorrupt] if
// the file is damaged, and those of the file system: with each of them the file is
// as it was. The exception is [ErrUnknownOutcome]: the new file is in place, but it
// may lose its name to the old one again if the machine stops; the store takes no
// more changes until it is opened again.
func (s *BoltStore) Compact(ctx context.Context) error {
	if err := s.calls.enter(); err != nil {
		return err
	}
	defer s.calls.leave()
	err := errnoOf(s.compact(ctx))
	if err != nil {
		return fmt.Errorf("userdata: compact %s: %w", s.path, err)
	}
	return nil
}

func (s *BoltStore) compact(ctx context.Context) error {
	if s.opts.ReadOnly {
		return ErrReadOnly
	}
	if err := s.lockWriter(ctx); err != nil {
		return err
	}
	defer s.unlockWriter()
	old, release, err := s.writable(nil)
	if err != nil {
		return err
	}
	defer release()
	tmp, err := tempFile(s.path)
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // in vain once it has another name
	filled := false
	defer func() {
		if !filled { // also if Options.Progress panics
			tmp.Close()
		}
	}()
	if err := s.fill(ctx, tmp, old); err != nil {
		return err
	}
	filled = true
	return s.takeOver(tmp, old)
}

// fill writes the entries of the store's file to the empty file tmp, and locks it.
// It is verified and synced then.
func (s *BoltStore) fill(ctx context.Context, tmp *os.File, from *boltHandle) error {
	return s.prepare(tmp, func(to *boltHandle) error {
		defer to.close()
		var version uint64
		err := from.snapshot(func(snap Snapshot) error {
			version = snap.Version()
			return s.copyBuckets(ctx, snap.(*boltSnapshot), to)
		})
		if err := errors.Join(err, to.close()); err != nil {
			return err
		}
		return setVersion(tmp, version)
	})
}

// prepare has the file tmp written by fn, which closes the handle, and locks it for
// the store. It is synced and verified then.
func (s *BoltStore) prepare(tmp *os.File, fn func(to *boltHandle) error) error {
	if info, err := os.Stat(s.path); err != nil {
		return pathless(err)
	} else if err := os.Chmod(tmp.Name(), info.Mode().Perm()); err != nil {
		return pathless(err)
	}
	if err := tryLock(tmp, true); err != nil {
		return err
	}
	if !ownsLock {
		if err := unlock(tmp); err != nil { // so that bbolt can lock it
			return err
		}
	}
	to, err := openHandle(tmp, tmp.Name(), &s.opts)
	if err != nil {
		return err
	}
	to.db.NoSync = true // there is a sync at the end
	to.db.AllocSize = minFileGrowth
	if err := fn(to); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return pathless(err)
	}
	if err := s.verifyCopy(tmp); err != nil || !ownsLock {
		return err
	}
	return tryLock(tmp, true)
}

// copyBuckets copies all entries, bucket by bucket in the order of their keys. It
// fails if a bucket does not have what it should have.
func (s *BoltStore) copyBuckets(ctx context.Context, snap *boltSnapshot, to *boltHandle) error {
	names, err := snap.Buckets()
	if err != nil {
		return err
	}
	for _, name := range names {
		c := &copier{name: []byte(name), to: to, ctx: ctx}
		err := snap.Scan(name, Range{}, func(key, value []byte) bool {
			c.err = c.put(key, value)
			return c.err == nil
		})
		if err := errors.Join(err, c.err, c.flush()); err != nil {
			return err
		}
		want, err := snap.sum(name)
		if err == nil && want != 0 && want != c.sum {
			err = sumError(name, want, c.sum)
		}
		if err != nil {
			return err
		}
		if tell := s.progress("compact " + name); tell != nil {
			tell(int64(c.sum.count()), int64(c.sum.count()))
		}
	}
	return nil
}

// A copier writes the entries of one bucket, in transactions of some size.
type copier struct {
	ctx  context.Context
	to   *boltHandle
	name []byte
	sum  bucketSum // of what was written
	err  error

	keys, values [][]byte // what the next transaction writes: the store's slices
	size         int
}

// put takes one entry.
func (c *copier) put(key, value []byte) error {
	c.keys, c.values = append(c.keys, key), append(c.values, value)
	c.size += len(key) + len(value)
	c.sum = c.sum.with(key, value)
	if c.size < compactChunk {
		return nil
	}
	return c.flush()
}

// flush writes what was taken.
func (c *copier) flush() error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	err := c.to.guard(func() error {
		return c.to.db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(c.name)
			if err != nil {
				return err
			}
			b.FillPercent = 1 // keys come in order
			for i, key := range c.keys {
				if err := b.Put(key, c.values[i]); err != nil {
					return err
				}
			}
			return b.SetSequence(uint64(c.sum))
		})
	})
	c.keys, c.values, c.size = c.keys[:0], c.values[:0], 0
	return err
}

// setVersion gives the state in the file the version of another one, which it is a
// copy of, and cuts off what the file has beyond its pages.
func setVersion(f *os.File, version uint64) error {
	rep, err := readMetas(f)
	if err != nil {
		return err
	}
	size := int64(rep.PageSize)
	page := make([]byte, size)
	if _, err := f.ReadAt(page, int64(rep.Meta)*size); err != nil {
		return pathless(err)
	}
	if err := f.Truncate(size * int64(rep.Metas[rep.Meta].HighWater)); err != nil {
		return pathless(err)
	}
	pages.SetTxid(page, version-1) // see boltVersion
	for slot := range 2 {
		pages.MoveMeta(page, slot)
		if _, err := f.WriteAt(page, int64(slot)*size); err != nil {
			return pathless(err)
		}
	}
	return nil
}

// takeOver makes tmp, a locked and synced file with the state of the store, the
// store's file. The caller is the writer.
func (s *BoltStore) takeOver(tmp *os.File, old *boltHandle) error {
	if !ownsLock {
		return s.takeOverAlone(tmp, old)
	}
	if err := os.Rename(tmp.Name(), s.path); err != nil {
		if _, moved := stillAt(tmp, s.path); moved != nil { // else it was done all the same
			return errors.Join(pathless(err), tmp.Close())
		}
	}
	before := s.own
	s.own, s.seen, s.sealed, s.wrote = tmp, 0, false, false
	defer before.Close()
	old.broken = true // until there is a handle of the new file
	if err := syncFolder(s.path); err != nil {
		s.failed = err
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	h, err := s.openAgain()
	if err != nil {
		if errors.Is(err, errLockLost) {
			s.failed = err
		}
		s.log.Error("userdata: the compacted file could not be opened yet", "path", s.path, "error", err)
		return nil // it is complete: the next commit tries again
	}
	if unused := s.replaceHandle(h, false); unused != nil {
		s.dispose(unused)
	}
	return nil
}

// takeOverAlone is takeOver where an open file can't be replaced, nor be opened
// twice.
func (s *BoltStore) takeOverAlone(tmp *os.File, old *boltHandle) error {
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := s.hold(); err != nil {
		return err
	}
	defer s.resume()
	old.broken = true
	if err := old.close(); err != nil {
		return err
	}
	renaming := pathless(os.Rename(tmp.Name(), s.path))
	h, err := openHandle(nil, s.path, &s.opts)
	if err == nil {
		s.replaceHandle(h, false)
	}
	return errors.Join(renaming, err)
}
