package pages

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
