package userdata

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	berrors "go.etcd.io/bbolt/errors"
)

// rewrite implements [rewriter].
func (s *BoltStore) rewrite(ctx context.Context, bulk bool, fn func(tx writeTx) error) error {
	if err := s.calls.enter(); err != nil {
		return err
	}
	defer s.calls.leave()
	if s.readOnly {
		return fmt.Errorf("userdata: rewrite: %s: %w", s.path, ErrReadOnly)
	}
	if err := s.lockWriter(ctx); err != nil {
		return err
	}
	defer s.unlockWriter()
	return s.rewriteAtOnce(fn)
}

// rewriteAtOnce runs fn in one bbolt write transaction. The caller is the writer.
func (s *BoltStore) rewriteAtOnce(fn func(tx writeTx) error) error {
	tx, err := s.db.Begin(true)
	if err != nil {
		return fmt.Errorf("userdata: rewrite: %w", err)
	}
	defer tx.Rollback() // does nothing after Commit
	w := &boltTx{boltSnapshot: newBoltSnapshot(tx), path: s.path}
	if err := fn(w); err != nil || w.written == 0 {
		return err
	}
	s.db.AllocSize = int(min(max(tx.Size(), minFileGrowth), maxFileGrowth))
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("userdata: rewrite: %w", err)
	}
	return nil
}

// A boltTx is a writeTx in a bbolt write transaction.
type boltTx struct {
	*boltSnapshot
	path    string
	written int // bytes put, and one for each removal
}

func (w *boltTx) put(bucket string, key, value []byte) error {
	b, err := w.bucket(bucket)
	if err != nil {
		return err
	}
	if b == nil {
		created, err := w.tx.CreateBucket([]byte(bucket))
		if err != nil {
			return boltWriteError(bucket, nil, err)
		}
		b = &boltBucket{Bucket: created, get: created.Cursor()}
		w.buckets[bucket] = b
	}
	w.written += len(key) + len(value)
	if err := b.Put(key, value); err != nil {
		return boltWriteError(bucket, key, err)
	}
	return nil
}

func (w *boltTx) delete(bucket string, key []byte) error {
	b, err := w.bucket(bucket)
	if b == nil || err != nil {
		return err
	}
	w.written++
	if err := b.Delete(key); err != nil {
		return boltWriteError(bucket, key, err)
	}
	return nil
}

func (w *boltTx) deleteBucket(bucket string) error {
	delete(w.buckets, bucket)
	err := w.tx.DeleteBucket([]byte(bucket))
	switch {
	case errors.Is(err, berrors.ErrBucketNotFound):
		return nil
	case err != nil:
		return boltWriteError(bucket, nil, err)
	}
	w.written++
	return nil
}

func (w *boltTx) sortRoom() string { return filepath.Dir(w.path) }
