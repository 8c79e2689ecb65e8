package userdata

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"reflect"
	"slices"
	"strings"
	"unsafe"
)

// A RowTable is a table whose type is not known when the program is compiled: it
// is made from the schema in a file. It is to a [Row] what a [Table] is to a struct.
// It is safe for concurrent use.
type RowTable struct{ table *table }

// OpenFile opens the existing file at path with all of its tables, as the file
// itself describes them: for viewers and tools. [DB.Rows] returns each of them.
// Sessions, transactions, conflicts, sizes and indexes are those of any database;
// only what a program's own code checks, its Validate methods and the inside of
// types that marshal themselves, nobody can check here.
//
// A column whose type has itself inside can be read, but not set. Errors:
// [fs.ErrNotExist] if there is no file, and those of [Open].
func OpenFile(path string, opts *Options) (*DB, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("userdata: open %s: %w", path, pathless(err))
	}
	store, err := OpenBolt(path, opts)
	if err != nil {
		return nil, err
	}
	return orClose(store, func() (*DB, error) { return OpenRows(context.Background(), store, opts) })
}

// OpenRows does what [OpenFile] does on a store that is open already, as
// [OpenStore] does.
func OpenRows(ctx context.Context, store Store, opts *Options) (*DB, error) {
	var own Options
	if opts != nil {
		own = *opts
	}
	own.Migrations = nil // those are the program's whose file it is
	var tables []Mapped
	err := store.View(ctx, func(snap Snapshot) error {
		if _, err := checkFormat(snap); err != nil {
			return err
		}
		var faults []error
		err := scanInternal(snap, schemaTable, func(s *TableSchema) {
			t, err := rowTableOf(*s)
			faults = append(faults, err)
			tables = append(tables, t)
		})
		return errors.Join(append(faults, err)...)
	})
	if err != nil {
		return nil, err
	}
	return OpenStore(ctx, store, &own, tables...)
}

// rowTableOf makes a table from its schema.
func rowTableOf(s TableSchema) (*RowTable, error) {
	fields := make([]reflect.StructField, len(s.Columns))
	for i, c := range s.Columns {
		t, err := typeNamed(c.Type)
		switch {
		case errors.Is(err, errInsideItself):
			t = rawColumnType
		case err != nil:
			return nil, fmt.Errorf("userdata: table %s, column %s: %w", s.Name, c.Name, err)
		case c.Nullable:
			t = reflect.PointerTo(t)
		}
		fields[i] = dynamicField(i, t, columnTag(c, s.Indexes))
	}
	rt, err := newRecordType(reflect.StructOf(append(fields, distinction(s.Name))))
	if err != nil {
		return nil, fmt.Errorf("userdata: table %s: %w", s.Name, err)
	}
	for i, c := range rt.columns {
		if c.codec.typ == rawColumnType {
			c.makeRaw(s.Columns[i])
			rt.plain = false
		}
	}
	t := newTable(s.Name, rt)
	if d := diffTable(s, t); !d.empty() {
		return nil, fmt.Errorf("userdata: table %s: %w: its schema is not understood: %s", s.Name, ErrSchema, strings.Join(append(d.taken, d.refusals()...), "; "))
	}
	return &RowTable{t}, nil
}

// distinction is a field that takes no room and is not stored: two tables of equal
// columns have two types by it.
func distinction(table string) reflect.StructField {
	return reflect.StructField{Name: "Table", Type: reflect.TypeFor[struct{}](), Tag: reflect.StructTag(`userdata:"-" table:` + fmt.Sprintf("%q", table))}
}

// columnTag returns the tag that declares a column.
func columnTag(c ColumnSchema, indexes []IndexSchema) string {
	words := []string{c.Name}
	if c.Key {
		words = append(words, "key")
	}
	if c.Size != 0 {
		words = append(words, fmt.Sprintf("size=%d", c.Size))
	}
	for _, x := range indexes {
		word := "index"
		if x.Unique {
			word = "unique"
		}
		if i := slices.Index(x.Columns, c.Name); i >= 0 {
			words = append(words, fmt.Sprintf("%s=%s:%d", word, x.Name, i+1))
		}
	}
	return strings.Join(words, ",")
}

// Rows returns the table of that name for work without its Go type. [ErrInvalid]
// if the database has none.
func (db *DB) Rows(table string) (*RowTable, error) {
	t := db.tables[table]
	if t == nil {
		return nil, fmt.Errorf("userdata: table %q: %w", table, invalidf("the database has no such table"))
	}
	return &RowTable{t}, nil
}

// Name returns the table's name.
func (t *RowTable) Name() string { return t.table.name }

// Columns returns the table's columns, in the order of the program's struct.
func (t *RowTable) Columns() []ColumnSchema { return t.table.schema().Columns }

// Schema describes the table.
func (t *RowTable) Schema() TableSchema { return t.table.schema() }

func (t *RowTable) mapped() (*table, error) { return t.table, nil }

// New returns a row that is not in a session yet, with zero values: fill it in and
// give its Record to [Session.Add].
func (t *RowTable) New() *Row { return &Row{t.table, t.table.newRecord()} }

