package main

import (
	"bufio"
	"reflect"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/seed-5df914be/userdata"
)

// A jsonOutput writes an object a record, each on a line, or all of them as the
// elements of an array.
type jsonOutput struct {
	w       *bufio.Writer
	columns []string
	list    bool
	n       int
	line    []byte
}

func (o *jsonOutput) write(values []any) error {
	entries := make([]userdata.Entry, len(values))
	for i, v := range values {
		entries[i] = userdata.Entry{Key: o.columns[i], Value: v}
	}
	o.line = o.line[:0]
	switch {
	case o.list && o.n == 0:
		o.line = append(o.line, "[\n"...)
	case o.list:
		o.line = append(o.line, ",\n"...)
	}
	o.line = appendJSON(o.line, entries)
	if !o.list {
		o.line = append(o.line, '\n')
	}
	o.n++
	_, err := o.w.Write(o.line)
	return err
}

func (o *jsonOutput) close() error {
	switch {
	case o.list && o.n == 0:
		o.w.WriteString("[]\n")
	case o.list:
		o.w.WriteString("\n]\n")
	}
	return o.w.Flush()
}

// A msgpackOutput writes a map a record, one after the other. Times are times of
// msgpack, bytes are binary.
type msgpackOutput struct {
	w       *bufio.Writer
	enc     *msgpack.Encoder
	columns []string
}

func newMsgpackOutput(w *bufio.Writer, columns []string) *msgpackOutput {
	return &msgpackOutput{w: w, enc: msgpack.NewEncoder(w), columns: columns}
}

func (o *msgpackOutput) write(values []any) error {
	entries := make([]userdata.Entry, len(values))
	for i, v := range values {
		entries[i] = userdata.Entry{Key: o.columns[i], Value: v}
	}
	return o.encode(entries)
}

// encode writes a value: structs and maps are maps, in their order.
func (o *msgpackOutput) encode(v any) error {
	switch v := v.(type) {
	case []any:
		if err := o.enc.EncodeArrayLen(len(v)); err != nil {
			return err
		}
		for _, e := range v {
			if err := o.encode(e); err != nil {
				return err
			}
		}
		return nil
	case []userdata.Entry:
		if err := o.enc.EncodeMapLen(len(v)); err != nil {
			return err
		}
		for _, e := range v {
			if err := o.encode(e.Key); err != nil {
				return err
			}
			if err := o.encode(e.Value); err != nil {
				return err
			}
		}
		return nil
	}
	switch n := reflect.ValueOf(v); {
	case n.IsValid() && n.CanInt():
		return o.enc.EncodeInt(n.Int())
	case n.IsValid() && n.CanUint():
		return o.enc.EncodeUint(n.Uint())
	}
	return o.enc.Encode(v)
}

func (o *msgpackOutput) close() error { return o.w.Flush() }
