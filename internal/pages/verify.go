package pages

import (
	"bytes"
	"fmt"
)

// verify checks all that can be said of a branch or leaf by itself and the keys
// that its parent has. Its error is a finding, or one of the reader.
func (s *scan) verify(b *bucket, n *node, from, to []byte) error {
	if err := s.place(b, n); err != nil {
		return err
	}
	end := int64(headerSize + n.count*elemSize)
	var key []byte
	for i := range n.count {
		e := n.elem(i)
		if err := e.check(i, end, n.extent); err != nil {
			return err
		}
		if b.level == 0 && !n.branch && e.flags != bucketFlag {
			return fmt.Errorf("%w: element %d", errRootEntry, i)
		}
		next, err := s.src.bytes(n, e.off, e.key, &s.keys[i&1])
		if err != nil {
			return err
		}
		if i == 0 && from != nil && !bytes.Equal(next, from) {
			return fmt.Errorf("%w: %.64q", errFirstKey, next)
		}
		if i > 0 && bytes.Compare(key, next) >= 0 {
			return fmt.Errorf("%w: element %d, %.64q", errOrder, i, next)
		}
		key, end = next, e.end()
	}
	if n.count > 0 && to != nil && bytes.Compare(key, to) >= 0 {
		return fmt.Errorf("%w: %.64q", errRange, key)
	}
	return s.size(n, end)
}

// place checks what a node may be where it is, and that its head has its elements.
func (s *scan) place(b *bucket, n *node) error {
	switch {
	case n.count > n.room():
		return fmt.Errorf("%w: %d", errCount, n.count)
	case n.pages > 1 && n.count > 2*minKeys:
		return fmt.Errorf("%w: %d", errCrowded, n.count)
	case n.count == 0 && (n.branch || s.depth > 0 && n.pages > 0):
		return errEmpty
	case n.branch || n.pages == 0:
		return nil
	case b.leafDepth >= 0 && b.leafDepth != s.depth:
		return fmt.Errorf("%w: %d and %d", errDepth, s.depth, b.leafDepth)
	}
	b.leafDepth = s.depth
	return nil
}

// check checks the numbers of the element i, which must begin at the given
// offset of a node that takes extent bytes.
func (e *element) check(i int, begin, extent int64) error {
	switch {
	case e.flags > bucketFlag:
		return fmt.Errorf("%w: element %d, %#x", errFlags, i, e.flags)
	case e.key == 0 || e.key > maxKeySize:
		return fmt.Errorf("%w: element %d, %d", errKeySize, i, e.key)
	case e.off != begin:
		return fmt.Errorf("%w: element %d, %d and %d", errLayout, i, e.off, begin)
	case e.end() > extent:
		return fmt.Errorf("%w: element %d, %d", errBeyond, i, e.end())
	case e.end()-int64(headerSize+i*elemSize) > maxAddress:
		return fmt.Errorf("%w: element %d, %d", errAddress, i, e.end())
	}
	return nil
}

// size checks that a node takes as many bytes as it must, where its elements end
// at end. Before bbolt 1.3.7 a node that filled its pages took one more.
func (s *scan) size(n *node, end int64) error {
	ok := end == n.extent
	if n.pages > 0 {
		ok = n.pages == uint64((end+s.src.pageSize-1)/s.src.pageSize) || n.pages == uint64(end/s.src.pageSize+1)
	}
	if !ok {
		return fmt.Errorf("%w: %d bytes of %d", errExtent, end, n.extent)
	}
	return nil
}
