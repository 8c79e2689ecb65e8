package userdata_test

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/seed-5df914be/userdata"
)

// An echo collects the lines of a logger.
type echo struct {
	lines []string
	attrs []map[string]slog.Value
	level slog.Level
	panic bool
}

func (e *echo) Enabled(_ context.Context, l slog.Level) bool { return l >= e.level }
func (e *echo) WithAttrs([]slog.Attr) slog.Handler           { return e }
func (e *echo) WithGroup(string) slog.Handler                { return e }
func (e *echo) Handle(_ context.Context, r slog.Record) error {
	if e.panic && strings.HasPrefix(r.Message, "COMMIT") {
		panic("the log is full")
	}
	attrs := map[string]slog.Value{}
	r.Attrs(func(a slog.Attr) bool { attrs[a.Key] = a.Value; return true })
	e.lines, e.attrs = append(e.lines, r.Message), append(e.attrs, attrs)
	return nil
}

// wantLines checks the lines since the last call against regular expressions.
func (e *echo) wantLines(t *testing.T, want ...string) {
	t.Helper()
	for i, line := range e.lines {
		if i >= len(want) || !regexp.MustCompile("^"+want[i]+"$").MatchString(line) {
			t.Errorf("line %d: got %q", i, line)
		}
	}
	if len(e.lines) != len(want) {
		t.Errorf("got %d lines, want %q", len(e.lines), want)
	}
	e.lines, e.attrs = nil, nil
}

const took = `\d+(\.\d+)?(ns|µs|ms|s)`

func TestEcho(t *testing.T) {
	ctx := t.Context()
	e := &echo{level: slog.LevelDebug}
	db, err := userdata.OpenStore(ctx, userdata.NewMemStore(), &userdata.Options{Logger: slog.New(e)}, userdata.UserdataTable, pieces)
	ok(t, err)
	defer db.Close()
	s := db.NewSession()
	brad := &userdata.Userdata{UserID: "Brad", UserData: "some data"}
	ok(t, s.Add(brad, &userdata.Userdata{UserID: "Jane"}, &piece{ID: "p"}))
	ok(t, s.Flush(ctx))
	e.wantLines(t)
	ok(t, s.Commit(ctx))
	if a := e.attrs[1]; a["table"].String() != "userdata" || a["key"].String() != `"Brad"` || a["bytes"].Int64() < 50 {
		t.Errorf("attributes of INSERT: got %v", a)
	}
	if a := e.attrs[3]; a["bytes"].Int64() < 100 || a["duration"].Kind() != slog.KindDuration {
		t.Errorf("attributes of COMMIT: got %v", a)
	}
	e.wantLines(t, `INSERT pieces "p" \d+ B`, `INSERT userdata "Brad" \d\d B`, `INSERT userdata "Jane" \d\d B`, `COMMIT 3 inserts `+took)

	ok(t, s.Commit(ctx)) // of nothing
	e.wantLines(t)
	brad.UserData = "changed"
	jane, err := userdata.UserdataTable.Get(ctx, s, "Jane")
	ok(t, err)
	ok(t, s.Delete(jane))
	ok(t, s.Add(&userdata.Userdata{UserID: "Larry"}))
	ok(t, s.Commit(ctx))
	e.wantLines(t, `GET userdata "Jane" \d\d B `+took, `UPDATE userdata "Brad" \d\d B`, `DELETE userdata "Jane"`, `INSERT userdata "Larry" \d\d B`,
		`COMMIT 1 insert, 1 update, 1 delete `+took)

	_, err = userdata.UserdataTable.Get(ctx, s, "tom")
	is(t, err, userdata.ErrNotFound)
	s.Rollback()
	s.Savepoint(func() error { return err })
	e.wantLines(t, `GET userdata "tom" not found `+took, `ROLLBACK`, `ROLLBACK TO SAVEPOINT`)
	is(t, db.Transact(ctx, func(*userdata.Session) error { return err }), userdata.ErrNotFound)
	e.wantLines(t, `ROLLBACK`)

	for i := range 30 {
		ok(t, s.Add(&piece{ID: string(rune('A' + i)), N: i % 3}))
	}
	ok(t, s.Commit(ctx))
	e.lines = nil
	found, err := pieces.Select(db.NewSession()).Where(pieceID.Ge("A"), pieceN.Ne(1)).All(ctx)
	ok(t, err)
	if len(found) != 21 {
		t.Errorf("got %d", len(found))
	}
	if a := e.attrs[len(e.attrs)-1]; a["records"].Int64() != 21 || a["read"].Int64() != 31 || a["table"].String() != "pieces" {
		t.Errorf("attributes of SELECT: got %v", a)
	}
	e.wantLines(t, `SELECT pieces key range id >= "A"; filter .*, 21 of 31 read `+took)

	s = db.NewSession()
	ok(t, s.Add(&piece{ID: "p"}))
	is(t, s.Commit(ctx), userdata.ErrExists)
	e.wantLines(t, `INSERT pieces "p" \d+ B`, `COMMIT 1 insert `+took+` failed: .* "p": already exists`)
}

func TestEchoOfNobody(t *testing.T) {
	for name, opts := range map[string]*userdata.Options{
		"no logger":    nil,
		"higher level": {Logger: slog.New(&echo{level: slog.LevelInfo})},
	} {
		ctx := t.Context()
		db, err := userdata.OpenStore(ctx, userdata.NewMemStore(), opts, pieces)
		ok(t, err)
		s := db.NewSession()
		ok(t, s.Add(&piece{ID: "a"}))
		ok(t, s.Commit(ctx))
		_, err = pieces.Select(s).Where(pieceN.Eq(1)).All(ctx)
		ok(t, err)
		if opts != nil {
			opts.Logger.Handler().(*echo).wantLines(t)
		}
		empty := db.NewSession()
		if n := testing.AllocsPerRun(100, empty.Rollback); n > 0 {
			t.Errorf("%s: Rollback of nothing: got %v allocations, want none", name, n)
		}
	}
}

// A logger that panics after the write must not make the session forget it.
func TestEchoThatPanics(t *testing.T) {
	ctx := t.Context()
	e := &echo{level: slog.LevelDebug, panic: true}
	db, err := userdata.OpenStore(ctx, userdata.NewMemStore(), &userdata.Options{Logger: slog.New(e)}, pieces)
	ok(t, err)
	defer db.Close()
	s := db.NewSession()
	a := &piece{ID: "a"}
	ok(t, s.Add(a))
	panicsWith(t, "the log is full", func() { s.Commit(ctx) })
	e.panic = false
	sameAs(t, "store", titlesOf(t, db), titles{"a": ""})
	sameAs(t, "state", states(s, a), []string{"persistent"})
	a.Title = "two"
	ok(t, s.Commit(ctx))
	sameAs(t, "store", titlesOf(t, db), titles{"a": "two"})
}
