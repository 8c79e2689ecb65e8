package pages

import (
	"hash/fnv"
	"io"
)

// Metas is [Check] of the two meta pages alone: its report says which of them
// bbolt would choose, and has findings about nothing else.
func Metas(r io.ReaderAt, size int64) (Report, error) {
	s := scan{rep: Report{Meta: -1}, src: source{r: r}}
	err := s.metas(size, -1)
	return s.rep, err
}

// NoFreelist is what a meta has in place of a freelist's page if the file keeps none.
const NoFreelist uint64 = noFreelist

// MoveMeta makes the bytes of a valid meta page those of the meta page slot, 0 or
// 1: the page's number changes, what the meta says does not.
func MoveMeta(page []byte, slot int) {
	le.PutUint64(page, uint64(slot))
}

// SetMeta makes the bytes of a valid meta page say what m does.
func SetMeta(page []byte, m Meta) {
	b := page[headerSize : headerSize+metaSize]
	le.PutUint64(b[16:], m.Root)
	le.PutUint64(b[32:], m.Freelist)
	le.PutUint64(b[40:], m.HighWater)
	SetTxid(page, m.Txid)
}

// SetTxid changes the number of the transaction in the bytes of a meta page, and
// its checksum.
func SetTxid(page []byte, txid uint64) {
	b := page[headerSize : headerSize+metaSize]
	le.PutUint64(b[48:], txid)
	h := fnv.New64a()
	h.Write(b[:56])
	le.PutUint64(b[56:], h.Sum64())
}

// CheckFreelist is [CheckMeta] of the meta pages and the freelist alone, as far as that
// can be without the trees: a page that is used and free is not found.
func CheckFreelist(r io.ReaderAt, size int64, meta int) (Report, error) {
	s := scan{rep: Report{Meta: -1}, src: source{r: r}, noTrees: true}
	err := s.metas(size, meta&1)
	if err == nil && s.rep.Meta >= 0 && s.rep.Metas[s.rep.Meta].Freelist != noFreelist {
		err = s.freelist(s.rep.Metas[s.rep.Meta].Freelist)
	}
	return s.rep, err
}
