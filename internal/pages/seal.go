package pages

import (
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"
)

// SealOffset is where a seal begins in a meta page: behind what bbolt has there,
// and in the same sector of a disk.
const SealOffset = 128

// maxSealBytes bounds what the pages of a seal have, so that the seal of a hostile
// file costs no more to check.
const maxSealBytes = 16 << 20

// A Seal says of the transaction of a meta page how to find out if all of it has
// reached the disk. It stands in the rest of that page, which bbolt fills with
// zeros when it writes it.
type Seal struct {
	Txid uint64 // of the meta that it belongs to

	// Durable tells that the transaction is known to be durable, Last that the next one
	// may have no seal.
	Durable, Last bool

	// Runs are the pages that the transaction wrote, besides the meta page, in
	// ascending order, and Sum is that of their bytes.
	Runs []Run
	Sum  PageSum
}

// A Run is a number of pages beside each other.
type Run struct{ First, Count uint64 }

// A PageSum is a checksum of pages, one after the other: CRC-32C in the lower half,
// CRC-32 (IEEE) in the upper one.
type PageSum uint64

// with returns the sum with more bytes.
func (s PageSum) with(b []byte) PageSum {
	low := crc32.Update(uint32(s), castagnoli, b)
	high := crc32.Update(uint32(s>>32), crc32.IEEETable, b)
	return PageSum(high)<<32 | PageSum(low)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// The seal's parts: magic, transaction, sum, the list's length, the CRC-32C of
// all this and the list, a byte of marks, and the list: for each run, as uvarints, how
// far it is from the one before, and its pages.
const (
	sealMagic = 0x316c616573647572 // "rudseal1"
	sealCRC   = 8 + 8 + 8 + 4
	sealMarks = sealCRC + 4
	sealHead  = sealMarks + 1

	// SealMarksOffset is where in a meta page the byte with the marks of its seal is. It is
	// all that is ever changed of a seal: a write of one byte is done or not.
	SealMarksOffset = SealOffset + sealMarks

	markDurable = 1
	markLast    = 2
)

// Marks returns the byte that says if the seal is Durable and Last.
func (s *Seal) Marks() (b byte) {
	if s.Durable {
		b |= markDurable
	}
	if s.Last {
		b |= markLast
	}
	return b
}

// Bytes returns the seal as it stands in a meta page of a file with pages of that
// size, from SealOffset on. It is false if the list has no room there.
func (s *Seal) Bytes(pageSize int) ([]byte, bool) {
	b := make([]byte, sealHead, pageSize-SealOffset)
	next := uint64(0)
	for _, r := range s.Runs {
		b = binary.AppendUvarint(b, r.First-next)
		b = binary.AppendUvarint(b, r.Count)
		next = r.First + r.Count
		if len(b) > pageSize-SealOffset {
			return nil, false
		}
	}
	le.PutUint64(b, sealMagic)
	le.PutUint64(b[8:], s.Txid)
	le.PutUint64(b[16:], uint64(s.Sum))
	le.PutUint32(b[24:], uint32(len(b)-sealHead))
	le.PutUint32(b[sealCRC:], sealSum(b))
	b[sealMarks] = s.Marks()
	return b, true
}

// sealSum returns the checksum of a seal's own bytes.
func sealSum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:sealCRC], castagnoli), castagnoli, b[sealHead:])
}

// SealOf returns the seal in the bytes of a meta page, whose meta is m. It is false
// if there is none, or one that was cut off, or that of another transaction.
func SealOf(page []byte, m Meta) (*Seal, bool) {
	if len(page) < SealOffset+sealHead || m.Err != nil || !plausible(m.PageSize) {
		return nil, false
	}
	b := page[SealOffset:]
	size := uint64(le.Uint32(b[24:]))
	if le.Uint64(b) != sealMagic || le.Uint64(b[8:]) != m.Txid || size > uint64(len(b)-sealHead) {
		return nil, false
	}
	b = b[:sealHead+size]
	if le.Uint32(b[sealCRC:]) != sealSum(b) {
		return nil, false
	}
	marks := b[sealMarks]
	s := &Seal{Txid: m.Txid, Durable: marks&markDurable != 0, Last: marks&markLast != 0, Sum: PageSum(le.Uint64(b[16:]))}
	return s, s.readRuns(b[sealHead:], m)
}

