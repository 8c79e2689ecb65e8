package userdata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

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
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			break
		}
		path = fmt.Sprintf("%s.before-%s-%d", s.path, migration, n)
	}
	if err := s.Backup(ctx, path); err != nil {
		return nil, err
	}
	return func() error { return os.Remove(path) }, nil
}
