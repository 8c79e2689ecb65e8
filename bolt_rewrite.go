package userdata

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	// rewriteInMemory is the size up to which a file is changed in one transaction
	// of its own, in bytes.
	rewriteInMemory = 4 << 20

	// rewriteChunk and rewriteWrites are how many bytes, and how many keys, go into
	// one transaction of a changed copy: bbolt holds each page that a key is on in
	// memory until it is committed.
	rewriteChunk  = 4 << 20
	rewriteWrites = 4096

	// rewriteFill is how full a page is that a full one is split into: most of what
	// is new comes in order, and does not come back to it.
	rewriteFill = 0.9
)

// rewrite implements [rewriter]. It works on a copy of the file, in transactions
// of some size, so that memory does not grow with the work. The copy takes the
// file's name when it is complete, synced and verified, as that of Compact does:
// until then the file is untouched.
func (s *BoltStore) rewrite(ctx context.Context, always bool, fn func(tx writeTx) error) (done bool, err error) {
	if err := s.calls.enter(); err != nil {
		return false, err
	}
	defer s.calls.leave()
	if s.opts.ReadOnly {
		return false, fmt.Errorf("userdata: rewrite %s: %w", s.path, ErrReadOnly)
	}
	if err := s.lockWriter(ctx); err != nil {
		return false, fmt.Errorf("userdata: rewrite: %w", err)
	}
	defer s.unlockWriter()
	old, release, err := s.writable(nil)
	if err != nil {
		return false, fmt.Errorf("userdata: rewrite: %w", err)
	}
	defer release()
	if info, err := os.Stat(s.path); err != nil || !always && info.Size() <= rewriteInMemory {
		return false, err
	}
	return true, s.rewriteCopy(ctx, old, fn)
}

// rewriteCopy makes the copy, has it changed, and puts it in the file's place. The
// caller is the writer.
func (s *BoltStore) rewriteCopy(ctx context.Context, old *boltHandle, fn func(tx writeTx) error) error {
	tmp, err := tempFile(s.path)
	if err != nil {
		return err
	}
	taken := false
	defer func() {
		if !taken { // also if fn panics
			tmp.Close()
		}
		os.Remove(tmp.Name()) // in vain once it has another name
	}()
	if _, err := old.writeTo(&contextWriter{ctx: ctx, w: tmp}); err != nil {
		return fmt.Errorf("userdata: rewrite: copy: %w", err)
	}
	if err := checkStructure(tmp); err != nil { // before bbolt writes to it
		return fmt.Errorf("userdata: rewrite: %w", err)
	}
	var changed bool
	err = s.prepare(tmp, func(to *boltHandle) (err error) {
		defer func() { err = errors.Join(err, to.close()) }()
		changed, err = change(to, s.path, fn)
		return err
	})
	if err != nil || !changed {
		return err
	}
	taken = true
	if err = s.takeOver(tmp, old); err == nil && s.handle == old {
		s.failed = fmt.Errorf("the rewritten file is in place, but can't be opened")
		err = fmt.Errorf("%w: %w", ErrUnknownOutcome, s.failed) // reads go on with what was before
	}
	return err
}

// change runs fn on the file of a handle, which nobody else knows yet. It reports
// whether anything was written.
func change(h *boltHandle, path string, fn func(tx writeTx) error) (changed bool, err error) {
	w := &boltTx{h: h, room: filepath.Dir(path)}
	h.db.NoFreelistSync = true // nobody opens the file before it is complete
	if err := w.begin(); err != nil {
		return false, err
	}
	defer func() { h.abandon(w.tx) }()
	if err := fn(w); err != nil {
		return false, err
	}
	h.db.NoFreelistSync = false // the last transaction writes it
	return w.changed, w.commit()
}

// A boltTx is a writeTx in a file of its own: it commits from time to time.
type boltTx struct {
	h       *boltHandle
	tx      *bbolt.Tx
	room    string
	buckets map[string]*changedBucket // those asked for; nil for one that does not exist
	version uint64
	pending int // bytes written since the last commit
	writes  int // and keys
	changed bool
}

// A changedBucket is a bucket of a boltTx, with its sum as it is by now.
type changedBucket struct {
	*bbolt.Bucket
	sum     bucketSum
	changed bool
}

// begin begins the next transaction.
func (w *boltTx) begin() error {
	w.buckets, w.pending, w.writes = map[string]*changedBucket{}, 0, 0
	return w.h.guard(func() (err error) {
		w.tx, err = w.h.beginTx(true)
		if err == nil && w.version == 0 {
			w.version = boltVersion(w.tx)
		}
		return err
	})
}