// readRuns reads the list. It reports false if that is not one of pages that m has.
func (s *Seal) readRuns(list []byte, m Meta) bool {
	most, next, all := maxSealBytes/uint64(m.PageSize), uint64(0), uint64(0)
	for len(list) > 0 {
		gap, n := binary.Uvarint(list)
		count, k := binary.Uvarint(list[max(n, 0):])
		if n <= 0 || k <= 0 || gap > m.HighWater || count == 0 || count > most {
			return false
		}
		list = list[n+k:]
		r := Run{next + gap, count}
		next = r.First + count
		if all += count; all > most || r.First < firstPage || next > m.HighWater {
			return false
		}
		s.Runs = append(s.Runs, r)
	}
	return true
}

// Read reads the seal's pages, one after the other. It returns nil if they are not
// what the transaction wrote. The error is the reader's; an end of the file is none.
func (s *Seal) Read(r io.ReaderAt, pageSize int) ([]byte, error) {
	size := uint64(0)
	for _, run := range s.Runs {
		size += run.Count * uint64(pageSize)
	}
	all := make([]byte, size)
	rest := all
	for _, run := range s.Runs {
		b := rest[:run.Count*uint64(pageSize)]
		rest = rest[len(b):]
		if n, err := r.ReadAt(b, int64(run.First)*int64(pageSize)); n < len(b) && err != io.EOF {
			return nil, err
		} else if n < len(b) {
			return nil, nil
		}
	}
	if PageSum(0).with(all) != s.Sum {
		return nil, nil
	}
	return all, nil
}

// errUnlisted says that the pages that a transaction wrote can't be told.
var errUnlisted = errors.New("the pages that were written can't be listed")

// SealFor returns the seal of the transaction that has just written the meta page
// number slot of the file in data, which must have all pages of it; the meta before
// must still be in the other one. An error says that there is none: the pages are too
// many, or are not what they should be.
func SealFor(data []byte, pageSize, slot int) (*Seal, error) {
	if pageSize <= 0 || len(data)/2 < pageSize {
		return nil, errShort
	}
	now := MetaAt(data[slot*pageSize:], uint64(slot))
	before := MetaAt(data[(1-slot)*pageSize:], uint64(1-slot))
	var w written
	var err error
	if w.file, err = NewMap(data, now); err != nil {
		return nil, err
	}
	if _, err = NewMap(data, before); err != nil {
		return nil, err
	}
	if before.Txid+1 != now.Txid || before.PageSize != now.PageSize {
		return nil, errUnlisted
	}
	w.fresh = before.HighWater
	w.room = maxSealBytes / uint64(pageSize)
	if w.free, err = freelistAt(data, before); err != nil {
		return nil, err
	}
	if err := w.freelist(now); err != nil {
		return nil, err
	}
	if err := w.tree(now.Root, before.Root, true, 0); err != nil {
		return nil, err
	}
	return w.seal(now.Txid), nil
}

// A written collects the pages that a transaction wrote: those that it refers to
// and that were free before it, or behind all others.
type written struct {
	file  Map
	free  idList // the pages that were free
	fresh uint64 // the first page behind all others
	room  uint64 // for so many pages more
	runs  []Run
}

// isNew reports whether the page was free before the transaction.
func (w *written) isNew(id uint64) bool {
	if id >= w.fresh {
		return true
	}
	at := w.free.rank(id)
	return at < w.free.len() && w.free.at(at) == id
}

