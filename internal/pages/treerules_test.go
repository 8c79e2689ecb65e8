package pages_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/seed-5df914be/userdata/internal/pages"
)

// mapOf is the Map of a file that Check would follow; ok is false if there is none.
func mapOf(t testing.TB, f image) (m pages.Map, ok bool) {
	r := check(t, f)
	if r.Meta < 0 {
		return m, false
	}
	m, err := pages.NewMap(f, r.Metas[r.Meta])
	return m, err == nil
}

// beside reports whether what is wrong lies in a meta page or the freelist, which
// are not of a tree.
func beside(f image, r pages.Report) bool {
	page := r.Findings[0].Page
	return page < 2 || page == f.freelist() || strings.Contains(r.Findings[0].Err.Error(), "free")
}

// Each way to break a rule of the trees, which Check finds, is found by a Paths
// to which all is named.
func TestPathsRules(t *testing.T) {
	good := base(t)
	n := 0
	for _, c := range broken {
		f := c.do(good.clone())
		m, ok := mapOf(t, f)
		if !ok || beside(f, check(t, f)) {
			continue
		}
		rule := pages.Rules[c.rule]
		if c.rule == "depth" || c.rule == "too deep" {
			rule = pages.ErrSingle // comes first there
		}
		if n++; !errors.Is(followAll(&m, pages.NewPaths(m)), rule) {
			t.Errorf("%s %s: got %v", c.rule, c.how, followAll(&m, pages.NewPaths(m)))
		}
	}
	if n < 40 {
		t.Errorf("only %d ways", n)
	}
}

// unseen are the rules that a reader of a tree need not look at, since it is safe
// without.
var unseen = map[string]bool{
	"twice": true, "first key": true, "range": true, "layout": true, "extent": true, "depth": true, "key size long": true,
	"order branch": true,
}

// Each way to break another rule is found by a reader, once it comes there.
func TestTreeRules(t *testing.T) {
	good := base(t)
	n := 0
	for _, c := range broken {
		f := c.do(good.clone())
		m, ok := mapOf(t, f)
		if !ok || beside(f, check(t, f)) || unseen[c.rule] || unseen[c.rule+" "+c.how] {
			continue
		}
		if n++; !errors.Is(readBase(&m), pages.Rules[c.rule]) {
			t.Errorf("%s %s: got %v", c.rule, c.how, readBase(&m))
		}
	}
	if n < 30 {
		t.Errorf("only %d ways", n)
	}
}

