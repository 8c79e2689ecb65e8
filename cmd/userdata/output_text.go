package main

import (
	"bufio"
	"encoding/csv"
	"strings"
)

// A separated is an output of comma or tab separated values, quoted as in RFC 4180
// where that is needed, below a line of the columns' names.
type separated struct {
	w      *bufio.Writer
	csv    *csv.Writer
	style  style
	header []string // until it is written
	cells  []string
}

func newSeparated(w *bufio.Writer, s style, columns []string, comma rune) *separated {
	o := &separated{w: w, csv: csv.NewWriter(w), style: s, header: columns}
	o.csv.Comma = comma
	return o
}

// begin writes the line of names once.
func (o *separated) begin() error {
	if o.header == nil {
		return nil
	}
	err := o.csv.Write(o.header)
	o.header = nil
	return err
}

func (o *separated) write(values []any) error {
	if err := o.begin(); err != nil {
		return err
	}
	o.cells = o.cells[:0]
	for _, v := range values {
		cell := plainCell(v)
		if o.style.escape {
			cell = printable(cell)
		}
		o.cells = append(o.cells, cell)
	}
	return o.csv.Write(o.cells)
}

func (o *separated) close() error {
	if err := o.begin(); err != nil {
		return err
	}
	o.csv.Flush()
	if err := o.csv.Error(); err != nil {
		return err
	}
	return o.w.Flush()
}

// A markdownOutput is a table in a page of Markdown.
type markdownOutput struct {
	w       *bufio.Writer
	style   style
	columns []string
	begun   bool
}

// begin writes the head of the table once.
func (o *markdownOutput) begin() {
	if o.begun {
		return
	}
	o.begun = true
	o.row(func(i int) string { return o.columns[i] })
	o.row(func(int) string { return "---" })
}

// row writes a line of cells.
func (o *markdownOutput) row(cell func(i int) string) {
	for i := range o.columns {
		o.w.WriteString("| " + markdownEscapes.Replace(cell(i)) + " ")
	}
	o.w.WriteString("|\n")
}

// markdownEscapes keeps a value from being read as Markdown.
var markdownEscapes = strings.NewReplacer(`\`, `\\`, "|", `\|`, "*", `\*`, "_", `\_`, "`", "\\`", "<", "&lt;", "&", "&amp;", "[", `\[`)

func (o *markdownOutput) write(values []any) error {
	o.begin()
	o.row(func(i int) string { return cellText(values[i], o.style.zone) })
	return nil
}

func (o *markdownOutput) close() error {
	o.begin()
	return o.w.Flush()
}
