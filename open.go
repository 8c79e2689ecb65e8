package userdata

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// formatVersion is the version of the layout that FORMAT.md describes.
const formatVersion = 1

// Open opens the file at path with the declared tables. A file that does not
// exist is created. What separates the tables in the file from the declared ones
// is dealt with in one transaction: first [Options.Migrations] that the file has
// not had are run; then what can't lose anything is done without asking. That
// is a new table, a new column that may be null or has a default, a renamed one
// that says so (was=), a larger size or none, a wider integer or float, null
// allowed, and indexes added and removed. Tables in the file that are not
// declared are left alone. Opened ReadOnly, the file stays as it is: queries make
// do without the indexes that it lacks, and its columns that are not declared
// are passed over.
//
// Errors: [ErrInvalid] if a table can't be mapped, two have one name or one
// type; [ErrSchema] if a table in the file differs in another way, which lists
// all differences and what to write for each; [ErrLocked] if another process has
// the file open; [ErrCorrupt]; what a migration returned; and those of the file
// system. The file is as it was before if Open fails.
func Open(path string, opts *Options, tables ...Mapped) (*DB, error) {
	if _, err := newDB(nil, opts, tables); err != nil {
		return nil, err // before a file is created
	}
	store, err := OpenBolt(path, opts)
	if err != nil {
		return nil, err
	}
	return orClose(store, func() (*DB, error) { return OpenStore(context.Background(), store, opts, tables...) })
}

// orClose opens a database on a store, and closes the store if that fails or panics.
func orClose(store Store, open func() (*DB, error)) (db *DB, err error) {
	defer func() {
		if db == nil {
			err = errors.Join(err, store.Close())
		}
	}()
	return open()
}

// OpenStore does what [Open] does on a store that is open already. The DB owns
// the store from then on: closing it closes the store. If OpenStore fails the
// store stays open. The context ends migrations and the building of indexes.
func OpenStore(ctx context.Context, store Store, opts *Options, tables ...Mapped) (*DB, error) {
	db, err := newDB(store, opts, tables)
	if err != nil {
		return nil, err
	}
	if err := db.open(ctx, opts); err != nil {
		return nil, err
	}
	if err := db.watch(ctx); err != nil {
		return nil, err
	}
	return db, nil
}

// watch has a store that other processes write to look, at the beginning of each
// turn, if the schema is still the one that the DB knows.
func (db *DB) watch(ctx context.Context) error {
	s, ok := db.store.(*BoltStore)
	if !ok || !s.opts.Shared {
		return nil
	}
	var known []byte
	mark := func(snap Snapshot) ([]byte, error) { return snap.Get(metaTable.name, []byte(schemaKey)) }
	err := s.View(ctx, func(snap Snapshot) error {
		now, err := mark(snap)
		known = bytes.Clone(now)
		if err != nil || db.readOnly {
			return err
		}
		return db.stillCurrent(snap) // since it was opened, which was another turn
	})
	s.onChange = func(snap Snapshot) error {
		now, err := mark(snap)
		if err != nil || bytes.Equal(now, known) {
			return err
		}
		if err := db.stillCurrent(snap); err != nil {
			return err
		}
		known = bytes.Clone(now)
		return nil
	}
	return err
}

// stillCurrent makes sure that the file's schema is the one that the DB knows.
func (db *DB) stillCurrent(snap Snapshot) error {
	if current, err := db.current(snap, &schemaRecord{}); !current {
		return errors.Join(err, fmt.Errorf("%w any more: another process has changed it: open the file again", ErrSchema))
	}
	return nil
}

// open brings the store and the declared tables together.
func (db *DB) open(ctx context.Context, opts *Options) error {
	plan, err := db.planOpen(ctx)
	switch {
	case err != nil:
		return err
	case plan.current:
		return nil
	case db.readOnly:
		return db.project(ctx)
	case !plan.pending():
		return nil
	}
	if len(plan.ran) > 0 && !plan.fresh && (opts == nil || !opts.NoBackup) {
		return db.evolveBackedUp(ctx, plan)
	}
	return db.evolve(ctx, plan)
}

// evolveBackedUp is evolve with a copy of the file before it. If it fails or
// panics the file is as it was, and the copy, which is of no use, is removed.
func (db *DB) evolveBackedUp(ctx context.Context, plan *evolution) (err error) {
	undo, err := backUp(ctx, db.store, plan.ran[0])
	if err != nil {
		return err
	}
	evolved := false
	defer func() {
		if !evolved && !errors.Is(err, ErrUnknownOutcome) {
			err = errors.Join(err, undo())
		}
	}()
	err = db.evolve(ctx, plan)
	evolved = err == nil
	return err
}

