package wire_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/seed-5df914be/userdata/internal/wire"
	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// encode returns what the encoder of msgpack writes in f.
func encode(f func(*msgpack.Encoder) error) []byte {
	var b bytes.Buffer
	if err := f(msgpack.NewEncoder(&b)); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// randomValue returns a value as msgpack's encoder writes it, nested at most
// depth deep.
func randomValue(r *rand.Rand, depth int) []byte {
	choices := 12
	if depth > 0 {
		choices = 16
	}
	return encode(func(e *msgpack.Encoder) error {
		switch r.IntN(choices) {
		case 0:
			return e.EncodeNil()
		case 1:
			return e.EncodeBool(r.IntN(2) == 0)
		case 2, 3:
			return e.EncodeInt(int64(r.Uint64()) >> r.IntN(64))
		case 4:
			return e.EncodeUint(r.Uint64() >> r.IntN(64))
		case 5:
			return e.EncodeFloat32(math.Float32frombits(r.Uint32() &^ (1 << 23)))
		case 6:
			return e.EncodeFloat64(math.Float64frombits(r.Uint64() &^ (1 << 52)))
		case 7:
			return e.EncodeTime(randomTime(r))
		case 8:
			return e.EncodeBytes(make([]byte, r.IntN(300)))
		case 9, 10, 11:
			return e.EncodeString(randomString(r))
		case 12, 13:
			return randomArray(r, e, depth)
		default:
			return randomMap(r, e, depth)
		}
	})
}

func randomTime(r *rand.Rand) time.Time {
	seconds := []int64{r.Int64N(1 << 32), r.Int64N(1 << 34), r.Int64N(253402300800), -r.Int64N(62135596801)}
	return time.Unix(seconds[r.IntN(len(seconds))], r.Int64N(1e9)*r.Int64N(2))
}

func randomString(r *rand.Rand) string {
	s := make([]rune, r.IntN(1<<r.IntN(10)))
	for i := range s {
		s[i] = []rune("aaabc\x00é€😀")[r.IntN(9)]
	}
	return string(s)
}

func randomArray(r *rand.Rand, e *msgpack.Encoder, depth int) error {
	n := r.IntN(20)
	err := e.EncodeArrayLen(n)
	for range n {
		err = errors.Join(err, e.Encode(msgpack.RawMessage(randomValue(r, depth-1))))
	}
	return err
}

func randomMap(r *rand.Rand, e *msgpack.Encoder, depth int) error {
	var keys [][]byte
	for range r.IntN(20) {
		keys = append(keys, randomValue(r, depth-1))
	}
	slices.SortFunc(keys, bytes.Compare)
	keys = slices.CompactFunc(keys, bytes.Equal)
	err := e.EncodeMapLen(len(keys))
	for _, key := range keys {
		err = errors.Join(err, e.Encode(msgpack.RawMessage(key)), e.Encode(msgpack.RawMessage(randomValue(r, depth-1))))
	}
	return err
}

var errReference = errors.New("not canonical")

// A reference does what Next does in the obvious way: it takes a value apart with
// msgpack's decoder, one item at a time, writes each item again with the encoder
// and compares.
type reference struct {
	b []byte
	r *bytes.Reader
	d *msgpack.Decoder
}

// referenceNext is Next by a reference.
func referenceNext(b []byte) (int, error) {
	r := bytes.NewReader(b)
	ref := reference{b, r, msgpack.NewDecoder(r)}
	err := ref.value(0)
	return ref.pos(), err
}

func (ref reference) pos() int { return len(ref.b) - ref.r.Len() }

func (ref reference) value(depth int) error {
	c, err := ref.d.PeekCode()
	if err != nil {
		return err
	}
	var v any // what encodeItem writes
	var n int
	start := ref.pos()
	isArray := c&0xf0 == 0x90 || c == 0xdc || c == 0xdd
	isMap := c&0xf0 == 0x80 || c == 0xde || c == 0xdf
	switch {
	case isArray:
		n, err = ref.d.DecodeArrayLen()
		v = arrayLen(n)
	case isMap:
		n, err = ref.d.DecodeMapLen()
		v = mapLen(n)
	default:
		v, err = ref.scalar(c)
	}
	if err != nil {
		return err
	}
	again := encode(func(e *msgpack.Encoder) error { return encodeItem(e, v) })
	if !bytes.Equal(again, ref.b[start:ref.pos()]) || (isArray || isMap) && depth == wire.MaxDepth {
		return errReference
	}
	if isMap {
		return ref.entries(n, depth+1)
	}
	for range n {
		if err := ref.value(depth + 1); err != nil {
			return err
		}
	}
	return nil
}

// scalar decodes a value that holds no others and begins with c. It reads strings
// and binaries itself, since msgpack would make room for 4 GiB if the bytes say so.
func (ref reference) scalar(c byte) (any, error) {
	isBinary := msgpcode.IsBin(c)
	if !isBinary && !msgpcode.IsString(c) {
		return ref.d.DecodeInterface()
	}
	n, err := ref.d.DecodeBytesLen()
	if err != nil || n < 0 || n > ref.r.Len() { // on 32 bits a large n comes out negative
		return nil, errors.Join(err, io.ErrUnexpectedEOF)
	}
	b := make([]byte, n)
	if err := ref.d.ReadFull(b); err != nil && n > 0 {
		return nil, err
	}
	if isBinary {
		return b, nil
	}
	return string(b), nil
}

// entries goes through the n entries of a map.
func (ref reference) entries(n, depth int) error {
	var last []byte
	for i := range n {
		start := ref.pos()
		if err := ref.value(depth); err != nil {
			return err
		}
		key := ref.b[start:ref.pos()]
		if i > 0 && bytes.Compare(last, key) >= 0 {
			return errReference
		}
		last = key
		if err := ref.value(depth); err != nil {
			return err
		}
	}
	return nil
}

type arrayLen int
type mapLen int

// encodeItem writes v as our writer would; what our writer would not write comes
// out as no value at all.
func encodeItem(e *msgpack.Encoder, v any) error {
	e.UseCompactInts(true)
	switch v := v.(type) {
	case arrayLen:
		return e.EncodeArrayLen(int(v))
	case mapLen:
		return e.EncodeMapLen(int(v))
	case float32:
		if v != v {
			v = float32(math.NaN())
		}
		return e.EncodeFloat32(v)
	case float64:
		if v != v {
			v = math.NaN()
		}
		return e.EncodeFloat64(v)
	case string:
		if !utf8.ValidString(v) {
			return nil
		}
		return e.EncodeString(v)
	case time.Time:
		if v.Before(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)) || !v.Before(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)) {
			return nil
		}
		return e.EncodeTime(v)
	default:
		return e.Encode(v)
	}
}

