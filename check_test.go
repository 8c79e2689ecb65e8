package userdata_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata"
	"github.com/seed-5df914be/userdata/internal/pages"
)

// wholeCheck checks all there is in a database's file.
func wholeCheck(ctx context.Context, db *userdata.DB) error {
	report, err := db.Check(ctx)
	if err == nil {
		err = report.Err()
	}
	return err
}

// The buckets of the file that is checked.
const (
	partsByN    = "_index/parts/n"
	partsBySlug = "_index/parts/slug"
)

// checkedFile makes a file with 300 parts and returns its path.
func checkedFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	db, err := userdata.Open(path, nil, parts)
	ok(t, err)
	s := db.NewSession()
	for n := range 300 {
		ok(t, s.Add(newPart(n)))
	}
	ok(t, errors.Join(s.Commit(t.Context()), db.Close()))
	return path
}

// entriesOf returns the entries of a bucket, in order.
func entriesOf(t *testing.T, s userdata.Store, bucket string) (entries []userdata.Change) {
	t.Helper()
	ok(t, s.View(t.Context(), func(snap userdata.Snapshot) error {
		return snap.Scan(bucket, userdata.Range{}, func(key, value []byte) bool {
			entries = append(entries, userdata.Change{Bucket: bucket, Key: bytes.Clone(key), Value: bytes.Clone(value)})
			return true
		})
	}))
	return entries
}

// Check finds each kind of what can be wrong behind sound pages and sums: what a bug
// of the package, or another program, would leave.
func TestCheckFinds(t *testing.T) {
	t.Parallel()
	path := checkedFile(t)
	const record = 17
	flipped := func(c userdata.Change) userdata.Change {
		c.Value[len(c.Value)/2] ^= 1
		return c
	}
	gone := func(c userdata.Change) userdata.Change {
		c.Value = nil
		return c
	}
	for name, tt := range map[string]struct {
		bucket string
		spoil  func(c userdata.Change) userdata.Change // the record or entry
		want   string
	}{
		"checksum": {"parts", flipped, "checksum"},
		"decoding": {"parts", func(c userdata.Change) userdata.Change {
			c.Value = userdata.Seal("parts", c.Key, unhex(t, "81 a16e 01"))
			return c
		}, "part 0017"},
		"index entry without a record": {"parts", gone, "which is not there"},
		"record without index entry":   {partsByN, gone, "index n does not lead to it"},
		"record without unique entry":  {partsBySlug, gone, "index slug does not lead to it"},
		"index entry of other values": {"parts", func(c userdata.Change) userdata.Change {
			p := newPart(record)
			p.N++
			_, value, err := userdata.Encode(parts, p)
			ok(t, err)
			c.Value = value
			return c
		}, "which has other values"},
		"index entry of another shape": {partsByN, func(c userdata.Change) userdata.Change {
			c.Key = []byte("no entry")
			return c
		}, "index n"},
		"the package's own record": {"_schema", flipped, "checksum"},
		"a bucket of nobody": {"parts", func(c userdata.Change) userdata.Change {
			c.Bucket = "nobody's"
			return c
		}, "the schema has no such table or index"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			copied := filepath.Join(t.TempDir(), "test.db")
			ok(t, os.WriteFile(copied, fileBytes(t, path), 0o600))
			s := openBoltFile(t, copied, nil)
			report, err := s.Check(t.Context())
			if ok(t, err); report.Err() != nil || len(report.Tables) != 1 || report.Tables[0] != (userdata.CheckedTable{Name: "parts", Records: 300}) {
				t.Fatalf("before: got %v, %v, want 300 parts and no problem", report.Err(), report.Tables)
			}
			entries := entriesOf(t, s, tt.bucket)
			spoiled := tt.spoil(entries[min(record, len(entries)-1)])
			ok(t, s.Apply(t.Context(), &userdata.ChangeSet{Changes: []userdata.Change{spoiled}}))
			report, err = s.Check(t.Context())
			ok(t, err)
			if err := report.Err(); !errors.Is(err, userdata.ErrCorrupt) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want ErrCorrupt with %q", err, tt.want)
			}
			if len(report.Problems) > 5 { // without its schema, a table and its indexes are nobody's
				t.Errorf("got %d problems, want those of one record: %v", len(report.Problems), report.Err())
			}
		})
	}
}

