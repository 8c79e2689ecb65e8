package userdata_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/seed-5df914be/userdata"
)

// openDB opens a database in a temporary file, and after the test closes it and
// checks the file: bbolt's own check, and every record of every table.
func openDB(t *testing.T, tables ...userdata.Mapped) *userdata.DB {
	t.Helper()
	store := openBolt(t)
	db, err := userdata.OpenStore(t.Context(), store, nil, tables...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		err := userdata.CheckRecords(ctx, db)
		if errors.Is(err, userdata.ErrClosed) { // the test has closed it
			var again *userdata.DB
			if again, err = userdata.Open(store.Path(), nil, tables...); err == nil {
				err = errors.Join(userdata.CheckRecords(ctx, again), again.Close())
			}
		}
		if err != nil {
			t.Errorf("records at the end of the test: %v", err)
		}
	})
	return db
}

func openMem(t *testing.T, tables ...userdata.Mapped) *userdata.DB {
	t.Helper()
	return openHooked(t, userdata.NewMemStore(), tables...)
}

func openHooked(t *testing.T, store userdata.Store, tables ...userdata.Mapped) *userdata.DB {
	t.Helper()
	db, err := userdata.OpenStore(t.Context(), store, nil, tables...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := userdata.CheckRecords(context.Background(), db); err != nil && !errors.Is(err, userdata.ErrClosed) {
			t.Errorf("records at the end of the test: %v", err)
		}
		db.Close()
	})
	return db
}

// A hookedStore lets a test fail and count a store's calls.
type hookedStore struct {
	userdata.Store
	view  func() error
	apply func() error
	views int
}

func (h *hookedStore) View(ctx context.Context, fn func(userdata.Snapshot) error) error {
	h.views++
	if h.view != nil {
		if err := h.view(); err != nil {
			return err
		}
	}
	return h.Store.View(ctx, fn)
}

func (h *hookedStore) Apply(ctx context.Context, changes *userdata.ChangeSet) error {
	if h.apply != nil {
		if err := h.apply(); err != nil {
			return err
		}
	}
	return h.Store.Apply(ctx, changes)
}

// bytesOf returns what is in a file.
func bytesOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	ok(t, err)
	return string(b)
}

// pieceFile returns the path of a closed file with one piece in it.
func pieceFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pieces.db")
	db, err := userdata.Open(path, nil, pieces)
	ok(t, err)
	putAll(t, db, &piece{ID: "a", Title: "one"})
	ok(t, db.Close())
	return path
}

func TestOpenAgainAltersNothing(t *testing.T) {
	path := pieceFile(t)
	before := bytesOf(t, path)
	for _, opts := range []*userdata.Options{nil, {}, {ReadOnly: true}} {
		db, err := userdata.Open(path, opts, pieces)
		ok(t, err)
		sameAs(t, "records", titlesOf(t, db), titles{"a": "one"})
		ok(t, db.Close())
		if bytesOf(t, path) != before {
			t.Errorf("opening with %+v altered the file", opts)
		}
	}
}

func TestOpenAddsTablesAndLeavesOthersAlone(t *testing.T) {
	path := pieceFile(t)
	db, err := userdata.Open(path, nil, userdata.UserdataTable) // without pieces
	ok(t, err)
	if got := len(db.Schema().Tables); got != 1 {
		t.Errorf("Schema: got %d tables, want those declared", got)
	}
	putAll(t, db, &userdata.Userdata{UserID: "Brad"})
	ok(t, db.Close())
	db, err = userdata.Open(path, nil, userdata.UserdataTable, pieces)
	ok(t, err)
	defer db.Close()
	sameAs(t, "pieces", titlesOf(t, db), titles{"a": "one"})
	if _, err := userdata.UserdataTable.Get(t.Context(), db.NewSession(), "Brad"); err != nil {
		t.Error(err)
	}
}

