package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"
)

// An input is what a command reads: a file or stdin, which is unpacked if its name
// says that it is packed.
type input struct {
	name  string // for errors
	path  string // of what can be opened any number of times
	stdin io.Reader
	spool string // a temporary file, to be removed
}

// newInput returns the input of that name; "-" or none stands for stdin.
func newInput(cmd *cobra.Command, name string) *input {
	if name == "" || name == "-" {
		return &input{name: "stdin", stdin: &patientReader{ctx: cmd.Context(), r: cmd.InOrStdin()}}
	}
	return &input{name: name, path: name}
}

// A patientReader reads from who may never write, until its context ends.
type patientReader struct {
	ctx  context.Context
	r    io.Reader
	buf  []byte
	came chan readBytes // from the read that is under way; nil if none is
	rest readBytes
}

// readBytes is what a Read returns.
type readBytes struct {
	b   []byte
	err error
}

// Read implements [io.Reader].
func (p *patientReader) Read(b []byte) (int, error) {
	if len(p.rest.b) == 0 && p.rest.err == nil {
		if p.buf == nil {
			p.buf = make([]byte, 64<<10)
		}
		if p.came == nil {
			p.came = make(chan readBytes, 1)
			go func(came chan<- readBytes) {
				n, err := p.r.Read(p.buf)
				came <- readBytes{p.buf[:n], err}
			}(p.came)
		}
		select {
		case p.rest = <-p.came:
			p.came = nil
		case <-p.ctx.Done():
			return 0, p.ctx.Err()
		}
	}
	n := copy(b, p.rest.b)
	if p.rest.b = p.rest.b[n:]; len(p.rest.b) > 0 || n > 0 && p.rest.err != nil {
		return n, nil
	}
	return n, p.rest.err
}

// keep makes an input one that can be opened twice: stdin goes to a temporary file.
func (in *input) keep() error {
	if in.stdin == nil {
		return nil
	}
	f, err := os.CreateTemp("", "userdata-import-*")
	if err != nil {
		return err
	}
	in.spool, in.path = f.Name(), f.Name()
	_, err = io.Copy(f, in.stdin)
	in.stdin = nil
	return errors.Join(err, f.Close())
}

// remove removes the temporary file, if there is one.
func (in *input) remove() {
	if in.spool != "" {
		os.Remove(in.spool)
	}
}

// open begins to read.
func (in *input) open() (io.ReadCloser, error) {
	if in.stdin != nil {
		return io.NopCloser(in.stdin), nil
	}
	f, err := os.Open(in.path)
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(filepath.Ext(in.path), ".zst") {
		return f, nil
	}
	dec, err := zstd.NewReader(f, zstd.WithDecoderMaxMemory(1<<30))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &unpacked{dec.IOReadCloser(), f}, nil
}

// unpacked is a file as it was before it was packed.
type unpacked struct {
	io.ReadCloser
	file *os.File
}

// Close closes both.
func (u *unpacked) Close() error { return errors.Join(u.ReadCloser.Close(), u.file.Close()) }

// formatOf returns the format that a file's name ends in, or "".
func formatOf(name string) string {
	ext := strings.ToLower(filepath.Ext(name))
	if ext == ".zst" {
		ext = strings.ToLower(filepath.Ext(name[:len(name)-len(ext)]))
	}
	switch ext {
	case ".json", ".csv", ".parquet", ".jsonl", ".md", ".msgpack":
		return ext[1:]
	case ".ndjson":
		return "jsonl"
	case ".tsv", ".tab":
		return "tsv"
	}
	return ""
}

// A place is where something is in an input: line and column count from 1, columns
// in bytes, as in other tools.
type place struct{ line, column int }

// A badInput is an error in what is read, with its place.
type badInput struct {
	name string
	place
	err error
}

// Error begins as compilers' messages do, so that editors find the place.
func (e *badInput) Error() string {
	if e.line == 0 {
		return fmt.Sprintf("%s: %v", printable(e.name), e.err)
	}
	return fmt.Sprintf("%s:%d:%d: %v", printable(e.name), e.line, e.column, e.err)
}

