package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-5df914be/userdata"
)

func (a *app) backup() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "backup TARGET",
		Short: "Copy the file as it is now, also while others write to it",
		Long: `Backup writes a consistent copy, which appears under its name when it is complete,
on the disk, and verified. Programs that open the file with Options.Shared may have
it open meanwhile; one that has it for itself must close it first, or make the
backup itself with BoltStore.Backup.`,
		Example: "  userdata backup copy.db",
		Args:    cobra.ExactArgs(1),
	}
	c.Flags().BoolVar(&force, "force", false, "replace TARGET if it exists")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if fileExists(args[0]) && !force {
			return fmt.Errorf("there is a file %s already: --force replaces it: %w", printable(args[0]), fs.ErrExist)
		}
		p := newProgress(cmd, "copy")
		opts := a.options(cmd, true)
		opts.Shared, opts.Progress = true, p.report
		err := a.withStore(cmd, opts, func(ctx context.Context, s *userdata.BoltStore) error { return s.Backup(ctx, args[0]) })
		p.end()
		if err == nil {
			err = saySize(cmd, args[0], "written")
		}
		return err
	}
	return c
}

// saySize says how large a file is by now.
func saySize(cmd *cobra.Command, path, done string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s %s\n", printable(path), sizeText(info.Size()), done)
	return err
}

func (a *app) compact() *cobra.Command {
	return &cobra.Command{
		Use:   "compact",
		Short: "Give the room of deleted records back to the system",
		Long: `Compact writes the file anew without the room that deleted and changed records have
left, and puts the new file in the place of the old one when it is complete: if it is
stopped, the old one is there. It needs as much free disk space as the new file.`,
		Example: "  userdata compact",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			before, err := os.Stat(a.path)
			if errors.Is(err, fs.ErrNotExist) {
				return noFile(a.path)
			}
			if err != nil {
				return err
			}
			p := newProgress(cmd, "compact")
			opts := a.options(cmd, false)
			opts.Shared, opts.Progress = true, p.report
			err = a.withStore(cmd, opts, func(ctx context.Context, s *userdata.BoltStore) error { return s.Compact(ctx) })
			p.end()
			if err != nil {
				return err
			}
			return saySize(cmd, a.path, "now, "+sizeText(before.Size())+" before")
		},
	}
}

func (a *app) check() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Look for damage in the whole file: exit status 3 if there is any",
		Long: `Check reads all of the file: the structure of its pages, the checksum of each
record, that it decodes, and that the indexes say what the records say. It changes
nothing. Salvage saves what can be read of a damaged file.`,
		Example: "  userdata check && echo sound",
		Args:    cobra.NoArgs,
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := a.checkOurs(cmd); err != nil {
			return err
		}
		p := newProgress(cmd, "check")
		opts := a.options(cmd, true)
		opts.Progress = p.report
		var report *userdata.CheckReport
		err := a.withStore(cmd, opts, func(ctx context.Context, s *userdata.BoltStore) (err error) {
			report, err = s.Check(ctx)
			return err
		})
		p.end()
		switch {
		case errors.Is(err, userdata.ErrCorrupt): // too damaged to be opened
			if report, err = diagnose(cmd.Context(), a.path, err); err != nil {
				return err
			}
		case err != nil:
			return err
		}
		if err := printReport(cmd, a.path, report, asJSON); err != nil {
			return err
		}
		if n := len(report.Problems) + report.Omitted; n > 0 {
			return damaged{fmt.Sprintf("%s is damaged: %s found", printable(a.path), plural(n, "problem"))}
		}
		return nil
	}
	return c
}

