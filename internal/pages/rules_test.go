package pages_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// broken has for each rule the ways to break it, and it alone or it first.
var broken = []struct {
	rule, how string
	do        func(f image) image
}{
	{"short", "no meta page", func(f image) image { return f[:79] }},
	{"short", "one page", func(f image) image { return f[:8191] }},
	{"magic", "", func(f image) image { le.PutUint32(f[16:], 1); f[4096+16]++; return f }},
	{"endian", "", func(f image) image { flip(f[16:20]); flip(f[4096+16:][:4]); f.seal(); return f }},
	{"version", "", func(f image) image { f[16+4]++; f[4096+16+4]++; f.seal(); return f }},
	{"checksum", "", func(f image) image { f[16+60]++; f[4096+16+60]++; return f }},
	{"no meta", "", func(f image) image { f[16]++; f[4096+16]++; return f }},
	{"page size", "small", meta(8, 512)},
	{"page size", "large", meta(8, 1<<17)},
	{"page size", "odd", meta(8, 4096+1024)},
	{"page size", "two", func(f image) image { le.PutUint32(f[4096+16+8:], 8192); return later(f, 1) }},
	{"high water", "", func(f image) image { le.PutUint64(f.meta()[40:], 1<<60); f.seal(); return f }},
	{"txid", "", func(f image) image { f.meta()[55] = 0x80; f.seal(); return f }},
	{"id", "meta", func(f image) image { f.page(uint64(f.chosen())).set(7); return f }},
	{"kind", "meta", func(f image) image { f.page(uint64(f.chosen())).setFlags(2); return f }},
	{"header", "meta count", func(f image) image { f.page(uint64(f.chosen())).setCount(1); return f }},
	{"header", "meta overflow", func(f image) image { f.page(uint64(f.chosen())).setOver(1); return f }},

	{"id", "other meta", func(f image) image { f.page(uint64(1 - f.chosen())).set(7); return f }},
	{"bounds", "freelist low", func(f image) image { le.PutUint64(f.meta()[32:], 1); f.seal(); return f }},
	{"bounds", "freelist high", func(f image) image { le.PutUint64(f.meta()[32:], f.high()); f.seal(); return f }},
	{"kind", "freelist", func(f image) image { f.page(f.freelist()).setFlags(2); return f }},
	{"id", "freelist", func(f image) image { f.page(f.freelist()).set(2000); return f }},
	{"overflow", "freelist", func(f image) image { f.page(f.freelist()).setOver(1 << 31); return f }},
	{"free count", "pages", func(f image) image { f.page(f.freelist()).setOver(1); return f }},
	{"free count", "too many", func(f image) image { f.page(f.freelist()).setCount(0xFFFE); return f }},
	{"free count", "for the page", func(f image) image {
		f = append(f, make([]byte, 600<<12)...)
		le.PutUint64(f.meta()[40:], f.high()+600)
		f.seal()
		f.page(f.freelist()).setCount(511)
		return f
	}},
	{"free count", "few as many", func(f image) image { p := f.page(f.freelist()); p.setCount(0xFFFF); le.PutUint64(p[16:], 3); return f }},
	{"free count", "wraps", func(f image) image {
		p := f.page(f.freelist())
		p.setCount(0xFFFF)
		le.PutUint64(p[16:], 1<<61)
		return f
	}},
	{"free id", "low", func(f image) image { f.page(f.freelist())[16] = 1; return f }},
	{"free id", "high", func(f image) image { ids := f.ids(); ids[len(ids)-1] = f.high(); f.setIDs(ids); return f }},
	{"free order", "equal", func(f image) image { ids := f.ids(); ids[1] = ids[0]; f.setIDs(ids); return f }},
	{"free order", "less", func(f image) image { ids := f.ids(); slices.Reverse(ids); f.setIDs(ids); return f }},
	{"free", "freelist", func(f image) image { return free(f, f.freelist()) }},
	{"free", "root", func(f image) image { return free(f, f.root()) }},
	{"free", "leaf", func(f image) image { return free(f, f.page(f.bucket("a")).child(1)) }},
	{"free", "overflow", func(f image) image { return free(f, f.bucket("big")+1) }},
	{"leaked", "first", func(f image) image { f.setIDs(f.ids()[1:]); return f }},
	{"leaked", "last", func(f image) image { ids := f.ids(); f.setIDs(ids[:len(ids)-1]); return f }},

	{"bounds", "root low", func(f image) image { le.PutUint64(f.meta()[16:], 1); f.seal(); return f }},
	{"bounds", "root high", func(f image) image { le.PutUint64(f.meta()[16:], f.high()); f.seal(); return f }},
	{"bounds", "child low", func(f image) image { _, id := f.page(f.bucket("a")).branch(1); le.PutUint64(id, 0); return f }},
	{"bounds", "child high", func(f image) image { _, id := f.page(f.bucket("a")).branch(1); le.PutUint64(id, 1<<63); return f }},
	{"bounds", "bucket low", func(f image) image { le.PutUint64(f.value("z"), 1); return f }},
	{"bounds", "bucket high", func(f image) image { le.PutUint64(f.value("z"), f.high()); return f }},
	{"twice", "freelist", func(f image) image { le.PutUint64(f.meta()[16:], f.freelist()); f.seal(); return f }},
	{"twice", "child", func(f image) image { p := f.page(f.bucket("a")); copy(p.elem(2)[8:16], p.elem(1)[8:]); return f }},
	{"twice", "cycle", func(f image) image { p := f.page(f.bucket("a")); le.PutUint64(p.elem(1)[8:], f.bucket("a")); return f }},
	{"twice", "buckets", func(f image) image { le.PutUint64(f.value("z"), f.bucket("a")); return f }},
	{"twice", "bucket in itself", func(f image) image {
		_, v := f.page(f.bucket("b")).leaf(0)
		le.PutUint64(v, f.bucket("b"))
		return f
	}},
	{"twice", "overflow first", overlap("a")},
	{"twice", "overflow last", overlap("z")},
	{"id", "leaf", func(f image) image { f.page(f.bucket("z")).set(f.bucket("a")); return f }},
	{"kind", "leaf", func(f image) image { f.page(f.bucket("z")).setFlags(4); return f }},
	{"kind", "both", func(f image) image { f.page(f.bucket("z")).setFlags(3); return f }},
	{"kind", "none", func(f image) image { f.page(f.bucket("z")).setFlags(0); return f }},
	{"overflow", "leaf", func(f image) image { f.page(f.bucket("z")).setOver(1<<32 - 1); return f }},

	{"count", "", func(f image) image { f.page(f.bucket("z")).setCount(256); return f }},
	{"crowded", "", func(f image) image { f.page(f.bucket("big")).setCount(5); return f }},
	{"empty", "branch", func(f image) image { f.page(f.bucket("a")).setCount(0); return f }},
	{"empty", "leaf", func(f image) image { f.page(f.page(f.bucket("a")).child(1)).setCount(0); return f }},
	{"flags", "", func(f image) image { f.page(f.bucket("z")).setNum(3, 0, 2); return f }},
	{"key size", "none", func(f image) image { f.page(f.bucket("z")).setNum(3, 2, 0); return f }},
	{"key size", "long", func(f image) image { f.page(f.bucket("big")).setNum(0, 2, 32769); return f }},
	{"layout", "leaf", func(f image) image { p := f.page(f.bucket("z")); p.setNum(3, 1, p.num(3, 1)+1); return f }},
	{"layout", "branch", func(f image) image { p := f.page(f.bucket("a")); p.setNum(1, 0, p.num(1, 0)-1); return f }},
	{"layout", "count", func(f image) image { p := f.page(f.bucket("z")); p.setCount(p.count() - 1); return f }},
	{"beyond", "leaf", func(f image) image { f.page(f.bucket("z")).setNum(29, 3, 4096); return f }},
	{"beyond", "most", func(f image) image { f.page(f.bucket("z")).setNum(29, 3, -1); return f }},
	{"first key", "greater", func(f image) image { k, _ := f.page(f.page(f.bucket("a")).child(1)).leaf(0); k[8] = 0xFF; return f }},
	{"first key", "less", func(f image) image { k, _ := f.page(f.page(f.bucket("a")).child(1)).leaf(0); k[0]--; return f }},
	{"first key", "of branch", func(f image) image { k, _ := f.page(f.bucket("a")).branch(0); k[0]--; return f }},
	{"order", "leaf", func(f image) image { k, _ := f.page(f.bucket("z")).leaf(4); k[0]--; return f }},
	{"order", "equal", func(f image) image {
		p := f.page(f.bucket("z"))
		k, _ := p.leaf(3)
		next, _ := p.leaf(4)
		copy(k, next)
		return f
	}},
	{"order", "branch", func(f image) image { k, _ := f.page(f.bucket("a")).branch(2); k[0]--; return f }},
	{"order", "overflow", func(f image) image { k, _ := f.page(f.bucket("big")).leaf(1); k[0]--; return f }},
	{"range", "greater", func(f image) image {
		p := f.page(f.page(f.bucket("a")).child(0))
		k, _ := p.leaf(p.count() - 1)
		k[0]++
		return f
	}},
	{"range", "equal", func(f image) image {
		a := f.page(f.bucket("a"))
		p := f.page(a.child(0))
		k, _ := p.leaf(p.count() - 1)
		next, _ := a.branch(1)
		copy(k, next)
		return f
	}},
	{"extent", "more", func(f image) image { f.page(f.bucket("z")).setOver(1); f.page(f.bucket("z")).setCount(0); return f }},
	{"extent", "fewer", func(f image) image {
		p := f.page(f.bucket("big"))
		p.setNum(1, 3, 10)
		return f
	}},
	{"extent", "inline", func(f image) image { p := node(f.value("in")[16:]); p.setNum(2, 3, 4); return f }},
	{"depth", "", func(f image) image {
		a, id := f.page(f.bucket("a")), f.ids()[0]
		old := a.child(1)
		k, _ := a.branch(1)
		copy(f.page(id), f.page(old)[:4096])
		f.page(id).set(id)
		copy(f.page(old), one(old, k, id))
		f.setIDs(f.ids()[1:])
		return f
	}},
	{"too deep", "", func(image) image {
		list := []node{leafOf(2, "a", 3)}
		for id := range uint64(65) {
			list = append(list, one(3+id, []byte("k"), 4+id))
		}
		return synth(append(list, leafOf(68, "k", 0))...)
	}},
	{"root entry", "", func(f image) image { p := f.page(f.root()); p.setNum(0, 0, 0); return f }},
	{"bucket", "short", resize(15)},
	{"bucket", "long", resize(17)},
	{"bucket", "short inline", func(f image) image { le.PutUint64(f.value("z"), 0); return resize(31)(f) }},
	{"bucket", "large inline", func(f image) image { le.PutUint64(f.value("z"), 0); return resize(16 + 1025)(f) }},
	{"bucket", "at the end", func(image) image {
		p := leafOf(2, strings.Repeat("k", 4096-32-16), 3)
		p.setNum(0, 2, 4096-32-8)
		p.setNum(0, 3, 8)
		return synth(p)
	}},
	{"inline", "", func(f image) image { node(f.value("in")[16:]).setNum(1, 0, 1); return f }},
	{"header", "inline id", func(f image) image { f.value("in")[16] = 1; return f }},
	{"header", "inline overflow", func(f image) image { node(f.value("in")[16:]).setOver(1); return f }},
	{"kind", "inline", func(f image) image { node(f.value("in")[16:]).setFlags(1); return f }},
	{"count", "inline", func(f image) image { node(f.value("in")[16:]).setCount(99); return f }},
	{"count", "inline empty", func(image) image {
		p := leafOf(2, "a", 0)
		p.setNum(0, 0, 1)
		p.setNum(0, 3, 32)
		q := p[32+1+16:]
		q.setFlags(2)
		q.setCount(1)
		return synth(p)
	}},
	{"order", "inline", func(f image) image { k, _ := node(f.value("in")[16:]).leaf(1); k[0]--; return f }},
}

