package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-5df914be/userdata"
)

// A change is what becomes of one record.
type change struct {
	table    string
	key      string
	columns  []string
	old, now []any // nil for a record that is added, or deleted
}

// newChange returns a change of a row: what it was, or nil, and what it is to be, or
// nil.
func newChange(t *userdata.RowTable, key string, old, now []userdata.Entry) change {
	return change{table: t.Name(), key: key, columns: columnNames(t), old: plainValues(old), now: plainValues(now)}
}

// plainValues returns the values of entries.
func plainValues(entries []userdata.Entry) []any {
	var out []any
	for _, e := range entries {
		out = append(out, e.Value)
	}
	return out
}

// print shows the change as a diff: a line for the record, and one for each value
// that goes and each that comes.
func (c *change) print(w io.Writer, s style) error {
	var b strings.Builder
	mark := "~"
	switch {
	case c.old == nil:
		mark = "+"
	case c.now == nil:
		mark = "-"
	}
	fmt.Fprintf(&b, "%s %s %s\n", mark, c.table, printable(c.key))
	for i, name := range c.columns {
		was, is := diffCell(c.old, i, s), diffCell(c.now, i, s)
		if was == is {
			continue
		}
		if was != "" {
			b.WriteString(colored(s, "31", fmt.Sprintf("-   %s  %s", name, was)) + "\n")
		}
		if is != "" {
			b.WriteString(colored(s, "32", fmt.Sprintf("+   %s  %s", name, is)) + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// diffCell returns a value in a diff: as JSON, but for times; "" if there is none.
func diffCell(values []any, i int, s style) string {
	if i >= len(values) {
		return ""
	}
	if at := asTime(values[i]); !at.IsZero() {
		return timeText(at, s.zone)
	}
	return string(appendJSON(nil, values[i]))
}

// colored returns text in a colour, if there may be any.
func colored(s style, color, text string) string {
	if !s.colors {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// errDeclined is returned when someone has answered no.
var errDeclined = errors.New("nothing was changed")

// confirm asks whether to go on, unless --yes has answered. Where there is nobody to
// ask it is an error that says so.
func confirm(cmd *cobra.Command, yes bool, question string) error {
	if yes {
		return nil
	}
	if !canAsk(cmd) {
		return usageError{fmt.Errorf("%s Say --yes: there is no terminal to ask on", question)}
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question)
	answers := make(chan string, 1)
	go func() { // which an interrupt leaves behind
		answer, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
		answers <- answer
	}()
	select {
	case answer := <-answers:
		switch strings.ToLower(strings.TrimSpace(answer)) {
		case "y", "yes":
			return nil
		}
	case <-cmd.Context().Done():
		fmt.Fprintln(cmd.ErrOrStderr())
	}
	return errDeclined
}
