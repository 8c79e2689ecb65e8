package pages

import "io"

// maxAhead is how many bytes are read at once where pages are read in order.
const maxAhead = 1 << 16

// A source reads a file by pages.
type source struct {
	r        io.ReaderAt
	pageSize int64
	pages    uint64 // whole pages in the file
	window   []byte // what was read last
	first    uint64 // the first page in window
}

// page returns the page with the number id, which must be less than s.pages. The
// bytes are valid until the next call.
func (s *source) page(id uint64) ([]byte, error) {
	held := uint64(int64(len(s.window)) / s.pageSize)
	if id-s.first >= held {
		n := uint64(1)
		if held > 0 && id == s.first+held {
			n = min(2*held, uint64(maxAhead/s.pageSize), s.pages-id)
		}
		if err := s.fill(id, n); err != nil {
			return nil, err
		}
	}
	at := int64(id-s.first) * s.pageSize
	return s.window[at : at+s.pageSize : at+s.pageSize], nil
}

// fill reads n pages into the window, or if that fails only the first of them.
func (s *source) fill(id, n uint64) error {
	size := int(n) * int(s.pageSize)
	if cap(s.window) < size {
		s.window = make([]byte, size)
	}
	s.window = s.window[:size]
	s.first = id
	err := s.readAt(s.window, int64(id)*s.pageSize)
	if err != nil {
		s.window = s.window[:s.pageSize]
		if n > 1 {
			err = s.readAt(s.window, int64(id)*s.pageSize)
		}
	}
	if err != nil {
		s.window = s.window[:0]
	}
	return err
}

// readAt fills b from the offset off of the file. Its error is a *readError.
func (s *source) readAt(b []byte, off int64) error {
	n, err := s.r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return &readError{err}
}

// bytes returns the size bytes at off of n, from its head where they are there,
// or else read into *buf.
func (s *source) bytes(n *node, off, size int64, buf *[]byte) ([]byte, error) {
	if off+size <= int64(len(n.head)) {
		return n.head[off : off+size : off+size], nil
	}
	if *buf == nil || int64(cap(*buf)) < size {
		*buf = make([]byte, size)
	}
	b := (*buf)[:size]
	return b, s.readAt(b, int64(n.id)*s.pageSize+off)
}

// A readError is an error of the reader, not of what it read.
type readError struct{ err error }

// Error returns the text of the reader's error.
func (e *readError) Error() string { return e.err.Error() }

// Unwrap returns the reader's error.
func (e *readError) Unwrap() error { return e.err }
