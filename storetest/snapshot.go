package storetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed-5df914be/userdata"
)

// A new store must be empty, not merely look so, or nothing else here means anything.
func testFresh(t *testing.T, s userdata.Store) {
	view(t, s, func(snap userdata.Snapshot) {
		wantEqual(t, "a fresh store", dump(t, snap), nil)
		if snap.Version() == 0 {
			t.Error("Version of a fresh store: got 0, which means no version in a change set")
		}
	})
}

// A session that reads twice must see one state, whatever others commit between.
func testSnapshotStays(t *testing.T, s userdata.Store) {
	apply(t, s, many(3000)...) // room, so that a file need not grow under the snapshot
	apply(t, s, put("a", "changed", "old"), put("a", "deleted", "old"), put("a", "kept", "old"))
	view(t, s, func(snap userdata.Snapshot) {
		before, v := dump(t, snap), snap.Version()
		held, err := snap.Get("a", []byte("changed"))
		if err != nil {
			t.Fatalf("Get: got %v, want no error", err)
		}
		for i := range 3 {
			done := make(chan error)
			go func() {
				done <- try(t.Context(), s, put("a", "changed", fmt.Sprint("new", i)), del("a", "deleted"), put("a", "in", "new"), put("b", "in", "new"), del("many", "000007"))
			}()
			if err := <-done; err != nil {
				t.Fatalf("Apply during a View: got %v, want nil", err)
			}
		}
		wantEqual(t, "the snapshot after three commits of others", dump(t, snap), before)
		if got := get(t, snap, "a", "changed"); got != `"old"` || string(held) != "old" {
			t.Errorf("a changed value: Get gives %s, the slice held now has %q, want both old", got, held)
		}
		if snap.Version() != v {
			t.Errorf("Version of the snapshot: got %d, want still %d", snap.Version(), v)
		}
	})
	view(t, s, func(snap userdata.Snapshot) {
		wantEqual(t, "the next snapshot", scan(t, snap, "a", userdata.Range{}), []string{`a "changed"="new2"`, `a "in"="new"`, `a "kept"="old"`})
	})
}

