package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/seed-5df914be/userdata"
	"github.com/spf13/cobra"
)

func (a *app) put() *cobra.Command {
	return &cobra.Command{
		Use:     "put ID DATA",
		Short:   "Add a user",
		Long:    "Put adds a user, and makes the file if there is none. A user that exists is left as it is: see update.",
		Example: `  userdata put Brad "Brad's data"`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.write(cmd, true, func(ctx context.Context, s *userdata.Session) error {
				exists, err := table.Select(s).Where(columns.UserID.Eq(args[0])).Exists(ctx)
				if err != nil {
					return err
				}
				if exists {
					return fmt.Errorf("The user '%s' exists already: use 'update' to change the data.", printable(args[0])) //lint:ignore ST1005 it is a sentence for people
				}
				return s.Add(&userdata.Userdata{UserID: args[0], UserData: args[1], TimeStamp: time.Now()})
			})
		},
	}
}

func (a *app) get() *cobra.Command {
	return &cobra.Command{
		Use:     "get ID",
		Short:   "Print a user",
		Example: "  userdata get Brad",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.read(cmd, func(ctx context.Context, s *userdata.Session) error {
				u, err := find(ctx, s, args[0])
				if err != nil {
					return err
				}
				u.TimeStamp = u.TimeStamp.Local()
				_, err = fmt.Fprintln(cmd.OutOrStdout(), printable(u.String()))
				return err
			})
		},
	}
}

func (a *app) update() *cobra.Command {
	return &cobra.Command{
		Use:     "update ID DATA",
		Short:   "Change a user's data",
		Example: `  userdata update Brad "other data"`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.write(cmd, false, func(ctx context.Context, s *userdata.Session) error {
				u, err := find(ctx, s, args[0])
				if err != nil {
					return err
				}
				u.UserData, u.TimeStamp = args[1], time.Now()
				return nil
			})
		},
	}
}

func (a *app) delete() *cobra.Command {
	return &cobra.Command{
		Use:     "delete ID",
		Short:   "Remove a user",
		Example: "  userdata delete Brad",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.write(cmd, false, func(ctx context.Context, s *userdata.Session) error {
				u, err := find(ctx, s, args[0])
				if err != nil {
					return err
				}
				return s.Delete(u)
			})
		},
	}
}

func (a *app) exists() *cobra.Command {
	return &cobra.Command{
		Use:     "exists ID",
		Short:   "Say whether there is a user: exit status 0 or 4",
		Example: "  userdata exists Brad && echo yes",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.read(cmd, func(ctx context.Context, s *userdata.Session) error {
				if _, err := find(ctx, s, args[0]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "The user '%s' exists.\n", printable(args[0]))
				return err
			})
		},
	}
}

func (a *app) list() *cobra.Command {
	var prefix, since string
	var limit int
	var asJSON bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "Print all users, or some",
		Example: "  userdata list --prefix B --since 2026-10-01 --limit 20\n  userdata list --json",
		Args:    cobra.NoArgs,
	}
	c.Flags().StringVar(&prefix, "prefix", "", "only ids that begin with `text`")
	c.Flags().StringVar(&since, "since", "", "only what was changed at this `time` or later")
	c.Flags().IntVar(&limit, "limit", -1, "at most `n` users")
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		var where []userdata.Predicate[userdata.Userdata]
		if prefix != "" {
			where = append(where, userdata.HasPrefix(columns.UserID, prefix))
		}
		if since != "" {
			t, err := parseTime(since)
			if err != nil {
				return err
			}
			where = append(where, columns.TimeStamp.Ge(t))
		}
		if cmd.Flags().Changed("limit") && limit < 0 {
			return usageError{fmt.Errorf("--limit %d: it can't be negative", limit)}
		}
		return a.read(cmd, func(ctx context.Context, s *userdata.Session) error {
			q := table.Select(s).Where(where...).Untracked()
			if limit >= 0 {
				q = q.Limit(limit)
			}
			if asJSON {
				return printJSON(ctx, cmd.OutOrStdout(), q)
			}
			return printTable(ctx, cmd.OutOrStdout(), q)
		})
	}
	return c
}

// printJSON writes a line a record.
func printJSON(ctx context.Context, w io.Writer, q userdata.Query[userdata.Userdata]) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for u, err := range q.Rows(ctx) {
		if err != nil {
			return err
		}
		line := struct {
			UserID    string    `json:"user_id"`
			UserData  string    `json:"user_data"`
			TimeStamp time.Time `json:"time_stamp"`
		}{u.UserID, u.UserData, u.TimeStamp}
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

// printTable writes aligned columns, times as local ones.
func printTable(ctx context.Context, w io.Writer, q userdata.Query[userdata.Userdata]) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "user_id\ttime_stamp\tuser_data")
	for u, err := range q.Rows(ctx) {
		if err != nil {
			return err
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", printable(u.UserID), u.TimeStamp.Local().Format("2006-01-02 15:04"), printable(u.UserData))
	}
	return tw.Flush()
}

func (a *app) tables() *cobra.Command {
	return &cobra.Command{
		Use:     "tables",
		Short:   "Print the tables with their columns and number of records",
		Example: "  userdata tables",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.read(cmd, func(ctx context.Context, s *userdata.Session) error {
				n, err := table.Select(s).Count(ctx)
				if err != nil {
					return err
				}
				schema := userdata.TableSchema{Name: table.Name(), Columns: table.Columns()}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s  records: %d\n", schema, n)
				return err
			})
		},
	}
}