// flip reverses bytes.
func flip(b []byte) { slices.Reverse(b) }

// meta sets a number in both metas.
func meta(at int, v uint32) func(image) image {
	return func(f image) image {
		le.PutUint32(f[16+at:], v)
		le.PutUint32(f[4096+16+at:], v)
		f.seal()
		return f
	}
}

// later makes the meta i the one with the higher transaction.
func later(f image, i int) image {
	le.PutUint64(f[i<<12+16+48:], 1000)
	le.PutUint64(f[(1-i)<<12+16+48:], 999)
	f.seal()
	return f
}

// free adds a page to the freelist.
func free(f image, id uint64) image {
	ids := append(f.ids(), id)
	slices.Sort(ids)
	f.setIDs(ids)
	return f
}

// overlap makes the bucket an empty page within what "big" takes.
func overlap(name string) func(image) image {
	return func(f image) image {
		id := f.bucket("big") + 1
		le.PutUint64(f.value(name), id)
		p := f.page(id)
		clear(p[:16])
		p.set(id)
		p.setFlags(2)
		return f
	}
}

// resize sets the length of the last value in the root.
func resize(n int) func(image) image {
	return func(f image) image {
		p := f.page(f.root())
		p.setNum(p.count()-1, 3, n)
		return f
	}
}

