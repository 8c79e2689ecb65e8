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

// formatVersion is the version of the layout that FORMAT.md describes.
const formatVersion = 1

// Options say how a database is opened. Nil and the zero value are the
// defaults. [Open] keeps a copy.
type Options struct {
	// Logger, if not nil, gets a line at debug level for each thing done, as
	// SQLAlchemy's echo=True prints it.
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
	// has records: with the table's name, how many of its records are done, and of
	// how many. A read transaction is held meanwhile: it must be quick, and must not
	// use the store.
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
	// that does not exist is not created; commits return [ErrReadOnly].
	ReadOnly bool
}

// A DB is an open database: a store, and the tables that the program declares.
// It is what an engine and its metadata are in SQLAlchemy. It is safe for
// concurrent use.
type DB struct {
	store  Store
	tables map[string]*table
	types  map[reflect.Type]*table
	log    *slog.Logger

	scanLimit int
	readOnly  bool
	progress  func(table string, done, total int)
}

// Open opens the file at path with the declared tables. A file that does not
// exist is created, and so are tables and indexes that it lacks; indexes that
// are no longer declared are removed. Tables in the file that are not declared
// are left alone. Opened ReadOnly, the file stays as it is, and queries make do
// without the indexes that it lacks.
//
// Errors: [ErrInvalid] if a table can't be mapped, two have one name or one
// type; [ErrSchema] if a table in the file differs from the declared one;
// [ErrLocked] if another process has the file open; [ErrCorrupt]; and those of
// the file system. The file is as it was before if Open fails.
func Open(path string, opts *Options, tables ...Mapped) (*DB, error) {
	if _, err := newDB(nil, opts, tables); err != nil {
		return nil, err // before a file is created
	}
	store, err := OpenBolt(path, opts)
	if err != nil {
		return nil, err
	}
	db, err := OpenStore(context.Background(), store, opts, tables...)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return db, nil
}

// OpenStore does what [Open] does on a store that is open already. The DB owns
// the store from then on: closing it closes the store. If OpenStore fails the
// store stays open.
func OpenStore(ctx context.Context, store Store, opts *Options, tables ...Mapped) (*DB, error) {
	db, err := newDB(store, opts, tables)
	if err != nil {
		return nil, err
	}
	for {
		changes, err := db.checkSchema(ctx)
		if err != nil {
			return nil, err
		}
		if len(changes.Changes) == 0 {
			return db, nil
		}
		switch err := store.Apply(ctx, changes); {
		case err == nil:
			return db, nil
		case errors.Is(err, ErrReadOnly):
			return nil, fmt.Errorf("userdata: open: %w: %s missing, and the store is %w", ErrSchema, changes.newTables(), ErrReadOnly)
		case !errors.Is(err, ErrConflict): // else another opener was faster: look again
			return nil, err
		}
	}
}

