package userdata_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-5df914be/userdata"
)

// FuzzKey checks that keys of every type come back as they were, that their bytes
// sort as they do, and that arbitrary bytes are a key that is stored as these bytes,
// or none.
func FuzzKey(f *testing.F) {
	f.Add([]byte("a"), []byte("a\x00"), int64(-1), int64(1))
	f.Add([]byte{0xff}, []byte{0xff, 0}, int64(math.MinInt64), int64(math.MaxInt64))
	f.Add([]byte("\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), []byte("12345678"), int64(253402300799), int64(-62135596800))
	f.Fuzz(func(t *testing.T, a, b []byte, i, j int64) {
		if len(a) > 0 && len(b) > 0 && len(a) <= userdata.MaxKeySize && len(b) <= userdata.MaxKeySize {
			checkKeys(t, string(a), string(b), strings.Compare)
			checkKeys(t, a, b, bytes.Compare)
		}
		checkKeys(t, i, j, cmp.Compare)
		checkKeys(t, int8(i), int8(j), cmp.Compare)
		checkKeys(t, uint64(i), uint64(j), cmp.Compare)
		checkKeys(t, uint16(i), uint16(j), cmp.Compare)
		x, y := [8]byte{}, [8]byte{}
		copy(x[:], a)
		copy(y[:], b)
		checkKeys(t, x, y, func(x, y [8]byte) int { return bytes.Compare(x[:], y[:]) })
		first, last := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()
		if first <= i && i <= last && first <= j && j <= last {
			checkKeys(t, time.Unix(i, j&0x1fffffff).UTC(), time.Unix(j, i&0x1fffffff).UTC(), time.Time.Compare)
		}
		for _, key := range [][]byte{a, b} {
			readKey[int64](t, key)
			readKey[uint8](t, key)
			readKey[time.Time](t, key)
			readKey[[8]byte](t, key)
		}
	})
}

// checkKeys checks two keys of a type.
func checkKeys[K any](t *testing.T, a, b K, compare func(a, b K) int) {
	t.Helper()
	table := userdata.NewTable[keyed[K]]("t")
	x, err1 := userdata.EncodeKey(table, a)
	y, err2 := userdata.EncodeKey(table, b)
	if err1 != nil || err2 != nil {
		t.Fatalf("%v, %v: got %v, %v, want nil", a, b, err1, err2)
	}
	if got, want := bytes.Compare(x, y), compare(a, b); got != want {
		t.Errorf("%v and %v: got order %d of their bytes, want %d", a, b, got, want)
	}
	if got, isK := userdata.DecodeKey(table, x).(K); !isK || compare(got, a) != 0 {
		t.Errorf("%v: got %v back", a, got)
	}
}

// readKey reads arbitrary bytes as a key.
func readKey[K any](t *testing.T, key []byte) {
	t.Helper()
	table := userdata.NewTable[keyed[K]]("t")
	if k, isK := userdata.DecodeKey(table, key).(K); isK {
		if again, err := userdata.EncodeKey(table, k); err != nil || !bytes.Equal(again, key) {
			t.Errorf("key %x is read as %v, which is stored as %x, %v", key, k, again, err)
		}
	}
}

// FuzzSchema puts arbitrary bytes in the place of each record that the package
// keeps for itself, as they are and with a right checksum: Open returns one of its
// errors, or a database that keeps what is put into it.
func FuzzSchema(f *testing.F) {
	records := ownRecords(f)
	for _, r := range records {
		f.Add(r.Value)
		f.Add(r.Value[:len(r.Value)-6])
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		if len(value) == 0 {
			return
		}
		for _, r := range records {
			openWith(t, r, value)
			openWith(t, r, userdata.Seal(r.Bucket, r.Key, value))
		}
	})
}

// ownRecords returns what a new database has in the package's own buckets, but for
// indexes.
func ownRecords(t testing.TB) (records []userdata.Change) {
	t.Helper()
	store := userdata.NewMemStore()
	_, err := userdata.OpenStore(t.Context(), store, nil, parts)
	ok(t, err)
	all, _, err := contents(store)
	ok(t, err)
	for bucket, entries := range all {
		for key, value := range entries {
			if strings.HasPrefix(bucket, "_") && !strings.HasPrefix(bucket, "_index") {
				records = append(records, userdata.Change{Bucket: bucket, Key: []byte(key), Value: []byte(value)})
			}
		}
	}
	return records
}

// openWith opens a store in which a record has another value.
func openWith(t *testing.T, record userdata.Change, value []byte) {
	ctx := context.Background()
	store := userdata.NewMemStore()
	db, err := userdata.OpenStore(ctx, store, nil, parts)
	ok(t, err)
	putAll(t, db, newPart(1))
	record.Value = value
	ok(t, store.Apply(ctx, &userdata.ChangeSet{Changes: []userdata.Change{record}}))
	db, err = userdata.OpenStore(ctx, store, nil, parts)
	if err != nil {
		if !errors.Is(err, userdata.ErrCorrupt) && !errors.Is(err, userdata.ErrSchema) && !errors.Is(err, userdata.ErrInvalid) {
			t.Errorf("%s %q is %x: got %v, want ErrCorrupt or ErrSchema", record.Bucket, record.Key, value, err)
		}
		return
	}
	s := db.NewSession()
	p, err := parts.Get(ctx, s, newPart(1).ID)
	if err != nil {
		t.Fatalf("%s %q is %x: got %v, want the record", record.Bucket, record.Key, value, err)
	}
	p.N++
	ok(t, s.Commit(ctx))
}

// FuzzFile writes arbitrary bytes into a small file, at one or two places, and cuts
// it: whoever uses it gets the right values or an error.
func FuzzFile(f *testing.F) {
	dir := f.TempDir()
	makeDamageFile(f, filepath.Join(dir, "sound"))
	sound := loadDamageFile(f, filepath.Join(dir, "sound"))
	addPatches(f)
	f.Fuzz(func(t *testing.T, at1 uint32, b1 []byte, at2 uint32, b2 []byte, cut uint32) {
		path := filepath.Join(t.TempDir(), "db")
		older := sound.patch(t, path, map[uint32][]byte{at1: b1, at2: b2}, cut)
		switch verdict := useDamaged(context.Background(), path, sound, older, false); verdict {
		case "right", "error", "the state before the last commit":
		default:
			t.Error(verdict)
		}
	})
}

// addPatches adds inputs of what patches a file.
func addPatches(f *testing.F) {
	f.Add(uint32(0), []byte{1}, uint32(4096+16), []byte{0xff}, uint32(0))
	f.Add(uint32(8192+8), []byte{2}, uint32(5*4096+12), []byte{1, 0, 0, 0}, uint32(100))
	f.Add(uint32(3*4096+16), []byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, uint32(9*4096), []byte("ab"), uint32(1))
}

// patch writes the file to path, with bytes at some places, and less at its end. It
// reports whether a meta page was written to.
func (f *damageFile) patch(t *testing.T, path string, patches map[uint32][]byte, cut uint32) (metas bool) {
	t.Helper()
	b := bytes.Clone(f.now)
	for at, patch := range patches {
		n := copy(b[int(at)%len(b):], patch)
		metas = metas || int(at)%len(b) < 2*f.size && n > 0
	}
	ok(t, os.WriteFile(path, b[:len(b)-int(cut)%len(b)], 0o600))
	return metas
}

// FuzzSalvage damages a file in the same way: whatever Salvage saves was written once.
func FuzzSalvage(f *testing.F) {
	dir := f.TempDir()
	makeDamageFile(f, filepath.Join(dir, "sound"))
	sound := loadDamageFile(f, filepath.Join(dir, "sound"))
	addPatches(f)
	f.Fuzz(func(t *testing.T, at1 uint32, b1 []byte, at2 uint32, b2 []byte, cut uint32) {
		path, target := filepath.Join(t.TempDir(), "db"), filepath.Join(t.TempDir(), "saved")
		sound.patch(t, path, map[uint32][]byte{at1: b1, at2: b2}, cut)
		report, err := userdata.Salvage(context.Background(), path, target, nil)
		if err != nil {
			if !errors.Is(err, userdata.ErrCorrupt) {
				t.Errorf("Salvage: got %v, want ErrCorrupt", err)
			}
			return
		}
		db, err := userdata.Open(target, nil, parts)
		if err != nil {
			if !errors.Is(err, userdata.ErrCorrupt) && !errors.Is(err, userdata.ErrSchema) {
				t.Errorf("Open: got %v, want ErrCorrupt or ErrSchema", err)
			}
			return
		}
		defer db.Close()
		u := use{state: partState{}}
		u.all(context.Background(), db)
		ok(t, u.err)
		for id, p := range u.state {
			if p != sound.latest[id] && p != sound.before[id] && p != sound.older[id] {
				t.Errorf("%s is %.80s, which was never written", id, p)
			}
		}
		for _, table := range report.Tables {
			if table.Name == "parts" && table.Saved != len(u.state) {
				t.Errorf("got %d records, and %d in the report", len(u.state), table.Saved)
			}
		}
	})
}
