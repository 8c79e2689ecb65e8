package userdata_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed-5df914be/userdata"
)

// allocated returns how many bytes fn allocates, or more, if others do meanwhile.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// hostile reads a value of a column in both ways, which must refuse it and take no
// memory for what it only says to hold.
func hostile[V any](t *testing.T, name, value string) {
	t.Helper()
	table := userdata.NewTable[single[V]]("t")
	sealed := userdata.Seal("t", []byte("k"), append([]byte("\x82\xa2id\xa1k\xa5value"), value...))
	const enough = 1 << 20
	for way, decode := range map[string]func() error{
		"direct": func() error { _, err := userdata.Decode(table, []byte("k"), sealed); return err },
		"plain":  func() error { _, err := userdata.DecodePlain(table, []byte("k"), sealed); return err },
	} {
		var err error
		if n := allocated(func() { err = decode() }); n > enough {
			t.Errorf("%s, %s: took %d bytes for a value of %d", name, way, n, len(value))
		}
		if !errors.Is(err, userdata.ErrCorrupt) {
			t.Errorf("%s, %s: got %v, want ErrCorrupt", name, way, err)
		}
	}
}

// Values from a stranger say that they hold a great deal, or are nested deeply. It is
// not believed: what they hold must be there before memory is taken for it.
func TestHostileBytes(t *testing.T) { // not parallel: it counts what is allocated
	const million = "\x01\x00\x00\x00" // 16 of them
	hostile[[]int](t, "array", "\xdd"+million)
	hostile[[]string](t, "array of strings", "\xdd"+million+"\xa1a")
	hostile[[4]int8](t, "array of a fixed length", "\xdd"+million)
	hostile[map[string]int](t, "map", "\xdf"+million)
	hostile[map[string]map[int8]*[]byte](t, "map in a map", "\x81\xa1a\xdf"+million)
	hostile[string](t, "string", "\xdb"+million+"a")
	hostile[[]byte](t, "bytes", "\xc6"+million+"a")
	hostile[*[]time.Time](t, "times", "\xdd"+million)
	hostile[[]address](t, "structs", "\xdd"+million+"\x80")
	for _, n := range []int{userdata.MaxDepth + 1, 1000, 100_000} {
		hostile[list](t, "lists in lists", strings.Repeat("\x91", n)+"\x90")
		hostile[int](t, "lists where none belong", strings.Repeat("\x91", n)+"\x90")
		hostile[int](t, "maps in keys", strings.Repeat("\x81", n)+strings.Repeat("\x01", n+1))
	}
}
