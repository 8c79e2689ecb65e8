package userdata

import "maps"

// A keyIndex finds entries by the keys that their records have in the store. Those that
// came since it was last asked wait until it is asked again: who reads much and then asks
// for nothing by key pays for no map.
type keyIndex struct {
	byKey   map[string]*entry
	waiting []*entry // their keys must not change meanwhile: remove comes first
	puts    int      // how often put was called
}

// put takes in an entry, in place of one with the same key.
func (x *keyIndex) put(e *entry) { x.waiting, x.puts = append(x.waiting, e), x.puts+1 }

// all returns the entries by key, as they are until put or remove is called.
func (x *keyIndex) all() map[string]*entry {
	if n := len(x.waiting); n > 0 {
		if x.byKey == nil || n > 1024 && n > len(x.byKey) { // half of what it costs is the map's growing
			grown := make(map[string]*entry, len(x.byKey)+n)
			maps.Copy(grown, x.byKey)
			x.byKey = grown
		}
		for _, e := range x.waiting {
			x.byKey[e.key] = e
		}
		if n > 1024 {
			x.waiting = nil
		} else {
			clear(x.waiting)
			x.waiting = x.waiting[:0]
		}
	}
	return x.byKey
}

// find returns the entry under the key, or nil.
func (x *keyIndex) find(key []byte) *entry { return x.all()[string(key)] }

// remove takes the entry out, if it is there.
func (x *keyIndex) remove(e *entry) {
	if byKey := x.all(); byKey[e.key] == e {
		delete(byKey, e.key)
	}
}
