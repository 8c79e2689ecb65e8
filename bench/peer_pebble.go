package main

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

var pebblePeer = &peer{
	name: "pebble", title: "pebble", modules: []string{"github.com/cockroachdb/pebble/v2"},
	how: `Written by hand as raw bbolt is, with the same encoding: keys with a prefix for notes or for index entries, a batch committed with Sync, default options.
It has no transactions: a change reads and writes without noticing what others write meanwhile.`,
	open: openPebble,
}

// The first byte of a key says what the rest is.
const (
	prefixNote  = 'n'
	prefixIndex = 'u'
)

// A pebbleDB is a pebble store used by hand.
type pebbleDB struct{ db *pebble.DB }

// quiet drops what pebble logs.
type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, _ ...any) { panic("pebble: " + format) }

func openPebble(_ context.Context, dir string) (database, error) {
	db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}})
	if err != nil {
		return nil, err
	}
	return &pebbleDB{db}, nil
}

func (d *pebbleDB) close() error { return d.db.Close() }

// prefixed returns a key with its prefix.
func prefixed(prefix byte, key ...byte) []byte { return append([]byte{prefix}, key...) }

func (d *pebbleDB) insert(_ context.Context, notes []*Note) error {
	b := d.db.NewBatch()
	defer b.Close()
	for _, n := range notes {
		value, err := encodeNote(n)
		if err != nil {
			return err
		}
		if err := errors.Join(
			b.Set(prefixed(prefixNote, []byte(n.ID)...), value, nil),
			b.Set(prefixed(prefixIndex, indexKey(n)...), nil, nil)); err != nil {
			return err
		}
	}
	return b.Commit(pebble.Sync)
}

func (d *pebbleDB) get(_ context.Context, key string) (*Note, error) {
	return d.noteAt([]byte(key))
}

// noteAt reads one note.
func (d *pebbleDB) noteAt(key []byte) (*Note, error) {
	value, closer, err := d.db.Get(prefixed(prefixNote, key...))
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return decodeNote(value)
}

// iterate passes the keys and values from one key to before another to fn.
func (d *pebbleDB) iterate(from, to []byte, fn func(key, value []byte) error) (err error) {
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		if err := fn(it.Key(), it.Value()); err != nil {
			return err
		}
	}
	return it.Error()
}

func (d *pebbleDB) scan(_ context.Context, fn func(*Note)) error {
	return d.iterate(prefixed(prefixNote), prefixed(prefixNote+1), func(_, value []byte) error {
		n, err := decodeNote(value)
		if err == nil {
			fn(n)
		}
		return err
	})
}

func (d *pebbleDB) between(_ context.Context, from, to time.Time, fn func(*Note)) error {
	return d.iterate(prefixed(prefixIndex, timeKey(from)...), prefixed(prefixIndex, timeKey(to)...), func(key, _ []byte) error {
		n, err := d.noteAt(key[9:])
		if err == nil {
			fn(n)
		}
		return err
	})
}

func (d *pebbleDB) below(ctx context.Context, limit int64, fn func(*Note)) error {
	return d.scan(ctx, func(n *Note) {
		if n.Count < limit {
			fn(n)
		}
	})
}

func (d *pebbleDB) change(_ context.Context, keys []string) error {
	b := d.db.NewBatch()
	defer b.Close()
	keys = slices.Clone(keys)
	slices.SortFunc(keys, func(a, b string) int { return bytes.Compare([]byte(a), []byte(b)) })
	for _, key := range keys {
		n, err := d.noteAt([]byte(key))
		if err != nil {
			return err
		}
		n.Count++
		value, err := encodeNote(n)
		if err != nil {
			return err
		}
		if err := b.Set(prefixed(prefixNote, []byte(key)...), value, nil); err != nil {
			return err
		}
	}
	return b.Commit(pebble.Sync)
}
