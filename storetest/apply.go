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

// A refused change set must leave no trace: no entry, no bucket, no version.
func testAllOrNothing(t *testing.T, s userdata.Store) {
	apply(t, s, put("a", "1", "x"), put("m", "1", "x"))
	before := state(t, s)
	for name, bad := range map[string]userdata.Change{"first": free(put("a", "1", "y")), "last": over(put("z", "9", "y"), "x")} {
		changes := []userdata.Change{bad, put("m", "1", "y"), put("m", "2", "y"), put("n", "1", "y"), del("o", "1")}
		slices.SortFunc(changes, func(a, b userdata.Change) int { return strings.Compare(a.Bucket+string(a.Key), b.Bucket+string(b.Key)) })
		wantError(t, name+" change refused", try(t.Context(), s, changes...), userdata.ErrConflict)
		wantEqual(t, name+" change refused", state(t, s), before)
	}
	apply(t, s, del("a", "1"), put("m", "1", "y"), put("n", "1", "y"))
	view(t, s, func(snap userdata.Snapshot) {
		wantEqual(t, "after an accepted one", dump(t, snap), []string{"a", "m", "n", `m "1"="y"`, `n "1"="y"`})
	})
}

// Each expectation decides whether an update is lost, so each is seen to hold and to fail.
func testExpectations(t *testing.T, s userdata.Store) {
	const missing = "missing"
	tests := []struct {
		name   string
		there  string // missing, or what is there
		expect userdata.Expectation
		before []byte
		ok     bool
	}{
		{"anything over nothing", missing, userdata.ExpectAnything, nil, true},
		{"anything over bytes", "old", userdata.ExpectAnything, nil, true},
		{"nothing over nothing", missing, userdata.ExpectNothing, nil, true},
		{"nothing over bytes", "old", userdata.ExpectNothing, nil, false},
		{"nothing over empty", "", userdata.ExpectNothing, nil, false},
		{"bytes over the same", "old", userdata.ExpectBytes, []byte("old"), true},
		{"bytes over others", "old", userdata.ExpectBytes, []byte("Old"), false},
		{"bytes over a longer value", "older", userdata.ExpectBytes, []byte("old"), false},
		{"bytes over a shorter value", "ol", userdata.ExpectBytes, []byte("old"), false},
		{"bytes over nothing", missing, userdata.ExpectBytes, []byte("old"), false},
		{"empty over empty", "", userdata.ExpectBytes, []byte{}, true},
		{"empty over nothing", missing, userdata.ExpectBytes, []byte{}, false},
		{"nil bytes over empty", "", userdata.ExpectBytes, nil, true},
		{"nil bytes over nothing", missing, userdata.ExpectBytes, nil, false},
	}
	for _, test := range tests {
		for _, value := range [][]byte{[]byte("new"), nil} {
			there := put("a", "k", test.there)
			if test.there == missing {
				there.Value = nil
			}
			apply(t, s, there, put("a", "other", "x"))
			err := try(t.Context(), s, userdata.Change{Bucket: "a", Key: []byte("k"), Value: value, Expect: test.expect, Before: test.before})
			what, want := fmt.Sprintf("%s, writing %s", test.name, word(value)), value
			if !test.ok {
				want = there.Value
				wantConflicts(t, what, err, userdata.Conflict{Change: 0, Found: there.Value})
			} else if err != nil {
				t.Errorf("%s: got %v, want nil", what, err)
			}
			view(t, s, func(snap userdata.Snapshot) {
				if got := get(t, snap, "a", "k"); got != word(want) {
					t.Errorf("%s: then there is %s, want %s", what, got, word(want))
				}
			})
		}
	}
}

func wantConflicts(t *testing.T, what string, err error, want ...userdata.Conflict) {
	t.Helper()
	wantError(t, what, err, userdata.ErrConflict)
	var ce *userdata.ConflictError
	if !errors.As(err, &ce) {
		t.Errorf("%s: got %v, want a *ConflictError", what, err)
		return
	}
	wantEqual(t, what, conflictWords(ce.Conflicts), conflictWords(want))
}

func conflictWords(conflicts []userdata.Conflict) (words []string) {
	for _, c := range conflicts {
		words = append(words, fmt.Sprintf("change %d found %s", c.Change, word(c.Found)))
	}
	return words
}

// A user who mends one conflict at a time would have to commit as often as there are conflicts.
func testEveryConflict(t *testing.T, s userdata.Store) {
	one := strings.Repeat("one", 1000) // in a file, a page of its own
	apply(t, s, put("a", "1", one), put("a", "2", ""), put("b", "1", "bee"))
	err := try(t.Context(), s, free(put("a", "1", "x")), free(del("a", "2")), over(put("a", "3", "x"), "y"), put("a", "4", "x"),
		over(put("b", "1", "x"), "bee"), over(del("c", "1"), "y"))
	wantConflicts(t, "four of six", err, userdata.Conflict{Change: 0, Found: []byte(one)}, userdata.Conflict{Change: 1, Found: []byte{}},
		userdata.Conflict{Change: 2}, userdata.Conflict{Change: 5})
	var ce *userdata.ConflictError
	if errors.As(err, &ce) && len(ce.Conflicts) > 0 {
		for i := range 20 { // until the space is used again
			apply(t, s, put("a", "1", strings.Repeat(fmt.Sprint(100+i), 1000)))
		}
		if got := string(ce.Conflicts[0].Found); got != one {
			t.Errorf("Found after other Applies: got %.20q, want a copy with %.20q", got, one)
		}
	}
}

