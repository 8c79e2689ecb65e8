package pages_test

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"testing"

	bolt "go.etcd.io/bbolt"
)

var le = binary.LittleEndian

// An image is a file of 4 KiB pages in memory, to be damaged.
type image []byte

// base makes the file that the rules are broken in. Its buckets are "a" with a
// branch and leaves, "b" that holds a bucket, "big" with overflow, "in" inline and
// "z" that is a leaf and the last one in the root.
func base(t testing.TB) image {
	s := shape{"", bolt.Options{}, []func(*bolt.Tx) error{
		put(0, 300, 40, "tmp"), put(0, 300, 40, "a"), put(0, 30, 50, "b", "sub"), put(0, 2, 9000, "big"),
		put(0, 3, 5, "in"), put(0, 30, 50, "z"),
		func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("tmp")) },
	}}
	return read(t, s.build(t))
}

// page returns the bytes from the page on.
func (f image) page(id uint64) node { return node(f[id<<12:]) }

// chosen is the number of the meta page that bbolt chooses.
func (f image) chosen() int {
	if le.Uint64(f[16+48:]) > le.Uint64(f[4096+16+48:]) {
		return 0
	}
	return 1
}

// meta returns the bytes of the chosen meta, after the page's header.
func (f image) meta() []byte { return f[f.chosen()<<12+16:] }

func (f image) root() uint64     { return le.Uint64(f.meta()[16:]) }
func (f image) freelist() uint64 { return le.Uint64(f.meta()[32:]) }
func (f image) high() uint64     { return le.Uint64(f.meta()[40:]) }

// seal makes the checksums of both metas right.
func (f image) seal() {
	for _, m := range [][]byte{f[16:], f[4096+16:]} {
		h := fnv.New64a()
		h.Write(m[:56])
		le.PutUint64(m[56:], h.Sum64())
	}
}

// value returns what the root has for the bucket, in place.
func (f image) value(name string) []byte {
	p := f.page(f.root())
	for i := range p.count() {
		if k, v := p.leaf(i); string(k) == name {
			return v
		}
	}
	panic(name)
}

// bucket returns the root page of the bucket.
func (f image) bucket(name string) uint64 { return le.Uint64(f.value(name)) }

// ids returns the freelist.
func (f image) ids() []uint64 {
	p := f.page(f.freelist())
	ids := make([]uint64, p.count())
	for i := range ids {
		ids[i] = le.Uint64(p[16+8*i:])
	}
	return ids
}

// setIDs replaces the freelist, which stays in its one page.
func (f image) setIDs(ids []uint64) {
	p := f.page(f.freelist())
	le.PutUint16(p[10:], uint16(len(ids)))
	for i, id := range ids {
		le.PutUint64(p[16+8*i:], id)
	}
}

// A node is the bytes of a branch or a leaf.
type node []byte

func (p node) count() int         { return int(le.Uint16(p[10:])) }
func (p node) set(id uint64)      { le.PutUint64(p, id) }
func (p node) setFlags(n uint16)  { le.PutUint16(p[8:], n) }
func (p node) setCount(n int)     { le.PutUint16(p[10:], uint16(n)) }
func (p node) setOver(n uint32)   { le.PutUint32(p[12:], n) }
func (p node) elem(i int) []byte  { return p[16+16*i:] }
func (p node) num(i, n int) int   { return int(le.Uint32(p.elem(i)[4*n:])) }
func (p node) setNum(i, n, v int) { le.PutUint32(p.elem(i)[4*n:], uint32(v)) }

// leaf returns the key and the value of an element, in place.
func (p node) leaf(i int) (k, v []byte) {
	b := p.elem(i)[p.num(i, 1):]
	k = b[:p.num(i, 2)]
	return k, b[len(k):][:p.num(i, 3)]
}

// branch returns the key and the page of an element, in place.
func (p node) branch(i int) (k, id []byte) {
	return p.elem(i)[p.num(i, 0):][:p.num(i, 1)], p.elem(i)[8:16]
}

// child returns the page of the child i of a branch.
func (p node) child(i int) uint64 { return le.Uint64(p.elem(i)[8:]) }

// one is a branch that has one child.
func one(id uint64, key []byte, child uint64) node {
	p := make(node, 4096)
	p.set(id)
	p.setFlags(1)
	p.setCount(1)
	p.setNum(0, 0, 16)
	p.setNum(0, 1, len(key))
	le.PutUint64(p.elem(0)[8:], child)
	copy(p[32:], key)
	return p
}

// leafOf is a leaf that has one element, which is a bucket if root isn't 0.
func leafOf(id uint64, key string, root uint64) node {
	p := make(node, 4096)
	p.set(id)
	p.setFlags(2)
	p.setCount(1)
	p.setNum(0, 1, 16)
	p.setNum(0, 2, len(key))
	copy(p[32:], key)
	if root > 0 {
		p.setNum(0, 0, 1)
		p.setNum(0, 3, 16)
		le.PutUint64(p[32+len(key):], root)
	}
	return p
}

// synth makes a file without a freelist from its pages, of which the first is
// number 2 and the root.
func synth(list ...node) image {
	f := make(image, 8192)
	for i := range 2 {
		p := f.page(uint64(i))
		p.set(uint64(i))
		p.setFlags(4)
		m := p[16:]
		le.PutUint32(m, 0xED0CDAED)
		le.PutUint32(m[4:], 2)
		le.PutUint32(m[8:], 4096)
		le.PutUint64(m[16:], 2)
		le.PutUint64(m[32:], 1<<64-1)
		le.PutUint64(m[40:], uint64(2+len(list)))
		le.PutUint64(m[48:], uint64(i))
	}
	f.seal()
	for _, p := range list {
		f = append(f, p...)
	}
	return f
}

// clone returns a copy.
func (f image) clone() image { return bytes.Clone(f) }
