package userdata

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	// defaultLockTimeout stands for a LockTimeout of 0.
	defaultLockTimeout = time.Second

	// boltFileMode lets only the owner see the records.
	boltFileMode fs.FileMode = 0o600

	// unixMmapSize is 4 GiB with 64-bit addresses, else 0. It costs address
	// space only: a file that grows within its mapping need not be mapped anew,
	// for which bbolt would wait for all readers and copy what it is about to write.
	unixMmapSize = 4 << 30 * (math.MaxInt >> 62)

	// A file grows by its own size, within these bounds: bbolt's fixed 16 MiB
	// would make every small file that large.
	minFileGrowth = 64 << 10
	maxFileGrowth = 16 << 20
)

// A BoltStore is the [Store] in a file, with bbolt underneath. It is safe for
// concurrent use. One process has the file open for writing, or any number for
// reading.
//
// Apply is one bbolt write transaction, which is synced to the disk before it
// returns. A View holds a bbolt read transaction for as long as its function
// runs, and until then the file can't reuse the space of what is overwritten:
// keep it short. Where addresses are scarce (on 32-bit systems, and on Windows),
// and beyond 4 GiB, an Apply that makes the file grow waits for all Views to
// end, so a View's function should not call Apply.
type BoltStore struct {
	path     string
	db       *bbolt.DB
	log      *slog.Logger
	readOnly bool

	calls   callGate
	closing sync.Once

	// writer has room for one token: who puts it in may begin a write
	// transaction. Unlike bbolt's own lock, waiting for it ends with a context.
	writer chan struct{}
}

// OpenBolt opens the file at path, or creates it with mode 0600 if there is
// none. Nil options are the defaults. With [Options.ReadOnly] the file must
// exist, and only Views are possible.
//
// Its errors: [ErrLocked] if another process, or another store of this one,
// still has the file open after [Options.LockTimeout]; [ErrCorrupt] if it is not
// a bbolt file; [ErrInvalid] if it is not a regular file; and those of the file
// system, such as [fs.ErrNotExist] and [fs.ErrPermission]. All name the path.
func OpenBolt(path string, opts *Options) (*BoltStore, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	db, err := openBoltDB(path, &o)
	if err != nil {
		return nil, fmt.Errorf("userdata: open %s: %w", path, err)
	}
	return &BoltStore{path: path, db: db, log: o.Logger, readOnly: o.ReadOnly, writer: make(chan struct{}, 1)}, nil
}

// openBoltDB opens the file, without the large mapping if the process may not
// have it. Its errors are those of OpenBolt, without the path.
func openBoltDB(path string, o *Options) (*bbolt.DB, error) {
	if err := checkFileKind(path, o.ReadOnly); err != nil {
		return nil, err
	}
	bo := boltOptions(o)
	db, err := bbolt.Open(path, boltFileMode, bo)
	if errors.Is(err, syscall.ENOMEM) && bo.InitialMmapSize > 0 {
		o.Logger.Info("userdata: no address space for a large mapping, opening without", "path", path, "size", bo.InitialMmapSize)
		bo.InitialMmapSize = 0
		db, err = bbolt.Open(path, boltFileMode, bo)
	}
	if err != nil {
		return nil, boltOpenError(path, err)
	}
	return db, nil
}

// boltOptions translates options, whose zero values stand for defaults.
func boltOptions(o *Options) *bbolt.Options {
	bo := &bbolt.Options{
		Timeout:      o.LockTimeout,
		ReadOnly:     o.ReadOnly,
		FreelistType: bbolt.FreelistMapType,
		NoStatistics: true,
	}
	if bo.Timeout == 0 {
		bo.Timeout = defaultLockTimeout // bbolt's 0 waits for ever
	}
	if !o.ReadOnly && runtime.GOOS != "windows" { // there the file itself would get that size
		bo.InitialMmapSize = unixMmapSize
	}
	return bo
}

// checkFileKind refuses what bbolt would not understand, or wait for: folders,
// pipes, and an empty file that it may not fill. A missing file is left to bbolt.
func checkFileKind(path string, readOnly bool) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil
	case !info.Mode().IsRegular():
		return invalidf("not a regular file")
	case readOnly && info.Size() == 0:
		return corruptf("not a bbolt file: it is empty")
	}
	return nil
}

// boltOpenError translates an error of bbolt.Open.
func boltOpenError(path string, err error) error {
	var pathErr *fs.PathError
	var errno syscall.Errno
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return ErrLocked
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum):
		return corruptf("not a bbolt file: %v", err)
	case errors.As(err, &pathErr):
		return pathErr.Err // the path is said already
	case errors.As(err, &errno):
		return err
	case isStub(path): // bbolt has no error value for this one
		return corruptf("not a bbolt file: %v", err)
	}
	return err
}

