package userdata_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata"
	"github.com/seed-5df914be/userdata/internal/pages"
)

// A sealedFile is the bytes of a file whose process was killed after some commits, and
// what the last two of its commits left.
type sealedFile struct {
	bytes       []byte
	last        map[string]map[string]string
	before      map[string]map[string]string
	size, newer int // of a page, and the meta page of the last commit
	seal        *pages.Seal
}

// killedFile makes a file with some small commits.
func killedFile(t *testing.T) *sealedFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	s := openBoltFile(t, path, nil)
	f := &sealedFile{}
	for i := range 5 {
		f.before, _, _ = contents(s)
		put(t, s, "a", fmt.Sprint(i), strings.Repeat("x", 100*i))
	}
	var version uint64
	f.last, version, _ = contents(s)
	f.bytes = fileBytes(t, path)
	f.size, f.newer = os.Getpagesize(), int(version-1)&1
	var found bool
	if f.seal, found = pages.SealOf(f.meta(f.newer), pages.MetaAt(f.meta(f.newer), uint64(f.newer))); !found || f.seal.Durable || len(f.seal.Runs) == 0 {
		t.Fatalf("got the seal %v, %v, want one with a list", f.seal, found)
	}
	return f
}

// meta returns the bytes of a meta page.
func (f *sealedFile) meta(slot int) []byte { return f.bytes[slot*f.size:][:f.size] }

// wantState opens the file, and wants it to hold something, twice, and to take a
// commit. It returns what was logged.
func (f *sealedFile) wantState(t *testing.T, want map[string]map[string]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	ok(t, os.WriteFile(path, f.bytes, 0o600))
	var log bytes.Buffer
	for range 2 {
		s, err := userdata.OpenBolt(path, &userdata.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		ok(t, err)
		wantContents(t, s, want)
		ok(t, s.Close())
	}
	s := openBoltFile(t, path, nil)
	put(t, s, "b", "more", "x")
	all, _, err := contents(s)
	ok(t, err)
	if len(all["b"]) != 1 || len(all["a"]) != len(want["a"]) {
		t.Errorf("after one more commit: got %v, want %v and that", all, want)
	}
	return log.String()
}

// A file that was killed after a commit has that; one whose last commit is not all
// there has the one before it, and says so.
func TestSealOfKilledFile(t *testing.T) {
	t.Parallel()
	if log := killedFile(t).wantState(t, killedFile(t).last); strings.Contains(log, "cut off") {
		t.Errorf("got %q, want nothing of a commit that was cut off", log)
	}
	for name, cut := range map[string]func(f *sealedFile){
		"a page is not there": func(f *sealedFile) { clear(f.bytes[int(f.seal.Runs[0].First)*f.size:][:f.size]) },
		"a sector of the last page is not there": func(f *sealedFile) {
			r := f.seal.Runs[len(f.seal.Runs)-1]
			clear(f.bytes[int(r.First+r.Count)*f.size-512:][:512])
			f.bytes[int(r.First+r.Count)*f.size-1] = 1
		},
		"the seal was not yet written":      func(f *sealedFile) { clear(f.meta(f.newer)[pages.SealOffset:]) },
		"half of the seal":                  func(f *sealedFile) { clear(f.meta(f.newer)[pages.SealOffset+20:]) },
		"the meta page was not yet written": func(f *sealedFile) { clear(f.meta(f.newer)) },
	} {
		t.Run(name, func(t *testing.T) {
			f := killedFile(t)
			cut(f)
			log := f.wantState(t, f.before)
			if want := !strings.Contains(name, "meta page"); strings.Count(log, "cut off") != map[bool]int{true: 1}[want] {
				t.Errorf("got the log %q, want a word on the commit that was cut off: %v", log, want)
			}
		})
	}
}

// Where the state before is not there either, the file is damaged.
func TestSealWithoutStateBefore(t *testing.T) {
	t.Parallel()
	f := killedFile(t)
	clear(f.bytes[int(f.seal.Runs[0].First)*f.size:][:f.size])
	clear(f.meta(1 - f.newer))
	path := filepath.Join(t.TempDir(), "test.db")
	ok(t, os.WriteFile(path, f.bytes, 0o600))
	if s, err := userdata.OpenBolt(path, nil); !errors.Is(err, userdata.ErrCorrupt) {
		t.Errorf("got %v, %v, want ErrCorrupt", s, err)
	}
	if !bytes.Equal(fileBytes(t, path), f.bytes) {
		t.Error("the file was changed")
	}
}

// Who may not write does not go back.
func TestSealReadOnly(t *testing.T) {
	t.Parallel()
	f := killedFile(t)
	path := filepath.Join(t.TempDir(), "test.db")
	ok(t, os.WriteFile(path, f.bytes, 0o600))
	s, err := userdata.OpenBolt(path, &userdata.Options{ReadOnly: true})
	ok(t, err)
	wantContents(t, s, f.last)
	ok(t, s.Close())
	clear(f.bytes[int(f.seal.Runs[0].First)*f.size:][:f.size])
	ok(t, os.WriteFile(path, f.bytes, 0o600))
	if s, err := userdata.OpenBolt(path, &userdata.Options{ReadOnly: true}); !errors.Is(err, userdata.ErrCorrupt) || !strings.Contains(fmt.Sprint(err), "for writing") {
		t.Errorf("got %v, %v, want ErrCorrupt that says what to do", s, err)
	}
	if !bytes.Equal(fileBytes(t, path), f.bytes) {
		t.Error("the file was changed")
	}
}

// A commit that is known to be durable is never gone back from: not after Close, nor when
// a later commit fails.
func TestSealOfDurableCommit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	s := openBoltFile(t, path, nil)
	put(t, s, "a", "1", "x")
	put(t, s, "a", "2", "y")
	want, version, _ := contents(s)
	ok(t, s.Close())
	closed := fileBytes(t, path)
	size := os.Getpagesize()
	meta := closed[int(version-1)&1*size:][:size]
	seal, found := pages.SealOf(meta, pages.MetaAt(meta, (version-1)&1))
	if !found || !seal.Durable || !seal.Last {
		t.Fatalf("after Close: got the seal %v, %v, want one that is durable and last", seal, found)
	}
	damaged := bytes.Clone(closed)
	clear(damaged[int(seal.Runs[0].First)*size:][:size])
	ok(t, os.WriteFile(path, damaged, 0o600))
	if s, err := userdata.OpenBolt(path, nil); !errors.Is(err, userdata.ErrCorrupt) {
		t.Errorf("a page of the last commit is damaged: got %v, %v, want ErrCorrupt", s, err)
	}

	// Other programs may write now.
	ok(t, os.WriteFile(path, closed, 0o600))
	db, err := bbolt.Open(path, 0o600, nil)
	ok(t, err)
	ok(t, db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("a"))
		return errors.Join(b.Put([]byte("3"), []byte("z")), b.SetSequence(0))
	}))
	ok(t, db.Close())
	want["a"]["3"] = "z"
	wantContents(t, openBoltFile(t, path, nil), want)
}

