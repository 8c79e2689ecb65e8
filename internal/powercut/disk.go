// Package powercut models what a power cut may leave of the files in a folder.
//
// A [Disk] is told every operation that reaches the folder, in order. It knows two
// states: the cache, which is what processes see, and what is durable. A [Cut] is
// one choice of what the disk held when the power went, and [Disk.Image] the files
// that are found after it. A [Trace] is a run of operations, to be cut anywhere. On
// Linux, a Recorder makes one of what the code under test does.
//
// # What a disk may do
//
//   - What was written, and how the size was changed, since the last successful
//     fsync or fdatasync of that file may each be there or not, in any combination:
//     the disk may write in any order. A sync makes data and size durable.
//   - A write may be torn: some of its sectors of 512 bytes are there, others not.
//     A sector is never torn. A write beyond the end may leave the new size with
//     zeros, without the data.
//   - A file's name is durable after an fsync of the folder, and not before, whatever
//     was done to the file. Of the operations on names since then the first few are
//     there, in order, as a journal has them (strict POSIX promises no more, and a
//     little less).
//   - A sync that fails drops what it should have written, as Linux does: each of
//     these writes may be on the disk or not, processes still see all of them, and no
//     later sync that succeeds says anything about them. Only writing them again does.
//   - A process that is killed leaves the cache as it is. The next one sees it, and
//     knows nothing of what is durable.
//
// # What it does not model
//
// Disks that lie about a sync, garbage in sectors that were never written, writes
// that go elsewhere, torn sectors, and sectors that lose what they held; O_SYNC and
// O_DIRECT, sync_file_range, memory maps that are written to; folders in the folder,
// modes and times.
package powercut

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// sector is what a disk writes whole or not at all.
const sector = 512

// A FileID numbers a file of a disk, whatever its names are.
type FileID int

// A Kind is a kind of operation.
type Kind uint8

const (
	Write    Kind = iota // File, Offset, Data
	Truncate             // File, Size; it may also grow
	Sync                 // File: fsync or fdatasync, successful
	LoseSync             // File: one that failed
	Create               // File, which is the next free number, and Name, "" for none
	Link                 // File, Name
	Rename               // Name, NewName
	Unlink               // Name
	SyncDir              // fsync of the folder, successful
)

// String returns the name of the kind.
func (k Kind) String() string {
	return [...]string{"write", "truncate", "sync", "lose sync", "create", "link", "rename", "unlink", "sync folder"}[k]
}

// An Op is an operation that reached the folder.
type Op struct {
	Kind          Kind
	File          FileID
	Offset, Size  int64
	Data          []byte // not to be changed afterwards
	Name, NewName string
}

// String tells the operation without its data.
func (op Op) String() string {
	switch op.Kind {
	case Write:
		return fmt.Sprintf("write %d: %d bytes at %d", op.File, len(op.Data), op.Offset)
	case Truncate:
		return fmt.Sprintf("truncate %d to %d", op.File, op.Size)
	case Sync, LoseSync:
		return fmt.Sprintf("%v %d", op.Kind, op.File)
	case Create, Link:
		return fmt.Sprintf("%v %q = %d", op.Kind, op.Name, op.File)
	case Rename:
		return fmt.Sprintf("rename %q to %q", op.Name, op.NewName)
	case Unlink:
		return fmt.Sprintf("unlink %q", op.Name)
	}
	return op.Kind.String()
}

// A Disk is the state of a folder: what processes see, and what is durable. The
// zero value is an empty folder. It is not safe for concurrent use.
type Disk struct {
	files   []file            // by FileID
	names   map[string]FileID // as processes see them
	durable map[string]FileID // as of the last sync of the folder
	pending []Op              // operations on names since then
}

// A file is the state of one file.
type file struct {
	cache []byte // what processes see
	base  []byte // what was durable when ops was empty; never changed in place
	ops   []fileOp
}

// A fileOp is a write or a truncate that the base does not contain.
type fileOp struct {
	Op
	fate fate
}

// A fate says what is known of an operation's way to the disk.
type fate uint8

const (
	open fate = iota // it may be there, and will be after the next sync
	lost             // it may be there; no sync will change that
	kept             // it is there, on top of a lost one
)

// NewDisk returns a disk that durably holds the files.
func NewDisk(files Image) *Disk {
	d := &Disk{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		id := FileID(len(d.files))
		d.Apply(Op{Kind: Create, File: id, Name: name})
		d.Apply(Op{Kind: Write, File: id, Data: files[name]})
		d.Apply(Op{Kind: Sync, File: id})
	}
	d.Apply(Op{Kind: SyncDir})
	return d
}