// isStub reports whether the file is too short for the two pages that every
// bbolt file begins with.
func isStub(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() < int64(2*os.Getpagesize())
}

// Path returns the path that the store was opened with. It is safe for
// concurrent use, and after Close.
func (s *BoltStore) Path() string { return s.path }

// View implements [Store]. The context is looked at before fn is called, not
// while it runs. Errors besides fn's: the context's, [ErrClosed].
func (s *BoltStore) View(ctx context.Context, fn func(Snapshot) error) error {
	if err := s.calls.enter(); err != nil {
		return err
	}
	defer s.calls.leave()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("userdata: view: %w", err)
	}
	tx, err := s.db.Begin(false)
	if err != nil {
		return fmt.Errorf("userdata: view: %w", err)
	}
	defer tx.Rollback()
	return fn(newBoltSnapshot(tx))
}

// Apply implements [Store]. Callers wait for each other in no particular order,
// until their context ends; from then on it is no longer looked at. An empty
// change set without a version touches nothing. The slices are used until Apply
// returns, and not after.
//
// Errors: the context's, [ErrConflict] as a [*ConflictError], [ErrInvalid],
// [ErrTooLarge], [ErrReadOnly], [ErrClosed], [ErrCorrupt], and those of the file
// system.
func (s *BoltStore) Apply(ctx context.Context, changes *ChangeSet) error {
	if err := changes.Validate(); err != nil {
		return err
	}
	if err := s.calls.enter(); err != nil {
		return err
	}
	defer s.calls.leave()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("userdata: apply: %w", err)
	}
	if len(changes.Changes) == 0 && changes.Version == 0 {
		return nil
	}
	if s.readOnly {
		return fmt.Errorf("userdata: apply: %s: %w", s.path, ErrReadOnly)
	}
	if err := s.lockWriter(ctx); err != nil {
		return err
	}
	defer s.unlockWriter()
	return s.commit(changes)
}

// lockWriter waits until no other goroutine writes, or the context ends.
func (s *BoltStore) lockWriter(ctx context.Context) error {
	select {
	case s.writer <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("userdata: apply: %w", ctx.Err())
	}
}

func (s *BoltStore) unlockWriter() { <-s.writer }

// commit checks and writes one change set in a transaction of its own. The
// caller is the writer.
func (s *BoltStore) commit(changes *ChangeSet) error {
	tx, err := s.db.Begin(true)
	if err != nil {
		return fmt.Errorf("userdata: apply: %w", err)
	}
	defer tx.Rollback() // does nothing after Commit
	if err := changes.check(boltVersion(tx), newBoltSnapshot(tx).Get); err != nil {
		return err
	}
	if len(changes.Changes) == 0 {
		return nil
	}
	if err := writeBolt(tx, changes.Changes); err != nil {
		return err
	}
	s.db.AllocSize = int(min(max(tx.Size(), minFileGrowth), maxFileGrowth))
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("userdata: apply: %w", err)
	}
	return nil
}

// writeBolt makes the changes in a write transaction. bbolt keeps the values'
// slices until the transaction is committed, so they must not change before.
func writeBolt(tx *bbolt.Tx, changes []Change) error {
	for len(changes) > 0 {
		n := 1
		for n < len(changes) && changes[n].Bucket == changes[0].Bucket {
			n++
		}
		if err := writeBoltBucket(tx, changes[:n]); err != nil {
			return err
		}
		changes = changes[n:]
	}
	return nil
}

// writeBoltBucket makes changes that are all in one bucket. It creates the
// bucket if a value is put into it.
func writeBoltBucket(tx *bbolt.Tx, changes []Change) error {
	name := []byte(changes[0].Bucket)
	b := tx.Bucket(name)
	for i := range changes {
		ch := &changes[i]
		var err error
		switch {
		case ch.Value == nil && b == nil:
			continue
		case ch.Value == nil:
			err = b.Delete(ch.Key)
		case b == nil:
			if b, err = tx.CreateBucket(name); err != nil {
				return boltWriteError(ch.Bucket, nil, err)
			}
			fallthrough
		default:
			err = b.Put(ch.Key, ch.Value)
		}
		if err != nil {
			return boltWriteError(ch.Bucket, ch.Key, err)
		}
	}
	return nil
}

// boltWriteError translates an error of a put, a delete or a new bucket.
func boltWriteError(bucket string, key []byte, err error) error {
	if errors.Is(err, berrors.ErrIncompatibleValue) {
		return strayError(bucket, key)
	}
	return fmt.Errorf("userdata: apply: bucket %s, key %x: %w", bucket, key, err)
}

// strayError says that a bucket is where a value should be, or, if key is nil,
// a value where the bucket should be.
func strayError(bucket string, key []byte) error {
	if key == nil {
		return fmt.Errorf("userdata: bucket %s: %w", bucket, corruptf("a value in its place"))
	}
	return fmt.Errorf("userdata: bucket %s, key %x: %w", bucket, key, corruptf("a bucket in its place"))
}

