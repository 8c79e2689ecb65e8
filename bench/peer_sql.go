package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// howSQL is how both SQLite drivers are used.
const howSQL = `database/sql with one connection, WAL mode, synchronous=FULL (both are asked for and checked when it is opened), prepared statements for every
operation, the time as an integer of nanoseconds, a table WITHOUT ROWID, and an index. A change is a transaction of SELECT and UPDATE by key.`

var moderncPeer = &peer{
	name: "modernc", title: "modernc.org/sqlite", modules: []string{"modernc.org/sqlite"}, how: howSQL,
	open: func(ctx context.Context, dir string) (database, error) {
		return openSQL(ctx, "sqlite", "file:"+sqlFile(dir)+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)&_txlock=immediate")
	},
}

// sqlFile returns the file of a folder, as a URI has it.
func sqlFile(dir string) string { return filepath.ToSlash(filepath.Join(dir, "notes.db")) }

// A sqlDB is a SQLite database, and its prepared statements.
type sqlDB struct {
	db                                        *sql.DB
	insertOne, getOne, all, page, few, update *sql.Stmt
}

// sqlColumns are the columns in the order of scanNote.
const sqlColumns = "SELECT id, text, updated, count FROM notes"

func openSQL(ctx context.Context, driver, dsn string) (database, error) {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	d := &sqlDB{db: db}
	if err := d.prepare(ctx); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// prepare makes the table, checks that it is as durable as others, and prepares
// the statements.
func (d *sqlDB) prepare(ctx context.Context) error {
	if err := checkSQL(ctx, d.db); err != nil {
		return err
	}
	for _, statement := range []string{
		"CREATE TABLE IF NOT EXISTS notes (id TEXT PRIMARY KEY, text TEXT NOT NULL, updated INTEGER NOT NULL, count INTEGER NOT NULL) WITHOUT ROWID",
		"CREATE INDEX IF NOT EXISTS notes_updated ON notes (updated)",
	} {
		if _, err := d.db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	for statement, text := range map[**sql.Stmt]string{
		&d.insertOne: "INSERT INTO notes (id, text, updated, count) VALUES (?, ?, ?, ?)",
		&d.getOne:    sqlColumns + " WHERE id = ?",
		&d.all:       sqlColumns,
		&d.page:      sqlColumns + " WHERE updated >= ? AND updated < ? ORDER BY updated",
		&d.few:       sqlColumns + " WHERE count < ?",
		&d.update:    "UPDATE notes SET text = ?, updated = ?, count = ? WHERE id = ?",
	} {
		var err error
		if *statement, err = d.db.PrepareContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// checkSQL makes sure that commits are synced, and to a log.
func checkSQL(ctx context.Context, db *sql.DB) error {
	var mode string
	var synchronous int
	err := errors.Join(
		db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode),
		db.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&synchronous))
	if err == nil && (mode != "wal" || synchronous != 2) {
		err = fmt.Errorf("journal_mode is %s and synchronous %d, want wal and 2", mode, synchronous)
	}
	return err
}

func (d *sqlDB) close() error { return d.db.Close() }

// write runs a function in a transaction.
func (d *sqlDB) write(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func (d *sqlDB) insert(ctx context.Context, notes []*Note) error {
	if len(notes) == 1 { // a statement is a transaction
		return insertNote(ctx, d.insertOne, notes[0])
	}
	return d.write(ctx, func(tx *sql.Tx) error {
		insert := tx.StmtContext(ctx, d.insertOne)
		for _, n := range notes {
			if err := insertNote(ctx, insert, n); err != nil {
				return err
			}
		}
		return nil
	})
}

func insertNote(ctx context.Context, insert *sql.Stmt, n *Note) error {
	_, err := insert.ExecContext(ctx, n.ID, n.Text, n.Updated.UnixNano(), n.Count)
	return err
}

// scanNote reads the columns of sqlColumns.
func scanNote(row interface{ Scan(...any) error }) (*Note, error) {
	n := &Note{}
	var updated int64
	err := row.Scan(&n.ID, &n.Text, &updated, &n.Count)
	n.Updated = time.Unix(0, updated).UTC()
	return n, err
}

func (d *sqlDB) get(ctx context.Context, key string) (*Note, error) {
	return scanNote(d.getOne.QueryRowContext(ctx, key))
}

// query runs a statement and passes what it finds on.
func (d *sqlDB) query(ctx context.Context, statement *sql.Stmt, fn func(*Note), args ...any) error {
	rows, err := statement.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		n, err := scanNote(rows)
		if err != nil {
			return err
		}
		fn(n)
	}
	return rows.Err()
}

func (d *sqlDB) scan(ctx context.Context, fn func(*Note)) error { return d.query(ctx, d.all, fn) }

func (d *sqlDB) between(ctx context.Context, from, to time.Time, fn func(*Note)) error {
	return d.query(ctx, d.page, fn, from.UnixNano(), to.UnixNano())
}

func (d *sqlDB) below(ctx context.Context, limit int64, fn func(*Note)) error {
	return d.query(ctx, d.few, fn, limit)
}

func (d *sqlDB) change(ctx context.Context, keys []string) error {
	return d.write(ctx, func(tx *sql.Tx) error {
		get, update := tx.StmtContext(ctx, d.getOne), tx.StmtContext(ctx, d.update)
		for _, key := range keys {
			n, err := scanNote(get.QueryRowContext(ctx, key))
			if err != nil {
				return err
			}
			n.Count++
			if _, err := update.ExecContext(ctx, n.Text, n.Updated.UnixNano(), n.Count, n.ID); err != nil {
				return err
			}
		}
		return nil
	})
}
