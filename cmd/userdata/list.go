package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed-5df914be/userdata"
)

func (a *app) list() *cobra.Command {
	var sel selection
	var old oldList
	c := &cobra.Command{
		Use:     "list [TABLE]",
		Aliases: []string{"ls"},
		Short:   "Print the records of a table, all or some",
		Long: `List prints the records of a table, in the order of their keys.

A condition is an expression about the columns: == != < <= > >=, && || !, in,
contains, startsWith, endsWith, matches, + - * /, len(x), now(), "x" in tags.
Texts that are compared with times are times, such as "2026-10-12". A comparison
with a column that is null is false; 'column == nil' asks for it. What an index or
the key can answer is read from there: --explain tells.

Without a table it is the users, or the only table that the file has, and the
records are printed as a table also into a pipe.`,
		Example: `  userdata list
  userdata list userdata --where 'time_stamp > "2026-01-01" && user_data contains "x"'
  userdata list userdata --order -time_stamp --limit 10 -o csv
  userdata list --prefix B --since 2026-10-01`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeTables,
	}
	sel.addFlags(a, c)
	old.addFlags(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if err := sel.check(cmd); err != nil {
			return err
		}
		if old.json && a.format == "" {
			a.format = "jsonl"
		}
		name := ""
		if len(args) > 0 {
			name = args[0]
		} else if a.format == "" {
			a.format = "table"
		}
		return a.readTable(cmd, name, func(ctx context.Context, s *userdata.Session, t *userdata.RowTable) error {
			if name == "" && sel.columns == "" && t.Name() == table.Name() && a.format == "table" {
				sel.columns = "user_id,time_stamp,user_data"
			}
			return a.printRows(ctx, cmd, s, t, &sel, old.conditions(t))
		})
	}
	return c
}

// oldList are flags of list for the users only.
type oldList struct {
	prefix, since string
	json          bool
}

func (o *oldList) addFlags(c *cobra.Command) {
	c.Flags().StringVar(&o.prefix, "prefix", "", "only keys that begin with `text`")
	c.Flags().StringVar(&o.since, "since", "", "only users that were changed at this `time` or later")
	c.Flags().BoolVar(&o.json, "json", false, "one JSON object a line, as -o jsonl")
}

// conditions returns what the flags add to a query.
func (o *oldList) conditions(t *userdata.RowTable) func(userdata.RowQuery) (userdata.RowQuery, error) {
	return func(q userdata.RowQuery) (userdata.RowQuery, error) {
		if o.prefix != "" {
			q = q.Where(userdata.RowColumn(keyColumn(t).Name).HasPrefix(o.prefix))
		}
		if o.since == "" {
			return q, nil
		}
		if t.Name() != table.Name() {
			return q, usageError{errors.New(`--since is for users: write --where 'column >= "2026-10-12"'`)}
		}
		at, err := parseTime(o.since)
		if err != nil {
			return q, err
		}
		return q.Where(userdata.RowColumn("time_stamp").Ge(at)), nil
	}
}

// printRows prints the records that a command is for.
func (a *app) printRows(ctx context.Context, cmd *cobra.Command, s *userdata.Session, t *userdata.RowTable, sel *selection, more func(userdata.RowQuery) (userdata.RowQuery, error)) error {
	names, err := sel.names(t)
	if err != nil {
		return err
	}
	q, c, err := sel.query(ctx, s, t)
	if err == nil {
		q, err = more(q)
	}
	switch {
	case err != nil:
		return err
	case sel.explain:
		return explainQuery(cmd, q, c)
	case sel.count:
		n, err := countRows(ctx, cmd, q, c)
		if err == nil {
			_, err = fmt.Fprintln(cmd.OutOrStdout(), n)
		}
		return err
	}
	out, err := a.output(cmd, names)
	if err != nil {
		return err
	}
	p, n := newProgress(cmd, "list"), 0
	if isTerminal(cmd.OutOrStdout()) {
		p.w = nil // the records themselves are there to see
	}
	defer p.end()
	for row, err := range q.Untracked().Rows(ctx) {
		if n++; n%256 == 0 {
			p.report(t.Name(), n, 0)
		}
		if err == nil {
			err = c.fault()
		}
		if err != nil {
			return err
		}
		values, err := valuesOf(row, names)
		if err != nil {
			return err
		}
		if err := out.write(values); err != nil {
			return err
		}
	}
	if err := c.fault(); err != nil {
		return err
	}
	return out.close()
}

// countRows counts the records of a query. What the library can't answer is asked of
// one record after the other, so that it holds no more than a page of them.
func countRows(ctx context.Context, cmd *cobra.Command, q userdata.RowQuery, c *condition) (n int, err error) {
	if c == nil || c.rest == "" {
		return q.Count(ctx)
	}
	p := newProgress(cmd, "count")
	defer p.end()
	for _, err := range q.Untracked().Rows(ctx) {
		if err = errors.Join(err, c.fault()); err != nil {
			return 0, err
		}
		if n++; n%1024 == 0 {
			p.report("matches", n, 0)
		}
	}
	return n, c.fault()
}

// valuesOf returns the values of a row's columns.
func valuesOf(row *userdata.Row, names []string) ([]any, error) {
	values := make([]any, len(names))
	for i, name := range names {
		v, err := row.Get(name)
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	return values, nil
}
