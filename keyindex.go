package userdata

import "hash/maphash"

// A keyIndex finds the entries of an identity map by the keys that their records have in the
// store. Those that came since it was last asked wait until it is asked again: who reads much
// and then asks for nothing by key pays for no index.
//
// It is a table with a hash and a place in the list for each entry, twelve to 21 bytes and
// nothing for the garbage collector to look into, where a map would have a string and a pointer.
type keyIndex struct {
	slots []uint64 // at the first free place from that which the hash says on; 0 where there is none
	used  uint32   // how many are not 0
	seen  uint32   // see list

	// Those that wait are put, or in the identity map's list from seen on and not Pending.
	// Their keys must not change meanwhile: remove comes first.
	of  *identityMap
	put []*entry

	puts int // how many entries came
}

// keySeed makes the hashes of this process other ones than those of any other.
var keySeed = maphash.MakeSeed()

// hashOf returns the hash of a key.
func hashOf(key string) uint32 { return uint32(maphash.String(keySeed, key) >> 32) }

// slotOf returns the slot of an entry whose key has the hash: that, and the entry's place in the
// list, which begins with 1.
func slotOf(hash uint32, e *entry) uint64 { return uint64(hash)<<32 | uint64(e.index+1) }

// add takes in an entry that was Pending, in place of one with the same key.
func (x *keyIndex) add(e *entry) { x.put, x.puts = append(x.put, e), x.puts+1 }

// settle takes in those that wait.
func (x *keyIndex) settle() {
	if x.of == nil { // of no session
		return
	}
	list := x.of.list()
	came := list[x.seen:]
	if len(came)+len(x.put) == 0 {
		return
	}
	x.reserve(len(came) + len(x.put))
	for _, e := range came {
		if e != nil && e.state != Pending {
			x.set(e)
		}
	}
	for _, e := range x.put {
		if e.tracked() {
			x.set(e)
		}
	}
	x.seen, x.put = uint32(len(list)), nil
}

// reserve makes room for more entries.
func (x *keyIndex) reserve(more int) {
	size := max(len(x.slots), 8)
	for 4*(int(x.used)+more) > 3*size {
		size *= 2
	}
	if size == len(x.slots) {
		return
	}
	old := x.slots
	x.slots = make([]uint64, size)
	for _, slot := range old {
		if slot == 0 {
			continue
		}
		at := x.home(slot)
		for x.slots[at] != 0 {
			at = x.after(at)
		}
		x.slots[at] = slot
	}
}

// home is the place where a slot should be, and after the one to try next.
func (x *keyIndex) home(slot uint64) int { return int(slot>>32) & (len(x.slots) - 1) }
func (x *keyIndex) after(at int) int     { return (at + 1) & (len(x.slots) - 1) }

// place returns where the slot of the entry under the key is, and the entry, or else the free
// place where it belongs.
func (x *keyIndex) place(hash uint32, key string) (at int, e *entry) {
	at = int(hash) & (len(x.slots) - 1)
	for ; x.slots[at] != 0; at = x.after(at) {
		if slot := x.slots[at]; uint32(slot>>32) == hash {
			if e = x.of.entries[uint32(slot)-1]; e != nil && e.key == key {
				return at, e
			}
		}
	}
	return at, nil
}

// set takes in an entry that there is room for.
func (x *keyIndex) set(e *entry) {
	hash := hashOf(e.key)
	at, old := x.place(hash, e.key)
	if old == nil {
		x.used++
	}
	x.slots[at] = slotOf(hash, e)
}

// find returns the entry under the key, or nil.
func (x *keyIndex) find(key []byte) *entry {
	x.settle()
	return x.get(key)
}

// get is find without those that wait, so that several goroutines may call it at once.
func (x *keyIndex) get(key []byte) *entry {
	if x.used == 0 {
		return nil
	}
	text := lentText(key)
	_, e := x.place(hashOf(text), text)
	return e
}

// remove takes the entry out, if it is there.
func (x *keyIndex) remove(e *entry) {
	x.settle()
	if x.used == 0 {
		return
	}
	at, found := x.place(hashOf(e.key), e.key)
	if found != e {
		return
	}
	x.used--
	for next := x.after(at); x.slots[next] != 0; next = x.after(next) { // who would not be found past a gap fills it
		slot := x.slots[next]
		if (next-x.home(slot))&(len(x.slots)-1) >= (next-at)&(len(x.slots)-1) {
			x.slots[at], at = slot, next
		}
	}
	x.slots[at] = 0
}

// renew is for when the entries of the list have got other places: there may be far fewer than
// there is room for, too.
func (x *keyIndex) renew() { x.slots, x.used, x.seen = nil, 0, 0 }
