//go:build linux && (amd64 || arm64)

package userdata_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata"
	"github.com/seed-5df914be/userdata/internal/pages"
)

// The names of the database and its backup in the folder of a crash test.
const (
	dbName     = "test.db"
	backupName = "backup.db"
)

// A records is the whole contents of a store: bucket, a slash and key, to value.
type records map[string]string

// An engine is a way to keep records in a file, whose crashes are tested.
type engine struct {
	name string
	open func(path string) (engineStore, error)
}

// An engineStore is an open file of an engine.
type engineStore interface {
	apply(changes []userdata.Change) error
	read() (records, error)
	Close() error
}

// structure checks the structure of the file at path, with these bytes, in the state
// that the engine would choose.
func (e engine) structure(path string, b []byte) (pages.Report, error) {
	if e.name == bboltEngine.name {
		return pages.Check(bytes.NewReader(b), int64(len(b)))
	}
	slot, err := userdata.StateOf(path)
	if err != nil {
		return pages.Report{}, err
	}
	return pages.CheckMeta(bytes.NewReader(b), int64(len(b)), slot)
}

// storeEngine is BoltStore.
var storeEngine = engine{"BoltStore", func(path string) (engineStore, error) {
	s, err := userdata.OpenBolt(path, nil)
	if err != nil {
		return nil, err
	}
	return boltStoreFile{s}, nil
}}

// bboltEngine is bbolt alone, whose losses are known: they show that the tests can
// see them.
var bboltEngine = engine{"bbolt", func(path string) (engineStore, error) {
	if err := checkPages(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err // bbolt might end the process
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistArrayType})
	if err != nil {
		return nil, err
	}
	db.AllocSize = 64 << 10
	return bboltFile{db}, nil
}}

// guarded calls fn and returns a fault or a panic of it as an error.
func guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return fn()
}

// A boltStoreFile is an open BoltStore.
type boltStoreFile struct{ *userdata.BoltStore }

func (f boltStoreFile) apply(changes []userdata.Change) error {
	return f.Apply(context.Background(), &userdata.ChangeSet{Changes: changes})
}

func (f boltStoreFile) read() (records, error) {
	all := records{}
	err := f.View(context.Background(), func(snap userdata.Snapshot) error {
		names, err := snap.Buckets()
		for _, name := range names {
			err = errors.Join(err, snap.Scan(name, userdata.Range{}, func(k, v []byte) bool {
				all[name+"/"+string(k)] = string(v)
				return true
			}))
		}
		return err
	})
	return all, err
}

// A bboltFile is a file that bbolt has open.
type bboltFile struct{ *bbolt.DB }

func (f bboltFile) apply(changes []userdata.Change) error {
	return f.Update(func(tx *bbolt.Tx) error {
		for _, ch := range changes {
			b, err := tx.CreateBucketIfNotExists([]byte(ch.Bucket))
			if err != nil {
				return err
			}
			if ch.Value == nil {
				err = b.Delete(ch.Key)
			} else {
				err = b.Put(ch.Key, ch.Value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (f bboltFile) read() (records, error) {
	all := records{}
	err := f.DB.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				all[string(name)+"/"+string(k)] = string(v)
				return nil
			})
		})
	})
	return all, err
}
