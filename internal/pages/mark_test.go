package pages_test

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// Once a leaf was searched, marks lead to nearly all of its keys, and to hardly any other, and
// what is found is the same.
func TestMarks(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	const n = 20_000
	plain, _ := treeOf(t, rng, n)
	tree := remembering(t, plain)
	for i := range 2 * n {
		if key := numbered(i); tree.Expected(key) {
			t.Fatalf("key %q is expected before any was looked for", key)
		}
	}
	for range 2 {
		for i := range 2 * n {
			want, _ := plain.Get(numbered(i))
			got, err := tree.Get(numbered(i))
			if err != nil || !bytes.Equal(got, want) || (got == nil) != (want == nil) {
				t.Fatalf("key %q: got %q, %v, want %q", numbered(i), got, err, want)
			}
		}
	}
	there, not := 0, 0
	for i := range n {
		if tree.Expected(numbered(2 * i)) {
			there++
		}
		if tree.Expected(numbered(2*i + 1)) {
			not++
		}
	}
	if there < n*9/10 || not > 0 {
		t.Errorf("marks lead to %d of %d keys, and to %d that are not there", there, n, not)
	}
}

// A leaf that is not in order gets no marks: what is found in it is what a search finds.
func TestNoMarksOfDisorder(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	const n = 3000
	plain, data := treeOf(t, rng, n)
	for at := 2 << 12; at < len(data); at += 1 << 12 {
		if page := data[at:][:4096]; le.Uint16(page[8:]) == 2 && le.Uint16(page[10:]) > 4 { // a leaf
			a, b := page[16+16*1:][:16], page[16+16*3:][:16] // the positions count from the element
			x, y := le.Uint32(a[4:])+16, le.Uint32(b[4:])+48
			le.PutUint32(a[4:], y-16)
			le.PutUint32(b[4:], x-48)
			first, second := le.Uint64(a[8:]), le.Uint64(b[8:])
			le.PutUint64(a[8:], second)
			le.PutUint64(b[8:], first)
		}
	}
	tree := remembering(t, plain)
	lost := 0
	for range 2 {
		for i := range n {
			want, wantErr := plain.Get(numbered(2 * i))
			got, err := tree.Get(numbered(2 * i))
			if !bytes.Equal(got, want) || (got == nil) != (want == nil) || (err == nil) != (wantErr == nil) {
				t.Fatalf("key %q: got %q, %v, want %q, %v", numbered(2*i), got, err, want, wantErr)
			}
			if want == nil {
				lost++
			}
		}
	}
	if lost < n/100 {
		t.Errorf("only %d searches found nothing: there was no disorder", lost)
	}
}

// Marks of leaves that are other ones now, or damaged, mislead nobody: what is found without
// them is found with them, and beyond that nothing but what stands under the very key.
func TestMarksAreGuesses(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	const n = 3000
	plain, data := treeOf(t, rng, n)
	tree := remembering(t, plain)
	for i := range n {
		if _, err := tree.Get(numbered(2 * i)); err != nil {
			t.Fatal(err)
		}
	}
	misled, rounds := 0, 300
	if short() {
		rounds = 60
	}
	for range rounds {
		page := data[(2+rng.IntN(len(data)>>12-2))<<12:][:4096]
		before := bytes.Clone(page)
		if le.Uint16(page[8:]) != 2 { // not a leaf
			continue
		}
		switch rng.IntN(3) {
		case 0: // an element stands for another one
			count := int(le.Uint16(page[10:]))
			copy(page[16+16*rng.IntN(count):][:16], page[16+16*rng.IntN(count):][:16])
		case 1:
			page[rng.IntN(4096)] ^= 1 << rng.IntN(8)
		default: // fewer elements
			le.PutUint16(page[10:], le.Uint16(page[10:])/2)
		}
		for i := range 2 * n {
			key := numbered(i)
			want, wantErr := plain.Get(key)
			got, err := tree.Get(key)
			switch {
			case bytes.Equal(got, want) && (got == nil) == (want == nil) && (err == nil) == (wantErr == nil):
			case want == nil && err == nil && bytes.Contains(page, append(key, got...)):
				misled++ // the search
			default:
				t.Fatalf("key %q: got %q, %v, want %q, %v", key, got, err, want, wantErr)
			}
		}
		copy(page, before)
	}
	if misled == 0 {
		t.Error("no search was misled: there was no damage")
	}
}
