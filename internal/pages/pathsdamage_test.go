package pages_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// An edit is a put or a delete.
type edit struct {
	bucket string
	key    []byte
	del    bool
}

// edits returns some for each bucket that the Map has: few or many, scattered or
// side by side.
func edits(m *pages.Map, rnd *rand.Rand) (list []edit, err error) {
	err = m.Buckets(func(name []byte) bool {
		n, from, step := 1<<rnd.IntN(8), rnd.IntN(300), 1+rnd.IntN(3)*rnd.IntN(9)
		dels := rnd.IntN(4)
		for i := range n {
			k := key(from + i*step)
			if string(name) == "wide" {
				k = append(key((from+i*step)%20), make([]byte, 200)...)
			}
			list = append(list, edit{string(name), k, rnd.IntN(3) < dels})
		}
		return true
	})
	return list, err
}

// follow names the edits to a Paths.
func follow(m *pages.Map, list []edit) error {
	p := pages.NewPaths(*m)
	for _, e := range list {
		t, found, err := p.Bucket([]byte(e.bucket))
		if err != nil || !found {
			return fmt.Errorf("%v, %w", found, err)
		}
		if err := p.Put(&t, e.key); err != nil {
			return err
		}
		if e.del {
			if err := p.Delete(&t, e.key); err != nil {
				return err
			}
		}
	}
	return nil
}

// Where Paths lets bbolt write to a damaged file that Check refuses, it does so,
// or fails for the freelist, but does not hang, fault or overflow the stack.
func TestPathsDamage(t *testing.T) {
	n := uint64(damaged)
	if short() {
		n /= 10
	}
	dir := t.TempDir()
	list := victims(t, dir)
	var passed []uint64
	refused := 0
	for seed := range n {
		f, _, kind, _ := mutate(list, seed)
		r := check(t, f)
		if r.Err() == nil || r.Meta < 0 || r.Metas[r.Meta].Freelist == 1<<64-1 || kind == "free" || kind == "freelist" {
			continue // for TestDamage, or bbolt itself would look at all pages when it opens it
		}
		m, err := pages.NewMap(f, r.Metas[r.Meta])
		if err != nil {
			continue
		}
		changes, err := edits(&m, newRand(seed))
		if err == nil {
			err = follow(&m, changes)
		}
		if err != nil {
			refused++
			continue
		}
		passed = append(passed, seed)
	}
	tally := inChildren(t, "TestPathsDamageChild", dir, passed)
	t.Logf("%d files with findings: %d refused, %d passed: %v", refused+len(passed), refused, len(passed), tally)
	if refused < int(n)/20 || tally["written"] < int(n)/100 {
		t.Error("the damage is not what it should be")
	}
}

// TestPathsDamageChild is what a child process of TestPathsDamage does.
func TestPathsDamageChild(t *testing.T) {
	dir := t.TempDir()
	serve(t, func(list []victim, seed uint64) string {
		f, _, _, _ := mutate(list, seed)
		path := filepath.Join(dir, fmt.Sprint(seed)) // a new one each: what panicked stays open
		defer os.Remove(path)
		return writeTo(t, path, f, seed)
	})
}

// writeTo lets bbolt write to the file what Paths lets it, and says what came of
// that.
func writeTo(t *testing.T, path string, f []byte, seed uint64) (said string) {
	doing := "open"
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch p := fmt.Sprint(recover()); {
		case p == "<nil>":
		case doing == "open", strings.Contains(p, "already free"), strings.Contains(p, "circular dependency"):
			// The freelist names pages that are used, which of them is taken is chance.
			said = "panic: " + doing
		default:
			said = fmt.Sprintf("bad: panic: %s: %.500v %s", doing, p, debug.Stack())
			said = strings.ReplaceAll(said, "\n", " ")
		}
	}()
	if err := os.WriteFile(path, f, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true, NoGrowSync: true, Timeout: time.Second})
	if err != nil {
		return "refused by bbolt"
	}
	tx, err := db.Begin(true)
	if err != nil {
		return fmt.Sprintf("bad: begin: %v", err)
	}
	m := newMap(t, f, metaOf(tx))
	changes, err := edits(m, newRand(seed))
	if err == nil {
		err = follow(m, changes)
	}
	if err != nil {
		return fmt.Sprintf("bad: refused: %v", err)
	}
	doing = "edit"
	for _, e := range changes {
		b := tx.Bucket([]byte(e.bucket))
		if e.del {
			err = b.Delete(e.key)
		} else {
			err = b.Put(e.key, make([]byte, len(e.key)))
		}
		if err != nil {
			return fmt.Sprintf("bad: edit: %v", err)
		}
	}
	doing = "commit"
	if err := tx.Commit(); err != nil {
		return fmt.Sprintf("bad: commit: %v", err)
	}
	if err := db.Close(); err != nil {
		return fmt.Sprintf("bad: close: %v", err)
	}
	return "written"
}