// Close implements [Store]: it waits for the calls under way, then unmaps,
// unlocks and closes the file. It must not be called by a View's function, for
// which it would wait. A second Close waits for the first and returns nil.
func (s *BoltStore) Close() error {
	var err error
	s.closing.Do(func() {
		s.calls.shut()
		err = s.db.Close()
	})
	if err != nil {
		return fmt.Errorf("userdata: close %s: %w", s.path, err)
	}
	return nil
}

// boltVersion is the version of the state that the transaction found: the id of
// the one that wrote it, plus one, since a new file may begin with 0. A write
// transaction has its own id, which is one more already.
func boltVersion(tx *bbolt.Tx) uint64 {
	if tx.Writable() {
		return uint64(tx.ID())
	}
	return uint64(tx.ID()) + 1
}

// A boltSnapshot reads in one transaction.
type boltSnapshot struct {
	tx      *bbolt.Tx
	buckets map[string]*boltBucket // those asked for; nil for one that does not exist
}

// A boltBucket is a bucket with the cursor that Get uses. Scans have their own.
type boltBucket struct {
	*bbolt.Bucket
	get *bbolt.Cursor
}

func newBoltSnapshot(tx *bbolt.Tx) *boltSnapshot {
	return &boltSnapshot{tx: tx, buckets: make(map[string]*boltBucket)}
}

// Version implements [Snapshot].
func (s *boltSnapshot) Version() uint64 { return boltVersion(s.tx) }

// Buckets implements [Snapshot].
func (s *boltSnapshot) Buckets() ([]string, error) {
	var names []string
	c := s.tx.Cursor()
	for name, value := c.First(); name != nil; name, value = c.Next() {
		if value != nil {
			return nil, strayError(string(name), nil)
		}
		names = append(names, string(name))
	}
	return names, nil
}

// bucket returns the bucket, or nil if it does not exist.
func (s *boltSnapshot) bucket(name string) (*boltBucket, error) {
	if b, ok := s.buckets[name]; ok {
		return b, nil
	}
	var found *boltBucket
	if b := s.tx.Bucket([]byte(name)); b != nil {
		found = &boltBucket{Bucket: b, get: b.Cursor()}
	} else if key, _ := s.tx.Cursor().Seek([]byte(name)); key != nil && string(key) == name {
		return nil, strayError(name, nil)
	}
	s.buckets[name] = found
	return found, nil
}

// Get implements [Snapshot].
func (s *boltSnapshot) Get(bucket string, key []byte) ([]byte, error) {
	b, err := s.bucket(bucket)
	if b == nil || err != nil {
		return nil, err
	}
	found, value := b.get.Seek(key)
	switch {
	case found == nil || !bytes.Equal(found, key):
		return nil, nil
	case value == nil:
		return nil, strayError(bucket, key)
	}
	return value, nil
}

// Scan implements [Snapshot].
func (s *boltSnapshot) Scan(bucket string, r Range, fn func(key, value []byte) bool) error {
	b, err := s.bucket(bucket)
	if b == nil || err != nil {
		return err
	}
	c := b.Cursor()
	step := c.Next
	if r.Reverse {
		step = c.Prev
	}
	for key, value := seekRange(c, r); key != nil && r.Contains(key); key, value = step() {
		if value == nil {
			return strayError(bucket, key)
		}
		if !fn(key, value) {
			break
		}
	}
	return nil
}

// seekRange moves the cursor to where a scan of the range begins. The entry
// there, if any, may be beyond the range's other end.
func seekRange(c *bbolt.Cursor, r Range) (key, value []byte) {
	switch {
	case !r.Reverse:
		return c.Seek(r.From)
	case r.To == nil:
		return c.Last()
	}
	if key, _ := c.Seek(r.To); key == nil {
		return c.Last()
	}
	return c.Prev()
}

// A callGate counts the calls under way and lets no more in once it is shut. An
// RWMutex would not do: a View within a View would wait behind a Close that
// waits for the outer one. It is safe for concurrent use; the zero value is open.
type callGate struct {
	mu      sync.Mutex
	calls   int
	drained chan struct{} // made when the gate is shut, closed when calls is 0 then
}

// enter counts a call in. Its error is ErrClosed.
func (g *callGate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.drained != nil {
		return errClosedStore
	}
	g.calls++
	return nil
}

// leave counts a call out.
func (g *callGate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls--
	if g.drained != nil && g.calls == 0 {
		close(g.drained)
	}
}

// shut refuses further calls and waits for those under way. It is called once.
func (g *callGate) shut() {
	g.mu.Lock()
	g.drained = make(chan struct{})
	if g.calls == 0 {
		close(g.drained)
	}
	g.mu.Unlock()
	<-g.drained
}
