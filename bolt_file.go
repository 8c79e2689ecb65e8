package userdata

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata/internal/pages"
)

const (
	// fileMode lets only the owner see the records.
	fileMode fs.FileMode = 0o600

	// Between attempts to get a lock the waiting time grows from lockWait to
	// lockMaxWait.
	lockWait    = time.Millisecond
	lockMaxWait = 20 * time.Millisecond
)

// openLocked opens the file at path and locks it, for itself alone if it is to
// be written. A file that is missing or empty is created, if it may be written.
// Who waited for the lock may have got that of a file which has been replaced
// meanwhile, by Compact for one: then it begins again.
func openLocked(path string, readOnly bool, timeout time.Duration) (*os.File, error) {
	deadline := time.Now().Add(timeout)
	for {
		f, err := openFile(path, readOnly)
		if err != nil {
			return nil, err
		}
		if err := lockUntil(f, !readOnly, deadline); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		info, err := stillAt(f, path)
		if err == nil && info.Size() == 0 {
			err = fillEmpty(f, path, info, readOnly)
		}
		if err == nil {
			return f, nil
		}
		if err := errors.Join(f.Close(), notReplaced(err)); err != nil {
			return nil, err
		}
	}
}

// errReplaced says that a path no longer leads to an open file.
var errReplaced = errors.New("the file was moved, removed or replaced while it was open")

// notReplaced returns nil for an error that is errReplaced.
func notReplaced(err error) error {
	if errors.Is(err, errReplaced) {
		return nil
	}
	return err
}

// stillAt makes sure that path leads to the open file.
func stillAt(f *os.File, path string) (fs.FileInfo, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, pathless(err)
	}
	if at, err := os.Lstat(path); err != nil || !os.SameFile(info, at) {
		return info, errReplaced
	}
	return info, nil
}

// stillNamedByStat is stillNamed by means that every system has.
func stillNamedByStat(f *os.File, path string) (size int64, err error) {
	info, err := stillAt(f, path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// openFile opens the regular file at path, and creates it first if it is missing
// and may be written. What else may be at a path is refused.
func openFile(path string, readOnly bool) (*os.File, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) && !readOnly {
		if err := createFile(path); err != nil {
			return nil, err
		}
		info, err = os.Lstat(path)
	}
	switch {
	case err != nil:
		return nil, pathless(err)
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, invalidf("a symbolic link, which is not followed: open the file that it leads to")
	case info.IsDir():
		return nil, invalidf("a directory")
	case !info.Mode().IsRegular():
		return nil, invalidf("not a regular file")
	}
	flag := os.O_RDWR
	if readOnly {
		flag = os.O_RDONLY
	}
	f, err := os.OpenFile(path, flag|openFlags, 0)
	return f, pathless(err)
}

// lockUntil locks the file, for itself alone or beside others that do not. Its
// error is ErrLocked at the deadline, with what is known of the holder.
func lockUntil(f *os.File, alone bool, deadline time.Time) error {
	for wait := lockWait; ; wait = min(2*wait, lockMaxWait) {
		switch err := tryLock(f, alone); {
		case err == nil:
			return nil
		case !errors.Is(err, errHeld):
			return fmt.Errorf("lock: %w", err)
		case time.Until(deadline) <= 0:
			if who := lockHolder(f); who != "" {
				return fmt.Errorf("%w: %s", ErrLocked, who)
			}
			return ErrLocked
		}
		time.Sleep(min(rand.N(wait)+wait/2, max(time.Until(deadline), 0)))
	}
}

// errHeld says that somebody else holds the lock.
var errHeld = errors.New("lock is held")

// createFile puts a new empty database at path, whole and durable: it is made
// under another name first. If somebody else creates the file meanwhile, theirs
// stays.
func createFile(path string) error {
	tmp, err := newDatabase(path, fileMode)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	if err := publish(tmp, path); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// fillEmpty puts a new database in place of the empty file at path, which is
// locked. The file that is there from then on is another one: errReplaced.
func fillEmpty(f *os.File, path string, info fs.FileInfo, readOnly bool) error {
	if readOnly {
		return corruptf("not a bbolt file: it is empty")
	}
	tmp, err := newDatabase(path, info.Mode().Perm())
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	if err := replaceFile(tmp, path, f); err != nil {
		return err
	}
	return errReplaced
}

// newDatabase writes an empty database to a temporary file in the folder of path,
// syncs it, and returns its name.
func newDatabase(path string, mode fs.FileMode) (tmp string, err error) {
	f, err := tempFile(path)
	if err != nil {
		return "", err
	}
	tmp = f.Name()
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp))
		}
	}()
	db, err := bbolt.Open(tmp, mode, &bbolt.Options{
		OpenFile: func(string, int, fs.FileMode) (*os.File, error) { return f, nil },
		Timeout:  lockWait, // nobody else knows the file
	})
	if err != nil {
		return "", errors.Join(err, f.Close())
	}
	if err := db.Close(); err != nil {
		return "", err
	}
	return tmp, errors.Join(os.Chmod(tmp, mode), syncPath(tmp))
}

