package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/asdine/storm/v3"
	"github.com/asdine/storm/v3/q"
	"go.etcd.io/bbolt"
)

var stormPeer = &peer{
	name: "storm", title: "storm", modules: []string{"github.com/asdine/storm/v3"},
	how: `Its default encoding, JSON. One, Save, Select with Each, Range on the index, and One and Save in one transaction for a change.
Range compares the JSON text of times, which has their order here since all are in UTC and at whole seconds.`,
	open: openStorm,
}

// A stormDB is a storm database.
type stormDB struct{ db *storm.DB }

func openStorm(_ context.Context, dir string) (database, error) {
	db, err := storm.Open(filepath.Join(dir, "notes.db"), storm.BoltOptions(0o600, &bbolt.Options{Timeout: time.Second}))
	if err != nil {
		return nil, err
	}
	if err := db.Init(&Note{}); err != nil {
		db.Close()
		return nil, err
	}
	return &stormDB{db}, nil
}

func (d *stormDB) close() error { return d.db.Close() }

// write runs a function in a transaction.
func (d *stormDB) write(fn func(tx storm.Node) error) error {
	tx, err := d.db.Begin(true)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		tx.Rollback()
		return err
	}
	return tx.Commit()
}

func (d *stormDB) insert(_ context.Context, notes []*Note) error {
	return d.write(func(tx storm.Node) error {
		for _, n := range notes {
			if err := tx.Save(n); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d *stormDB) get(_ context.Context, key string) (*Note, error) {
	n := &Note{}
	return n, d.db.One("ID", key, n)
}

// each runs a query and passes what it finds on.
func (d *stormDB) each(query storm.Query, fn func(*Note)) error {
	return query.Each(new(Note), func(record any) error {
		fn(record.(*Note))
		return nil
	})
}

func (d *stormDB) scan(_ context.Context, fn func(*Note)) error { return d.each(d.db.Select(), fn) }

func (d *stormDB) between(_ context.Context, from, to time.Time, fn func(*Note)) error {
	var notes []Note
	err := d.db.Range("Updated", from, to.Add(-1), &notes)
	for i := range notes {
		fn(&notes[i])
	}
	return err
}

func (d *stormDB) below(_ context.Context, limit int64, fn func(*Note)) error {
	return d.each(d.db.Select(q.Lt("Count", limit)), fn)
}

func (d *stormDB) change(_ context.Context, keys []string) error {
	return d.write(func(tx storm.Node) error {
		for _, key := range keys {
			n := &Note{}
			if err := tx.One("ID", key, n); err != nil {
				return err
			}
			n.Count++
			if err := tx.Save(n); err != nil {
				return err
			}
		}
		return nil
	})
}