// Get returns the row under the key, as [Table.Get] returns a record. The key may
// also be the text of one, as [Row.SetText] takes it.
func (t *RowTable) Get(ctx context.Context, s *Session, key any) (*Row, error) {
	if err := s.enter("get"); err != nil {
		return nil, err
	}
	defer s.leave()
	if s.db.tables[t.table.name] != t.table {
		return nil, &RecordError{Op: "get", Table: t.table.name, Err: errOtherDatabase}
	}
	encoded, err := t.key(key)
	if err != nil {
		return nil, &RecordError{Op: "get", Table: t.table.name, Err: err}
	}
	e, err := s.get(ctx, t.table, encoded)
	if err == nil && e == nil {
		err = &RecordError{Op: "get", Table: t.table.name, Key: key, Err: ErrNotFound}
	}
	if err != nil {
		return nil, err
	}
	return &Row{t.table, s.show(e)}, nil
}

// key encodes a key that a caller hands in.
func (t *RowTable) key(key any) ([]byte, error) {
	v := reflect.New(t.table.key.codec.typ).Elem()
	if err := setValue(v, key); err != nil {
		return nil, err
	}
	return t.table.keyFrom(nil, v.Interface())
}

// setValue sets v to a value as [Row.Set] takes it, or to what a text stands for,
// as [Row.SetText] takes it.
func setValue(v reflect.Value, value any) error {
	err := setPlain(v, value)
	if text, isText := value.(string); isText && err != nil {
		v.SetZero()
		if err := parseLiteral(v, text); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		return nil
	}
	return err
}

// All returns the rows in the order of their keys, those after the given key if it
// is not nil, at most limit of them if it is not negative. It does what
// [Query.Rows] does.
func (t *RowTable) All(ctx context.Context, s *Session, after any, limit int) iter.Seq2[*Row, error] {
	q := t.Select(s)
	q.q.limit = limit
	if after != nil {
		key, err := t.key(after)
		if err != nil && q.q.err == nil {
			q.q.err = q.q.fault("rows", err)
		}
		q.q.after = &candidate{key: key}
	}
	return q.Rows(ctx)
}

// A Row is a record whose type is not known when the program is compiled. It
// shares its record with the session that it is from. It is not safe for
// concurrent use.
type Row struct {
	table *table
	ptr   unsafe.Pointer
}

// Record returns the record itself, a pointer to a struct, which [Session.Add] and
// [Session.Delete] take.
func (r *Row) Record() any { return r.table.interfaceTo(r.ptr) }

// An Entry is a column and its value, a field of a struct inside a column, or an
// entry of a map in one.
type Entry struct{ Key, Value any }

// Values returns the columns in order, the names being the keys. Of values: null is
// nil; text and bytes of types that marshal themselves are string and []byte; slices
// and arrays are []any, structs and maps are []Entry; all others are what Go has
// for them. They are copies.
func (r *Row) Values() []Entry {
	out := make([]Entry, len(r.table.columns))
	for i, c := range r.table.columns {
		out[i] = Entry{c.name, plainValue(r.at(c))}
	}
	return out
}

// at returns a column's value, which can be set.
func (r *Row) at(c *column) reflect.Value { return reflect.NewAt(c.codec.typ, c.at(r.ptr)).Elem() }

// column returns the column of that name.
func (r *Row) column(name string) (*column, error) {
	c, err := r.table.columnNamed(name)
	if err != nil {
		return nil, &RecordError{Table: r.table.name, Column: name, Err: err}
	}
	return c, nil
}

// Get returns the value of a column, as Values has it. [ErrInvalid] if there is no
// such column.
func (r *Row) Get(column string) (any, error) {
	c, err := r.column(column)
	if err != nil {
		return nil, err
	}
	return plainValue(r.at(c)), nil
}

// Set sets a column to a value of the kind that Get returns; numbers of any type
// will do if they fit. As with a struct's field, the session finds the change when
// it commits. [ErrInvalid] if there is no such column, or it can't have the value.
func (r *Row) Set(column string, value any) error {
	c, err := r.column(column)
	if err != nil {
		return err
	}
	v := reflect.New(c.codec.typ).Elem()
	if err := setPlain(v, value); err != nil {
		return &RecordError{Op: "set", Table: r.table.name, Column: column, Err: err}
	}
	r.at(c).Set(v)
	return nil
}

// SetText sets a column to what a text stands for, as in the tag word default=:
// "true", "1.5", "2026-10-12T19:58:00Z". It is for single values: not for structs,
// slices, arrays and maps. [ErrInvalid] if the text is no value of the column's.
func (r *Row) SetText(column, text string) error {
	c, err := r.column(column)
	if err != nil {
		return err
	}
	v := reflect.New(c.codec.typ).Elem()
	if err := parseLiteral(v, text); err != nil {
		return &RecordError{Op: "set", Table: r.table.name, Column: column, Err: fmt.Errorf("%w: %w", ErrInvalid, err)}
	}
	r.at(c).Set(v)
	return nil
}