// Unwrap returns the cause.
func (e *badInput) Unwrap() error { return e.err }

// A textReader hands on text in UTF-8, without the mark that some programs put
// before it, and keeps track of lines. What is no UTF-8 is a *badInput.
type textReader struct {
	r     io.Reader
	name  string
	begun bool
	tail  []byte // the first bytes of a rune that is not complete

	passed int64   // bytes handed on
	lines  []int64 // where lines begin, those not passed for good
	before int     // how many lines begin before these
	err    error
}

func newTextReader(r io.Reader, name string) *textReader {
	return &textReader{r: r, name: name, lines: []int64{0}}
}

// Read implements [io.Reader].
func (t *textReader) Read(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	if len(p) < 2*utf8.UTFMax {
		return 0, io.ErrShortBuffer
	}
	n := copy(p, t.tail)
	m, err := t.r.Read(p[n:])
	n += m
	if !t.begun && (n >= 3 || err != nil) {
		t.begun = true
		if bytes.HasPrefix(p[:n], []byte("\ufeff")) {
			n = copy(p, p[3:n])
		}
	}
	t.tail = t.tail[:0]
	if err == nil { // what may be the beginning of a rune waits for the rest
		keep := n
		if t.begun {
			keep = incomplete(p[:n])
		} else {
			keep = 0
		}
		t.tail = append(t.tail, p[keep:n]...)
		n = keep
	}
	if !utf8.Valid(p[:n]) {
		return 0, t.invalid(p[:n])
	}
	t.count(p[:n])
	t.err = err
	if n > 0 {
		err = nil
	}
	return n, err
}

// incomplete returns where the last rune begins if it may be incomplete, or the
// length.
func incomplete(b []byte) int {
	for i := len(b) - 1; i >= max(0, len(b)-utf8.UTFMax); i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return i
			}
			break
		}
	}
	return len(b)
}

// count notes where lines begin.
func (t *textReader) count(b []byte) {
	for i := 0; ; {
		j := bytes.IndexByte(b[i:], '\n')
		if j < 0 {
			break
		}
		i += j + 1
		t.lines = append(t.lines, t.passed+int64(i))
	}
	t.passed += int64(len(b))
}

// invalid returns the error for bytes that are no UTF-8, with the place of the first.
func (t *textReader) invalid(b []byte) error {
	i := 0
	for i < len(b) {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		i += size
	}
	bad := b[i]
	t.count(b[:i])
	t.err = &badInput{t.name, t.place(t.passed), fmt.Errorf("the byte 0x%02x is not UTF-8: convert the file first, as with 'iconv -t UTF-8'", bad)}
	return t.err
}

// place returns the place of an offset.
func (t *textReader) place(offset int64) place {
	i := sort.Search(len(t.lines), func(i int) bool { return t.lines[i] > offset })
	if i == 0 {
		return place{t.before + 1, 1}
	}
	return place{t.before + i, int(offset-t.lines[i-1]) + 1}
}

// pass says that nobody will ask for places before an offset.
func (t *textReader) pass(offset int64) {
	i := sort.Search(len(t.lines), func(i int) bool { return t.lines[i] > offset })
	if i > 4096 {
		t.before += i - 1
		t.lines = slices.Clone(t.lines[i-1:])
	}
}

// A field is what an input has for one column of a record.
type field struct {
	name string
	text []byte // as it is there: JSON, or a cell's text
	place
}

// A record is what an input has for one record.
type record struct {
	place
	fields []field
}

// clone returns a copy that stays.
func (r *record) clone() *record {
	c := &record{r.place, slices.Clone(r.fields)}
	for i := range c.fields {
		c.fields[i].text = bytes.Clone(c.fields[i].text)
	}
	return c
}

// A recordReader reads the records of an input one by one, and ends with io.EOF. A
// record is good until the next is read.
type recordReader interface {
	next() (*record, error)
}
