package main

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"
)

// A Note is the record that every peer keeps, about 150 bytes when it is encoded.
// Each peer reads its own tags.
type Note struct {
	ID      string    `userdata:"id,key,size=32" boltholdKey:"ID" storm:"id" gorm:"primaryKey;size:32" msgpack:"id"`
	Text    string    `userdata:"text" msgpack:"text"`
	Updated time.Time `userdata:"updated,index" bstore:"index" boltholdIndex:"Updated" storm:"index" gorm:"index" msgpack:"updated"`
	Count   int64     `userdata:"count" msgpack:"count"`
}

// counts is how many values Count has to begin with: each is in one record of so
// many, spread at random.
const counts = 1000

// start is the time of the earliest note, and step is what lies between two.
var start = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

const step = time.Minute

// timeOf returns the time of the k-th note in order of time.
func timeOf(k int) time.Time { return start.Add(time.Duration(k) * step) }

// mix spreads the bits of x. No two x have one result.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// words are what texts are made of.
var words = strings.Fields(`the of and to in is you that it he was for on are as with his they at be this have from or
	one had by word but not what all were we when your can said there use an each which she do how their if will up
	other about out many then them these so some her would make like him into time has look two more write go see`)

// textOf returns 100 to 110 bytes of text.
func textOf(i int) string {
	var b strings.Builder
	b.Grow(112)
	for x := mix(uint64(i) + 1<<40); b.Len() < 100; x = mix(x + 1) {
		b.WriteString(words[x%uint64(len(words))])
		b.WriteByte(' ')
	}
	return b.String()
}

// A corpus is the n notes that a file begins with, and those that are added
// later. Keys and times are in different orders, and both differ from that of
// the notes' numbers.
type corpus struct {
	n      int
	stride int
	byTime []int32 // the numbers of the n notes, in order of time
}

// newCorpus returns the corpus of n notes.
func newCorpus(n int) *corpus {
	c := &corpus{n: n, stride: 7_368_787, byTime: make([]int32, n)}
	for n%c.stride == 0 { // it is a prime: else every place is reached once
		c.stride = 7_368_791
	}
	for i := range n {
		c.byTime[c.place(i)] = int32(i)
	}
	return c
}

// place returns where note i is in the order of time.
func (c *corpus) place(i int) int {
	if i >= c.n {
		return i
	}
	return int(uint64(i) * uint64(c.stride) % uint64(c.n))
}

// key returns the key of note i: 16 hexadecimal digits in no order.
func (c *corpus) key(i int) string { return fmt.Sprintf("%016x", mix(uint64(i))) }

// note returns note i as it is first written.
func (c *corpus) note(i int) *Note {
	return &Note{ID: c.key(i), Text: textOf(i), Updated: timeOf(c.place(i)), Count: int64(mix(uint64(i)+1<<41) % counts)}
}

// ordered returns note i with a key behind all others, in the order of i.
func (c *corpus) ordered(i int) *Note {
	n := c.note(i)
	n.ID = fmt.Sprintf("g%015d", i)
	return n
}

// numbersByKey returns the numbers of the n notes in the order of their keys.
func (c *corpus) numbersByKey() []int32 {
	numbers := make([]int32, c.n)
	for i := range numbers {
		numbers[i] = int32(i)
	}
	slices.SortFunc(numbers, func(a, b int32) int {
		if mix(uint64(a)) < mix(uint64(b)) {
			return -1
		}
		return 1
	})
	return numbers
}

// A tally is the sum of some notes: two lists of notes have one tally if they
// hold the same, in whatever order.
type tally struct {
	Notes int
	Sum   int64 // of Count
	Hash  uint64
}

// add adds a note, every byte of it.
func (t *tally) add(n *Note) {
	t.count(n)
	t.Hash += hashOf(n)
}

// remove takes a note away again.
func (t *tally) remove(n *Note) {
	t.Notes--
	t.Sum -= n.Count
	t.Hash -= hashOf(n)
}

// count adds what is cheap to add, while the clock runs.
func (t *tally) count(n *Note) {
	t.Notes++
	t.Sum += n.Count
}

// counted returns the tally without its hash.
func (t tally) counted() tally { return tally{Notes: t.Notes, Sum: t.Sum} }

// hashOf returns a hash of all that a note holds.
func hashOf(n *Note) uint64 {
	h := fnv.New64a()
	var b [8]byte
	for _, s := range []string{n.ID, n.Text} {
		binary.LittleEndian.PutUint64(b[:], uint64(len(s)))
		h.Write(b[:])
		h.Write([]byte(s))
	}
	for _, v := range []int64{n.Updated.UnixNano(), n.Count} {
		binary.LittleEndian.PutUint64(b[:], uint64(v))
		h.Write(b[:])
	}
	return mix(h.Sum64())
}

// A model says what a peer's file must hold, after what was done to it.
type model struct {
	*corpus
	next  int           // the number of the next note to be added
	bumps map[int]int64 // what changes have added to the Count of the n first notes
	total tally         // of everything
}

// newModel returns the model of a file that has the corpus's n notes, whose tally
// is total.
func newModel(c *corpus, total tally) *model {
	return &model{corpus: c, next: c.n, bumps: map[int]int64{}, total: total}
}

// tally returns the tally of the corpus's n notes.
func (c *corpus) tally() (t tally) {
	for i := range c.n {
		t.add(c.note(i))
	}
	return t
}

// now returns note i, one of the first n, as it must be now.
func (m *model) now(i int) *Note {
	n := m.note(i)
	n.Count += m.bumps[i]
	return n
}

// bump notes down that one was added to the Count of note i.
func (m *model) bump(i int) {
	m.total.remove(m.now(i))
	m.bumps[i]++
	m.total.add(m.now(i))
}

// between returns the tally of the notes from place k to before place k+many in
// the order of time.
func (m *model) between(k, many int) (t tally) {
	for _, i := range m.byTime[k : k+many] {
		t.add(m.now(int(i)))
	}
	return t
}
