package userdata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// An OpenPlan is what [Open] would do to a file.
type OpenPlan struct {
	New        bool     // there is no file, or it is empty: it would be created
	Version    int      // of the schema in the file; 0 if it has not been counted
	Migrations []string // the names of those that would be run
	Changes    []string // what would be done to tables, columns and indexes, in order

	// Copied says that records or indexes would be written: of a file of more
	// than 4 MB that is done in a copy, which then takes its place.
	Copied bool
}

// Empty reports whether Open would change nothing.
func (p *OpenPlan) Empty() bool { return !p.New && len(p.Migrations) == 0 && len(p.Changes) == 0 }

// String returns the plan, one line a change.
func (p *OpenPlan) String() string {
	switch {
	case p.Empty():
		return "nothing to do\n"
	case len(p.Changes) == 0:
		return fmt.Sprintf("run the migrations %s\n", strings.Join(p.Migrations, ", "))
	}
	return strings.Join(p.Changes, "\n") + "\n"
}

// PlanOpen works out what [Open] would do to the file with the same options and
// tables, and changes nothing. It looks at schemas, not at records: whether a step's
// function fails, or a unique index finds two records with one value, only Open
// finds out. The file is opened for reading, so nobody may have it open for writing.
//
// Errors: what Open would return, such as [ErrSchema].
func PlanOpen(path string, opts *Options, tables ...Mapped) (*OpenPlan, error) {
	db, err := newDB(nil, opts, tables)
	if err != nil {
		return nil, err
	}
	own := Options{}
	if opts != nil {
		own = *opts
	}
	own.ReadOnly = true
	store, err := OpenBolt(path, &own)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !db.readOnly:
		store := NewMemStore() // as empty as the new file
		plan, err := db.planOf(store)
		return plan, errors.Join(err, store.Close())
	case err != nil:
		return nil, err
	}
	plan, err := db.planOf(store)
	if err := errors.Join(err, store.Close()); err != nil {
		return nil, err
	}
	return plan, nil
}

// planOf returns the plan for a store.
func (db *DB) planOf(store Store) (*OpenPlan, error) {
	own := *db
	own.store = store
	e, err := own.planOpen(context.Background())
	if err == nil && db.readOnly && !e.current {
		err = own.project(context.Background())
	}
	if err != nil || db.readOnly {
		return &OpenPlan{}, err
	}
	return &OpenPlan{New: e.fresh, Version: e.record.Version, Migrations: e.ran, Changes: e.changes, Copied: e.bulk}, nil
}
