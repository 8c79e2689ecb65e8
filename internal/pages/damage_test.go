package pages_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// childDir names the folder of the victims to a child process, and makes the test
// binary one.
const childDir = "USERDATA_PAGES_CHILD"

// damaged is how many files are damaged by default.
const damaged = 10000

// short says that a test that samples looks at few cases: with -short, and with the race detector,
// which is slow, and sees the same in each case of what one goroutine does.
func short() bool { return underRace || testing.Short() }

// Of many damaged files, Check finds those that bbolt can't be trusted with: a
// file that passes can be read and written by bbolt, which sees in it what Walk
// does, without a panic, a fault or a hang; and what it wrote passes again.
//
// Damage that passes lies in free pages, in values, or is a whole older page.
// What that does to the records is for their checksums and sums to find.
func TestDamage(t *testing.T) {
	n := uint64(damaged)
	if short() {
		n /= 10
	}
	dir := t.TempDir()
	list := victims(t, dir)
	found, byKind := 0, map[string]int{}
	var passed []uint64
	var slowest time.Duration
	for seed := range n {
		f, _, kind, _ := mutate(list, seed)
		start := time.Now()
		r := check(t, f)
		slowest = max(slowest, time.Since(start))
		if r.Err() != nil {
			found++
			byKind[kind]++
			continue
		}
		passed = append(passed, seed)
		byKind["passed: "+kind]++
	}
	if slowest > time.Second {
		t.Errorf("a Check took %v", slowest)
	}
	tally := inChildren(t, "TestDamageChild", dir, passed)
	t.Logf("%d files: %d found, %d passed; slowest Check %v", n, found, len(passed), slowest)
	t.Logf("by page: %v", byKind)
	t.Logf("of those that passed: %v", tally)
	if found < int(n)/3 || len(passed) < 100 {
		t.Error("the damage is not what it should be")
	}
}

// inChildren opens the files of the seeds in child processes that run the test,
// and counts what they say of them.
func inChildren(t *testing.T, test, dir string, seeds []uint64) map[string]int {
	tally := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			list := seeds[i*len(seeds)/2 : (i+1)*len(seeds)/2]
			for len(list) > 0 {
				said, died := child(t, test, dir, list)
				mu.Lock()
				for _, s := range said {
					tally[s]++
				}
				mu.Unlock()
				list = list[len(said):]
				if died != "" {
					t.Errorf("seed %d: the process died: %s", list[0], died)
					list = list[1:]
				}
			}
		})
	}
	wg.Wait()
	return tally
}

// child runs the test in a child process for the seeds and returns what it said of each, and
// if it died before the end what it wrote then.
func child(t *testing.T, test, dir string, seeds []uint64) (said []string, died string) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stdin = strings.NewReader(strings.Trim(fmt.Sprint(seeds), "[]"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	for line := range strings.Lines(string(out)) {
		if seed, s, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && seed == fmt.Sprint(seeds[len(said)]) {
			said = append(said, s)
			if strings.HasPrefix(s, "bad") {
				t.Errorf("seed %s: %s", seed, s)
			}
			if len(said) == len(seeds) {
				return said, ""
			}
		}
	}
	return said, fmt.Sprintf("%v: %.600s", err, stderr.String())
}

// TestDamageChild is what a child process of TestDamage does.
func TestDamageChild(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	serve(t, func(list []victim, seed uint64) string {
		f, v, _, _ := mutate(list, seed)
		return use(t, path, f, v)
	})
}

// serve is what a child process does: for each seed that it is given it writes
// what fn says. It ends the process if one of them takes too long.
func serve(t *testing.T, fn func(list []victim, seed uint64) string) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("only in a child process of another test")
	}
	var step atomic.Int64
	go func() {
		for last := int64(-1); ; time.Sleep(5 * time.Second) {
			if now := step.Load(); now == last {
				fmt.Fprintln(os.Stderr, "hangs")
				os.Exit(3)
			} else {
				last = now
			}
		}
	}()
	list := victims(t, dir)
	in := bufio.NewScanner(os.Stdin)
	in.Split(bufio.ScanWords)
	for in.Scan() {
		var seed uint64
		fmt.Sscan(in.Text(), &seed)
		fmt.Printf("%d: %s\n", seed, fn(list, seed))
		step.Add(1)
	}
}

// use opens the file with bbolt, reads all of it and writes to it, and says what
// came of that. It was made from v.
func use(t *testing.T, path string, f []byte, v *victim) (said string) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			said = fmt.Sprintf("bad: panic: %v", p)
		}
	}()
	if err := os.WriteFile(path, f, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true, NoGrowSync: true, Timeout: time.Second})
	if err != nil {
		return fmt.Sprintf("bad: open: %v", err)
	}
	r, ours := walk(t, f, check(t, f).Meta)
	got := contents{}
	err = db.View(func(tx *bolt.Tx) error {
		if r.Metas[1-r.Meta].Err == nil { // or else Tx.Check stumbles over that page
			for err := range tx.Check() {
				return err
			}
		}
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error { return got.load(fmt.Sprintf("/%q", name), b) })
	})
	if err == nil && !maps.EqualFunc(got, ours, bytes.Equal) {
		err = errors.New("bbolt and Walk differ")
	}
	if err = errors.Join(err, change(db), db.Close()); err != nil {
		return fmt.Sprintf("bad: %v", err)
	}
	after := read(t, path)
	if r := check(t, after); r.Err() != nil {
		return fmt.Sprintf("bad: after a change: %v", r.Err())
	}
	switch {
	case maps.EqualFunc(got, v.sound[v.meta], bytes.Equal):
		return "same data"
	case r.Meta != v.meta && r.Metas[v.meta].Err != nil:
		return "commit before, other meta invalid"
	case r.Meta != v.meta:
		return "commit before, forged meta"
	case len(got) == len(v.sound[v.meta]):
		return "other values or keys"
	}
	return "other number of entries"
}

// change puts and deletes some entries in each bucket of the root.
func change(db *bolt.DB) error {
	return db.Update(func(tx *bolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bolt.Bucket) error {
			for i := 0; i < 40; i += 3 {
				err := b.Put(key(i), make([]byte, 9*i))
				if err == nil {
					err = b.Delete(key(5 * i))
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// FuzzCheck gives Check and Walk arbitrary bytes: they neither panic nor hang,
// and agree. (Give it -fuzzminimizetime=20x, or it spends its time on that.)
func FuzzCheck(f *testing.F) {
	small := shape{"", bolt.Options{PageSize: 1024}, []func(*bolt.Tx) error{
		put(0, 40, 9, "a"), put(0, 2, 2, "b", "c"), put(0, 1, 1500, "d"), del(0, 9, 2, "a"),
	}}
	file := read(f, small.build(f))
	r := check(f, file)
	f.Add(file[:r.Metas[r.Meta].HighWater<<10], uint16(0), uint64(0))
	f.Add([]byte(synth(leafOf(2, "a", 3), one(3, []byte("k"), 4), leafOf(4, "k", 0))), uint16(8192), uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, at uint16, v uint64) {
		b = bytes.Clone(b)
		if int(at)+8 <= len(b) {
			le.PutUint64(b[at:], le.Uint64(b[at:])^v)
		}
		if len(b) >= 8192 {
			image(b).seal()
		}
		r := check(t, b)
		if r.Meta < 0 {
			return
		}
		w, _ := walk(t, b, r.Meta)
		if (r.Err() == nil) != (w.Err() == nil) {
			t.Errorf("Check: %v; Walk: %v", r.Err(), w.Err())
		}
	})
}