// planOpen works out what opening does to the store.
func (db *DB) planOpen(ctx context.Context) (plan *evolution, err error) {
	err = db.store.View(ctx, func(snap Snapshot) error {
		plan = &evolution{}
		if plan.current, err = db.current(snap, &plan.record); plan.current && err == nil {
			return db.checkCounts(snap)
		} else if err != nil {
			return err
		}
		if plan, err = newEvolution(ctx, db, snap, nil); err != nil {
			return err
		}
		if db.readOnly {
			return nil
		}
		return plan.run()
	})
	return plan, err
}

// checkCounts makes sure that each index has as many entries as its table has records,
// as far as the sums of their buckets tell. A bucket that damage has given another name
// looks like one that is empty.
func (db *DB) checkCounts(snap Snapshot) error {
	bolt, ok := snap.(*boltSnapshot)
	if !ok {
		return nil
	}
	for _, t := range db.sorted() {
		records, known, err := bolt.count(t.name)
		if err != nil {
			return err
		}
		for _, x := range t.indexes {
			if !known || x.multi {
				continue
			}
			entries, known, err := bolt.count(x.bucket)
			if err == nil && known && entries != records {
				err = fmt.Errorf("userdata: open: table %s: %w", t.name, corruptf("%d records, and %d entries in index %s", records, entries, x.name))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// evolve does what the plan says, if that still holds.
func (db *DB) evolve(ctx context.Context, plan *evolution) error {
	err := rewrite(ctx, db.store, plan.bulk, func(tx writeTx) error {
		e, err := newEvolution(ctx, db, tx, tx)
		if err != nil {
			return err
		}
		if err := e.run(); err != nil {
			return err
		}
		return e.finish()
	})
	if errors.Is(err, ErrReadOnly) {
		return fmt.Errorf("userdata: open: %w: %s, and the store is %w", ErrSchema, strings.Join(plan.changes, "; "), ErrReadOnly)
	}
	return err
}

// newDB checks the declared tables among themselves.
func newDB(store Store, opts *Options, tables []Mapped) (*DB, error) {
	db := &DB{store: store, parts: usualParts, tables: map[string]*table{}, types: map[reflect.Type]*table{}, log: slog.New(slog.DiscardHandler), progress: func(string, int, int) {}}
	var faults []error
	if opts != nil {
		db.scanLimit, db.readOnly, db.program = opts.ScanLimit, opts.ReadOnly, opts.Program
		db.migrations = slices.Clone(opts.Migrations)
		if opts.Progress != nil {
			db.progress = opts.Progress
		}
		if opts.Logger != nil {
			db.log = opts.Logger
		}
		faults = append(faults, checkMigrations(db.migrations))
	}
	if db.program == "" {
		db.program = strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
	}
	for _, m := range tables {
		faults = append(faults, db.declare(m))
	}
	return db, errors.Join(faults...)
}

// declare takes in one table.
func (db *DB) declare(m Mapped) error {
	t, err := m.mapped()
	if err != nil {
		return err
	}
	if db.tables[t.name] != nil {
		return fmt.Errorf("userdata: table %s: %w", t.name, invalidf("two tables have this name: rename one"))
	}
	if o := db.types[t.typ]; o != nil {
		return fmt.Errorf("userdata: table %s: %w", t.name,
			invalidf("%s is the type of table %s already: declare a type of its own, as in type Draft %s", t.typ, o.name, t.typ.Name()))
	}
	db.put(t)
	return nil
}

// checkFormat reports whether the store is new, and refuses what is not ours.
func checkFormat(snap Snapshot) (fresh bool, err error) {
	format := &formatRecord{}
	found, err := getInternal(snap, metaTable, formatRecordKey, format)
	if err != nil {
		return false, err
	}
	if found && format.Version != formatVersion {
		return false, fmt.Errorf("userdata: open: %w: the file has format version %d, this package knows version %d: use a newer version of it", ErrSchema, format.Version, formatVersion)
	}
	if found {
		return false, nil
	}
	buckets, err := snap.Buckets()
	if err == nil && len(buckets) > 0 {
		err = fmt.Errorf("userdata: open: %w: the file was not written by this package: it has %s, but no format version", ErrSchema, strings.Join(buckets, ", "))
	}
	return true, err
}
