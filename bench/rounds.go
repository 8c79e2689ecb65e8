package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// A config is what the flags say.
type config struct {
	n      int
	rounds int
	large  int // the records of the file of op open
	seed   uint64
	budget time.Duration // of one turn of one op
	limit  time.Duration // of loading the large file
	slow   time.Duration // a peer whose load takes longer has one round only; 0 is no bound
	each   int           // commits of one of the 64 committers at a time
	ops    []*op
	peers  []*peer
	dir    string // where files are made

	command string // how it was called, for the reports
	say     func(format string, args ...any)
}

// A cell is what is known of one op of one peer.
type cell struct {
	samples map[int]float64 // by round
	allocs  *float64        // the most of any round
	note    string          // why there are none, or no more
}

// A run is a comparison that is under way: all ops by all peers in rounds.
type run struct {
	config
	corpus *corpus
	total  tally // of the corpus
	cells  map[string]map[string]*cell
	larges map[string]*large
	out    map[string]bool // peers that failed
	once   map[string]bool // peers that are too slow for more than one round
	fsync  []float64
	faults []error
}

// newRun prepares a run.
func newRun(cfg config) *run {
	r := &run{config: cfg, corpus: newCorpus(cfg.n), cells: map[string]map[string]*cell{}, larges: map[string]*large{}, out: map[string]bool{}, once: map[string]bool{}}
	r.total = r.corpus.tally()
	for _, o := range cfg.ops {
		r.cells[o.name] = map[string]*cell{}
		for _, p := range cfg.peers {
			r.cells[o.name][p.name] = &cell{samples: map[int]float64{}, note: p.absent}
		}
	}
	if slices.ContainsFunc(cfg.ops, func(o *op) bool { return o.name == "open" }) {
		corpus := newCorpus(cfg.large)
		byKey := corpus.numbersByKey()
		for _, p := range cfg.peers {
			r.larges[p.name] = &large{corpus: corpus, byKey: byKey, dir: filepath.Join(cfg.dir, "large-"+p.name), limit: cfg.limit}
		}
	}
	return r
}

// all runs the rounds. The error joins what went wrong with single peers, which
// take no further part then.
func (r *run) all(ctx context.Context) error {
	for round := range r.rounds {
		if err := r.round(ctx, round); err != nil {
			return errors.Join(append(r.faults, err)...)
		}
	}
	return errors.Join(r.faults...)
}

// round runs each op by each peer, in an order of peers that is drawn anew for
// each op. What a peer did in it counts only if its file is right at the end.
func (r *run) round(ctx context.Context, round int) error {
	dir := filepath.Join(r.dir, "round")
	defer os.RemoveAll(dir)
	samples, err := measureFsync(r.dir)
	if err != nil {
		return err
	}
	r.fsync = append(r.fsync, samples...)
	turns := map[string]*turn{}
	for i, p := range r.peers {
		if p.absent != "" || r.out[p.name] || r.once[p.name] {
			continue
		}
		t := &turn{model: newModel(r.corpus, r.total), peer: p, dir: filepath.Join(dir, p.name), large: r.larges[p.name], budget: r.budget, each: r.each}
		t.rng = rand.New(rand.NewPCG(r.seed, uint64(round*len(r.peers)+i)))
		if err := os.MkdirAll(t.dir, 0o700); err != nil {
			return err
		}
		turns[p.name] = t
	}
	order := rand.New(rand.NewPCG(r.seed, uint64(round)+1<<32))
	todo := r.ops
	if !slices.ContainsFunc(todo, func(o *op) bool { return o.name == "load" }) {
		todo = append([]*op{ops[0]}, todo...) // every round has its files
	}
	for _, o := range todo {
		for _, k := range order.Perm(len(r.peers)) {
			p := r.peers[k]
			if t := turns[p.name]; t != nil {
				r.say("round %d of %d: %s: %s", round+1, r.rounds, o.title, p.title)
				if !r.turn(ctx, o, t, round) {
					delete(turns, p.name)
				}
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	for name, t := range turns {
		r.say("round %d of %d: the files are verified: %s", round+1, r.rounds, t.peer.title)
		if err := t.verify(ctx); err != nil {
			r.drop(name, round, fmt.Errorf("%s: %w", name, err))
		}
	}
	return nil
}

// turn runs one op by one peer, and reports whether the peer may go on.
func (r *run) turn(ctx context.Context, o *op, t *turn, round int) bool {
	c := cmp.Or(r.cells[o.name][t.peer.name], &cell{samples: map[int]float64{}})
	if c.note != "" {
		return true
	}
	if o.tracking && t.peer.name != subject {
		c.note = "it has no sessions that track records"
		return true
	}
	runtime.GC()
	t.allocs = nil
	cost, err := o.run(ctx, t)
	switch {
	case err == nil:
		c.samples[round] = cost
		if load := time.Duration(cost * float64(r.n)); o.name == "load" && r.slow > 0 && load > r.slow {
			r.once[t.peer.name] = true
			c.note = fmt.Sprintf("one round only, since it took %.0f s", load.Seconds())
		}
		if t.allocs != nil && (c.allocs == nil || *t.allocs > *c.allocs) {
			c.allocs = t.allocs
		}
	case o.name == "open" && t.large.err != nil:
		c.note = t.large.err.Error()
	default:
		r.drop(t.peer.name, round, fmt.Errorf("%s: %s: %w", t.peer.name, o.name, err))
		c.note = err.Error()
		return false
	}
	return true
}

// drop takes a peer that failed out of the run, with its samples of the round.
func (r *run) drop(name string, round int, err error) {
	r.out[name] = true
	r.faults = append(r.faults, err)
	for _, of := range r.cells {
		delete(of[name].samples, round)
		if len(of[name].samples) == 0 && of[name].note == "" {
			of[name].note = err.Error()
		}
	}
}

// results sums the samples up, op by op and peer by peer.
func (r *run) results() []result {
	var all []result
	for _, o := range r.ops {
		for _, p := range r.peers {
			c := r.cells[o.name][p.name]
			res := result{Op: o.name, Peer: p.name, Unit: o.unit, Allocs: c.allocs, Note: c.note}
			var ratios, toUsual []float64
			for round := range r.rounds {
				cost, ok := c.samples[round]
				if !ok {
					continue
				}
				res.Samples = append(res.Samples, cost)
				if base, ok := r.base(o, round, baseline); ok {
					ratios = append(ratios, cost/base)
				}
				if base, ok := r.base(o, round, usual); ok {
					toUsual = append(toUsual, cost/base)
				}
			}
			res.Cost, res.Ratio, res.ToUsual = maybeSpread(res.Samples), maybeSpread(ratios), maybeSpread(toUsual)
			all = append(all, res)
		}
	}
	return all
}

// maybeSpread returns the spread of samples, nil if there are none.
func maybeSpread(samples []float64) *spread {
	if len(samples) == 0 {
		return nil
	}
	s := spreadOf(samples)
	return &s
}

// base returns what the op cost the peer in a round that ratios are to.
func (r *run) base(o *op, round int, peer string) (float64, bool) {
	c := r.cells[o.baseName()][peer]
	if c == nil {
		return 0, false
	}
	cost, ok := c.samples[round]
	return cost, ok
}
