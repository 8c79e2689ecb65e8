package userdata

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// SalvageOptions say how a damaged file is read. Nil and the zero value are the
// defaults.
type SalvageOptions struct {
	// Previous takes the state before the last commit instead of the newest one. If
	// the damage is all in what the last commit wrote, that state is whole.
	Previous bool

	// LockTimeout is as in [Options].
	LockTimeout time.Duration

	// Progress, if not nil, is called now and then with a table's name and how many
	// of its records were saved; the total is 0 if it isn't known.
	Progress func(table string, done, total int)
}

// A SalvageReport says what [Salvage] saved, and what it could not.
type SalvageReport struct {
	Tables   []SalvagedTable // by name, the package's own among them
	Findings []string        // what is wrong with the file's structure, at most 1,000 of each state
}

// A SalvagedTable says what was saved of one table.
type SalvagedTable struct {
	Name     string
	Saved    int // records in the new file
	Expected int // how many there should be; -1 if the file no longer tells
	Damaged  int // records that were found but are not what was written

	// Older is how many of the saved ones were found only in the state before the
	// last commit, which may have changed or deleted them.
	Older int

	// CutOff is how many of the saved ones were found on pages that nothing leads to
	// any more.
	CutOff int
}

// Salvage writes every record that can be read of the bbolt file at path, which may
// be damaged in any way, to a new file at target. A record is saved only if its
// checksum holds, which binds its table and its key: what is in the new file is what
// was written once. It takes each record from the newest state that has it: that of
// the last commit, that before, and pages that have lost their place.
//
// The new file has no indexes: [Open] builds them, and finds out if a unique one does
// not hold any more. It appears when it is complete and synced; there must be no file
// at target before. The damaged file is not changed.
//
// Errors: [fs.ErrExist]; [ErrLocked]; [ErrCorrupt] if not even a meta page can be
// read, or with Previous if there is no state before; the context's and those of the
// file system.
func Salvage(ctx context.Context, path, target string, opts *SalvageOptions) (*SalvageReport, error) {
	sv := &salvage{ctx: ctx, tables: map[string]*SalvagedTable{}, report: &SalvageReport{}}
	if opts != nil {
		sv.opts = *opts
	}
	if err := sv.run(path, target); err != nil {
		return nil, fmt.Errorf("userdata: salvage %s to %s: %w", path, target, err)
	}
	return sv.report, nil
}

// A salvage is one call of Salvage.
type salvage struct {
	ctx    context.Context
	opts   SalvageOptions
	report *SalvageReport
	tables map[string]*SalvagedTable

	db    *bbolt.DB // the new file
	batch []saved
	size  int // of the batch
}

// A saved entry is to be written to the new file, unless its key is there.
type saved struct {
	bucket     string
	key, value []byte
	count      *int // besides Saved: Older or CutOff; or nil
}

func (sv *salvage) run(path, target string) error {
	if _, err := os.Lstat(target); err == nil {
		return fs.ErrExist
	}
	timeout := (&Options{LockTimeout: sv.opts.LockTimeout}).lockTimeout()
	f, err := openLocked(path, true, timeout)
	if err != nil {
		return err
	}
	defer f.Close()
	tmp, err := newDatabase(target, fileMode)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	sv.db, err = bbolt.Open(tmp, fileMode, &bbolt.Options{NoSync: true, Timeout: timeout})
	if err != nil {
		return pathless(err)
	}
	sv.db.AllocSize = maxFileGrowth
	err = errors.Join(sv.collect(f), sv.finish())
	if err := errors.Join(err, sv.db.Close()); err != nil {
		return err
	}
	if err := syncPath(tmp); err != nil {
		return err
	}
	return publish(tmp, target)
}

// collect reads the states of the file, from the newest on.
func (sv *salvage) collect(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return pathless(err)
	}
	rep, err := pages.Metas(f, info.Size())
	if err != nil {
		return pathless(err)
	}
	states := statesOf(rep)
	if sv.opts.Previous && len(states) > 0 {
		states = states[1:]
	}
	if len(states) == 0 {
		return corruptf("no state of the file can be read")
	}
	if sv.opts.Previous {
		return sv.walk(f, info.Size(), states[0], false)
	}
	for i, meta := range states {
		if err := sv.walk(f, info.Size(), meta, i > 0); err != nil {
			return err
		}
		if i == 0 && len(sv.report.Findings) == 0 && !sv.incomplete() {
			return nil
		}
	}
	return sv.lost(f, info.Size(), states[0])
}

// statesOf returns the meta pages that can be followed, the newest first. One with a
// wrong checksum comes last.
func statesOf(rep pages.Report) []int {
	if rep.PageSize == 0 {
		return nil
	}
	states := []int{0, 1}
	slices.SortStableFunc(states, func(a, b int) int {
		x, y := rep.Metas[a], rep.Metas[b]
		if (x.Err == nil) != (y.Err == nil) {
			if x.Err == nil {
				return -1
			}
			return 1
		}
		return cmp.Compare(y.Txid, x.Txid)
	})
	return states
}

