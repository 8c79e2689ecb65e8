package userdata

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"sync"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/seed-5df914be/userdata/internal/wire"
	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// maxDepth is how deep slices, arrays, maps and structs may be nested in a column.
const maxDepth = wire.MaxDepth

// checksumExt is the type of the msgpack ext that ends each value in the store.
const checksumExt = 0x43 // 'C'

// checksumSize is the size in bytes of that ext: fixext 4, its type, the sum.
const checksumSize = 6

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// An encoder writes msgpack to a buffer. It is reused: newEncoder, free.
type encoder struct {
	buf   bytes.Buffer
	enc   *msgpack.Encoder
	depth int
}

var encoders = sync.Pool{New: func() any {
	e := &encoder{}
	e.enc = msgpack.NewEncoder(&e.buf)
	return e
}}

func newEncoder() *encoder { return encoders.Get().(*encoder) }

// bytes returns a copy of what was written.
func (e *encoder) bytes() []byte { return bytes.Clone(e.buf.Bytes()) }

// free gives the encoder back; what its buffer held is lost.
func (e *encoder) free() {
	if e.buf.Cap() <= 1<<20 {
		e.buf.Reset()
		e.depth = 0
		encoders.Put(e)
	}
}

// nested runs fn one level deeper. The bound ends a cycle of pointers before
// the stack does.
func (e *encoder) nested(fn func() error) error {
	if e.depth >= maxDepth {
		return errTooDeep
	}
	e.depth++
	err := fn()
	e.depth--
	return err
}

// string writes text, which has to be valid UTF-8.
func (e *encoder) string(s string) error {
	if !utf8.ValidString(s) {
		return errNotUTF8
	}
	return e.enc.EncodeString(s)
}

// A decoder reads msgpack that wire has found canonical: it can trust lengths
// and depth, and checks that types and ranges fit. It is reused: newDecoder,
// free.
type decoder struct {
	r   bytes.Reader
	dec *msgpack.Decoder
}

var decoders = sync.Pool{New: func() any {
	d := &decoder{}
	d.dec = msgpack.NewDecoder(&d.r)
	return d
}}

func newDecoder(b []byte) *decoder {
	d := decoders.Get().(*decoder)
	d.r.Reset(b)
	d.dec.ResetReader(&d.r)
	return d
}

func (d *decoder) free() {
	d.r.Reset(nil)
	decoders.Put(d)
}

// code returns the next value's first byte, or 0xc1, which begins none.
func (d *decoder) code() byte {
	c, err := d.dec.PeekCode()
	if err != nil {
		return 0xc1
	}
	return c
}

// mismatch is the error for a value of another type than the column's.
func (d *decoder) mismatch(want string) error {
	return corruptf("a %s where %s should be", codeName(d.code()), want)
}

// codeName names the type of value that begins with c.
func codeName(c byte) string {
	switch {
	case c == msgpcode.Nil:
		return "null"
	case c == msgpcode.True || c == msgpcode.False:
		return "bool"
	case c == msgpcode.Float:
		return "float32"
	case c == msgpcode.Double:
		return "float64"
	case isUint(c) || isInt(c):
		return "integer"
	case msgpcode.IsString(c):
		return "string"
	case msgpcode.IsBin(c):
		return "byte string"
	case msgpcode.IsExt(c):
		return "time"
	case isArray(c):
		return "array"
	case isMap(c):
		return "map"
	}
	return "missing value"
}

func isUint(c byte) bool {
	return c <= msgpcode.PosFixedNumHigh || c >= msgpcode.Uint8 && c <= msgpcode.Uint64
}
func isInt(c byte) bool {
	return c >= msgpcode.NegFixedNumLow || c >= msgpcode.Int8 && c <= msgpcode.Int64
}
func isArray(c byte) bool {
	return msgpcode.IsFixedArray(c) || c == msgpcode.Array16 || c == msgpcode.Array32
}
func isMap(c byte) bool { return msgpcode.IsFixedMap(c) || c == msgpcode.Map16 || c == msgpcode.Map32 }

