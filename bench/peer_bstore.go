package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/mjl-/bstore"
)

var bstorePeer = &peer{
	name: "bstore", title: "bstore", modules: []string{"github.com/mjl-/bstore"},
	how: `DB.Get and DB.Insert, queries with FilterGreaterEqual, FilterLess and SortAsc, ForEach, and DB.Write for a change.
Its times keep whole nanoseconds, as all others do here.`,
	open: openBstore,
}

// A bstoreDB is a bstore database.
type bstoreDB struct{ db *bstore.DB }

func openBstore(ctx context.Context, dir string) (database, error) {
	db, err := bstore.Open(ctx, filepath.Join(dir, "notes.db"), &bstore.Options{Timeout: time.Second}, Note{})
	if err != nil {
		return nil, err
	}
	return &bstoreDB{db}, nil
}

func (d *bstoreDB) close() error { return d.db.Close() }

func (d *bstoreDB) insert(ctx context.Context, notes []*Note) error {
	records := make([]any, len(notes))
	for i, n := range notes {
		records[i] = n
	}
	return d.db.Insert(ctx, records...)
}

func (d *bstoreDB) get(ctx context.Context, key string) (*Note, error) {
	n := &Note{ID: key}
	return n, d.db.Get(ctx, n)
}

func (d *bstoreDB) scan(ctx context.Context, fn func(*Note)) error {
	return bstore.QueryDB[Note](ctx, d.db).ForEach(passing(fn))
}

// passing returns a function that passes notes on and never fails.
func passing(fn func(*Note)) func(Note) error {
	return func(n Note) error {
		fn(&n)
		return nil
	}
}

func (d *bstoreDB) between(ctx context.Context, from, to time.Time, fn func(*Note)) error {
	return bstore.QueryDB[Note](ctx, d.db).FilterGreaterEqual("Updated", from).FilterLess("Updated", to).SortAsc("Updated").ForEach(passing(fn))
}

func (d *bstoreDB) below(ctx context.Context, limit int64, fn func(*Note)) error {
	return bstore.QueryDB[Note](ctx, d.db).FilterLess("Count", limit).ForEach(passing(fn))
}

func (d *bstoreDB) change(ctx context.Context, keys []string) error {
	return d.db.Write(ctx, func(tx *bstore.Tx) error {
		for _, key := range keys {
			n := &Note{ID: key}
			if err := tx.Get(n); err != nil {
				return err
			}
			n.Count++
			if err := tx.Update(n); err != nil {
				return err
			}
		}
		return nil
	})
}