func TestOpenListsEveryDifference(t *testing.T) {
	path := pieceFile(t)
	db, err := userdata.Open(path, nil, userdata.UserdataTable)
	ok(t, err)
	ok(t, db.Close())
	before := bytesOf(t, path)
	type other struct {
		ID    string   `userdata:"id,key,size=7"`
		Title int      `userdata:"title"`
		N     *int     `userdata:"n"`
		Tags  []string `userdata:"tags"`
		More  bool     `userdata:"more"`
	}
	type user struct {
		UserID string `userdata:"id,key"`
	}
	_, err = userdata.Open(path, nil, userdata.NewTable[other]("pieces"), userdata.NewTable[user]("userdata"))
	is(t, err, userdata.ErrSchema)
	for _, want := range []string{`pieces: the file has column "id string(8) key", the program declares "id string(7) key": declare the larger size, or cut the values by a migration with RewriteRecords("pieces", ...)`, `"title string(10)"`,
		`"done bool"`, `"attrs `, `"note string null"`, `declares column "more bool"`, `userdata: the file has column "user_id string(32) key"`, `"id string key"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not in %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "tags") || strings.Contains(err.Error(), `"n int`) {
		t.Errorf("column tags or n, which fit, is in %v", err)
	}
	if bytesOf(t, path) != before {
		t.Error("the file was altered")
	}
}

func TestOpenRefusesFilesOfOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "foreign.db")
	foreign := func(bucket, key, value string) {
		db, err := bbolt.Open(path, 0o600, nil)
		ok(t, err)
		ok(t, db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte(bucket))
			if err != nil {
				return err
			}
			return b.Put([]byte(key), []byte(value))
		}))
		ok(t, db.Close())
	}
	refused := func(name string, want error) {
		t.Helper()
		before := bytesOf(t, path)
		_, err := userdata.Open(path, nil, pieces)
		is(t, err, want)
		if bytesOf(t, path) != before {
			t.Errorf("%s: the file was altered", name)
		}
	}
	foreign("widgets", "k", "v")
	refused("a bbolt file of another program", userdata.ErrSchema)
	foreign("_meta", "format", "rubbish")
	refused("a damaged format version", userdata.ErrCorrupt)

	type format struct {
		Name    string `userdata:"name,key"`
		Version int    `userdata:"version"`
	}
	_, value, err := userdata.Encode(userdata.NewTable[format]("meta"), &format{"format", 2})
	ok(t, err)
	foreign("_meta", "format", string(userdata.Seal("_meta", []byte("format"), value[:len(value)-6])))
	refused("a newer format", userdata.ErrSchema)
	ok(t, os.WriteFile(path, []byte(strings.Repeat("no database at all\n", 1000)), 0o600))
	refused("text", userdata.ErrCorrupt)
}

func TestOpenOfBadTablesCreatesNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new.db")
	_, err := userdata.Open(path, nil, pieces, userdata.NewTable[int]("ints"), userdata.NewTable[judge]("pieces"), userdata.NewTable[piece]("others"))
	is(t, err, userdata.ErrInvalid)
	if joined := err.(interface{ Unwrap() []error }).Unwrap(); len(joined) != 3 {
		t.Errorf("got %v, want 3 faults", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file: got %v, want none", err)
	}
}

func TestReadOnly(t *testing.T) {
	path := pieceFile(t)
	db, err := userdata.Open(path, &userdata.Options{ReadOnly: true}, pieces)
	ok(t, err)
	s := db.NewSession()
	a := get(t, s, "a")
	a.Title = "two"
	ok(t, s.Add(&piece{ID: "b"}))
	ok(t, s.Flush(t.Context()))
	is(t, s.Commit(t.Context()), userdata.ErrReadOnly)
	sameAs(t, "store", titlesOf(t, db), titles{"a": "one"})
	ok(t, db.Close())

	_, err = userdata.Open(path, &userdata.Options{ReadOnly: true}, pieces, userdata.UserdataTable)
	is(t, err, userdata.ErrSchema, userdata.ErrReadOnly)
	if !strings.Contains(err.Error(), "userdata missing") || strings.Contains(err.Error(), "pieces") {
		t.Errorf("got %v, want the missing table named", err)
	}
	_, err = userdata.Open(filepath.Join(t.TempDir(), "none.db"), &userdata.Options{ReadOnly: true}, pieces)
	is(t, err, fs.ErrNotExist)
}

