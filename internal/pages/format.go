package pages

import (
	"encoding/binary"
	"hash/fnv"
	"math"
)

// Sizes and numbers of bbolt's format, version 2.
const (
	headerSize = 16 // of a page
	elemSize   = 16 // of what a branch or a leaf has of each element before the keys
	metaSize   = 64 // of a meta, after the page's header
	bucketSize = 16 // of the root and the sequence in a bucket's value

	magic   = 0xED0CDAED
	version = 2

	noFreelist   = math.MaxUint64 // in place of the freelist's page
	manyFree     = 0xFFFF         // as a freelist's count: the count is in its first entry
	firstPage    = 2              // the first page that isn't a meta
	minKeys      = 2              // bbolt splits a node that needs more than a page if it has more than twice as many
	maxKeySize   = 32768          // bbolt.MaxKeySize
	minPageSize  = 1 << 10        // the least that bbolt looks for
	maxPageSize  = 1 << 16        // the greatest that a host has
	minReadable  = 1 << 12        // bbolt reads as much to see a meta page
	maxDepth     = 64             // of pages in a tree
	maxNesting   = 256            // of buckets
	inlineShare  = 4              // an inline bucket takes no more than this part of a page
	metaScanLast = 14             // bbolt looks for the second meta page from 1 KiB << 0 to 1 KiB << this
)

// Types of a page.
const (
	branchPage   = 0x01
	leafPage     = 0x02
	metaPage     = 0x04
	freelistPage = 0x10
)

// bucketFlag marks an element of a leaf whose value is a bucket.
const bucketFlag = 0x01

// maxAddress is how far from an element bbolt can address its bytes: its
// MaxAllocSize, which depends on the size of an int.
const maxAddress = (math.MaxInt>>32&1)*(1<<31-1<<28) + 1<<28 - 1

var le = binary.LittleEndian

// A header begins each page.
type header struct {
	id       uint64
	flags    uint16
	count    uint16
	overflow uint32 // pages that it takes beyond the first
}

// headerOf decodes the header at the beginning of b.
func headerOf(b []byte) header {
	return header{le.Uint64(b), le.Uint16(b[8:]), le.Uint16(b[10:]), le.Uint32(b[12:])}
}

// putHeader encodes a header at the beginning of b.
func putHeader(b []byte, h header) {
	le.PutUint64(b, h.id)
	le.PutUint16(b[8:], h.flags)
	le.PutUint16(b[10:], h.count)
	le.PutUint32(b[12:], h.overflow)
}

// metaOf decodes the meta at the beginning of b, after the page's header, and
// says in Err why bbolt would refuse it.
func metaOf(b []byte) Meta {
	m := Meta{
		PageSize:  le.Uint32(b[8:]),
		Root:      le.Uint64(b[16:]),
		Freelist:  le.Uint64(b[32:]),
		HighWater: le.Uint64(b[40:]),
		Txid:      le.Uint64(b[48:]),
	}
	h := fnv.New64a()
	h.Write(b[:56])
	switch {
	case binary.BigEndian.Uint32(b) == magic:
		m.Err = errEndian
	case le.Uint32(b) != magic:
		m.Err = errMagic
	case le.Uint32(b[4:]) != version:
		m.Err = errVersion
	case le.Uint64(b[56:]) != h.Sum64():
		m.Err = errChecksum
	}
	return m
}

// An element is an entry of a branch or a leaf. Its numbers are as the file has
// them: nothing is sure of them but that they can be added to each other.
type element struct {
	flags      uint32 // of a leaf
	child      uint64 // of a branch: the page with the keys from this one
	off        int64  // of the key, from the beginning of the page; the value follows it
	key, value int64  // sizes
}

// end is where the element's bytes end, from the beginning of the page.
func (e *element) end() int64 { return e.off + e.key + e.value }

// A node is a branch, a leaf, or what an inline bucket has in place of one.
type node struct {
	id     uint64 // its page; that of the leaf around it for an inline bucket
	branch bool
	count  int
	pages  uint64 // that it takes; 0 for an inline bucket
	extent int64  // bytes that it takes
	head   []byte // the first of them, all if it takes only one page; valid until the next page is read
}

// elem decodes the element i, which must be within the head.
func (n *node) elem(i int) element {
	at := headerSize + i*elemSize
	b := n.head[at : at+elemSize]
	if n.branch {
		return element{
			off:   int64(at) + int64(le.Uint32(b)),
			key:   int64(le.Uint32(b[4:])),
			child: le.Uint64(b[8:]),
		}
	}
	return element{
		flags: le.Uint32(b),
		off:   int64(at) + int64(le.Uint32(b[4:])),
		key:   int64(le.Uint32(b[8:])),
		value: int64(le.Uint32(b[12:])),
	}
}

// likely is how many elements the node probably has, if it is not sound: as many
// as the header says or as there is room for before the key of the first one.
func (n *node) likely() int {
	room := n.room()
	if room == 0 {
		return 0
	}
	data := (n.elem(0).off - headerSize) / elemSize
	if data > int64(room) {
		data = 0
	}
	if n.count > room {
		return max(int(data), 1)
	}
	return max(int(data), n.count)
}

// room is how many elements the head has room for.
func (n *node) room() int { return (len(n.head) - headerSize) / elemSize }