// A report ends somewhere; a check can be given up, and says how far it is.
func TestCheckBounds(t *testing.T) {
	t.Parallel()
	told := map[string]int{}
	s := openBoltFile(t, checkedFile(t), &userdata.Options{Progress: func(table string, done, _ int) { told[table] = done }})
	set := &userdata.ChangeSet{}
	for i := range 1200 {
		set.Changes = append(set.Changes, userdata.Change{Bucket: partsByN, Key: fmt.Appendf(nil, "\xff%04d", i), Value: []byte("x")})
	}
	ok(t, s.Apply(t.Context(), set))
	report, err := s.Check(t.Context())
	if ok(t, err); len(report.Problems) != 1000 || report.Omitted != 200 || !errors.Is(report.Err(), userdata.ErrCorrupt) {
		t.Errorf("got %d problems and %d more, %.100v, want 1,000 and 200", len(report.Problems), report.Omitted, report.Err())
	}
	if told["parts"] != 300 {
		t.Errorf("told %v, want 300 parts", told)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Check(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// enlarge makes a file one that is not checked in full when it is opened.
func enlarge(t *testing.T, path string) {
	t.Helper()
	ok(t, os.Truncate(path, beyondCheck))
}

// A sum that is wrong is found by Check where Open has not looked.
func TestCheckFindsSums(t *testing.T) {
	t.Parallel()
	for _, bucket := range []string{"parts", partsByN} {
		path := checkedFile(t)
		raw, err := bbolt.Open(path, 0o600, nil)
		ok(t, err)
		ok(t, raw.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(bucket))
			return b.SetSequence(b.Sequence() + 1<<32) // the entries' hashes, not their number
		}))
		ok(t, raw.Close())
		if s, err := userdata.OpenBolt(path, nil); !errors.Is(err, userdata.ErrCorrupt) || !strings.Contains(err.Error(), bucket) {
			t.Errorf("OpenBolt: got %v, %v, want ErrCorrupt with %q", s, err, bucket)
		}
		enlarge(t, path)
		s := openBoltFile(t, path, nil)
		report, err := s.Check(t.Context())
		if ok(t, err); !errors.Is(report.Err(), userdata.ErrCorrupt) || !strings.Contains(report.Err().Error(), bucket) {
			t.Errorf("Check: got %v, want ErrCorrupt with %q", report.Err(), bucket)
		}
	}
}

// A leafPage is one of a bucket's leaves.
type leafPage struct {
	data   []byte // in the file, with the pages that it overflows to
	bucket string
}

// element returns the place of an element's head, and its key.
func (p leafPage) element(i int) (at int, key []byte) {
	at = 16 + 16*i
	pos, size := int(little.Uint32(p.data[at+4:])), int(little.Uint32(p.data[at+8:]))
	return at, p.data[at+pos:][:size]
}

// elements returns how many there are.
func (p leafPage) elements() int { return int(little.Uint16(p.data[10:])) }

// leafDamages damage a leaf with at least two elements.
var leafDamages = map[string]struct {
	do      func(p leafPage)
	refused bool // a commit that touches the page must be refused
}{
	"garbage": {func(p leafPage) { scribble(p.data[16:], newDamageRand(1)) }, true},
	"keys out of order": {func(p leafPage) {
		_, key := p.element(p.elements() - 2)
		key[0] = 0xff
	}, true},
	"an entry is missing": {func(p leafPage) { little.PutUint16(p.data[10:], uint16(p.elements()-1)) }, false},
}

// The file is too large to be checked when it is opened: a damaged page is found by
// whoever reads it, or is about to write to it, and by Check.
func TestLargeDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	makeDamageFile(t, filepath.Join(dir, "sound"))
	f := loadDamageFile(t, filepath.Join(dir, "sound"))
	for name, damage := range leafDamages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, tried := filepath.Join(t.TempDir(), "test.db"), 0
			for _, id := range f.kinds["leaf"] {
				b := bytes.Clone(f.now)
				over := int(little.Uint32(f.page(b, id)[12:]))
				p := leafPage{data: b[int(id)*f.size:][:(1+over)*f.size]}
				if p.bucket = bucketOfPage(t, f, id); p.bucket == "" || p.elements() < 2 {
					continue
				}
				_, key := p.element(p.elements() - 1)
				key = bytes.Clone(key)
				damage.do(p)
				ok(t, os.WriteFile(path, b, 0o600))
				enlarge(t, path)
				useLargeDamaged(t, path, p.bucket, key, damage.refused)
				tried++
			}
			if t.Logf("%d pages", tried); tried < 10 {
				t.Errorf("tried %d pages, want more", tried)
			}
		})
	}
}

// A page with two parents is not written to: it would be free below the one, and used below
// the other.
func TestLargeDamagedBranch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	makeDamageFile(t, filepath.Join(dir, "sound"))
	f := loadDamageFile(t, filepath.Join(dir, "sound"))
	path, tried := filepath.Join(dir, "damaged"), 0
	for _, id := range f.kinds["branch"] {
		b := bytes.Clone(f.now)
		page := b[int(id)*f.size:][:f.size]
		bucket := bucketOfPage(t, f, id)
		if bucket == "" {
			continue
		}
		first, second := page[16:32], page[32:48]
		at := 32 + int(little.Uint32(second))
		key := page[at:][:little.Uint32(second[4:])]
		copy(first[8:], second[8:])
		ok(t, os.WriteFile(path, b, 0o600))
		enlarge(t, path)
		useLargeDamaged(t, path, bucket, key, true)
		if !bytes.Equal(fileBytes(t, path)[:len(b)], b) {
			t.Errorf("page %d: the refused commit has written", id)
		}
		tried++
	}
	if tried < 2 {
		t.Errorf("tried %d pages, want more", tried)
	}
}

