package userdata

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// project makes a database that only reads do with the tables as the file has
// them: without the indexes that it lacks, and with records turned into the
// declared form as they are read.
func (db *DB) project(ctx context.Context) error {
	projected := &projectedStore{Store: db.store, diffs: map[string]*tableDiff{}}
	err := db.store.View(ctx, func(snap Snapshot) error {
		e, err := newEvolution(ctx, db, snap, nil)
		if err != nil {
			return err
		}
		var missing, refused []string
		var diffs []*tableDiff
		for _, t := range db.sorted() {
			from, found := e.tables[t.name]
			if !found {
				missing = append(missing, t.name)
				continue
			}
			d := diffTable(from, t)
			refused = append(refused, d.refused...)
			diffs = append(diffs, d)
			if d.rewrite {
				projected.diffs[t.name] = d
			}
			if d.build != nil {
				db.without(t, d.build)
			}
		}
		if len(missing) > 0 {
			err = fmt.Errorf("userdata: open: %w: tables %s missing, and the store is %w", ErrSchema, strings.Join(missing, ", "), ErrReadOnly)
		}
		if len(refused) > 0 {
			err = errors.Join(err, e.refusal(diffs, refused))
		}
		return err
	})
	if len(projected.diffs) > 0 {
		db.store = projected
	}
	return err
}

// A projectedStore shows the records of some tables in another form than they
// are stored in. It only reads.
type projectedStore struct {
	Store
	diffs map[string]*tableDiff // by table
}

// View implements [Store].
func (s *projectedStore) View(ctx context.Context, fn func(Snapshot) error) error {
	return s.Store.View(ctx, func(snap Snapshot) error {
		p := &projectedSnapshot{Snapshot: snap, recoders: map[string]*recoder{}}
		for name, d := range s.diffs {
			p.recoders[name] = d.recoder()
		}
		return fn(p)
	})
}

// Apply implements [Store].
func (s *projectedStore) Apply(context.Context, *ChangeSet) error {
	return fmt.Errorf("userdata: apply: opened %w", ErrReadOnly)
}

// A projectedSnapshot is what a projectedStore shows of a snapshot.
type projectedSnapshot struct {
	Snapshot
	recoders map[string]*recoder
}

// Get implements [Snapshot].
func (p *projectedSnapshot) Get(bucket string, key []byte) ([]byte, error) {
	value, err := p.Snapshot.Get(bucket, key)
	r := p.recoders[bucket]
	if r == nil || value == nil || err != nil {
		return value, err
	}
	return r.value(key, value)
}

// Scan implements [Snapshot].
func (p *projectedSnapshot) Scan(bucket string, rng Range, fn func(key, value []byte) bool) error {
	r := p.recoders[bucket]
	if r == nil {
		return p.Snapshot.Scan(bucket, rng, fn)
	}
	var failed error
	err := p.Snapshot.Scan(bucket, rng, func(key, value []byte) bool {
		var now []byte
		now, failed = r.value(key, value)
		return failed == nil && fn(key, now)
	})
	if failed != nil {
		return failed
	}
	return err
}
