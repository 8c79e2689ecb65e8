package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-5df914be/userdata"
)

// mostKeys is how many keys completion offers.
const mostKeys = 100

// toCompletions returns words as cobra offers them.
func toCompletions(words []string) []cobra.Completion { return append([]cobra.Completion{}, words...) }

// completeTables offers the tables of the file for the first argument.
func (a *app) completeTables(cmd *cobra.Command, args []string, _ string) (out []string, _ cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	_ = a.read(cmd, func(_ context.Context, db *userdata.DB) error {
		out = tableNames(db.Schema())
		return nil
	})
	return out, cobra.ShellCompDirectiveNoFileComp
}

// completeKeys offers tables, and the keys of the users, for the first argument, and
// keys of the table for those that follow.
func (a *app) completeKeys(cmd *cobra.Command, args []string, begin string) (out []string, _ cobra.ShellCompDirective) {
	name := ""
	if len(args) > 0 {
		name = args[0]
	} else {
		out, _ = a.completeTables(cmd, nil, begin)
	}
	_ = a.readTable(cmd, name, func(ctx context.Context, s *userdata.Session, t *userdata.RowTable) error {
		q := t.Select(s).Untracked()
		key := keyColumn(t).Name
		if prefixed := q.Where(userdata.RowColumn(key).HasPrefix(begin)); begin != "" {
			if _, err := prefixed.Explain(); err == nil {
				q = prefixed
			}
		}
		for row, err := range q.Limit(mostKeys).Rows(ctx) {
			if err != nil {
				return err
			}
			if text := keyText(t, row); strings.HasPrefix(text, begin) && printable(text) == text {
				out = append(out, text)
			}
		}
		return nil
	})
	return out, cobra.ShellCompDirectiveNoFileComp
}

// completeAssignments offers what completeKeys does for the first arguments, n of
// them with the table, and the columns of the table after them.
func (a *app) completeAssignments(n int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 || len(args) < n && !cmd.Flags().Changed("where") {
			return a.completeKeys(cmd, args, begin)
		}
		names, _ := a.completeColumns(cmd, args, begin)
		for i, name := range names {
			names[i] = name + "="
		}
		return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

// completeColumns offers the columns of the table that the arguments begin with, as
// the next of a list.
func (a *app) completeColumns(cmd *cobra.Command, args []string, begin string) (out []string, _ cobra.ShellCompDirective) {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	before := begin[:strings.LastIndexByte(begin, ',')+1]
	_ = a.readTable(cmd, name, func(_ context.Context, _ *userdata.Session, t *userdata.RowTable) error {
		for _, c := range columnNames(t) {
			out = append(out, before+c)
		}
		return nil
	})
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeTableColumn offers a table for the first argument, and its columns for the
// second.
func (a *app) completeTableColumn(cmd *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return a.completeTables(cmd, args, begin)
	case 1:
		names, _ := a.completeColumns(cmd, args, begin)
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}
