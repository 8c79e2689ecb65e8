package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed-5df914be/userdata"
)

func (a *app) update() *cobra.Command {
	var sel selection
	var dryRun bool
	c := &cobra.Command{
		Use:   "update ID DATA | TABLE KEY COLUMN=VALUE... | TABLE --where CONDITION COLUMN=VALUE...",
		Short: "Change a user's data, or columns of records",
		Long: `Update changes columns of a record, or of all for which a condition is true.
Columns are set as by put. All of it is changed, or nothing.`,
		Example: `  userdata update Brad "other data"
  userdata update userdata Brad user_data=other
  userdata update userdata --where 'user_data == ""' user_data=empty --dry-run`,
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: a.completeAssignments(2),
	}
	sel.addWhereFlags(c)
	c.Flags().BoolVar(&dryRun, "dry-run", false, "print what would change, and change nothing")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if sel.hasWhere() {
			return a.updateRows(cmd, args[0], &sel, dryRun, assignments(args[1:]))
		}
		if sel.explain {
			return usageError{errors.New("--explain is for --where")}
		}
		if len(args) == 2 {
			return a.updateRow(cmd, table.Name(), args[0], dryRun, func(*userdata.RowTable) ([]userdata.Entry, error) {
				return []userdata.Entry{{Key: "user_data", Value: args[1]}}, nil
			})
		}
		return a.updateRow(cmd, args[0], args[1], dryRun, assignments(args[2:]))
	}
	return c
}

// assignments returns what makes values of arguments, once the table is known.
func assignments(args []string) func(*userdata.RowTable) ([]userdata.Entry, error) {
	return func(t *userdata.RowTable) ([]userdata.Entry, error) { return parseAssignments(t, args) }
}

// updateRow changes one record.
func (a *app) updateRow(cmd *cobra.Command, name, key string, dryRun bool, values func(*userdata.RowTable) ([]userdata.Entry, error)) error {
	return a.writeTable(cmd, name, func(ctx context.Context, s *userdata.Session, t *userdata.RowTable) error {
		entries, err := values(t)
		if err != nil {
			return err
		}
		row, err := rowOf(ctx, s, t, key)
		if err != nil {
			return err
		}
		before := row.Values()
		if err := assign(row, stamped(t, entries)); err != nil {
			return err
		}
		if !dryRun {
			return nil
		}
		return a.showDryRun(ctx, cmd, s, []change{newChange(t, key, before, row.Values())})
	})
}

// updateRows changes the records for which a condition is true.
func (a *app) updateRows(cmd *cobra.Command, name string, sel *selection, dryRun bool, values func(*userdata.RowTable) ([]userdata.Entry, error)) error {
	n := 0
	err := a.writeTable(cmd, name, func(ctx context.Context, s *userdata.Session, t *userdata.RowTable) error {
		entries, err := values(t)
		if err != nil {
			return err
		}
		q, c, err := sel.query(ctx, s, t)
		switch {
		case err != nil:
			return err
		case sel.explain:
			return explainQuery(cmd, q, c)
		}
		stop := busy(cmd, "read", t.Name())
		rows, err := q.All(ctx)
		stop()
		if err := errors.Join(err, c.fault()); err != nil {
			return err
		}
		var changes []change
		for _, row := range rows {
			before := row.Values()
			if err := assign(row, stamped(t, entries)); err != nil {
				return err
			}
			if dryRun {
				changes = append(changes, newChange(t, keyText(t, row), before, row.Values()))
			}
		}
		if n = len(rows); dryRun {
			return a.showDryRun(ctx, cmd, s, changes)
		}
		return nil
	})
	if err == nil && !dryRun && !sel.explain {
		_, err = fmt.Fprintf(cmd.ErrOrStderr(), "%s changed\n", plural(n, "record"))
	}
	return err
}