// Each rule is broken in each way, and found, first of all.
func TestRules(t *testing.T) {
	good := base(t)
	if r := check(t, good); r.Err() != nil || len(good.ids()) < 3 {
		t.Fatalf("before: %v, %d free", r.Findings, len(good.ids()))
	}
	seen := map[string]bool{"address": true, "nesting": true} // have their own tests
	for _, c := range broken {
		t.Run(strings.TrimSpace(c.rule+" "+c.how), func(t *testing.T) {
			seen[c.rule] = true
			f := c.do(good.clone())
			r := check(t, f)
			if len(r.Findings) == 0 {
				t.Fatal("no findings")
			}
			if !errors.Is(r.Findings[0].Err, pages.Rules[c.rule]) {
				t.Errorf("got %v", r.Findings)
			}
			if err := r.Err(); !errors.Is(err, pages.Rules[c.rule]) || !strings.HasPrefix(err.Error(), r.Findings[0].String()) {
				t.Errorf("Err: got %v", err)
			}
			if c.how == "buckets" && r.Findings[0].Page != f.root() {
				t.Errorf("found late: %v", r.Findings)
			}
			for m := range 2 {
				walk(t, f, m)
			}
		})
	}
	for rule := range pages.Rules {
		if !seen[rule] {
			t.Errorf("no test breaks the rule %q", rule)
		}
	}
}

