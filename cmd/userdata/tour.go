package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-5df914be/userdata"
	"github.com/spf13/cobra"
)

func (a *app) tour() *cobra.Command {
	return &cobra.Command{
		Use:   "tour",
		Short: "Show on a fresh file what the library does, step by step",
		Long: `Tour writes, finds, changes and deletes records in a fresh file, and shows each
call with what came of it. The file is a temporary one, which is removed at the
end, unless --db names one that does not exist yet.`,
		Example: "  userdata tour",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := a.path
			if !cmd.Flags().Changed("db") {
				dir, err := os.MkdirTemp("", "userdata-tour-")
				if err != nil {
					return err
				}
				defer os.RemoveAll(dir)
				path = filepath.Join(dir, "userdata.db")
			} else if _, err := os.Lstat(path); err == nil {
				return fmt.Errorf("the tour needs a fresh file, and %s exists: name another with --db", path)
			}
			t := &tour{ctx: cmd.Context(), w: cmd.OutOrStdout(), path: path, opts: a.options(cmd, false)}
			return t.run()
		},
	}
}

// A tour is the story on its way.
type tour struct {
	ctx  context.Context
	w    io.Writer
	path string
	opts *userdata.Options

	db   *userdata.DB
	s    *userdata.Session
	step int
}

// tourTime is the time that the tour's records carry.
var tourTime = time.Date(2026, 10, 12, 19, 58, 0, 0, time.UTC)

// run tells the story. Each chapter leaves the session with nothing pending.
func (t *tour) run() error {
	chapters := []func() error{
		t.open, t.add, t.commit, t.otherProcess, t.change, t.changeByQuery, t.rollback, t.delete, t.conflict, t.invalid,
	}
	defer func() {
		if t.db != nil {
			t.db.Close()
		}
	}()
	for _, chapter := range chapters {
		if err := chapter(); err != nil {
			return fmt.Errorf("the tour ended early: %w", err)
		}
	}
	t.title("That is all")
	t.say("%s", "Now yourself:   userdata put Brad \"Brad's data\"   then   userdata list --echo")
	return nil
}

// title begins a step.
func (t *tour) title(text string) {
	t.step++
	fmt.Fprintf(t.w, "\n%d. %s\n", t.step, text)
}

// call shows a line of Go.
func (t *tour) call(code string) { fmt.Fprintf(t.w, "   > %s\n", code) }

// say shows what came of it.
func (t *tour) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Fprintln(t.w, "     "+strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n     "))
}

func (t *tour) open() (err error) {
	t.title("Open a file that does not exist: it is created with its table")
	t.call(`db, err := userdata.Open("userdata.db", nil, userdata.UserdataTable)`)
	if t.db, err = userdata.Open(t.path, t.opts, table); err != nil {
		return err
	}
	t.call("fmt.Println(db.Schema())")
	t.say("%s", t.db.Schema())
	t.s = t.db.NewSession()
	return nil
}

func (t *tour) add() error {
	t.title("Add three users: this session sees them, nobody else does")
	t.call("s := db.NewSession()")
	t.call("err = s.Add(brad, larry, jane)")
	brad := &userdata.Userdata{UserID: "Brad", UserData: "Brad's data", TimeStamp: tourTime}
	larry := &userdata.Userdata{UserID: "Larry", UserData: "Larry's data", TimeStamp: tourTime}
	jane := &userdata.Userdata{UserID: "Jane", UserData: "Jane's data", TimeStamp: tourTime}
	if err := t.s.Add(brad, larry, jane); err != nil {
		return err
	}
	t.call(`found, err := userdata.UserdataTable.Select(s).Where(UserID.Eq("Brad")).One(ctx)`)
	found, err := table.Select(t.s).Where(columns.UserID.Eq("Brad")).One(t.ctx)
	if err != nil {
		return err
	}
	t.say("%v\nfound == brad: %t, state: %v", found, found == brad, t.s.State(brad))
	other := t.db.NewSession()
	defer other.Close()
	t.call("n, err := userdata.UserdataTable.Select(otherSession).Count(ctx)")
	n, err := table.Select(other).Count(t.ctx)
	t.say("%d", n)
	return err
}

func (t *tour) commit() error {
	t.title("Commit: one transaction, durable when it returns")
	t.call("err = s.Commit(ctx)")
	if err := t.s.Commit(t.ctx); err != nil {
		return err
	}
	other := t.db.NewSession()
	defer other.Close()
	t.call("for u, err := range userdata.UserdataTable.Select(otherSession).Rows(ctx) { fmt.Println(u) }")
	return t.printAll(other)
}

// printAll shows every record as a session sees it.
func (t *tour) printAll(s *userdata.Session) error {
	for u, err := range table.Select(s).Rows(t.ctx) {
		if err != nil {
			return err
		}
		t.say("%v", u)
	}
	return nil
}

func (t *tour) otherProcess() error {
	t.title("Close, and read Brad in a new process")
	if err := t.db.Close(); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(t.ctx, self, "get", "Brad", "--db", t.path)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	out, err := cmd.CombinedOutput()
	fmt.Fprintln(t.w, "   $ userdata get Brad")
	t.say("%s", out)
	if err != nil {
		return err
	}
	if t.db, err = userdata.Open(t.path, t.opts, table); err != nil {
		return err
	}
	t.s = t.db.NewSession()
	return nil
}

