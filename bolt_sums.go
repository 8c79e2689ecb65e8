package userdata

import (
	"hash/crc32"

	"go.etcd.io/bbolt"
)

// A bucketSum says what is in a bucket: the number of its entries in the lower 32
// bits, and the sum of their hashes in the upper ones, both modulo 2^32. It is kept
// as the bucket's sequence number, which bbolt stores beside the number of its root
// page: a commit that changes the bucket writes that anyway. Checksums find an entry
// with a wrong byte; the sum finds one that is missing, and a page that is older
// than the others.
//
// 0 stands for an empty bucket, or for one with entries that keeps no sum: one that
// was written by other means.
type bucketSum uint64

// with returns the sum of the bucket with one more entry.
func (s bucketSum) with(key, value []byte) bucketSum { return s.add(1, entryHash(key, value)) }

// without returns the sum of the bucket without the entry.
func (s bucketSum) without(key, value []byte) bucketSum {
	return s.add(1<<32-1, -entryHash(key, value))
}

// add adds to the halves, without a carry between them.
func (s bucketSum) add(count, hash uint32) bucketSum {
	return bucketSum(s.hash()+hash)<<32 | bucketSum(s.count()+count)
}

// count returns the number of entries, modulo 2^32.
func (s bucketSum) count() uint32 { return uint32(s) }

func (s bucketSum) hash() uint32 { return uint32(s >> 32) }

// entryHash returns the hash of an entry. Its CRC is of another polynomial than the
// checksum that values end with, which would make that of any value the same. A CRC
// is linear: the same change of two entries would cancel out in a sum of them; the
// multiplications prevent that.
func entryHash(key, value []byte) uint32 {
	crc := crc32.Update(crc32.ChecksumIEEE(key), crc32.IEEETable, value)
	h := uint64(crc) | uint64(uint32(len(key)*31+len(value)))<<32
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return uint32(h >> 32)
}

// sumOf returns the sum that the bucket keeps, or that of its entries if it keeps
// none.
func sumOf(b *bbolt.Bucket) bucketSum {
	sum := bucketSum(b.Sequence())
	if sum != 0 {
		return sum
	}
	c := b.Cursor()
	for key, value := c.First(); key != nil; key, value = c.Next() {
		if value != nil {
			sum = sum.with(key, value)
		}
	}
	return sum
}