// commit ends the transaction at hand.
func (w *boltTx) commit() error {
	return w.h.guard(func() error {
		for _, b := range w.buckets {
			if b == nil || !b.changed {
				continue
			}
			if err := b.SetSequence(uint64(b.sum)); err != nil {
				return err
			}
		}
		w.h.db.AllocSize = int(min(max(w.tx.Size()/8, minFileGrowth), maxFileGrowth))
		return w.tx.Commit()
	})
}

// bucket returns a bucket, or nil if it does not exist.
func (w *boltTx) bucket(name string) *changedBucket {
	b, known := w.buckets[name]
	if !known {
		if found := w.tx.Bucket([]byte(name)); found != nil {
			found.FillPercent = rewriteFill
			b = &changedBucket{Bucket: found, sum: sumOf(found)}
		}
		w.buckets[name] = b
	}
	return b
}

// Version implements [Snapshot].
func (w *boltTx) Version() uint64 { return w.version }

// Buckets implements [Snapshot].
func (w *boltTx) Buckets() (names []string, err error) {
	err = w.h.guard(func() error {
		return w.tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
			names = append(names, string(name))
			return nil
		})
	})
	return names, err
}

// Get implements [Snapshot].
func (w *boltTx) Get(bucket string, key []byte) (value []byte, err error) {
	err = w.h.guard(func() error {
		if b := w.bucket(bucket); b != nil {
			value = b.Get(key)
		}
		return nil
	})
	return value, err
}

// Scan implements [Snapshot].
func (w *boltTx) Scan(bucket string, r Range, fn func(key, value []byte) bool) error {
	b := w.bucket(bucket)
	if b == nil {
		return nil
	}
	c := b.Cursor()
	step := c.Next
	if r.Reverse {
		step = c.Prev
	}
	var key, value []byte
	move := func(to func() ([]byte, []byte)) error {
		return w.h.guard(func() error { key, value = to(); return nil })
	}
	err := move(func() ([]byte, []byte) { return seekBolt(c, r) })
	for err == nil && key != nil && r.Contains(key) && fn(key, value) {
		err = move(step)
	}
	return err
}

// seekBolt moves the cursor to where a scan of the range begins.
func seekBolt(c *bbolt.Cursor, r Range) (key, value []byte) {
	switch {
	case !r.Reverse:
		return c.Seek(r.From)
	case r.To == nil:
		return c.Last()
	}
	if key, _ := c.Seek(r.To); key == nil {
		return c.Last()
	}
	return c.Prev()
}

// write runs fn, which writes so many bytes, in a transaction that has room.
func (w *boltTx) write(size int, fn func() error) error {
	if w.pending > rewriteChunk || w.writes == rewriteWrites {
		if err := w.commit(); err != nil {
			return fmt.Errorf("userdata: rewrite: %w", err)
		}
		if err := w.begin(); err != nil {
			return fmt.Errorf("userdata: rewrite: %w", err)
		}
	}
	w.pending += size
	w.writes++
	w.changed = true
	return w.h.guard(fn)
}

func (w *boltTx) put(bucket string, key, value []byte) error {
	return w.write(len(key)+len(value), func() error {
		b := w.bucket(bucket)
		if b == nil {
			created, err := w.tx.CreateBucket([]byte(bucket))
			if err != nil {
				return boltWriteError(bucket, nil, err)
			}
			created.FillPercent = rewriteFill
			b = &changedBucket{Bucket: created}
			w.buckets[bucket] = b
		}
		if old := b.Get(key); old != nil {
			b.sum = b.sum.without(key, old)
		}
		b.sum, b.changed = b.sum.with(key, value), true
		if err := b.Put(key, value); err != nil {
			return boltWriteError(bucket, key, err)
		}
		return nil
	})
}

func (w *boltTx) delete(bucket string, key []byte) error {
	return w.write(len(key), func() error {
		b := w.bucket(bucket)
		if b == nil {
			return nil
		}
		old := b.Get(key)
		if old == nil {
			return nil
		}
		b.sum, b.changed = b.sum.without(key, old), true
		if err := b.Delete(bytes.Clone(key)); err != nil {
			return boltWriteError(bucket, key, err)
		}
		return nil
	})
}

func (w *boltTx) deleteBucket(bucket string) error {
	return w.write(len(bucket), func() error {
		delete(w.buckets, bucket)
		err := w.tx.DeleteBucket([]byte(bucket))
		if err == nil || errors.Is(err, berrors.ErrBucketNotFound) {
			return nil
		}
		return boltWriteError(bucket, nil, err)
	})
}

func (w *boltTx) sortRoom() string { return w.room }