// Every bit of the pages that have an owner is flipped, one at a time. This also
// shows how much of a file the rules see: nothing but values, the sequence of a
// bucket and what lies between the last element and the end of a page is not
// covered.
func TestBits(t *testing.T) {
	s := shape{"", bolt.Options{PageSize: 1024}, all}
	path := s.build(t)
	good := read(t, path)
	want := load(t, path, bolt.Options{})
	r := check(t, good)
	rnd := newRand(3)
	seen, wrong, n := 0, 0, 6000
	if short() {
		n /= 5
	}
	for range n {
		f := bytes.Clone(good)
		at := rnd.IntN(int(r.Metas[r.Meta].HighWater) << 10)
		f[at] ^= 1 << rnd.IntN(8)
		if check(t, f).Err() != nil {
			seen++
			continue
		}
		_, got := walk(t, f, check(t, f).Meta)
		same := slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		if !same && check(t, f).Metas[r.Meta].Err == nil {
			wrong++
			t.Logf("byte %d", at)
		}
	}
	t.Logf("of %d flipped bits %d were found", n, seen)
	if seen < n/10 {
		t.Error("these are few")
	}
	if wrong > n/100 { // a key may still be in order
		t.Errorf("%d files have other keys, or lack some", wrong)
	}
}

// sparse is a file that is zero beyond its bytes.
type sparse []byte