// A shared file has commits without seals, also when a process that had it for itself was
// killed meanwhile.
func TestSealThenShared(t *testing.T) {
	t.Parallel()
	f := killedFile(t)
	path := filepath.Join(t.TempDir(), "test.db")
	ok(t, os.WriteFile(path, f.bytes, 0o600))
	shared := openBoltFile(t, path, &userdata.Options{Shared: true})
	put(t, shared, "a", "shared", "1")
	alone, err := userdata.OpenBolt(path, nil)
	ok(t, err)
	put(t, alone, "a", "alone", "1")
	put(t, alone, "a", "alone", "2")
	killed := fileBytes(t, path)
	ok(t, alone.Close())
	ok(t, os.WriteFile(path, killed, 0o600))
	put(t, shared, "a", "shared", "1")
	demandSeal(t, path)
	put(t, shared, "a", "shared", "2")
	want, _, err := contents(shared)
	ok(t, err)
	killed = fileBytes(t, path)
	ok(t, shared.Close())
	ok(t, os.WriteFile(path, killed, 0o600))
	if want["a"]["alone"] != "2" || want["a"]["shared"] != "2" {
		t.Errorf("got %v, want the commits of both", want)
	}
	wantContents(t, openBoltFile(t, path, nil), want)
}

// demandSeal does what a process does before its first small commit, and no more.
func demandSeal(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	ok(t, err)
	defer f.Close()
	rep, err := pages.Metas(f, int64(len(fileBytes(t, path))))
	ok(t, err)
	seal, _ := (&pages.Seal{Txid: rep.Metas[rep.Meta].Txid, Durable: true}).Bytes(rep.PageSize)
	_, err = f.WriteAt(seal, int64(rep.Meta*rep.PageSize+pages.SealOffset))
	ok(t, err)
}

// A large commit after a small one is not taken for one that was cut off.
func TestSealThenLarge(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	s := openBoltFile(t, path, nil)
	put(t, s, "a", "1", "x")
	set := &userdata.ChangeSet{}
	for n := range 600 {
		set.Changes = append(set.Changes, userdata.Change{Bucket: "b", Key: fmt.Appendf(nil, "%03d", n), Value: []byte("y")})
	}
	ok(t, s.Apply(t.Context(), set))
	want, _, _ := contents(s)
	killed := fileBytes(t, path)
	ok(t, s.Close())
	ok(t, os.WriteFile(path, killed, 0o600))
	wantContents(t, openBoltFile(t, path, nil), want)
}

// A store that goes back from a commit, since its disk failed after others may have seen
// it, gives its version to no other.
func TestSealVersions(t *testing.T) {
	t.Parallel()
	f := killedFile(t)
	clear(f.meta(f.newer)[pages.SealOffset:])
	path := filepath.Join(t.TempDir(), "test.db")
	ok(t, os.WriteFile(path, f.bytes, 0o600))
	cut := pages.MetaAt(f.meta(f.newer), uint64(f.newer)).Txid + 1
	s := openBoltFile(t, path, nil)
	_, back, err := contents(s)
	ok(t, err)
	put(t, s, "a", "next", "x")
	if _, next, _ := contents(s); back <= cut || next <= back {
		t.Errorf("got the versions %d and %d, want later ones than %d", back, next, cut)
	}
}

// A commit that fails before it has written anything changes nothing of what the one before
// it has, also if a page of that is damaged meanwhile: then reads find it.
func TestSealAfterFailure(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	s := openBoltFile(t, path, nil)
	put(t, s, "a", "1", "x")
	put(t, s, "a", "2", "y")
	_, version, _ := contents(s)
	now := fileBytes(t, path)
	size := os.Getpagesize()
	meta := now[int(version-1)&1*size:][:size]
	seal, found := pages.SealOf(meta, pages.MetaAt(meta, (version-1)&1))
	if !found || seal.Durable {
		t.Fatalf("got the seal %v, %v, want one that may be gone back from", seal, found)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	ok(t, err)
	defer file.Close()
	last := seal.Runs[len(seal.Runs)-1]
	end := int64(last.First+last.Count)*int64(size) - 1 // in no use
	_, err = file.WriteAt([]byte{1}, end)
	ok(t, err)
	if applied, err := userdata.Recover(s, version); applied || err != nil {
		t.Errorf("got %v, %v, want a commit that was not applied", applied, err)
	}
	wantContents(t, s, map[string]map[string]string{"a": {"1": "x", "2": "y"}})
}