// readBase reads all of the file that base makes, or something like it, and
// returns all errors.
func readBase(m *pages.Map) error {
	names := [][]byte{[]byte("a"), []byte("b"), []byte("big"), []byte("in"), []byte("z")}
	errs := []error{m.Buckets(func(name []byte) bool { names = append(names, name); return true })}
	for _, name := range names {
		t, found, err := m.Bucket(name)
		errs = append(errs, err)
		if !found || err != nil {
			continue
		}
		_, _, err = t.Bucket([]byte("sub"))
		errs = append(errs, err)
		var c pages.Cursor
		c.Reset(&t)
		k, _, err := c.First()
		for ; k != nil; k, _, err = c.Next() {
		}
		errs = append(errs, err)
		for k, _, err = c.Last(); k != nil; k, _, err = c.Prev() {
		}
		errs = append(errs, err)
		for i := range 300 {
			_, err := t.Get(key(i))
			if err == pages.ErrNested {
				_, _, err = t.Bucket(key(i))
			}
			errs = append(errs, err)
		}
		for _, k := range []string{"key-00000000", "k", "a"} {
			_, err := t.Get([]byte(k))
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// pair is a branch that has two children.
func pair(id uint64, key1 string, child1 uint64, key2 string, child2 uint64) node {
	p := one(id, []byte(key1), child1)
	p.setCount(2)
	p.setNum(0, 0, 32)
	p.setNum(1, 0, 16+len(key1))
	p.setNum(1, 1, len(key2))
	le.PutUint64(p.elem(1)[8:], child2)
	copy(p[48:], key1+key2)
	return p
}

// Trees that are none: a bucket "a" whose root is page 3.
var crafted = []struct {
	name string
	key  string // that is asked for
	file image
	get  string // the rule that Get of the key breaks; "" for none
	scan string // the rule that a scan breaks
	path string // the rule that CheckPath breaks
}{
	{"branch that is its own child", "k", synth(leafOf(2, "a", 3), pair(3, "k", 3, "x", 4), leafOf(4, "x", 0)),
		"too deep", "too deep", "twice"},
	{"branch that is its own only child", "k", synth(leafOf(2, "a", 3), one(3, []byte("k"), 3)),
		"too deep", "too deep", "single"},
	{"branch that is its own last child", "x", synth(leafOf(2, "a", 3), pair(3, "k", 4, "x", 3), leafOf(4, "k", 0)),
		"too deep", "order", "twice"},
	{"two branches in a circle", "k", synth(leafOf(2, "a", 3), pair(3, "k", 4, "x", 5), pair(4, "k", 3, "m", 6), leafOf(5, "x", 0), leafOf(6, "m", 0)),
		"too deep", "too deep", "twice"},
	{"two elements with one child", "k", synth(leafOf(2, "a", 3), pair(3, "k", 4, "x", 4), leafOf(4, "k", 0)),
		"", "order", "twice"},
	{"order broken across leaves", "k", synth(leafOf(2, "a", 3), pair(3, "k", 4, "x", 5), leafOf(4, "k", 0), leafOf(5, "b", 0)),
		"", "order", "first key"},
	{"root of the root bucket as a bucket's", "a", synth(leafOf(2, "a", 2)),
		"nested", "", ""},
	{"leaf with the type of a branch", "k", synth(leafOf(2, "a", 3), func() node { p := leafOf(3, "k", 0); p.setFlags(1); return p }()),
		"bounds", "bounds", "layout"},
	{"child of the page beside that is the root", "k",
		synth(leafOf(2, "a", 3), pair(3, "k", 4, "x", 5), pair(4, "k", 6, "m", 7), pair(5, "x", 3, "y", 8), leafOf(6, "k", 0), leafOf(7, "m", 0), leafOf(8, "y", 0)),
		"", "order", "twice"},
	{"child of the page beside that is a child of the path", "k",
		synth(leafOf(2, "a", 3), pair(3, "k", 4, "x", 5), pair(4, "k", 6, "m", 7), pair(5, "x", 7, "y", 8), leafOf(6, "k", 0), leafOf(7, "m", 0), leafOf(8, "y", 0)),
		"", "order", "twice"},
	{"page beside that is a branch", "k", synth(leafOf(2, "a", 3), pair(3, "k", 4, "x", 5), leafOf(4, "k", 0), pair(5, "x", 6, "y", 7), leafOf(6, "x", 0), leafOf(7, "y", 0)),
		"", "", "depth"},
	{"page beside that has another number", "k", synth(leafOf(2, "a", 3), pair(3, "k", 4, "x", 5), leafOf(4, "k", 0), leafOf(9, "x", 0)),
		"", "id", "id"},
	{"count beyond the page", "k", synth(leafOf(2, "a", 3), func() node { p := leafOf(3, "k", 0); p.setCount(256); return p }()),
		"count", "count", "count"},
	{"key that is empty", "k", synth(leafOf(2, "a", 3), leafOf(3, "", 0)),
		"key size", "key size", "key size"},
	{"overflow beyond the file", "k", synth(leafOf(2, "a", 3), func() node { p := leafOf(3, "k", 0); p.setOver(1); return p }()),
		"overflow", "overflow", "overflow"},
	{"overflow wraps", "k", synth(leafOf(2, "a", 3), func() node { p := leafOf(3, "k", 0); p.setOver(1<<32 - 1); return p }()),
		"overflow", "overflow", "overflow"},
	{"overflow into its sibling", "k", synth(leafOf(2, "a", 3), pair(3, "k", 4, "x", 5),
		func() node { p := leafOf(4, "k", 0); p.setNum(0, 3, 4096); p.setOver(1); return p }(), leafOf(5, "x", 0)),
		"", "", "twice"},
}

func TestCrafted(t *testing.T) {
	rules := map[string]error{"nested": pages.ErrNested, "single": pages.ErrSingle, "": nil}
	for name, err := range pages.Rules {
		rules[name] = err
	}
	for _, c := range crafted {
		t.Run(c.name, func(t *testing.T) {
			m, ok := mapOf(t, c.file)
			tree, found, err := m.Bucket([]byte("a"))
			if !ok || !found || err != nil {
				t.Fatal(ok, found, err)
			}
			is := func(what string, err error, rule string) {
				t.Helper()
				if !errors.Is(err, rules[rule]) {
					t.Errorf("%s: got %v, want %q", what, err, rule)
				}
			}
			_, err = tree.Get([]byte(c.key))
			is("Get", err, c.get)
			var cur pages.Cursor
			cur.Reset(&tree)
			n := 0
			k, _, err := cur.First()
			for ; k != nil && n < 100; k, _, err = cur.Next() {
				n++
			}
			is("forth", err, c.scan)
			if again, _, err2 := cur.Next(); again != nil || err2 != err {
				t.Errorf("after %v: %q, %v", err, again, err2)
			}
			for k, _, err = cur.Last(); k != nil && n < 100; k, _, err = cur.Prev() {
				n++
			}
			if (err == nil) != (c.scan == "") && !strings.Contains(c.name, "own") {
				t.Errorf("back: got %v", err)
			}
			if n >= 100 {
				t.Error("no end")
			}
			is("CheckPath", tree.CheckPath([]byte(c.key)), c.path)
		})
	}
}

// A page that a key has nothing to do with may be what it will.
func TestPathsFarAway(t *testing.T) {
	good := base(t)
	a := good.page(good.bucket("a"))
	if a.count() < 5 {
		t.Fatal(a.count())
	}
	for i := range a.count() {
		f := good.clone()
		f.page(a.child(i)).setFlags(4)
		m, _ := mapOf(t, f)
		tree, _, err := m.Bucket([]byte("a"))
		if err != nil {
			t.Fatal(err)
		}
		k, _ := a.branch(2)
		p := pages.NewPaths(m)
		if err := p.Put(&tree, k); (err == nil) != (i != 2) {
			t.Errorf("put, child %d: got %v", i, err)
		}
		if err := tree.CheckPath(k); (err == nil) != (i == 0 || i > 3) {
			t.Errorf("delete, child %d: got %v", i, err)
		}
	}
	k, _ := a.branch(0)
	le.PutUint64(a.elem(4)[8:], 1<<40) // no page at all
	m, _ := mapOf(t, good)
	tree, _, err := m.Bucket([]byte("a"))
	if err != nil || !errors.Is(tree.CheckPath(k), pages.Rules["bounds"]) {
		t.Errorf("child that is out of bounds: got %v, %v", err, tree.CheckPath(k))
	}
}

// Deletes of many keys may merge pages that are not beside each other under one
// parent, and go on where these are small.
func TestPathsCousins(t *testing.T) {
	// Page 3 has the branches 4, 5 and 6, of two leaves each.
	leaves := func(bad uint64) image {
		list := []node{leafOf(2, "a", 3), nil, pair(4, "b", 7, "c", 8), pair(5, "d", 9, "e", 10), pair(6, "f", 11, "g", 12)}
		p := pair(3, "b", 4, "d", 5)
		p.setCount(3)
		for i, k := range []string{"b", "d", "f"} {
			p.setNum(i, 0, 48-16*i+i)
			p.setNum(i, 1, 1)
			le.PutUint64(p.elem(i)[8:], uint64(4+i))
			copy(p[64+i:], k)
		}
		list[1] = p
		for i, k := range []string{"b", "c", "d", "e", "f", "g"} {
			list = append(list, leafOf(uint64(7+i), k, 0))
		}
		if bad > 0 {
			list[bad-2].setFlags(4)
		}
		return synth(list...)
	}
	for bad, want := range map[uint64][]string{ // the keys whose paths need the page
		0: {}, 3: {"b", "c", "d", "e", "f", "g"}, 4: {"b", "c", "d", "e", "f", "g"}, 5: {"b", "c", "d", "e", "f", "g"},
		6: {"b", "c", "d", "e", "f", "g"}, 7: {"b", "c"}, 8: {"b", "c", "d"}, 9: {"c", "d", "e"}, 10: {"d", "e", "f"}, 12: {"f", "g"},
	} {
		m, _ := mapOf(t, leaves(bad))
		tree, _, err := m.Bucket([]byte("a"))
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []string{"b", "c", "d", "e", "f", "g"} {
			err := tree.CheckPath([]byte(k))
			if needs := bytes.Contains([]byte(strings.Join(want, "")), []byte(k)); needs != (err != nil) {
				t.Errorf("page %d, key %s: got %v", bad, k, err)
			}
		}
	}
}

// A meta is taken from either page, and refused for what is wrong with it.
func TestMetaOf(t *testing.T) {
	good := base(t)
	txid := le.Uint64(good.meta()[48:])
	for name, c := range map[string]struct {
		do   func(f image) image
		rule string
	}{
		"sound":    {func(f image) image { return f }, ""},
		"checksum": {func(f image) image { f.meta()[60]++; return f }, "checksum"},
		"endian":   {func(f image) image { flip(f.meta()[:4]); return f }, "endian"},
		"number":   {func(f image) image { f.page(uint64(f.chosen())).set(7); return f }, "id"},
		"kind":     {func(f image) image { f.page(uint64(f.chosen())).setFlags(2); return f }, "kind"},
		"short":    {func(f image) image { return f[:8191] }, "short"},
		"none":     {func(f image) image { le.PutUint64(f.meta()[48:], txid+2); f.seal(); return f }, "no meta"},
		"other one": {func(f image) image {
			g := f.clone()
			copy(g, f[4096:8192])
			copy(g[4096:], f[:4096])
			g.page(0).set(0)
			g.page(1).set(1)
			return g
		}, ""},
	} {
		f := c.do(good.clone())
		m, err := pages.MetaOf(f, 4096, txid)
		if c.rule == "" && (err != nil || m.Txid != txid || m.Root != good.root()) || !errors.Is(err, pages.Rules[c.rule]) {
			t.Errorf("%s: got %+v, %v", name, m, err)
		}
	}
	if m := pages.MetaAt(good[:79], 0); !errors.Is(m.Err, pages.Rules["short"]) {
		t.Errorf("short page: %v", m.Err)
	}
	for _, m := range []pages.Meta{{Err: pages.Rules["magic"]}, {PageSize: 100}, {}} {
		if _, err := pages.NewMap(good, m); err == nil {
			t.Errorf("%+v: no error", m)
		}
	}
}
