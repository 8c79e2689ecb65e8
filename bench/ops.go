package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// How much one turn of an operation does.
const (
	commitSize    = 10_000 // records in a commit of a load
	getsAtOnce    = 1_000
	pageSize      = 100
	pagesAtOnce   = 20
	filterLimit   = 10 // of counts: one record in 100
	cleanRecords  = 10_000
	changeRecords = 1_000
	committers    = 64
	maxCommits    = 200
	openings      = 3
)

// An op is one kind of work that is compared.
type op struct {
	name     string // what -ops calls it
	title    string
	unit     string // what the cost is of
	base     string // the op of raw bbolt that ratios are to, if not the same, or noBase
	tracking bool   // only a tracker can do it
	run      func(ctx context.Context, t *turn) (cost float64, err error)
}

// noBase is the base of an op that nothing of raw bbolt can be compared with.
const noBase = "none"

// baseName returns the name of the op of raw bbolt that ratios are to.
func (o *op) baseName() string {
	if o.base != "" {
		return o.base
	}
	return o.name
}

// ops are all operations in the order of a round: those that read come before
// those that write.
var ops = []*op{
	{name: "load", title: "load in commits of 10,000, random keys", unit: "record", run: runLoad},
	{name: "close", title: "close after the load", unit: "closing", run: runClose},
	{name: "size", title: "size of the file after the load", unit: "bytes per record", run: runSize},
	{name: "open", title: "open a large file and get one record", unit: "opening", run: runOpen},
	{name: "get", title: "get by key, cold", unit: "get", run: runGet},
	{name: "session", title: "get by key, cold, in one session", unit: "get", base: "get", tracking: true, run: runSession},
	{name: "tracked", title: "get by key, tracked", unit: "get", base: "get", tracking: true, run: runTracked},
	{name: "scan", title: "scan", unit: "record", run: runScan},
	{name: "scantracked", title: "scan, tracked", unit: "record", base: "scan", tracking: true, run: runScanTracked},
	{name: "index", title: "100 records by index", unit: "query", run: runIndex},
	{name: "filter", title: "filter on an unindexed column, 1 % match", unit: "query", run: runFilter},
	{name: "clean", title: "change detection over 10,000 clean records", unit: "record", base: noBase, tracking: true, run: runClean},
	{name: "commit", title: "commit of 1 record, lone, median", unit: "commit", run: runCommit},
	{name: "ordered", title: "64 committers, keys in order", unit: "commit", run: runOrdered},
	{name: "random", title: "64 committers, random keys", unit: "commit", run: runRandom},
	{name: "change", title: "read, change and commit 1,000 scattered records", unit: "record", run: runChange},
}

// opNamed returns the op of a name, or nil.
func opNamed(name string) *op {
	for _, o := range ops {
		if o.name == name {
			return o
		}
	}
	return nil
}

// A turn is one peer's part of a round: a fresh file, and what it must hold.
type turn struct {
	*model
	peer   *peer
	dir    string // of the fresh file
	large  *large // the file of op open, kept from round to round
	rng    *rand.Rand
	budget time.Duration
	each   int // commits of one of the 64 committers

	closing time.Duration // how long the file took to close the last time

	allocs *float64 // of one of the things that the op did, where it counts them
}

// countAllocs counts what fn allocates, which does so many things.
func (t *turn) countAllocs(things int, fn func() error) error {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := fn()
	runtime.ReadMemStats(&after)
	each := float64(after.Mallocs-before.Mallocs) / float64(things)
	t.allocs = &each
	return err
}

// with opens the turn's file, runs fn and closes the file again, so that nothing
// of one peer runs during another's turn.
func (t *turn) with(ctx context.Context, fn func(db database) error) (err error) {
	db, err := t.peer.open(ctx, t.dir)
	if err != nil {
		return err
	}
	defer func() {
		took, closing := timed(db.close)
		t.closing, err = took, errors.Join(err, closing)
	}()
	return fn(db)
}

// repeat runs fn until the budget is used up, and returns the mean cost of one of
// the things that fn did. The first run warms up, and counts only if it alone
// uses up the budget. fn times itself and says how long it took.
func (t *turn) repeat(most int, fn func() (things int, took time.Duration, err error)) (float64, error) {
	var took time.Duration
	things := 0
	for i := 0; i <= most; i++ {
		n, d, err := fn()
		if err != nil {
			return 0, err
		}
		if i == 0 && d < t.budget {
			continue
		}
		things, took = things+n, took+d
		if took >= t.budget {
			break
		}
	}
	return float64(took) / float64(things), nil
}