// agrees checks Next against the reference and, where it accepts, against what
// msgpack's decoder makes of the bytes.
func agrees(t *testing.T, b []byte) {
	t.Helper()
	n, err := wire.Next(b)
	want, wantErr := referenceNext(b)
	if (err == nil) != (wantErr == nil) || err == nil && n != want {
		t.Fatalf("%x: got %d, %v; reference: %d, %v", b, n, err, want, wantErr)
	}
	if err != nil {
		var e *wire.Error
		if n != 0 || !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(b) {
			t.Fatalf("%x: got %d, error %#v", b, n, err)
		}
		return
	}
	if again, err := wire.Next(b[:n:n]); again != n || err != nil {
		t.Fatalf("%x: got %d, then %d, %v of these bytes alone", b, n, again, err)
	}
	if _, err := wire.Next(b[: n-1 : n-1]); !errors.Is(err, wire.ErrTruncated) {
		t.Fatalf("%x: got %d, then error %v of one byte less", b, n, err)
	}
	r := bytes.NewReader(b)
	if err := msgpack.NewDecoder(r).Skip(); err != nil || len(b)-r.Len() != n {
		t.Fatalf("%x: got %d, msgpack skips %d, %v", b, n, len(b)-r.Len(), err)
	}
	r.Reset(b)
	d := msgpack.NewDecoder(r)
	d.SetMapDecoder(decodePairs)
	if _, err := d.DecodeInterface(); err != nil || len(b)-r.Len() != n {
		t.Fatalf("%x: got %d, msgpack decodes %d, %v", b, n, len(b)-r.Len(), err)
	}
}

