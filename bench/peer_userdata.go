package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/seed-5df914be/userdata"
)

var userdataPeer = &peer{
	name: subject, title: "userdata", modules: []string{"github.com/seed-5df914be/userdata"},
	how: `Open with nil options. A get is NewSession, Table.Get and Close; a scan is Rows of an untracked query in a session of its own,
a filter and a page are All; a commit of new records is Add and Commit in a new session; a change is Transact with Get and an assignment.`,
	open: openUserdata,
}

// The table of notes, and the columns that queries name.
var (
	notesTable  = userdata.NewTable[Note]("notes")
	noteUpdated = userdata.ColumnOf(func(n *Note) *time.Time { return &n.Updated })
	noteCount   = userdata.ColumnOf(func(n *Note) *int64 { return &n.Count })
)

// A userdataDB is a database of this package.
type userdataDB struct{ db *userdata.DB }

func openUserdata(_ context.Context, dir string) (database, error) {
	db, err := userdata.Open(filepath.Join(dir, "notes.db"), nil, notesTable)
	if err != nil {
		return nil, err
	}
	return &userdataDB{db}, nil
}

func (d *userdataDB) close() error { return d.db.Close() }

func (d *userdataDB) insert(ctx context.Context, notes []*Note) error {
	s := d.db.NewSession()
	defer s.Close()
	records := make([]any, len(notes))
	for i, n := range notes {
		records[i] = n
	}
	return errors.Join(s.Add(records...), s.Commit(ctx))
}

func (d *userdataDB) get(ctx context.Context, key string) (*Note, error) {
	s := d.db.NewSession()
	defer s.Close()
	return notesTable.Get(ctx, s, key)
}

func (d *userdataDB) scan(ctx context.Context, fn func(*Note)) error {
	s := d.db.NewSession()
	defer s.Close()
	for n, err := range notesTable.Select(s).Untracked().Rows(ctx) {
		if err != nil {
			return err
		}
		fn(n)
	}
	return nil
}

func (d *userdataDB) scanTracked(ctx context.Context, fn func(*Note)) error {
	s := d.db.NewSession()
	defer s.Close()
	return passEach(notesTable.Select(s).All(ctx))(fn)
}

func (d *userdataDB) between(ctx context.Context, from, to time.Time, fn func(*Note)) error {
	s := d.db.NewSession()
	defer s.Close()
	return passEach(notesTable.Select(s).Where(noteUpdated.Ge(from), noteUpdated.Lt(to)).OrderBy(noteUpdated.Asc()).All(ctx))(fn)
}

func (d *userdataDB) below(ctx context.Context, limit int64, fn func(*Note)) error {
	s := d.db.NewSession()
	defer s.Close()
	return passEach(notesTable.Select(s).Where(noteCount.Lt(limit)).All(ctx))(fn)
}

// passEach passes what a query returned to a function, one by one.
func passEach(notes []*Note, err error) func(fn func(*Note)) error {
	return func(fn func(*Note)) error {
		for _, n := range notes {
			fn(n)
		}
		return err
	}
}

func (d *userdataDB) change(ctx context.Context, keys []string) error {
	return d.db.Transact(ctx, func(s *userdata.Session) error {
		for _, key := range keys {
			n, err := notesTable.Get(ctx, s, key)
			if err != nil {
				return err
			}
			n.Count++
		}
		return nil
	})
}

func (d *userdataDB) session() (get func(ctx context.Context, key string) (*Note, error), end func()) {
	s := d.db.NewSession()
	return func(ctx context.Context, key string) (*Note, error) { return notesTable.Get(ctx, s, key) }, func() { s.Close() }
}

func (d *userdataDB) track(ctx context.Context, keys []string) (get func(key string) (*Note, error), flush func() error, end func(), err error) {
	s := d.db.NewSession()
	for _, key := range keys {
		if _, err := notesTable.Get(ctx, s, key); err != nil {
			s.Close()
			return nil, nil, nil, err
		}
	}
	get = func(key string) (*Note, error) { return notesTable.Get(ctx, s, key) }
	return get, func() error { return s.Flush(ctx) }, func() { s.Close() }, nil
}
