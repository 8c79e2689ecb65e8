package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

var bboltPeer = &peer{
	name: baseline, title: "raw bbolt", modules: []string{"go.etcd.io/bbolt", "github.com/vmihailenco/msgpack/v5"},
	how: `Written by hand: DB.Update and DB.View for each operation, default options, one bucket of msgpack maps that are encoded and decoded field by field
without reflection, one bucket of index entries, both put in the order of keys. A new record is put without a look whether its key is free.`,
	open: func(_ context.Context, dir string) (database, error) { return openBbolt(dir, encodeNote, decodeNote) },
}

// marshalPeer is what a program writes that does not encode its structs field by field.
var marshalPeer = &peer{
	name: usual, title: "raw bbolt with msgpack.Marshal", modules: []string{"go.etcd.io/bbolt", "github.com/vmihailenco/msgpack/v5"},
	how: `As raw bbolt, but each note is encoded by msgpack.Marshal and decoded by msgpack.Unmarshal.`,
	open: func(_ context.Context, dir string) (database, error) {
		return openBbolt(dir, marshalNote, unmarshalNote)
	},
}

// The buckets of the hand-written file.
var (
	bucketNotes = []byte("notes")
	bucketIndex = []byte("updated")
)

// A bboltDB is a bbolt file used by hand.
type bboltDB struct {
	db     *bbolt.DB
	encode func(*Note) ([]byte, error)
	decode func([]byte) (*Note, error)
}

func openBbolt(dir string, encode func(*Note) ([]byte, error), decode func([]byte) (*Note, error)) (database, error) {
	db, err := bbolt.Open(filepath.Join(dir, "notes.db"), 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, err
	}
	known := false
	err = db.View(func(tx *bbolt.Tx) error {
		known = tx.Bucket(bucketIndex) != nil
		return nil
	})
	if err == nil && !known {
		err = db.Update(func(tx *bbolt.Tx) error {
			if _, err := tx.CreateBucketIfNotExists(bucketNotes); err != nil {
				return err
			}
			_, err := tx.CreateBucketIfNotExists(bucketIndex)
			return err
		})
	}
	if err != nil {
		db.Close()
		return nil, err
	}
	return &bboltDB{db, encode, decode}, nil
}

func (d *bboltDB) close() error { return d.db.Close() }

// A pair is a key and its value.
type pair struct{ key, value []byte }

// putSorted puts pairs in the order of their keys.
func putSorted(b *bbolt.Bucket, pairs []pair) error {
	slices.SortFunc(pairs, func(a, b pair) int { return bytes.Compare(a.key, b.key) })
	for _, p := range pairs {
		if err := b.Put(p.key, p.value); err != nil {
			return err
		}
	}
	return nil
}

func (d *bboltDB) insert(_ context.Context, notes []*Note) error {
	records, entries := make([]pair, len(notes)), make([]pair, len(notes))
	for i, n := range notes {
		value, err := d.encode(n)
		if err != nil {
			return err
		}
		records[i], entries[i] = pair{[]byte(n.ID), value}, pair{indexKey(n), nil}
	}
	return d.db.Update(func(tx *bbolt.Tx) error {
		if err := putSorted(tx.Bucket(bucketNotes), records); err != nil {
			return err
		}
		return putSorted(tx.Bucket(bucketIndex), entries)
	})
}

// noteIn reads a note of a bucket.
func (d *bboltDB) noteIn(b *bbolt.Bucket, key []byte) (*Note, error) {
	value := b.Get(key)
	if value == nil {
		return nil, fmt.Errorf("no note %q", key)
	}
	return d.decode(value)
}

func (d *bboltDB) get(_ context.Context, key string) (n *Note, err error) {
	err = d.db.View(func(tx *bbolt.Tx) error {
		n, err = d.noteIn(tx.Bucket(bucketNotes), []byte(key))
		return err
	})
	return n, err
}

func (d *bboltDB) scan(_ context.Context, fn func(*Note)) error {
	return d.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketNotes).ForEach(func(_, value []byte) error {
			n, err := d.decode(value)
			if err == nil {
				fn(n)
			}
			return err
		})
	})
}

func (d *bboltDB) between(_ context.Context, from, to time.Time, fn func(*Note)) error {
	return d.db.View(func(tx *bbolt.Tx) error {
		notes, end := tx.Bucket(bucketNotes), timeKey(to)
		c := tx.Bucket(bucketIndex).Cursor()
		for k, _ := c.Seek(timeKey(from)); k != nil && bytes.Compare(k, end) < 0; k, _ = c.Next() {
			n, err := d.noteIn(notes, k[8:])
			if err != nil {
				return err
			}
			fn(n)
		}
		return nil
	})
}

func (d *bboltDB) below(ctx context.Context, limit int64, fn func(*Note)) error {
	return d.scan(ctx, func(n *Note) {
		if n.Count < limit {
			fn(n)
		}
	})
}

func (d *bboltDB) change(_ context.Context, keys []string) error {
	return d.db.Update(func(tx *bbolt.Tx) error {
		notes := tx.Bucket(bucketNotes)
		records := make([]pair, len(keys))
		for i, key := range keys {
			n, err := d.noteIn(notes, []byte(key))
			if err != nil {
				return err
			}
			n.Count++
			value, err := d.encode(n)
			if err != nil {
				return err
			}
			records[i] = pair{[]byte(key), value}
		}
		return putSorted(notes, records)
	})
}