// incomplete reports whether a table is known to have more records than were found.
func (sv *salvage) incomplete() bool {
	for _, t := range sv.tables {
		if t.Damaged > 0 || t.Saved < t.Expected {
			return true
		}
	}
	return false
}

// walk saves what one state of the file has.
func (sv *salvage) walk(f *os.File, size int64, meta int, older bool) error {
	rep, err := pages.Walk(f, size, meta, func(bucket [][]byte, key, value []byte) error {
		if len(bucket) != 1 || key == nil {
			return sv.ctx.Err()
		}
		t := sv.table(string(bucket[0]))
		if t == nil {
			return nil // an index
		}
		if !sound(t.Name, key, value) {
			if !older {
				t.Damaged++
			}
			return nil
		}
		if older {
			return sv.save(t.Name, key, value, &t.Older)
		}
		return sv.save(t.Name, key, value, nil)
	})
	for _, finding := range rep.Findings {
		sv.report.Findings = append(sv.report.Findings, finding.String())
	}
	if err := errors.Join(err, sv.flush()); err != nil || older {
		return err
	}
	for _, b := range rep.Buckets {
		if t := sv.table(b.Name); t != nil && (b.Sequence != 0 || b.Entries == 0) {
			t.Expected = int(bucketSum(b.Sequence).count())
		}
	}
	return nil
}

// lost saves what is on pages that nothing leads to. Their table is the one whose
// checksum holds.
func (sv *salvage) lost(f *os.File, size int64, meta int) error {
	_, err := pages.Lost(f, size, meta, func(key, value []byte) error {
		for _, t := range sv.tables {
			if sound(t.Name, key, value) {
				return sv.save(t.Name, key, value, &t.CutOff)
			}
		}
		return sv.ctx.Err()
	})
	return errors.Join(err, sv.flush())
}

// table returns the table of that name, or nil for the bucket of an index.
func (sv *salvage) table(name string) *SalvagedTable {
	if strings.HasPrefix(name, indexPrefix) {
		return nil
	}
	t := sv.tables[name]
	if t == nil {
		t = &SalvagedTable{Name: name, Expected: -1}
		sv.tables[name] = t
	}
	return t
}

// sound reports whether the value is what was once written under the key.
func sound(table string, key, value []byte) bool {
	_, err := verifyChecksum(checksumSeed(table), key, value)
	return err == nil
}

// save takes an entry for the new file.
func (sv *salvage) save(bucket string, key, value []byte, count *int) error {
	sv.batch = append(sv.batch, saved{bucket, bytes.Clone(key), bytes.Clone(value), count})
	sv.size += len(key) + len(value)
	if sv.size < compactChunk {
		return nil
	}
	return sv.flush()
}

// flush writes the entries whose keys the new file does not have yet.
func (sv *salvage) flush() error {
	if err := sv.ctx.Err(); err != nil {
		return err
	}
	slices.SortStableFunc(sv.batch, func(a, b saved) int {
		return cmp.Or(cmp.Compare(a.bucket, b.bucket), bytes.Compare(a.key, b.key))
	})
	err := sv.db.Update(func(tx *bbolt.Tx) error {
		for i := range sv.batch {
			if err := sv.put(tx, &sv.batch[i]); err != nil {
				return err
			}
		}
		return nil
	})
	sv.batch, sv.size = sv.batch[:0], 0
	if tell := sv.opts.Progress; tell != nil {
		for _, t := range sv.tables {
			tell(t.Name, t.Saved, max(t.Expected, 0))
		}
	}
	return err
}

// put writes one entry. A table's schema is saved without indexes, and what tells at
// one glance that the schema is as it was is not saved at all.
func (sv *salvage) put(tx *bbolt.Tx, e *saved) error {
	if e.bucket == metaTable.name && string(e.key) == schemaKey {
		return nil
	}
	b, err := tx.CreateBucketIfNotExists([]byte(e.bucket))
	if err != nil || b.Get(e.key) != nil {
		return err
	}
	if e.bucket == schemaTable.name {
		if e.value, err = withoutIndexes(e.key, e.value); err != nil {
			return err
		}
	}
	if err := b.Put(e.key, e.value); err != nil {
		return err
	}
	sv.tables[e.bucket].Saved++
	if e.count != nil {
		*e.count++
	}
	return b.SetSequence(uint64(bucketSum(b.Sequence()).with(e.key, e.value)))
}

// withoutIndexes returns the stored schema of a table without its indexes.
func withoutIndexes(key, value []byte) ([]byte, error) {
	stored := &TableSchema{}
	if err := schemaTable.decode(key, value, pointerTo(stored)); err != nil {
		return value, nil // Open will say what is wrong with it
	}
	stored.Indexes = nil
	e := newEncoder()
	defer e.free()
	if _, err := schemaTable.encode(e, reflect.ValueOf(stored).UnsafePointer()); err != nil {
		return nil, err
	}
	return e.bytes(), nil
}

// finish writes what is left and completes the report.
func (sv *salvage) finish() error {
	err := sv.flush()
	for _, t := range sv.tables {
		sv.report.Tables = append(sv.report.Tables, *t)
	}
	slices.SortFunc(sv.report.Tables, func(a, b SalvagedTable) int { return strings.Compare(a.Name, b.Name) })
	return err
}
