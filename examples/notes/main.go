// Command notes keeps notes in a file:
//
//	notes add ID TITLE [BODY]
//	notes list
//	notes show ID
//	notes edit ID TITLE
//	notes find WORD
//	notes rm ID
//
// The file is notes.db, or what NOTES_DB says.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/seed-5df914be/userdata"
)

// A Note is the record; its tags are the whole declaration.
type Note struct {
	ID      string    `userdata:"id,key,size=32"`
	Title   string    `userdata:"title,size=120"`
	Body    string    `userdata:"body"`
	Updated time.Time `userdata:"updated"`
}

// Validate is called before a note is written.
func (n *Note) Validate() error {
	if strings.TrimSpace(n.Title) == "" {
		return errors.New("a note needs a title")
	}
	return nil
}

var (
	notes       = userdata.NewTable[Note]("notes")
	noteUpdated = userdata.ColumnOf(func(n *Note) *time.Time { return &n.Updated })
)

func main() {
	path := os.Getenv("NOTES_DB")
	if path == "" {
		path = "notes.db"
	}
	if err := run(context.Background(), path, os.Args[1:], os.Stdout, time.Now); err != nil {
		fmt.Fprintln(os.Stderr, "notes:", err)
		os.Exit(1)
	}
}

// run carries out one command.
func run(ctx context.Context, path string, args []string, w io.Writer, now func() time.Time) error {
	commands := map[string]struct {
		least, most int
		do          func(ctx context.Context, s *userdata.Session, args []string) error
	}{
		"add": {2, 3, func(ctx context.Context, s *userdata.Session, args []string) error {
			n := &Note{ID: args[0], Title: args[1], Updated: now()}
			if len(args) == 3 {
				n.Body = args[2]
			}
			return s.Add(n)
		}},
		"list": {0, 0, func(ctx context.Context, s *userdata.Session, _ []string) error {
			return list(ctx, w, notes.Select(s).OrderBy(noteUpdated.Desc()))
		}},
		"show": {1, 1, func(ctx context.Context, s *userdata.Session, args []string) error {
			n, err := notes.Get(ctx, s, args[0])
			if err == nil {
				_, err = fmt.Fprintf(w, "%s\n\n%s\n", n.Title, n.Body)
			}
			return err
		}},
		"edit": {2, 2, func(ctx context.Context, s *userdata.Session, args []string) error {
			n, err := notes.Get(ctx, s, args[0])
			if err == nil {
				n.Title, n.Updated = args[1], now() // no Save: the commit notices
			}
			return err
		}},
		"find": {1, 1, func(ctx context.Context, s *userdata.Session, args []string) error {
			word := strings.ToLower(args[0])
			return list(ctx, w, notes.Select(s).Where(userdata.Match(func(n *Note) bool {
				return strings.Contains(strings.ToLower(n.Title+" "+n.Body), word)
			})))
		}},
		"rm": {1, 1, func(ctx context.Context, s *userdata.Session, args []string) error {
			n, err := notes.Get(ctx, s, args[0])
			if err != nil {
				return err
			}
			return s.Delete(n)
		}},
	}
	if len(args) == 0 {
		return errors.New("say what to do: add, list, show, edit, find or rm")
	}
	c, ok := commands[args[0]]
	if args = args[1:]; !ok || len(args) < c.least || len(args) > c.most {
		return errors.New("usage: add ID TITLE [BODY] | list | show ID | edit ID TITLE | find WORD | rm ID")
	}
	db, err := userdata.Open(path, nil, notes)
	if err != nil {
		return err
	}
	err = db.Transact(ctx, func(s *userdata.Session) error { return c.do(ctx, s, args) })
	return errors.Join(err, db.Close())
}

// list prints a line for each note of the query.
func list(ctx context.Context, w io.Writer, q userdata.Query[Note]) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for n, err := range q.Rows(ctx) {
		if err != nil {
			return err
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", n.ID, n.Updated.Format(time.DateOnly), n.Title)
	}
	return tw.Flush()
}
