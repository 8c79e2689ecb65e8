//go:build unix

package userdata_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-5df914be/userdata"
)

// killEnv makes the test binary a child that commits until it is killed. It has
// the path of the file and the number of goroutines.
const killEnv = "USERDATA_KILL_CHILD"

const (
	killParts = 3  // records that each commit adds
	killKept  = 10 // commits whose records stay; older ones are deleted
	killEvery = 5  // every so many commits of a worker, the common counter is raised
)

// A killRecord is one that the child commits: a counter, or a part of a commit.
type killRecord struct {
	ID   string `userdata:"id,key"`
	N    int    `userdata:"n,index"`
	Body []byte `userdata:"body"`
}

var (
	killRecords = userdata.NewTable[killRecord]("kill")
	killNumber  = userdata.ColumnOf(func(r *killRecord) *int { return &r.N })
)

// counterID and partID are the keys of a worker's counter, and of a part of its
// n-th commit.
func counterID(worker int) string       { return fmt.Sprintf("counter %d", worker) }
func partID(worker, n, part int) string { return fmt.Sprintf("part %d %d %d", worker, n, part) }

// allCommits is the key of the counter that all workers raise.
const allCommits = "all"

// killBody is what a part holds: some fill a page, most do not.
func killBody(worker, n, part int) []byte {
	rnd := rand.New(rand.NewPCG(uint64(worker), uint64(n*killParts+part)))
	b := make([]byte, rnd.IntN(40))
	if rnd.IntN(20) == 0 {
		b = make([]byte, 5000+rnd.IntN(5000))
	}
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// raise adds 1 to a counter, which it makes if it has to, and returns what it is
// then.
func raise(ctx context.Context, s *userdata.Session, id string) (int, error) {
	c, err := killRecords.Get(ctx, s, id)
	if errors.Is(err, userdata.ErrNotFound) {
		c = &killRecord{ID: id}
		err = s.Add(c)
	}
	if err != nil {
		return 0, err
	}
	c.N++
	return c.N, nil
}

// commitOnce makes the worker's next commit and returns its number.
func commitOnce(ctx context.Context, db *userdata.DB, worker int) (n int, err error) {
	err = db.Transact(ctx, func(s *userdata.Session) error {
		if n, err = raise(ctx, s, counterID(worker)); err != nil {
			return err
		}
		if n%killEvery == 0 {
			if _, err := raise(ctx, s, allCommits); err != nil {
				return err
			}
		}
		for part := range killParts {
			if err := s.Add(&killRecord{ID: partID(worker, n, part), N: n, Body: killBody(worker, n, part)}); err != nil {
				return err
			}
			old, err := killRecords.Get(ctx, s, partID(worker, n-killKept, part))
			if err == nil {
				err = s.Delete(old)
			}
			if err != nil && !errors.Is(err, userdata.ErrNotFound) {
				return err
			}
		}
		return nil
	})
	return n, err
}

// sharedEnv makes the child one of several that share the file: it has the number of
// its first worker.
const sharedEnv = "USERDATA_KILL_SHARED"

// TestKillChild is the child. It says "open" before it opens the file, "opened"
// after that, and the worker and number of each commit that has returned.
func TestKillChild(t *testing.T) {
	var path string
	var workers int
	if n, _ := fmt.Sscanf(os.Getenv(killEnv), "%d %s", &workers, &path); n != 2 {
		t.Skip("only in a child process")
	}
	first, opts := 0, (*userdata.Options)(nil)
	if n, _ := fmt.Sscan(os.Getenv(sharedEnv), &first); n == 1 {
		opts = shared
	}
	fmt.Println("open")
	db, err := userdata.Open(path, opts, killRecords)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("opened")
	var wg sync.WaitGroup
	for w := first; w < first+workers; w++ {
		wg.Go(func() {
			for {
				n, err := commitOnce(t.Context(), db, w)
				if errors.Is(err, userdata.ErrConflict) {
					continue // the common counter was raised by others too often
				}
				if err != nil {
					fmt.Println("failed:", err)
					os.Exit(1)
				}
				fmt.Printf("%d %d\n", w, n) // one write
			}
		})
	}
	wg.Wait()
}

// A killed is what a child said until it was killed.
type killed struct {
	opened bool
	acked  map[int]int // worker to the number of its last commit
}

// killOne starts a child for the file and kills it: after it has said so many
// lines, and then some time that a commit may take.
func killOne(t *testing.T, path string, workers, lines int, delay time.Duration) killed {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKillChild$", "-test.v=false")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", killEnv, workers, path))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	k := killed{acked: map[int]int{}}
	in := bufio.NewReader(out)
	for n := 0; ; n++ {
		if n == lines {
			time.Sleep(delay) // the moment is what is random; nothing is waited for
			ok(t, cmd.Process.Kill())
		}
		line, err := in.ReadString('\n')
		if err != nil { // a line that is cut off is of a commit that was acknowledged, too, but says less
			break
		}
		var worker, number int
		switch {
		case line == "open\n":
		case line == "opened\n":
			k.opened = true
		default:
			if c, _ := fmt.Sscanf(line, "%d %d", &worker, &number); c != 2 {
				t.Errorf("the child says %q", line)
			}
			k.acked[worker] = number
		}
	}
	_, err = io.Copy(io.Discard, in)
	ok(t, err)
	err = cmd.Wait()
	if status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended with %v, want a kill: %s", err, stderr.String())
	}
	return k
}

