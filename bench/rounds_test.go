package main

import (
	"context"
	"errors"
	"testing"
	"time"
)

// testConfig is a run of everything, as small and as short as it can be.
func testConfig(t *testing.T) config {
	return config{
		n: 200, rounds: 1, large: 300, seed: 1, limit: time.Minute, each: 1,
		ops: ops, peers: peers, dir: t.TempDir(), say: func(string, ...any) {},
	}
}

// TestPeersAgree runs every operation of every peer. Each compares what the peer
// answers with what it must answer, and the files are compared in the end.
func TestPeersAgree(t *testing.T) {
	r := newRun(testConfig(t))
	if err := r.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, res := range r.results() {
		p := peerNamed(res.Peer)
		measured := len(res.Samples) == 1 && res.Samples[0] > 0 && res.Note == ""
		if want := p.absent == "" && (!opNamed(res.Op).tracking || res.Peer == subject); measured != want {
			t.Errorf("%s of %s: got %+v", res.Op, res.Peer, res)
		}
	}
}

func peerNamed(name string) *peer {
	for _, p := range peers {
		if p.name == name {
			return p
		}
	}
	return nil
}

// A lyingDB is raw bbolt with one wrong thing.
type lyingDB struct {
	database
	lie string
}

func (d *lyingDB) get(ctx context.Context, key string) (*Note, error) {
	n, err := d.database.get(ctx, key)
	if d.lie == "get" && err == nil {
		n.Text = n.Text[1:]
	}
	return n, err
}

// missing passes all notes but the first on.
func missing(lie bool, fn func(*Note)) func(*Note) {
	seen := 0
	return func(n *Note) {
		if seen++; seen > 1 || !lie {
			fn(n)
		}
	}
}

func (d *lyingDB) scan(ctx context.Context, fn func(*Note)) error {
	return d.database.scan(ctx, missing(d.lie == "scan", fn))
}

func (d *lyingDB) between(ctx context.Context, from, to time.Time, fn func(*Note)) error {
	if d.lie != "index" {
		return d.database.between(ctx, from, to, fn)
	}
	var notes []*Note
	err := d.database.between(ctx, from, to, func(n *Note) { notes = append(notes, n) })
	for i := range notes {
		fn(notes[len(notes)-1-i])
	}
	return err
}

func (d *lyingDB) below(ctx context.Context, limit int64, fn func(*Note)) error {
	return d.database.below(ctx, limit, missing(d.lie == "filter", fn))
}

func (d *lyingDB) change(ctx context.Context, keys []string) error {
	if d.lie == "change" {
		keys = keys[1:]
	}
	return d.database.change(ctx, keys)
}

func (d *lyingDB) insert(ctx context.Context, notes []*Note) error {
	if len(notes) == 1 && (d.lie == "commit" || d.lie == "ordered" || d.lie == "random") {
		return nil
	}
	return d.database.insert(ctx, notes)
}

// TestWrongAnswersDoNotCount makes sure that a peer that lies in one operation is
// found out, and that nothing of it is counted.
func TestWrongAnswersDoNotCount(t *testing.T) {
	for _, lie := range []string{"get", "scan", "index", "filter", "commit", "ordered", "random", "change"} {
		t.Run(lie, func(t *testing.T) {
			cfg := testConfig(t)
			cfg.ops = []*op{ops[0], opNamed(lie)}
			cfg.peers = []*peer{{name: "liar", title: "liar", open: func(ctx context.Context, dir string) (database, error) {
				db, err := bboltPeer.open(ctx, dir)
				return &lyingDB{db, lie}, err
			}}}
			r := newRun(cfg)
			if err := r.all(t.Context()); !errors.Is(err, errWrong) {
				t.Errorf("got %v, want %v", err, errWrong)
			}
			for _, res := range r.results() {
				if len(res.Samples) > 0 || res.Note == "" {
					t.Errorf("%s: got %+v, want no samples and a note", res.Op, res)
				}
			}
		})
	}
}

// TestSlowPeersHaveOneRound makes sure that a peer that is too slow is in the first
// round only, and that the report says so.
func TestSlowPeersHaveOneRound(t *testing.T) {
	cfg := testConfig(t)
	cfg.rounds, cfg.slow = 2, 1
	cfg.ops, cfg.peers = []*op{opNamed("load"), opNamed("get")}, []*peer{bboltPeer}
	r := newRun(cfg)
	if err := r.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	rep := r.report()
	for _, res := range rep.Results {
		if len(res.Samples) != 1 {
			t.Errorf("%s: got %v, want one sample", res.Op, res.Samples)
		}
	}
	if len(rep.missing()) != 1 {
		t.Errorf("got %q, want one line", rep.missing())
	}
}
