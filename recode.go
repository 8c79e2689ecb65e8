package userdata

import (
	"encoding/binary"
	"math"

	"github.com/seed-5df914be/userdata/internal/wire"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// A layout is where the columns are in the stored records of a table, as the
// schema in the file says. It knows no types.
type layout struct {
	table   string
	seed    uint32
	names   []string // in the order of the encoding
	encoded [][]byte // the same in msgpack
	place   map[string]int
}

func newLayout(s TableSchema) *layout {
	l := &layout{table: s.Name, seed: checksumSeed(s.Name), place: map[string]int{}}
	for _, c := range s.Columns {
		l.names = append(l.names, c.Name)
	}
	for i, name := range byEncodedName(l.names) {
		l.place[name] = i
		l.encoded = append(l.encoded, encodedName(name))
	}
	return l
}

// open verifies a stored value and puts the msgpack of its columns into the
// slice, which has room for all of them. They are parts of the value.
func (l *layout) open(columns [][]byte, key, value []byte) error {
	fault := func(column string, err error) error {
		return &RecordError{Op: "read", Table: l.table, Key: key, Column: column, Err: err}
	}
	b, err := verifyChecksum(l.seed, key, value)
	if err != nil {
		return fault("", err)
	}
	n, size, err := wire.MapHeader(b)
	if err != nil {
		return fault("", corruptf("%w", err))
	}
	if n != len(l.names) {
		return fault("", corruptf("%d columns where the table has %d", n, len(l.names)))
	}
	b = b[size:]
	for i, want := range l.names {
		name, size, err := wire.String(b)
		if err != nil || string(name) != want {
			return fault(want, corruptf("column is missing or not at its place"))
		}
		b = b[size:]
		if size, err = wire.Next(b); err != nil {
			return fault(want, corruptf("%w", err))
		}
		columns[i], b = b[:size], b[size:]
	}
	if len(b) > 0 {
		return fault("", corruptf("%d bytes after the record", len(b)))
	}
	return nil
}

// A recoder turns stored records of one schema into those of another, column by
// column, without decoding them: what changes nothing in the Go values changes
// nothing in their bytes. It is not safe for concurrent use.
type recoder struct {
	from    *layout
	to      *layout
	sources []source // of each of to.names
	columns [][]byte // of the record at hand
	out     [][]byte // of what it becomes
}

// recoder returns what turns the file's records into those of the declared table.
func (c *tableDiff) recoder() *recoder { return newRecoder(c.from, c.want, c.sources) }

// newRecoder returns a recoder; sources are in the order of to's encoding.
func newRecoder(from, to TableSchema, sources []source) *recoder {
	return &recoder{from: newLayout(from), to: newLayout(to), sources: sources, columns: make([][]byte, len(from.Columns)), out: make([][]byte, len(to.Columns))}
}

// value returns what stands under the key in the new form: a slice of its own.
func (r *recoder) value(key, old []byte) ([]byte, error) {
	if err := r.from.open(r.columns, key, old); err != nil {
		return nil, err
	}
	for i := range r.sources {
		s := &r.sources[i]
		switch {
		case s.column == "":
			r.out[i] = s.absent
		case s.widen:
			r.out[i] = widened(r.columns[r.from.place[s.column]])
		default:
			r.out[i] = r.columns[r.from.place[s.column]]
		}
	}
	return r.to.seal(key, r.out)
}

// seal returns the value of the columns' msgpack, with its checksum: a slice of its
// own.
func (l *layout) seal(key []byte, columns [][]byte) ([]byte, error) {
	e := newEncoder()
	defer e.free()
	if err := e.enc.EncodeMapLen(len(l.names)); err != nil {
		return nil, err
	}
	for i, name := range l.names {
		e.buf.Write(l.encoded[i])
		if columns[i] == nil {
			return nil, corruptf("table %s: no value for column %s", l.table, name)
		}
		e.buf.Write(columns[i])
	}
	appendChecksum(e, l.seed, key)
	return e.bytes(), nil
}

// widened returns the float64 of a float32, both in msgpack; null stays null.
func widened(b []byte) []byte {
	if len(b) != 5 || b[0] != msgpcode.Float {
		return b
	}
	f := float64(math.Float32frombits(binary.BigEndian.Uint32(b[1:])))
	if f != f {
		f = canonicalNaN
	}
	return binary.BigEndian.AppendUint64([]byte{msgpcode.Double}, math.Float64bits(f))
}
