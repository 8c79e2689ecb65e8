package userdata

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
)

// MaxKeySize is the largest size of a key in bytes, in every store.
const MaxKeySize = 32768

// MaxValueSize is the largest size of a value in bytes, in every store.
const MaxValueSize = math.MaxInt32 - 1

// A Store keeps ordered bytes under bucket and key. It is the seam between
// sessions, which know types, and what holds the data, which does not.
// [BoltStore] keeps them in a file and [MemStore] in memory; the suite in
// package storetest says what any other has to do.
//
// A Store is safe for concurrent use. Buckets need no declaration: one that was
// never written to reads as empty, and exists from the first write to it. Its
// name is not empty.
type Store interface {
	// View calls fn with a consistent snapshot, which holds every change set
	// applied before View was called and none applied after fn was. It returns
	// fn's error as it is. A panic of fn goes on to the caller, after the
	// snapshot is freed. Errors of its own: the context's, [ErrClosed],
	// [ErrCorrupt].
	View(ctx context.Context, fn func(Snapshot) error) error

	// Apply makes all the changes or none of them. When it returns nil they are
	// durable and every later View sees them. The store does not keep the
	// change set's slices.
	//
	// If expectations fail the store is unchanged and the error is a
	// [*ConflictError] that lists all of them. Errors besides: the context's,
	// if it ended before the changes were begun; [ErrInvalid] and [ErrTooLarge]
	// as [ChangeSet.Validate] has them; [ErrReadOnly], [ErrClosed], [ErrCorrupt].
	Apply(ctx context.Context, changes *ChangeSet) error

	// Close waits for the calls that are under way and frees the store. The
	// methods called after it return [ErrClosed]; a second Close returns nil. It may
	// give up on a View that does not end, with [ErrLocked].
	Close() error
}

// A Snapshot is the unmoving state of a store that [Store.View] shows to its
// function. The slices that it hands out are valid until that function returns;
// they must not be changed. It is not safe for concurrent use.
type Snapshot interface {
	// Version identifies the state: it grows with every change set that is
	// applied, also those of other processes, and not otherwise while the store is open;
	// where a store is kept in a file, closing and opening it may make it grow. It
	// is never 0.
	Version() uint64

	// Buckets returns the names of the buckets, in ascending order.
	Buckets() ([]string, error)

	// Get returns the value under the key, or nil if there is none. An empty
	// value is not nil. The error is [ErrCorrupt], if any.
	Get(bucket string, key []byte) ([]byte, error)

	// Scan calls fn for each entry in the range, in its order, until fn returns
	// false. fn may call Get and Scan. The error is [ErrCorrupt], if any.
	Scan(bucket string, r Range, fn func(key, value []byte) bool) error
}

// A Range is a span of keys in byte order: From is its first, To the first one
// beyond it. Nil leaves that side open.
type Range struct {
	From, To []byte
	Reverse  bool // from the last key to the first
}

// Contains reports whether the key is in the range.
func (r Range) Contains(key []byte) bool {
	return bytes.Compare(key, r.From) >= 0 && (r.To == nil || bytes.Compare(key, r.To) < 0)
}

// An Expectation says what has to be under a key before a change.
type Expectation uint8

const (
	ExpectAnything Expectation = iota // no condition
	ExpectNothing                     // the key must be free
	ExpectBytes                       // the value must equal Change.Before
)

// A Change is one write to a store.
type Change struct {
	Bucket string // not empty, at most MaxKeySize
	Key    []byte // not empty, at most MaxKeySize
	Value  []byte // the bytes to write, at most MaxValueSize; nil deletes
	Expect Expectation
	Before []byte // with ExpectBytes, what must be there; else nil
}

// A ChangeSet is what one commit writes.
type ChangeSet struct {
	// Changes are sorted by bucket, then key, and no key comes twice.
	Changes []Change

	// Version, if not zero, is the version that the store must be at. It is
	// how a serializable session makes sure that nobody else has committed.
	Version uint64
}

