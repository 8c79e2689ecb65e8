package userdata

import (
	"bytes"
	"maps"
	"slices"
)

// An overlay is a writeTx in memory: a snapshot, and what was written since.
type overlay struct {
	Snapshot
	buckets map[string]*overlayBucket // those that were written to
}

// An overlayBucket is what was written to a bucket.
type overlayBucket struct {
	root   *memNode // the values by key; a nil value removes what the snapshot has
	hidden bool     // nothing of what the snapshot has in it counts
}

func newOverlay(snap Snapshot) *overlay {
	return &overlay{Snapshot: snap, buckets: map[string]*overlayBucket{}}
}

func (o *overlay) bucket(name string) *overlayBucket {
	b := o.buckets[name]
	if b == nil {
		b = &overlayBucket{}
		o.buckets[name] = b
	}
	return b
}

func (o *overlay) put(bucket string, key, value []byte) error {
	b := o.bucket(bucket)
	b.root = b.root.with(key, value)
	return nil
}

func (o *overlay) delete(bucket string, key []byte) error {
	b := o.bucket(bucket)
	b.root = b.root.with(bytes.Clone(key), nil)
	return nil
}

func (o *overlay) deleteBucket(bucket string) error {
	o.buckets[bucket] = &overlayBucket{hidden: true}
	return nil
}

func (o *overlay) sortRoom() string { return "" }

// Buckets implements [Snapshot]: those of the snapshot, and those written to.
func (o *overlay) Buckets() ([]string, error) {
	names, err := o.Snapshot.Buckets()
	for name := range o.buckets {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, err
}

// Get implements [Snapshot].
func (o *overlay) Get(bucket string, key []byte) ([]byte, error) {
	b := o.buckets[bucket]
	if b == nil {
		return o.Snapshot.Get(bucket, key)
	}
	if n := b.root.find(key); n != nil || b.hidden {
		return n.written(), nil
	}
	return o.Snapshot.Get(bucket, key)
}

// find returns the node of a key, or nil.
func (n *memNode) find(key []byte) *memNode {
	for n != nil {
		switch c := bytes.Compare(key, n.key); {
		case c == 0:
			return n
		case c < 0:
			n = n.left
		default:
			n = n.right
		}
	}
	return nil
}

// written returns a node's value; nil if there is no node.
func (n *memNode) written() []byte {
	if n == nil {
		return nil
	}
	return n.value
}

// Scan implements [Snapshot]. It goes through the entries of the snapshot, and
// before each of them through those that were written and come first.
func (o *overlay) Scan(bucket string, r Range, fn func(key, value []byte) bool) error {
	b := o.buckets[bucket]
	if b == nil {
		return o.Snapshot.Scan(bucket, r, fn)
	}
	rest, ended := r, false
	flush := func(upTo Range) {
		b.root.scan(&upTo, func(key, value []byte) bool {
			ended = value != nil && !fn(key, value)
			return !ended
		})
	}
	if !b.hidden {
		err := o.Snapshot.Scan(bucket, r, func(key, value []byte) bool {
			if r.Reverse {
				flush(Range{From: after(key), To: rest.To, Reverse: true})
				rest.To = bytes.Clone(key)
			} else {
				flush(Range{From: rest.From, To: key})
				rest.From = after(key)
			}
			if ended {
				return false
			}
			if n := b.root.find(key); n != nil {
				value = n.value
			}
			ended = value != nil && !fn(key, value)
			return !ended
		})
		if err != nil || ended {
			return err
		}
	}
	flush(rest)
	return nil
}

// changes appends what was written, in order.
func (o *overlay) changes(out *ChangeSet) error {
	for _, name := range slices.Sorted(maps.Keys(o.buckets)) {
		b := o.buckets[name]
		if b.hidden {
			err := o.Snapshot.Scan(name, Range{}, func(key, _ []byte) bool {
				if b.root.find(key) == nil {
					b.root = b.root.with(bytes.Clone(key), nil)
				}
				return true
			})
			if err != nil {
				return err
			}
		}
		b.root.scan(&Range{}, func(key, value []byte) bool {
			out.Changes = append(out.Changes, Change{Bucket: name, Key: key, Value: value})
			return true
		})
	}
	return nil
}

// sortedKeys returns a map's keys in ascending order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
