package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/seed-5df914be/userdata"
)

// noFile is the error if a file is not there.
type noFile string

func (path noFile) Error() string {
	return fmt.Sprintf("there is no file %s: 'put' makes one, --db names another", printable(string(path)))
}

// open opens the file, with all of its tables, in turn with others that do so.
func (a *app) open(cmd *cobra.Command, opts *userdata.Options) (*userdata.DB, error) {
	db, err := userdata.OpenFile(a.path, opts)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noFile(a.path)
	}
	return db, err
}

// read runs fn on the file, which is opened for reading, beside programs that share
// it.
func (a *app) read(cmd *cobra.Command, fn func(ctx context.Context, db *userdata.DB) error) error {
	opts := a.options(cmd, true)
	opts.Shared = true
	db, err := a.open(cmd, opts)
	if err != nil {
		return err
	}
	defer db.Close()
	return withHint(db, fn(cmd.Context(), db))
}

// withHint adds what to try to an error about a key that is the name of a table:
// someone has forgotten the key.
func withHint(db *userdata.DB, err error) error {
	var missing noRecord
	if errors.As(err, &missing) && slices.Contains(tableNames(db.Schema()), missing.key) {
		return fmt.Errorf("%w\n%s is a table: name a key of it too", err, missing.key)
	}
	return err
}

// readTable runs fn with a session on the file, and one of its tables.
func (a *app) readTable(cmd *cobra.Command, name string, fn func(ctx context.Context, s *userdata.Session, t *userdata.RowTable) error) error {
	return a.read(cmd, func(ctx context.Context, db *userdata.DB) error {
		t, err := tableNamed(db, name)
		if err != nil {
			return err
		}
		s := db.NewSession()
		defer s.Close()
		return fn(ctx, s, t)
	})
}

// write runs fn on the file, which is opened for writing, beside programs that
// share it.
func (a *app) write(cmd *cobra.Command, fn func(ctx context.Context, db *userdata.DB) error) error {
	opts := a.options(cmd, false)
	opts.Shared = true
	db, err := a.open(cmd, opts)
	if err != nil {
		return err
	}
	return errors.Join(withHint(db, fn(cmd.Context(), db)), db.Close())
}

// writeTable runs fn in a transaction on the file, with one of its tables.
func (a *app) writeTable(cmd *cobra.Command, name string, fn func(ctx context.Context, s *userdata.Session, t *userdata.RowTable) error) error {
	return a.write(cmd, func(ctx context.Context, db *userdata.DB) error {
		t, err := tableNamed(db, name)
		if err != nil {
			return err
		}
		stop := func() {}
		defer func() { stop() }()
		return db.Transact(ctx, func(s *userdata.Session) error {
			stop() // it may have been begun anew
			err := fn(ctx, s, t)
			if err == nil {
				stop = busy(cmd, "write", t.Name())
			}
			return err
		})
	})
}

// withStore runs fn on the store in the file, which is opened alone, for what only
// a store can do.
func (a *app) withStore(cmd *cobra.Command, opts *userdata.Options, fn func(ctx context.Context, s *userdata.BoltStore) error) error {
	if _, err := os.Stat(a.path); errors.Is(err, fs.ErrNotExist) {
		return noFile(a.path)
	}
	s, err := userdata.OpenBolt(a.path, opts)
	if err != nil {
		return err
	}
	return errors.Join(fn(cmd.Context(), s), s.Close())
}

// noTable is the error if the file has no table of a name.
type noTable struct {
	message string
	empty   bool // it has no tables at all
}

func (e noTable) Error() string { return e.message }

// tableNamed returns the table of a name. Without a name it is the ready-made one,
// or else the only one that the file has.
func tableNamed(db *userdata.DB, name string) (*userdata.RowTable, error) {
	names := tableNames(db.Schema())
	for _, n := range names {
		if n == name || name == "" && (n == table.Name() || len(names) == 1) {
			return db.Rows(n)
		}
	}
	switch {
	case len(names) == 0:
		return nil, noTable{"the file has no tables yet: 'put ID DATA' makes one, 'import --create' others", true}
	case name == "":
		return nil, usageError{fmt.Errorf("the file has several tables: name one of them%s", didYouMean("", names))}
	}
	return nil, noTable{message: fmt.Sprintf("there is no table %q%s", name, didYouMean(name, names))}
}

// tableNames returns the names of a schema's tables.
func tableNames(s userdata.Schema) []string {
	names := make([]string, len(s.Tables))
	for i, t := range s.Tables {
		names[i] = t.Name
	}
	return names
}

// noRecord is the error for a key that has no record.
type noRecord struct {
	table string
	key   string
}

func (e noRecord) Error() string {
	if e.table == table.Name() {
		return fmt.Sprintf("The user '%s' does not exist.", printable(e.key))
	}
	return fmt.Sprintf("%s has no record %s", e.table, printable(e.key))
}

// rowOf returns the row that has a key, which is given as text.
func rowOf(ctx context.Context, s *userdata.Session, t *userdata.RowTable, key string) (*userdata.Row, error) {
	value, err := keyOf(t, key)
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", t.Name(), err)}
	}
	row, err := t.Get(ctx, s, value)
	if errors.Is(err, userdata.ErrNotFound) {
		return nil, noRecord{t.Name(), key}
	}
	return row, err
}

// keyOf returns the key that a text stands for: text and what the columns of a
// record are set to, times also in local time, bytes in base64.
func keyOf(t *userdata.RowTable, text string) (any, error) {
	r := newColumnTypes(t)
	return r.textValue(keyColumn(t).Name, text)
}

// keyColumn returns the column that is the table's key.
func keyColumn(t *userdata.RowTable) userdata.ColumnSchema {
	for _, c := range t.Columns() {
		if c.Key {
			return c
		}
	}
	return userdata.ColumnSchema{}
}

// keyText returns a row's key as keyOf takes it.
func keyText(t *userdata.RowTable, row *userdata.Row) string {
	v, err := row.Get(keyColumn(t).Name)
	if err != nil {
		return ""
	}
	return plainCell(v)
}
