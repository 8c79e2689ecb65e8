package userdata

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// echo logs one line of what is done, at debug level.
func (db *DB) echo(ctx context.Context, line string, attrs ...slog.Attr) {
	db.log.LogAttrs(ctx, slog.LevelDebug, line, attrs...)
}

// echoes reports whether anyone listens.
func (db *DB) echoes(ctx context.Context) bool { return db.log.Enabled(ctx, slog.LevelDebug) }

// verb names what a slot does.
func (sl *slot) verb() string {
	switch {
	case sl.put == nil:
		return "DELETE"
	case sl.remove == nil:
		return "INSERT"
	}
	return "UPDATE"
}

// echoChanges logs each record that a commit is about to write.
func (db *DB) echoChanges(ctx context.Context, f *flushed) {
	if !db.echoes(ctx) {
		return
	}
	for _, sl := range f.slots {
		key := sl.table.formatKey([]byte(sl.key))
		line := fmt.Sprintf("%s %s %s", sl.verb(), sl.table.name, key)
		if sl.put != nil {
			line += fmt.Sprintf(" %d B", len(sl.value))
		}
		db.echo(ctx, line, slog.String("table", sl.table.name), slog.String("key", key), slog.Int("bytes", len(sl.value)))
	}
}

// echoCommit logs the outcome of a commit.
func (db *DB) echoCommit(ctx context.Context, f *flushed, start time.Time, err error) {
	if !db.echoes(ctx) {
		return
	}
	took := time.Since(start)
	counts := map[string]int{}
	size := 0
	for _, sl := range f.slots {
		counts[sl.verb()]++
		size += len(sl.value)
	}
	var parts []string
	for _, verb := range []string{"INSERT", "UPDATE", "DELETE"} {
		if n := counts[verb]; n > 0 {
			parts = append(parts, plural(n, strings.ToLower(verb)))
		}
	}
	line := fmt.Sprintf("COMMIT %s %s", strings.Join(parts, ", "), roundDuration(took))
	if err != nil {
		line += " failed: " + err.Error()
	}
	db.echo(ctx, line, slog.Int("bytes", size), slog.Duration("duration", took))
}

// echoGet logs a read by key.
func (db *DB) echoGet(ctx context.Context, t *table, key, value []byte, start time.Time) {
	if !db.echoes(ctx) {
		return
	}
	k, took := t.formatKey(key), time.Since(start)
	found := "not found"
	if value != nil {
		found = fmt.Sprintf("%d B", len(value))
	}
	db.echo(ctx, fmt.Sprintf("GET %s %s %s %s", t.name, k, found, roundDuration(took)),
		slog.String("table", t.name), slog.String("key", k), slog.Int("bytes", len(value)), slog.Duration("duration", took))
}

// echoSelect logs a query's path, and how many of the records read it answered
// with. Records that the session holds count as answers, not as read.
func (db *DB) echoSelect(ctx context.Context, p *plan, answers int) {
	if !db.echoes(ctx) {
		return
	}
	took := time.Since(p.start)
	plan := strings.TrimPrefix(p.explain().String(), p.table.name+": ")
	db.echo(ctx, fmt.Sprintf("SELECT %s %s, %d of %d read %s", p.table.name, plan, answers, p.rowsRead, roundDuration(took)),
		slog.String("table", p.table.name), slog.Int("records", answers), slog.Int("read", p.rowsRead), slog.Int("bytes", p.bytesRead), slog.Duration("duration", took))
}

// plural returns "1 insert", "2 inserts".
func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprint(n, " ", noun)
}

// roundDuration returns d with two or three digits, as people read it.
func roundDuration(d time.Duration) time.Duration {
	unit := time.Nanosecond
	for d >= 100*unit*10 {
		unit *= 10
	}
	return d.Round(unit)
}