func (f sparse) ReadAt(b []byte, off int64) (int, error) {
	clear(b)
	if off < int64(len(f)) {
		copy(b, f[off:])
	}
	return len(b), nil
}

// Sizes that no file has are found without reading or allocating much.
func TestHuge(t *testing.T) {
	const size = 1 << 62
	high := func(f image) image {
		for i := range 2 {
			le.PutUint64(f[i<<12+16+40:], size>>12)
		}
		f.seal()
		return f
	}
	far := leafOf(3, "k", 0) // its value ends where bbolt can't see it
	far.setNum(0, 3, 1<<31-17)
	far.setOver(1 << 19)
	many := synth(leafOf(2, "a", 3), leafOf(3, "k", 0), make(node, 4096))
	p := many.page(4) // a freelist that is as long as it may be, and not there
	p.set(4)
	p.setFlags(16)
	p.setCount(0xFFFF)
	le.PutUint64(p[16:], 1<<38)
	p.setOver(1<<29 + 1<<20)
	le.PutUint64(p[24:], 1<<40)
	for i := range 2 {
		le.PutUint64(many[i<<12+16+32:], 4)
	}
	for _, c := range []struct {
		rule string
		file image
	}{
		{"address", synth(leafOf(2, "a", 3), far)},
		{"free id", many},
		{"id", synth(leafOf(2, "a", size>>13))[:3<<12]},
	} {
		r, err := pages.Check(sparse(high(c.file)), size)
		if err != nil || !errors.Is(r.Err(), pages.Rules[c.rule]) && c.rule != "id" {
			t.Errorf("%s: got %v, %v", c.rule, err, r.Findings)
		}
		if r.Err() == nil {
			t.Errorf("%s: no findings", c.rule)
		}
	}
	few := many.clone() // a freelist with nothing in it: all is leaked, in one run
	few.page(4).setCount(0)
	few.page(4).setOver(0)
	r, err := pages.Check(sparse(high(few)), size)
	if err != nil || len(r.Findings) != 1 || !errors.Is(r.Err(), pages.Rules["leaked"]) {
		t.Errorf("leaked: got %v, %v", err, r.Findings)
	}
}

// Buckets are followed to a bound.
func TestNesting(t *testing.T) {
	for _, c := range []struct {
		depth int
		ok    bool
	}{{254, true}, {257, false}} {
		s := shape{"", bolt.Options{}, []func(*bolt.Tx) error{nest(c.depth)}}
		r := check(t, read(t, s.build(t)))
		if c.ok != (r.Err() == nil) || !c.ok && !errors.Is(r.Err(), pages.Rules["nesting"]) {
			t.Errorf("depth %d: %.200v", c.depth, r.Err())
		}
	}
}

// A report has a bound, and says how much is beyond it.
func TestLimit(t *testing.T) {
	s := shape{"", bolt.Options{PageSize: 1024}, []func(*bolt.Tx) error{put(0, 3000, 400, "a")}}
	good := read(t, s.build(t))
	r := check(t, good)
	leaves := int(r.Leaves)
	bad := bytes.Clone(good)
	for id := range r.Metas[r.Meta].HighWater {
		if p := node(bad[id<<10:]); le.Uint16(p[8:]) == 2 && le.Uint64(p) == id && id != r.Metas[r.Meta].Root {
			p.setFlags(8)
		}
	}
	r = check(t, bad)
	if len(r.Findings) != pages.MaxFindings || r.Omitted != leaves-1-pages.MaxFindings {
		t.Errorf("of %d leaves: %d findings, %d omitted", leaves, len(r.Findings), r.Omitted)
	}
	if want := fmt.Sprintf("(and %d more)", leaves-2); !strings.HasSuffix(r.Err().Error(), want) {
		t.Errorf("got %v, want %s", r.Err(), want)
	}
}

