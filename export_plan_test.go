package userdata

import (
	"context"
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
