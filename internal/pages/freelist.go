package pages

import (
	"errors"
	"fmt"
)

// idSize is the size of a page number in a freelist.
const idSize = 8

// freelist reads the freelist at the page id.
func (s *scan) freelist(id uint64) error {
	err := s.readFreelist(id)
	if err == nil {
		return nil
	}
	s.skipped = true
	return s.note(id, nil, nil, nil, err)
}

// readFreelist reads the freelist at the page id. Its error is a finding, or one
// of the reader.
func (s *scan) readFreelist(id uint64) error {
	if id < firstPage || id >= s.hwm {
		return errBounds
	}
	head, err := s.src.page(id)
	if err != nil {
		return err
	}
	h := headerOf(head)
	switch {
	case h.flags != freelistPage:
		return fmt.Errorf("%w: %#x", errKind, h.flags)
	case h.id != id:
		return fmt.Errorf("%w: %d", errID, h.id)
	case uint64(h.overflow) >= s.hwm-id:
		return fmt.Errorf("%w: %d more", errOverflow, h.overflow)
	}
	at, count, err := s.freeCount(h, head)
	if err != nil {
		return err
	}
	pages := uint64(h.overflow) + 1
	if err := s.freeIDs(int64(id)*s.src.pageSize+at, count, id, id+pages); err != nil {
		return err
	}
	for i := range pages {
		s.used.add(id + i)
	}
	s.rep.Freelist = pages
	return nil
}

// freeCount returns where in its page the first number of the freelist is and how
// many there are, which the pages that it takes have room for.
func (s *scan) freeCount(h header, head []byte) (at int64, count uint64, err error) {
	at, count = headerSize, uint64(h.count)
	if h.count == manyFree {
		count = le.Uint64(head[headerSize:])
		at += idSize
	}
	pages := uint64(h.overflow) + 1
	size := uint64(s.src.pageSize)
	bytes := uint64(at) + count*idSize // not more than a file's if count isn't
	// bbolt takes pages for all that is free before it takes them, one number for
	// a count, and a page more than that makes.
	most := (headerSize+idSize+(count+pages)*idSize)/size + 1
	if count > s.hwm || h.count == manyFree && count < manyFree || bytes > pages*size || pages > most {
		return 0, 0, fmt.Errorf("%w: %d in %d pages", errFreeCount, count, pages)
	}
	return at, count, nil
}

// freeIDs reads count page numbers at the offset of the file. None may be of the
// freelist's own pages, which are those from own to below end.
func (s *scan) freeIDs(at int64, count, own, end uint64) error {
	last := uint64(firstPage - 1)
	buf := make([]byte, min(count*idSize, maxAhead))
	for count > 0 {
		b := buf[:min(uint64(len(buf)), count*idSize)]
		if err := s.src.readAt(b, at); err != nil {
			return err
		}
		at += int64(len(b))
		count -= uint64(len(b) / idSize)
		for ; len(b) > 0; b = b[idSize:] {
			id := le.Uint64(b)
			switch {
			case id < firstPage || id >= s.hwm:
				return fmt.Errorf("%w: %d", errFreeID, id)
			case id <= last:
				return fmt.Errorf("%w: %d after %d", errFreeOrder, id, last)
			case id >= own && id < end:
				return fmt.Errorf("%w: %d", errFree, id)
			}
			if !s.noTrees {
				s.free.add(id)
			}
			last = id
		}
	}
	return nil
}

// An idList is the page numbers of a freelist, as the file has them.
type idList []byte

func (l idList) len() int { return len(l) / idSize }

func (l idList) at(i int) uint64 { return le.Uint64(l[i*idSize:]) }

// rank returns how many of the numbers, which must ascend, are less than id.
func (l idList) rank(id uint64) int {
	low, high := 0, l.len()
	for low < high {
		mid := int(uint(low+high) / 2)
		if l.at(mid) < id {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// errNoFreelist says that there is none that can be read in its place.
var errNoFreelist = errors.New("no freelist where the meta page has it")

// freelistAt returns the freelist of m.
func freelistAt(data []byte, m Meta) (idList, error) {
	size := uint64(m.PageSize)
	if m.Freelist < firstPage || m.Freelist >= min(m.HighWater, uint64(len(data))/size) {
		return nil, errNoFreelist
	}
	b := data[m.Freelist*size:]
	h := headerOf(b)
	count, at := uint64(h.count), uint64(headerSize)
	if h.count == manyFree {
		count, at = le.Uint64(b[headerSize:]), headerSize+idSize
	}
	if h.id != m.Freelist || h.flags != freelistPage || count > uint64(len(b))/idSize || at+count*idSize > uint64(len(b)) {
		return nil, errNoFreelist
	}
	return idList(b[at : at+count*idSize]), nil
}

// freePages returns the freelist of m, its own pages, and the runs of those that it names.
func freePages(data []byte, m Meta) (list idList, own Run, free []Run, err error) {
	if list, err = freelistAt(data, m); err != nil {
		return nil, Run{}, nil, err
	}
	own = Run{m.Freelist, uint64(headerOf(data[m.Freelist*uint64(m.PageSize):]).overflow) + 1}
	if own.Count > m.HighWater-own.First {
		return nil, Run{}, nil, fmt.Errorf("%w: %d more", errOverflow, own.Count-1)
	}
	last := uint64(firstPage - 1)
	for i := range list.len() {
		id := list.at(i)
		switch {
		case id <= last:
			return nil, Run{}, nil, fmt.Errorf("%w: %d after %d", errFreeOrder, id, last)
		case id >= m.HighWater:
			return nil, Run{}, nil, fmt.Errorf("%w: %d", errFreeID, id)
		case id-own.First < own.Count:
			return nil, Run{}, nil, fmt.Errorf("%w: %d", errFree, id)
		}
		free = appendRun(free, Run{id, 1})
		last = id
	}
	return list, own, free, nil
}
