package userdata_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

// ok ends the test if err is not nil.
func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("got error %v, want nil", err)
	}
}

// is checks that err is all of the targets.
func is(t *testing.T, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("got error %v, want %v", err, target)
		}
	}
}

// isNot checks that err is there and none of the targets.
func isNot(t *testing.T, err error, targets ...error) {
	t.Helper()
	if err == nil {
		t.Errorf("got no error")
	}
	for _, target := range targets {
		if errors.Is(err, target) {
			t.Errorf("got error %v, want none that is %v", err, target)
		}
	}
}

// sameAs checks that got and want are equal.
func sameAs(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestRecordError(t *testing.T) {
	for _, tc := range []struct {
		in   userdata.RecordError
		want string
	}{
		{userdata.RecordError{Op: "commit", Table: "notes", Key: "n1", Column: "title", Err: io.EOF}, `userdata: commit notes "n1" title: EOF`},
		{userdata.RecordError{Op: "get", Table: "notes", Key: []byte{1, 2}, Err: io.EOF}, `userdata: get notes 0102: EOF`},
		{userdata.RecordError{Op: "get", Key: -7, Err: io.EOF}, `userdata: get -7: EOF`},
		{userdata.RecordError{Err: io.EOF}, `userdata: EOF`},
	} {
		if got := tc.in.Error(); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
		wrapped := fmt.Errorf("wrapped: %w", &tc.in)
		var re *userdata.RecordError
		if !errors.Is(wrapped, io.EOF) || !errors.As(wrapped, &re) || re != &tc.in {
			t.Errorf("%v can't be unwrapped", wrapped)
		}
	}
}
