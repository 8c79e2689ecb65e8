package userdata

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unsafe"
)

// A Migration is a change of the schema, or of the records, that a program makes
// to the files of its older versions. It has a name that never changes, and is run
// once on a file: the file remembers. A file that is created has all
// of them behind it.
type Migration struct {
	// Name has letters, digits, "_", "-" and ".", as in "2026-10-drop-drafts".
	Name string

	// Steps are done in this order. What a file lacks they pass over: a file
	// that is two versions old may not have a table or column yet that the second
	// step of its history changes.
	Steps []Step
}

// A Step is a part of a [Migration]: what [RenameColumn], [DropColumn],
// [ConvertColumn], [RenameTable], [DropTable], [RewriteRecords] and [RunStep]
// return. A step that returns an error or panics leaves the file as it was before
// Open, and Open fails. Its memory does not grow with the table.
type Step struct {
	run func(e *evolution) error
}

// checkMigrations reports what is wrong with the names.
func checkMigrations(migrations []Migration) error {
	seen := map[string]bool{}
	for _, m := range migrations {
		if err := checkName(m.Name); err != nil {
			return fmt.Errorf("userdata: migration %q: %w", m.Name, err)
		}
		if seen[m.Name] {
			return fmt.Errorf("userdata: migration %s: %w", m.Name, invalidf("two migrations have this name"))
		}
		seen[m.Name] = true
		if slices.ContainsFunc(m.Steps, func(s Step) bool { return s.run == nil }) {
			return fmt.Errorf("userdata: migration %s: %w", m.Name, invalidf("a zero Step: make steps with RenameColumn and the like"))
		}
	}
	return nil
}

// migrate runs the migrations that the store has not had.
func (e *evolution) migrate() error {
	for _, m := range e.db.migrations {
		had, err := e.snap.Get(migrationTable.name, []byte(m.Name))
		if err != nil {
			return err
		}
		if had != nil {
			continue
		}
		e.ran = append(e.ran, m.Name)
		if e.fresh {
			continue
		}
		e.note("migration " + m.Name)
		for i, s := range m.Steps {
			if err := e.ctx.Err(); err != nil {
				return fmt.Errorf("userdata: migration %s: %w", m.Name, err)
			}
			if err := s.run(e); err != nil {
				return fmt.Errorf("userdata: migration %s, step %d: %w", m.Name, i+1, err)
			}
		}
	}
	return nil
}

// has returns a table as it is by now, if it and the column are there. An empty
// column asks for the table only.
func (e *evolution) has(table, column string) (s TableSchema, place int, ok bool) {
	s, ok = e.tables[table]
	if !ok || column == "" {
		return s, -1, ok
	}
	s = s.clone()
	place = s.column(column)
	return s, place, place >= 0
}

// RenameColumn gives a column another name. The tag word was= does the same
// without a migration.
func RenameColumn(table, from, to string) Step {
	return Step{func(e *evolution) error {
		s, place, ok := e.has(table, from)
		if !ok {
			return nil
		}
		if err := checkName(to); err != nil {
			return fmt.Errorf("rename column %s of %s to %q: %w", from, table, to, err)
		}
		if s.column(to) >= 0 {
			return fmt.Errorf("rename column %s of %s: %w: the table has a column %s already", from, table, ErrSchema, to)
		}
		s.Columns[place].Name = to
		for _, x := range s.Indexes {
			for i, c := range x.Columns {
				if c == from {
					x.Columns[i] = to
				}
			}
		}
		e.note(fmt.Sprintf("%s: rename column %s to %s", table, from, to))
		return e.reshape(s, map[string]string{to: from})
	}}
}

// DropColumn removes a column and its values, and the indexes that it is in. The
// key can't be dropped.
func DropColumn(table, column string) Step {
	return Step{func(e *evolution) error {
		s, place, ok := e.has(table, column)
		if !ok {
			return nil
		}
		if s.Columns[place].Key {
			return fmt.Errorf("drop column %s of %s: %w: it is the key", column, table, ErrSchema)
		}
		if err := e.dropIndexes(table, func(x IndexSchema) bool { return slices.Contains(x.Columns, column) }); err != nil {
			return err
		}
		s.Columns, s.Indexes = slices.Delete(s.Columns, place, place+1), e.tables[table].Indexes
		e.note(fmt.Sprintf("%s: drop column %s", table, column))
		return e.reshape(s, nil)
	}}
}

