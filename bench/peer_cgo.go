//go:build cgo

package main

import (
	"context"
	"errors"
	"time"

	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// sqliteOptions are what mattn's driver is opened with.
const sqliteOptions = "?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=10000&_txlock=immediate"

var mattnPeer = &peer{
	name: "mattn", title: "mattn/go-sqlite3", modules: []string{"github.com/mattn/go-sqlite3"}, how: howSQL,
	open: func(ctx context.Context, dir string) (database, error) {
		return openSQL(ctx, "sqlite3", "file:"+sqlFile(dir)+sqliteOptions)
	},
}

var gormPeer = &peer{
	name: "gorm", title: "GORM on mattn/go-sqlite3", modules: []string{"gorm.io/gorm", "gorm.io/driver/sqlite"},
	how: `The same driver and modes as mattn/go-sqlite3, AutoMigrate's table, PrepareStmt, no logger. First, Create, CreateInBatches of 500 in a transaction, Find, FindInBatches of 1,000
for a scan, and First and Save in a transaction for a change. Its times are text.`,
	open: openGorm,
}

// A gormDB is a GORM database.
type gormDB struct{ db *gorm.DB }

func openGorm(ctx context.Context, dir string) (database, error) {
	db, err := gorm.Open(sqlite.Open("file:"+sqlFile(dir)+sqliteOptions), &gorm.Config{Logger: logger.Discard, PrepareStmt: true})
	if err != nil {
		return nil, err
	}
	d := &gormDB{db}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(1)
	if err := errors.Join(checkSQL(ctx, pool), db.WithContext(ctx).AutoMigrate(&Note{})); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *gormDB) close() error {
	pool, err := d.db.DB()
	if err != nil {
		return err
	}
	return pool.Close()
}

func (d *gormDB) insert(ctx context.Context, notes []*Note) error {
	if len(notes) == 1 {
		return d.db.WithContext(ctx).Create(notes[0]).Error
	}
	return d.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error { return tx.CreateInBatches(notes, 500).Error })
}

func (d *gormDB) get(ctx context.Context, key string) (*Note, error) {
	n := &Note{}
	return n, d.db.WithContext(ctx).First(n, "id = ?", key).Error
}

func (d *gormDB) scan(ctx context.Context, fn func(*Note)) error {
	var notes []Note
	return d.db.WithContext(ctx).FindInBatches(&notes, 1000, func(*gorm.DB, int) error {
		for i := range notes {
			fn(&notes[i])
		}
		return nil
	}).Error
}

// find runs a query and passes what it finds on.
func (d *gormDB) find(query *gorm.DB, fn func(*Note)) error {
	var notes []Note
	err := query.Find(&notes).Error
	for i := range notes {
		fn(&notes[i])
	}
	return err
}

func (d *gormDB) between(ctx context.Context, from, to time.Time, fn func(*Note)) error {
	return d.find(d.db.WithContext(ctx).Where("updated >= ? AND updated < ?", from, to).Order("updated"), fn)
}

func (d *gormDB) below(ctx context.Context, limit int64, fn func(*Note)) error {
	return d.find(d.db.WithContext(ctx).Where("count < ?", limit), fn)
}

func (d *gormDB) change(ctx context.Context, keys []string) error {
	return d.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		for _, key := range keys {
			n := &Note{}
			if err := tx.First(n, "id = ?", key).Error; err != nil {
				return err
			}
			n.Count++
			if err := tx.Save(n).Error; err != nil {
				return err
			}
		}
		return nil
	})
}
