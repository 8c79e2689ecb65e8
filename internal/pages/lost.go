package pages

import "io"

// Lost calls fn for each entry with a value on a leaf that no tree has and the
// freelist does not name: it was cut off by damage above it. Of such a page it is
// not known to which bucket it belongs. meta is as in [Walk]. The report is that of
// a Walk; if it has no pages of a freelist, old pages can't be told from those that
// were cut off, and there are no calls.
//
// What was said of entries in a Walk holds here too. The slices are valid until fn
// returns. Lost returns the error of fn, at once.
func Lost(r io.ReaderAt, size int64, meta int, fn func(key, value []byte) error) (Report, error) {
	s := scan{rep: Report{Meta: -1}, src: source{r: r}}
	s.fn = func([][]byte, []byte, []byte) error { return nil }
	err := s.metas(size, meta&1)
	if err == nil && s.rep.Meta >= 0 {
		err = s.run()
	}
	if err != nil || s.rep.Freelist == 0 {
		return s.rep, err
	}
	var ids []uint64 // as load makes pages used
	for from, to := range gaps(&s.used, &s.free, s.hwm) {
		for id := from; id <= to; id++ {
			ids = append(ids, id)
		}
	}
	for _, id := range ids {
		if n, err := s.load(id); err == nil && !n.branch {
			if err := s.values(&n, fn); err != nil {
				return s.rep, err
			}
		}
	}
	return s.rep, nil
}

// values calls fn for each entry with a value that lies within the leaf.
func (s *scan) values(n *node, fn func(key, value []byte) error) error {
	for i := range n.likely() {
		e := n.elem(i)
		if e.flags != 0 || !n.holds(&e) {
			continue
		}
		key, err := s.src.bytes(n, e.off, e.key, &s.keys[0])
		if err != nil {
			continue // the file can't be read there
		}
		value, err := s.src.bytes(n, e.off+e.key, e.value, &s.data)
		if err != nil {
			continue
		}
		if err := fn(key, value); err != nil {
			return err
		}
	}
	return nil
}
