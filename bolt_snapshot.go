package userdata

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// A boltSnapshot reads the mapped file as one bbolt read transaction sees it. The
// transaction keeps the pages from being used anew; they are read by package pages,
// which does not trust them. Beyond the end of the file there is a fault, which is
// for the caller to expect: see pin.view. It is safe for concurrent use.
type boltSnapshot struct {
	version uint64
	file    pages.Map
	recent  atomic.Pointer[[]boltBucket] // those asked for; replaced, never changed
}

// maxRecent is how many buckets a snapshot remembers.
const maxRecent = 64

// A boltBucket is a bucket of a snapshot, or the lack of one.
type boltBucket struct {
	name  string
	tree  pages.Tree
	found bool
}

// cursors are for scans, which may be nested: they are large.
var cursors = sync.Pool{New: func() any { return new(pages.Cursor) }}

// newBoltSnapshot returns the snapshot of a read transaction. At most span bytes
// of the file are mapped.
func newBoltSnapshot(tx *bbolt.Tx, span int64) (*boltSnapshot, error) {
	info := tx.DB().Info()
	size := min(tx.Size(), span)
	data := unsafe.Slice(*(**byte)(unsafe.Pointer(&info.Data)), size) // the mapping, for as long as tx is open
	file, err := pages.NewMap(data, pages.Meta{
		PageSize:  uint32(info.PageSize),
		Root:      uint64(tx.Cursor().Bucket().RootPage()),
		HighWater: uint64(size) / uint64(info.PageSize),
		Txid:      uint64(tx.ID()),
	})
	if err != nil {
		return nil, corruptf("%w", err)
	}
	return &boltSnapshot{version: boltVersion(tx), file: file}, nil
}

// boltVersion is the version of the state that the transaction found: the id of
// the one that wrote it, plus one, since a new file may begin with 0. A write
// transaction has its own id, which is one more already.
func boltVersion(tx *bbolt.Tx) uint64 {
	if tx.Writable() {
		return uint64(tx.ID())
	}
	return uint64(tx.ID()) + 1
}

// Version implements [Snapshot].
func (s *boltSnapshot) Version() uint64 { return s.version }

// Buckets implements [Snapshot].
func (s *boltSnapshot) Buckets() ([]string, error) {
	var names []string
	err := s.file.Buckets(func(name []byte) bool {
		names = append(names, string(name))
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("userdata: buckets: %w", corruptf("%w", err))
	}
	return names, nil
}

// bucket returns the bucket, whose tree is empty if it does not exist.
func (s *boltSnapshot) bucket(name string) (*boltBucket, error) {
	recent := s.recent.Load()
	if recent != nil {
		for i := range *recent {
			if (*recent)[i].name == name {
				return &(*recent)[i], nil
			}
		}
	}
	tree, found, err := s.file.Bucket([]byte(name))
	if err != nil {
		return nil, pageFault(name, nil, err)
	}
	b := boltBucket{name, tree, found}
	if recent == nil {
		s.recent.Store(&[]boltBucket{b})
	} else if len(*recent) < maxRecent {
		more := append(slices.Clip(*recent), b) // if somebody else adds one too, one of them is forgotten
		s.recent.Store(&more)
	}
	return &b, nil
}

// pageFault says where the pages are not what they should be.
func pageFault(bucket string, key []byte, err error) error {
	switch {
	case errors.Is(err, pages.ErrNested):
		return strayError(bucket, key)
	case key == nil:
		return fmt.Errorf("userdata: bucket %s: %w", bucket, corruptf("%w", err))
	}
	return fmt.Errorf("userdata: bucket %s, key %x: %w", bucket, key, corruptf("%w", err))
}

// sum returns the sum that the bucket keeps, 0 if it does not exist.
func (s *boltSnapshot) sum(name string) (bucketSum, error) {
	b, err := s.bucket(name)
	if err != nil || !b.found {
		return 0, err
	}
	return bucketSum(b.tree.Sequence()), nil
}

// count returns how many entries the bucket has, modulo 2^32, if its sum tells.
func (s *boltSnapshot) count(name string) (n uint32, known bool, err error) {
	b, err := s.bucket(name)
	if err != nil || !b.found {
		return 0, err == nil, err
	}
	sum := bucketSum(b.tree.Sequence())
	return sum.count(), sum != 0, nil
}

// Get implements [Snapshot].
func (s *boltSnapshot) Get(bucket string, key []byte) ([]byte, error) {
	b, err := s.bucket(bucket)
	if err != nil || !b.found {
		return nil, err
	}
	value, err := b.tree.Get(key)
	if err != nil {
		return nil, pageFault(bucket, key, err)
	}
	return value, nil
}

// aim prepares to look up some keys at once: see [pages.Tree.Aim].
func (s *boltSnapshot) aim(bucket string, keys [][]byte, aims *pages.Aims) (ok bool) {
	b, err := s.bucket(bucket)
	return err == nil && b.found && b.tree.Aim(keys, aims)
}

// getAimed looks up the keys that aim was called with: values[i] is what is under keys[i],
// nil for a nil key. If it returns false, Get says what is wrong.
func (s *boltSnapshot) getAimed(bucket string, keys, values [][]byte, aims *pages.Aims) (ok bool) {
	b, err := s.bucket(bucket)
	return err == nil && b.found && b.tree.GetAimed(keys, values, aims)
}

// Scan implements [Snapshot]. A scan of a whole bucket finds out if entries are
// missing.
func (s *boltSnapshot) Scan(bucket string, r Range, fn func(key, value []byte) bool) error {
	b, err := s.bucket(bucket)
	if err != nil || !b.found {
		return err
	}
	c := cursors.Get().(*pages.Cursor)
	defer cursors.Put(c)
	c.Reset(&b.tree)
	step := c.Next
	if r.Reverse {
		step = c.Prev
	}
	n := 0
	key, value, err := seekRange(c, r)
	for ; key != nil && r.Contains(key); key, value, err = step() {
		if value == nil {
			return strayError(bucket, key)
		}
		if !fn(key[:len(key):len(key)], value) {
			return nil
		}
		n++
	}
	switch {
	case err != nil:
		return pageFault(bucket, nil, err)
	case !b.complete(r, n):
		return fmt.Errorf("userdata: bucket %s: %w", bucket, corruptf("%d entries, where %d should be", n, bucketSum(b.tree.Sequence()).count()))
	}
	return nil
}

// complete reports whether a scan of the span has found as many entries as there are, as
// far as the bucket tells.
func (b *boltBucket) complete(span Range, found int) bool {
	want := bucketSum(b.tree.Sequence())
	return span.From != nil || span.To != nil || want == 0 || uint32(found) == want.count()
}

// seekRange moves the cursor to where a scan of the range begins. The entry
// there, if any, may be beyond the range's other end.
func seekRange(c *pages.Cursor, r Range) (key, value []byte, err error) {
	switch {
	case !r.Reverse:
		return c.Seek(r.From)
	case r.To == nil:
		return c.Last()
	}
	if key, _, err := c.Seek(r.To); err != nil || key == nil {
		if err != nil {
			return nil, nil, err
		}
		return c.Last()
	}
	return c.Prev()
}
