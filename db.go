package userdata

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Options say how a database is opened. Nil and the zero value are the
// defaults. [Open] keeps a copy.
type Options struct {
	// Logger, if not nil, gets a line at debug level for each thing done, as
	// SQLAlchemy's echo=True prints it, and one at info level for each change of the
	// schema of a file.
	Logger *slog.Logger

	// LockTimeout is how long Open waits for another process that has the file
	// open. Zero means 1 second.
	LockTimeout time.Duration

	// ScanLimit, if not zero, is the most records that a query may read without an
	// index, or a condition on the key, that narrows them down. A query that would
	// read more returns [ErrTooLarge], which says what it reads: for tests and
	// programs that want to be sure of their indexes.
	ScanLimit int

	// Progress, if not nil, is called while Open builds an index of a table that
	// has records, or rewrites them: with the table's name, how many of its records
	// are done, and of how many. A transaction is held meanwhile: it must be quick,
	// and must not use the store.
	Progress func(table string, done, total int)

	// Shared lets several processes work on one file, all of which open it so: each
	// locks it only for one read or one commit, and they take turns. Its calls return
	// [ErrLocked] if their turn does not come within LockTimeout. A process that opens
	// the file without Shared has to wait for nobody, but all others for it.
	//
	// A commit costs more, since each process looks at what the others wrote; a View
	// keeps all others out for as long as it runs. If another process changes the
	// schema of a table that the DB has declared, its calls return [ErrSchema].
	Shared bool

	// ReadOnly opens the file for reading only, beside other readers. A file
	// that does not exist is not created; commits return [ErrReadOnly]. Columns of
	// the file that the program does not declare are passed over.
	ReadOnly bool

	// Migrations are changes of the schema that Open does not make by itself, in
	// the order in which they came to be. Each is run once on a file.
	Migrations []Migration

	// NoBackup runs migrations without keeping a copy of the file as it was.
	NoBackup bool

	// Program is the name that the file's history has for who changed its schema.
	// Empty stands for the name of the executable.
	Program string
}

// A DB is an open database: a store, and the tables that the program declares.
// It is what an engine and its metadata are in SQLAlchemy. It is safe for
// concurrent use.
type DB struct {
	store  Store
	list   []*table // as they were declared
	tables map[string]*table
	types  map[reflect.Type]*table
	log    *slog.Logger

	scanLimit int
	parts     partSizes // of scans
	readOnly  bool
	progress  func(table string, done, total int)

	program    string
	migrations []Migration
}

// put takes in a table, in place of the one of its name if there is one.
func (db *DB) put(t *table) {
	if old := db.tables[t.name]; old != nil {
		db.list[slices.Index(db.list, old)] = t
	} else {
		db.list = append(db.list, t)
	}
	db.tables[t.name], db.types[t.typ] = t, t
}

// declared returns the database's table for a declared one.
func (db *DB) declared(d *declaration) (*table, error) {
	if _, err := d.mapped(); err != nil {
		return nil, err
	}
	if i := int(d.place.Load()); i < len(db.list) && db.list[i].is(d) { // mostly, with no name to be looked up
		return db.list[i], nil
	}
	if t := db.tables[d.name]; t != nil && t.is(d) {
		d.place.Store(int32(slices.Index(db.list, t)))
		return t, nil
	}
	return nil, fmt.Errorf("userdata: table %s: %w", d.name, invalidf("it was not given to Open"))
}

// is reports whether the table is the declared one, as a database has it.
func (t *table) is(d *declaration) bool {
	return t.recordType == d.table.recordType && t.name == d.name
}

// sorted returns the declared tables by name.
func (db *DB) sorted() []*table {
	tables := slices.Clone(db.list)
	slices.SortFunc(tables, func(a, b *table) int { return strings.Compare(a.name, b.name) })
	return tables
}

// Schema returns the declared tables. Printing it shows every column.
func (db *DB) Schema() Schema {
	var s Schema
	for _, t := range db.sorted() {
		s.Tables = append(s.Tables, t.schema())
	}
	return s
}

// Store returns the store that the database is on, for what only some stores
// can do.
func (db *DB) Store() Store {
	if p, ok := db.store.(*projectedStore); ok {
		return p.Store
	}
	return db.store
}

// Close waits for reads and commits that are under way, and closes the store:
// [BoltStore.Close] says what that does to the file.
// Sessions forget nothing, but their reads and commits return [ErrClosed]. A
// second Close returns nil.
func (db *DB) Close() error { return db.store.Close() }

// transactAttempts is how often Transact runs its function before it gives up,
// and transactWait the longest pause before the second of them; each pause may
// be twice the one before it, up to transactMaxWait.
const (
	transactAttempts = 12
	transactWait     = time.Millisecond
	transactMaxWait  = 50 * time.Millisecond
)

// Transact runs fn with a new session and commits it if fn returns nil. If fn
// returns an error or panics, nothing is committed; the error is returned as it
// is, and the panic goes on. If the commit, or fn, ends in [ErrConflict], fn is
// run again with a fresh session, 12 times at the most, after pauses of random
// length that grow to 50 ms; the last conflict is returned, with the context's
// error if that ended the pause. So fn must not count on running once, and
// should get what it changes from its own session.
//
// fn must not commit the session itself: Commit returns [ErrInvalid]. The
// session is closed afterwards, and rolled back before unless it was committed;
// its records stay readable. Other errors are those of [Session.Commit].
func (db *DB) Transact(ctx context.Context, fn func(s *Session) error, opts ...SessionOption) error {
	wait := transactWait
	for attempt := 1; ; attempt++ {
		err := db.transactOnce(ctx, fn, opts)
		if !errors.Is(err, ErrConflict) || attempt == transactAttempts {
			return err
		}
		if ended := pause(ctx, rand.N(wait)); ended != nil {
			return errors.Join(err, ended)
		}
		wait = min(2*wait, transactMaxWait)
	}
}

func (db *DB) transactOnce(ctx context.Context, fn func(s *Session) error, opts []SessionOption) error {
	s := db.NewSession(opts...)
	s.managed = true
	committed := false
	defer func() {
		if !committed {
			s.Rollback()
		}
		s.end()
	}()
	err := fn(s)
	if err == nil {
		err = s.commit(ctx, true)
	}
	committed = err == nil
	return err
}

// pause waits, or returns the context's error when that ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// View runs fn with a session whose reads all see one snapshot of the store. It
// is the one way to run code while a transaction is held: fn should be brief,
// since the file grows while others commit meanwhile, and must not commit
// through another session or close the database. The session can't write:
// Add, Delete, Merge and bulk changes return [ErrReadOnly], and so do Flush and
// Commit if a record was changed.
//
// It returns fn's error as it is, or the store's.
func (db *DB) View(ctx context.Context, fn func(s *Session) error) error {
	return db.store.View(ctx, func(snap Snapshot) error {
		s := db.NewSession()
		defer s.end()
		s.snapshot = snap
		return fn(s)
	})
}