// Validate reports whether the change set is well-formed, before a store is
// touched. Every Store calls it first. Its errors are [ErrInvalid] and
// [ErrTooLarge].
func (c *ChangeSet) Validate() error {
	for i := range c.Changes {
		ch := &c.Changes[i]
		switch {
		case ch.Bucket == "":
			return fmt.Errorf("userdata: change %d: %w", i, invalidf("empty bucket name"))
		case len(ch.Bucket) > MaxKeySize:
			return fmt.Errorf("userdata: change %d in %.64s…: bucket name of %d bytes, at most %d: %w", i, ch.Bucket, len(ch.Bucket), MaxKeySize, ErrTooLarge)
		case len(ch.Key) == 0:
			return fmt.Errorf("userdata: change %d in %s: %w", i, ch.Bucket, invalidf("empty key"))
		case len(ch.Key) > MaxKeySize:
			return fmt.Errorf("userdata: change %d in %s: key of %d bytes, at most %d: %w", i, ch.Bucket, len(ch.Key), MaxKeySize, ErrTooLarge)
		case len(ch.Value) > MaxValueSize:
			return fmt.Errorf("userdata: change %d in %s: value of %d bytes, at most %d: %w", i, ch.Bucket, len(ch.Value), MaxValueSize, ErrTooLarge)
		case ch.Expect > ExpectBytes:
			return fmt.Errorf("userdata: change %d in %s: %w", i, ch.Bucket, invalidf("expectation %d", ch.Expect))
		case i > 0 && ch.compare(&c.Changes[i-1]) <= 0:
			return fmt.Errorf("userdata: change %d in %s: %w", i, ch.Bucket, invalidf("not in order, or a key twice"))
		}
	}
	return nil
}

// compare orders changes as a change set holds them.
func (c *Change) compare(d *Change) int {
	return cmp.Or(cmp.Compare(c.Bucket, d.Bucket), bytes.Compare(c.Key, d.Key))
}

// holds reports whether the expectation is met by what is under the key: found,
// or nil for nothing.
func (c *Change) holds(found []byte) bool {
	switch c.Expect {
	case ExpectNothing:
		return found == nil
	case ExpectBytes:
		return found != nil && bytes.Equal(found, c.Before)
	}
	return true
}

// A ConflictError is returned by [Store.Apply] when expectations fail. It is an
// [ErrConflict].
type ConflictError struct {
	// Conflicts lists every change whose expectation failed, in the change
	// set's order. It is empty if the version did not fit: then nothing else is looked at.
	Conflicts []Conflict
}

// A Conflict is one failed expectation.
type Conflict struct {
	Change int    // its place in ChangeSet.Changes
	Found  []byte // what is there, a copy; nil if nothing is
}

// Error says how many expectations failed.
func (e *ConflictError) Error() string {
	if len(e.Conflicts) == 0 {
		return "userdata: apply: the store has a newer version: " + ErrConflict.Error()
	}
	return fmt.Sprintf("userdata: apply: %d expectations failed: %s", len(e.Conflicts), ErrConflict)
}

// Unwrap returns ErrConflict.
func (e *ConflictError) Unwrap() error { return ErrConflict }

// check compares every expectation with what find returns for the change of that
// number, and the version. Stores call it inside the transaction that will write.
func (c *ChangeSet) check(version uint64, find func(i int) ([]byte, error)) error {
	if err := c.checkVersion(version); err != nil {
		return err
	}
	var conflicts []Conflict
	for i := range c.Changes {
		ch := &c.Changes[i]
		if ch.Expect == ExpectAnything {
			continue
		}
		found, err := find(i)
		if err != nil {
			return err
		}
		if !ch.holds(found) {
			conflicts = append(conflicts, Conflict{Change: i, Found: bytes.Clone(found)})
		}
	}
	if conflicts != nil {
		return &ConflictError{Conflicts: conflicts}
	}
	return nil
}

// checkVersion is check of the version alone.
func (c *ChangeSet) checkVersion(version uint64) error {
	if c.Version != 0 && c.Version != version {
		return &ConflictError{}
	}
	return nil
}

// by returns what check takes, from a function that reads by bucket and key.
func (c *ChangeSet) by(get func(bucket string, key []byte) ([]byte, error)) func(i int) ([]byte, error) {
	return func(i int) ([]byte, error) { return get(c.Changes[i].Bucket, c.Changes[i].Key) }
}

// errClosedStore is what a closed store returns.
var errClosedStore = fmt.Errorf("userdata: store: %w", ErrClosed)

// isConflict reports whether err is a store's refusal, and returns it.
func isConflict(err error) (*ConflictError, bool) {
	var ce *ConflictError
	ok := errors.As(err, &ce)
	return ce, ok
}