// timed returns how long fn takes.
func timed(fn func() error) (time.Duration, error) {
	begin := time.Now()
	err := fn()
	return time.Since(begin), err
}

// wrong returns an error if what a peer answered is not what it must.
func wrong(what string, got, want tally) error {
	if got == want {
		return nil
	}
	return fmt.Errorf("%w: %s: got %+v, want %+v", errWrong, what, got, want)
}

// load adds the notes of these numbers in commits of so many, and returns how long
// the peer took. It ends early when the limit, if any, is passed.
func load(ctx context.Context, db database, c *corpus, numbers func(k int) int, size int, limit time.Duration) (took time.Duration, err error) {
	for from := 0; from < c.n; from += size {
		notes := make([]*Note, 0, size)
		for k := from; k < min(from+size, c.n); k++ {
			notes = append(notes, c.note(numbers(k)))
		}
		d, err := timed(func() error { return db.insert(ctx, notes) })
		took += d
		if err != nil {
			return took, err
		}
		if limit > 0 && took > limit {
			return took, fmt.Errorf("not measured: %d of %d records took %.0f s to load", from+len(notes), c.n, took.Seconds())
		}
	}
	return took, nil
}

// runLoad fills the turn's fresh file. It is part of every round.
func runLoad(ctx context.Context, t *turn) (cost float64, err error) {
	err = t.with(ctx, func(db database) error {
		took, err := load(ctx, db, t.corpus, func(k int) int { return k }, commitSize, 0)
		cost = float64(took) / float64(t.n)
		return err
	})
	return cost, err
}

// runClose returns how long it took to close the file that was loaded: it comes next.
func runClose(_ context.Context, t *turn) (float64, error) { return float64(t.closing), nil }

// runSize adds up what the peer's folder holds.
func runSize(_ context.Context, t *turn) (float64, error) {
	size, err := sizeOf(t.dir)
	return float64(size) / float64(t.n), err
}

// sizeOf returns the bytes of all files in a folder.
func sizeOf(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}

// A large is a peer's large file, which is loaded once.
type large struct {
	*corpus
	byKey  []int32
	dir    string
	limit  time.Duration // of loading it
	loaded bool
	err    error
}

// fill loads the file in the order of keys, in large commits.
func (l *large) fill(ctx context.Context, p *peer) error {
	if l.loaded || l.err != nil {
		return l.err
	}
	l.err = func() (err error) {
		if err := os.MkdirAll(l.dir, 0o700); err != nil {
			return err
		}
		db, err := p.open(ctx, l.dir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, db.close()) }()
		_, err = load(ctx, db, l.corpus, func(k int) int { return int(l.byKey[k]) }, 10*commitSize, l.limit)
		return err
	}()
	l.loaded = l.err == nil
	return l.err
}

// runOpen opens the large file and gets one note of it, several times.
func runOpen(ctx context.Context, t *turn) (float64, error) {
	if err := t.large.fill(ctx, t.peer); err != nil {
		return 0, err
	}
	return t.repeat(openings, func() (int, time.Duration, error) {
		want := t.large.note(t.rng.IntN(t.large.n))
		var got tally
		var db database
		took, err := timed(func() (err error) {
			if db, err = t.peer.open(ctx, t.large.dir); err != nil {
				return err
			}
			n, err := db.get(ctx, want.ID)
			if err == nil {
				got.add(n)
			}
			return err
		})
		if db != nil {
			err = errors.Join(err, db.close())
		}
		if err == nil {
			err = wrong("open", got, tallyOf(want))
		}
		return 1, took, err
	})
}

// tallyOf returns the tally of some notes.
func tallyOf(notes ...*Note) (t tally) {
	for _, n := range notes {
		t.add(n)
	}
	return t
}

// draw returns the numbers of so many different notes, in no order.
func (t *turn) draw(many int) []int {
	many = min(many, t.n)
	seen := make(map[int]bool, many)
	numbers := make([]int, 0, many)
	for len(numbers) < many {
		if i := t.rng.IntN(t.n); !seen[i] {
			seen[i] = true
			numbers = append(numbers, i)
		}
	}
	return numbers
}

// keys returns the keys of notes.
func (t *turn) keys(numbers []int) []string {
	keys := make([]string, len(numbers))
	for k, i := range numbers {
		keys[k] = t.key(i)
	}
	return keys
}