// A serializable session trusts that the same version means the same state.
func testVersionGrows(t *testing.T, s userdata.Store) {
	last := version(t, s)
	for i, c := range []userdata.Change{put("a", "1", "x"), put("a", "1", "y"), del("a", "1"), put("b", "1", "x")} {
		apply(t, s, c)
		if v := version(t, s); v <= last {
			t.Errorf("Version after change %d: got %d, want more than %d", i, v, last)
		} else {
			last = v
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for what, err := range map[string]error{
		"empty":   try(t.Context(), s),
		"refused": try(t.Context(), s, free(put("b", "1", "y"))),
		"invalid": try(t.Context(), s, put("b", "", "y")),
		"ended":   try(ctx, s, put("b", "1", "y")),
	} {
		if (what == "empty") != (err == nil) {
			t.Errorf("Apply of an %s change set: got %v", what, err)
		}
	}
	if v := version(t, s); v != last {
		t.Errorf("Version after nothing was applied: got %d, want still %d", v, last)
	}
}

// An Apply that expects the version of its View must fail exactly if someone has committed since.
func testVersionExpected(t *testing.T, s userdata.Store) {
	for i := range 3 {
		v := version(t, s)
		set := &userdata.ChangeSet{Version: v, Changes: []userdata.Change{put("a", "1", fmt.Sprint(i))}}
		if err := s.Apply(t.Context(), &userdata.ChangeSet{Version: v}); err != nil {
			t.Errorf("an empty change set with the right version: got %v, want nil", err)
		}
		if err := s.Apply(t.Context(), set); err != nil {
			t.Errorf("the right version: got %v, want nil", err)
		}
		before := state(t, s)
		wantConflicts(t, "an old version", s.Apply(t.Context(), set))
		wantConflicts(t, "an old version and no changes", s.Apply(t.Context(), &userdata.ChangeSet{Version: v}))
		set.Version = version(t, s) + 1
		wantConflicts(t, "a version yet to come", s.Apply(t.Context(), set))
		wantEqual(t, "refused by version", state(t, s), before)
	}
}

// The limit is a promise: a key of that size works in every store, one more in none.
func testKeySize(t *testing.T, s userdata.Store) {
	longest := strings.Repeat("k", userdata.MaxKeySize)
	apply(t, s, put("a", longest[1:], "shorter"), put("a", longest, "longest"))
	before := state(t, s)
	wantError(t, "a key one byte too long", try(t.Context(), s, put("a", "1", "x"), put("a", longest+"k", "x")), userdata.ErrTooLarge)
	wantEqual(t, "a key one byte too long", state(t, s), before)
	view(t, s, func(snap userdata.Snapshot) {
		if got := get(t, snap, "a", longest); got != `"longest"` {
			t.Errorf("Get of the longest key: got %s, want it", got)
		}
		if got := get(t, snap, "a", longest+"k"); got != "nothing" {
			t.Errorf("Get of a key too long: got %s, want nothing", got)
		}
	})
}

// A fault of the layer above must not reach the data.
func testInvalid(t *testing.T, s userdata.Store) {
	apply(t, s, put("a", "1", "x"))
	before := state(t, s)
	tests := map[string][]userdata.Change{
		"empty bucket":            {put("", "1", "y")},
		"empty key":               {put("a", "0", "y"), put("a", "", "y")},
		"delete of an empty key":  {del("a", "")},
		"keys not in order":       {put("a", "2", "y"), put("a", "1", "y")},
		"buckets not in order":    {put("b", "1", "y"), put("a", "1", "y")},
		"a key twice":             {put("a", "1", "y"), put("a", "1", "z")},
		"a key twice, far apart":  {put("a", "1", "y"), put("a", "2", "y"), put("a", "1", "y")},
		"an unknown expectation":  {{Bucket: "a", Key: []byte("1"), Value: []byte("y"), Expect: userdata.ExpectBytes + 1}},
		"a conflict and no order": {free(put("a", "1", "y")), put("a", "0", "y")},
	}
	for name, changes := range tests {
		wantError(t, name, try(t.Context(), s, changes...), userdata.ErrInvalid)
		wantEqual(t, name, state(t, s), before)
	}
}

// What is deleted is gone for Get, for Scan and for expectations, and may come again.
func testDeletes(t *testing.T, s userdata.Store) {
	apply(t, s, put("a", "1", "x"), put("a", "2", "x"), put("a", "3", "x"))
	apply(t, s, del("a", "0"), del("a", "2"), del("a", "4"))
	view(t, s, func(snap userdata.Snapshot) {
		wantEqual(t, "after a delete", dump(t, snap), []string{"a", `a "1"="x"`, `a "3"="x"`})
		if got := get(t, snap, "a", "2"); got != "nothing" {
			t.Errorf("Get of a deleted key: got %s, want nothing", got)
		}
	})
	apply(t, s, del("a", "1"), free(put("a", "2", "again")), del("a", "3"))
	apply(t, s, del("a", "2"))
	view(t, s, func(snap userdata.Snapshot) {
		wantEqual(t, "after all are deleted", dump(t, snap), []string{"a"})
	})
}

// A session reuses its buffers, so a store that kept them would hold the next commit's bytes.
func testSlicesReused(t *testing.T, s userdata.Store) {
	key, value := []byte("key1"), []byte("value1")
	changes := []userdata.Change{{Bucket: "a", Key: key, Value: value}}
	apply(t, s, changes...)
	copy(key, "key2")
	copy(value, "value2")
	apply(t, s, changes...)
	for _, b := range [][]byte{key, value, value[:cap(value)]} {
		clear(b)
	}
	clear(changes)
	view(t, s, func(snap userdata.Snapshot) {
		wantEqual(t, "after the slices were cleared", dump(t, snap), []string{"a", `a "key1"="value1"`, `a "key2"="value2"`})
		if got := get(t, snap, "a", "key1"); got != `"value1"` {
			t.Errorf("Get after the slices were cleared: got %s, want %q", got, "value1")
		}
	})
}
