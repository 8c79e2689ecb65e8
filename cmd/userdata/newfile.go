package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed-5df914be/userdata"
)

// newFile makes a file of records at a path that is free: fill fills it under another
// name, and it takes its own when it is complete. If fill fails there is no file.
func newFile(ctx context.Context, path string, opts *userdata.Options, fill func(ctx context.Context, db *userdata.DB) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	tmp := f.Name()
	defer os.Remove(tmp) // in vain once it has another name
	if err := f.Close(); err != nil {
		return err
	}
	db, err := userdata.Open(tmp, opts)
	if err != nil {
		return err
	}
	if err := errors.Join(fill(ctx, db), db.Close()); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o600); err != nil {
		return err
	}
	return publishNew(tmp, path)
}

// publishNew gives a file its name, unless another has it.
func publishNew(tmp, path string) error {
	err := os.Link(tmp, path)
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s: %w", printable(path), fs.ErrExist)
	case err == nil:
		syncFolder(path)
		return nil
	}
	if _, err := os.Lstat(path); err == nil { // a file system without hard links
		return fmt.Errorf("%s: %w", printable(path), fs.ErrExist)
	}
	return rename(tmp, path)
}

// rename gives a file another name, which a loss of power does not take from it.
func rename(from, to string) error {
	err := os.Rename(from, to)
	if err == nil {
		syncFolder(to)
	}
	return err
}

// syncFolder brings the names in a file's folder to the disk, where a system can be
// asked to.
func syncFolder(path string) {
	if d, err := os.Open(filepath.Dir(path)); err == nil {
		_ = d.Sync() // some systems can't, and need not be asked
		d.Close()
	}
}

// writeFile writes a file at a path: write writes it under another name, and it takes
// its own when it is complete. If write fails the path is as it was.
func writeFile(path string, force bool, write func(f *os.File) error) (err error) {
	if !force && fileExists(path) {
		return fmt.Errorf("there is a file %s already: --force replaces it: %w", printable(path), fs.ErrExist)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // in vain once it has another name
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if force {
		return rename(f.Name(), path)
	}
	return publishNew(f.Name(), path)
}