// With one meta page damaged, the other is followed, as bbolt does.
func TestOtherMeta(t *testing.T) {
	s := shape{"", bolt.Options{}, all}
	path := s.build(t)
	good := read(t, path)
	for n := range 4 {
		i, rule := n&1, "checksum"
		f := bytes.Clone(good)
		f[i<<12+16+20] ^= 1
		if n > 1 {
			clear(f[i<<12:][:4096])
			rule = "magic"
		}
		r := check(t, f)
		if r.Err() != nil || r.Meta != 1-i || !errors.Is(r.Metas[i].Err, pages.Rules[rule]) || r.Metas[1-i].Err != nil {
			t.Errorf("meta %d damaged: %+v", i, r)
		}
		if _, got := walk(t, f, r.Meta); len(got) < 100 {
			t.Errorf("meta %d damaged: only %d entries", i, len(got))
		}
		back, err := pages.CheckMeta(bytes.NewReader(f), int64(len(f)), i)
		if err != nil || !errors.Is(back.Err(), pages.Rules["no meta"]) {
			t.Errorf("meta %d damaged: CheckMeta: %v, %v", i, err, back.Err())
		}
	}
}

// Walk follows a meta page of which only the checksum is wrong, even if both are.
func TestWalkWithoutMeta(t *testing.T) {
	for _, size := range []int{1024, 4096, 16384} {
		s := shape{"", bolt.Options{PageSize: size}, all}
		path := s.build(t)
		f := read(t, path)
		want := load(t, path, s.opts)
		m := check(t, f).Meta
		f[16+60]++
		f[size+16+60]++
		r, got := walk(t, f, m)
		if !errors.Is(r.Err(), pages.Rules["checksum"]) || !maps.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("pages of %d: %v, %d entries of %d", size, r.Err(), len(got), len(want))
		}
		clear(f[:size])
		if r, got := walk(t, f, 1); len(got) < 100 || r.PageSize != size {
			t.Errorf("pages of %d: second meta: %v, %d entries", size, r.Err(), len(got))
		}
	}
}

