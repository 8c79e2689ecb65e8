package userdata

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// appendFill is how full bbolt leaves a page that it splits where keys are added
// behind all others: no more will come before those. Where keys come in between,
// its own half is best: what is fuller is split again by the next few.
const appendFill = 0.9

// A boltWriter applies change sets in one write transaction, each on top of those
// before.
type boltWriter struct {
	tx *bbolt.Tx
	verifier

	name   string
	cursor *bbolt.Cursor // in the bucket of that name; nil if it does not exist

	found []found // of the change set at hand, what is under its keys
}

// A found is what is under the key of a change, if that is known.
type found struct {
	value []byte // nil for nothing
	known bool
}

// sum returns the sum of a bucket before it is written to.
func (w *boltWriter) sum(name string, b *bbolt.Bucket) bucketSum {
	if w.paths == nil || b.Sequence() != 0 {
		return sumOf(b)
	}
	sum, known := w.sums[name]
	if known {
		w.sums[name] = 0 // from here on, its sequence number says it
	}
	return sum
}

// find returns a function that returns the value under the key of the i-th change,
// or nil if there is none, and remembers it for write.
func (w *boltWriter) find(changes []Change) func(i int) ([]byte, error) {
	clear(w.found)
	w.found = slices.Grow(w.found[:0], len(changes))[:len(changes)]
	return func(i int) (value []byte, err error) {
		if value, err = w.get(changes[i].Bucket, changes[i].Key); err == nil {
			w.found[i] = found{value, true}
		}
		return value, err
	}
}

// get returns the value under the key, or nil if there is none.
func (w *boltWriter) get(bucket string, key []byte) ([]byte, error) {
	if w.cursor == nil || bucket != w.name {
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

// write makes the changes that find was called with. bbolt keeps the values' slices
// until the transaction is committed, so they must not change before.
func (w *boltWriter) write(changes []Change) error {
	w.cursor = nil // of pages that change now
	known := w.found
	for len(changes) > 0 {
		n := 1
		for n < len(changes) && changes[n].Bucket == changes[0].Bucket {
			n++
		}
		if err := w.writeBucket(changes[:n], known[:n]); err != nil {
			return err
		}
		changes, known = changes[n:], known[n:]
	}
	return nil
}

// writeBucket makes changes that are all in one bucket, and keeps its sum. It
// creates the bucket if a value is put into it.
func (w *boltWriter) writeBucket(changes []Change, known []found) error {
	name := []byte(changes[0].Bucket)
	b := w.tx.Bucket(name)
	var sum bucketSum
	if b != nil {
		sum = w.sum(changes[0].Bucket, b)
		if last, _ := b.Cursor().Last(); bytes.Compare(changes[0].Key, last) > 0 {
			b.FillPercent = appendFill
		}
	}
	for i := range changes {
		ch := &changes[i]
		var err error
		if ch.Value == nil && b == nil {
			continue
		}
		if b == nil {
			if b, err = w.tx.CreateBucket(name); err != nil {
				return boltWriteError(ch.Bucket, nil, err)
			}
			b.FillPercent = appendFill
		}
		old := known[i].value
		if !known[i].known {
			old = b.Get(ch.Key)
		}
		if old != nil {
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
