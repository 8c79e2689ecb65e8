// Command userdata looks into the files that the library writes, works on them, and
// moves data in and out.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"github.com/seed-5df914be/userdata"
)

// table is the ready-made one, whose name the first commands need not be told.
var table, columns = userdata.UserdataTable, userdata.UserdataColumns

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is main with everything handed in. It returns the exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // so that a second interrupt ends the process at once
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	return report(stderr, cmd, err)
}

// newRoot returns the command with all of its subcommands.
func newRoot() *cobra.Command {
	a := &app{}
	root := &cobra.Command{
		Use:   "userdata [FILE]",
		Short: "Look into a file of userdata records, work on it, move data in and out",
		Long: `Userdata opens any file that the library has written: it finds its tables in the
file. With just a file it says what is in it. The commands take the file from --db
or from the variable USERDATA_DB.

Data goes to stdout, all else to stderr. Times are local, with --utc in UTC; formats
for programs always have them in UTC.

Exit status: 0 done, 1 error, 2 wrong usage, 3 damaged file, 4 not found,
5 changed by someone else meanwhile, 6 file in use by another process.`,
		Example: `  userdata put Brad "Brad's data"
  userdata userdata.db
  userdata list userdata --where 'user_data contains "data"'`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	a.addFlags(root)
	root.AddGroup(&cobra.Group{ID: "read", Title: "Read:"}, &cobra.Group{ID: "write", Title: "Write:"}, &cobra.Group{ID: "move", Title: "Move:"}, &cobra.Group{ID: "keep", Title: "Keep:"})
	addCommands(root, "read", a.list(), a.get(), a.exists(), a.tables(), a.schema(), a.grep(), a.top(), a.stats())
	addCommands(root, "write", a.put(), a.update(), a.delete(), a.edit())
	addCommands(root, "move", a.importCommand(), a.export(), a.dump(), a.restore(), a.diff())
	addCommands(root, "keep", a.backup(), a.compact(), a.check(), a.salvage(), a.migrate())
	root.AddCommand(a.tour())
	checkUsage(root)
	root.Args = cobra.ArbitraryArgs
	root.RunE = func(cmd *cobra.Command, args []string) error { return a.bare(cmd, args) }
	return root
}

// addCommands adds commands of one group.
func addCommands(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
		root.AddCommand(c)
	}
}

// checkUsage makes wrong arguments of all commands a usageError.
func checkUsage(parent *cobra.Command) {
	for _, c := range parent.Commands() {
		if check := c.Args; check != nil {
			c.Args = func(cmd *cobra.Command, args []string) error {
				if err := check(cmd, args); err != nil {
					return usageError{fmt.Errorf("%s: %w", cmd.CommandPath(), err)}
				}
				return nil
			}
		}
		checkUsage(c)
	}
}

// bare is what the tool does without a command: it says what is in a file, or how it
// is used.
func (a *app) bare(cmd *cobra.Command, args []string) error {
	named := cmd.Flags().Changed("db") || os.Getenv("USERDATA_DB") != ""
	switch {
	case len(args) == 0 && !named:
		return cmd.Help()
	case len(args) == 0:
		return a.overview(cmd)
	case !fileExists(args[0]):
		var names []string
		for _, c := range cmd.Commands() {
			names = append(names, c.Name())
		}
		return usageError{fmt.Errorf("there is no command %q, and no such file%s", printable(args[0]), suggestion(args[0], names))}
	case len(args) > 1:
		return usageError{fmt.Errorf("write the command first: userdata %s --db %s", printable(args[1]), shellWord(args[0]))}
	}
	a.path = args[0]
	return a.overview(cmd)
}
