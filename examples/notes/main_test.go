package main

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/seed-5df914be/userdata"
)

func TestNotes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.db")
	day := time.Date(2026, 10, 12, 0, 0, 0, 0, time.UTC)
	now := func() time.Time { day = day.AddDate(0, 0, 1); return day }
	for _, c := range []struct {
		args    []string
		want    string
		wantErr error
	}{
		{args: []string{"add", "milk", "Buy milk", "two bottles"}},
		{args: []string{"add", "oven", "Clean the oven"}},
		{args: []string{"add", "milk", "again"}, wantErr: userdata.ErrExists},
		{args: []string{"add", "blank", " "}, wantErr: userdata.ErrInvalid},
		{args: []string{"list"}, want: "oven  2026-10-14  Clean the oven\nmilk  2026-10-13  Buy milk\n"},
		{args: []string{"edit", "milk", "Buy oat milk"}},
		{args: []string{"list"}, want: "milk  2026-10-17  Buy oat milk\noven  2026-10-14  Clean the oven\n"},
		{args: []string{"show", "milk"}, want: "Buy oat milk\n\ntwo bottles\n"},
		{args: []string{"find", "BOTTLES"}, want: "milk  2026-10-17  Buy oat milk\n"},
		{args: []string{"rm", "milk"}},
		{args: []string{"rm", "milk"}, wantErr: userdata.ErrNotFound},
		{args: []string{"show", "milk"}, wantErr: userdata.ErrNotFound},
		{args: []string{"list"}, want: "oven  2026-10-14  Clean the oven\n"},
	} {
		var out bytes.Buffer
		err := run(t.Context(), path, c.args, &out, now)
		if !errors.Is(err, c.wantErr) || (err != nil) != (c.wantErr != nil) {
			t.Errorf("%q: got error %v, want %v", c.args, err, c.wantErr)
		}
		if d := cmp.Diff(c.want, out.String()); d != "" {
			t.Errorf("%q (-want +got):\n%s", c.args, d)
		}
	}
	for _, args := range [][]string{nil, {"fly"}, {"show"}, {"add", "x"}} {
		if err := run(t.Context(), path, args, &bytes.Buffer{}, now); err == nil {
			t.Errorf("%q: got no error", args)
		}
	}
}
