package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed-5df914be/userdata"
	"github.com/seed-5df914be/userdata/storetest"
)

// faultVariable names the fault of the store that TestFaultyStore runs the suite on.
const faultVariable = "USERDATA_TEST_FAULT"

// TestSuiteFinds shows that each case of the suite can fail: it runs the suite,
// in processes of their own, on stores with one fault each.
func TestSuiteFinds(t *testing.T) {
	t.Parallel()
	sound, err := runSuite(t, "none", "")
	if err != nil {
		t.Fatalf("the suite on a sound store: %v\n%s", err, sound)
	}
	cases := subtests(sound, "PASS")
	found := make(map[string]bool)
	t.Run("faults", func(t *testing.T) {
		for name, f := range faults {
			for _, c := range f.foundBy {
				found[c] = true
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				out, err := runSuite(t, name, strings.Join(f.foundBy, "|"))
				if failed := subtests(out, "FAIL"); err == nil || !slices.Equal(failed, f.foundBy) {
					t.Errorf("failed cases: got %q, want %q; process: %v\n%s", failed, f.foundBy, err, out)
				}
			})
		}
	})
	for _, c := range cases {
		if !found[c] {
			t.Errorf("case %s is never seen to fail", c)
		}
	}
}

// runSuite runs the suite, or the cases that match, on a faulty store.
func runSuite(t *testing.T, fault, cases string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.count=1", "-test.timeout=2m", "-test.run=^TestFaultyStore$/^("+cases+")$")
	if cases == "" {
		cmd.Args[len(cmd.Args)-1] = "-test.run=^TestFaultyStore$"
	}
	cmd.Env = append(os.Environ(), faultVariable+"="+fault)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// subtests returns the cases with that result, in the suite's order.
func subtests(out, result string) (names []string) {
	for _, m := range regexp.MustCompile(`(?m)^ +--- `+result+`: TestFaultyStore/(\w+) `).FindAllStringSubmatch(out, -1) {
		names = append(names, m[1])
	}
	return names
}

func TestFaultyStore(t *testing.T) {
	fault, ok := os.LookupEnv(faultVariable)
	if !ok {
		t.Skip("run by TestSuiteFinds")
	}
	storetest.Run(t, func(t *testing.T) userdata.Store {
		mem := userdata.NewMemStore()
		if f, ok := faults[fault]; ok {
			return f.store(mem)
		}
		return mem
	})
}

// A faultyStore is a store of which some methods, those not nil, are replaced.
type faultyStore struct {
	userdata.Store
	view  func(ctx context.Context, fn func(userdata.Snapshot) error) error
	apply func(ctx context.Context, changes *userdata.ChangeSet) error
	close func() error
}

func (s *faultyStore) View(ctx context.Context, fn func(userdata.Snapshot) error) error {
	if s.view == nil {
		return s.Store.View(ctx, fn)
	}
	return s.view(ctx, fn)
}

func (s *faultyStore) Apply(ctx context.Context, changes *userdata.ChangeSet) error {
	if s.apply == nil {
		return s.Store.Apply(ctx, changes)
	}
	return s.apply(ctx, changes)
}

func (s *faultyStore) Close() error {
	if s.close == nil {
		return s.Store.Close()
	}
	return s.close()
}

// A faultySnapshot is a snapshot of which some methods, those not nil, are replaced.
type faultySnapshot struct {
	userdata.Snapshot
	version func() uint64
	buckets func() ([]string, error)
	get     func(bucket string, key []byte) ([]byte, error)
	scan    func(bucket string, r userdata.Range, fn func(key, value []byte) bool) error
}

func (s *faultySnapshot) Version() uint64 {
	if s.version == nil {
		return s.Snapshot.Version()
	}
	return s.version()
}

func (s *faultySnapshot) Buckets() ([]string, error) {
	if s.buckets == nil {
		return s.Snapshot.Buckets()
	}
	return s.buckets()
}

func (s *faultySnapshot) Get(bucket string, key []byte) ([]byte, error) {
	if s.get == nil {
		return s.Snapshot.Get(bucket, key)
	}
	return s.get(bucket, key)
}

func (s *faultySnapshot) Scan(bucket string, r userdata.Range, fn func(key, value []byte) bool) error {
	if s.scan == nil {
		return s.Snapshot.Scan(bucket, r, fn)
	}
	return s.scan(bucket, r, fn)
}

type (
	storeFault    func(s userdata.Store) *faultyStore
	changeFault   func(c *userdata.Change)
	snapshotFault func(s userdata.Snapshot) *faultySnapshot
)

// onSnapshots makes a store's fault of a snapshot's.
func onSnapshots(fault snapshotFault) storeFault {
	return func(s userdata.Store) *faultyStore {
		return &faultyStore{Store: s, view: func(ctx context.Context, fn func(userdata.Snapshot) error) error {
			return s.View(ctx, func(snap userdata.Snapshot) error { return fn(fault(snap)) })
		}}
	}
}

// onChanges makes a store's fault of what befalls each change.
func onChanges(fault changeFault) storeFault {
	return func(s userdata.Store) *faultyStore {
		return &faultyStore{Store: s, apply: func(ctx context.Context, set *userdata.ChangeSet) error {
			other := &userdata.ChangeSet{Changes: slices.Clone(set.Changes), Version: set.Version}
			for i := range other.Changes {
				fault(&other.Changes[i])
			}
			return s.Apply(ctx, other)
		}}
	}
}

// faults are the stores' faults, with the cases that find them, in the suite's order.
var faults = map[string]struct {
	foundBy []string
	store   storeFault
}{
	"begins with a bucket": {[]string{"Fresh"}, func(s userdata.Store) *faultyStore {
		_ = s.Apply(context.Background(), &userdata.ChangeSet{Changes: []userdata.Change{{Bucket: "meta", Key: []byte("1"), Value: []byte("x")}}})
		return &faultyStore{Store: s}
	}},
	"snapshots move": {[]string{"SnapshotStays"}, func(s userdata.Store) *faultyStore {
		return onSnapshots(func(snap userdata.Snapshot) *faultySnapshot {
			return &faultySnapshot{Snapshot: snap, get: func(bucket string, key []byte) (value []byte, err error) {
				err = s.View(context.Background(), func(now userdata.Snapshot) error { value, err = now.Get(bucket, key); return err })
				return value, err
			}}
		})(s)
	}},
	"change by change": {[]string{"AllOrNothing", "NoHalfRead"}, changeByChange},
	"expectations ignored": {[]string{"AllOrNothing", "Expectations", "EveryConflictIsListed", "NoLostUpdate"}, onChanges(func(c *userdata.Change) {
		if c.Expect <= userdata.ExpectBytes {
			c.Expect, c.Before = userdata.ExpectAnything, nil
		}
	})},
	"only the first conflict": {[]string{"EveryConflictIsListed"}, func(s userdata.Store) *faultyStore {
		return &faultyStore{Store: s, apply: func(ctx context.Context, set *userdata.ChangeSet) error {
			err := s.Apply(ctx, set)
			var ce *userdata.ConflictError
			if errors.As(err, &ce) && len(ce.Conflicts) > 1 {
				ce.Conflicts = ce.Conflicts[:1]
			}
			return err
		}}
	}},
	"version stands still": {[]string{"VersionGrows", "VersionExpected"}, onSnapshots(func(snap userdata.Snapshot) *faultySnapshot {
		return &faultySnapshot{Snapshot: snap, version: func() uint64 { return 1 }}
	})},
	"version ignored": {[]string{"VersionExpected"}, func(s userdata.Store) *faultyStore {
		return &faultyStore{Store: s, apply: func(ctx context.Context, set *userdata.ChangeSet) error {
			return s.Apply(ctx, &userdata.ChangeSet{Changes: set.Changes})
		}}
	}},
	"To is inclusive": {[]string{"ScanRanges"}, onScans(func(snap userdata.Snapshot, bucket string, r userdata.Range, fn func(k, v []byte) bool) error {
		if r.To != nil {
			r.To = append(bytes.Clone(r.To), 0)
		}
		return snap.Scan(bucket, r, fn)
	})},
	"empty To is open": {[]string{"ScanRanges"}, onScans(func(snap userdata.Snapshot, bucket string, r userdata.Range, fn func(k, v []byte) bool) error {
		if len(r.To) == 0 {
			r.To = nil
		}
		return snap.Scan(bucket, r, fn)
	})},
	"Reverse ignored": {[]string{"ScanRanges", "ScanMany", "ScanNested"}, onScans(func(snap userdata.Snapshot, bucket string, r userdata.Range, fn func(k, v []byte) bool) error {
		r.Reverse = false
		return snap.Scan(bucket, r, fn)
	})},
	"scans end early": {[]string{"ScanMany"}, onScans(func(snap userdata.Snapshot, bucket string, r userdata.Range, fn func(k, v []byte) bool) error {
		n := 0
		return snap.Scan(bucket, r, func(k, v []byte) bool { n++; return n <= 1000 && fn(k, v) })
	})},
	"scans do not stop": {[]string{"ScanStops"}, onScans(func(snap userdata.Snapshot, bucket string, r userdata.Range, fn func(k, v []byte) bool) error {
		return snap.Scan(bucket, r, func(k, v []byte) bool { fn(k, v); return true })
	})},
	"one cursor for all": {[]string{"ScanNested"}, oneCursor},
	"empty is nothing": {[]string{"Expectations", "EveryConflictIsListed", "EmptyValues"}, onChanges(func(c *userdata.Change) {
		if len(c.Value) == 0 {
			c.Value = nil
		}
	})},
	"keys are C strings": {[]string{"AnyBytes"}, onSnapshots(func(snap userdata.Snapshot) *faultySnapshot {
		return &faultySnapshot{Snapshot: snap, get: func(bucket string, key []byte) ([]byte, error) {
			return snap.Get(bucket, append([]byte{key[0]}, bytes.TrimRight(key[1:], "\x00")...))
		}}
	})},
	"values are cut": {[]string{"LargeValues"}, onChanges(func(c *userdata.Change) { c.Value = c.Value[:min(len(c.Value), 1<<20)] })},
	"keys are cut":   {[]string{"KeySize"}, onChanges(func(c *userdata.Change) { c.Key = c.Key[:min(len(c.Key), userdata.MaxKeySize)] })},
	"changes are sorted": {[]string{"Invalid"}, func(s userdata.Store) *faultyStore {
		return &faultyStore{Store: s, apply: func(ctx context.Context, set *userdata.ChangeSet) error {
			sorted := slices.Clone(set.Changes)
			slices.SortFunc(sorted, func(a, b userdata.Change) int {
				return strings.Compare(a.Bucket+"\x00"+string(a.Key), b.Bucket+"\x00"+string(b.Key))
			})
			return s.Apply(ctx, &userdata.ChangeSet{Changes: sorted, Version: set.Version})
		}}
	}},
	"missing buckets fail": {[]string{"ScanNested", "MissingBucket"}, onSnapshots(func(snap userdata.Snapshot) *faultySnapshot {
		return &faultySnapshot{Snapshot: snap, get: func(bucket string, key []byte) ([]byte, error) {
			if names, _ := snap.Buckets(); !slices.Contains(names, bucket) {
				return nil, errors.New("no such bucket")
			}
			return snap.Get(bucket, key)
		}}
	})},
	"buckets in disorder": {[]string{"Buckets"}, onSnapshots(func(snap userdata.Snapshot) *faultySnapshot {
		return &faultySnapshot{Snapshot: snap, buckets: func() ([]string, error) {
			names, err := snap.Buckets()
			slices.Reverse(names)
			return names, err
		}}
	})},
	"deletes leave a value": {[]string{"Deletes"}, onChanges(func(c *userdata.Change) {
		if c.Value == nil {
			c.Value = []byte{}
		}
	})},
	"slices are kept":      {[]string{"SlicesReused"}, keepSlices},
	"Close does nothing":   {[]string{"Closed"}, func(s userdata.Store) *faultyStore { return &faultyStore{Store: s, close: func() error { return nil }} }},
	"a second Close fails": {[]string{"Closed", "CloseWhileBusy"}, closeOnce},
	"Close does not wait": {[]string{"CloseWaits"}, func(s userdata.Store) *faultyStore {
		return &faultyStore{Store: s, close: func() error { go s.Close(); return nil }}
	}},
	"closed has another name":   {[]string{"Closed", "CloseWhileBusy"}, otherClosed},
	"contexts ignored":          {[]string{"VersionGrows", "Cancelled"}, ignoreContext},
	"cancelled but applied":     {[]string{"CancelWhileBusy"}, cancelLate},
	"errors are wrapped":        {[]string{"ViewError"}, wrapErrors},
	"panics are swallowed":      {[]string{"ViewPanic"}, swallowPanics},
	"checked before the writer": {[]string{"NoLostUpdate"}, checkEarly},
}

// onScans makes a store's fault of a replacement for Scan.
func onScans(scan func(snap userdata.Snapshot, bucket string, r userdata.Range, fn func(k, v []byte) bool) error) storeFault {
	return onSnapshots(func(snap userdata.Snapshot) *faultySnapshot {
		return &faultySnapshot{Snapshot: snap, scan: func(bucket string, r userdata.Range, fn func(k, v []byte) bool) error {
			return scan(snap, bucket, r, fn)
		}}
	})
}

func changeByChange(s userdata.Store) *faultyStore {
	return &faultyStore{Store: s, apply: func(ctx context.Context, set *userdata.ChangeSet) error {
		if err := set.Validate(); err != nil {
			return err
		}
		for i := range set.Changes {
			if err := s.Apply(ctx, &userdata.ChangeSet{Changes: set.Changes[i : i+1]}); err != nil {
				return err
			}
			runtime.Gosched()
		}
		return nil
	}}
}

// oneCursor loses a scan's place when something else is read meanwhile.
func oneCursor(s userdata.Store) *faultyStore {
	return onSnapshots(func(snap userdata.Snapshot) *faultySnapshot {
		moves := 0
		return &faultySnapshot{Snapshot: snap,
			get: func(bucket string, key []byte) ([]byte, error) { moves++; return snap.Get(bucket, key) },
			scan: func(bucket string, r userdata.Range, fn func(k, v []byte) bool) error {
				moves++
				mine := moves
				return snap.Scan(bucket, r, func(k, v []byte) bool { return moves == mine && fn(k, v) })
			}}
	})(s)
}

func keepSlices(s userdata.Store) *faultyStore {
	var mu sync.Mutex
	kept := make(map[string][]byte)
	f := onSnapshots(func(snap userdata.Snapshot) *faultySnapshot {
		return &faultySnapshot{Snapshot: snap, get: func(bucket string, key []byte) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			value, err := snap.Get(bucket, key)
			if k := kept[bucket+string(key)]; len(k) == len(value) && value != nil {
				value = k
			}
			return value, err
		}}
	})(s)
	f.apply = func(ctx context.Context, set *userdata.ChangeSet) error {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range set.Changes {
			kept[c.Bucket+string(c.Key)] = c.Value
		}
		return s.Apply(ctx, set)
	}
	return f
}

