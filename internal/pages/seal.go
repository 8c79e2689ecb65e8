package pages

import (
	"encoding/binary"
	"hash/crc32"
	"io"
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

// SealPatches puts into a meta page the seal of its transaction, which has written the patches, in
// the order of the file. It is false, and the page as it was, if the list has no room.
func SealPatches(page []byte, txid uint64, patches []Patch) bool {
	s := &Seal{Txid: txid}
	size := 0
	for _, p := range patches {
		s.Runs = appendRun(s.Runs, Run{p.First, uint64(len(p.Bytes) / len(page))})
		s.Sum = s.Sum.with(p.Bytes)
		size += len(p.Bytes)
	}
	b, fits := s.Bytes(len(page))
	if fits = fits && size <= maxSealBytes; fits {
		copy(page[SealOffset:], b)
	}
	return fits
}

// SealDurable puts into a meta page, which has none, the seal of a transaction that is known
// to be durable.
func SealDurable(page []byte, txid uint64) {
	b, _ := (&Seal{Txid: txid, Durable: true}).Bytes(len(page))
	copy(page[SealOffset:], b)
}