// add adds so many pages.
func (w *written) add(first, count uint64) error {
	if count > w.room || first+count > w.file.pages {
		return errUnlisted
	}
	w.room -= count
	w.runs = append(w.runs, Run{first, count})
	return nil
}

// freelist adds the pages of the freelist.
func (w *written) freelist(now Meta) error {
	id := now.Freelist
	if id < firstPage || id >= w.file.pages || !w.isNew(id) {
		return errUnlisted
	}
	return w.add(id, uint64(headerOf(w.file.data[id<<w.file.shift:]).overflow)+1)
}

// tree adds the new ones of the pages from id on. old is the page that was probably
// in its place before, or 0: what both refer to is not new. The buckets in a root
// leaf, and in theirs, have trees of their own.
func (w *written) tree(id, old uint64, root bool, depth int) error {
	if !w.isNew(id) {
		return nil
	}
	var now, before view
	if err := w.file.load(&now, id, root); err != nil {
		return err
	}
	if depth++; depth > maxDepth {
		return errTooDeep
	}
	if err := w.add(id, uint64(len(now.b))>>w.file.shift); err != nil {
		return err
	}
	if old != 0 && w.file.load(&before, old, true) != nil {
		before = view{}
	}
	next := 0 // the element of before that is probably as the next one of now
	for i := range now.count {
		child, isRoot, err := now.leadsTo(i)
		if err != nil {
			return err
		}
		if child == 0 {
			next++
			continue
		}
		was := before.ledTo(next)
		if was != child && !w.isNew(child) {
			next = before.near(next, child)
			was = child
		}
		next++
		if was == child {
			continue
		}
		if err := w.tree(child, was, isRoot, depth); err != nil {
			return err
		}
	}
	return nil
}

// leadsTo returns the page that the element i of a branch, or a bucket in a leaf,
// leads to: 0 if it is neither, or an inline bucket.
func (v *view) leadsTo(i int) (id uint64, root bool, err error) {
	if v.branch() {
		return v.child(i), false, nil
	}
	e := v.b[headerSize+i*elemSize:][:elemSize]
	if le.Uint32(e) != bucketFlag {
		return 0, false, nil
	}
	off := v.bucketAt(i)
	if le.Uint32(e[12:]) < bucketSize || off+bucketSize > uint64(len(v.b)) {
		return 0, false, errBucket
	}
	return le.Uint64(v.b[off:]), true, nil
}

// bucketAt returns where in its page the bucket is that the element i of a leaf is.
func (v *view) bucketAt(i int) uint64 {
	at := headerSize + i*elemSize
	return uint64(at) + uint64(le.Uint32(v.b[at+4:])) + uint64(le.Uint32(v.b[at+8:]))
}

// ledTo is leadsTo for a page of before, which may not have so many elements.
func (v *view) ledTo(i int) uint64 {
	if i < 0 || i >= v.count {
		return 0
	}
	id, _, _ := v.leadsTo(i)
	return id
}

// near returns the element near i that leads to the page, or i.
func (v *view) near(i int, id uint64) int {
	for k := max(i-4, 0); k <= i+4; k++ {
		if v.ledTo(k) == id {
			return k
		}
	}
	return i
}

// seal returns the seal of what was collected.
func (w *written) seal(txid uint64) *Seal {
	slices.SortFunc(w.runs, func(a, b Run) int { return cmp.Compare(a.First, b.First) })
	s := &Seal{Txid: txid}
	for _, r := range w.runs {
		if last := len(s.Runs) - 1; last >= 0 && s.Runs[last].First+s.Runs[last].Count == r.First {
			s.Runs[last].Count += r.Count
		} else {
			s.Runs = append(s.Runs, r)
		}
	}
	for _, r := range s.Runs {
		s.Sum = s.Sum.with(w.file.data[r.First<<w.file.shift : (r.First+r.Count)<<w.file.shift])
	}
	return s
}
