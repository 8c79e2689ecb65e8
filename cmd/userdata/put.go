package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-5df914be/userdata"
)

func (a *app) put() *cobra.Command {
	var replace, dryRun bool
	c := &cobra.Command{
		Use:   "put ID DATA | TABLE COLUMN=VALUE...",
		Short: "Add a user, or a record of any table",
		Long: `Put adds a record. A record that exists is left as it is: see update, or --replace.

With an id and data it adds a user, and makes the file if there is none. Else it
adds a record to a table that the file has: column=value sets a column to a text,
a number, a time or bytes in base64; column:=json to null, an array, an object, or
whatever JSON can say. Columns that are not named are zero, or null.`,
		Example: `  userdata put Brad "Brad's data"
  userdata put userdata user_id=Zoe user_data="Zoe's data"
  userdata put userdata user_id=Jane 'user_data:="two\nlines"' --dry-run`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return fmt.Errorf("accepts 2 arguments, an id and data, or a table and more: received %d", len(args))
			}
			return nil
		},
		ValidArgsFunction: a.completeAssignments(1),
	}
	c.Flags().BoolVar(&replace, "replace", false, "put the record in the place of one that exists")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "print what would change, and change nothing")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 2 && !a.isAssignment(cmd, args) {
			if info, err := os.Stat(a.path); err != nil || info.Size() == 0 {
				return a.putFirst(cmd, args[0], args[1], dryRun)
			}
			err := a.putRow(cmd, "", replace, dryRun, func(*userdata.RowTable) ([]userdata.Entry, error) {
				return []userdata.Entry{{Key: "user_id", Value: args[0]}, {Key: "user_data", Value: args[1]}}, nil
			})
			if missing := (noTable{}); errors.As(err, &missing) && missing.empty {
				return a.putFirst(cmd, args[0], args[1], dryRun)
			}
			return err
		}
		return a.putRow(cmd, args[0], replace, dryRun, func(t *userdata.RowTable) ([]userdata.Entry, error) {
			return parseAssignments(t, args[1:])
		})
	}
	return c
}

// assigns is what an assignment to a column looks like.
var assigns = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*:?=`)

// isAssignment reports whether two arguments are a table and an assignment, rather
// than an id and data: they look so, and the file has that table, or not only users.
func (a *app) isAssignment(cmd *cobra.Command, args []string) bool {
	if !assigns.MatchString(args[1]) {
		return false
	}
	found := false
	_ = a.read(cmd, func(_ context.Context, db *userdata.DB) error {
		names := tableNames(db.Schema())
		found = slices.Contains(names, args[0]) || len(names) > 1 || len(names) == 1 && names[0] != table.Name()
		return nil
	})
	return found
}

// putFirst makes a new file with one user.
func (a *app) putFirst(cmd *cobra.Command, id, data string, dryRun bool) error {
	if dryRun {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "+ %s %s, in the new file %s\n", table.Name(), printable(id), printable(a.path))
		return err
	}
	store := userdata.NewMemStore() // what does not fit makes no file
	trial, err := userdata.OpenStore(cmd.Context(), store, nil, table)
	if err != nil {
		return err
	}
	add := func(db *userdata.DB) error {
		return db.Transact(cmd.Context(), func(s *userdata.Session) error {
			return s.Add(&userdata.Userdata{UserID: id, UserData: data, TimeStamp: time.Now()})
		})
	}
	if err := errors.Join(add(trial), trial.Close()); err != nil {
		return err
	}
	db, err := userdata.Open(a.path, a.options(cmd, false), table)
	if err != nil {
		return err
	}
	return errors.Join(add(db), db.Close())
}

// putRow adds a record, whose values are made for its table.
func (a *app) putRow(cmd *cobra.Command, name string, replace, dryRun bool, values func(*userdata.RowTable) ([]userdata.Entry, error)) error {
	return a.writeTable(cmd, orUsers(name), func(ctx context.Context, s *userdata.Session, t *userdata.RowTable) error {
		entries, err := values(t)
		if err != nil {
			return err
		}
		row := t.New()
		if err := assign(row, stamped(t, entries)); err != nil {
			return err
		}
		key := keyColumn(t).Name
		if !slices.ContainsFunc(entries, func(e userdata.Entry) bool { return e.Key == key }) {
			return usageError{fmt.Errorf("%s has the key %s, which the record needs: write %s=value", t.Name(), key, key)}
		}
		value, err := row.Get(key)
		if err != nil {
			return err
		}
		old, err := t.Get(ctx, s, value)
		exists := err == nil
		switch {
		case err != nil && !errors.Is(err, userdata.ErrNotFound):
			return err
		case exists && !replace:
			return existsAlready(t, keyText(t, row))
		}
		var before []userdata.Entry
		target := row
		if exists {
			before, target = old.Values(), old
			if err := assign(old, row.Values()); err != nil {
				return err
			}
		} else if err := s.Add(row.Record()); err != nil {
			return err
		}
		if !dryRun {
			return nil
		}
		return a.showDryRun(ctx, cmd, s, []change{newChange(t, keyText(t, target), before, target.Values())})
	})
}

// orUsers returns the name of a table, that of the users if there is none.
func orUsers(name string) string {
	if name == "" {
		return table.Name()
	}
	return name
}

// existsAlready is the error when a record is added under a key that another has.
func existsAlready(t *userdata.RowTable, key string) error {
	if t.Name() == table.Name() {
		return fmt.Errorf("The user '%s' exists already: use 'update' to change the data.", printable(key)) //lint:ignore ST1005 it is a sentence for people
	}
	return fmt.Errorf("%s has a record %s already: use 'update' to change it, or 'put --replace'", t.Name(), printable(key))
}

// stamped adds the time of the change to what a user is set to, unless that sets it.
func stamped(t *userdata.RowTable, entries []userdata.Entry) []userdata.Entry {
	named := slices.ContainsFunc(entries, func(e userdata.Entry) bool { return e.Key == "time_stamp" })
	if t.Name() != table.Name() || named || !slices.Contains(columnNames(t), "time_stamp") {
		return entries
	}
	return append(slices.Clip(entries), userdata.Entry{Key: "time_stamp", Value: time.Now()})
}

// showDryRun prints changes after all of them were checked as a commit does it, and
// takes them back.
func (a *app) showDryRun(ctx context.Context, cmd *cobra.Command, s *userdata.Session, changes []change) error {
	if err := s.Flush(ctx); err != nil {
		return err
	}
	s.Rollback()
	st := style{zone: a.zone(), colors: colors(cmd.OutOrStdout())}
	for _, c := range changes {
		if err := c.print(cmd.OutOrStdout(), st); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(cmd.ErrOrStderr(), "dry run: nothing was changed (%s would be)\n", plural(len(changes), "record"))
	return err
}
