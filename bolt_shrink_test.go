package userdata_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/seed-5df914be/userdata"
)

// sizeOf returns how many bytes a file has.
func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	ok(t, err)
	return info.Size()
}

// scattered opens a new file, writes many entries, and deletes most of them again.
func scattered(t *testing.T, opts *userdata.Options) (s *userdata.BoltStore, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "test.db")
	s = openBoltFile(t, path, opts)
	rng := rand.New(rand.NewPCG(11, 1))
	for _, kept := range []int{5, 1} {
		set := &userdata.ChangeSet{}
		for i := range 4000 {
			ch := userdata.Change{Bucket: fmt.Sprint("b", i/1500), Key: fmt.Appendf(nil, "%05d", i)}
			if rng.IntN(5) < kept {
				ch.Value = bytes.Repeat([]byte{byte(i)}, 100+i%400)
			}
			set.Changes = append(set.Changes, ch)
		}
		ok(t, s.Apply(t.Context(), set))
	}
	return s, path
}

// needCut skips a test where Close does not cut files.
func needCut(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there the store does not own the lock, without which it does not cut the file")
	}
}

// Close cuts off a file what it does not need, and what is left is all that was there. A
// file that nobody writes to stays as it is.
func TestCloseCutsFile(t *testing.T) {
	t.Parallel()
	needCut(t)
	s, path := scattered(t, nil)
	want, _, err := contents(s)
	ok(t, err)
	before := sizeOf(t, path)
	ok(t, s.Close())
	after := sizeOf(t, path)
	if after > before/2 {
		t.Errorf("the file has %d bytes, and had %d", after, before)
	}
	b, err := os.ReadFile(path)
	ok(t, err)
	s = openBoltFile(t, path, nil)
	wantContents(t, s, want)
	ok(t, s.Close())
	if again, err := os.ReadFile(path); err != nil || !bytes.Equal(b, again) {
		t.Error("a file that was only read has changed")
	}
	s = openBoltFile(t, path, nil)
	for i := range 20 {
		put(t, s, "b0", "more", fmt.Sprint(i))
	}
	ok(t, s.Close())
	if got := sizeOf(t, path); got != after {
		t.Errorf("after a few small commits the file has %d bytes, and had %d", got, after)
	}
}

// If either meta page of a file that was cut is damaged, the other one has all.
func TestMetasOfCutFile(t *testing.T) {
	t.Parallel()
	needCut(t)
	s, path := scattered(t, nil)
	want, _, err := contents(s)
	ok(t, err)
	ok(t, s.Close())
	whole, err := os.ReadFile(path)
	ok(t, err)
	for slot := range 2 {
		b := bytes.Clone(whole)
		b[slot*os.Getpagesize()+40]++
		damaged := filepath.Join(t.TempDir(), "test.db")
		ok(t, os.WriteFile(damaged, b, 0o600))
		wantContents(t, openBoltFile(t, damaged, nil), want)
	}
}

// A file that is shared stays as it is, since others have it open.
func TestCloseLeavesSharedFile(t *testing.T) {
	t.Parallel()
	s, path := scattered(t, &userdata.Options{Shared: true})
	before := sizeOf(t, path)
	ok(t, s.Close())
	if after := sizeOf(t, path); after != before {
		t.Errorf("the file has %d bytes, and had %d", after, before)
	}
}