func closeOnce(s userdata.Store) *faultyStore {
	var closed atomic.Bool
	return &faultyStore{Store: s, close: func() error {
		if closed.Swap(true) {
			return userdata.ErrClosed
		}
		return s.Close()
	}}
}

func otherClosed(s userdata.Store) *faultyStore {
	return &faultyStore{Store: s, view: func(ctx context.Context, fn func(userdata.Snapshot) error) error {
		err := s.View(ctx, fn)
		if errors.Is(err, userdata.ErrClosed) {
			return errors.New("file already closed")
		}
		return err
	}}
}

func ignoreContext(s userdata.Store) *faultyStore {
	return &faultyStore{Store: s, apply: func(ctx context.Context, set *userdata.ChangeSet) error {
		return s.Apply(context.WithoutCancel(ctx), set)
	}}
}

func cancelLate(s userdata.Store) *faultyStore {
	return &faultyStore{Store: s, apply: func(ctx context.Context, set *userdata.ChangeSet) error {
		if err := s.Apply(ctx, set); err != nil {
			return err
		}
		for range 100 {
			runtime.Gosched()
		}
		return ctx.Err()
	}}
}

func wrapErrors(s userdata.Store) *faultyStore {
	return &faultyStore{Store: s, view: func(ctx context.Context, fn func(userdata.Snapshot) error) error {
		if err := s.View(ctx, fn); err != nil {
			return fmt.Errorf("view: %w", err)
		}
		return nil
	}}
}

