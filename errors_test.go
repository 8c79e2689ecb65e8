package userdata_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/seed-5df914be/userdata"
)

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
