package userdata

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// NewRowTable declares a table by its schema, for a program that does not know its
// type when it is compiled: as [NewTable] does by a struct. Its name, and those of
// its columns and indexes, are as [NewTable] has them. [ErrInvalid] if it can't be
// a table, [ErrSchema] if an index names what is not there.
func NewRowTable(s TableSchema) (*RowTable, error) {
	if strings.HasPrefix(s.Name, "_") {
		return nil, fmt.Errorf("userdata: table %s: %w", s.Name, invalidf("names that begin with _ are the package's own"))
	}
	names := []string{s.Name}
	for _, c := range s.Columns {
		names = append(names, c.Name)
	}
	for _, x := range s.Indexes {
		names = append(names, x.Name)
	}
	for _, name := range names {
		if err := checkName(name); err != nil {
			return nil, fmt.Errorf("userdata: table %q: %q: %w", s.Name, name, err)
		}
	}
	return rowTableOf(s)
}

// Bulk calls fn with a session that may commit any number of times: all of its
// commits, and what it leaves to be committed, become durable together when fn
// returns nil, and none of them if it returns an error or panics. It is for more
// records than memory should hold: fn commits every thousand or so, and lets go of
// them with [Session.Expunge].
//
// In a file the work is done on a copy, which takes the file's place when it is
// complete, synced and verified: that needs room on the disk for a second file, and
// its time grows with the file. Nobody else writes meanwhile, others read the state
// before. In a store of another kind the changes are collected in memory, and fn is
// called again if somebody else has committed meanwhile.
//
// The tables to create are ones that the store does not have. They are created in
// the same whole, and only fn's session knows them: open the file again to use them.
// [ErrExists] if the store has one of that name. Errors besides: those of fn as they
// are, [ErrReadOnly], [ErrLocked], [ErrClosed], those of a commit.
func (db *DB) Bulk(ctx context.Context, fn func(ctx context.Context, s *Session) error, create ...Mapped) error {
	work := *db
	work.list, work.tables, work.types = slices.Clone(db.list), maps.Clone(db.tables), maps.Clone(db.types)
	var created []*table
	for _, m := range create {
		if err := work.declare(m); err != nil {
			return err
		}
		created = append(created, work.tables[m.Name()])
	}
	run := func(tx writeTx) error { return work.bulk(ctx, tx, created, fn) }
	if r, ok := db.store.(rewriter); ok {
		if done, err := r.rewrite(ctx, true, run); done || err != nil {
			return err
		}
	}
	return rewrite(ctx, db.store, false, run)
}

// bulk is Bulk in a transaction.
func (db *DB) bulk(ctx context.Context, tx writeTx, created []*table, fn func(ctx context.Context, s *Session) error) error {
	e, err := newEvolution(ctx, db, tx, tx)
	if err != nil {
		return err
	}
	for _, t := range created {
		if _, found := e.tables[t.name]; found {
			return fmt.Errorf("userdata: bulk: table %s: %w", t.name, ErrExists)
		}
	}
	if err := e.settle(created); err != nil {
		return err
	}
	work := *db
	work.store = &txStore{tx: tx, version: 1}
	s := work.NewSession()
	defer s.end()
	if err := fn(ctx, s); err != nil {
		return err
	}
	if err := s.Commit(ctx); err != nil {
		return err
	}
	return e.finish()
}
