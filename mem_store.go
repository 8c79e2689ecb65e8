package userdata

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A MemStore is a [Store] in memory, for tests: it makes the same promises as
// [BoltStore] except that its contents go with the process. It is safe for
// concurrent use. Views never wait, neither for each other nor for Apply.
type MemStore struct {
	state   atomic.Pointer[memState] // replaced, never changed
	writing sync.Mutex               // held from reading the state to replacing it
	calls   callGate
	closing sync.Once
}

// NewMemStore returns an empty store.
func NewMemStore() *MemStore {
	s := new(MemStore)
	s.state.Store(&memState{version: 1})
	return s
}

// View implements [Store]. Its snapshot costs nothing, however long fn runs.
// Errors besides fn's: the context's, [ErrClosed].
func (s *MemStore) View(ctx context.Context, fn func(Snapshot) error) error {
	if err := s.calls.enter(); err != nil {
		return err
	}
	defer s.calls.leave()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("userdata: view: %w", err)
	}
	return fn(s.state.Load())
}

// Apply implements [Store]. It copies the slices. Errors: the context's,
// [ErrConflict] as a [*ConflictError], [ErrInvalid], [ErrTooLarge], [ErrClosed].
func (s *MemStore) Apply(ctx context.Context, changes *ChangeSet) error {
	if err := changes.Validate(); err != nil {
		return err
	}
	if err := s.calls.enter(); err != nil {
		return err
	}
	defer s.calls.leave()
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("userdata: apply: %w", err)
	}
	old := s.state.Load()
	if err := changes.check(old.version, changes.by(old.Get)); err != nil {
		return err
	}
	if len(changes.Changes) > 0 {
		s.state.Store(old.with(changes.Changes))
	}
	return nil
}

// Close implements [Store]: it waits for the calls under way and lets go of the
// contents. If a View still runs after 10 seconds, perhaps because it is the View's
// function that called Close, the error is [ErrLocked]. A second Close waits for the
// first and returns nil.
func (s *MemStore) Close() (err error) {
	s.closing.Do(func() {
		select {
		case <-s.calls.shut():
			s.state.Store(nil)
		case <-time.After(closePatience):
			err = fmt.Errorf("userdata: close: %w", errTimeout)
		}
	})
	return err
}

// A memState is one state of a MemStore, and the Snapshot of it. It never
// changes: the next state shares with it what stays the same.
type memState struct {
	version uint64
	buckets []memBucket // sorted by name
}

// A memBucket is a bucket of one state.
type memBucket struct {
	name string
	root *memNode
}

// find returns the bucket's place, or where it would be.
func (s *memState) find(bucket string) (int, bool) {
	return slices.BinarySearchFunc(s.buckets, bucket, func(b memBucket, name string) int { return cmp.Compare(b.name, name) })
}

// root returns the bucket's entries; nil if it is empty or does not exist.
func (s *memState) root(bucket string) *memNode {
	if i, ok := s.find(bucket); ok {
		return s.buckets[i].root
	}
	return nil
}

// with returns the state after the changes.
func (s *memState) with(changes []Change) *memState {
	next := &memState{version: s.version + 1, buckets: slices.Clone(s.buckets)}
	for i := range changes {
		ch := &changes[i]
		at, ok := next.find(ch.Bucket)
		switch {
		case ch.Value == nil && !ok:
			continue
		case ch.Value == nil:
			next.buckets[at].root = next.buckets[at].root.without(ch.Key)
			continue
		case !ok:
			next.buckets = slices.Insert(next.buckets, at, memBucket{name: ch.Bucket})
		}
		key, value := bytes.Clone(ch.Key), bytes.Clone(ch.Value)
		next.buckets[at].root = next.buckets[at].root.with(key, value)
	}
	return next
}

// Version implements [Snapshot].
func (s *memState) Version() uint64 { return s.version }

// Buckets implements [Snapshot].
func (s *memState) Buckets() ([]string, error) {
	var names []string
	for _, b := range s.buckets {
		names = append(names, b.name)
	}
	return names, nil
}

// Get implements [Snapshot].
func (s *memState) Get(bucket string, key []byte) ([]byte, error) {
	n := s.root(bucket)
	for n != nil {
		switch c := bytes.Compare(key, n.key); {
		case c == 0:
			return n.value, nil
		case c < 0:
			n = n.left
		default:
			n = n.right
		}
	}
	return nil, nil
}

// Scan implements [Snapshot].
func (s *memState) Scan(bucket string, r Range, fn func(key, value []byte) bool) error {
	s.root(bucket).scan(&r, fn)
	return nil
}

// A memNode is a node of a treap: a search tree by key and a heap by priority,
// which is a hash of the key, so that its shape depends on nothing else and its
// depth is logarithmic. Nodes are never changed once with or without has
// returned them: both copy the path from the root. A nil node is the empty tree.
type memNode struct {
	key, value  []byte
	priority    uint64
	left, right *memNode
}

// memSeed makes the priorities unknown to whoever chooses the keys.
var memSeed = maphash.MakeSeed()

// with returns the tree with the value under the key. The root of what it
// returns is a new node.
func (n *memNode) with(key, value []byte) *memNode {
	if n == nil {
		return &memNode{key: key, value: value, priority: maphash.Bytes(memSeed, key)}
	}
	up := *n
	switch c := bytes.Compare(key, n.key); {
	case c == 0:
		up.value = value
	case c < 0:
		l := n.left.with(key, value)
		if l.priority > n.priority {
			up.left, l.right = l.right, &up
			return l
		}
		up.left = l
	default:
		r := n.right.with(key, value)
		if r.priority > n.priority {
			up.right, r.left = r.left, &up
			return r
		}
		up.right = r
	}
	return &up
}

// without returns the tree without the key; the same tree if it has no such key.
func (n *memNode) without(key []byte) *memNode {
	if n == nil {
		return nil
	}
	up := *n
	switch c := bytes.Compare(key, n.key); {
	case c == 0:
		return joinNodes(n.left, n.right)
	case c < 0:
		up.left = n.left.without(key)
	default:
		up.right = n.right.without(key)
	}
	if up.left == n.left && up.right == n.right {
		return n
	}
	return &up
}

// joinNodes returns the tree of both trees' entries, all of a's before b's.
func joinNodes(a, b *memNode) *memNode {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.priority > b.priority:
		up := *a
		up.right = joinNodes(a.right, b)
		return &up
	}
	up := *b
	up.left = joinNodes(a, b.left)
	return &up
}

// scan calls fn for each entry in the range, in its order. It reports whether
// fn always returned true.
func (n *memNode) scan(r *Range, fn func(key, value []byte) bool) bool {
	if n == nil {
		return true
	}
	inFrom := bytes.Compare(n.key, r.From) >= 0
	inTo := r.To == nil || bytes.Compare(n.key, r.To) < 0
	first, second, visitFirst, visitSecond := n.left, n.right, inFrom, inTo
	if r.Reverse {
		first, second, visitFirst, visitSecond = n.right, n.left, inTo, inFrom
	}
	if visitFirst && !first.scan(r, fn) {
		return false
	}
	if inFrom && inTo && !fn(n.key, n.value) {
		return false
	}
	return !visitSecond || second.scan(r, fn)
}
