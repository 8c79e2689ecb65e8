package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// scalingOps are what is measured at each size of a file.
var scalingOps = []*op{
	opNamed("get"), opNamed("index"), opNamed("commit"),
	{name: "memory", title: "memory of records that were read", unit: "bytes per record", run: runMemory},
}

// mostInMemory is the size of the largest file that is read into memory.
const mostInMemory = 1_000_000

// A scaled is what an op of a peer cost with a file of so many records.
type scaled struct {
	Op      string    `json:"op"`
	Peer    string    `json:"peer"`
	Unit    string    `json:"unit"` // nanoseconds for one of these, or bytes
	Records int       `json:"records"`
	Samples []float64 `json:"samples"`
	Cost    spread    `json:"cost"`
}

// A scaling is a comparison of userdata with raw bbolt by the size of the file.
type scaling struct {
	Command string    `json:"command"`
	Rounds  int       `json:"rounds"`
	Machine machine   `json:"machine"`
	Results []*scaled `json:"results"`

	sizes []int
	fsync []float64
}

// runScaling measures files of all sizes up to the largest, ten times as many
// records at each step.
func runScaling(ctx context.Context, cfg config, largest int) (*scaling, error) {
	s := &scaling{Command: cfg.command, Rounds: cfg.rounds, Machine: describe(cfg.dir)}
	for n := min(1000, largest); n <= largest; n *= 10 {
		s.sizes = append(s.sizes, n)
		if err := s.size(ctx, cfg, n); err != nil {
			return nil, fmt.Errorf("%d records: %w", n, err)
		}
	}
	fsync := spreadOf(s.fsync)
	s.Machine.Fsync = &fsync
	return s, nil
}

// size measures files of one size. The rounds share them: what commits add is
// little, and known.
func (s *scaling) size(ctx context.Context, cfg config, n int) error {
	dir := filepath.Join(cfg.dir, "scaling")
	defer os.RemoveAll(dir)
	c := newCorpus(n)
	byKey, total := c.numbersByKey(), c.tally()
	var turns []*turn
	for i, p := range []*peer{userdataPeer, bboltPeer} {
		cfg.say("%s records: %s is loaded", thousands(n), p.title)
		l := &large{corpus: c, byKey: byKey, dir: filepath.Join(dir, p.name)}
		if err := l.fill(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		turns = append(turns, &turn{
			model: newModel(c, total), peer: p, dir: l.dir, budget: cfg.budget,
			rng: rand.New(rand.NewPCG(cfg.seed, uint64(n+i))),
		})
	}
	for round := range cfg.rounds {
		fsync, err := measureFsync(cfg.dir)
		if err != nil {
			return err
		}
		s.fsync = append(s.fsync, fsync...)
		for _, o := range scalingOps {
			for k := range turns {
				if err := ctx.Err(); err != nil {
					return err
				}
				t := turns[(k+round)%len(turns)]
				cfg.say("%s records, round %d of %d: %s: %s", thousands(n), round+1, cfg.rounds, o.title, t.peer.title)
				if err := s.turn(ctx, o, t); err != nil {
					return fmt.Errorf("%s: %s: %w", t.peer.name, o.name, err)
				}
			}
		}
	}
	var faults []error
	for _, t := range turns {
		faults = append(faults, t.verify(ctx))
	}
	return errors.Join(faults...)
}

// turn measures one op of one peer, and adds it to the results.
func (s *scaling) turn(ctx context.Context, o *op, t *turn) error {
	if o.name == "memory" && t.n > mostInMemory {
		return nil
	}
	if err := warm(t.dir); err != nil {
		return err
	}
	runtime.GC()
	cost, err := o.run(ctx, t)
	if err != nil {
		return err
	}
	res := s.result(o, t.peer.name, t.n)
	if res == nil {
		res = &scaled{Op: o.name, Peer: t.peer.name, Unit: o.unit, Records: t.n}
		s.Results = append(s.Results, res)
	}
	res.Samples = append(res.Samples, cost)
	res.Cost = spreadOf(res.Samples)
	return nil
}

// warm reads the files in a folder, so that the system has them in memory: it may have taken back
// what it had of a large one, and of the one that was loaded first the most.
func warm(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 1<<20))
		return err
	})
}

