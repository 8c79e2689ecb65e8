// Package pages reads the structure of a bbolt file without trusting it, and writes such files.
//
// bbolt maps a file and follows what it finds there: a page number, a length or
// a type that is wrong ends in a fault, in a loop without end or in wrong data.
// So [Check] looks first, through an [io.ReaderAt], and says whether bbolt can be
// let loose on the file; [Walk] reads what can be read of a file that it can't.
// Where a file is too large to be looked at as a whole, a [Map] reads entries of a
// mapped file as safely, and a [Paths] says whether bbolt can write some. An [Update] is a
// transaction that is made without bbolt, on the pages that a [Space] has free.
//
// None of these panics or loops, whatever the bytes are. Check and Walk read each
// page at most once, and their memory grows with the number of pages that are in
// use, and in a Walk with the greatest value, not with what a number in the file
// says.
//
// What is checked always holds for a file that bbolt wrote:
//
//   - The meta page that bbolt would choose points into the file.
//   - A page has its own number, the type that its place asks for, and its
//     elements lie end to end from its head to its last page.
//   - Keys ascend. The first key of a page is the key under which its parent has
//     it, and its last one is less than the parent's next key.
//   - All leaves of a bucket are at the same depth.
//   - The root bucket holds only buckets; an inline bucket holds none.
//   - The freelist ascends. No page has two owners: a meta, the freelist, one
//     parent, or none, and then the freelist names it.
//
// That the freelist does name it holds almost always: see [ErrLeaked].
//
// What bbolt leaves open has a bound here: keys and names of buckets have at most
// 32,768 bytes, buckets are nested at most 256 deep, trees 64, and a page has 1
// KiB to 64 KiB.
//
// bbolt writes integers in the byte order of the host. This package reads
// little-endian files, and says of a big-endian one that it is one.
package pages

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxFindings is how many findings a report holds.
const maxFindings = 1000

// A Report says what a [Check] or a [Walk] saw.
type Report struct {
	PageSize int     // bytes in a page; 0 if no meta page could be read
	Metas    [2]Meta // both meta pages
	Meta     int     // the one that was followed, which is bbolt's choice in a Check; -1 if there is none

	Branches, Leaves uint64 // pages of the buckets' trees that were reached, without their overflow
	Overflow         uint64 // further pages that these take
	Freelist         uint64 // pages that the freelist takes; 0 if the file keeps none
	Free             uint64 // pages that hold nothing; if the file keeps no freelist, those that weren't reached

	Buckets  []Bucket  // the buckets in the root, by name
	Leaked   uint64    // pages that are neither used nor free
	Findings []Finding // what breaks a rule, at most 1,000
	Omitted  int       // findings beyond these
}

// A Meta is the state of one meta page.
type Meta struct {
	PageSize  uint32 // bytes in a page
	Root      uint64 // page of the root bucket
	Freelist  uint64 // page of the freelist; all ones if the file keeps none
	HighWater uint64 // number of pages that were ever used
	Txid      uint64 // number of the transaction that wrote it
	Err       error  // why bbolt would not choose it; nil if it would
}

// A Bucket is a bucket in the root.
type Bucket struct {
	Name     string
	Sequence uint64 // its sequence number
	Entries  uint64 // entries with a value that are directly in it
	Nested   uint64 // entries with a value in the buckets within it
}

// A Finding is one thing that can't be in a file as bbolt writes it.
type Finding struct {
	Page     uint64   // where it was seen
	Bucket   []string // names from the root down to the bucket that has the page; none for the root itself
	From, To []byte   // the page should hold the keys from From up to but not including To; nil is no bound
	Err      error    // what is wrong
}

// String tells the page, the bucket, the keys and what is wrong.
func (f Finding) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "page %d", f.Page)
	if len(f.Bucket) > 0 {
		fmt.Fprintf(&s, " of %q", f.Bucket)
	}
	if f.From != nil {
		fmt.Fprintf(&s, " from %.64q", f.From)
	}
	if f.To != nil {
		fmt.Fprintf(&s, " before %.64q", f.To)
	}
	fmt.Fprintf(&s, ": %v", f.Err)
	return s.String()
}

// Err returns nil if there are no findings, and otherwise an error that tells
// how many there are and the first of them, and wraps its Err.
func (r Report) Err() error {
	if len(r.Findings) == 0 {
		return nil
	}
	return &reportError{n: len(r.Findings) + r.Omitted, first: r.Findings[0]}
}

// Unsafe is like Err for the findings other than [ErrLeaked]. If it returns nil
// after a Check, bbolt can read the file and write to it.
func (r Report) Unsafe() error {
	leaked := func(f Finding) bool { return errors.Is(f.Err, ErrLeaked) }
	r.Findings = slices.DeleteFunc(slices.Clone(r.Findings), leaked)
	return r.Err()
}

