package main

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/seed-5df914be/userdata"
)

// The output in msgpack is a map a record, which any reader of msgpack understands.
func TestMsgpackOutput(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 10, 12, 19, 58, 0, 5, time.UTC)
	var b bytes.Buffer
	out := newOutput(&b, style{format: "msgpack"}, []string{"id", "at", "raw", "tags", "place", "none"})
	for range 2 {
		err := out.write([]any{uint16(7), at, []byte{1}, []any{"a", int8(-1)}, []userdata.Entry{{Key: "x", Value: 1.5}, {Key: "y", Value: nil}}, nil})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := out.close(); err != nil {
		t.Fatal(err)
	}
	dec := msgpack.NewDecoder(&b)
	n := 0
	for {
		v, err := dec.DecodeInterface()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
		record := v.(map[string]any)
		if got := record["at"].(time.Time); !got.Equal(at) {
			t.Errorf("got time %v, want %v", got, at)
		}
		delete(record, "at")
		want := map[string]any{"id": int8(7), "raw": []byte{1}, "tags": []any{"a", int8(-1)}, "place": map[string]any{"x": 1.5, "y": nil}, "none": nil}
		if d := cmp.Diff(want, record); d != "" {
			t.Errorf("record (-want +got):\n%s", d)
		}
	}
	if n != 2 {
		t.Errorf("got %d records, want 2", n)
	}
}