func swallowPanics(s userdata.Store) *faultyStore {
	return &faultyStore{Store: s, view: func(ctx context.Context, fn func(userdata.Snapshot) error) (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("panic: %v", r)
			}
		}()
		return s.View(ctx, fn)
	}}
}

// checkEarly compares expectations in a View, then writes without any.
func checkEarly(s userdata.Store) *faultyStore {
	return &faultyStore{Store: s, apply: func(ctx context.Context, set *userdata.ChangeSet) error {
		other := &userdata.ChangeSet{Changes: slices.Clone(set.Changes), Version: set.Version}
		err := s.View(ctx, func(snap userdata.Snapshot) error {
			for i := range other.Changes {
				c := &other.Changes[i]
				found, err := snap.Get(c.Bucket, c.Key)
				if c.Expect == userdata.ExpectNothing && found != nil || c.Expect == userdata.ExpectBytes && !bytes.Equal(found, c.Before) {
					return &userdata.ConflictError{Conflicts: []userdata.Conflict{{Change: i, Found: found}}}
				} else if err != nil {
					return err
				}
				c.Expect, c.Before = userdata.ExpectAnything, nil
			}
			return nil
		})
		for range 100 {
			runtime.Gosched()
		}
		if err != nil {
			return err
		}
		return s.Apply(ctx, other)
	}}
}