// reshape gives a table's records the columns of s, whose values are those of the
// columns of the same name, or of the old name that renamed has for it.
func (e *evolution) reshape(s TableSchema, renamed map[string]string) error {
	from := e.tables[s.Name]
	e.bulk = true
	e.tables[s.Name] = s
	if e.tx == nil {
		return nil
	}
	r := newRecoder(from, s, nil)
	for _, name := range r.to.names {
		old, ok := renamed[name]
		if !ok {
			old = name
		}
		r.sources = append(r.sources, source{column: old})
	}
	return e.rewriteTable(s.Name, r.value)
}

// RenameTable gives a table another name.
func RenameTable(from, to string) Step {
	return Step{func(e *evolution) error {
		s, _, ok := e.has(from, "")
		if !ok {
			return nil
		}
		if err := checkName(to); err != nil || strings.HasPrefix(to, "_") {
			return fmt.Errorf("rename table %s to %q: %w", from, to, errors.Join(err, invalidf("not a table's name")))
		}
		if _, taken := e.tables[to]; taken {
			return fmt.Errorf("rename table %s: %w: there is a table %s already", from, ErrSchema, to)
		}
		if err := e.dropIndexes(from, func(IndexSchema) bool { return true }); err != nil {
			return err
		}
		s = e.tables[from].clone()
		s.Name = to
		delete(e.tables, from)
		e.tables[to], e.bulk = s, true
		e.note(fmt.Sprintf("%s: rename the table to %s", from, to))
		if e.tx == nil {
			return nil
		}
		return e.moveTable(from, s)
	}}
}

// moveTable writes a table's records under another name, and removes the old ones.
func (e *evolution) moveTable(from string, s TableSchema) error {
	old := s
	old.Name = from
	r := newRecoder(old, s, nil)
	for _, name := range r.to.names {
		r.sources = append(r.sources, source{column: name})
	}
	err := e.eachPage(from, func(key, value []byte) (Change, error) {
		now, err := r.value(key, value)
		return Change{Key: bytes.Clone(key), Value: now}, err
	}, func(page []Change) error { return e.putAll(s.Name, page) })
	if err != nil {
		return err
	}
	return e.tx.deleteBucket(from)
}

// DropTable removes a table with its records.
func DropTable(table string) Step {
	return Step{func(e *evolution) error {
		if _, _, ok := e.has(table, ""); !ok {
			return nil
		}
		if err := e.dropIndexes(table, func(IndexSchema) bool { return true }); err != nil {
			return err
		}
		delete(e.tables, table)
		e.note(table + ": drop the table")
		if e.tx == nil {
			return nil
		}
		return e.tx.deleteBucket(table)
	}}
}

// ConvertColumn gives a column another type: fn makes the new value of each old
// one. Old must be the type that the file has, and New the declared one; a pointer
// stands for a column that may be null. The new values must fit the size that the
// declared column has. The key can't be converted: [RewriteRecords] can change it.
func ConvertColumn[Old, New any](table, name string, fn func(Old) (New, error)) Step {
	return convertStep(table, name, func(e *evolution, was ColumnSchema) (old, now *column, err error) {
		if old, err = convertedColumn(reflect.TypeFor[Old](), name); err != nil {
			return nil, nil, err
		}
		if now, err = convertedColumn(reflect.TypeFor[New](), name); err != nil {
			return nil, nil, err
		}
		now.size = e.db.declaredSize(table, name, now)
		return old, now, nil
	}, func(from, to unsafe.Pointer) (err error) {
		*(*New)(to), err = fn(*(*Old)(from))
		return err
	})
}

// RetypeColumn is [ConvertColumn] for who does not know the types when the program
// is compiled: fn makes the new value of each old one, both as [Row.Get] returns
// them, and the column becomes what the schema says, which must not be a key.
func RetypeColumn(table string, to ColumnSchema, fn func(any) (any, error)) Step {
	var old, now *column
	return convertStep(table, to.Name, func(_ *evolution, was ColumnSchema) (_, _ *column, err error) {
		if old, err = schemaColumn(was); err != nil {
			return nil, nil, err
		}
		now, err = schemaColumn(to)
		return old, now, err
	}, func(from, target unsafe.Pointer) error {
		v, err := fn(plainValue(reflect.NewAt(old.codec.typ, from).Elem()))
		if err != nil {
			return err
		}
		return setPlain(reflect.NewAt(now.codec.typ, target).Elem(), v)
	})
}

