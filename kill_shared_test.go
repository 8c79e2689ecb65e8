//go:build unix

package userdata_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-5df914be/userdata"
)

// A sharer is a child that commits to a shared file, with one worker.
type sharer struct {
	worker int
	cmd    *exec.Cmd
	stderr strings.Builder
	said   chan struct{} // closed when it says no more

	mu    sync.Mutex
	acked int           // the number of its last commit
	more  chan struct{} // has a token when it has said more
}

// startSharer starts a child. acked is the number of the worker's last commit so far.
func startSharer(t *testing.T, path string, worker, acked int) *sharer {
	t.Helper()
	c := &sharer{worker: worker, acked: acked, said: make(chan struct{}), more: make(chan struct{}, 1)}
	c.cmd = exec.Command(os.Args[0], "-test.run=^TestKillChild$", "-test.v=false")
	c.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=1 %s", killEnv, path), fmt.Sprintf("%s=%d", sharedEnv, worker))
	c.cmd.Stderr = &c.stderr
	out, err := c.cmd.StdoutPipe()
	ok(t, err)
	ok(t, c.cmd.Start())
	go c.listen(out)
	return c
}

// listen notes what the child says.
func (c *sharer) listen(out io.Reader) {
	defer close(c.said)
	for in := bufio.NewReader(out); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		var worker, number int
		if n, _ := fmt.Sscanf(line, "%d %d", &worker, &number); n == 2 && worker == c.worker {
			c.mu.Lock()
			c.acked = number
			c.mu.Unlock()
		}
		select {
		case c.more <- struct{}{}:
		default:
		}
	}
}

// last returns the number of the last commit that the child has acknowledged.
func (c *sharer) last() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acked
}

// await waits until the child has acknowledged a commit after the given one.
func (c *sharer) await(t *testing.T, after int) {
	t.Helper()
	for c.last() <= after {
		select {
		case <-c.more:
		case <-c.said:
			t.Fatalf("child %d ended: %s", c.worker, c.stderr.String())
		}
	}
}

// kill kills the child, and waits until all that it said is known.
func (c *sharer) kill(t *testing.T) {
	t.Helper()
	ok(t, c.cmd.Process.Kill())
	<-c.said
	if err := c.cmd.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Fatalf("child %d ended with %v, want a kill: %s", c.worker, err, c.stderr.String())
	}
}

// checkShared looks at the shared file while the others go on: the commits of the
// killed child are there, and of the others those that it knows.
func checkShared(ctx context.Context, db *userdata.DB, children []*sharer, dead *sharer) (n int, err error) {
	var known []int
	for _, c := range children {
		known = append(known, c.last())
	}
	err = db.View(ctx, func(s *userdata.Session) error {
		got := map[string]*killRecord{}
		for r, err := range killRecords.Select(s).Rows(ctx) {
			if err != nil {
				return err
			}
			got[r.ID] = r
		}
		var faults []error
		for i, c := range children {
			acked := known[i]
			if now := got[counterID(c.worker)]; c != dead && now != nil && now.N > acked {
				acked = now.N // it has gone on
			}
			has, err := checkWorker(ctx, s, got, c.worker, acked)
			faults = append(faults, err)
			if c == dead {
				n = has
			}
		}
		delete(got, allCommits)
		for id, r := range got {
			faults = append(faults, fmt.Errorf("record %q of commit %d is there, want it not to be", id, r.N))
		}
		return errors.Join(faults...)
	})
	return n, err
}

// Three children commit in turn, and one after the other is killed at any moment: no
// commit that one of them acknowledged is lost, no half of one is left, and the
// others go on.
func TestKillShared(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kill.db")
	db, err := userdata.Open(path, shared, killRecords)
	ok(t, err)
	defer db.Close()
	var children []*sharer
	for w := range 3 {
		children = append(children, startSharer(t, path, w, 0))
	}
	defer func() {
		for _, c := range children {
			c.cmd.Process.Kill()
			<-c.said
		}
	}()
	rnd := rand.New(rand.NewPCG(3, 0))
	for cycle := range killCycles(20, 500) {
		i := rnd.IntN(len(children))
		dead := children[i]
		dead.await(t, dead.last()+rnd.IntN(4))
		time.Sleep(time.Duration(rnd.IntN(3000)) * time.Microsecond) // the moment is what is random; nothing is waited for
		dead.kill(t)
		n, err := checkShared(t.Context(), db, children, dead)
		if err != nil {
			t.Fatalf("cycle %d, child %d killed after commit %d: %v", cycle, i, dead.last(), err)
		}
		for _, c := range children {
			if c != dead {
				c.await(t, c.last())
			}
		}
		children[i] = startSharer(t, path, i, n)
	}
	acked, total := map[int]int{}, 0
	for _, c := range children {
		c.await(t, c.last())
		c.kill(t)
		acked[c.worker] = c.last()
		total += c.last()
	}
	ok(t, db.Close())
	ok(t, checkKilled(t.Context(), path, map[int]int{}, killed{opened: true, acked: acked}))
	t.Logf("%d commits", total)
}
