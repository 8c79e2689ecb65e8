package userdata

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// sortMemory is how many bytes of entries a sorter holds in memory.
const sortMemory = 16 << 20

// A sorter puts the entries of an index in order. What does not fit in memory it
// keeps in sorted runs in a temporary file, which only the user can read. Close
// frees it.
type sorter struct {
	room  string // the folder for the file; "" to keep all in memory
	limit int
	buf   []byte  // entries: the key's length, the value's, the key, the value
	at    []int   // where each begins
	runs  []int64 // where each run in the file ends

	file    *os.File
	removed bool // the file has no name any more
}

func newSorter(room string, limit int) *sorter { return &sorter{room: room, limit: limit} }

// add takes in an entry, which it copies.
func (s *sorter) add(e indexEntry) error {
	s.at = append(s.at, len(s.buf))
	s.buf = binary.AppendUvarint(s.buf, uint64(len(e.key)))
	s.buf = binary.AppendUvarint(s.buf, uint64(len(e.value)))
	s.buf = append(append(s.buf, e.key...), e.value...)
	if s.room != "" && len(s.buf)+8*len(s.at) >= s.limit {
		return s.spill()
	}
	return nil
}

// parseEntry returns the entry at the beginning of b, which it shares, and its length.
func parseEntry(b []byte) (indexEntry, int) {
	k, n := binary.Uvarint(b)
	v, m := binary.Uvarint(b[n:])
	from := n + m
	mid := from + int(k)
	end := mid + int(v)
	return indexEntry{key: b[from:mid:mid], value: b[mid:end:end]}, end
}

// compare orders entries by their keys, and those of one key by their values.
func (e indexEntry) compare(o indexEntry) int {
	if c := bytes.Compare(e.key, o.key); c != 0 {
		return c
	}
	return bytes.Compare(e.value, o.value)
}

// sort puts the entries in memory in order.
func (s *sorter) sort() {
	slices.SortFunc(s.at, func(a, b int) int {
		x, _ := parseEntry(s.buf[a:])
		y, _ := parseEntry(s.buf[b:])
		return x.compare(y)
	})
}

// spill writes the entries in memory to the file, as a run.
func (s *sorter) spill() error {
	if s.file == nil {
		f, err := os.CreateTemp(s.room, ".userdata-sort-*")
		if err != nil {
			return fmt.Errorf("userdata: sort index entries: %w", err)
		}
		s.file = f
		s.removed = os.Remove(f.Name()) == nil // where that can't be done to an open file, close does it
	}
	s.sort()
	w := bufio.NewWriterSize(s.file, 1<<16)
	end := int64(0)
	if n := len(s.runs); n > 0 {
		end = s.runs[n-1]
	}
	for _, at := range s.at {
		_, size := parseEntry(s.buf[at:])
		end += int64(size)
		if _, err := w.Write(s.buf[at : at+size]); err != nil {
			return fmt.Errorf("userdata: sort index entries: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("userdata: sort index entries: %w", err)
	}
	s.runs = append(s.runs, end)
	s.buf, s.at = s.buf[:0], s.at[:0]
	return nil
}

// each calls fn with each entry, in order. An entry's slices are fn's own.
func (s *sorter) each(fn func(e indexEntry) error) error {
	if s.file == nil {
		s.sort()
		for _, at := range s.at {
			e, _ := parseEntry(s.buf[at:])
			if err := fn(indexEntry{bytes.Clone(e.key), bytes.Clone(e.value)}); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.spill(); err != nil {
		return err
	}
	return s.merge(fn)
}

// merge reads all runs at once, and calls fn with the least entry each time.
func (s *sorter) merge(fn func(e indexEntry) error) error {
	var m mergeHeap
	from := int64(0)
	for _, end := range s.runs {
		run := &sortedRun{r: bufio.NewReaderSize(io.NewSectionReader(s.file, from, end-from), 1<<16)}
		from = end
		switch more, err := run.next(); {
		case err != nil:
			return err
		case more:
			m = append(m, run)
		}
	}
	heap.Init(&m)
	for len(m) > 0 {
		if err := fn(m[0].entry); err != nil {
			return err
		}
		more, err := m[0].next()
		if err != nil {
			return err
		}
		if more {
			heap.Fix(&m, 0)
		} else {
			heap.Pop(&m)
		}
	}
	return nil
}

// close removes the file.
func (s *sorter) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if !s.removed {
		err = errors.Join(err, os.Remove(s.file.Name()))
	}
	return err
}

// A sortedRun is a run of a sorter that is being read.
type sortedRun struct {
	r     *bufio.Reader
	entry indexEntry
}

// next reads the run's next entry, and reports whether there is one.
func (r *sortedRun) next() (bool, error) {
	k, err := binary.ReadUvarint(r.r)
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	v, err2 := binary.ReadUvarint(r.r)
	if err := errors.Join(err, err2); err != nil {
		return false, fmt.Errorf("userdata: sort index entries: %w", err)
	}
	b := make([]byte, k+v)
	if _, err := io.ReadFull(r.r, b); err != nil {
		return false, fmt.Errorf("userdata: sort index entries: %w", err)
	}
	r.entry = indexEntry{key: b[:k:k], value: b[k:]}
	return true, nil
}

// A mergeHeap has the run with the least entry first. It implements [heap.Interface].
type mergeHeap []*sortedRun

func (m mergeHeap) Len() int           { return len(m) }
func (m mergeHeap) Less(i, j int) bool { return m[i].entry.compare(m[j].entry) < 0 }
func (m mergeHeap) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *mergeHeap) Push(x any)        { *m = append(*m, x.(*sortedRun)) }
func (m *mergeHeap) Pop() any {
	old := *m
	last := old[len(old)-1]
	*m = old[:len(old)-1]
	return last
}
