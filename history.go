package userdata

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// formatRecord is what bucket _meta holds under "format".
type formatRecord struct {
	Name    string `userdata:"name,key"`
	Version int    `userdata:"version"`
}

// formatRecordKey is the key of the formatRecord, and schemaKey that of the schemaRecord.
const (
	formatRecordKey = "format"
	schemaKey       = "schema"
)

// A schemaRecord is what bucket _meta holds under "schema": enough to see in one
// read that nothing has changed.
type schemaRecord struct {
	Name    string            `userdata:"name,key"`
	Format  int               `userdata:"format"`  // as the formatRecord has it
	Version int               `userdata:"version"` // counts changes of the schema, from 1
	Sums    map[string][]byte `userdata:"sums"`    // of each table, by name
}

// A SchemaVersion is one change of the schema in a file, as bucket _versions
// keeps it.
type SchemaVersion struct {
	Version    int               `userdata:"version,key"` // from 1
	Time       time.Time         `userdata:"time"`        // when the change was made
	Program    string            `userdata:"program"`     // by which program: Options.Program
	Changes    []string          `userdata:"changes"`     // what was done, for people
	Migrations []string          `userdata:"migrations"`  // the names of those that were run
	Sums       map[string][]byte `userdata:"sums"`        // SHA-256 of each table that changed, as it was afterwards
}

// A migrationRecord is what bucket _migrations holds for a migration that was
// run, or that a new file did not need.
type migrationRecord struct {
	Name    string `userdata:"name,key"`
	Version int    `userdata:"version"` // of the schema, when it was run
}

// The package's own tables: the format, the schema of each user's table, and what
// became of them.
var (
	metaTable         = internalTable[formatRecord]("_meta")
	schemaRecordTable = internalTable[schemaRecord]("_meta")
	schemaTable       = internalTable[TableSchema]("_schema")
	versionTable      = internalTable[SchemaVersion]("_versions")
	migrationTable    = internalTable[migrationRecord]("_migrations")
)

func internalTable[T any](name string) *table {
	rt, err := recordTypeOf(reflect.TypeFor[T]())
	if err != nil {
		panic(err)
	}
	return newTable(name, rt)
}

// getInternal reads a record of a table of the package's own.
func getInternal[T any](snap Snapshot, t *table, name string, record *T) (found bool, err error) {
	value, err := snap.Get(t.name, []byte(name))
	if value == nil || err != nil {
		return false, err
	}
	return true, t.decode([]byte(name), value, pointerTo(record))
}

// scanInternal calls fn with each record of a table of the package's own.
func scanInternal[T any](snap Snapshot, t *table, fn func(*T)) error {
	var failed error
	err := snap.Scan(t.name, Range{}, func(key, value []byte) bool {
		record := new(T)
		if failed = t.decode(key, value, pointerTo(record)); failed != nil {
			return false
		}
		fn(record)
		return true
	})
	if failed != nil {
		return failed
	}
	return err
}

// putInternal writes a record of a table of the package's own.
func putInternal[T any](tx writeTx, t *table, record *T) error {
	e := newEncoder()
	defer e.free()
	key, err := t.encode(e, pointerTo(record))
	if err != nil {
		return fmt.Errorf("userdata: open: %w", err)
	}
	return tx.put(t.name, key, e.bytes())
}

// sum identifies what a table's schema says, whatever the order of its columns.
func (t TableSchema) sum() []byte {
	t = t.clone()
	slices.SortFunc(t.Columns, func(a, b ColumnSchema) int { return strings.Compare(a.Name, b.Name) })
	e := newEncoder()
	defer e.free()
	if _, err := schemaTable.encode(e, pointerTo(&t)); err != nil {
		return nil // equals no other
	}
	sum := sha256.Sum256(e.bytes())
	return sum[:]
}

// current reports, by one read for the schema and one for each migration, whether
// the store is as the program wants it. If it says no a comparison may say yes.
func (db *DB) current(snap Snapshot, record *schemaRecord) (bool, error) {
	found, err := getInternal(snap, schemaRecordTable, schemaKey, record)
	if !found || err != nil || record.Format != formatVersion {
		return false, err
	}
	for _, t := range db.tables {
		if sum := t.schemaSum(); sum == nil || !bytes.Equal(sum, record.Sums[t.name]) {
			return false, nil
		}
	}
	for _, m := range db.migrations {
		if value, err := snap.Get(migrationTable.name, []byte(m.Name)); value == nil || err != nil {
			return false, err
		}
	}
	return true, nil
}

