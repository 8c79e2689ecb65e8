package userdata

import "maps"

// A keyIndex finds entries by the keys that their records have in the store. Those that
// came since it was last asked wait until it is asked again: who reads much and then asks
// for nothing by key pays for no map.
type keyIndex struct {
	byKey map[string]*entry

	// Those that wait are put, or in the identity map's list from seen on and not Pending.
	// Their keys must not change meanwhile: remove comes first.
	list *[]*entry
	seen int
	put  []*entry

	puts int // how many entries came
}

// add takes in an entry that was Pending, in place of one with the same key.
func (x *keyIndex) add(e *entry) { x.put, x.puts = append(x.put, e), x.puts+1 }

// all returns the entries by key, as they are until another comes or goes.
func (x *keyIndex) all() map[string]*entry {
	if x.list == nil { // of no session
		return nil
	}
	if came := (*x.list)[x.seen:]; len(came)+len(x.put) > 0 {
		if n := len(came) + len(x.put); x.byKey == nil || n > 1024 && n > len(x.byKey) { // half of what it costs is the map's growing
			grown := make(map[string]*entry, len(x.byKey)+n)
			maps.Copy(grown, x.byKey)
			x.byKey = grown
		}
		for _, e := range came {
			if e != nil && e.state != Pending {
				x.byKey[e.key] = e
			}
		}
		for _, e := range x.put {
			x.byKey[e.key] = e
		}
		x.seen, x.put = len(*x.list), nil
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
