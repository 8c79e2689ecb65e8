package userdata_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-5df914be/userdata"
)

// drawRange draws a range of short keys of few letters, maybe an empty or a
// reversed one.
func drawRange(t *rapid.T) userdata.Range {
	bound := rapid.OneOf(rapid.Just[[]byte](nil), rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0xff}), 0, 3))
	return userdata.Range{From: bound.Draw(t, "from"), To: bound.Draw(t, "to")}
}

// TestRangesAreSets holds union and intersection against membership of each key.
func TestRangesAreSets(t *testing.T) {
	t.Parallel()
	keys := [][]byte{}
	letters := []byte{0, 1, 2, 0xfe, 0xff}
	for _, a := range letters {
		keys = append(keys, []byte{a})
		for _, b := range letters {
			keys = append(keys, []byte{a, b})
			for _, c := range letters {
				keys = append(keys, []byte{a, b, c}, []byte{a, b, c, 0})
			}
		}
	}
	in := func(rs []userdata.Range, key []byte) bool {
		return slices.ContainsFunc(rs, func(r userdata.Range) bool { return r.Contains(key) })
	}
	rapid.Check(t, func(rt *rapid.T) {
		a := rapid.SliceOfN(rapid.Custom(drawRange), 0, 4).Draw(rt, "a")
		b := rapid.SliceOfN(rapid.Custom(drawRange), 0, 4).Draw(rt, "b")
		na, nb := userdata.NormalizeRanges(a), userdata.NormalizeRanges(b)
		both := userdata.IntersectRanges(na, nb)
		for _, key := range keys {
			if got, want := in(na, key), in(a, key); got != want {
				rt.Fatalf("normalize %v: key %x is in: got %v, want %v", a, key, got, want)
			}
			if got, want := in(both, key), in(a, key) && in(b, key); got != want {
				rt.Fatalf("%v and %v: key %x is in: got %v, want %v", na, nb, key, got, want)
			}
		}
		for _, rs := range [][]userdata.Range{na, nb, both} {
			for i, r := range rs {
				if r.To != nil && string(r.From) >= string(r.To) {
					rt.Fatalf("%v: range %d is empty", rs, i)
				}
				if i > 0 && (rs[i-1].To == nil || string(rs[i-1].To) > string(r.From)) {
					rt.Fatalf("%v: range %d overlaps", rs, i)
				}
			}
		}
		if again := userdata.NormalizeRanges(na); len(again) != len(na) {
			rt.Fatalf("normalize %v twice: got %v", na, again)
		}
	})
}