// result returns what is known of an op of a peer with a file of n records, or nil.
func (s *scaling) result(o *op, peer string, n int) *scaled {
	i := slices.IndexFunc(s.Results, func(res *scaled) bool { return res.Op == o.name && res.Peer == peer && res.Records == n })
	if i < 0 {
		return nil
	}
	return s.Results[i]
}

// runMemory reads all records and keeps them, in a session that tracks them if the
// peer has any, and returns the bytes of heap that each takes.
func runMemory(ctx context.Context, t *turn) (cost float64, err error) {
	err = t.with(ctx, func(db database) error {
		scan := db.scan
		if tracking, ok := db.(tracker); ok {
			scan = tracking.scanTracked
		}
		kept := make([]*Note, 0, t.total.Notes)
		before := heap()
		var after uint64
		err := scan(ctx, func(n *Note) {
			if kept = append(kept, n); len(kept) == t.total.Notes {
				after = heap() // while the session has them still
			}
		})
		if err != nil {
			return err
		}
		cost = (float64(after) - float64(before)) / float64(len(kept))
		return wrong("memory", tallyOf(kept...), t.total)
	})
	return cost, err
}

// heap returns how much memory is in use on the heap.
func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// table is the table of the medians.
func (s *scaling) table() table {
	t := table{head: []string{"operation", "records", subject, "raw bbolt", "ratio of the medians"}}
	for _, o := range scalingOps {
		for _, n := range s.sizes {
			own, base := s.result(o, subject, n), s.result(o, baseline, n)
			if own == nil || base == nil {
				continue
			}
			row := []string{o.title, thousands(n)}
			for _, res := range []*scaled{own, base} {
				row = append(row, fmt.Sprintf("%s (%s … %s)", amount(o, res.Cost.Median), amount(o, res.Cost.Q1), amount(o, res.Cost.Q3)))
			}
			t.rows = append(t.rows, append(row, figure(own.Cost.Median/base.Cost.Median)))
		}
	}
	return t
}

// print prints the table for a reader at a terminal.
func (s *scaling) print(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "medians of %d rounds, with quartiles\n%s\n\n", s.Rounds, s.Machine); err != nil {
		return err
	}
	return s.table().print(w)
}

// write writes the figures into a folder, if one is named, as JSON, Markdown and
// two plots.
func (s *scaling) write(folder string) error {
	if folder == "" {
		return nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return errors.Join(
		writeJSON(filepath.Join(folder, "scaling.json"), s),
		os.WriteFile(filepath.Join(folder, "scaling.md"), []byte(s.markdown()), 0o644),
		plotLines(filepath.Join(folder, "scaling.svg"), "Cost by the size of the file, each commit synced", "nanoseconds", s.series(scalingOps[:3])),
		plotLines(filepath.Join(folder, "memory.svg"), "Memory of records that were read", "bytes of heap, a record", s.series(scalingOps[3:])))
}

// series returns the points of some ops.
func (s *scaling) series(chosen []*op) []series {
	var all []series
	for i, o := range chosen {
		for _, p := range []*peer{userdataPeer, bboltPeer} {
			line := series{name: p.title + ": " + o.title, color: i, dashed: p == bboltPeer}
			for _, n := range s.sizes {
				if res := s.result(o, p.name, n); res != nil {
					line.points = append(line.points, point{float64(n), res.Cost.Median, res.Cost.Q1, res.Cost.Q3})
				}
			}
			all = append(all, line)
		}
	}
	return all
}

// markdown returns the figures as a page.
func (s *scaling) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# By the size of the file

Written by `+"`%s`"+`. The same work with files of more and more records, which were loaded in the order of their keys; every commit is on the disk when it
returns. Medians of %d interleaved rounds, with quartiles; before each turn the file was read once, so that the system has it in memory. The memory is that of all records in one session that tracks them, beside plain structs
that raw bbolt's values were decoded to.

![Cost](scaling.svg)

![Memory](memory.svg)

`, s.Command, s.Rounds)
	s.Machine.markdown(&b)
	b.WriteString("\n")
	s.table().markdown(&b)
	return b.String()
}
