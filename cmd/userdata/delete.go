package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed-5df914be/userdata"
)

func (a *app) delete() *cobra.Command {
	var sel selection
	var dryRun, yes bool
	c := &cobra.Command{
		Use:     "delete ID | TABLE KEY... | TABLE --where CONDITION",
		Aliases: []string{"rm"},
		Short:   "Remove a user, or records",
		Long: `Delete removes records: all that are named, or for which a condition is true, or
none. It asks before it deletes more than one, unless --yes is given; where there
is no terminal to ask on, --yes must be.`,
		Example: `  userdata delete Brad
  userdata delete userdata Brad Larry --yes
  userdata delete userdata --where 'time_stamp < "2020-01-01"' --dry-run`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeKeys,
	}
	sel.addWhereFlags(c)
	c.Flags().BoolVar(&dryRun, "dry-run", false, "print what would be deleted, and delete nothing")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		d := &deletion{app: a, cmd: cmd, sel: &sel, table: args[0], keys: args[1:], yes: yes, dryRun: dryRun}
		switch hasWhere := sel.hasWhere(); {
		case hasWhere && len(args) > 1:
			return usageError{errors.New("give keys or --where, not both")}
		case sel.explain && !hasWhere:
			return usageError{errors.New("--explain is for --where")}
		case !hasWhere && len(args) == 1:
			d.table, d.keys = table.Name(), args
		}
		return d.run()
	}
	return c
}

// A deletion is what delete is to do.
type deletion struct {
	*app
	cmd         *cobra.Command
	sel         *selection
	table       string
	keys        []string
	yes, dryRun bool
	asked       int // about how many records
}

func (d *deletion) run() error {
	n := 0
	err := d.writeTable(d.cmd, d.table, func(ctx context.Context, s *userdata.Session, t *userdata.RowTable) error {
		if d.sel.explain {
			q, c, err := d.sel.query(ctx, s, t)
			if err != nil {
				return err
			}
			return explainQuery(d.cmd, q, c)
		}
		if d.sel.hasWhere() && !d.dryRun {
			var err error
			if n, err = d.deleteWhere(ctx, s, t); err != nil {
				return err
			}
			return d.ask(n, t)
		}
		rows, err := d.rows(ctx, s, t)
		if err != nil {
			return err
		}
		n = len(rows)
		var changes []change
		for _, row := range rows {
			if d.dryRun {
				changes = append(changes, newChange(t, keyText(t, row), row.Values(), nil))
			}
			if err := s.Delete(row.Record()); err != nil {
				return err
			}
		}
		if d.dryRun {
			return d.showDryRun(ctx, d.cmd, s, changes)
		}
		return d.ask(n, t)
	})
	if err == nil && !d.dryRun && !d.sel.explain && (n != 1 || d.sel.hasWhere()) {
		_, err = fmt.Fprintf(d.cmd.ErrOrStderr(), "%s deleted\n", plural(n, "record"))
	}
	return err
}

// deleteWhere marks the records for which the condition is true, without decoding
// more of them than it must.
func (d *deletion) deleteWhere(ctx context.Context, s *userdata.Session, t *userdata.RowTable) (int, error) {
	q, c, err := d.sel.query(ctx, s, t)
	if err != nil {
		return 0, err
	}
	defer busy(d.cmd, "read", t.Name())()
	n, err := q.Delete(ctx)
	return n, errors.Join(err, c.fault())
}

// ask asks before more than one record is deleted, and again if there are more when
// someone else's change has made it begin anew.
func (d *deletion) ask(n int, t *userdata.RowTable) error {
	if n < 2 || n <= d.asked {
		return nil
	}
	d.asked = n
	return confirm(d.cmd, d.yes, fmt.Sprintf("Delete %s of %s?", plural(n, "record"), t.Name()))
}

// rows returns the records to delete.
func (d *deletion) rows(ctx context.Context, s *userdata.Session, t *userdata.RowTable) ([]*userdata.Row, error) {
	if d.sel.hasWhere() {
		q, c, err := d.sel.query(ctx, s, t)
		if err != nil {
			return nil, err
		}
		rows, err := q.All(ctx)
		return rows, errors.Join(err, c.fault())
	}
	var rows []*userdata.Row
	for _, key := range d.keys {
		row, err := rowOf(ctx, s, t, key)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (a *app) exists() *cobra.Command {
	return &cobra.Command{
		Use:               "exists [TABLE] KEY",
		Short:             "Say whether there is a record: exit status 0 or 4",
		Example:           "  userdata exists Brad && echo yes",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeKeys,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, key := splitKey(args)
			return a.readTable(cmd, name, func(ctx context.Context, s *userdata.Session, t *userdata.RowTable) error {
				if _, err := rowOf(ctx, s, t, key); err != nil {
					return err
				}
				what := fmt.Sprintf("%s has a record %s", t.Name(), printable(key))
				if t.Name() == table.Name() {
					what = fmt.Sprintf("The user '%s' exists.", printable(key))
				}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), what)
				return err
			})
		},
	}
}