// checkKilled opens what a killed child has left: each commit of before, and each
// that it acknowledged since, is there in full; of each worker one more may be,
// in full too. It brings before up to date.
func checkKilled(ctx context.Context, path string, before map[int]int, k killed) error {
	if err := checkPages(path); err != nil && (k.opened || len(before) > 0 || !errors.Is(err, fs.ErrNotExist)) {
		return err
	}
	db, err := userdata.Open(path, nil, killRecords)
	if err != nil {
		return err
	}
	faults := []error{wholeCheck(ctx, db)}
	s := db.NewSession()
	found, err := killRecords.Select(s).All(ctx)
	faults = append(faults, err)
	got := map[string]*killRecord{}
	workers, sum := 0, 0
	for _, r := range found {
		got[r.ID] = r
		var w int
		if n, _ := fmt.Sscanf(r.ID, "counter %d", &w); n == 1 {
			workers = max(workers, w+1)
		}
	}
	for w := range max(workers, len(before), len(k.acked)) {
		n, err := checkWorker(ctx, s, got, w, max(before[w], k.acked[w]))
		faults = append(faults, err)
		before[w] = n
		sum += n / killEvery
	}
	if c := got[allCommits]; c != nil {
		sum -= c.N
		delete(got, allCommits)
	}
	if sum != 0 {
		faults = append(faults, fmt.Errorf("the counter of all is off by %d", sum))
	}
	for id, r := range got {
		faults = append(faults, fmt.Errorf("record %q of commit %d is there, want it not to be", id, r.N))
	}
	return errors.Join(append(faults, db.Close())...)
}

// checkWorker checks one worker's commits, the last acknowledged of which is acked,
// and takes them out of got. It returns how many there are.
func checkWorker(ctx context.Context, s *userdata.Session, got map[string]*killRecord, w, acked int) (n int, err error) {
	var faults []error
	if c := got[counterID(w)]; c != nil {
		n = c.N
		delete(got, counterID(w))
	}
	if n < acked || n > acked+1 {
		faults = append(faults, fmt.Errorf("worker %d: the counter is %d, want %d or one more", w, n, acked))
	}
	for i := max(1, n-killKept+1); i <= n; i++ {
		for part := range killParts {
			id := partID(w, i, part)
			if r := got[id]; r == nil || r.N != i || string(r.Body) != string(killBody(w, i, part)) {
				faults = append(faults, fmt.Errorf("worker %d, counter %d: part %d of commit %d is %+v", w, n, part, i, r))
			}
			delete(got, id)
		}
		if c, err := killRecords.Select(s).Where(killNumber.Eq(i)).Count(ctx); c < killParts || err != nil {
			faults = append(faults, fmt.Errorf("the index has %d records of commit %d, %w", c, i, err))
		}
	}
	return n, errors.Join(faults...)
}