// Queries are scans: a bound that is off by one is a record lost or too many.
func testScanRanges(t *testing.T, s userdata.Store) {
	rng := rand.New(rand.NewPCG(1, 2))
	keys := []string{"\x00", "a", "a\x00", "b", "\xff", "\xff\xff"}
	for range 40 {
		keys = append(keys, fmt.Sprintf("k%03d", rng.IntN(500)))
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	var changes []userdata.Change
	for _, k := range keys {
		changes = append(changes, put("a", k, "v"+k))
	}
	apply(t, s, append(changes, put("b", "beside", "x"))...)
	bounds := [][]byte{nil, {}, []byte("k"), []byte("k25"), []byte("zz"), []byte("\xff\xff\xff")}
	for _, k := range keys[:12] {
		bounds = append(bounds, []byte(k), []byte(k+"\x00"))
	}
	bounds = append(bounds, []byte(keys[len(keys)-1]))
	view(t, s, func(snap userdata.Snapshot) {
		for _, from := range bounds {
			for _, to := range bounds {
				for _, reverse := range []bool{false, true} {
					r := userdata.Range{From: from, To: to, Reverse: reverse}
					wantEqual(t, fmt.Sprintf("Scan from %q to %q, reverse %t", from, to, reverse), scan(t, snap, "a", r), wantScan(keys, r))
				}
			}
		}
	})
}

// wantScan is what a scan of the range finds among the sorted keys.
func wantScan(keys []string, r userdata.Range) (want []string) {
	for _, k := range keys {
		if k >= string(r.From) && (r.To == nil || k < string(r.To)) {
			want = append(want, fmt.Sprintf("a %.40q=%.40q", k, "v"+k))
		}
	}
	if r.Reverse {
		slices.Reverse(want)
	}
	return want
}

// Beyond one page a store's tree has inner nodes, which small cases never reach.
func testScanMany(t *testing.T, s userdata.Store) {
	all := many(5000)
	apply(t, s, all...)
	var gone []userdata.Change
	var want []string
	for i, c := range all {
		if i%3 == 0 || i > 1000 && i < 2000 {
			gone = append(gone, del(c.Bucket, string(c.Key)))
		} else {
			want = append(want, fmt.Sprintf("many %.40q=%s", c.Key, word(c.Value)))
		}
	}
	apply(t, s, gone...)
	view(t, s, func(snap userdata.Snapshot) {
		wantEqual(t, "forward", scan(t, snap, "many", userdata.Range{}), want)
		slices.Reverse(want)
		wantEqual(t, "backward", scan(t, snap, "many", userdata.Range{Reverse: true}), want)
		middle := userdata.Range{From: []byte("000900"), To: []byte("002100"), Reverse: true}
		if n := len(scan(t, snap, "many", middle)); n != 134 { // 67 on each side of the gap
			t.Errorf("Scan across a gap: got %d entries, want 134", n)
		}
	})
}

// A limit or a break in a loop must end the reading, or First would read everything.
func testScanStops(t *testing.T, s userdata.Store) {
	apply(t, s, put("a", "1", "x"), put("a", "2", "x"), put("a", "3", "x"), put("a", "4", "x"))
	for _, reverse := range []bool{false, true} {
		for stop := 1; stop <= 4; stop++ {
			view(t, s, func(snap userdata.Snapshot) {
				calls := 0
				err := snap.Scan("a", userdata.Range{Reverse: reverse}, func(_, _ []byte) bool { calls++; return calls < stop })
				if calls != stop || err != nil {
					t.Errorf("Scan, reverse %t, stopped at call %d: got %d calls, error %v", reverse, stop, calls, err)
				}
			})
		}
	}
}

// A query by index reads the record of each entry while the scan stands still.
func testScanNested(t *testing.T, s userdata.Store) {
	apply(t, s, put("a", "1", "x"), put("a", "2", "y"), put("b", "x", "X"), put("b", "y", "Y"))
	view(t, s, func(snap userdata.Snapshot) {
		var got []string
		err := snap.Scan("a", userdata.Range{}, func(k, v []byte) bool {
			got = append(got, get(t, snap, "b", string(v)), get(t, snap, "a", "2"), get(t, snap, "none", "1"))
			got = append(got, scan(t, snap, "a", userdata.Range{Reverse: true})...)
			got = append(got, string(k)+string(v))
			return true
		})
		wantError(t, "Scan", err, nil)
		inner := []string{`a "2"="y"`, `a "1"="x"`}
		want := slices.Concat([]string{`"X"`, `"y"`, "nothing"}, inner, []string{"1x", `"Y"`, `"y"`, "nothing"}, inner, []string{"2y"})
		wantEqual(t, "Get and Scan inside a Scan", got, want)
	})
}

// An index entry has no value, and is there all the same.
func testEmptyValues(t *testing.T, s userdata.Store) {
	apply(t, s, put("a", "1", ""), put("a", "2", "x"), put("a", "3", ""))
	view(t, s, func(snap userdata.Snapshot) {
		wantEqual(t, "empty values", dump(t, snap), []string{"a", `a "1"=""`, `a "2"="x"`, `a "3"=""`})
		if got := get(t, snap, "a", "1"); got != `""` {
			t.Errorf("Get of an empty value: got %s, want an empty slice that is not nil", got)
		}
	})
}

// Keys are encoded numbers and times: any byte may come, at any place.
func testAnyBytes(t *testing.T, s userdata.Store) {
	var changes []userdata.Change
	want := []string{"a"}
	for i := range 256 {
		for _, k := range []string{string([]byte{byte(i)}), string([]byte{byte(i), 0}), string([]byte{byte(i), 0xff})} {
			changes = append(changes, put("a", k, k))
			want = append(want, fmt.Sprintf("a %q=%q", k, k))
		}
	}
	apply(t, s, changes...)
	view(t, s, func(snap userdata.Snapshot) {
		wantEqual(t, "every byte", dump(t, snap), want)
		if got := get(t, snap, "a", "\x00\x00\x00"); got != "nothing" {
			t.Errorf("Get of a key with one zero more: got %s, want nothing", got)
		}
	})
}

// A value larger than a page must come back whole.
func testLargeValues(t *testing.T, s userdata.Store) {
	rng := rand.New(rand.NewPCG(3, 4))
	value := make([]byte, 1<<20+1)
	for i := range value {
		value[i] = byte(rng.Uint32())
	}
	apply(t, s, userdata.Change{Bucket: "a", Key: []byte("1"), Value: value}, put("a", "2", "x"))
	apply(t, s, put("a", "2", "y"))
	view(t, s, func(snap userdata.Snapshot) {
		if got, err := snap.Get("a", []byte("1")); err != nil || !bytes.Equal(got, value) {
			t.Errorf("Get of a value of %d bytes: got %d bytes, error %v, want the same bytes", len(value), len(got), err)
		}
	})
}

// A table that no record was ever written to has no bucket, and reads as empty.
func testMissingBucket(t *testing.T, s userdata.Store) {
	apply(t, s, put("b", "1", "x"))
	apply(t, s, del("a", "1"), put("b", "2", "x"), del("c", "1"))
	view(t, s, func(snap userdata.Snapshot) {
		for _, name := range []string{"a", "c", "bb", ""} {
			if got := get(t, snap, name, "1"); got != "nothing" {
				t.Errorf("Get in missing bucket %q: got %s, want nothing", name, got)
			}
			wantEqual(t, "Scan of a missing bucket", scan(t, snap, name, userdata.Range{}), nil)
			wantEqual(t, "reverse Scan of a missing bucket", scan(t, snap, name, userdata.Range{Reverse: true}), nil)
		}
		wantEqual(t, "deletes in missing buckets", dump(t, snap), []string{"b", `b "1"="x"`, `b "2"="x"`})
	})
}

// The list of buckets is how a tool finds what is in a file of unknown schema.
func testBuckets(t *testing.T, s userdata.Store) {
	apply(t, s, put("b", "1", "x"), put("c", "1", "x"))
	apply(t, s, put("B", "1", "x"), put("_", "1", "x"), put("bb", "1", "x"), put("é", "1", "x"))
	apply(t, s, del("c", "0"), put("c", "1", "y"), del("c", "2"))
	view(t, s, func(snap userdata.Snapshot) {
		names, err := snap.Buckets()
		wantError(t, "Buckets", err, nil)
		wantEqual(t, "Buckets", names, []string{"B", "_", "b", "bb", "c", "é"})
		wantEqual(t, "one bucket", scan(t, snap, "c", userdata.Range{}), []string{`c "1"="y"`})
	})
}
