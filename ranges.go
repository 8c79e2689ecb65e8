package userdata

import (
	"bytes"
	"slices"
)

// ranges are spans of keys, ascending, not overlapping, none of them empty or
// reversed. Those that touch stay apart, so that single values are seen as such.
// Nil holds no key.
type ranges []Range

// allKeys holds every key.
var allKeys = ranges{{}}

// after returns the first key beyond the given one.
func after(key []byte) []byte { return append(bytes.Clone(key), 0) }

// afterPrefix returns the first key beyond those that begin with the prefix, or
// nil if there is none.
func afterPrefix(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			end := bytes.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}

// isAll reports whether the ranges hold every key.
func (rs ranges) isAll() bool { return len(rs) == 1 && len(rs[0].From) == 0 && rs[0].To == nil }

// empty reports whether no key is in the range.
func (r Range) empty() bool { return r.To != nil && bytes.Compare(r.From, r.To) >= 0 }

// point returns the range's key, if it holds just one.
func (r Range) point() ([]byte, bool) {
	n := len(r.From)
	one := len(r.To) == n+1 && n > 0 && r.To[n] == 0 && bytes.Equal(r.To[:n], r.From)
	return r.From, one
}

// normalize sorts ranges and merges those that overlap.
func (rs ranges) normalize() ranges {
	rs = slices.DeleteFunc(slices.Clone(rs), Range.empty)
	slices.SortFunc(rs, func(a, b Range) int { return bytes.Compare(a.From, b.From) })
	var out ranges
	for _, r := range rs {
		last := len(out) - 1
		switch {
		case last < 0 || out[last].To != nil && bytes.Compare(out[last].To, r.From) <= 0:
			out = append(out, r)
		case out[last].To != nil && (r.To == nil || bytes.Compare(r.To, out[last].To) > 0):
			out[last].To = r.To
		}
	}
	return out
}

// intersect returns what is in both; that may be one of them.
func (rs ranges) intersect(other ranges) ranges {
	switch {
	case rs.isAll():
		return other
	case other.isAll():
		return rs
	}
	var out ranges
	for i, j := 0, 0; i < len(rs) && j < len(other); {
		a, b := rs[i], other[j]
		both := Range{From: a.From, To: a.To}
		if bytes.Compare(b.From, a.From) > 0 {
			both.From = b.From
		}
		if aFirst := a.To != nil && (b.To == nil || bytes.Compare(a.To, b.To) <= 0); aFirst {
			i++
		} else {
			both.To = b.To
			j++
		}
		if !both.empty() {
			out = append(out, both)
		}
	}
	return out
}

// reversed returns the ranges from the last to the first, to be scanned so.
func (rs ranges) reversed() ranges {
	rs = slices.Clone(rs)
	slices.Reverse(rs)
	for i := range rs {
		rs[i].Reverse = true
	}
	return rs
}
