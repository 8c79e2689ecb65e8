package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-5df914be/userdata"
)

// A selection is what the flags of a command say about the records that it is for.
type selection struct {
	where   string
	asks    *pflag.Flag // --where
	order   string
	after   string
	limit   int
	columns string
	count   bool
	explain bool
}

// addWhereFlags gives a command the flags that say which records it is for.
func (sel *selection) addWhereFlags(c *cobra.Command) {
	sel.limit = -1
	c.Flags().StringVarP(&sel.where, "where", "w", "", "only records for which the `condition` is true, such as 'time_stamp > \"2026-01-01\" && user_data contains \"x\"'")
	sel.asks = c.Flags().Lookup("where")
	c.Flags().BoolVar(&sel.explain, "explain", false, "print what would be read instead: which index, what is asked of each record")
}

// addFlags gives a command the flags of a whole query.
func (sel *selection) addFlags(a *app, c *cobra.Command) {
	sel.addWhereFlags(c)
	c.Flags().StringVar(&sel.order, "order", "", "sort by `columns`, each with - before it for the greatest first, such as -time_stamp,user_id")
	c.Flags().StringVar(&sel.after, "after", "", "begin after the record with this `key`")
	c.Flags().IntVarP(&sel.limit, "limit", "n", -1, "at most `n` records")
	c.Flags().Lookup("limit").DefValue = "0" // so that the help does not tell of -1
	c.Flags().StringVarP(&sel.columns, "columns", "c", "", "only these `columns`, in this order: user_id,time_stamp")
	c.Flags().BoolVar(&sel.count, "count", false, "print only how many records there are")
	a.addOutputFlag(c)
	_ = c.RegisterFlagCompletionFunc("columns", a.completeColumns)
	_ = c.RegisterFlagCompletionFunc("order", a.completeColumns)
}

// hasWhere reports whether there is a condition, be it an empty one.
func (sel *selection) hasWhere() bool { return sel.asks != nil && sel.asks.Changed }

// check refuses flags that make no sense.
func (sel *selection) check(cmd *cobra.Command) error {
	if cmd.Flags().Changed("limit") && sel.limit < 0 {
		return usageError{fmt.Errorf("--limit %d: it can't be negative", sel.limit)}
	}
	return nil
}

// names returns the columns to print.
func (sel *selection) names(t *userdata.RowTable) ([]string, error) {
	all := columnNames(t)
	if sel.columns == "" {
		return all, nil
	}
	names := strings.Split(sel.columns, ",")
	for i, name := range names {
		names[i] = strings.TrimSpace(name)
		if err := checkColumn(t, names[i]); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// columnNames returns the names of a table's columns.
func columnNames(t *userdata.RowTable) []string {
	var names []string
	for _, c := range t.Columns() {
		names = append(names, c.Name)
	}
	return names
}

// checkColumn returns a usageError if the table has no column of that name.
func checkColumn(t *userdata.RowTable, name string) error {
	if names := columnNames(t); !slices.Contains(names, name) {
		return usageError{fmt.Errorf("%s has no column %q%s", t.Name(), name, didYouMean(name, names))}
	}
	return nil
}

// query returns the query that the flags ask for, whose rows are tracked, and its
// condition, nil if there is none.
func (sel *selection) query(ctx context.Context, s *userdata.Session, t *userdata.RowTable) (q userdata.RowQuery, c *condition, err error) {
	q = t.Select(s)
	if sel.hasWhere() {
		if c, err = parseWhere(t, s, sel.where); err != nil {
			return q, nil, err
		}
		q = c.apply(q)
	}
	if sel.order != "" {
		var orders []userdata.Order[userdata.Row]
		for _, name := range strings.Split(sel.order, ",") {
			column, desc := strings.CutPrefix(strings.TrimSpace(name), "-")
			if err := checkColumn(t, column); err != nil {
				return q, nil, err
			}
			order := userdata.RowColumn(column).Asc()
			if desc {
				order = userdata.RowColumn(column).Desc()
			}
			orders = append(orders, order)
		}
		q = q.OrderBy(orders...)
	}
	if sel.after != "" {
		if q, err = sel.begin(ctx, s, t, q); err != nil {
			return q, nil, err
		}
	}
	if sel.limit >= 0 {
		q = q.Limit(sel.limit)
	}
	return q, c, nil
}

// begin makes a query begin after the record that --after names. In the order of
// keys there need be no such record.
func (sel *selection) begin(ctx context.Context, s *userdata.Session, t *userdata.RowTable, q userdata.RowQuery) (userdata.RowQuery, error) {
	row := t.New()
	key, err := keyOf(t, sel.after)
	if err == nil {
		err = row.Set(keyColumn(t).Name, key)
	}
	if err != nil {
		return q, usageError{fmt.Errorf("--after: %w", err)}
	}
	if sel.order != "" {
		if row, err = rowOf(ctx, s, t, sel.after); err != nil {
			return q, fmt.Errorf("--after: %w", err)
		}
	}
	cursor, err := q.Cursor(row)
	return q.After(cursor), err
}

// explainQuery prints what a query reads.
func explainQuery(cmd *cobra.Command, q userdata.RowQuery, c *condition) error {
	plan, err := q.Explain()
	if err != nil {
		return err
	}
	text := plan.String()
	if c != nil && c.rest != "" {
		text = strings.ReplaceAll(text, "match(func)", c.rest)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), printable(text))
	return err
}