// Walk gets all that a damaged page does not hide, and nothing else, twice or
// from elsewhere.
func TestWalkDamaged(t *testing.T) {
	good := base(t)
	_, want := walk(t, good, good.chosen())
	a := good.page(good.bucket("a"))
	for _, c := range []struct {
		name        string
		lost, wrong int // at most
		do          func(f image)
	}{
		{"leaf number", 0, 0, func(f image) { f.page(f.bucket("z")).set(9) }},
		{"leaf type", 90, 0, func(f image) { f.page(a.child(1)).setFlags(9) }},
		{"leaf count low", 0, 0, func(f image) { p := f.page(f.bucket("z")); p.setCount(p.count() - 5) }},
		{"leaf count high", 0, 0, func(f image) { p := f.page(f.bucket("z")); p.setCount(p.count() + 5) }},
		{"leaf count far", 0, 0, func(f image) { p := f.page(f.bucket("z")); p.setCount(0xFFFF) }},
		{"leaf element", 1, 0, func(f image) { f.page(f.bucket("z")).setNum(3, 1, -1) }},
		{"leaf first", 1, 0, func(f image) { f.page(f.bucket("z")).setNum(0, 1, -1) }},
		{"leaf value", 1, 0, func(f image) { f.page(f.bucket("z")).setNum(29, 3, 9999) }},
		{"leaf key", 1, 1, func(f image) { k, _ := f.page(f.bucket("z")).leaf(3); k[0] = 0xFF }},
		{"leaf overflow", 0, 0, func(f image) { f.page(f.bucket("z")).setOver(1) }},
		{"leaf twice", 90, 0, func(f image) { copy(f.page(a.child(2))[:4096], f.page(a.child(1))) }},
		{"first key", 1, 0, func(f image) { k, _ := f.page(a.child(1)).leaf(0); k[0]-- }},
		{"branch number", 0, 0, func(f image) { f.page(f.bucket("a")).set(9) }},
		{"branch key low", 90, 0, func(f image) { k, _ := f.page(f.bucket("a")).branch(1); k[0]-- }},
		{"branch key high", 0, 0, func(f image) { k, _ := f.page(f.bucket("a")).branch(1); k[0]++ }},
		{"branch element", 0, 0, func(f image) { f.page(f.bucket("a")).setNum(1, 0, -1) }},
		{"branch count", 0, 0, func(f image) { f.page(f.bucket("a")).setCount(300) }},
		{"freelist", 0, 0, func(f image) { f.page(f.freelist()).setFlags(0) }},
		{"free", 0, 0, func(f image) { free(f, a.child(1)) }},
		{"inline", 1, 1, func(f image) { k, _ := node(f.value("in")[16:]).leaf(1); k[0]-- }},
		{"inline count", 0, 0, func(f image) { node(f.value("in")[16:]).setCount(99) }},
		{"inline empty", 3, 0, func(f image) { node(f.value("in")[16:]).setFlags(0); clear(f.value("in")[32:]) }},
		{"root entry", 301, 0, func(f image) { f.page(f.root()).setNum(0, 0, 0) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := good.clone()
			c.do(f)
			got, calls := contents{}, 0
			r, err := pages.Walk(bytes.NewReader(f), int64(len(f)), f.chosen(), func(b [][]byte, k, v []byte) error {
				calls++
				return got.visit(b, k, v)
			})
			if err != nil || r.Err() == nil || calls != len(got) {
				t.Errorf("%v, %v, %d entries in %d calls", err, r.Err(), len(got), calls)
			}
			lost, wrong := want.minus(got), got.minus(want)
			if lost > c.lost || wrong > c.wrong {
				t.Errorf("of %d entries %d are lost, and %d others are there: %v", len(want), lost, wrong, r.Findings)
			}
		})
	}
}

// minus counts the entries that d has not or has otherwise.
func (c contents) minus(d contents) (n int) {
	for k, v := range c {
		if w, ok := d[k]; !ok || !bytes.Equal(v, w) {
			n++
		}
	}
	return n
}

// Findings tell which keys are lost, as far as a damaged branch tells.
func TestWalkRange(t *testing.T) {
	f := base(t)
	a := f.page(f.bucket("a"))
	a.setNum(1, 0, -1)
	f.page(a.child(3)).setFlags(0)
	from, _ := a.branch(3)
	to, _ := a.branch(4)
	r, _ := walk(t, f, f.chosen())
	if len(r.Findings) != 2 || !bytes.Equal(r.Findings[1].From, from) || !bytes.Equal(r.Findings[1].To, to) {
		t.Errorf("got %v, want from %q before %q", r.Findings, from, to)
	}
}

// Check counts nothing of a page that it does not trust.
func TestCheckSkips(t *testing.T) {
	f := base(t)
	f.page(f.bucket("z")).setNum(3, 0, 2)
	node(f.value("in")[16:]).setNum(1, 1, 9)
	r := check(t, f)
	for _, b := range r.Buckets {
		if (b.Name == "z" || b.Name == "in") && b.Entries > 0 {
			t.Errorf("%+v", b)
		}
	}
	if len(r.Findings) != 2 {
		t.Errorf("got %v", r.Findings)
	}
}

// The text of a finding names the place.
func TestFindingText(t *testing.T) {
	f := base(t)
	k, _ := f.page(f.page(f.bucket("a")).child(1)).leaf(0)
	from := string(k)
	k[0]--
	want := fmt.Sprintf("page %d of [\"a\"] from %q before ", f.page(f.bucket("a")).child(1), from)
	if r := check(t, f); len(r.Findings) != 1 || !strings.HasPrefix(r.Findings[0].String(), want) {
		t.Errorf("got %v, want %s", r.Findings, want)
	}
}