func (d *decoder) int64(want string) (int64, error) {
	switch c := d.code(); {
	case isInt(c):
		return d.dec.DecodeInt64()
	case isUint(c):
		u, err := d.dec.DecodeUint64()
		if err == nil && int64(u) < 0 {
			err = corruptf("%d is out of the range of %s", u, want)
		}
		return int64(u), err
	}
	return 0, d.mismatch(want)
}

func (d *decoder) uint64(want string) (uint64, error) {
	switch c := d.code(); {
	case isUint(c):
		return d.dec.DecodeUint64()
	case isInt(c):
		n, err := d.dec.DecodeInt64()
		if err == nil {
			err = corruptf("%d is out of the range of %s", n, want)
		}
		return 0, err
	}
	return 0, d.mismatch(want)
}

func (d *decoder) string() (string, error) {
	if !msgpcode.IsString(d.code()) {
		return "", d.mismatch("string")
	}
	return d.dec.DecodeString()
}

// bytes reads a byte string, never nil unless nilable and stored so.
func (d *decoder) bytes(nilable bool) ([]byte, error) {
	c := d.code()
	if nilable && c == msgpcode.Nil {
		return nil, d.dec.DecodeNil()
	}
	if !msgpcode.IsBin(c) {
		return nil, d.mismatch("bytes")
	}
	b, err := d.dec.DecodeBytes()
	if b == nil {
		b = []byte{}
	}
	return b, err
}

func (d *decoder) time() (time.Time, error) {
	if !msgpcode.IsExt(d.code()) {
		return time.Time{}, d.mismatch("time")
	}
	t, err := d.dec.DecodeTime()
	return t.UTC(), err
}

func (d *decoder) arrayLen(want string) (int, error) {
	if !isArray(d.code()) {
		return 0, d.mismatch(want)
	}
	return d.dec.DecodeArrayLen()
}

func (d *decoder) mapLen(want string) (int, error) {
	if !isMap(d.code()) {
		return 0, d.mismatch(want)
	}
	return d.dec.DecodeMapLen()
}

// decodeValue decodes all of b, canonical msgpack, into the zero value at p.
func decodeValue(c *valueCodec, b []byte, p unsafe.Pointer) error {
	d := newDecoder(b)
	defer d.free()
	err := c.decode(d, p)
	if err == nil && d.r.Len() > 0 {
		err = corruptf("%d bytes after the value", d.r.Len())
	}
	if err != nil && !errors.Is(err, ErrCorrupt) {
		err = corruptf("%w", err)
	}
	return err
}

// encodedName returns a name in msgpack. Fields and columns are sorted by it.
func encodedName(name string) []byte {
	e := newEncoder()
	defer e.free()
	e.enc.EncodeString(name)
	return e.bytes()
}

// checksumSeed begins the checksum of a table's values: its name and length.
func checksumSeed(table string) uint32 {
	return crc32.Update(0, castagnoli, append(binary.AppendUvarint(nil, uint64(len(table))), table...))
}