func (t *tour) change() error {
	t.title("Change an object: Commit notices")
	t.call(`brad, err := userdata.UserdataTable.Get(ctx, s, "Brad")`)
	brad, err := table.Get(t.ctx, t.s, "Brad")
	if err != nil {
		return err
	}
	t.call(`brad.UserData = "changed"`)
	brad.UserData = "changed"
	for c := range t.s.Changes() {
		for _, col := range c.Columns {
			t.say("%s %v %s: %v -> %v", c.Table, c.Key, col.Column, col.Old, col.New)
		}
	}
	t.call("err = s.Commit(ctx)")
	if err := t.s.Commit(t.ctx); err != nil {
		return err
	}
	t.say("%v", brad)
	return nil
}

func (t *tour) changeByQuery() error {
	t.title("Change by query: objects in the session follow")
	larry, err := table.Get(t.ctx, t.s, "Larry")
	if err != nil {
		return err
	}
	t.call(`n, err := userdata.UserdataTable.Select(s).Where(UserID.Eq("Larry")).`)
	t.call(`	Update(ctx, UserData.Set("updated information"), TimeStamp.Set(now))`)
	n, err := table.Select(t.s).Where(columns.UserID.Eq("Larry")).
		Update(t.ctx, columns.UserData.Set("updated information"), columns.TimeStamp.Set(tourTime.Add(time.Hour)))
	if err != nil {
		return err
	}
	t.say("%d record: %v", n, larry)
	t.call(`n, err = userdata.UserdataTable.Select(s).Where(UserID.Eq("tom")).Update(ctx, ...)`)
	n, err = table.Select(t.s).Where(columns.UserID.Eq("tom")).Update(t.ctx, columns.UserData.Set("updated information"))
	if err != nil {
		return err
	}
	t.say("%d records", n)
	t.call("err = s.Commit(ctx)")
	if err := t.s.Commit(t.ctx); err != nil {
		return err
	}
	return t.printAll(t.s)
}

func (t *tour) rollback() error {
	t.title("Roll back: the object is what it was")
	brad, err := table.Get(t.ctx, t.s, "Brad")
	if err != nil {
		return err
	}
	t.call(`brad.UserData = "a mistake"`)
	brad.UserData = "a mistake"
	t.call("s.Rollback()")
	t.s.Rollback()
	t.say("%v", brad)
	return nil
}

func (t *tour) delete() error {
	t.title("Delete Jane, and someone who is not there")
	jane, err := table.Get(t.ctx, t.s, "Jane")
	if err != nil {
		return err
	}
	t.call("err = s.Delete(jane); err = s.Commit(ctx)")
	if err := errors.Join(t.s.Delete(jane), t.s.Commit(t.ctx)); err != nil {
		return err
	}
	if err := t.printAll(t.s); err != nil {
		return err
	}
	t.call(`_, err = userdata.UserdataTable.Get(ctx, s, "tom")`)
	_, err = table.Get(t.ctx, t.s, "tom")
	t.say("%v\nerrors.Is(err, userdata.ErrNotFound): %t", err, errors.Is(err, userdata.ErrNotFound))
	t.call(`err = s.Delete(&userdata.Userdata{UserID: "tom"})`)
	t.say("%v", t.s.Delete(&userdata.Userdata{UserID: "tom"}))
	return nil
}

func (t *tour) conflict() error {
	t.title("Two sessions change Brad: the second commit is refused, and nothing is lost")
	s2 := t.db.NewSession()
	defer s2.Close()
	mine, err := table.Get(t.ctx, t.s, "Brad")
	if err != nil {
		return err
	}
	theirs, err := table.Get(t.ctx, s2, "Brad")
	if err != nil {
		return err
	}
	mine.UserData, theirs.UserData = "from the first", "from the second"
	t.call("err1 := s1.Commit(ctx); err2 := s2.Commit(ctx)")
	if err := t.s.Commit(t.ctx); err != nil {
		return err
	}
	err = s2.Commit(t.ctx)
	t.say("%v", err)
	var re *userdata.RecordError
	if !errors.As(err, &re) {
		return errors.New("the second commit was not refused")
	}
	t.say("read:   %v\nwanted: %v\nthere:  %v", re.Base, re.Mine, re.Theirs)
	t.call("err = s2.Refresh(ctx, brad) // theirs wins; then change it again, and commit")
	if err := s2.Refresh(t.ctx, theirs); err != nil {
		return err
	}
	theirs.UserData += ", then from the second"
	t.call("err = s2.Commit(ctx)")
	if err := s2.Commit(t.ctx); err != nil {
		return err
	}
	t.say("%v", theirs)
	return nil
}

func (t *tour) invalid() error {
	t.title("What does not fit: one error names every fault, and nothing is written")
	t.call("err = s.Add(tooLong, nobody); err = s.Commit(ctx)")
	tooLong := &userdata.Userdata{UserID: strings.Repeat("é", 33), UserData: strings.Repeat("x", 641)}
	nobody := &userdata.Userdata{UserID: "", UserData: "\xff"}
	if err := t.s.Add(tooLong, nobody); err != nil {
		return err
	}
	err := t.s.Commit(t.ctx)
	if !errors.Is(err, userdata.ErrInvalid) {
		return fmt.Errorf("the commit was not refused as it should be: %v", err)
	}
	t.say("%v", err)
	t.s.Rollback()
	n, err := table.Select(t.s).Count(t.ctx)
	t.say("%d users, as before", n)
	return err
}
