package userdata

import (
	"unsafe"

	"github.com/seed-5df914be/userdata/internal/wire"
)

// A recordRun is records side by side in one block, as a scan found them. If they are to be
// tracked, it has the values that they were read from, too, one behind the other in another
// block: for as long as nobody asks for one of the records, that is all that a session keeps
// of them. See identityMap.runs.
type recordRun struct {
	first unsafe.Pointer
	n     int

	values []byte   // the block, up to its capacity
	from   uint32   // where the first value begins in it
	ends   []uint32 // where each ends; nil for records that are not to be tracked

	epoch uint64 // see entry.epoch
}

// at returns the record i of the run.
func (r *recordRun) at(t *table, i int) unsafe.Pointer {
	return unsafe.Add(r.first, uintptr(i)*t.size) // within the block: i < n
}

// value returns what the record i was read from, which never changes.
func (r *recordRun) value(i int) []byte { return r.values[r.begin(i):r.ends[i]:r.ends[i]] }

// begin returns where the value i begins in the block; that of n is the end of the last.
func (r *recordRun) begin(i int) uint32 {
	if i == 0 {
		return r.from
	}
	return r.ends[i-1]
}

// valuesGoOn reports whether a value that begins there in the block is the one behind the
// run's, and where it ends, which ends begins with, behind the run's ends.
func (r *recordRun) valuesGoOn(block []byte, from uint32, ends []uint32) bool {
	n := len(r.ends)
	return unsafe.SliceData(r.values) == unsafe.SliceData(block) && r.begin(n) == from &&
		n < cap(r.ends) && &r.ends[:n+1][n] == &ends[0]
}

// before returns the run of the first n records, of which there are more than 0.
func (r recordRun) before(n int) recordRun {
	if r.n = n; r.ends != nil {
		r.ends = r.ends[:n:n]
	}
	return r
}

// after returns the run of those behind the first n, of which there must be some.
func (r recordRun) after(t *table, n int) recordRun {
	if r.ends != nil {
		r.from, r.ends = r.ends[n-1], r.ends[n:]
	}
	r.first, r.n = r.at(t, n), r.n-n
	return r
}

// changed reports whether one of the records differs from what it was read from.
func (r *recordRun) changed(t *table) bool {
	for i := range r.n {
		if !t.matches(r.value(i), r.at(t, i)) {
			return true
		}
	}
	return false
}

// A keyReader finds the keys of records in what they were read from.
type keyReader struct {
	*table
	value  unsafe.Pointer // memory for a key's value,
	buf    []byte         // for a key,
	blocks                // and for those keys that are not part of what they were read from
}

func newKeyReader(t *table) *keyReader {
	k := &keyReader{table: t}
	if !t.keyCodec.text {
		k.value, k.most = t.key.codec.newApart(), pageRoom
	}
	return k
}

// of returns the key of the record that was read from the value, which never changes.
func (k *keyReader) of(value []byte) string {
	key := k.table.key
	_, pos := wire.Map(value)
	for _, c := range k.stored[:key.place] {
		pos += len(c.encodedName)
		pos += wire.Skip(value[pos:])
	}
	b := value[pos+len(key.encodedName):]
	if k.keyCodec.text {
		from, to := wire.TextSpan(b)
		return lentBy(value).text(b[from:to])
	}
	key.codec.parse(b, k.value, 0, lent)
	k.buf, _ = k.keyCodec.append(k.buf[:0], k.value)
	return lentText(k.blocks.copy(k.buf))
}

// entry makes an entry for the record i of a run, which the session is to track.
func (k *keyReader) entry(e *entry, run *recordRun, i int) {
	value := run.value(i)
	*e = entry{ptr: run.at(k.table, i), state: Persistent, key: k.of(value), baseline: lentText(value), epoch: run.epoch}
}