// A file that is small is checked in full when it is opened: what no read would
// notice, too. A page in use that the list of free pages has would be overwritten by
// the next commit.
func TestOpenFindsDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	makeDamageFile(t, filepath.Join(dir, "sound"))
	f := loadDamageFile(t, filepath.Join(dir, "sound"))
	path := filepath.Join(dir, "damaged")
	refuses := func(how string, b []byte) {
		t.Helper()
		ok(t, os.WriteFile(path, b, 0o600))
		s, err := userdata.OpenBolt(path, nil)
		if !errors.Is(err, userdata.ErrCorrupt) {
			t.Errorf("%s: got %v, %v, want ErrCorrupt", how, s, err)
		}
		if err == nil {
			s.Close()
		}
	}
	for name, damage := range leafDamages {
		for _, id := range f.kinds["leaf"] {
			b := bytes.Clone(f.now)
			over := int(little.Uint32(f.page(b, id)[12:]))
			if p := (leafPage{data: b[int(id)*f.size:][:(1+over)*f.size]}); p.elements() > 1 {
				damage.do(p)
				refuses(fmt.Sprintf("page %d: %s", id, name), b)
			}
		}
	}
	for _, id := range f.kinds["leaf"] { // another value, as an old page would have: only the sum tells
		b := bytes.Clone(f.now)
		p := leafPage{data: f.page(b, id)}
		at, key := p.element(0)
		end := at + int(little.Uint32(p.data[at+4:])) + len(key) + int(little.Uint32(p.data[at+12:]))
		if end <= len(p.data) && little.Uint32(p.data[at+12:]) > 0 {
			p.data[end-1] ^= 1
			refuses(fmt.Sprintf("page %d: another value", id), b)
		}
	}
	used := slices.Concat(f.kinds["leaf"], f.kinds["branch"])
	slices.Sort(used)
	tried := 0
	for _, id := range f.kinds["freelist"] {
		for i := range int(little.Uint16(f.page(f.now, id)[10:])) {
			b := bytes.Clone(f.now)
			free := f.page(b, id)[16+8*i:]
			before := uint64(1)
			if i > 0 {
				before = little.Uint64(f.page(b, id)[16+8*(i-1):])
			}
			at, _ := slices.BinarySearch(used, before+1)
			if at == len(used) || used[at] > little.Uint64(free) {
				continue // none would be in order
			}
			little.PutUint64(free, used[at])
			refuses(fmt.Sprintf("page %d is free", used[at]), b)
			tried++
		}
	}
	if tried == 0 {
		t.Error("no used page was made a free one")
	}
}

// bucketOfPage returns the bucket that has a leaf, "" for the root.
func bucketOfPage(t *testing.T, f *damageFile, id uint64) string {
	t.Helper()
	b := bytes.Clone(f.now)
	clear(f.page(b, id))
	report, err := pages.Check(bytes.NewReader(b), int64(len(b)))
	ok(t, err)
	for _, finding := range report.Findings {
		if finding.Page == id && len(finding.Bucket) > 0 {
			return finding.Bucket[0]
		}
	}
	return ""
}

// useLargeDamaged opens a file one of whose pages, with that key, is damaged.
func useLargeDamaged(t *testing.T, path, bucket string, key []byte, refused bool) {
	t.Helper()
	s, err := userdata.OpenBolt(path, nil)
	if err != nil {
		t.Fatalf("%s: OpenBolt: got %v, want nil", bucket, err)
	}
	defer s.Close()
	if _, _, err := contents(s); !errors.Is(err, userdata.ErrCorrupt) {
		t.Errorf("%s: reading all: got %v, want ErrCorrupt", bucket, err)
	}
	report, err := s.Check(t.Context())
	if ok(t, err); !errors.Is(report.Err(), userdata.ErrCorrupt) {
		t.Errorf("%s: Check: got %v, want ErrCorrupt", bucket, report.Err())
	}
	set := &userdata.ChangeSet{Changes: []userdata.Change{{Bucket: bucket, Key: key, Value: []byte("x")}}}
	if err := s.Apply(t.Context(), set); refused && !errors.Is(err, userdata.ErrCorrupt) {
		t.Errorf("%s: Apply: got %v, want ErrCorrupt", bucket, err)
	}
}