// Clone returns a copy that shares nothing which changes.
func (d *Disk) Clone() *Disk {
	c := &Disk{
		files: slices.Clone(d.files), names: maps.Clone(d.names),
		durable: maps.Clone(d.durable), pending: slices.Clone(d.pending),
	}
	for i := range c.files {
		f := &c.files[i]
		f.cache, f.ops = bytes.Clone(f.cache), slices.Clone(f.ops)
	}
	return c
}

// Apply tells the disk of an operation.
func (d *Disk) Apply(op Op) {
	if d.names == nil {
		d.names, d.durable = map[string]FileID{}, map[string]FileID{}
	}
	switch op.Kind {
	case Write, Truncate:
		f := &d.files[op.File]
		f.cache = op.change(f.cache)
		f.ops = append(f.ops, fileOp{Op: op})
	case Sync:
		d.files[op.File].sync()
	case LoseSync:
		for i := range d.files[op.File].ops {
			if o := &d.files[op.File].ops[i]; o.fate == open {
				o.fate = lost
			}
		}
	case SyncDir:
		d.durable, d.pending = maps.Clone(d.names), nil
	case Create:
		d.files = append(d.files, file{})
		if op.Name != "" {
			d.rename(op)
		}
	default:
		d.rename(op)
	}
}

// rename applies an operation on names.
func (d *Disk) rename(op Op) {
	op.apply(d.names)
	d.pending = append(d.pending, op)
}

// apply applies an operation on names to names.
func (op Op) apply(names map[string]FileID) {
	switch op.Kind {
	case Create, Link:
		names[op.Name] = op.File
	case Rename:
		id := names[op.Name]
		delete(names, op.Name)
		names[op.NewName] = id
	case Unlink:
		delete(names, op.Name)
	}
}

// sync makes durable what a sync makes durable.
func (f *file) sync() {
	uncertain := false
	for i := range f.ops {
		if f.ops[i].fate == lost {
			uncertain = true
		} else {
			f.ops[i].fate = kept
		}
	}
	if !uncertain {
		f.base, f.ops = bytes.Clone(f.cache), nil
	}
}

// change applies a write or a truncate to the contents of a file, in place if
// there is room.
func (op *Op) change(b []byte) []byte {
	if op.Kind == Truncate {
		return resize(b, op.Size)
	}
	end := op.Offset + int64(len(op.Data))
	if len(op.Data) > 0 && end > int64(len(b)) {
		b = resize(b, end)
	}
	copy(b[min(op.Offset, int64(len(b))):], op.Data)
	return b
}

// resize cuts b, or fills it up with zeros.
func resize(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size]
	}
	old := len(b)
	b = slices.Grow(b, int(size)-old)[:size]
	clear(b[old:])
	return b
}

// Len returns how many operations have yet to become durable, of those on files
// that a power cut may leave.
func (d *Disk) Len() int { return len(d.pending) + len(d.undecided()) }

// Names returns the names that processes see, sorted.
func (d *Disk) Names() []string { return slices.Sorted(maps.Keys(d.names)) }

// Contents returns what processes see in a file. The bytes must not be changed.
func (d *Disk) Contents(name string) []byte { return d.files[d.names[name]].cache }

// Restore makes the folder, which exists, hold what processes see, and nothing else.
func (d *Disk) Restore(dir string) error {
	if err := clearDir(dir); err != nil {
		return err
	}
	first := map[FileID]string{}
	for _, name := range d.Names() {
		id, path := d.names[name], filepath.Join(dir, name)
		var err error
		if other, ok := first[id]; ok {
			err = os.Link(filepath.Join(dir, other), path)
		} else {
			first[id] = name
			err = os.WriteFile(path, d.files[id].cache, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// clearDir removes the files of a folder.
func clearDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Verify compares the folder with what processes should see. An error means that
// operations were made of which the disk was not told.
func (d *Disk) Verify(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		got, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		if id, ok := d.names[e.Name()]; ok && !bytes.Equal(got, d.files[id].cache) {
			return fmt.Errorf("powercut: %s has other bytes than were recorded: %d of them, %d recorded", e.Name(), len(got), len(d.files[id].cache))
		}
	}
	if want := d.Names(); !slices.Equal(names, want) {
		return fmt.Errorf("powercut: the folder has %q, recorded were %q", names, want)
	}
	return nil
}
