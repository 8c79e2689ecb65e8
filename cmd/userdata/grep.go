package main

import (
	"context"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/seed-5df914be/userdata"
)

func (a *app) grep() *cobra.Command {
	var g grepping
	c := &cobra.Command{
		Use:   "grep PATTERN [TABLE...]",
		Short: "Find records that have a text in any column",
		Long: `Grep prints the columns that match a pattern, a regular expression, in all tables
or in some. Of columns that are no text it looks at what list prints of them. The
exit status is 4 if nothing matches.`,
		Example: `  userdata grep data
  userdata grep -i '^brad' userdata -o csv`,
		Args: cobra.MinimumNArgs(1),
	}
	c.ValidArgsFunction = func(cmd *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.completeTables(cmd, nil, begin)
	}
	c.Flags().BoolVarP(&g.ignoreCase, "ignore-case", "i", false, "let capital letters match small ones")
	c.Flags().BoolVarP(&g.fixed, "fixed", "F", false, "the pattern is a text, not a regular expression")
	c.Flags().BoolVarP(&g.keys, "keys", "l", false, "print table and key of each record only")
	a.addOutputFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if err := g.compile(args[0]); err != nil {
			return err
		}
		return a.read(cmd, func(ctx context.Context, db *userdata.DB) error {
			names := args[1:]
			if len(names) == 0 {
				names = tableNames(db.Schema())
			}
			return g.run(ctx, a, cmd, db, names)
		})
	}
	return c
}

// A grepping is what grep looks for.
type grepping struct {
	ignoreCase, fixed, keys bool
	pattern                 *regexp.Regexp
}

// compile reads the pattern.
func (g *grepping) compile(pattern string) (err error) {
	if g.fixed {
		pattern = regexp.QuoteMeta(pattern)
	}
	if g.ignoreCase {
		pattern = "(?i)" + pattern
	}
	if g.pattern, err = regexp.Compile(pattern); err != nil {
		return usageError{fmt.Errorf("%w: -F takes the pattern as it is", err)}
	}
	return nil
}

// noMatch is the error if nothing matches. It says nothing: the status does.
type noMatch struct{}

func (noMatch) Error() string { return "" }

// run looks through tables.
func (g *grepping) run(ctx context.Context, a *app, cmd *cobra.Command, db *userdata.DB, names []string) error {
	columns := []string{"table", "key", "column", "value"}
	if g.keys {
		columns = columns[:2]
	}
	out, err := a.output(cmd, columns)
	if err != nil {
		return err
	}
	s := db.NewSession()
	defer s.Close()
	found, n := false, 0
	p := newProgress(cmd, "search")
	defer p.end()
	for _, name := range names {
		t, err := tableNamed(db, name)
		if err != nil {
			return err
		}
		for row, err := range t.Select(s).Untracked().Rows(ctx) {
			if err != nil {
				return err
			}
			if n++; n%4096 == 0 && !isTerminal(cmd.OutOrStdout()) {
				p.report(t.Name(), n, 0)
			}
			for _, e := range row.Values() {
				cell := searchText(e.Value)
				if e.Value == nil || !g.pattern.MatchString(cell) {
					continue
				}
				found = true
				if err := out.write([]any{t.Name(), keyText(t, row), e.Key, cell}[:len(columns)]); err != nil {
					return err
				}
				if g.keys {
					break
				}
			}
		}
	}
	if err := out.close(); err != nil {
		return err
	}
	if !found {
		return noMatch{}
	}
	return nil
}

// searchText returns a value as text that a pattern is looked for in: bytes that are
// text as that.
func searchText(v any) string {
	if b, ok := v.([]byte); ok && printable(string(b)) == string(b) {
		return string(b)
	}
	return plainCell(v)
}
