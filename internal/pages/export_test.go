package pages

import (
	"cmp"
	"io"
)

// Rules are the rules that a finding can break, by name.
var Rules = map[string]error{
	"short": errShort, "magic": errMagic, "endian": errEndian, "version": errVersion,
	"checksum": errChecksum, "no meta": errNoMeta, "page size": errPageSize,
	"txid": errTxid, "high water": errHighWater,

	"bounds": errBounds, "twice": errTwice, "free": errFree, "leaked": ErrLeaked,
	"id": errID, "kind": errKind, "overflow": errOverflow, "header": errHeader,

	"count": errCount, "crowded": errCrowded, "empty": errEmpty, "flags": errFlags,
	"key size": errKeySize, "layout": errLayout, "beyond": errBeyond, "address": errAddress,
	"first key": errFirstKey, "order": errOrder, "range": errRange, "extent": errExtent,

	"depth": errDepth, "too deep": errTooDeep, "root entry": errRootEntry,
	"bucket": errBucket, "inline": errInline, "nesting": errNesting,

	"free count": errFreeCount, "free id": errFreeID, "free order": errFreeOrder,
}

// MaxFindings is how many findings a report holds.
const MaxFindings = maxFindings

// Used returns the pages that the newest state of a file uses, but for the meta pages.
func Used(r io.ReaderAt, size int64) (map[uint64]bool, error) {
	s := scan{rep: Report{Meta: -1}, src: source{r: r}}
	err := s.metas(size, -1)
	if err == nil {
		err = s.run()
	}
	used := map[uint64]bool{}
	for id := uint64(firstPage); id < s.hwm; id++ {
		if s.used.has(id) {
			used[id] = true
		}
	}
	return used, cmp.Or(err, s.rep.Unsafe())
}

// RawSeal returns a meta page with the seal of a transaction and whatever list.
func RawSeal(txid uint64, list []byte, pageSize int) []byte {
	page := make([]byte, max(pageSize, SealOffset+sealHead+len(list)))
	b := page[SealOffset : SealOffset+sealHead+len(list)]
	le.PutUint64(b, sealMagic)
	le.PutUint64(b[8:], txid)
	le.PutUint32(b[24:], uint32(len(list)))
	copy(b[sealHead:], list)
	le.PutUint32(b[sealCRC:], sealSum(b))
	return page
}