// A reportError is a report's findings as an error.
type reportError struct {
	n     int
	first Finding
}

// Error tells the first finding and how many more there are.
func (e *reportError) Error() string {
	if e.n == 1 {
		return e.first.String()
	}
	return fmt.Sprintf("%v (and %d more)", e.first, e.n-1)
}

// Unwrap returns what is wrong in the first finding.
func (e *reportError) Unwrap() error { return e.first.Err }

// Check verifies the structure of the bbolt file of size bytes in r, from the
// meta page that bbolt would choose. A file whose other meta page is invalid has
// no finding for that: a commit may have been cut off there. See [Report.Metas].
//
// Its error is that of reading r, and then the report is not complete. What is
// wrong with the bytes is no error but a finding.
//
// Nobody may write to the file meanwhile. The cost is that of reading the pages
// of the trees, without the values that overflow, and the freelist.
func Check(r io.ReaderAt, size int64) (Report, error) {
	return inspect(r, size, -1, nil)
}

// CheckMeta is [Check] from the given meta page, 0 or 1, which must be valid:
// it says whether the state before the last commit is whole.
func CheckMeta(r io.ReaderAt, size int64, meta int) (Report, error) {
	return inspect(r, size, meta&1, nil)
}

// Walk calls fn for each entry that can be read from the given meta page, 0 or 1,
// even from one whose checksum is wrong, and reports what it passed over and why.
// Each bucket other than the root is announced by a call with a nil key; its
// entries then come by page, in the order of their keys as far as that is sound,
// perhaps with those of inline buckets in between. A value is never nil.
//
// Where there are findings, fn gets all that lies within the page and fits
// between the keys around it, which may still be wrong or an older version: the
// caller has to know a right entry from a wrong one. The slices are valid until
// fn returns.
//
// What can't be read of r is a finding. Walk returns the error of fn, at once.
func Walk(r io.ReaderAt, size int64, meta int, fn func(bucket [][]byte, key, value []byte) error) (Report, error) {
	if fn == nil {
		fn = func([][]byte, []byte, []byte) error { return nil }
	}
	return inspect(r, size, meta&1, fn)
}

// ErrLeaked is in the findings of pages that are neither used nor free. That alone
// is no danger: bbolt loses the pages of a bucket's buckets, every other one, when
// it deletes a bucket that it changed in the same transaction. But damage that cuts
// off a part of a tree looks like it, so entries may be missing.
var ErrLeaked = errors.New("page is neither used nor free")

// What else a finding can be. Some are wrapped in an error that has the numbers.
var (
	errShort     = errors.New("file is too short")
	errMagic     = errors.New("not a bbolt file")
	errEndian    = errors.New("written by a big-endian host")
	errVersion   = errors.New("unknown version of the format")
	errChecksum  = errors.New("wrong checksum")
	errNoMeta    = errors.New("no valid meta page")
	errPageSize  = errors.New("implausible page size")
	errTxid      = errors.New("implausible transaction number")
	errHighWater = errors.New("more pages than the file holds")

	errBounds   = errors.New("page number out of bounds")
	errTwice    = errors.New("page is used twice")
	errFree     = errors.New("page is used and free")
	errID       = errors.New("page has another page's number")
	errKind     = errors.New("page has a type that does not belong here")
	errOverflow = errors.New("page reaches beyond the last one")
	errHeader   = errors.New("page header has numbers where none belong")

	errCount    = errors.New("more elements than the page holds")
	errCrowded  = errors.New("more than four elements in a page that overflows")
	errEmpty    = errors.New("page without elements")
	errFlags    = errors.New("element with unknown flags")
	errKeySize  = errors.New("key is empty or too long")
	errLayout   = errors.New("element is not where the one before it ends")
	errBeyond   = errors.New("element reaches beyond the end of its page")
	errAddress  = errors.New("element is beyond what bbolt can address")
	errFirstKey = errors.New("first key is not the one that the parent has")
	errOrder    = errors.New("key is not greater than the one before it")
	errRange    = errors.New("key is not less than the next one of the parent")
	errExtent   = errors.New("page takes more or fewer pages than its elements need")

	errDepth     = errors.New("leaf is deeper or less deep than the others")
	errTooDeep   = errors.New("tree is too deep")
	errRootEntry = errors.New("entry in the root is not a bucket")
	errBucket    = errors.New("bucket of the wrong length")
	errInline    = errors.New("bucket within an inline bucket")
	errNesting   = errors.New("buckets are nested too deeply")

	errFreeCount = errors.New("freelist of the wrong length")
	errFreeID    = errors.New("freelist has a page number out of bounds")
	errFreeOrder = errors.New("freelist does not ascend")
)