// decodePairs decodes a map whose keys need not be comparable.
func decodePairs(d *msgpack.Decoder) (any, error) {
	n, err := d.DecodeMapLen()
	var pairs [][2]any
	for i := 0; i < n && err == nil; i++ {
		var pair [2]any
		if pair[0], err = d.DecodeInterface(); err == nil {
			pair[1], err = d.DecodeInterface()
		}
		pairs = append(pairs, pair)
	}
	return pairs, err
}

func TestTablesAgainstReference(t *testing.T) {
	for _, test := range canonical {
		agrees(t, unhex(t, test.in))
	}
	for _, test := range faulty {
		agrees(t, unhex(t, test.in))
	}
}

// What msgpack's encoder writes is canonical, if the keys are sorted.
func TestRandomValues(t *testing.T) {
	const seed = 1
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range 10_000 {
		b := randomValue(r, i%4)
		if err := wire.Check(b); err != nil {
			t.Fatalf("seed %d, value %d: %x: %v", seed, i, b, err)
		}
		if i%10 == 0 {
			agrees(t, append(b, byte(i)))
		}
	}
}

// Of all values that differ from a canonical one in one byte, those that are
// accepted are canonical too. Cut anywhere, it is refused.
func TestRandomDamage(t *testing.T) {
	const seed = 2
	r := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		b := randomValue(r, r.IntN(4))
		for range min(len(b), 50) {
			i := r.IntN(len(b))
			was := b[i]
			for _, c := range []byte{was ^ 1<<r.IntN(8), was + 1, was - 1, byte(r.Uint32()), 0xc0 | byte(r.IntN(32))} {
				b[i] = c
				agrees(t, b)
			}
			b[i] = was
			if _, err := wire.Next(b[:i]); !errors.Is(err, wire.ErrTruncated) {
				t.Fatalf("seed %d: %x: got error %v", seed, b[:i], err)
			}
		}
	}
}

// All values of two bytes, and one in 61 of those of three that are not just a
// small integer.
func TestShortValues(t *testing.T) {
	for i := range 1 << 16 {
		agrees(t, []byte{byte(i >> 8), byte(i)})
	}
	for c := 0x80; c < 0xe0; c++ {
		for i := range 1 << 16 {
			if b := []byte{byte(c), byte(i >> 8), byte(i)}; i%61 == c%61 {
				agrees(t, b)
			}
		}
	}
}

func FuzzNext(f *testing.F) {
	for _, test := range canonical {
		if len(test.in) < 1000 {
			f.Add(unhex(f, test.in))
		}
	}
	for _, test := range faulty {
		if len(test.in) < 1000 {
			f.Add(unhex(f, test.in))
		}
	}
	f.Add(record())
	f.Fuzz(func(t *testing.T, b []byte) {
		start := time.Now()
		_, _ = wire.Next(b)
		if took := time.Since(start); took > time.Second+time.Duration(len(b))*time.Microsecond {
			t.Errorf("%d bytes took %v", len(b), took)
		}
		agrees(t, b)
		agreesWithNext(t, b)
	})
}

// agreesWithNext checks the two readers against Next.
func agreesWithNext(t *testing.T, b []byte) {
	n, nextErr := wire.Next(b)
	s, size, err := wire.String(b)
	if err == nil && (nextErr != nil || size != n || !bytes.HasSuffix(b[:n], s)) {
		t.Fatalf("%x: String gives %q, %d; Next %d, %v", b, s, size, n, nextErr)
	}
	count, size, err := wire.MapHeader(b)
	if err == nil && nextErr == nil {
		for range 2 * count {
			m, err := wire.Next(b[size:])
			if err != nil {
				t.Fatalf("%x at %d: %v", b, size, err)
			}
			size += m
		}
		if size != n {
			t.Fatalf("%x: Next gives %d, its entries end at %d", b, n, size)
		}
	}
}
