package userdata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// maxBackups bounds the search for a free name.
const maxBackups = 1000

// backUp keeps a copy of the store's file as it is before a migration, if it is
// in a file: "notes.db.before-NAME" beside it, or with a number if there is one
// from an attempt that was cut short. undo removes it.
func backUp(ctx context.Context, store Store, migration string) (undo func() error, err error) {
	s, ok := store.(*BoltStore)
	if !ok {
		return func() error { return nil }, nil
	}
	path := s.path + ".before-" + migration
	for n := 2; ; n++ {
		err := s.copyTo(ctx, path)
		if err == nil {
			return func() error { return os.Remove(path) }, nil
		}
		if !errors.Is(err, fs.ErrExist) || n > maxBackups {
			return nil, fmt.Errorf("userdata: open: copy to %s: %w", path, err)
		}
		path = fmt.Sprintf("%s.before-%s-%d", s.path, migration, n)
	}
}

// copyTo writes the store as it is to a new file, which is there in whole or not
// at all, also after a power cut. The error is [fs.ErrExist] if there is one.
func (s *BoltStore) copyTo(ctx context.Context, path string) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".userdata-copy-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if closed := f.Close(); !errors.Is(closed, fs.ErrClosed) {
			err = errors.Join(err, closed)
		}
		if removed := os.Remove(f.Name()); !errors.Is(removed, fs.ErrNotExist) {
			err = errors.Join(err, removed)
		}
	}()
	err = s.View(ctx, func(snap Snapshot) error {
		_, err := snap.(*boltSnapshot).tx.WriteTo(f)
		return err
	})
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err == nil {
		err = publish(f.Name(), path)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	return err
}

// publish gives a finished file its name, which must be free. A link does not
// replace what is there, as a rename does; where there are no links, nobody
// else makes a file of that name between the look and the rename.
func publish(from, path string) error {
	err := os.Link(from, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist
	}
	return os.Rename(from, path)
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(ignoreUnsupported(err), d.Close())
}

// ignoreUnsupported passes over the error of systems that can't sync a folder.
func ignoreUnsupported(err error) error {
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrInvalid) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}
