package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// A report is all that a run found out.
type report struct {
	Command string    `json:"command"`
	Records int       `json:"records"`       // of each file
	Large   int       `json:"large_records"` // of the file of op open
	Rounds  int       `json:"rounds"`
	Machine machine   `json:"machine"`
	Results []*result `json:"results"`

	ops   []*op
	peers []*peer
}

// report sums a run up.
func (r *run) report() *report {
	rep := &report{Command: r.command, Records: r.n, Large: r.large, Rounds: r.rounds, Machine: describe(r.dir), ops: r.ops, peers: r.peers}
	for _, res := range r.results() {
		rep.Results = append(rep.Results, &res)
	}
	if len(r.fsync) > 0 {
		s := spreadOf(r.fsync)
		rep.Machine.Fsync = &s
	}
	for _, o := range rep.ops {
		if res := rep.result(o, subject); res != nil {
			res.Goal, res.Verdict = goals[o.name].String(), goals[o.name].verdict(res)
			if rep.behind(o, res) {
				res.Reason = strings.ReplaceAll(reasons[o.name], "\n", " ")
			}
		}
	}
	return rep
}

// result returns the result of an op by the peer of a name, or nil.
func (rep *report) result(o *op, peer string) *result {
	i := slices.IndexFunc(rep.Results, func(res *result) bool { return res.Op == o.name && res.Peer == peer })
	if i < 0 {
		return nil
	}
	return rep.Results[i]
}

// behind reports whether this package's result misses its goal, or costs more than
// that of any peer.
func (rep *report) behind(o *op, own *result) bool {
	return own.Cost != nil && (own.Verdict == "not met" || len(rep.faster(o, own)) > 0)
}

// faster returns the results of the peers that did an op for less than this
// package, the fastest first.
func (rep *report) faster(o *op, own *result) []*result {
	var all []*result
	for _, p := range rep.peers {
		res := rep.result(o, p.name)
		if own.Cost != nil && res.Cost != nil && res.Cost.Median < own.Cost.Median {
			all = append(all, res)
		}
	}
	slices.SortFunc(all, func(a, b *result) int { return cmp.Compare(a.Cost.Median, b.Cost.Median) })
	return all
}

// A table is a heading and rows of cells.
type table struct {
	head []string
	rows [][]string
}

// summary is the table of this package against raw bbolt and the goals.
func (rep *report) summary() table {
	t := table{head: []string{"operation", "of", "userdata", "raw bbolt", "ratio", "quartiles", "goal", "", "ratio to Marshal", "fastest peer"}}
	for _, o := range rep.ops {
		own := rep.result(o, subject)
		if own == nil {
			continue
		}
		base := &result{}
		if i := slices.IndexFunc(ops, func(b *op) bool { return b.name == o.baseName() }); i >= 0 {
			base = cmp.Or(rep.result(ops[i], baseline), base)
		}
		ratio, quartiles := ratioText(own.Ratio)
		toUsual, _ := ratioText(own.ToUsual)
		t.rows = append(t.rows, []string{o.title, o.unit, own.text(o), base.text(o), ratio, quartiles, own.Goal, own.Verdict, toUsual, rep.fastest(o)})
	}
	return t
}

// fastest names the peer that did an op for least, raw bbolt, both ways, and this package not
// counted, with its ratio.
func (rep *report) fastest(o *op) string {
	var best *result
	for _, p := range rep.peers {
		res := rep.result(o, p.name)
		if p.name != subject && p.name != baseline && p.name != usual && res.Cost != nil && (best == nil || res.Cost.Median < best.Cost.Median) {
			best = res
		}
	}
	if best == nil {
		return "–"
	}
	ratio, _ := ratioText(best.Ratio)
	return best.Peer + " " + ratio
}

// ratioText prints a ratio's median, and its quartiles.
func ratioText(s *spread) (median, quartiles string) {
	if s == nil {
		return "–", "–"
	}
	return figure(s.Median), figure(s.Q1) + " … " + figure(s.Q3)
}

// text prints what an op cost, with its allocations if they were counted.
func (res *result) text(o *op) string {
	switch {
	case res.Cost == nil:
		return "–"
	case res.Allocs != nil:
		return fmt.Sprintf("%s, %s allocs", amount(o, res.Cost.Median), figure(*res.Allocs))
	}
	return amount(o, res.Cost.Median)
}

// matrix is a table of one figure of each op by each peer.
func (rep *report) matrix(figure func(o *op, res *result) string) table {
	t := table{head: []string{"operation"}}
	for _, p := range rep.peers {
		t.head = append(t.head, p.name)
	}
	for _, o := range rep.ops {
		row := []string{o.title}
		for _, p := range rep.peers {
			row = append(row, figure(o, rep.result(o, p.name)))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// costs are the medians of what each op cost each peer.
func (rep *report) costs() table {
	return rep.matrix(func(o *op, res *result) string { return res.text(o) })
}

// ratios are the medians of the ratios to raw bbolt.
func (rep *report) ratios() table {
	return rep.matrix(func(_ *op, res *result) string { median, _ := ratioText(res.Ratio); return median })
}

// print prints the report for a reader at a terminal.
func (rep *report) print(w io.Writer) error {
	fmt.Fprintf(w, "%s records, %d rounds, each commit synced; medians, ratios to raw bbolt in the same round\n%s\n\n",
		thousands(rep.Records), rep.Rounds, rep.Machine)
	tables := []table{rep.summary()}
	if len(rep.peers) > 1 {
		tables = append(tables, rep.costs(), rep.ratios())
	}
	for _, t := range tables {
		if err := t.print(w); err != nil {
			return err
		}
	}
	for _, line := range rep.remarks() {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// print prints a table in columns. An empty one is left out.
func (t table) print(w io.Writer) error {
	if len(t.rows) == 0 {
		return nil
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{t.head}, t.rows...) {
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	fmt.Fprintln(tw)
	return tw.Flush()
}

// remarks are the lines below the tables: where this package is behind, and which
// figures are missing, each with the reason.
func (rep *report) remarks() []string {
	var lines []string
	for _, o := range rep.ops {
		own := rep.result(o, subject)
		if own == nil || own.Reason == "" {
			continue
		}
		what := []string{}
		if own.Verdict == "not met" {
			what = append(what, "the goal is not met")
		}
		if faster := rep.faster(o, own); len(faster) > 0 {
			what = append(what, "less with "+names(faster, func(res *result) string { return res.Peer }))
		}
		lines = append(lines, fmt.Sprintf("%s: %s. %s", o.title, strings.Join(what, "; "), own.Reason))
	}
	return append(lines, rep.missing()...)
}

// missing says why there is no figure, once for each peer and reason.
func (rep *report) missing() []string {
	var lines []string
	for _, p := range rep.peers {
		if p.absent != "" {
			lines = append(lines, p.name+": "+p.absent)
			continue
		}
		for _, o := range rep.ops {
			if res := rep.result(o, p.name); res.Note != "" && !o.tracking {
				lines = append(lines, fmt.Sprintf("%s: %s: %s", p.name, o.title, res.Note))
			}
		}
	}
	return lines
}

// thousands prints a number with commas.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
