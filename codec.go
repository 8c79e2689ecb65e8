package userdata

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"reflect"
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

// decodeValue decodes all of b, which nobody has checked, to p.
func decodeValue(c *valueCodec, b []byte, p unsafe.Pointer) error {
	if n := c.parse(b, p, 0, nil); n == len(b) && n > 0 {
		return nil
	}
	if err := wire.Check(b); err != nil {
		return corruptf("%w", err)
	}
	reflect.NewAt(c.typ, p).Elem().SetZero()
	return decodeCanonical(c, b, p)
}

// decodeCanonical decodes all of b, canonical msgpack, into the zero value at p,
// through the msgpack library.
func decodeCanonical(c *valueCodec, b []byte, p unsafe.Pointer) error {
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

// checksum returns the CRC32C over table, key and map; seed stands for the table. It is quicker
// if the value lies behind the key, within that one's capacity.
func checksum(seed uint32, key, value []byte) uint32 {
	sum, n := seed, uint64(len(key))
	for ; n >= 1<<7; n >>= 7 { // as a uvarint
		sum = addByte(sum, byte(n)|1<<7)
	}
	sum = addByte(sum, byte(n))
	if both := join(key, value); both != nil {
		return crc32.Update(sum, castagnoli, both)
	}
	sum = crc32.Update(sum, castagnoli, key)
	return crc32.Update(sum, castagnoli, value)
}

// join returns key and value as one, if that is what they are.
func join(key, value []byte) []byte {
	n := len(key) + len(value)
	if len(value) == 0 || n > cap(key) || &key[:n][len(key)] != &value[0] {
		return nil
	}
	return key[:n]
}

// addByte is crc32.Update with one byte, which would have to be on the heap there.
func addByte(sum uint32, b byte) uint32 { return ^(castagnoli[byte(^sum)^b] ^ ^sum>>8) }

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