// killCycles is how often a test kills a child, and so often with -long.
func killCycles(n, longer int) int {
	switch {
	case *long:
		return longer
	case testing.Short():
		return n / 4
	}
	return n
}

// A child that is killed at any moment leaves every commit that it acknowledged,
// and no half of one that it did not. The next child goes on with the same file.
func TestKill(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ workers, cycles, longer int }{
		"one goroutine":    {1, 100, 2500},
		"eight goroutines": {8, 60, 2000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, before := filepath.Join(t.TempDir(), "kill.db"), map[int]int{}
			rnd := rand.New(rand.NewPCG(1, uint64(tt.workers)))
			for i := range killCycles(tt.cycles, tt.longer) {
				lines, delay := rnd.IntN(12*tt.workers), time.Duration(rnd.IntN(2000))*time.Microsecond
				if i%10 == 0 {
					lines = 1 // while it opens the file
				}
				k := killOne(t, path, tt.workers, lines, delay)
				if err := checkKilled(t.Context(), path, before, k); err != nil {
					t.Fatalf("cycle %d, killed %v after %d lines: %v", i, delay, lines, err)
				}
			}
			total := 0
			for _, n := range before {
				total += n
			}
			if total == 0 {
				t.Error("no commit was made")
			}
			t.Logf("%d commits", total)
		})
	}
}

// A child that is killed while it creates the file leaves none, or a whole one;
// and what else it leaves is in nobody's way.
func TestKillCreation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rnd := rand.New(rand.NewPCG(2, 0))
	absent, present := 0, 0
	for i := range killCycles(40, 500) {
		path := filepath.Join(dir, fmt.Sprint(i))
		k := killOne(t, path, 1, 1+rnd.IntN(2), time.Duration(rnd.IntN(3000))*time.Microsecond)
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			absent++
		} else {
			present++
		}
		ok(t, checkKilled(t.Context(), path, map[int]int{}, k))
		ok(t, os.Remove(path))
	}
	t.Logf("%d times there was no file, %d times a whole one", absent, present)
}

// The checks of this file find what they look for: a commit too few, one too many,
// half a commit.
func TestKillCanFail(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kill.db")
	db, err := userdata.Open(path, nil, killRecords)
	ok(t, err)
	for range 3 {
		_, err := commitOnce(t.Context(), db, 0)
		ok(t, err)
	}
	ok(t, db.Close())
	for name, tt := range map[string]struct {
		acked int
		spoil func(s *userdata.Session) error
	}{
		"lost":     {4, nil},
		"too many": {1, nil},
		"half": {3, func(s *userdata.Session) error {
			r, err := killRecords.Get(t.Context(), s, partID(0, 2, 1))
			return errors.Join(err, s.Delete(r))
		}},
		"half of one more": {3, func(s *userdata.Session) error { return s.Add(&killRecord{ID: partID(0, 4, 1)}) }},
	} {
		t.Run(name, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "kill.db")
			ok(t, os.WriteFile(copied, []byte(bytesOf(t, path)), 0o600))
			if tt.spoil != nil {
				db, err := userdata.Open(copied, nil, killRecords)
				ok(t, err)
				ok(t, db.Transact(t.Context(), tt.spoil))
				ok(t, db.Close())
			}
			k := killed{opened: true, acked: map[int]int{0: tt.acked}}
			if err := checkKilled(t.Context(), copied, map[int]int{}, k); err == nil {
				t.Error("the check does not find it")
			}
		})
	}
}
