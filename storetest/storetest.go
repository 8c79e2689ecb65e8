// Package storetest is the conformance suite of [userdata.Store]. Whoever
// writes a store runs it in a test:
//
//	func TestMyStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) userdata.Store { return openMyStore(t) })
//	}
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed-5df914be/userdata"
)

// Run runs each case of the suite as a subtest on a store of its own, which
// newStore returns empty. The cases close their stores; newStore may arrange
// for a Cleanup that closes them again. It uses no clock, and its random
// numbers are the same in each run.
func Run(t *testing.T, newStore func(t *testing.T) userdata.Store) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t)
			c.run(t, s)
			if err := s.Close(); err != nil {
				t.Errorf("Close at the end of the case: got %v, want nil", err)
			}
		})
	}
}

var cases = []struct {
	name string
	run  func(t *testing.T, s userdata.Store)
}{
	{"Fresh", testFresh},
	{"SnapshotStays", testSnapshotStays},
	{"AllOrNothing", testAllOrNothing},
	{"Expectations", testExpectations},
	{"EveryConflictIsListed", testEveryConflict},
	{"VersionGrows", testVersionGrows},
	{"VersionExpected", testVersionExpected},
	{"ScanRanges", testScanRanges},
	{"ScanMany", testScanMany},
	{"ScanStops", testScanStops},
	{"ScanNested", testScanNested},
	{"EmptyValues", testEmptyValues},
	{"AnyBytes", testAnyBytes},
	{"LargeValues", testLargeValues},
	{"KeySize", testKeySize},
	{"Invalid", testInvalid},
	{"MissingBucket", testMissingBucket},
	{"Buckets", testBuckets},
	{"Deletes", testDeletes},
	{"SlicesReused", testSlicesReused},
	{"Closed", testClosed},
	{"CloseWaits", testCloseWaits},
	{"CloseWhileBusy", testCloseWhileBusy},
	{"Cancelled", testCancelled},
	{"CancelWhileBusy", testCancelWhileBusy},
	{"ViewError", testViewError},
	{"ViewPanic", testViewPanic},
	{"NoLostUpdate", testNoLostUpdate},
	{"NoHalfRead", testNoHalfRead},
}

func put(bucket, key, value string) userdata.Change {
	return userdata.Change{Bucket: bucket, Key: []byte(key), Value: []byte(value)}
}

func del(bucket, key string) userdata.Change {
	return userdata.Change{Bucket: bucket, Key: []byte(key)}
}

func free(c userdata.Change) userdata.Change {
	c.Expect = userdata.ExpectNothing
	return c
}

func over(c userdata.Change, before string) userdata.Change {
	c.Expect, c.Before = userdata.ExpectBytes, []byte(before)
	return c
}

func try(ctx context.Context, s userdata.Store, changes ...userdata.Change) error {
	return s.Apply(ctx, &userdata.ChangeSet{Changes: changes})
}

func apply(t *testing.T, s userdata.Store, changes ...userdata.Change) {
	t.Helper()
	if err := try(t.Context(), s, changes...); err != nil {
		t.Fatalf("Apply: got %v, want nil", err)
	}
}

func view(t *testing.T, s userdata.Store, fn func(userdata.Snapshot)) {
	t.Helper()
	if err := s.View(t.Context(), func(snap userdata.Snapshot) error { fn(snap); return nil }); err != nil {
		t.Fatalf("View: got %v, want nil", err)
	}
}

// get returns the value in words that tell a missing one from an empty one.
func get(t *testing.T, snap userdata.Snapshot, bucket, key string) string {
	t.Helper()
	value, err := snap.Get(bucket, []byte(key))
	if err != nil {
		t.Fatalf("Get %s %q: got %v, want no error", bucket, key, err)
	}
	return word(value)
}

func word(value []byte) string {
	if value == nil {
		return "nothing"
	}
	return fmt.Sprintf("%.40q", value)
}

// scan returns the entries of a range, in its order.
func scan(t *testing.T, snap userdata.Snapshot, bucket string, r userdata.Range) []string {
	t.Helper()
	var got []string
	err := snap.Scan(bucket, r, func(k, v []byte) bool {
		got = append(got, fmt.Sprintf("%s %.40q=%s", bucket, k, word(v)))
		return true
	})
	if err != nil {
		t.Fatalf("Scan %s: got %v, want nil", bucket, err)
	}
	return got
}

// dump returns all that a snapshot shows: its buckets and their entries.
func dump(t *testing.T, snap userdata.Snapshot) []string {
	t.Helper()
	names, err := snap.Buckets()
	if err != nil {
		t.Fatalf("Buckets: got %v, want no error", err)
	}
	all := slices.Clone(names)
	for _, name := range names {
		all = append(all, scan(t, snap, name, userdata.Range{})...)
	}
	return all
}

// state is a dump with the version.
func state(t *testing.T, s userdata.Store) (got []string) {
	t.Helper()
	view(t, s, func(snap userdata.Snapshot) {
		got = append(dump(t, snap), fmt.Sprint("version ", snap.Version()))
	})
	return got
}

func version(t *testing.T, s userdata.Store) (v uint64) {
	t.Helper()
	view(t, s, func(snap userdata.Snapshot) { v = snap.Version() })
	return v
}

func wantEqual(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %s\nwant %s", what, brief(got), brief(want))
	}
}

func brief(lines []string) string {
	if len(lines) > 12 {
		return fmt.Sprintf("%s ... (%d lines)", strings.Join(lines[:12], ", "), len(lines))
	}
	return "[" + strings.Join(lines, ", ") + "]"
}

func wantError(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

// many returns n changes, enough for a tree of several levels.
func many(n int) []userdata.Change {
	changes := make([]userdata.Change, n)
	for i := range changes {
		changes[i] = put("many", fmt.Sprintf("%06d", i), strings.Repeat(fmt.Sprint(i), 20))
	}
	return changes
}
