package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/timshannon/bolthold"
	"go.etcd.io/bbolt"
)

var boltholdPeer = &peer{
	name: "bolthold", title: "bolthold", modules: []string{"github.com/timshannon/bolthold"},
	how:  `Its default encoding, gob. Store.Get and Insert, ForEach, Find with Where, Index and SortBy, and TxGet and TxUpdate in one Update for a change.`,
	open: openBolthold,
}

// A boltholdDB is a bolthold store.
type boltholdDB struct{ db *bolthold.Store }

func openBolthold(_ context.Context, dir string) (database, error) {
	options := &bolthold.Options{Options: &bbolt.Options{Timeout: time.Second}}
	db, err := bolthold.Open(filepath.Join(dir, "notes.db"), 0o600, options)
	if err != nil {
		return nil, err
	}
	return &boltholdDB{db}, nil
}

func (d *boltholdDB) close() error { return d.db.Close() }

func (d *boltholdDB) insert(_ context.Context, notes []*Note) error {
	return d.db.Bolt().Update(func(tx *bbolt.Tx) error {
		for _, n := range notes {
			if err := d.db.TxInsert(tx, n.ID, n); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d *boltholdDB) get(_ context.Context, key string) (*Note, error) {
	n := &Note{}
	return n, d.db.Get(key, n)
}

func (d *boltholdDB) scan(_ context.Context, fn func(*Note)) error {
	return d.db.ForEach(nil, func(n *Note) error {
		fn(n)
		return nil
	})
}

// find passes what a query finds to fn.
func (d *boltholdDB) find(q *bolthold.Query, fn func(*Note)) error {
	var notes []Note
	err := d.db.Find(&notes, q)
	for i := range notes {
		fn(&notes[i])
	}
	return err
}

func (d *boltholdDB) between(_ context.Context, from, to time.Time, fn func(*Note)) error {
	return d.find(bolthold.Where("Updated").Ge(from).And("Updated").Lt(to).Index("Updated").SortBy("Updated"), fn)
}

func (d *boltholdDB) below(_ context.Context, limit int64, fn func(*Note)) error {
	return d.find(bolthold.Where("Count").Lt(limit), fn)
}

func (d *boltholdDB) change(_ context.Context, keys []string) error {
	return d.db.Bolt().Update(func(tx *bbolt.Tx) error {
		for _, key := range keys {
			n := &Note{}
			if err := d.db.TxGet(tx, key, n); err != nil {
				return err
			}
			n.Count++
			if err := d.db.TxUpdate(tx, key, n); err != nil {
				return err
			}
		}
		return nil
	})
}
