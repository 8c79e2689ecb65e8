package userdata

import (
	"context"
	"reflect"
	"slices"
)

// NormalizeRanges and IntersectRanges are what the planner does with ranges.
func NormalizeRanges(rs []Range) []Range { return slices.Clone(ranges(rs)).normalize() }

func IntersectRanges(a, b []Range) []Range { return ranges(a).intersect(b) }

// Held returns room for how many stored records a query made at one time.
func Held[T any](ctx context.Context, q Query[T]) (int, error) {
	found, err := q.q.plan().collect(ctx)
	return cap(found), err
}

// DivideScans makes a database read every scan that it can in parts of one leaf or two
// entries, or none if on is false.
func DivideScans(db *DB, on bool) {
	db.parts = partSizes{leaves: 1, entries: 2, alone: 1, readers: 4}
	if !on {
		db.parts.readers = 1
	}
}

// InParts reports whether the stored records that a query is about were found in parts,
// without any trouble, and how many there are.
func InParts[T any](ctx context.Context, q Query[T]) (n int, done bool, err error) {
	p := q.q.plan()
	g := p.newGatherer()
	err = p.read(ctx, func(snap Snapshot) (err error) {
		done, err = p.scanParts(ctx, snap, g)
		return err
	})
	return len(g.found), done, err
}

// Entries returns how many records of the type's table have an entry in the session: those that
// were read in a list and not asked for since have none.
func Entries[T any](s *Session, t *Table[T]) int {
	return len(s.known(s.db.types[reflect.TypeFor[T]()]).entries)
}