// diagnose reports on a file that can't be opened: what salvage would find there. It
// needs room for that, which it gives back.
func diagnose(ctx context.Context, path string, why error) (*userdata.CheckReport, error) {
	report := &userdata.CheckReport{Problems: []error{why}}
	dir, err := os.MkdirTemp("", "userdata-check-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	saved, err := userdata.Salvage(ctx, path, filepath.Join(dir, "saved.db"), nil)
	switch {
	case errors.Is(err, userdata.ErrCorrupt): // nothing can be read
		return report, nil
	case err != nil:
		return nil, err
	}
	for _, finding := range saved.Findings {
		report.Problems = append(report.Problems, errors.New(finding))
	}
	for _, t := range saved.Tables {
		if strings.HasPrefix(t.Name, "_") {
			continue
		}
		report.Tables = append(report.Tables, userdata.CheckedTable{Name: t.Name, Records: t.Saved})
		if t.Damaged > 0 {
			report.Problems = append(report.Problems, fmt.Errorf("table %s: %s damaged", t.Name, plural(t.Damaged, "record")))
		}
		if lost := t.Expected - t.Saved - t.Damaged; lost > 0 {
			report.Problems = append(report.Problems, fmt.Errorf("table %s: %s lost", t.Name, plural(lost, "record")))
		}
	}
	return report, nil
}

// checkOurs returns an error if the file is sound but none of the library's.
func (a *app) checkOurs(cmd *cobra.Command) error {
	db, err := a.open(cmd, a.options(cmd, true))
	switch {
	case errors.Is(err, userdata.ErrSchema):
		return err
	case err != nil:
		return nil // check itself says what is wrong
	}
	return db.Close()
}

// damaged is the error if a file is not sound.
type damaged struct{ message string }

func (e damaged) Error() string { return e.message }
func (e damaged) Unwrap() error { return userdata.ErrCorrupt }

// printReport prints what a check has found.
func printReport(cmd *cobra.Command, path string, r *userdata.CheckReport, asJSON bool) error {
	w := cmd.OutOrStdout()
	if asJSON {
		tables, problems := []any{}, []any{}
		for _, t := range r.Tables {
			tables = append(tables, []userdata.Entry{{Key: "name", Value: t.Name}, {Key: "records", Value: t.Records}})
		}
		for _, p := range r.Problems {
			problems = append(problems, p.Error())
		}
		b := appendJSON(nil, []userdata.Entry{
			{Key: "file", Value: path}, {Key: "sound", Value: len(r.Problems) == 0}, {Key: "tables", Value: tables},
			{Key: "pages", Value: r.Pages}, {Key: "free", Value: r.Free}, {Key: "lost", Value: r.Lost},
			{Key: "problems", Value: problems}, {Key: "omitted", Value: r.Omitted},
		})
		_, err := fmt.Fprintf(w, "%s\n", b)
		return err
	}
	for _, p := range r.Problems {
		fmt.Fprintln(w, printable(p.Error()))
	}
	if r.Omitted > 0 {
		fmt.Fprintf(w, "and %d more\n", r.Omitted)
	}
	for _, t := range r.Tables {
		fmt.Fprintf(w, "%s: %s can be read\n", t.Name, plural(t.Records, "record"))
	}
	if len(r.Problems) == 0 {
		fmt.Fprintf(w, "%s is sound: %d pages, %d of them free, %d lost\n", printable(path), r.Pages, r.Free, r.Lost)
	}
	return nil
}

func (a *app) salvage() *cobra.Command {
	var previous bool
	c := &cobra.Command{
		Use:   "salvage TARGET",
		Short: "Save what can be read of a damaged file to a new one",
		Long: `Salvage writes every record whose checksum holds to a new file. The damaged file is
not changed. It prints how many records of each table were saved, and how many are
known to be lost.`,
		Example: "  userdata salvage saved.db",
		Args:    cobra.ExactArgs(1),
	}
	c.Flags().BoolVar(&previous, "previous", false, "take the state before the last commit")
	a.addOutputFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if !fileExists(a.path) {
			return noFile(a.path)
		}
		p := newProgress(cmd, "save")
		report, err := userdata.Salvage(cmd.Context(), a.path, args[0], &userdata.SalvageOptions{Previous: previous, Progress: p.report})
		p.end()
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w: salvage writes a new file only: name another", err)
		}
		if err != nil {
			return err
		}
		var records [][]any
		for _, t := range report.Tables {
			if strings.HasPrefix(t.Name, "_") {
				continue // the library's own, of which it makes some anew
			}
			var expected any = t.Expected
			if t.Expected < 0 {
				expected = nil
			}
			records = append(records, []any{t.Name, t.Saved, expected, t.Damaged, t.Older, t.CutOff})
		}
		for _, f := range report.Findings {
			fmt.Fprintln(cmd.ErrOrStderr(), printable(f))
		}
		if a.format == "" {
			a.format = "table"
		}
		return a.writeAll(cmd, []string{"table", "saved", "expected", "damaged", "older", "cut_off"}, records)
	}
	return c
}
