package main

import "testing"

func TestSpread(t *testing.T) {
	tests := []struct {
		samples []float64
		want    spread
	}{
		{[]float64{7}, spread{7, 7, 7, 7, 7}},
		{[]float64{3, 1}, spread{1, 1.5, 2, 2.5, 3}},
		{[]float64{5, 1, 4, 2, 3}, spread{1, 2, 3, 4, 5}},
		{[]float64{1, 100, 2, 3}, spread{1, 1.75, 2.5, 27.25, 100}},
	}
	for _, tt := range tests {
		if got := spreadOf(tt.samples); got != tt.want {
			t.Errorf("%v: got %v, want %v", tt.samples, got, tt.want)
		}
	}
}

func TestFigures(t *testing.T) {
	for ns, want := range map[float64]string{
		0: "0 ns", 0.0123: "0.012 ns", 9.99: "9.99 ns", 9.996: "10.0 ns", 99.96: "100 ns", 1500: "1.50 µs", 2.5e6: "2.50 ms", 61e9: "61.0 s",
	} {
		if got := duration(ns); got != want {
			t.Errorf("%v: got %q, want %q", ns, got, want)
		}
	}
	for n, want := range map[int]string{7: "7", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

// TestRatiosAreOfOneRound makes sure that a ratio compares samples of one round,
// also if some are missing.
func TestRatiosAreOfOneRound(t *testing.T) {
	cfg := testConfig(t)
	cfg.rounds, cfg.ops, cfg.peers = 4, []*op{opNamed("get"), opNamed("session")}, []*peer{userdataPeer, bboltPeer}
	r := newRun(cfg)
	r.cells["get"][baseline].samples = map[int]float64{0: 10, 1: 100, 3: 1000}
	r.cells["get"][subject].samples = map[int]float64{0: 5, 1: 20, 2: 7777, 3: 300}
	r.cells["session"][subject].samples = map[int]float64{1: 10}
	rep := r.report()
	if got, want := *rep.result(cfg.ops[0], subject).Ratio, (spread{0.2, 0.25, 0.3, 0.4, 0.5}); got != want {
		t.Errorf("get: got %v, want %v", got, want)
	}
	if got := rep.result(cfg.ops[1], subject).Ratio.Median; got != 0.1 {
		t.Errorf("session: got %v, want 0.1 of the gets", got)
	}
	if got := rep.result(cfg.ops[1], baseline).Ratio; got != nil {
		t.Errorf("session of %s: got %v, want none", baseline, got)
	}
}

func TestVerdict(t *testing.T) {
	none, some := 0.001, 1.0
	of := func(ratio, cost float64, allocs *float64) *result {
		return &result{Ratio: &spread{Median: ratio}, Cost: &spread{Median: cost}, Allocs: allocs}
	}
	tests := []struct {
		goal goal
		res  *result
		want string
	}{
		{goal{Ratio: 0.5}, of(0.5, 1, nil), "met"},
		{goal{Ratio: 0.5}, of(0.51, 1, nil), "not met"},
		{goal{Cost: 60}, of(1, 60, &none), "met"},
		{goal{Cost: 60}, of(1, 61, &none), "not met"},
		{goal{Cost: 60}, of(1, 60, &some), "not met"},
		{goal{Ratio: 0.5}, &result{}, ""},
		{goal{}, of(1, 1, nil), ""},
	}
	for i, tt := range tests {
		if got := tt.goal.verdict(tt.res); got != tt.want {
			t.Errorf("%d: got %q, want %q", i, got, tt.want)
		}
	}
}

// TestLossesAreShown makes sure that a peer that is ahead is named, with a reason.
func TestLossesAreShown(t *testing.T) {
	cfg := testConfig(t)
	cfg.ops = []*op{opNamed("get")}
	cfg.peers = []*peer{userdataPeer, bboltPeer, pebblePeer, {name: "gone", absent: needsCgo}}
	r := newRun(cfg)
	for peer, cost := range map[string]float64{subject: 3, baseline: 10, "pebble": 2} {
		r.cells["get"][peer].samples[0] = cost
	}
	lines := r.report().remarks()
	want := []string{"get by key, cold: less with pebble. " + reasons["get"], "gone: " + needsCgo}
	if len(lines) != 2 || lines[0] != want[0] || lines[1] != want[1] {
		t.Errorf("got %q, want %q", lines, want)
	}
	r.cells["get"]["pebble"].samples[0] = 4
	if lines := r.report().remarks(); len(lines) != 1 {
		t.Errorf("got %q, want nothing of get", lines)
	}
}

// TestEveryOpHasItsReason makes sure that no loss is without a reason, and no goal
// without its op.
func TestEveryOpHasItsReason(t *testing.T) {
	for _, o := range ops {
		if reasons[o.name] == "" {
			t.Errorf("%s has no reason", o.name)
		}
	}
	for name := range goals {
		if opNamed(name) == nil {
			t.Errorf("%s has a goal and is no op", name)
		}
	}
}
