package userdata

import (
	"bytes"

	"go.etcd.io/bbolt"
)

// boltVersion is the version of the state that the transaction found: the id of
// the one that wrote it, plus one, since a new file may begin with 0. A write
// transaction has its own id, which is one more already.
func boltVersion(tx *bbolt.Tx) uint64 {
	if tx.Writable() {
		return uint64(tx.ID())
	}
	return uint64(tx.ID()) + 1
}

// A boltSnapshot reads in one transaction.
type boltSnapshot struct {
	tx      *bbolt.Tx
	buckets map[string]*boltBucket // those asked for; nil for one that does not exist
}

// A boltBucket is a bucket with the cursor that Get uses. Scans have their own.
type boltBucket struct {
	*bbolt.Bucket
	get *bbolt.Cursor
}

func newBoltSnapshot(tx *bbolt.Tx) *boltSnapshot {
	return &boltSnapshot{tx: tx, buckets: make(map[string]*boltBucket)}
}

// Version implements [Snapshot].
func (s *boltSnapshot) Version() uint64 { return boltVersion(s.tx) }

// Buckets implements [Snapshot].
func (s *boltSnapshot) Buckets() ([]string, error) {
	var names []string
	c := s.tx.Cursor()
	for name, value := c.First(); name != nil; name, value = c.Next() {
		if value != nil {
			return nil, strayError(string(name), nil)
		}
		names = append(names, string(name))
	}
	return names, nil
}

// bucket returns the bucket, or nil if it does not exist.
func (s *boltSnapshot) bucket(name string) (*boltBucket, error) {
	if b, ok := s.buckets[name]; ok {
		return b, nil
	}
	var found *boltBucket
	if b := s.tx.Bucket([]byte(name)); b != nil {
		found = &boltBucket{Bucket: b, get: b.Cursor()}
	} else if key, _ := s.tx.Cursor().Seek([]byte(name)); key != nil && string(key) == name {
		return nil, strayError(name, nil)
	}
	s.buckets[name] = found
	return found, nil
}

// Get implements [Snapshot].
func (s *boltSnapshot) Get(bucket string, key []byte) ([]byte, error) {
	b, err := s.bucket(bucket)
	if b == nil || err != nil {
		return nil, err
	}
	found, value := b.get.Seek(key)
	switch {
	case found == nil || !bytes.Equal(found, key):
		return nil, nil
	case value == nil:
		return nil, strayError(bucket, key)
	}
	return value, nil
}

// sum returns the sum that the bucket keeps, 0 if it does not exist.
func (s *boltSnapshot) sum(name string) (bucketSum, error) {
	b, err := s.bucket(name)
	if b == nil || err != nil {
		return 0, err
	}
	return bucketSum(b.Sequence()), nil
}

// Scan implements [Snapshot].
func (s *boltSnapshot) Scan(bucket string, r Range, fn func(key, value []byte) bool) error {
	b, err := s.bucket(bucket)
	if b == nil || err != nil {
		return err
	}
	c := b.Cursor()
	step := c.Next
	if r.Reverse {
		step = c.Prev
	}
	for key, value := seekRange(c, r); key != nil && r.Contains(key); key, value = step() {
		if value == nil {
			return strayError(bucket, key)
		}
		if !fn(key, value) {
			break
		}
	}
	return nil
}

// seekRange moves the cursor to where a scan of the range begins. The entry
// there, if any, may be beyond the range's other end.
func seekRange(c *bbolt.Cursor, r Range) (key, value []byte) {
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
