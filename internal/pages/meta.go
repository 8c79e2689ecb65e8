package pages

import (
	"fmt"
	"io"
	"math"
)

// inspect is Check if fn is nil, and Walk if it isn't, from the given meta page,
// or from the one that bbolt would choose if that is -1.
func inspect(r io.ReaderAt, size int64, meta int, fn visitor) (Report, error) {
	s := scan{rep: Report{Meta: -1}, fn: fn}
	s.src = source{r: r}
	err := s.metas(size, meta)
	if err == nil && s.rep.Meta >= 0 {
		err = s.run()
	}
	return s.rep, err
}

// metas reads both meta pages and decides which to follow: the given one, or if
// that is -1 the one that bbolt would choose. Report.Meta stays -1 if it is not
// to be followed.
func (s *scan) metas(size int64, meta int) error {
	pageSize, err := s.findPageSize(size)
	if err != nil {
		return err
	}
	if pageSize == 0 {
		s.rep.Metas[1].Err = s.rep.Metas[0].Err
		return s.note(0, nil, nil, nil, fmt.Errorf("%w: %w", errNoMeta, s.rep.Metas[0].Err))
	}
	if !plausible(pageSize) {
		return s.note(0, nil, nil, nil, fmt.Errorf("%w: %d", errPageSize, pageSize))
	}
	s.rep.PageSize = int(pageSize)
	s.src.pageSize = int64(pageSize)
	s.src.pages = uint64(size) / uint64(pageSize)
	if s.src.pages < 2 {
		return s.note(0, nil, nil, nil, errShort)
	}
	var at [2]header
	for i := range s.rep.Metas {
		if at[i], s.rep.Metas[i], err = s.readMeta(int64(i) * s.src.pageSize); err != nil {
			return err
		}
	}
	if meta < 0 {
		meta = choose(&s.rep.Metas)
	}
	for i, h := range at {
		if s.rep.Metas[i].Err != nil {
			continue
		}
		if err := checkHeader(uint64(i), h); err != nil {
			s.note(uint64(i), nil, nil, nil, err) // is a finding, and no error
		}
	}
	return s.follow(meta)
}

// checkHeader checks the header of the valid meta page id. Its error is a finding.
func checkHeader(id uint64, h header) error {
	switch {
	case h.id != id:
		return fmt.Errorf("%w: %d", errID, h.id)
	case h.flags != metaPage:
		return fmt.Errorf("%w: %#x", errKind, h.flags)
	case h.count != 0 || h.overflow != 0:
		return errHeader
	}
	return nil
}

// findPageSize returns the size of a page as bbolt finds it: that which the first
// valid meta page tells, at the beginning of the file or at one of the places
// where the second one may be.
//
// If there is none valid, the first one will do that would be but for its checksum
// and tells a page size that fits its place, or else it is 0.
func (s *scan) findPageSize(size int64) (uint32, error) {
	places := []int64{}
	if size >= minReadable {
		places = append(places, 0)
	}
	for i := 0; i <= metaScanLast && minPageSize<<i < size-minPageSize; i++ {
		places = append(places, minPageSize<<i)
	}
	if len(places) == 0 {
		s.rep.Metas[0].Err = errShort
		return 0, nil
	}
	likely := uint32(0)
	for _, place := range places {
		_, m, err := s.readMeta(place)
		if err != nil {
			return 0, err
		}
		if place == 0 {
			s.rep.Metas[0] = m
		}
		if m.Err == nil {
			return m.PageSize, nil
		}
		fits := plausible(m.PageSize) && (place == 0 || place == int64(m.PageSize))
		if likely == 0 && m.Err == errChecksum && fits {
			likely = m.PageSize
		}
	}
	return likely, nil
}

// plausible reports whether a page may have this size.
func plausible(size uint32) bool {
	return size >= minPageSize && size <= maxPageSize && size&(size-1) == 0
}

// readMeta reads the header and the meta of the page at the offset. In a Walk a
// meta that can't be read is one with that error.
func (s *scan) readMeta(at int64) (header, Meta, error) {
	var b [headerSize + metaSize]byte
	err := s.src.readAt(b[:], at)
	if err != nil && s.fn != nil {
		return header{}, Meta{Err: err}, nil
	}
	return headerOf(b[:]), metaOf(b[headerSize:]), err
}

// choose returns the number of the meta that bbolt would choose.
func choose(m *[2]Meta) int {
	newer := 0
	if m[1].Txid > m[0].Txid {
		newer = 1
	}
	if m[newer].Err != nil {
		return 1 - newer
	}
	return newer
}

// follow checks the meta i and makes it the one to follow if it is valid, or in a
// Walk if only its checksum is wrong.
func (s *scan) follow(i int) error {
	m := &s.rep.Metas[i]
	if m.Err != nil && (s.fn == nil || m.Err != errChecksum) {
		return s.note(uint64(i), nil, nil, nil, fmt.Errorf("%w: %w", errNoMeta, m.Err))
	}
	s.rep.Meta = i
	s.hwm = min(m.HighWater, s.src.pages)
	if err := s.checkMeta(m); err != nil {
		return s.note(uint64(i), nil, nil, nil, err)
	}
	return nil
}

// checkMeta checks the numbers of the meta m. Its error is a finding.
func (s *scan) checkMeta(m *Meta) error {
	switch {
	case m.Err != nil:
		return m.Err
	case int64(m.PageSize) != s.src.pageSize:
		return fmt.Errorf("%w: %d and %d", errPageSize, s.src.pageSize, m.PageSize)
	case m.HighWater > s.src.pages:
		return fmt.Errorf("%w: %d and %d", errHighWater, m.HighWater, s.src.pages)
	case m.Txid > math.MaxInt64:
		return fmt.Errorf("%w: %d", errTxid, m.Txid)
	}
	return nil
}
