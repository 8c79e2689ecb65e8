package userdata_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/seed-5df914be/userdata"
)

// shared are the options of stores that share a file. The time is generous: the
// tests are about who waits for whom, not for how long.
var shared = &userdata.Options{Shared: true, LockTimeout: time.Minute}

// increment adds one to the number under the key, as often as it takes.
func increment(s userdata.Store, key string) error {
	for {
		var old []byte
		err := s.View(context.Background(), func(snap userdata.Snapshot) (err error) {
			old, err = snap.Get("a", []byte(key))
			old = append([]byte(nil), old...)
			return err
		})
		if err != nil {
			return err
		}
		n, _ := strconv.Atoi(string(old))
		c := userdata.Change{Bucket: "a", Key: []byte(key), Value: strconv.AppendInt(nil, int64(n+1), 10)}
		if n > 0 {
			c.Expect, c.Before = userdata.ExpectBytes, old
		} else {
			c.Expect = userdata.ExpectNothing
		}
		err = s.Apply(context.Background(), &userdata.ChangeSet{Changes: []userdata.Change{c}})
		if !errors.Is(err, userdata.ErrConflict) {
			return err
		}
	}
}

// Two stores of one process are to each other what two processes are.
func TestSharedStores(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	var stores []*userdata.BoltStore
	for range 3 {
		stores = append(stores, openBoltFile(t, path, shared))
	}
	var wg sync.WaitGroup
	for _, s := range stores {
		for range 2 {
			wg.Go(func() {
				for range 100 {
					if err := increment(s, "n"); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	for i, s := range stores {
		if all, _, err := contents(s); all["a"]["n"] != "600" || err != nil {
			t.Errorf("store %d: got %v, %v, want 600", i, all, err)
		}
	}
	wantContents(t, openBoltFile(t, path, &userdata.Options{ReadOnly: true, Shared: true}), map[string]map[string]string{"a": {"n": "600"}})
}

// A View keeps the others out, and its own process's calls in.
func TestSharedView(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	first := openBoltFile(t, path, shared)
	second := openBoltFile(t, path, &userdata.Options{Shared: true, LockTimeout: 50 * time.Millisecond})
	err := first.View(t.Context(), func(snap userdata.Snapshot) error {
		if err := second.Apply(t.Context(), change("1", "x", userdata.ExpectNothing)); !errors.Is(err, userdata.ErrLocked) {
			t.Errorf("another's Apply: got %v, want ErrLocked", err)
		}
		if err := second.View(t.Context(), func(userdata.Snapshot) error { return nil }); !errors.Is(err, userdata.ErrLocked) {
			t.Errorf("another's View: got %v, want ErrLocked", err)
		}
		time.Sleep(30 * time.Millisecond) // more than a turn lasts: this call is in it all the same
		put(t, first, "a", "2", "y")
		if _, now, err := contents(first); now != snap.Version()+1 || err != nil {
			t.Errorf("a View in the View: got version %d, %v, want %d", now, err, snap.Version()+1)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	put(t, second, "a", "3", "z")
	wantContents(t, first, map[string]map[string]string{"a": {"2": "y", "3": "z"}})
}

// Who has the file open but does not share it keeps the others out.
func TestSharedBesideUnshared(t *testing.T) {
	t.Parallel()
	s := openBolt(t)
	if other, err := userdata.OpenBolt(s.Path(), &userdata.Options{Shared: true, LockTimeout: -1}); !errors.Is(err, userdata.ErrLocked) {
		t.Errorf("got %v, %v, want ErrLocked", other, err)
	}
}

// A file that another process has compacted is another file.
func TestSharedCompact(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	first, second := openBoltFile(t, path, shared), openBoltFile(t, path, shared)
	for i := range 20 {
		put(t, first, "a", fmt.Sprint(i), "x")
		if err := second.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
		put(t, first, "b", fmt.Sprint(i), "x")
	}
	for _, s := range []userdata.Store{first, second} {
		if all, _, err := contents(s); len(all["a"]) != 20 || len(all["b"]) != 20 || err != nil {
			t.Errorf("got %v, %v, want 20 entries in each", all, err)
		}
	}
}

// The turn after this one belongs to who waits for it, not to who has just had it
// and wants another at once.
func TestSharedTurns(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has a gate")
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	first, second := openBoltFile(t, path, shared), openBoltFile(t, path, shared)
	for i := range 20 {
		done := make(chan error, 1)
		err := first.View(t.Context(), func(userdata.Snapshot) error {
			go func() { done <- second.Apply(context.Background(), change(fmt.Sprint(i), "x", userdata.ExpectNothing)) }()
			for begun := time.Now(); !userdata.GateHeld(first); runtime.Gosched() {
				if time.Since(begun) > 5*time.Second {
					return errors.New("nobody waits at the gate")
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		all, _, err := contents(first)
		if err = errors.Join(err, <-done); err != nil || len(all["a"]) != i+1 {
			t.Errorf("turn %d: got %d entries, %v, want %d: the other's turn was first", i, len(all["a"]), err, i+1)
		}
	}
}

// A rack is a record as two versions of a program declare it.
type (
	rackOld struct {
		ID string `userdata:"id,key"`
		N  int    `userdata:"n"`
	}
	rackNew struct {
		ID   string  `userdata:"id,key"`
		N    int     `userdata:"n"`
		Note *string `userdata:"note"`
	}
)

var (
	racksOld = userdata.NewTable[rackOld]("racks")
	racksNew = userdata.NewTable[rackNew]("racks")
)

// A program of before, whose table another process has changed, is told so: what it
// would write lacks the new column.
func TestSharedSchema(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	old, err := userdata.Open(path, shared, racksOld)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	add := func(db *userdata.DB, record any) error {
		return db.Transact(t.Context(), func(s *userdata.Session) error { return s.Add(record) })
	}
	same, err := userdata.Open(path, shared, racksOld)
	if err := errors.Join(err, add(old, &rackOld{ID: "1"})); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(add(same, &rackOld{ID: "2"}), add(old, &rackOld{ID: "3"}), same.Close()); err != nil {
		t.Errorf("with the same schema: got %v, want nil", err)
	}
	changed, err := userdata.Open(path, shared, racksNew)
	if err != nil {
		t.Fatal(err)
	}
	defer changed.Close()
	for range 2 {
		if err := add(old, &rackOld{ID: "4"}); !errors.Is(err, userdata.ErrSchema) {
			t.Errorf("commit: got %v, want ErrSchema", err)
		}
		if _, err := racksOld.Get(t.Context(), old.NewSession(), "1"); !errors.Is(err, userdata.ErrSchema) {
			t.Errorf("Get: got %v, want ErrSchema", err)
		}
	}
	if err := add(changed, &rackNew{ID: "4"}); err != nil {
		t.Error(err)
	}
	if n, err := racksNew.Select(changed.NewSession()).Count(t.Context()); n != 4 || err != nil {
		t.Errorf("got %d records, %v, want 4", n, err)
	}
}

// TestSharedChild is not a test: it is what the processes of TestSharedProcesses run.
func TestSharedChild(t *testing.T) {
	path := os.Getenv("USERDATA_SHARED_FILE")
	if path == "" {
		t.Skip("only in the processes of TestSharedProcesses")
	}
	s, err := userdata.OpenBolt(path, shared)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString('\n')
	for {
		if err := increment(s, "total"); err != nil {
			t.Fatal(err)
		}
		if err := increment(s, os.Getenv("USERDATA_SHARED_KEY")); err != nil {
			t.Fatal(err)
		}
		if all, _, err := contents(s); err != nil {
			t.Fatal(err)
		} else if total, _ := strconv.Atoi(all["a"]["total"]); total >= sharedTotal {
			break
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// sharedTotal is how many increments the processes make together.
const sharedTotal = 1200

// Four processes that commit as fast as they can: nothing is lost, and each has at
// least half of its share.
func TestSharedProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	const n = 4
	children, starts := make([]*exec.Cmd, n), make([]io.WriteCloser, n)
	for i := range n {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSharedChild$")
		child.Env = append(os.Environ(), "USERDATA_SHARED_FILE="+path, fmt.Sprintf("USERDATA_SHARED_KEY=own %d", i))
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err == nil {
			starts[i], err = child.StdinPipe()
		}
		if err = errors.Join(err, child.Start()); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" || err != nil {
			t.Fatalf("child %d: got %q, %v", i, line, err)
		}
		children[i] = child
	}
	for _, start := range starts {
		fmt.Fprintln(start)
	}
	for i, child := range children {
		if err := child.Wait(); err != nil {
			t.Errorf("child %d: %v", i, err)
		}
	}
	all, _, err := contents(openBoltFile(t, path, nil))
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for i := range n {
		own, _ := strconv.Atoi(all["a"][fmt.Sprintf("own %d", i)])
		if sum += own; own < sharedTotal/n/2 {
			t.Errorf("process %d made %d of %d increments, want at least half its share", i, own, sharedTotal)
		}
	}
	if total, _ := strconv.Atoi(all["a"]["total"]); total != sum || total < sharedTotal {
		t.Errorf("got %d in all, and %d in the processes' own counters, want them equal", total, sum)
	}
	t.Log(all["a"])
}
