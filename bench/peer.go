package main

import (
	"context"
	"errors"
	"time"
)

// A database is one peer's open file. Insert may be called from many goroutines
// at once, the others from one. Every write is durable when it returns.
type database interface {
	// insert adds notes that are not there, in one commit.
	insert(ctx context.Context, notes []*Note) error

	// get reads one note into a new struct, without any state of earlier reads
	// but what the peer keeps by itself.
	get(ctx context.Context, key string) (*Note, error)

	// scan reads all notes, in the order that is best for the peer.
	scan(ctx context.Context, fn func(*Note)) error

	// between reads the notes with from <= Updated < to by the index, in order of
	// time.
	between(ctx context.Context, from, to time.Time, fn func(*Note)) error

	// below reads the notes with Count < limit. There is no index of Count.
	below(ctx context.Context, limit int64, fn func(*Note)) error

	// change reads the notes, adds one to each Count, and writes them, in one
	// transaction where the peer has any.
	change(ctx context.Context, keys []string) error

	close() error
}

// A tracker is a database whose sessions track what they have read. The
// functions are timed by the caller.
type tracker interface {
	// track returns functions of one session that has read the notes of these keys:
	// get reads one of them again, flush looks for changes in all of them, and end
	// closes the session.
	track(ctx context.Context, keys []string) (get func(key string) (*Note, error), flush func() error, end func(), err error)

	// session returns a function that reads notes in one session, as get does in one
	// of its own each, and one that closes the session.
	session() (get func(ctx context.Context, key string) (*Note, error), end func())

	// scanTracked reads all notes into one session, which tracks them.
	scanTracked(ctx context.Context, fn func(*Note)) error
}

// A peer is a way to keep notes in a file.
type peer struct {
	name    string // what -peers and the tables call it
	title   string // its name in prose
	modules []string
	how     string // how it is used here
	open    func(ctx context.Context, dir string) (database, error)
	absent  string // why this build does not have it, if so
}

// baseline is the peer that ratios are to.
const baseline = "bbolt"

// usual is the peer that a second ratio is to: as most programs use bbolt.
const usual = "marshal"

// subject is the peer that this repository is about.
const subject = "userdata"

// peers are all peers, in the order of the tables.
var peers = []*peer{
	userdataPeer, bboltPeer, marshalPeer, bstorePeer, boltholdPeer, stormPeer,
	mattnPeer, moderncPeer, gormPeer, pebblePeer,
}

// needsCgo is why a build without cgo lacks a peer.
const needsCgo = "left out: it needs cgo, and this program was built without"

// errWrong is what a peer's wrong answer is.
var errWrong = errors.New("wrong answer")
