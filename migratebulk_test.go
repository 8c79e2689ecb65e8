package userdata_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-5df914be/userdata"
)

// A large table as two versions of a program declare it.
type (
	letterOld struct {
		ID   string  `userdata:"id,key"`
		From string  `userdata:"from,index"`
		Cost float32 `userdata:"cost"`
		Text string  `userdata:"text"`
	}
	letterNew struct {
		ID    string    `userdata:"id,key"`
		From  string    `userdata:"from,index"`
		Cost  float64   `userdata:"cost"`
		Words int       `userdata:"words,index"`
		Read  bool      `userdata:"read,default=true"`
		Due   time.Time `userdata:"due,default=2026-10-12T19:58:00Z"`
	}
)

var (
	lettersOld = userdata.NewTable[letterOld]("letters")
	lettersNew = userdata.NewTable[letterNew]("letters")
	letterWord = userdata.ColumnOf(func(l *letterNew) *int { return &l.Words })
)

func oldLetter(i int) *letterOld {
	return &letterOld{ID: fmt.Sprintf("%08x", uint32(i)*2654435761), From: fmt.Sprintf("person %d", i%1000), Cost: float32(i) / 4, Text: strings.Repeat("word ", 20+i%7)}
}

// letterMigration turns old letters into new ones, with a step of every kind of
// work: it reads, changes and adds records in a session, too.
func letterMigration(n int) []userdata.Migration {
	return []userdata.Migration{{Name: "count-words", Steps: []userdata.Step{
		userdata.RenameColumn("letters", "text", "words"),
		userdata.ConvertColumn("letters", "words", func(text string) (int, error) { return strings.Count(text, " "), nil }),
		userdata.RunStep(func(ctx context.Context, s *userdata.Session) error {
			for i := range n / 100 {
				l, err := lettersNew.Get(ctx, s, oldLetter(i*100).ID)
				if err != nil {
					return err
				}
				l.Words++
				if i%1000 == 999 {
					if err := s.Commit(ctx); err != nil {
						return err
					}
				}
			}
			return nil
		}, lettersNew),
	}}}
}

// writeLetters fills a new file with old letters.
func writeLetters(t *testing.T, path string, n int) {
	t.Helper()
	db, err := userdata.Open(path, nil, lettersOld)
	ok(t, err)
	for i := 0; i < n; {
		s := db.NewSession()
		for range 10_000 {
			if i < n {
				ok(t, s.Add(oldLetter(i)))
				i++
			}
		}
		ok(t, s.Commit(t.Context()))
	}
	ok(t, db.Close())
}

