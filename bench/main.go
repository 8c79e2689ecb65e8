// Command bench compares this package with its peers, side by side.
//
// Every peer keeps the same notes as durably as the others: each commit is on the
// disk when it returns. The operations run in rounds, each by one peer after the
// other in an order that is drawn anew, and each answer is checked. What is
// compared is the ratio to raw bbolt within a round, and the median of the rounds.
//
//	go run ./bench              # everything, into docs/benchmarks
//	go run ./bench -quick       # small and short, printed only
//	go run ./bench -scaling     # the cost by the size of the file
//	go run ./bench -peers userdata,bbolt -ops get,scan -rounds 9
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// reportsIn is where the figures of whole runs belong, seen from the root of the
// repository.
const reportsIn = "docs/benchmarks"

// options are the flags.
type options struct {
	rows, large, rounds, each int
	peers, ops, out, dir      string
	command                   string // what was called, for the reports
	quick, scaling, long      bool
	seed                      uint64
	budget, limit             time.Duration
}

// parse reads the flags. Those of -quick are the defaults of others.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.rows, "rows", 100_000, "`records` that each file begins with")
	flags.IntVar(&o.large, "large", 1_000_000, "`records` of the file of the operation open")
	flags.IntVar(&o.rounds, "rounds", 5, "`rounds` that the medians are of")
	flags.StringVar(&o.peers, "peers", "", "only these `peers`, with commas between: "+names(peers, func(p *peer) string { return p.name }))
	flags.StringVar(&o.ops, "ops", "", "only these `operations`, with commas between: "+names(ops, func(o *op) string { return o.name }))
	flags.StringVar(&o.out, "out", "", "`folder` for the tables and plots; a run of everything has "+reportsIn)
	flags.StringVar(&o.dir, "dir", "", "`folder` for the files that are measured, on the disk in question; they are removed (default: a temporary one)")
	flags.BoolVar(&o.quick, "quick", false, "small files and short turns, for a first look")
	flags.BoolVar(&o.scaling, "scaling", false, "measure userdata and raw bbolt at 1,000 to 1,000,000 records")
	flags.BoolVar(&o.long, "long", false, "with -scaling: up to 10,000,000 records")
	flags.IntVar(&o.each, "each", 32, "`commits` of each of the 64 committers in a batch")
	flags.Uint64Var(&o.seed, "seed", 1, "`seed` of what is drawn")
	flags.DurationVar(&o.budget, "budget", 200*time.Millisecond, "`time` of one peer's turn at an operation; a turn is one repetition at least")
	flags.DurationVar(&o.limit, "limit", 5*time.Minute, "`time` in which a peer must load the file of the operation open")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	given := map[string]bool{}
	o.command = "go run ./bench"
	flags.Visit(func(f *flag.Flag) {
		given[f.Name] = true
		switch f.Name {
		case "dir", "out": // they say nothing about the figures
		case "quick", "scaling", "long":
			o.command += " -" + f.Name
		default:
			o.command += " -" + f.Name + " " + f.Value.String()
		}
	})
	if o.quick {
		setUnless(given["rows"], &o.rows, 10_000)
		setUnless(given["large"], &o.large, 20_000)
		setUnless(given["rounds"], &o.rounds, 3)
		setUnless(given["each"], &o.each, 4)
		setUnless(given["budget"], &o.budget, 20*time.Millisecond)
	}
	whole := !o.quick && o.peers == "" && o.ops == "" && !given["rows"] && !given["large"]
	setUnless(!whole || given["out"], &o.out, reportsIn)
	if o.rows < 1 || o.large < 1 || o.rounds < 1 || o.each < 1 {
		return nil, errors.New("-rows, -large, -rounds and -each must be 1 at least")
	}
	return o, nil
}

// largest returns how many records the largest file of -scaling has.
func (o *options) largest() int {
	switch {
	case o.quick:
		return 10_000
	case o.long:
		return 10_000_000
	}
	return 1_000_000
}

// setUnless sets an option that was not given.
func setUnless[T any](given bool, option *T, value T) {
	if !given {
		*option = value
	}
}

// names joins the names of a list.
func names[T any](list []T, name func(T) string) string {
	all := make([]string, len(list))
	for i, x := range list {
		all[i] = name(x)
	}
	return strings.Join(all, ",")
}

// choose returns what of a list has one of the given names, or all of it if none
// is given.
func choose[T any](list []T, name func(T) string, given string) ([]T, error) {
	if given == "" {
		return list, nil
	}
	wanted := map[string]bool{}
	for one := range strings.SplitSeq(given, ",") {
		wanted[strings.TrimSpace(one)] = true
	}
	var chosen []T
	for _, x := range list {
		if wanted[name(x)] {
			chosen = append(chosen, x)
			delete(wanted, name(x))
		}
	}
	for one := range wanted {
		return nil, fmt.Errorf("unknown name %q, want some of %s", one, names(list, name))
	}
	return chosen, nil
}

// command runs what the arguments ask for, prints it and writes the reports.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "userdata-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cfg := config{
		command: o.command,
		n:       o.rows, rounds: o.rounds, large: o.large, seed: o.seed, budget: o.budget, limit: o.limit, each: o.each,
		dir: dir, say: progress(stderr),
	}
	if o.scaling {
		s, err := runScaling(ctx, cfg, o.largest())
		if cfg.say(""); err != nil {
			return err
		}
		return errors.Join(s.print(stdout), s.write(o.out))
	}
	if cfg.ops, err = choose(ops, func(o *op) string { return o.name }, o.ops); err != nil {
		return err
	}
	if cfg.peers, err = choose(peers, func(p *peer) string { return p.name }, o.peers); err != nil {
		return err
	}
	r := newRun(cfg)
	err = r.all(ctx)
	r.say("")
	rep := r.report()
	return errors.Join(err, rep.print(stdout), rep.write(o.out))
}

// progress returns a function that shows what is done at the moment in one line
// of a terminal. An empty text clears the line. Elsewhere it says nothing.
func progress(stderr io.Writer) func(format string, args ...any) {
	f, ok := stderr.(*os.File)
	if !ok {
		return func(string, ...any) {}
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func(string, ...any) {}
	}
	return func(format string, args ...any) { fmt.Fprintf(f, "\r\x1b[K"+format, args...) }
}