// finish writes what the store's schema has come to, as a new version of it.
func (e *evolution) finish() error {
	if !e.pending() {
		return nil
	}
	if e.fresh {
		if err := putInternal(e.tx, metaTable, &formatRecord{Name: formatRecordKey, Version: formatVersion}); err != nil {
			return err
		}
	}
	version := SchemaVersion{
		Version: e.record.Version + 1, Time: time.Now().UTC().Truncate(time.Second), Program: e.db.program,
		Changes: e.changes, Migrations: e.ran, Sums: map[string][]byte{},
	}
	for _, name := range sortedKeys(e.stored) {
		if _, still := e.tables[name]; !still {
			if err := e.tx.delete(schemaTable.name, []byte(name)); err != nil {
				return err
			}
		}
	}
	sums := map[string][]byte{}
	for _, name := range sortedKeys(e.tables) {
		s := e.tables[name]
		sums[name] = s.sum()
		if was, ok := e.stored[name]; ok && reflect.DeepEqual(was, s) {
			continue
		}
		version.Sums[name] = sums[name]
		if err := putInternal(e.tx, schemaTable, &s); err != nil {
			return err
		}
	}
	for _, name := range e.ran {
		if err := putInternal(e.tx, migrationTable, &migrationRecord{Name: name, Version: version.Version}); err != nil {
			return err
		}
	}
	if err := putInternal(e.tx, versionTable, &version); err != nil {
		return err
	}
	return putInternal(e.tx, schemaRecordTable, &schemaRecord{Name: schemaKey, Format: formatVersion, Version: version.Version, Sums: sums})
}

// newer says whether the tables that don't fit are those of a newer version of
// the program: the file once had one of them as it is declared now, or has had a
// migration that the program does not know. It returns "" if neither is known.
func (e *evolution) newer(diffs []*tableDiff) (string, error) {
	var hints []string
	var versions []SchemaVersion
	err := scanInternal(e.snap, versionTable, func(v *SchemaVersion) { versions = append(versions, *v) })
	if err != nil {
		return "", err
	}
	for _, d := range diffs {
		if len(d.refusals()) == 0 {
			continue
		}
		name, sum := d.table.name, d.want.sum()
		past := slices.IndexFunc(versions, func(v SchemaVersion) bool { return bytes.Equal(v.Sums[name], sum) })
		if past < 0 {
			continue
		}
		for _, v := range versions[past+1:] {
			if v.Sums[name] != nil {
				hints = append(hints, fmt.Sprintf("%s: the program declares the table as it was before %s changed it on %s (schema version %d): use a newer version of the program", name, v.Program, v.Time.Format(time.DateOnly), v.Version))
				break
			}
		}
	}
	unknown, err := e.unknownMigrations()
	if len(unknown) > 0 {
		hints = append(hints, fmt.Sprintf("the file has had migrations that the program does not know, %s: it may be that of a newer version of the program", strings.Join(unknown, ", ")))
	}
	if len(hints) == 0 {
		return "", err
	}
	return "\n  " + strings.Join(hints, "\n  "), err
}

// unknownMigrations returns the names of those that the file has had and the
// program does not know.
func (e *evolution) unknownMigrations() ([]string, error) {
	names := map[string]bool{}
	err := scanInternal(e.snap, migrationTable, func(m *migrationRecord) { names[m.Name] = true })
	for _, m := range e.db.migrations {
		delete(names, m.Name)
	}
	return slices.Sorted(maps.Keys(names)), err
}

// History returns the changes of the schema in the file, the first first. A file of
// an early version of the package has none for what it had before. Errors are those
// of the store.
func (db *DB) History(ctx context.Context) ([]SchemaVersion, error) {
	var versions []SchemaVersion
	err := db.store.View(ctx, func(snap Snapshot) error {
		return scanInternal(snap, versionTable, func(v *SchemaVersion) { versions = append(versions, *v) })
	})
	return versions, err
}
