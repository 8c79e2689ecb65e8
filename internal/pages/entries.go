package pages

import (
	"bytes"
	"fmt"
)

// entries goes through the elements of a leaf: counts them, hands them to the
// visitor of a Walk, and finds the buckets among them.
func (s *scan) entries(b *bucket, n *node, to []byte, sound bool) error {
	var floor []byte // what all keys of the pages before are not greater than
	count := n.count
	if !sound {
		floor = bytes.Clone(b.last)
		count = n.likely()
	}
	for i := range count {
		e := n.elem(i)
		if s.fn == nil && e.flags == 0 {
			s.count(b)
			continue
		}
		if !sound && !n.holds(&e) {
			continue
		}
		key, err := s.src.bytes(n, e.off, e.key, &s.keys[0])
		if err != nil {
			key = nil
		} else if fits(key, floor, to) {
			err = s.entry(b, n, &e, key)
		}
		if _, ok := err.(*readError); ok {
			err = s.note(n.id, b, key, nil, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// entry handles one element of a leaf that has a key.
func (s *scan) entry(b *bucket, n *node, e *element, key []byte) error {
	if s.fn != nil && bytes.Compare(key, b.last) > 0 {
		b.last = append(b.last[:0], key...)
	}
	if e.flags == bucketFlag {
		return s.nested(b, n, e, string(key))
	}
	if b.level == 0 {
		return nil // a finding already
	}
	value, err := s.src.bytes(n, e.off+e.key, e.value, &s.data)
	if err != nil {
		return err
	}
	s.count(b)
	return s.fn(b.path, key, value)
}

// count counts an entry of the bucket, which is not the root: there entries break
// a rule.
func (s *scan) count(b *bucket) {
	if b.level == 1 {
		s.rep.Buckets[b.stat].Entries++
	} else {
		s.rep.Buckets[b.stat].Nested++
	}
}

// nested handles an element whose value is a bucket.
func (s *scan) nested(b *bucket, n *node, e *element, name string) error {
	in := &bucket{parent: b, name: name, level: b.level + 1, stat: b.stat}
	if b.level == 0 {
		in.stat = len(s.rep.Buckets)
		s.rep.Buckets = append(s.rep.Buckets, Bucket{Name: name})
	}
	root, err := s.open(in, n, e)
	if err != nil {
		s.skipped = true
		return s.note(n.id, in, nil, nil, err)
	}
	if root == 0 {
		return s.inline(in, n, e)
	}
	in.root = root
	s.todo = append(s.todo, in)
	return nil
}

// open returns the root page of a bucket that is the value of e; 0 if it is an
// inline bucket, whose value is then of a length that it may have.
func (s *scan) open(b *bucket, n *node, e *element) (uint64, error) {
	if b.level > maxNesting {
		return 0, errNesting
	}
	if n.pages == 0 {
		return 0, errInline
	}
	if e.value < bucketSize {
		return 0, fmt.Errorf("%w: %d", errBucket, e.value)
	}
	v, err := s.src.bytes(n, e.off+e.key, bucketSize, &s.data)
	if err != nil {
		return 0, err
	}
	root := le.Uint64(v)
	if b.level == 1 {
		s.rep.Buckets[b.stat].Sequence = le.Uint64(v[8:])
	}
	size := e.value - bucketSize
	if root != 0 && size != 0 || root == 0 && (size < headerSize || size > s.src.pageSize/inlineShare) {
		return 0, fmt.Errorf("%w: %d", errBucket, e.value)
	}
	if root != 0 && !s.roots.add(root) {
		return 0, fmt.Errorf("%w: %d", errTwice, root)
	}
	return root, nil
}

// inline reads an inline bucket, which is the value of the element e of the leaf
// around it.
func (s *scan) inline(b *bucket, around *node, e *element) error {
	v, err := s.src.bytes(around, e.off+e.key+bucketSize, e.value-bucketSize, &s.data)
	if err != nil {
		return err
	}
	if err := s.enter(b); err != nil {
		return err
	}
	h := headerOf(v)
	n := node{id: around.id, count: int(h.count), extent: int64(len(v)), head: v}
	switch {
	case h.flags != leafPage:
		err = fmt.Errorf("%w: %#x", errKind, h.flags)
	case h.id != 0 || h.overflow != 0:
		err = errHeader
	default:
		err = s.verify(b, &n, nil, nil)
	}
	if err != nil {
		s.note(n.id, b, nil, nil, err) // is a finding, and no error: all bytes are here
		if s.fn == nil {
			return nil
		}
	}
	return s.entries(b, &n, nil, err == nil)
}
