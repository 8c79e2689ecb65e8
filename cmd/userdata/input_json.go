package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// An objectReader reads objects of JSON: one after the other, as in JSON lines, or as
// the elements of an array.
type objectReader struct {
	text   *textReader
	dec    *json.Decoder
	list   bool // inside the array
	record record
}

func newObjectReader(r io.Reader, name string) *objectReader {
	text := newTextReader(r, name)
	return &objectReader{text: text, dec: json.NewDecoder(text)}
}

// next implements [recordReader].
func (o *objectReader) next() (*record, error) {
	o.text.pass(o.dec.InputOffset())
	for {
		token, err := o.dec.Token()
		switch {
		case errors.Is(err, io.EOF) && !o.list:
			return nil, io.EOF
		case err != nil:
			return nil, o.fault(err)
		case token == json.Delim('{'):
			return o.object()
		case token == json.Delim('[') && !o.list:
			o.list = true
		case token == json.Delim(']'):
			o.list = false
		default:
			return nil, o.wrong(o.dec.InputOffset()-1, fmt.Errorf("a record is an object, as in {\"id\": 1}, not %s", short(printable(tokenText(token)))))
		}
	}
}

// tokenText returns a token as an error shows it.
func tokenText(token json.Token) string {
	if token == nil {
		return "null"
	}
	return fmt.Sprint(token)
}

// object reads the rest of an object.
func (o *objectReader) object() (*record, error) {
	o.record.fields = o.record.fields[:0]
	o.record.place = o.text.place(o.dec.InputOffset() - 1)
	for o.dec.More() {
		token, err := o.dec.Token()
		if err != nil {
			return nil, o.fault(err)
		}
		name, isName := token.(string)
		if !isName {
			return nil, o.wrong(o.dec.InputOffset()-1, fmt.Errorf("%v is no name of a column", token))
		}
		if slices.ContainsFunc(o.record.fields, func(f field) bool { return f.name == name }) {
			return nil, o.wrong(o.dec.InputOffset()-1, fmt.Errorf("%q is there twice", printable(name)))
		}
		var raw json.RawMessage
		if err := o.dec.Decode(&raw); err != nil {
			return nil, o.fault(err)
		}
		at := o.dec.InputOffset() - int64(len(raw))
		if i := loneSurrogate(raw); i >= 0 {
			return nil, o.wrong(at+int64(i), fmt.Errorf("%s is half of a letter: it has no meaning alone", raw[i:min(len(raw), i+6)]))
		}
		o.record.fields = append(o.record.fields, field{name, raw, o.text.place(at)})
	}
	if _, err := o.dec.Token(); err != nil {
		return nil, o.fault(err)
	}
	return &o.record, nil
}

// wrong returns an error with the place of an offset.
func (o *objectReader) wrong(offset int64, err error) error {
	return &badInput{o.text.name, o.text.place(max(0, offset)), err}
}

// fault returns an error of the decoder with its place.
func (o *objectReader) fault(err error) error {
	var bad *badInput
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &bad):
		return err
	case errors.As(err, &syntax):
		return o.wrong(max(o.dec.InputOffset(), syntax.Offset-1), errors.New("not JSON: "+strings.TrimPrefix(err.Error(), "json: ")))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return o.wrong(o.text.passed, errors.New("it ends in the middle of a record"))
	}
	return err
}

// loneSurrogate returns where JSON text has an escape for half of a letter without
// the other half, which decoders replace in silence, or -1.
func loneSurrogate(raw []byte) int {
	for i := 0; ; {
		j := bytes.IndexByte(raw[i:], '\\')
		if j < 0 || i+j+1 >= len(raw) {
			return -1
		}
		i += j
		switch half := surrogate(raw[i:]); {
		case half == 0:
			i += 2
		case half == 1 && surrogate(raw[min(len(raw), i+6):]) == 2:
			i += 12
		default:
			return i
		}
	}
}

// surrogate says which half of a letter an escape at the beginning of b stands for;
// 0 if for none.
func surrogate(b []byte) int {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' || b[2] != 'd' && b[2] != 'D' {
		return 0
	}
	switch b[3] {
	case '8', '9', 'a', 'b', 'A', 'B':
		return 1
	case 'c', 'd', 'e', 'f', 'C', 'D', 'E', 'F':
		return 2
	}
	return 0
}
