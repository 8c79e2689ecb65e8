package main

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata"
)

// updateFiles writes what is generated, and what scripts compare with, anew.
var updateFiles = flag.Bool("update", false, "write docs/cli.md, the man pages and what scripts compare with anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"userdata": func() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs testdata/*.txtar: one for each command.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata",
		Setup: func(e *testscript.Env) error { e.Setenv("TZ", "UTC"); return nil },
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"status": status,
			"sample": sampleCommand,
			"hold":   hold,
			"plain": func(ts *testscript.TestScript, _ bool, args []string) {
				db, err := bbolt.Open(ts.MkAbs(args[0]), 0o600, nil)
				ts.Check(err)
				ts.Check(db.Update(func(tx *bbolt.Tx) error {
					_, err := tx.CreateBucket([]byte("bucket"))
					return err
				}))
				ts.Check(db.Close())
			},
			"replace": func(ts *testscript.TestScript, _ bool, args []string) {
				path := ts.MkAbs(args[0])
				b, err := os.ReadFile(path)
				ts.Check(err)
				if !bytes.Contains(b, []byte(args[1])) {
					ts.Fatalf("%s has no %s", args[0], args[1])
				}
				ts.Check(os.WriteFile(path, bytes.ReplaceAll(b, []byte(args[1]), []byte(args[2])), 0o600))
			},
			"notables": func(ts *testscript.TestScript, _ bool, args []string) {
				db, err := userdata.Open(ts.MkAbs(args[0]), nil)
				ts.Check(err)
				ts.Check(db.Close())
			},
		},
		RequireExplicitExec: true,
		UpdateScripts:       *updateFiles,
	})
}

// status runs the command, whose exit status must be the first argument.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: status N args...")
	}
	want := args[0]
	err := ts.Exec("userdata", args[1:]...)
	got := "0"
	if err != nil {
		got = err.Error()
		const prefix = "exit status "
		if len(got) > len(prefix) {
			got = got[len(prefix):]
		}
	}
	if got != want {
		ts.Fatalf("userdata %q: got exit status %s, want %s", args[1:], got, want)
	}
}

// sampleCommand makes the file of sampleFile under a name.
func sampleCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sample FILE")
	}
	ts.Check(makeSamples(ts.MkAbs(args[0])))
}

// hold opens a file for the rest of the script: for itself, or with -shared in turn
// with others.
func hold(ts *testscript.TestScript, neg bool, args []string) {
	shared := len(args) > 0 && args[0] == "-shared"
	if shared {
		args = args[1:]
	}
	if neg || len(args) != 1 {
		ts.Fatalf("usage: hold [-shared] FILE")
	}
	db, err := userdata.OpenFile(ts.MkAbs(args[0]), &userdata.Options{Shared: shared})
	ts.Check(err)
	ts.Defer(func() { db.Close() })
}
