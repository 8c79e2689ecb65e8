package userdata

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// WriteTo writes a consistent copy of the file to w, as it was when the call began,
// while reads and commits go on. It returns how many bytes were written. The file
// keeps that state until then, as with a View.
//
// Errors: the context's, [ErrClosed], those of w and of reading the file. What was
// written before an error is of no use.
func (s *BoltStore) WriteTo(ctx context.Context, w io.Writer) (n int64, err error) {
	if err := s.calls.enter(); err != nil {
		return 0, err
	}
	defer s.calls.leave()
	p, err := s.beginView(ctx)
	if err == nil {
		defer s.endView(p)
		n, err = p.h.writeTo(&contextWriter{ctx: ctx, w: w})
	}
	if err != nil {
		return n, fmt.Errorf("userdata: backup: %w", err)
	}
	return n, nil
}

// writeTo writes the file as a read transaction sees it.
func (h *boltHandle) writeTo(w *contextWriter) (n int64, err error) {
	if h.direct != nil {
		p, err := h.begin()
		if err != nil {
			return 0, err
		}
		defer p.end()
		err = p.view(func(Snapshot) (err error) {
			n, err = p.of.writeTo(w)
			return err
		})
		return n, err
	}
	var tx *bbolt.Tx
	if err := h.guard(func() (err error) { tx, err = h.db.Begin(false); return err }); err != nil {
		return 0, err
	}
	defer h.guard(tx.Rollback)
	w.total = tx.Size()
	n, err = tx.WriteTo(w)
	if w.err != nil { // bbolt has only its text
		err = w.err
	}
	return n, err
}

// A contextWriter writes until its context ends, and tells how far it is.
type contextWriter struct {
	ctx         context.Context
	w           io.Writer
	done, total int64
	progress    func(done, total int64) // nil if nobody wants to know
	err         error                   // why writing failed
}

// Write implements io.Writer.
func (w *contextWriter) Write(b []byte) (int, error) {
	if w.err = w.ctx.Err(); w.err != nil {
		return 0, w.err
	}
	n := 0
	n, w.err = w.w.Write(b)
	w.done += int64(n)
	if w.progress != nil {
		w.progress(w.done, w.total)
	}
	return n, w.err
}

// Backup writes a consistent copy of the file to path, as it was when the call
// began, while reads and commits go on. The copy takes its name when it is
// complete, synced and verified: until then, and after an error, what was at path
// before is still there; only if it is the sync of the folder that fails, the last
// thing that is done, may the new one be. It gets mode 0600. Where there is a file already it is
// replaced, unless it is the store's own, which is [ErrInvalid].
//
// Errors besides those of [BoltStore.WriteTo]: [ErrCorrupt] if the copy is damaged,
// which means that the file is.
func (s *BoltStore) Backup(ctx context.Context, path string) error {
	err := s.backup(ctx, path)
	if err != nil {
		return fmt.Errorf("userdata: backup to %s: %w", path, err)
	}
	return nil
}

func (s *BoltStore) backup(ctx context.Context, path string) error {
	if err := s.calls.enter(); err != nil {
		return err
	}
	defer s.calls.leave()
	if err := notOver(s.path, path); err != nil {
		return err
	}
	f, err := tempFile(path)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // in vain once it has another name
	defer f.Close()           // for the second time, unless Options.Progress panics
	if err := s.copyTo(ctx, f); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return pathless(err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return pathless(err)
	}
	return syncFolder(path)
}

// copyTo writes a copy of the file to f, syncs and verifies it.
func (s *BoltStore) copyTo(ctx context.Context, f *os.File) error {
	p, err := s.beginView(ctx)
	if err != nil {
		return err
	}
	err = func() error {
		defer s.endView(p)
		_, err := p.h.writeTo(&contextWriter{ctx: ctx, w: f, progress: s.progress("backup")})
		return err
	}()
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return pathless(err)
	}
	return s.verifyCopy(f)
}

// progress returns a function that tells Options.Progress how much of some work is
// done, or nil if there is nobody to tell.
func (s *BoltStore) progress(what string) func(done, total int64) {
	tell := s.opts.Progress
	if tell == nil {
		return nil
	}
	return func(done, total int64) { tell(what, int(done), int(total)) }
}

// notOver refuses to write over the file at path, or over what is no file.
func notOver(path, target string) error {
	at, err := os.Lstat(target)
	if err != nil {
		return nil // nothing is there, or the attempt to write will tell
	}
	if !at.Mode().IsRegular() {
		return invalidf("not a regular file")
	}
	if own, err := os.Stat(path); err == nil && os.SameFile(own, at) {
		return invalidf("it is the store's own file")
	}
	return nil
}

// verifyCopy checks a file that nobody else knows yet: its structure, and what its
// buckets have. Afterwards it is no longer locked for the store alone.
func (s *BoltStore) verifyCopy(f *os.File) error {
	if err := checkStructure(f); err != nil {
		return err
	}
	opts := s.opts
	opts.ReadOnly = true
	h, err := openHandle(f, f.Name(), &opts)
	if err != nil {
		return err
	}
	return errors.Join(h.snapshot(verifySums), h.close())
}

// checkStructure checks all pages of the file.
func checkStructure(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return pathless(err)
	}
	rep, err := pages.Check(f, info.Size())
	if err != nil {
		return pathless(err)
	}
	if err := rep.Unsafe(); err != nil {
		return corruptf("%w", err)
	}
	return nil
}
