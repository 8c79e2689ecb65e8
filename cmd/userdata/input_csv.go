package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A cellReader reads comma or tab separated values, quoted as in RFC 4180. The first
// line has the names of the columns, unless they are given.
type cellReader struct {
	text    *textReader
	csv     *csv.Reader
	columns []string
	record  record
}

// newCellReader returns a reader of cells, which has read the line of names.
func newCellReader(r io.Reader, name string, comma rune, columns []string) (*cellReader, error) {
	text := newTextReader(r, name)
	c := &cellReader{text: text, csv: csv.NewReader(&quotedReturns{r: text}), columns: columns}
	c.csv.Comma, c.csv.ReuseRecord = comma, true
	if columns != nil {
		c.csv.FieldsPerRecord = len(columns)
		return c, checkHeader(text.name, place{}, columns)
	}
	header, err := c.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, &badInput{name, place{}, errors.New("it is empty: the first line names the columns")}
	}
	if err != nil {
		return nil, c.fault(err)
	}
	for _, h := range header {
		c.columns = append(c.columns, restoreReturns(h))
	}
	line, column := c.csv.FieldPos(0)
	return c, checkHeader(text.name, place{line, column}, c.columns)
}

// checkHeader refuses columns that can't be told apart.
func checkHeader(name string, at place, columns []string) error {
	for i, c := range columns {
		switch {
		case c == "":
			return &badInput{name, at, fmt.Errorf("column %d has no name", i+1)}
		case slices.Contains(columns[:i], c):
			return &badInput{name, at, fmt.Errorf("two columns are called %q", printable(c))}
		}
	}
	return nil
}

// next implements [recordReader].
func (c *cellReader) next() (*record, error) {
	c.text.pass(c.text.passed)
	cells, err := c.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if errors.Is(err, csv.ErrFieldCount) {
		line, column := c.csv.FieldPos(0)
		return nil, &badInput{c.text.name, place{line, column}, fmt.Errorf("this line has %s, and there are %s", plural(len(cells), "value"), plural(len(c.columns), "column"))}
	}
	if err != nil {
		return nil, c.fault(err)
	}
	c.record.fields = c.record.fields[:0]
	for i, cell := range cells {
		line, column := c.csv.FieldPos(i)
		c.record.fields = append(c.record.fields, field{c.columns[i], []byte(restoreReturns(cell)), place{line, column}})
	}
	c.record.place = c.record.fields[0].place
	return &c.record, nil
}

// fault returns an error of the reader with its place.
func (c *cellReader) fault(err error) error {
	var parse *csv.ParseError
	if !errors.As(err, &parse) {
		return err
	}
	switch {
	case errors.Is(err, csv.ErrBareQuote):
		err = errors.New(`a value with " in it must be in quotes, and have "" for it`)
	case errors.Is(err, csv.ErrQuote):
		err = errors.New(`the quotes of a value do not end where it ends`)
	default:
		err = parse.Err
	}
	return &badInput{c.text.name, place{parse.Line, parse.Column}, err}
}

// lostReturn stands for a carriage return that encoding/csv would take away. It is
// in no UTF-8.
const lostReturn = 0xff

// quotedReturns hides carriage returns before the ends of lines inside quotes from
// encoding/csv, which would make "\r\n" of a value into "\n".
type quotedReturns struct {
	r      io.Reader
	quoted bool
	held   bool // a carriage return in quotes that the next byte decides on
	buf    []byte
	rest   []byte
	err    error
}

// Read implements [io.Reader].
func (q *quotedReturns) Read(p []byte) (int, error) {
	for len(q.rest) == 0 {
		if q.err != nil {
			return 0, q.err
		}
		q.fill()
	}
	n := copy(p, q.rest)
	q.rest = q.rest[n:]
	return n, nil
}

// fill reads the next bytes.
func (q *quotedReturns) fill() {
	if q.buf == nil {
		q.buf = make([]byte, 32<<10)
	}
	b := q.buf[1:]
	n, err := q.r.Read(b)
	q.err = err
	b = b[:n]
	if q.held && (n > 0 || err != nil) {
		q.held = false
		b = q.buf[:n+1]
		b[0] = '\r'
	}
	for i := 0; i < len(b); i++ {
		j := bytes.IndexAny(b[i:], "\"\r")
		if j < 0 {
			break
		}
		i += j
		switch {
		case b[i] == '"':
			q.quoted = !q.quoted
		case q.quoted && i+1 < len(b) && b[i+1] == '\n':
			b[i] = lostReturn
		case q.quoted && i+1 == len(b) && err == nil:
			q.held = true
			b = b[:i]
		}
	}
	q.rest = b
}

// restoreReturns gives a value its carriage returns back.
func restoreReturns(s string) string {
	if strings.IndexByte(s, lostReturn) < 0 {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if c == lostReturn {
			b[i] = '\r'
		}
	}
	return string(b)
}