// convertStep gives a column another type. The first function returns the column as
// the file has it and as it is to be, the second makes a new value of an old one.
func convertStep(table, name string, columns func(e *evolution, was ColumnSchema) (old, now *column, err error), convert func(from, to unsafe.Pointer) error) Step {
	return Step{func(e *evolution) error {
		s, place, ok := e.has(table, name)
		if !ok {
			return nil
		}
		fault := func(err error) error { return fmt.Errorf("convert column %s of %s: %w", name, table, err) }
		was := s.Columns[place]
		old, now, err := columns(e, was)
		if err != nil {
			return fault(err)
		}
		if was.Key || now.key {
			return fault(fmt.Errorf("%w: it is the key: use RewriteRecords", ErrSchema))
		}
		if o := old.schema(); o.Type != was.Type || o.Nullable != was.Nullable {
			return fault(fmt.Errorf("%w: the file has column %q, the function takes %q", ErrSchema, was, o))
		}
		s.Columns[place] = now.schema()
		if err := e.dropIndexes(table, func(x IndexSchema) bool { return slices.Contains(x.Columns, name) }); err != nil {
			return err
		}
		s.Indexes = e.tables[table].Indexes
		e.tables[table], e.bulk = s, true
		e.note(fmt.Sprintf("%s: convert column %q to %q", table, was, s.Columns[place]))
		if e.tx == nil {
			return nil
		}
		c := &converter{layout: newLayout(s), column: now, columns: make([][]byte, len(s.Columns))}
		c.convert = func(b []byte) ([]byte, error) { return convertValue(old, now, b, convert) }
		return e.rewriteTable(table, c.value)
	}}
}

// schemaColumn returns a column as a schema describes it, outside any table.
func schemaColumn(s ColumnSchema) (*column, error) {
	t, err := typeNamed(s.Type)
	if err != nil {
		return nil, err
	}
	if s.Nullable {
		t = reflect.PointerTo(t)
	}
	return newColumn(&codecBuilder{done: map[reflect.Type]*valueCodec{}}, field{goName: s.Name, typ: t, tag: tag{name: s.Name, size: s.Size, key: s.Key}})
}

// convertedColumn returns a column of a type, outside any table.
func convertedColumn(t reflect.Type, name string) (*column, error) {
	return newColumn(&codecBuilder{done: map[reflect.Type]*valueCodec{}}, field{goName: name, typ: t, tag: tag{name: name}})
}

// declaredSize returns the size that the program declares for a column, if it is
// of this one's type.
func (db *DB) declaredSize(table, name string, c *column) int {
	t := db.tables[table]
	if t == nil {
		return 0
	}
	i := slices.IndexFunc(t.columns, func(d *column) bool {
		return (d.name == name || slices.Contains(d.was, name)) && d.schema().Type == c.schema().Type
	})
	if i < 0 {
		return 0
	}
	return t.columns[i].size
}

// convertValue decodes one value, calls fn, and encodes what that makes.
func convertValue(old, now *column, b []byte, fn func(from, to unsafe.Pointer) error) ([]byte, error) {
	from, to := old.codec.newValue(), now.codec.newValue()
	if err := decodeValue(old.codec, b, from); err != nil {
		return nil, err
	}
	if err := fn(from, to); err != nil {
		return nil, err
	}
	if now.size > 0 {
		if n, unit := now.length(to); n > now.size {
			return nil, invalidf("%d %s, at most %d", n, unit, now.size)
		}
	}
	return now.encoded(to)
}

// A converter replaces one column in stored records.
type converter struct {
	layout  *layout
	column  *column
	columns [][]byte
	convert func(b []byte) ([]byte, error)
}

// value returns what stands under the key afterwards: a slice of its own.
func (c *converter) value(key, old []byte) ([]byte, error) {
	if err := c.layout.open(c.columns, key, old); err != nil {
		return nil, err
	}
	place := c.layout.place[c.column.name]
	b, err := c.convert(c.columns[place])
	if err != nil {
		return nil, &RecordError{Table: c.layout.table, Key: bytes.Clone(key), Column: c.column.name, Err: err}
	}
	c.columns[place] = b
	return c.layout.seal(key, c.columns)
}

// RunStep calls fn with a session on the file as it is by then, for any work on
// records. The tables, each of which has a type of its own, are brought to
// what they declare first, as Open does it; none stands for those given to Open. fn may
// commit, which keeps the session small; what it leaves is committed after it. All of
// that is part of what Open does as a whole.
func RunStep(fn func(ctx context.Context, s *Session) error, tables ...Mapped) Step {
	return Step{func(e *evolution) error {
		db := e.db
		if tables != nil {
			own, err := newDB(nil, nil, tables)
			if err != nil {
				return err
			}
			own.log, own.progress, own.scanLimit = db.log, db.progress, db.scanLimit
			db = own
		}
		if err := e.settle(db.sorted()); err != nil {
			return err
		}
		e.bulk = true
		if e.tx == nil {
			return nil
		}
		work := *db
		work.store = &txStore{tx: e.tx, version: 1}
		s := work.NewSession()
		defer s.end()
		if err := fn(e.ctx, s); err != nil {
			return err
		}
		return s.Commit(e.ctx)
	}}
}