// checkLetters checks that a file has all letters, either as they were or as they
// became, and reports which.
func checkLetters(t *testing.T, path string, n int) (migrated bool) {
	t.Helper()
	if db, err := userdata.Open(path, nil, lettersOld); err == nil {
		defer db.Close()
		ok(t, userdata.CheckRecords(t.Context(), db))
		s := db.NewSession()
		count, err := lettersOld.Select(s).Count(t.Context())
		if err != nil || count != n {
			t.Fatalf("got %d old letters, %v, want %d", count, err, n)
		}
		for i := range n {
			if i%97 == 0 {
				got, err := lettersOld.Get(t.Context(), s, oldLetter(i).ID)
				if err != nil || *got != *oldLetter(i) {
					t.Fatalf("got %+v, %v, want %+v", got, err, oldLetter(i))
				}
			}
		}
		return false
	}
	db, err := userdata.Open(path, &userdata.Options{Migrations: letterMigration(n)}, lettersNew)
	ok(t, err)
	defer db.Close()
	ok(t, userdata.CheckRecords(t.Context(), db))
	due := at(2026, 10, 12, 19, 58, 0, 0)
	seen := 0
	for got, err := range lettersNew.Select(db.NewSession()).Where(letterWord.Gt(0)).Untracked().Rows(t.Context()) {
		ok(t, err)
		if !got.Read || got.Due != due {
			t.Fatalf("got %+v, want the defaults", got)
		}
		seen++
	}
	for i := range n {
		if i%97 != 0 {
			continue
		}
		old, s := oldLetter(i), db.NewSession()
		want := letterNew{ID: old.ID, From: old.From, Cost: float64(old.Cost), Words: 20 + i%7, Read: true, Due: due}
		if i%100 == 0 && i/100 < n/100 {
			want.Words++
		}
		got, err := lettersNew.Get(t.Context(), s, old.ID)
		if err != nil || *got != want {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if seen != n {
		t.Fatalf("got %d new letters, want %d", seen, n)
	}
	return true
}

// A large file is changed in a copy: a failure leaves it byte for byte as it was.
func TestMigrateBulk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "letters.db")
	n := 20_000
	writeLetters(t, path, n)
	before := bytesOf(t, path)
	if len(before) < 5<<20 {
		t.Fatalf("the file has %d bytes: too small for a copy", len(before))
	}
	failing := letterMigration(n)
	failing = append(failing, userdata.Migration{Name: "fails", Steps: []userdata.Step{
		userdata.ConvertColumn("letters", "from", func(s string) (string, error) {
			if s == "person 777" {
				return "", errors.ErrUnsupported
			}
			return s + "!", nil
		})}})
	_, err := userdata.Open(path, &userdata.Options{Migrations: failing}, lettersNew)
	is(t, err, errors.ErrUnsupported)
	func() {
		defer func() { recover() }()
		panics := userdata.RunStep(func(context.Context, *userdata.Session) error { panic("at once") }, lettersNew)
		userdata.Open(path, &userdata.Options{LockTimeout: time.Second, Migrations: append(letterMigration(n), userdata.Migration{Name: "panics", Steps: []userdata.Step{panics}})}, lettersNew)
		t.Error("no panic")
	}()
	if bytesOf(t, path) != before {
		t.Error("a failed migration altered the file")
	}
	if checkLetters(t, path, n) {
		t.Error("a failed migration is there")
	}
	var progress []string
	db, err := userdata.Open(path, &userdata.Options{Migrations: letterMigration(n), Progress: func(table string, done, total int) {
		if done == total {
			progress = append(progress, table)
		}
	}}, lettersNew)
	ok(t, err)
	putAll(t, db, &letterNew{ID: "more", Words: 1}) // the store goes on with the new file
	ok(t, db.Transact(t.Context(), func(s *userdata.Session) error {
		l, err := lettersNew.Get(t.Context(), s, "more")
		if err == nil {
			err = s.Delete(l)
		}
		return err
	}))
	ok(t, db.Close())
	if !checkLetters(t, path, n) || len(progress) < 4 {
		t.Errorf("not migrated, or no progress: %v", progress)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	ok(t, err)
	if len(left) != 2 { // the file, and the one before
		t.Errorf("got the files %v, want two", left)
	}
	if checkLetters(t, path+".before-count-words", n) {
		t.Error("the copy of before is migrated")
	}
}

// migrateEnv tells a child process what to migrate.
const migrateEnv = "USERDATA_TEST_MIGRATE"

// TestMigrateChild is what TestMigrateKilled runs in a child process.
func TestMigrateChild(t *testing.T) {
	path := os.Getenv(migrateEnv)
	if path == "" {
		t.Skip("only as a child of TestMigrateKilled")
	}
	db, err := userdata.Open(path, &userdata.Options{NoBackup: true, Migrations: letterMigration(100_000)}, lettersNew)
	ok(t, err)
	ok(t, db.Close())
}

// Killed at any moment, a migration leaves a file that is wholly old or wholly new.
func TestMigrateKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts many processes")
	}
	t.Parallel()
	const n = 100_000
	cycles := samples(3, 6, 200)
	original := filepath.Join(t.TempDir(), "letters.db")
	writeLetters(t, original, n)
	before := bytesOf(t, original)
	took := 3 * time.Second
	old, migrated, finished := 0, 0, 0
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(1, seed))
	for i := range cycles {
		path := filepath.Join(t.TempDir(), "letters.db")
		ok(t, os.WriteFile(path, []byte(before), 0o600))
		cmd := exec.Command(os.Args[0], "-test.run=^TestMigrateChild$")
		cmd.Env = append(os.Environ(), migrateEnv+"="+path)
		start := time.Now()
		ok(t, cmd.Start())
		exited := make(chan error, 1)
		go func() { exited <- cmd.Wait() }()
		wait := time.Duration(rnd.Int64N(int64(took)))
		if i == 0 {
			wait = time.Minute // the whole of it, to know how long it takes
		}
		select {
		case err := <-exited:
			ok(t, err)
			finished++
			took = time.Since(start)
		case <-time.After(wait):
			if err := cmd.Process.Kill(); !errors.Is(err, os.ErrProcessDone) { // just now, that is
				ok(t, err)
			}
			<-exited
		}
		if checkLetters(t, path, n) {
			migrated++
		} else {
			old++
			if bytesOf(t, path) != before {
				t.Error("the file is old, but not what it was")
			}
		}
		os.RemoveAll(filepath.Dir(path))
	}
	t.Logf("%d cycles: %d old, %d migrated, %d of them not killed; a migration takes %v", cycles, old, migrated, finished, took)
}

// Memory does not grow with the table: 1,000,000 records stay within 200 MB.
func TestMigrateMemory(t *testing.T) {
	if !*long {
		t.Skip("-long is not set")
	}
	path := filepath.Join(t.TempDir(), "letters.db")
	const n = 1_000_000
	writeLetters(t, path, n)
	debug.FreeOSMemory()
	size := len(bytesOf(t, path))
	debug.FreeOSMemory()
	baseline := statusKB("RssAnon")
	var peak, peakFile, peakHeap int
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak, peakFile, peakHeap = max(peak, statusKB("RssAnon")), max(peakFile, statusKB("RssFile")), max(peakHeap, int(m.HeapInuse/1024))
		}
	}()
	start := time.Now()
	db, err := userdata.Open(path, &userdata.Options{NoBackup: true, Migrations: letterMigration(n)}, lettersNew)
	took := time.Since(start)
	close(stop)
	<-stopped
	ok(t, err)
	ok(t, db.Close())
	t.Logf("%d records, a file of %d MB, migrated in %v: anonymous memory from %d to %d MB at most, heap in use %d MB, pages of mapped files %d MB", n, size>>20, took.Round(time.Millisecond), baseline>>10, peak>>10, peakHeap>>10, peakFile>>10)
	if peak == 0 {
		t.Skip("no /proc to measure by")
	}
	if peak > 200<<10 {
		t.Errorf("got %d MB, want 200 at most", peak>>10)
	}
}

// statusKB returns a line of /proc/self/status in kB, 0 where there is none.
func statusKB(name string) int {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), name+":")
	n, _ := strconv.Atoi(strings.Fields(rest + " 0")[0])
	return n
}