func TestOpenStore(t *testing.T) {
	ctx := t.Context()
	errDisk := errors.New("disk on fire")
	h := &hookedStore{Store: userdata.NewMemStore()}
	_, err := userdata.OpenStore(ctx, h, nil, pieces, pieces)
	is(t, err, userdata.ErrInvalid)
	h.apply = func() error { return errDisk }
	_, err = userdata.OpenStore(ctx, h, nil, pieces)
	is(t, err, errDisk)
	h.apply, h.view = nil, func() error { return errDisk }
	_, err = userdata.OpenStore(ctx, h, nil, pieces)
	is(t, err, errDisk)
	h.view = nil

	raced := false // another opener is faster
	h.apply = func() error {
		if !raced {
			raced = true
			_, err := userdata.OpenStore(ctx, h.Store, nil, pieces)
			return err
		}
		return nil
	}
	db, err := userdata.OpenStore(ctx, h, nil, pieces, judges)
	ok(t, err)
	if db.Store() != userdata.Store(h) || len(db.Schema().Tables) != 2 {
		t.Errorf("got store %v, schema %v", db.Store(), db.Schema())
	}
	ok(t, db.Close())
	ok(t, db.Close())
	_, err = userdata.OpenStore(ctx, h, nil, pieces)
	is(t, err, userdata.ErrClosed)
}

func TestClosedDB(t *testing.T) {
	db := openDB(t, pieces)
	ctx := t.Context()
	putAll(t, db, &piece{ID: "a"})
	s := db.NewSession()
	a := get(t, s, "a")
	ok(t, db.Close())
	if get(t, s, "a") != a { // it is in the session
		t.Error("Get: got another pointer")
	}
	_, err := pieces.Get(ctx, s, "b")
	is(t, err, userdata.ErrClosed)
	_, err = pieces.Select(s).All(ctx)
	is(t, err, userdata.ErrClosed)
	is(t, s.Refresh(ctx, a), userdata.ErrClosed)
	a.N = 1
	is(t, s.Commit(ctx), userdata.ErrClosed)
	is(t, db.View(ctx, func(*userdata.Session) error { return nil }), userdata.ErrClosed)
	is(t, db.Transact(ctx, func(s *userdata.Session) error { return s.Add(&piece{ID: "p"}) }), userdata.ErrClosed)
	s.Rollback()
	if a.N != 0 {
		t.Error("Rollback needs no store")
	}
}

func TestTransact(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		ctx := t.Context()
		putAll(t, db, &piece{ID: "a", Title: "one"})
		var kept *userdata.Session
		ok(t, db.Transact(ctx, func(s *userdata.Session) error {
			kept = s
			get(t, s, "a").Title = "two"
			is(t, s.Commit(ctx), userdata.ErrInvalid)
			ok(t, s.Flush(ctx))
			return s.Add(&piece{ID: "b"})
		}))
		is(t, kept.Commit(ctx), userdata.ErrClosed)
		is(t, kept.Add(&piece{ID: "c"}), userdata.ErrClosed)
		sameAs(t, "store", titlesOf(t, db), titles{"a": "two", "b": ""})

		errFail := errors.New("fail")
		var a *piece
		change := func(s *userdata.Session) {
			kept = s
			a = get(t, s, "a")
			a.Title = "lost"
			ok(t, s.Add(&piece{ID: "c"}))
		}
		check := func(what string) {
			t.Helper()
			sameAs(t, what, titlesOf(t, db), titles{"a": "two", "b": ""})
			if a.Title != "two" {
				t.Errorf("%s: got %q, want the record rolled back", what, a.Title)
			}
			is(t, kept.Add(a), userdata.ErrClosed)
		}
		tries := 0
		if err := db.Transact(ctx, func(s *userdata.Session) error { tries++; change(s); return errFail }); err != errFail {
			t.Errorf("got %v, want fn's error as it is", err)
		}
		check("after an error")
		panicsWith(t, errFail, func() {
			db.Transact(ctx, func(s *userdata.Session) error { tries++; change(s); panic(errFail) })
		})
		check("after a panic")
		is(t, db.Transact(ctx, func(s *userdata.Session) error { tries++; change(s); return s.Add(&piece{}) }), userdata.ErrInvalid)
		check("after a fault")
		if tries != 3 {
			t.Errorf("got %d tries, want one each", tries)
		}
		tries = 0
		ok(t, db.Transact(ctx, func(s *userdata.Session) error {
			tries++
			get(t, s, "a")
			if tries == 1 {
				putAll(t, db, &piece{ID: "x"})
			}
			_, err := pieces.Get(ctx, s, "b") // sees another state: again
			return err
		}, userdata.Serializable))
		if tries != 2 {
			t.Errorf("got %d tries, want 2", tries)
		}
	})
}

func TestTransactRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openMem(t, pieces)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		putAll(t, db, &piece{ID: "a"})
		sessions := map[*userdata.Session]bool{}
		conflictUntil := func(n int) error {
			tries := 0
			return db.Transact(ctx, func(s *userdata.Session) error {
				tries++
				sessions[s] = true
				a := get(t, s, "a")
				if tries < n {
					edit(t, db, "a", func(p *piece) { p.N++ })
				}
				a.N++
				return nil
			})
		}
		ok(t, conflictUntil(12))
		if got := get(t, db.NewSession(), "a").N; got != 12 || len(sessions) != 12 {
			t.Errorf("got %d with %d sessions, want 12 with 12", got, len(sessions))
		}
		clear(sessions)
		start := time.Now()
		is(t, conflictUntil(1000), userdata.ErrConflict)
		if len(sessions) != 12 || time.Since(start) > 600*time.Millisecond {
			t.Errorf("got %d tries in %v, want 12 in 11 pauses of 50 ms at the most", len(sessions), time.Since(start))
		}
		clear(sessions)
		err := db.Transact(ctx, func(s *userdata.Session) error { // fn's own conflict
			sessions[s] = true
			cancel()
			return userdata.ErrConflict
		})
		is(t, err, userdata.ErrConflict, context.Canceled)
		if len(sessions) != 1 {
			t.Errorf("got %d tries after the context ended, want 1", len(sessions))
		}
	})
}

func TestView(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		ctx := t.Context()
		putAll(t, db, &piece{ID: "a", Title: "one"}, &piece{ID: "b", Title: "one"})
		var kept *userdata.Session
		var a *piece
		errFail := errors.New("fail")
		err := db.View(ctx, func(s *userdata.Session) error {
			kept = s
			a = get(t, s, "a")
			done := make(chan struct{})
			go func() { // elsewhere, and not in this transaction
				defer close(done)
				edit(t, db, "b", func(p *piece) { p.Title = "two" })
				putAll(t, db, &piece{ID: "c"})
			}()
			<-done
			if b := get(t, s, "b"); b.Title != "one" {
				t.Errorf("got %q, want the snapshot's", b.Title)
			}
			ok(t, s.Commit(ctx)) // nothing to write
			if n, err := pieces.Select(s).Where(pieceTitle.Eq("one")).Count(ctx); n != 2 || err != nil {
				t.Errorf("Count: got %d, %v, want 2", n, err)
			}
			_, mergeErr := pieces.Merge(ctx, s, &piece{ID: "a"})
			_, updateErr := pieces.Select(s).Update(ctx, pieceTitle.Set("x"))
			_, deleteErr := pieces.Select(s).Delete(ctx)
			for _, err := range []error{s.Add(&piece{}), s.Delete(a), mergeErr, updateErr, deleteErr} {
				is(t, err, userdata.ErrReadOnly)
			}
			a.Title = "changed"
			is(t, s.Flush(ctx), userdata.ErrReadOnly)
			is(t, s.Commit(ctx), userdata.ErrReadOnly)
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			_, err := pieces.Get(ctx, s, "c")
			is(t, err, context.Canceled)
			return errFail
		})
		if err != errFail {
			t.Errorf("got %v, want fn's error as it is", err)
		}
		sameAs(t, "store", titlesOf(t, db), titles{"a": "one", "b": "two", "c": ""})
		_, err = pieces.Get(ctx, kept, "c")
		is(t, err, userdata.ErrClosed)
		is(t, kept.Commit(ctx), userdata.ErrClosed)
		if a.Title != "changed" {
			t.Error("the record is not readable after the View")
		}
		panicsWith(t, errFail, func() { db.View(ctx, func(*userdata.Session) error { panic(errFail) }) })
		cctx, cancel := context.WithCancel(ctx)
		cancel()
		is(t, db.View(cctx, func(*userdata.Session) error { return nil }), context.Canceled)
	})
}

// A call that a goroutine was left in when the View ended must not read its
// snapshot, which is gone.
func TestViewThatLeavesACallBehind(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		ctx := t.Context()
		for i := range 200 {
			putAll(t, db, &piece{ID: string(rune('A' + i))})
		}
		entered, release, done := make(chan struct{}), make(chan struct{}), make(chan error)
		first := true
		ok(t, db.View(ctx, func(s *userdata.Session) error {
			go func() {
				var err error
				for _, err = range pieces.Select(s).Where(userdata.Match(func(*piece) bool {
					if first {
						first = false
						close(entered)
						<-release
					}
					return false // so that the call reads all pages
				})).Rows(ctx) {
				}
				done <- err
			}()
			<-entered
			return nil
		}))
		close(release)
		is(t, <-done, userdata.ErrClosed)
	})
}
