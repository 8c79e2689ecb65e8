package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/seed-5df914be/userdata"
)

func (a *app) get() *cobra.Command {
	var columns string
	c := &cobra.Command{
		Use:   "get [TABLE] KEY",
		Short: "Print one record",
		Long: `Get prints the record that has a key: on a terminal one column a line, else as a
JSON object. With -o a single column prints just its value.

Without a table it is a user, on one line.`,
		Example: `  userdata get Brad
  userdata get userdata Brad -o json
  userdata get userdata Brad --columns user_data`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeKeys,
	}
	c.Flags().StringVarP(&columns, "columns", "c", "", "only these `columns`; a single one prints just its value")
	a.addOutputFlag(c)
	_ = c.RegisterFlagCompletionFunc("columns", a.completeColumns)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		name, key := splitKey(args)
		return a.readTable(cmd, name, func(ctx context.Context, s *userdata.Session, t *userdata.RowTable) error {
			row, err := rowOf(ctx, s, t, key)
			if err != nil {
				return err
			}
			if name == "" && t.Name() == table.Name() && columns == "" && a.format == "" {
				return a.printUser(cmd, row)
			}
			sel := selection{columns: columns}
			names, err := sel.names(t)
			if err != nil {
				return err
			}
			return a.printRow(cmd, row, names, columns != "" && len(names) == 1)
		})
	}
	return c
}

// splitKey returns the table, if one is named, and the key that arguments begin
// with.
func splitKey(args []string) (table, key string) {
	if len(args) > 1 {
		return args[0], args[1]
	}
	return "", args[0]
}

// printUser prints a user as the library does.
func (a *app) printUser(cmd *cobra.Command, row *userdata.Row) error {
	var u userdata.Userdata
	for _, e := range row.Values() {
		switch e.Key {
		case "user_id":
			u.UserID, _ = e.Value.(string)
		case "user_data":
			u.UserData, _ = e.Value.(string)
		case "time_stamp":
			u.TimeStamp = asTime(e.Value).In(a.zone())
		}
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), printable(u.String()))
	return err
}

// printRow prints one record: the value alone if just one column is wanted, a line
// a column on a terminal, or else as a list has it.
func (a *app) printRow(cmd *cobra.Command, row *userdata.Row, names []string, bare bool) error {
	values, err := valuesOf(row, names)
	if err != nil {
		return err
	}
	s, err := a.style(cmd)
	switch {
	case err != nil:
		return err
	case a.format == "" && bare:
		value := plainCell(values[0])
		if s.escape {
			value = cellText(values[0], s.zone)
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), value)
		return err
	case a.format == "" && s.format == "table":
		texts, nulls := make([]string, len(values)), make([]bool, len(values))
		for i, v := range values {
			if texts[i], nulls[i] = cellText(v, s.zone), v == nil; nulls[i] {
				texts[i] = "null"
			}
		}
		s.width = 0 // all of it: that is what get is for
		_, err = fmt.Fprint(cmd.OutOrStdout(), recordText(names, texts, nulls, s))
		return err
	}
	return a.writeAll(cmd, names, [][]any{values})
}

// recordText returns a record as people read it, a line a column; on a terminal what
// is too long for the line is cut, if the style says how long that is.
func recordText(names, values []string, nulls []bool, s style) string {
	var b strings.Builder
	widest := 0
	for _, name := range names {
		widest = max(widest, text.StringWidthWithoutEscSequences(name))
	}
	for i, name := range names {
		label := name + strings.Repeat(" ", widest-text.StringWidthWithoutEscSequences(name))
		value := values[i]
		if s.width > 0 {
			value = text.Snip(value, max(least, s.width-widest-gap), "…")
		}
		if s.colors {
			label = "\x1b[1m" + label + "\x1b[0m"
		}
		if nulls[i] && s.colors {
			value = "\x1b[2m" + value + "\x1b[0m"
		}
		fmt.Fprintf(&b, "%s  %s\n", label, value)
	}
	return b.String()
}
