package main

// A goal is what an op of this package should cost at most.
type goal struct {
	Ratio float64 `json:"ratio,omitempty"` // to raw bbolt
	Cost  float64 `json:"cost,omitempty"`  // in nanoseconds, and without allocations
}

// goals are the goals of the ops that have one.
var goals = map[string]goal{
	"load":        {Ratio: 0.8},
	"size":        {Ratio: 0.6},
	"open":        {Ratio: 0.5},
	"get":         {Ratio: 0.4},
	"tracked":     {Cost: 60},
	"scan":        {Ratio: 0.35},
	"scantracked": {Ratio: 0.35},
	"index":       {Ratio: 0.4},
	"filter":      {Ratio: 0.16},
	"clean":       {Cost: 40},
	"commit":      {Ratio: 0.85},
	"ordered":     {Ratio: 0.06},
	"random":      {Ratio: 0.15},
	"change":      {Ratio: 0.9},
}

// String returns the goal as the tables have it.
func (g goal) String() string {
	switch {
	case g.Ratio > 0:
		return "≤ " + figure(g.Ratio)
	case g.Cost > 0:
		return "≤ " + duration(g.Cost) + ", 0 allocs"
	}
	return ""
}

// verdict says whether a result is within the goal: "met", "not met", or nothing
// if there is no goal or no result.
func (g goal) verdict(res *result) string {
	met := false
	switch {
	case g.Ratio > 0 && res.Ratio != nil:
		met = res.Ratio.Median <= g.Ratio
	case g.Cost > 0 && res.Cost != nil && res.Allocs != nil:
		met = res.Cost.Median <= g.Cost && *res.Allocs < 0.5
	default:
		return ""
	}
	if met {
		return "met"
	}
	return "not met"
}

// reasons say why this package may be behind a peer or its goal in an op. They are
// shown where it is.
var reasons = map[string]string{
	"load": `A commit of scattered keys writes nearly all pages of the tree anew; pebble appends to a log and writes the tree later.
This package also finds and compares what each key has, checksums each record, and keeps the sums of its buckets.`,
	"close":       `What the load left free is cut off the file, after pages have moved from its end; raw bbolt only unmaps it. SQLite and pebble write their logs to the tree or a table.`,
	"size":        `A commit fills the pages that it writes; what commits left free Close has cut off. SQLite keeps no key twice in its index, and writes pages in place; pebble compresses its blocks.`,
	"open":        `The meta pages and the list of free pages are checked, and the schema is compared; SQLite and others trust what they find. Raw bbolt puts all free pages into a map, where this package keeps a list.`,
	"get":         `Nearly half of a get in a large file is waiting for memory, though marks (internal/pages) spare it one wait of three. To find the bytes, compare them with their checksum and copy them takes a third of what raw bbolt takes (BenchmarkOwnFloor); a session, its allocations and what guards against a bad file and a closed one take the rest.`,
	"session":     `The session keeps what it read, with a copy to compare with later.`,
	"tracked":     `The identity map is looked up by the table and the key, under a check that the session is used by one goroutine.`,
	"scan":        `Part of the time goes into collecting garbage, which a program with little memory in use does every 4 MB: larger pages than those of 20,000 records make it no shorter, nor do larger blocks than those of 9 KB. Two processors that only compare checksums and copy texts take 0.25 to 0.32 (BenchmarkOwnFloor).`,
	"scantracked": `What the session keeps is marked by the garbage collector, on processors that the scan is using; raw bbolt keeps nothing, and its collector runs beside it. With some 10 to 40 MB of other data in the program the difference is the largest.`,
	"index":       `An index entry has the key, so each record is a look-up in the table, most of which is waiting for memory; and each is compared with its checksum and with the entry, and tracked. The faster a machine's memory is, the less of that raw bbolt has to wait for.`,
	"filter":      `Every record's checksum is compared before its column is looked at.`,
	"clean":       `Every plain field is compared with what was read.`,
	"commit":      `The one sync writes some ten pages, most beside each other; SQLite and pebble append a few hundred bytes to a log and sync that.`,
	"ordered":     `Committers share a commit, whose sync sets the floor; pebble syncs one log once, and forms its tree later.`,
	"random":      `Committers share a commit, but scattered keys touch a page each, which is written whole; pebble appends to one log, and forms its tree later.`,
	"change":      `Scattered records are a page each, which is read, formed anew and written whole; pebble appends to a log.`,
}
