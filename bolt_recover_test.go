package userdata_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed-5df914be/userdata"
)

// What the store does after a failed commit: it finds out by the number of the last
// transaction in the file whether the commit is in it.
func TestRecover(t *testing.T) {
	t.Parallel()
	s := openBolt(t)
	put(t, s, "a", "1", "x")
	_, version, err := contents(s)
	ok(t, err)
	last := version - 1 // the number of the transaction that wrote this state
	for txid, want := range map[uint64]bool{last - 1: false, last: true, last + 1: false} {
		if applied, err := userdata.Recover(s, txid); applied != want || err != nil {
			t.Errorf("transaction %d of %d: got %v, %v, want %v", txid, last, applied, err, want)
		}
		wantContents(t, s, map[string]map[string]string{"a": {"1": "x"}})
	}
	put(t, s, "a", "2", "y")
	wantContents(t, s, map[string]map[string]string{"a": {"1": "x", "2": "y"}})
	if n := userdata.Handles(s); n != 1 {
		t.Errorf("got %d handles, want 1", n)
	}
}

// impatient opens a store, with an entry, that hardly waits for Views.
func impatient(t *testing.T) *userdata.BoltStore {
	t.Helper()
	s := openBoltFile(t, filepath.Join(t.TempDir(), "test.db"), &userdata.Options{LockTimeout: 30 * time.Millisecond})
	put(t, s, "a", "1", "x")
	return s
}

// commitInView makes a commit within a View, which must refuse it, and goes on.
func commitInView(t *testing.T, s *userdata.BoltStore, before func()) {
	t.Helper()
	err := s.View(t.Context(), func(snap userdata.Snapshot) error {
		before()
		if err := s.Apply(t.Context(), change("1", "changed", userdata.ExpectAnything)); !errors.Is(err, userdata.ErrLocked) {
			t.Errorf("Apply: got %v, want ErrLocked", err)
		}
		value, err := snap.Get("a", []byte("1"))
		if string(value) != "x" {
			t.Errorf("the View reads %q, want what it read before", value)
		}
		return err
	})
	ok(t, err)
	wantContents(t, s, map[string]map[string]string{"a": {"1": "x"}})
	put(t, s, "a", "1", "changed")
	wantContents(t, s, map[string]map[string]string{"a": {"1": "changed"}})
}

// bbolt can't map the file anew while a View reads the mapping. A commit in the View, which waits
// for its end, gives up.
func TestCommitInViewWhenBoltMaps(t *testing.T) {
	t.Parallel()
	s := openBoltFile(t, filepath.Join(t.TempDir(), "test.db"), &userdata.Options{LockTimeout: 30 * time.Millisecond, Shared: true})
	put(t, s, "a", "1", "x")
	commitInView(t, s, func() { userdata.SetSpan(s, fileSize(t, s.Path())) })
}

// A file that outgrows its mapping is mapped once more, while Views read the mapping of before.
func TestCommitInViewWhenMapGrows(t *testing.T) {
	t.Parallel()
	s := impatient(t)
	if userdata.Loaded(s) {
		t.Skip("here bbolt writes the file, and the commit would wait for the View")
	}
	want := map[string]string{"1": "x"}
	for i := range 5 {
		key := fmt.Sprint("long ", i)
		err := s.View(t.Context(), func(snap userdata.Snapshot) error {
			userdata.SetSpan(s, fileSize(t, s.Path()))
			put(t, s, "a", key, strings.Repeat(key, 50_000))
			if value, err := snap.Get("a", []byte("1")); string(value) != "x" || err != nil {
				t.Errorf("the View reads %q, %v, want what it read before", value, err)
			}
			value, err := snap.Get("a", []byte(key))
			if value != nil {
				t.Errorf("the View reads %.20q, which was committed after it began", value)
			}
			return err
		})
		ok(t, err)
		want[key] = strings.Repeat(key, 50_000)
		wantContents(t, s, map[string]map[string]string{"a": want})
		if n := userdata.Mappings(s); n != 1 {
			t.Errorf("got %d mappings of the file, want 1", n)
		}
	}
}

// After a failure there is a new handle, which does not know the pages that Views
// of before still read. A commit that could overwrite them waits for their end.
func TestCommitInViewAfterFailure(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("on Windows no handle is opened while another one is in use")
	}
	t.Parallel()
	s := impatient(t)
	commitInView(t, s, func() {
		if _, err := userdata.Recover(s, 0); err != nil || userdata.Handles(s) != 2 {
			t.Errorf("got %v and %d handles, want nil and 2", err, userdata.Handles(s))
		}
	})
	if n := userdata.Handles(s); n != 1 {
		t.Errorf("got %d handles, want 1", n)
	}
}

// A context that ends when the commit has begun ends nothing: Apply returns what
// became of it.
func TestApplyWaitsForOutcome(t *testing.T) {
	t.Parallel()
	s := openBoltFile(t, filepath.Join(t.TempDir(), "test.db"), &userdata.Options{LockTimeout: time.Minute})
	put(t, s, "a", "first", "x")
	want := map[string]string{"first": "x"}
	for round := range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		outcomes := make(chan error, 2)
		release := userdata.HoldWriter(s)
		err := s.View(t.Context(), func(userdata.Snapshot) error {
			userdata.SetSpan(s, fileSize(t, s.Path()))
			for i := range 2 {
				key := fmt.Sprint(round, i)
				want[key] = "x"
				go func() { outcomes <- s.Apply(ctx, change(key, "x", userdata.ExpectNothing)) }()
				userdata.AwaitQueue(s, i+1)
			}
			release()
			userdata.AwaitQueue(s, 0) // one of the two writes both, as soon as this View ends
			cancel()
			return nil
		})
		ok(t, err)
		for range 2 {
			if err := <-outcomes; err != nil {
				t.Errorf("round %d: got %v, want nil: it is applied", round, err)
			}
		}
		wantContents(t, s, map[string]map[string]string{"a": want})
	}
}
