package userdata

import (
	"bytes"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// A boltWriter reads in a write transaction what that itself has written.
type boltWriter struct {
	tx     *bbolt.Tx
	name   string
	cursor *bbolt.Cursor // in the bucket of that name; nil if it does not exist
}

// get returns the value under the key, or nil if there is none.
func (w *boltWriter) get(bucket string, key []byte) ([]byte, error) {
	if bucket != w.name {
		w.name, w.cursor = bucket, nil
		if b := w.tx.Bucket([]byte(bucket)); b != nil {
			w.cursor = b.Cursor()
		} else if key, _ := w.tx.Cursor().Seek([]byte(bucket)); key != nil && string(key) == bucket {
			return nil, strayError(bucket, nil)
		}
	}
	if w.cursor == nil {
		return nil, nil
	}
	found, value := w.cursor.Seek(key)
	switch {
	case found == nil || !bytes.Equal(found, key):
		return nil, nil
	case value == nil:
		return nil, strayError(bucket, key)
	}
	return value, nil
}

// writeBolt makes the changes in a write transaction. bbolt keeps the values'
// slices until the transaction is committed, so they must not change before.
func writeBolt(tx *bbolt.Tx, changes []Change) error {
	for len(changes) > 0 {
		n := 1
		for n < len(changes) && changes[n].Bucket == changes[0].Bucket {
			n++
		}
		if err := writeBoltBucket(tx, changes[:n]); err != nil {
			return err
		}
		changes = changes[n:]
	}
	return nil
}

// writeBoltBucket makes changes that are all in one bucket, and keeps its sum. It
// creates the bucket if a value is put into it.
func writeBoltBucket(tx *bbolt.Tx, changes []Change) error {
	name := []byte(changes[0].Bucket)
	b := tx.Bucket(name)
	var sum bucketSum
	if b != nil {
		sum = sumOf(b)
	}
	for i := range changes {
		ch := &changes[i]
		var err error
		if ch.Value == nil && b == nil {
			continue
		}
		if b == nil {
			if b, err = tx.CreateBucket(name); err != nil {
				return boltWriteError(ch.Bucket, nil, err)
			}
		}
		if old := b.Get(ch.Key); old != nil {
			sum = sum.without(ch.Key, old)
		}
		if ch.Value == nil {
			err = b.Delete(ch.Key)
		} else {
			sum = sum.with(ch.Key, ch.Value)
			err = b.Put(ch.Key, ch.Value)
		}
		if err != nil {
			return boltWriteError(ch.Bucket, ch.Key, err)
		}
	}
	if b == nil {
		return nil
	}
	return b.SetSequence(uint64(sum))
}

// boltWriteError translates an error of a put, a delete or a new bucket.
func boltWriteError(bucket string, key []byte, err error) error {
	if errors.Is(err, berrors.ErrIncompatibleValue) {
		return strayError(bucket, key)
	}
	return fmt.Errorf("userdata: apply: bucket %s, key %x: %w", bucket, key, err)
}

// strayError says that a bucket is where a value should be, or, if key is nil,
// a value where the bucket should be.
func strayError(bucket string, key []byte) error {
	if key == nil {
		return fmt.Errorf("userdata: bucket %s: %w", bucket, corruptf("a value in its place"))
	}
	return fmt.Errorf("userdata: bucket %s, key %x: %w", bucket, key, corruptf("a bucket in its place"))
}
