package userdata_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata"
	"github.com/seed-5df914be/userdata/internal/pages"
)

// openBolt opens a store in a new temporary file. When the test ends the store
// is closed and the file checked.
func openBolt(t testing.TB) *userdata.BoltStore {
	t.Helper()
	return openBoltFile(t, filepath.Join(t.TempDir(), "test.db"), nil)
}

// openBoltFile is openBolt with a file and options of the caller's.
func openBoltFile(t testing.TB, path string, opts *userdata.Options) *userdata.BoltStore {
	t.Helper()
	s, err := userdata.OpenBolt(path, opts)
	if err != nil {
		t.Fatalf("OpenBolt: got %v, want nil", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: got %v, want nil", err)
		}
		for _, err := range checkBolt(path) {
			t.Errorf("file after the test: %v", err)
		}
	})
	return s
}

// checkBolt runs bbolt's own check on a closed file and returns what it finds.
func checkBolt(path string) (found []error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return []error{fmt.Errorf("open to check: %w", err)}
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			found = append(found, err)
		}
		return nil
	})
	if err != nil {
		found = append(found, err)
	}
	return found
}

// checkPages verifies the structure of a closed file.
func checkPages(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	report, err := pages.Check(f, info.Size())
	return errors.Join(err, report.Err())
}

// seedRapid makes rapid's tests draw the same values in each run, unless the
// command line has a seed of its own: -rapid.seed=N, or 0 for a new one.
func seedRapid() {
	flag.Parse()
	seeded := false
	flag.Visit(func(f *flag.Flag) { seeded = seeded || f.Name == "rapid.seed" })
	if !seeded {
		if err := flag.Set("rapid.seed", "1"); err != nil {
			panic(err)
		}
	}
}
