package main

import (
	"bufio"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
)

// batch is how many records a table looks at to find out how wide its columns are.
const batch = 1000

// A tableOutput is a table for people. It holds the first records until it knows how
// wide the columns are, and writes the others as they come: if they are wider, it
// cuts them on a terminal, and lets them stand out elsewhere.
type tableOutput struct {
	w       *bufio.Writer
	style   style
	columns []string
	held    [][]cell
	widths  []int // nil until they are known
	right   []bool
	blocks  bool // each record has lines of its own, since there is no room for a table
	n       int  // records that were written
}

// A cell is what a table shows of a value.
type cell struct {
	text   string
	isNull bool
	number bool
}

func (o *tableOutput) write(values []any) error {
	cells := make([]cell, len(values))
	for i, v := range values {
		if at, isTime := v.(time.Time); isTime {
			v = at.Truncate(time.Second) // for people: get prints all digits
		}
		cells[i] = cell{text: cellText(v, o.style.zone), isNull: v == nil, number: isNumber(v)}
		if v == nil {
			cells[i].text = "null"
		}
	}
	if o.widths != nil {
		o.record(cells)
		return nil
	}
	o.held = append(o.held, cells)
	if len(o.held) == batch {
		o.begin()
	}
	return nil
}

// begin works out the widths, and writes what is held.
func (o *tableOutput) begin() {
	if o.widths != nil {
		return
	}
	o.widths, o.right = make([]int, len(o.columns)), make([]bool, len(o.columns))
	for i, name := range o.columns {
		o.widths[i] = text.StringWidthWithoutEscSequences(name)
		numbers, others := 0, 0
		for _, cells := range o.held {
			o.widths[i] = max(o.widths[i], text.StringWidthWithoutEscSequences(cells[i].text))
			switch {
			case cells[i].number:
				numbers++
			case !cells[i].isNull:
				others++
			}
		}
		o.right[i] = numbers > 0 && others == 0
	}
	if o.style.width > 0 {
		room := o.style.width - gap*(len(o.widths)-1)
		o.widths = fit(o.widths, room)
		o.blocks = sum(o.widths) > room
	}
	if !o.blocks {
		o.head()
	}
	for _, cells := range o.held {
		o.record(cells)
	}
	o.held = nil
}

// head writes the names of the columns.
func (o *tableOutput) head() {
	head := make([]cell, len(o.columns))
	for i, name := range o.columns {
		head[i].text = name
	}
	if o.style.colors {
		o.w.WriteString("\x1b[1m")
	}
	o.line(head)
	if o.style.colors {
		o.w.WriteString("\x1b[0m")
	}
}

// record writes a record: a line of the table, or lines of its own.
func (o *tableOutput) record(cells []cell) {
	if !o.blocks {
		o.line(cells)
		return
	}
	if o.n++; o.n > 1 {
		o.w.WriteByte('\n')
	}
	texts, nulls := make([]string, len(cells)), make([]bool, len(cells))
	for i, c := range cells {
		texts[i], nulls[i] = c.text, c.isNull
	}
	o.w.WriteString(recordText(o.columns, texts, nulls, o.style))
}

// sum returns the sum of numbers.
func sum(numbers []int) (n int) {
	for _, x := range numbers {
		n += x
	}
	return n
}

// gap is how many spaces there are between two columns.
const gap = 2

// least is how narrow a column may get for others to have room.
const least = 6

// fit returns the widths made smaller, the widest first, until together they take
// no more than there is, or all are as narrow as they may get.
func fit(widths []int, room int) []int {
	total := sum(widths)
	for total > room {
		widest, second := 0, least
		for _, w := range widths {
			widest = max(widest, w)
		}
		if widest <= least {
			break
		}
		n := 0
		for _, w := range widths {
			if w == widest {
				n++
			} else {
				second = max(second, w)
			}
		}
		cut := min(widest-second, (total-room+n-1)/n)
		for i, w := range widths {
			if w == widest && total > room {
				less := min(cut, total-room)
				widths[i] -= less
				total -= less
			}
		}
	}
	return widths
}

// line writes cells side by side.
func (o *tableOutput) line(cells []cell) {
	for i, c := range cells {
		shown := c.text
		if o.style.width > 0 {
			shown = text.Snip(shown, o.widths[i], "…")
		}
		pad := strings.Repeat(" ", max(0, o.widths[i]-text.StringWidthWithoutEscSequences(shown)))
		if c.isNull && o.style.colors {
			shown = "\x1b[2m" + shown + "\x1b[22m"
		}
		switch {
		case o.right[i]:
			shown = pad + shown
		case i < len(cells)-1:
			shown += pad
		}
		o.w.WriteString(shown)
		if i < len(cells)-1 {
			o.w.WriteString(strings.Repeat(" ", gap))
		}
	}
	o.w.WriteByte('\n')
}

func (o *tableOutput) close() error {
	o.begin()
	return o.w.Flush()
}