// checksum returns the CRC32C over table, key and map; seed stands for the table.
func checksum(seed uint32, key, value []byte) uint32 {
	var length [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(length[:], uint64(len(key)))
	sum := crc32.Update(seed, castagnoli, length[:n])
	sum = crc32.Update(sum, castagnoli, key)
	return crc32.Update(sum, castagnoli, value)
}

// appendChecksum ends the map in e's buffer with its checksum.
func appendChecksum(e *encoder, seed uint32, key []byte) {
	sum := checksum(seed, key, e.buf.Bytes())
	var ext [checksumSize]byte
	ext[0], ext[1] = msgpcode.FixExt4, checksumExt
	binary.BigEndian.PutUint32(ext[2:], sum)
	e.buf.Write(ext[:])
}

// verifyChecksum returns the map of a stored value, without its checksum.
func verifyChecksum(seed uint32, key, value []byte) ([]byte, error) {
	n := len(value) - checksumSize
	if n < 1 || value[n] != msgpcode.FixExt4 || value[n+1] != checksumExt {
		return nil, corruptf("no checksum at its end")
	}
	if got, want := binary.BigEndian.Uint32(value[n+2:]), checksum(seed, key, value[:n]); got != want {
		return nil, corruptf("checksum is %08x, its bytes give %08x", got, want)
	}
	return value[:n], nil
}

// encode writes the record at p to e, its checksum included, and returns its
// key. What does not fit is one error a column, joined; the rest is written all
// the same.
func (t *table) encode(e *encoder, p unsafe.Pointer) (key []byte, err error) {
	var faults []error
	keyIsFine := true
	e.enc.EncodeMapLen(len(t.stored))
	for _, c := range t.stored {
		e.buf.Write(c.encodedName)
		if err := c.codec.encode(e, c.at(p)); err != nil {
			faults = append(faults, &RecordError{Table: t.name, Column: c.name, Err: err})
			keyIsFine = keyIsFine && c != t.key
		}
	}
	if key, err = t.keyOf(p); err != nil && keyIsFine {
		faults = append(faults, err)
	}
	appendChecksum(e, t.seed, key)
	return key, errors.Join(faults...)
}

// decode reads a stored value into the zero record at p.
func (t *table) decode(key, value []byte, p unsafe.Pointer) error {
	row, err := t.open(key, value)
	if err != nil {
		return err
	}
	for i, c := range t.stored {
		if err := decodeValue(c.codec, row.columns[i], c.at(p)); err != nil {
			return t.recordError("read", key, c.name, err)
		}
	}
	return nil
}

// A row is a stored value taken apart: the msgpack of each column, in the order
// of table.stored. Its slices are the store's.
type row struct {
	key     []byte
	value   []byte
	columns [][]byte
}

// open verifies a stored value and finds its columns.
func (t *table) open(key, value []byte) (row, error) {
	r := row{columns: make([][]byte, len(t.stored))}
	return r, r.open(t, key, value)
}

// open is table.open into a row that is used again.
func (r *row) open(t *table, key, value []byte) error {
	r.key, r.value = key, value
	b, err := verifyChecksum(t.seed, key, value)
	if err != nil {
		return t.recordError("read", key, "", err)
	}
	n, size, err := wire.MapHeader(b)
	if err != nil {
		return t.recordError("read", key, "", corruptf("%w", err))
	}
	b = b[size:]
	for i := range n {
		name, size, err := wire.String(b)
		if err != nil {
			return t.recordError("read", key, "", corruptf("name of column %d: %w", i, err))
		}
		if i >= len(t.stored) || string(name) != t.stored[i].name {
			return t.misfit(key, i, string(name))
		}
		b = b[size:]
		if size, err = wire.Next(b); err != nil {
			return t.recordError("read", key, t.stored[i].name, corruptf("%w", err))
		}
		r.columns[i], b = b[:size], b[size:]
	}
	switch {
	case n < len(t.stored):
		return t.recordError("read", key, t.stored[n].name, corruptf("column is missing"))
	case len(b) > 0:
		return t.recordError("read", key, "", corruptf("%d bytes after the record", len(b)))
	}
	return r.checkKey(t)
}

// misfit is the error for a column that is not the one expected at its place.
func (t *table) misfit(key []byte, place int, name string) error {
	switch i := slices.IndexFunc(t.stored, func(c *column) bool { return c.name == name }); {
	case i < 0:
		return t.recordError("read", key, name, corruptf("column is not known"))
	case i < place:
		return t.recordError("read", key, name, corruptf("column twice or not at its place"))
	}
	return t.recordError("read", key, t.stored[place].name, corruptf("column is missing or not at its place"))
}

// checkKey makes sure that the record stands under its own key.
func (r *row) checkKey(t *table) error {
	v := t.key.codec.newValue()
	if err := decodeValue(t.key.codec, r.columns[t.key.place], v); err != nil {
		return t.recordError("read", r.key, t.key.name, err)
	}
	own, err := t.keyCodec.append(nil, v)
	if err != nil || !bytes.Equal(own, r.key) {
		return t.recordError("read", r.key, t.key.name, corruptf("record of key %s", t.formatKey(own)))
	}
	return nil
}

// recordError returns an error about the record under the encoded key.
func (t *table) recordError(op string, key []byte, column string, err error) error {
	return &RecordError{Op: op, Table: t.name, Key: t.keyValue(key), Column: column, Err: err}
}

// pointerTo returns the address of a record.
func pointerTo[T any](record *T) unsafe.Pointer { return unsafe.Pointer(record) }