// newDB checks the declared tables among themselves.
func newDB(store Store, opts *Options, tables []Mapped) (*DB, error) {
	db := &DB{store: store, tables: map[string]*table{}, types: map[reflect.Type]*table{}, log: slog.New(slog.DiscardHandler), progress: func(string, int, int) {}}
	if opts != nil {
		db.scanLimit, db.readOnly = opts.ScanLimit, opts.ReadOnly
		if opts.Progress != nil {
			db.progress = opts.Progress
		}
		if opts.Logger != nil {
			db.log = opts.Logger
		}
	}
	var faults []error
	for _, m := range tables {
		if err := db.declare(m); err != nil {
			faults = append(faults, err)
		}
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
	db.tables[t.name], db.types[t.typ] = t, t
	return nil
}

// formatRecord is what bucket _meta holds under "format".
type formatRecord struct {
	Name    string `userdata:"name,key"`
	Version int    `userdata:"version"`
}

// The package's own tables: the format, and the schema of each user's table.
var (
	metaTable   = internalTable[formatRecord]("_meta")
	schemaTable = internalTable[TableSchema]("_schema")
)

func internalTable[T any](name string) *table {
	rt, err := recordTypeOf(reflect.TypeFor[T]())
	if err != nil {
		panic(err)
	}
	return newTable(name, rt)
}

// checkSchema compares the store's schema with the declared tables, and returns
// the changes that add what the store lacks.
func (db *DB) checkSchema(ctx context.Context) (*ChangeSet, error) {
	changes := &ChangeSet{}
	err := db.store.View(ctx, func(snap Snapshot) error {
		fresh, err := checkFormat(snap)
		if err != nil {
			return err
		}
		if fresh {
			if err := changes.add(metaTable, &formatRecord{Name: "format", Version: formatVersion}); err != nil {
				return err
			}
		}
		var misfits []string
		for _, t := range db.sorted() {
			stored := &TableSchema{}
			found, err := getInternal(snap, schemaTable, t.name, stored)
			if err != nil {
				return err
			}
			want := t.schema()
			if !found {
				if err := changes.add(schemaTable, &want); err != nil {
					return err
				}
				continue
			}
			if diffs := differences(*stored, want); len(diffs) > 0 {
				misfits = append(misfits, diffs...)
				continue
			}
			if err := (&builder{db: db, snap: snap, changes: changes}).table(t, *stored); err != nil {
				return err
			}
		}
		if len(misfits) > 0 {
			return fmt.Errorf("userdata: open: %w:\n  %s", ErrSchema, strings.Join(misfits, "\n  "))
		}
		changes.Version = snap.Version() // what was worked out holds for this state
		return nil
	})
	slices.SortFunc(changes.Changes, func(a, b Change) int { return a.compare(&b) })
	return changes, err
}

// checkFormat reports whether the store is new, and refuses what is not ours.
func checkFormat(snap Snapshot) (fresh bool, err error) {
	format := &formatRecord{}
	found, err := getInternal(snap, metaTable, "format", format)
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

// getInternal reads a record of a table of the package's own.
func getInternal[T any](snap Snapshot, t *table, name string, record *T) (found bool, err error) {
	value, err := snap.Get(t.name, []byte(name))
	if value == nil || err != nil {
		return false, err
	}
	return true, t.decode([]byte(name), value, pointerTo(record))
}

// add puts a record of a table of the package's own into the change set.
func (c *ChangeSet) add(t *table, record any) error {
	e := newEncoder()
	defer e.free()
	key, err := t.encode(e, reflect.ValueOf(record).UnsafePointer())
	if err != nil {
		return fmt.Errorf("userdata: open: %w", err)
	}
	c.Changes = append(c.Changes, Change{Bucket: t.name, Key: key, Value: e.bytes()})
	return nil
}

// newTables names the tables that the change set of checkSchema adds.
func (c *ChangeSet) newTables() string {
	var names []string
	for _, ch := range c.Changes {
		if ch.Bucket == schemaTable.name {
			names = append(names, string(ch.Key))
		}
	}
	return "tables " + strings.Join(names, ", ")
}

// differences lists what separates a stored table from the declared one.
func differences(stored, declared TableSchema) []string {
	var out []string
	columns := func(s TableSchema) map[string]ColumnSchema {
		m := map[string]ColumnSchema{}
		for _, c := range s.Columns {
			m[c.Name] = c
		}
		return m
	}
	was, is := columns(stored), columns(declared)
	for _, c := range stored.Columns {
		if d, ok := is[c.Name]; !ok {
			out = append(out, fmt.Sprintf("%s: the file has column %q, which the program does not declare", stored.Name, c))
		} else if d != c {
			out = append(out, fmt.Sprintf("%s: the file has column %q, the program declares %q", stored.Name, c, d))
		}
	}
	for _, c := range declared.Columns {
		if _, ok := was[c.Name]; !ok {
			out = append(out, fmt.Sprintf("%s: the program declares column %q, which the file does not have", stored.Name, c))
		}
	}
	return out
}

// sorted returns the declared tables by name.
func (db *DB) sorted() []*table {
	tables := make([]*table, 0, len(db.tables))
	for _, t := range db.tables {
		tables = append(tables, t)
	}
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
func (db *DB) Store() Store { return db.store }

// Close waits for reads and commits that are under way, and closes the store.
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
