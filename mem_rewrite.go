package userdata

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
)

// rewrite implements [rewriter].
func (s *MemStore) rewrite(ctx context.Context, _ bool, fn func(tx writeTx) error) error {
	if err := s.calls.enter(); err != nil {
		return err
	}
	defer s.calls.leave()
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("userdata: rewrite: %w", err)
	}
	tx := newMemTx(s.state.Load())
	if err := fn(tx); err != nil {
		return err
	}
	if tx.written {
		s.state.Store(tx.state())
	}
	return nil
}

// A memTx is a writeTx on a state in memory, which it leaves as it is.
type memTx struct {
	version uint64
	roots   map[string]*memNode
	written bool
}

func newMemTx(from *memState) *memTx {
	tx := &memTx{version: from.version, roots: make(map[string]*memNode, len(from.buckets))}
	for _, b := range from.buckets {
		tx.roots[b.name] = b.root
	}
	return tx
}

// state returns the state after the transaction.
func (tx *memTx) state() *memState {
	next := &memState{version: tx.version + 1}
	for name, root := range tx.roots {
		next.buckets = append(next.buckets, memBucket{name: name, root: root})
	}
	slices.SortFunc(next.buckets, func(a, b memBucket) int { return cmp.Compare(a.name, b.name) })
	return next
}

// Version implements [Snapshot].
func (tx *memTx) Version() uint64 { return tx.version }

// Buckets implements [Snapshot].
func (tx *memTx) Buckets() ([]string, error) { return sortedKeys(tx.roots), nil }

// Get implements [Snapshot].
func (tx *memTx) Get(bucket string, key []byte) ([]byte, error) {
	return (&memState{buckets: []memBucket{{root: tx.roots[bucket]}}}).Get("", key)
}

// Scan implements [Snapshot].
func (tx *memTx) Scan(bucket string, r Range, fn func(key, value []byte) bool) error {
	tx.roots[bucket].scan(&r, fn)
	return nil
}

func (tx *memTx) put(bucket string, key, value []byte) error {
	tx.written = true
	tx.roots[bucket] = tx.roots[bucket].with(key, value)
	return nil
}

func (tx *memTx) delete(bucket string, key []byte) error {
	if root, ok := tx.roots[bucket]; ok {
		tx.written = true
		tx.roots[bucket] = root.without(key)
	}
	return nil
}

func (tx *memTx) deleteBucket(bucket string) error {
	if _, ok := tx.roots[bucket]; ok {
		tx.written = true
		delete(tx.roots, bucket)
	}
	return nil
}

func (tx *memTx) sortRoom() string { return "" }

// sortedKeys returns a map's keys in ascending order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