// timeGets times a get of each of some drawn notes, and checks each.
func (t *turn) timeGets(numbers []int, get func(key string) (*Note, error)) (int, time.Duration, error) {
	keys := t.keys(numbers)
	notes := make([]*Note, len(keys))
	took, err := timed(func() (err error) {
		for k, key := range keys {
			if notes[k], err = get(key); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	want := make([]*Note, len(keys))
	for k, i := range numbers {
		want[k] = t.now(i)
	}
	return len(keys), took, wrong("get", tallyOf(notes...), tallyOf(want...))
}

// runGet reads notes by key, each on its own.
func runGet(ctx context.Context, t *turn) (cost float64, err error) {
	err = t.with(ctx, func(db database) error {
		cost, err = t.repeat(1000, func() (int, time.Duration, error) {
			return t.timeGets(t.draw(getsAtOnce), func(key string) (*Note, error) { return db.get(ctx, key) })
		})
		return err
	})
	return cost, err
}

// runSession reads notes by key in one session, each for the first time.
func runSession(ctx context.Context, t *turn) (cost float64, err error) {
	err = t.with(ctx, func(db database) error {
		cost, err = t.repeat(1000, func() (int, time.Duration, error) {
			get, end := db.(tracker).session()
			defer end()
			return t.timeGets(t.draw(getsAtOnce), func(key string) (*Note, error) { return get(ctx, key) })
		})
		return err
	})
	return cost, err
}

// runTracked reads notes that the session has already.
func runTracked(ctx context.Context, t *turn) (cost float64, err error) {
	err = t.with(ctx, func(db database) error {
		numbers := t.draw(getsAtOnce)
		get, _, end, err := db.(tracker).track(ctx, t.keys(numbers))
		if err != nil {
			return err
		}
		defer end()
		cost, err = t.repeat(10_000, func() (int, time.Duration, error) { return t.timeGets(numbers, get) })
		if err != nil {
			return err
		}
		keys := t.keys(numbers)
		return t.countAllocs(len(keys), func() error { return each(keys, get) })
	})
	return cost, err
}

// each gets the notes of keys, one after the other.
func each(keys []string, get func(key string) (*Note, error)) error {
	for _, key := range keys {
		if _, err := get(key); err != nil {
			return err
		}
	}
	return nil
}

// runClean looks for changes where there are none.
func runClean(ctx context.Context, t *turn) (cost float64, err error) {
	err = t.with(ctx, func(db database) error {
		keys := t.keys(t.draw(cleanRecords))
		_, flush, end, err := db.(tracker).track(ctx, keys)
		if err != nil {
			return err
		}
		defer end()
		cost, err = t.repeat(1000, func() (int, time.Duration, error) {
			took, err := timed(flush)
			return len(keys), took, err
		})
		return errors.Join(err, t.countAllocs(len(keys), flush))
	})
	return cost, err
}

// timeScan times a scan and checks its sums.
func (t *turn) timeScan(ctx context.Context, scan func(ctx context.Context, fn func(*Note)) error) (int, time.Duration, error) {
	var got tally
	took, err := timed(func() error { return scan(ctx, got.count) })
	if err == nil {
		err = wrong("scan", got, t.total.counted())
	}
	return t.total.Notes, took, err
}

// runScan reads all notes.
func runScan(ctx context.Context, t *turn) (cost float64, err error) {
	err = t.with(ctx, func(db database) error {
		cost, err = t.repeat(100, func() (int, time.Duration, error) { return t.timeScan(ctx, db.scan) })
		return err
	})
	return cost, err
}

// runScanTracked reads all notes into a session.
func runScanTracked(ctx context.Context, t *turn) (cost float64, err error) {
	err = t.with(ctx, func(db database) error {
		cost, err = t.repeat(100, func() (int, time.Duration, error) { return t.timeScan(ctx, db.(tracker).scanTracked) })
		return err
	})
	return cost, err
}

// runIndex reads runs of 100 notes, in the order of time.
func runIndex(ctx context.Context, t *turn) (cost float64, err error) {
	many := min(pageSize, t.n)
	err = t.with(ctx, func(db database) error {
		cost, err = t.repeat(1000, func() (int, time.Duration, error) {
			var all time.Duration
			pages := 0
			for ; pages == 0 || pages < pagesAtOnce && all < t.budget; pages++ {
				from := t.rng.IntN(t.n - many + 1)
				notes := make([]*Note, 0, many)
				took, err := timed(func() error {
					return db.between(ctx, timeOf(from), timeOf(from+many), func(n *Note) { notes = append(notes, n) })
				})
				all += took
				if err == nil {
					err = errors.Join(wrong("index", tallyOf(notes...), t.between(from, many)), inOrder(notes))
				}
				if err != nil {
					return 0, 0, err
				}
			}
			return pages, all, nil
		})
		return err
	})
	return cost, err
}

// inOrder returns an error if notes are not in the order of time.
func inOrder(notes []*Note) error {
	for i := 1; i < len(notes); i++ {
		if notes[i].Updated.Before(notes[i-1].Updated) {
			return fmt.Errorf("%w: index: not in order of time", errWrong)
		}
	}
	return nil
}

// runFilter reads the notes with a small Count.
func runFilter(ctx context.Context, t *turn) (cost float64, err error) {
	var want tally
	for i := range t.n {
		if n := t.now(i); n.Count < filterLimit {
			want.add(n)
		}
	}
	err = t.with(ctx, func(db database) error {
		cost, err = t.repeat(100, func() (int, time.Duration, error) {
			var notes []*Note
			took, err := timed(func() error {
				return db.below(ctx, filterLimit, func(n *Note) { notes = append(notes, n) })
			})
			if err == nil {
				err = wrong("filter", tallyOf(notes...), want)
			}
			return 1, took, err
		})
		return err
	})
	return cost, err
}

// runCommit adds notes, each in a commit of its own, and nobody else does. Its cost is
// the median: now and then a disk takes a hundred times as long, whoever syncs.
func runCommit(ctx context.Context, t *turn) (cost float64, err error) {
	var each []float64
	err = t.with(ctx, func(db database) error {
		_, err := t.repeat(maxCommits, func() (int, time.Duration, error) {
			n := t.fresh(t.note)
			took, err := timed(func() error { return db.insert(ctx, []*Note{n}) })
			each = append(each, float64(took))
			return 1, took, err
		})
		return err
	})
	if err != nil {
		return 0, err
	}
	return spreadOf(each).Median, nil
}

// fresh returns a note that is not in the file yet, and notes down that it is.
func (m *model) fresh(make func(i int) *Note) *Note {
	n := make(m.next)
	m.next++
	m.total.add(n)
	return n
}

// runOrdered has 64 goroutines add notes with rising keys.
func runOrdered(ctx context.Context, t *turn) (float64, error) {
	return t.commitTogether(ctx, t.ordered)
}

// runRandom has 64 goroutines add notes with random keys.
func runRandom(ctx context.Context, t *turn) (float64, error) { return t.commitTogether(ctx, t.note) }

// commitTogether has 64 goroutines add notes, each in a commit of its own.
func (t *turn) commitTogether(ctx context.Context, make func(i int) *Note) (cost float64, err error) {
	err = t.with(ctx, func(db database) error {
		cost, err = t.repeat(8, func() (int, time.Duration, error) {
			queue := newQueue(committers*t.each, func() *Note { return t.fresh(make) })
			errs := [committers]error{}
			var group sync.WaitGroup
			took, _ := timed(func() error {
				for g := range committers {
					group.Go(func() {
						for n := range queue {
							errs[g] = errors.Join(errs[g], db.insert(ctx, []*Note{n}))
						}
					})
				}
				group.Wait()
				return nil
			})
			return committers * t.each, took, errors.Join(errs[:]...)
		})
		return err
	})
	return cost, err
}

// newQueue returns a closed channel with so many notes in it.
func newQueue(many int, next func() *Note) <-chan *Note {
	queue := make(chan *Note, many)
	for range many {
		queue <- next()
	}
	close(queue)
	return queue
}

// runChange reads, changes and writes notes in one commit.
func runChange(ctx context.Context, t *turn) (cost float64, err error) {
	err = t.with(ctx, func(db database) error {
		cost, err = t.repeat(10, func() (int, time.Duration, error) {
			numbers := t.draw(changeRecords)
			keys := t.keys(numbers)
			took, err := timed(func() error { return db.change(ctx, keys) })
			for _, i := range numbers {
				t.bump(i)
			}
			return len(keys), took, err
		})
		return err
	})
	return cost, err
}

// verify reads the whole file and compares every byte of every note with what
// must be there after all that was done.
func (t *turn) verify(ctx context.Context) error {
	return t.with(ctx, func(db database) error {
		var got tally
		if err := db.scan(ctx, got.add); err != nil {
			return err
		}
		return wrong("the file at the end of the round", got, t.total)
	})
}
