package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-5df914be/userdata"
)

func (a *app) migrate() *cobra.Command {
	var m migration
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Rename, drop or retype a column",
		Long: `Migrate changes a column of a table in the file, and all records with it: all of
it, or nothing. A copy of the file as it was is kept beside it, unless --no-backup
is given. Programs that use the file must declare the column so from then on. The
file's history remembers the change.`,
		Example: `  userdata migrate rename userdata user_data data --plan
  userdata migrate retype userdata user_data 'string(2000)' --plan`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("name what to do: rename, drop or retype")}
		},
	}
	subs := []*cobra.Command{m.rename(a), m.drop(a), m.retype(a)}
	for _, sub := range subs {
		sub.ValidArgsFunction = a.completeTableColumn
		sub.Flags().BoolVar(&m.plan, "plan", false, "print what would be done, and do nothing")
		sub.Flags().BoolVar(&m.noBackup, "no-backup", false, "keep no copy of the file as it was")
		sub.Flags().BoolVarP(&m.yes, "yes", "y", false, "do not ask")
	}
	c.AddCommand(subs...)
	return c
}

// A migration is what the flags of migrate say.
type migration struct {
	plan, noBackup, yes bool
}

// rename is migrate rename.
func (m *migration) rename(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "rename TABLE COLUMN NAME",
		Short:   "Give a column another name",
		Example: "  userdata migrate rename userdata user_data data --plan",
		Args:    cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.run(a, cmd, args[0], args[1], func(userdata.ColumnSchema) (userdata.Step, error) {
				return userdata.RenameColumn(args[0], args[1], args[2]), nil
			})
		},
	}
}

// drop is migrate drop.
func (m *migration) drop(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "drop TABLE COLUMN",
		Short:   "Remove a column with its values and indexes",
		Example: "  userdata migrate drop userdata user_data --plan",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.run(a, cmd, args[0], args[1], func(userdata.ColumnSchema) (userdata.Step, error) {
				if !m.plan {
					if err := confirm(cmd, m.yes, fmt.Sprintf("Remove column %s of %s with all of its values?", args[1], args[0])); err != nil {
						return userdata.Step{}, err
					}
				}
				return userdata.DropColumn(args[0], args[1]), nil
			})
		},
	}
}

// retype is migrate retype.
func (m *migration) retype(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "retype TABLE COLUMN TYPE",
		Short: "Give a column another type or size",
		Long: `Retype makes a new value of each value of a column. TYPE is as schema prints it:
bool, int64, uint8, float64, string, string(200), bytes, time, ..., with "null" after it for a
column that may be null. Texts become numbers and times if they say one, strictly;
a value that does not fit ends it, and nothing is changed. Null becomes the zero
value where the new column can't be null.`,
		Example: "  userdata migrate retype userdata user_data 'string(2000)' --plan",
		Args:    cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.run(a, cmd, args[0], args[1], func(was userdata.ColumnSchema) (userdata.Step, error) {
				to, err := parseColumnType(was, args[2])
				if err != nil {
					return userdata.Step{}, err
				}
				return userdata.RetypeColumn(args[0], to, func(v any) (any, error) { return retyped(v, to) }), nil
			})
		},
	}
}

// run makes the step for a column, and runs it.
func (m *migration) run(a *app, cmd *cobra.Command, table, column string, step func(userdata.ColumnSchema) (userdata.Step, error)) error {
	var was userdata.ColumnSchema
	err := a.readTable(cmd, table, func(_ context.Context, _ *userdata.Session, t *userdata.RowTable) error {
		if err := checkColumn(t, column); err != nil {
			return err
		}
		for _, c := range t.Columns() {
			if c.Name == column {
				was = c
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s, err := step(was)
	if err != nil {
		return err
	}
	p := newProgress(cmd, "migrate")
	opts := a.options(cmd, false)
	opts.Progress, opts.NoBackup = p.report, m.noBackup
	opts.Migrations = []userdata.Migration{{Name: "tool-" + time.Now().UTC().Format("20060102-150405.000000000"), Steps: []userdata.Step{s}}}
	plan, err := userdata.PlanOpen(a.path, opts)
	if err != nil {
		return err
	}
	name := opts.Migrations[0].Name
	for _, change := range plan.Changes {
		if change != "migration "+name {
			fmt.Fprintln(cmd.OutOrStdout(), printable(change))
		}
	}
	if m.plan {
		return nil
	}
	db, err := userdata.Open(a.path, opts)
	p.end()
	if err != nil {
		return err
	}
	if before := a.path + ".before-" + name; fileExists(before) {
		fmt.Fprintf(cmd.ErrOrStderr(), "the file as it was: %s\n", printable(before))
	}
	return db.Close()
}

// parseColumnType reads a type as schema prints it.
func parseColumnType(was userdata.ColumnSchema, text string) (userdata.ColumnSchema, error) {
	to := userdata.ColumnSchema{Name: was.Name}
	text, to.Nullable = strings.CutSuffix(strings.TrimSpace(text), " null")
	to.Type = text
	if name, size, ok := strings.Cut(text, "("); ok {
		n, err := strconv.Atoi(strings.TrimSuffix(size, ")"))
		if err != nil || n < 1 || !strings.HasSuffix(size, ")") {
			return to, usageError{fmt.Errorf("%q is no size: write it as in string(200)", printable(text))}
		}
		to.Type, to.Size = name, n
	}
	if goTypes[to.Type] != nil {
		return to, nil
	}
	return to, usageError{fmt.Errorf("%q is no type that a column can be turned into%s", printable(to.Type), didYouMean(to.Type, slices.Sorted(maps.Keys(goTypes))))}
}

// retyped returns a value as one of another column's.
func retyped(v any, to userdata.ColumnSchema) (any, error) {
	t := goTypes[to.Type]
	switch b, isBytes := v.([]byte); {
	case v == nil && to.Nullable:
		return nil, nil
	case v == nil && to.Type == "bytes":
		return []byte{}, nil
	case v == nil:
		return reflect.Zero(t).Interface(), nil
	case to.Type == "string":
		return plainCell(v), nil
	case to.Type == "bytes" && isBytes:
		return b, nil
	case to.Type == "time":
		if _, isTime := v.(time.Time); isTime {
			return v, nil
		}
	}
	types := &columnTypes{types: map[string]reflect.Type{to.Name: t}}
	if f, isFloat := asFloat(v); isFloat && t.Kind() != reflect.Float32 && t.Kind() != reflect.Float64 {
		return types.textValue(to.Name, strconv.FormatFloat(f, 'f', -1, 64)) // 2 rather than 2e+00
	}
	return types.textValue(to.Name, plainCell(v))
}

// asFloat returns a value that is a float.
func asFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case float32:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// goTypes are the types that columns can be turned into.
var goTypes = map[string]reflect.Type{
	"bool": reflect.TypeFor[bool](), "string": reflect.TypeFor[string](), "bytes": reflect.TypeFor[[]byte](), "time": reflect.TypeFor[time.Time](),
	"int": reflect.TypeFor[int](), "int8": reflect.TypeFor[int8](), "int16": reflect.TypeFor[int16](), "int32": reflect.TypeFor[int32](), "int64": reflect.TypeFor[int64](),
	"uint": reflect.TypeFor[uint](), "uint8": reflect.TypeFor[uint8](), "uint16": reflect.TypeFor[uint16](), "uint32": reflect.TypeFor[uint32](), "uint64": reflect.TypeFor[uint64](),
	"float32": reflect.TypeFor[float32](), "float64": reflect.TypeFor[float64](),
}