// tempFile creates a file beside path, which nobody but the owner can read.
func tempFile(path string) (*os.File, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".new-*")
	return f, pathless(err)
}

// publish gives the synced file tmp the name path too, if that is free, and syncs
// the folder. Its error is fs.ErrExist if it is not.
func publish(tmp, path string) error {
	err := os.Link(tmp, path)
	if err != nil && !errors.Is(err, fs.ErrExist) { // a file system without hard links
		if _, err := os.Lstat(path); err == nil {
			return fs.ErrExist
		}
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return pathless(err)
	}
	return syncFolder(path)
}

// syncPath syncs the file at path.
func syncPath(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return pathless(err)
	}
	return errors.Join(pathless(f.Sync()), f.Close())
}

// pathless takes the path off an error of the file system, for a message that has
// it already.
func pathless(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}

// heal makes durable what the file says: it writes the meta page of the last
// transaction that is whole, and the other one, and syncs. The kernel may show a meta
// page that never reached the disk, after a sync that failed, and after a process that was
// killed between writing and syncing it; a commit on top of it would overwrite
// pages that the disk still refers to. The pages of a commit that was synced with
// its meta page are made durable first. The other meta page is written as it is, so
// that the state before the last commit stays within reach; if there is none in it, or
// one that is not whole, it gets a copy of the first.
//
// That with the number durable is known to be whole. The caller has the file to itself.
func heal(f *os.File, durable uint64) (*fileState, error) {
	st, err := readState(f, durable)
	if err != nil {
		return nil, err
	}
	if err := st.settle(f); err != nil {
		return nil, err
	}
	keep := !st.cutOff() && st.hasBefore() && uint64(st.slot) == st.meta().Txid&1
	txid := st.meta().Txid
	if st.cutOff() {
		txid += 2 // a read may have seen the one between: no other gets its version
	}
	page := make([]byte, st.PageSize)
	for _, slot := range [2]int{st.slot, 1 - st.slot} {
		at := int64(slot) * int64(st.PageSize)
		if slot == st.slot || keep {
			if _, err := f.ReadAt(page, at); err != nil {
				return nil, fmt.Errorf("read meta page %d: %w", slot, pathless(err))
			}
		} else {
			pages.MoveMeta(page, slot)
		}
		if slot == st.slot {
			st.mark(page, txid)
		}
		if _, err := f.WriteAt(page, at); err != nil {
			return nil, fmt.Errorf("write meta page %d: %w", slot, pathless(err))
		}
	}
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("sync meta pages: %w", pathless(err))
	}
	st.Metas[st.slot].Txid = txid
	return st, nil
}

// readMetas reads the meta pages of the file. A file without a sound one is
// ErrCorrupt.
func readMetas(f *os.File) (pages.Report, error) {
	info, err := f.Stat()
	if err != nil {
		return pages.Report{}, pathless(err)
	}
	rep, err := pages.Metas(f, info.Size())
	if err != nil {
		return rep, pathless(err)
	}
	if err := rep.Err(); err != nil {
		return rep, corruptf("not a bbolt file, or a damaged one: %w", err)
	}
	return rep, nil
}
