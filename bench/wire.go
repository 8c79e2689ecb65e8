package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// What a program writes by hand that keeps notes in a store of keys and values:
// the value is a msgpack map, made and read field by field without reflection.

// encodeNote returns a note as a msgpack map.
func encodeNote(n *Note) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(192)
	e := msgpack.GetEncoder()
	defer msgpack.PutEncoder(e)
	e.Reset(&b)
	e.UseCompactInts(true)
	for _, err := range []error{
		e.EncodeMapLen(4),
		e.EncodeString("id"), e.EncodeString(n.ID),
		e.EncodeString("text"), e.EncodeString(n.Text),
		e.EncodeString("updated"), e.EncodeTime(n.Updated),
		e.EncodeString("count"), e.EncodeInt(n.Count),
	} {
		if err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// decodeNote reads what encodeNote returned.
func decodeNote(value []byte) (*Note, error) {
	d := msgpack.GetDecoder()
	defer msgpack.PutDecoder(d)
	d.Reset(bytes.NewReader(value))
	fields, err := d.DecodeMapLen()
	if err != nil {
		return nil, err
	}
	n := &Note{}
	for range fields {
		name, err := d.DecodeString()
		if err != nil {
			return nil, err
		}
		switch name {
		case "id":
			n.ID, err = d.DecodeString()
		case "text":
			n.Text, err = d.DecodeString()
		case "updated":
			n.Updated, err = d.DecodeTime()
		case "count":
			n.Count, err = d.DecodeInt64()
		default:
			err = fmt.Errorf("unknown field %q", name)
		}
		if err != nil {
			return nil, err
		}
	}
	return n, nil
}

// marshalNote returns a note as msgpack makes a struct, by reflection.
func marshalNote(n *Note) ([]byte, error) { return msgpack.Marshal(n) }

// unmarshalNote reads what marshalNote returned.
func unmarshalNote(value []byte) (*Note, error) {
	n := &Note{}
	return n, msgpack.Unmarshal(value, n)
}

// timeKey returns eight bytes that are ordered as times are.
func timeKey(t time.Time) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(t.UnixNano())^1<<63)
}

// indexKey returns the key of a note's index entry: its time, then its key.
func indexKey(n *Note) []byte { return append(timeKey(n.Updated), n.ID...) }
