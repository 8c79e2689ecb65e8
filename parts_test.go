package userdata_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed-5df914be/userdata"
	"github.com/seed-5df914be/userdata/internal/pages"
)

// A tile is a record of tables that are read in parts.
type tile struct {
	ID    string    `userdata:"id,key"`
	Size  int       `userdata:"size"`
	Laid  time.Time `userdata:"laid,index"`
	Color string    `userdata:"color,index"`
	Code  string    `userdata:"code,unique"`
	Text  string    `userdata:"text"`
}

var (
	tiles     = userdata.NewTable[tile]("tiles")
	tileID    = userdata.ColumnOf(func(t *tile) *string { return &t.ID })
	tileSize  = userdata.ColumnOf(func(t *tile) *int { return &t.Size })
	tileLaid  = userdata.ColumnOf(func(t *tile) *time.Time { return &t.Laid })
	tileColor = userdata.ColumnOf(func(t *tile) *string { return &t.Color })
	tileCode  = userdata.ColumnOf(func(t *tile) *string { return &t.Code })
)

// tileDay is the day that tiles are laid from.
var tileDay = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)

func newTile(rng *rand.Rand, i int) *tile {
	return &tile{
		ID: tileKey(i), Size: rng.IntN(1000), Laid: tileDay.Add(time.Duration(rng.IntN(1000)) * time.Minute),
		Color: []string{"", "blue", "green", "red"}[rng.IntN(4)], Code: fmt.Sprint("code ", i),
		Text: strings.Repeat("x", rng.IntN(60)),
	}
}

func tileKey(i int) string { return fmt.Sprintf("tile %05d", i) }

// withProcessors makes sure that goroutines can run at once while a test runs, which must
// not be parallel.
func withProcessors(t *testing.T, n int) {
	before := runtime.GOMAXPROCS(n)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// tilesFile returns the path of a closed file with so many tiles, written by several
// commits, so that branches lie before leaves, too.
func tilesFile(t *testing.T, rng *rand.Rand, n int) string {
	t.Helper()
	store := openBolt(t)
	db, err := userdata.OpenStore(t.Context(), store, nil, tiles)
	if err != nil {
		t.Fatal(err)
	}
	s := db.NewSession()
	for i := range n {
		if err := s.Add(newTile(rng, i)); err != nil {
			t.Fatal(err)
		}
		if i%500 == 499 {
			if err := s.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(s.Commit(t.Context()), s.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	return store.Path()
}

// A tileQuery is a random query, for a session each time.
type tileQuery struct {
	rng   [2]uint64
	words []string
}

// of returns the query for a session, and notes what it is.
func (tq *tileQuery) of(s *userdata.Session, n int) userdata.Query[tile] {
	rng := rand.New(rand.NewPCG(tq.rng[0], tq.rng[1]))
	tq.words = nil
	say := func(format string, args ...any) { tq.words = append(tq.words, fmt.Sprintf(format, args...)) }
	q := tiles.Select(s)
	for range rng.IntN(3) {
		switch a, b := rng.IntN(n), rng.IntN(n); rng.IntN(6) {
		case 0:
			say("ID >= %d", a)
			q = q.Where(tileID.Ge(tileKey(a)))
		case 1:
			say("%d < ID <= %d", min(a, b), max(a, b))
			q = q.Where(tileID.Gt(tileKey(min(a, b))), tileID.Le(tileKey(max(a, b))))
		case 2:
			say("Size < %d", a%1000)
			q = q.Where(tileSize.Lt(a % 1000))
		case 3:
			from, to := tileDay.Add(time.Duration(a%1000)*time.Minute), tileDay.Add(time.Duration(b%1000)*time.Minute)
			say("Laid from %s to %s", from, to)
			q = q.Where(tileLaid.Ge(from), tileLaid.Lt(to))
		case 4:
			say("Color in red, blue")
			q = q.Where(tileColor.In("red", "blue"))
		case 5:
			say("Code >= %d", a)
			q = q.Where(tileCode.Ge(fmt.Sprint("code ", a)))
		}
	}
	switch rng.IntN(6) {
	case 0:
		say("by ID, descending")
		q = q.OrderBy(tileID.Desc())
	case 1:
		say("by Laid")
		q = q.OrderBy(tileLaid.Asc())
	case 2:
		say("by Laid, descending")
		q = q.OrderBy(tileLaid.Desc())
	case 3:
		say("by Size")
		q = q.OrderBy(tileSize.Asc())
	}
	if rng.IntN(3) == 0 {
		limit := rng.IntN(n)
		say("limit %d", limit)
		q = q.Limit(limit)
	}
	if rng.IntN(4) == 0 {
		offset := rng.IntN(n / 4)
		say("offset %d", offset)
		q = q.Offset(offset)
	}
	if rng.IntN(2) == 0 {
		say("untracked")
		q = q.Untracked()
	}
	return q
}

// answers are what one session says to a query.
type answers struct {
	All, Rows []tile
	Torn      string // the error that Rows ended with
	Count     int
	Colors    []string
	Errors    []string
}

// ask asks a query in all ways.
func (tq *tileQuery) ask(ctx context.Context, s *userdata.Session, n int) *answers {
	got := &answers{}
	fault := func(err error) {
		if err != nil {
			got.Errors = append(got.Errors, err.Error())
		}
	}
	q := tq.of(s, n)
	count, err := q.Count(ctx)
	got.Count = count
	fault(err)
	colors, err := userdata.Distinct(ctx, tq.of(s, n), tileColor)
	if !errors.Is(err, userdata.ErrInvalid) { // it has a limit
		fault(err)
		got.Colors = colors
	}
	for one, err := range q.Rows(ctx) {
		if err != nil {
			got.Torn = err.Error()
			break
		}
		got.Rows = append(got.Rows, *one)
	}
	all, err := q.All(ctx)
	fault(err)
	for _, one := range all {
		got.All = append(got.All, *one)
	}
	return got
}

// askWhole returns what is wrong with the table and with each of its indexes.
func askWhole(ctx context.Context, s *userdata.Session) (wrong []string) {
	for _, whole := range []userdata.Predicate[tile]{tileID.Ge(""), tileLaid.Ge(tileDay), tileColor.Ge(""), tileCode.Ge("")} {
		if n, err := tiles.Select(s).Untracked().Where(whole, tileSize.Ge(0)).Count(ctx); err != nil {
			wrong = append(wrong, err.Error())
		} else {
			wrong = append(wrong, fmt.Sprint(n, " tiles"))
		}
	}
	return wrong
}

// TestScansInParts asks the same of sessions that read in parts and of those that don't.
func TestScansInParts(t *testing.T) {
	withProcessors(t, 4)
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	const n = 3000
	db, err := userdata.Open(tilesFile(t, rng, n), nil, tiles)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	divided := 0
	for range 60 {
		tq := &tileQuery{rng: [2]uint64{rng.Uint64(), rng.Uint64()}}
		changes := [2]uint64{rng.Uint64(), rng.Uint64()}
		got := map[bool]*answers{}
		for _, on := range []bool{false, true} {
			userdata.DivideScans(db, on)
			s := db.NewSession()
			changeTiles(t, s, rand.New(rand.NewPCG(changes[0], changes[1])), n)
			if _, done, err := userdata.InParts(t.Context(), tq.of(s, n)); err != nil {
				t.Fatal(err)
			} else if done != on && !on {
				t.Fatal("a scan in parts, although that is off")
			} else if done {
				divided++
			}
			got[on] = tq.ask(t.Context(), s, n)
			s.Close()
		}
		if diff := cmp.Diff(got[false], got[true]); diff != "" {
			t.Fatalf("%s: one goroutine (-), several (+):\n%.3000s", strings.Join(tq.words, ", "), diff)
		}
	}
	if divided < 20 {
		t.Errorf("only %d of 60 queries were read in parts", divided)
	}
}

// changeTiles makes changes in a session, and reads some of what there is.
func changeTiles(t *testing.T, s *userdata.Session, rng *rand.Rand, n int) {
	t.Helper()
	for range rng.IntN(40) {
		one, err := tiles.Get(t.Context(), s, tileKey(rng.IntN(n)))
		if errors.Is(err, userdata.ErrNotFound) {
			continue // deleted before
		}
		if err != nil {
			t.Fatal(err)
		}
		switch rng.IntN(4) {
		case 0:
			one.Size = rng.IntN(1000)
		case 1:
			one.ID += " moved"
		case 2:
			if err := s.Delete(one); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range rng.IntN(10) {
		if err := s.Add(newTile(rng, n+i)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPartsInTrouble makes sure that whatever is wrong where a part is read is reported
// as one goroutine does it.
func TestPartsInTrouble(t *testing.T) {
	withProcessors(t, 4)
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 2))
	t.Logf("seed %d", seed)
	const n = 1500
	path := tilesFile(t, rng, n)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	faults := 0
	for i := range 100 {
		damaged := path + fmt.Sprint(" ", i)
		if err := os.WriteFile(damaged, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := userdata.Open(damaged, nil, tiles)
		if err != nil {
			t.Fatal(err)
		}
		b := bytes.Clone(whole)
		switch i % 5 {
		case 0, 1:
			for range 1 + rng.IntN(3) {
				b[2*4096+rng.IntN(len(b)-2*4096)] ^= 1 << rng.IntN(8)
			}
		case 2, 3:
			damageBranches(b, rng, i%5 == 2)
		}
		overwrite(t, damaged, 0, b)
		if i%5 == 4 && runtime.GOOS != "windows" { // readers meet the end of the file
			if err := os.Truncate(damaged, int64(2+rng.IntN(len(b)/4096-2))*4096); err != nil {
				t.Fatal(err)
			}
		}
		tq := &tileQuery{rng: [2]uint64{rng.Uint64(), rng.Uint64()}}
		got := map[bool]*answers{}
		for _, on := range []bool{false, true} {
			userdata.DivideScans(db, on)
			s := db.NewSession()
			got[on] = tq.ask(t.Context(), s, n)
			got[on].Errors = append(got[on].Errors, askWhole(t.Context(), s)...)
			s.Close()
		}
		db.Close() // fails as the file does
		os.Remove(damaged)
		if errs := strings.Join(got[true].Errors, " "); strings.Count(errs, " tiles") < 4 {
			faults++
		}
		one, several := got[false], got[true]
		branches := i%5 == 2 || i%5 == 3 // then it matters from where the tree is entered,
		if one.Torn != "" && several.Torn != "" || branches {
			n := min(len(one.Rows), len(several.Rows)) // and pages of Rows may end elsewhere
			one.Rows, several.Rows = one.Rows[:n:n], several.Rows[:n:n]
		}
		if branches {
			several.Torn = one.Torn
		}
		if diff := cmp.Diff(got[false], got[true], cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("file %d, %s: one goroutine (-), several (+):\n%.3000s", i, strings.Join(tq.words, ", "), diff)
		}
	}
	if t.Logf("%d of 100 files made trouble", faults); faults < 20 {
		t.Errorf("only %d of 100 files made trouble for readers", faults)
	}
}

// damageBranches leaves the last element out of half of the branches, or makes one of
// their elements lead to where another one does.
func damageBranches(b []byte, rng *rand.Rand, shorten bool) {
	for page := 2 * 4096; page < len(b); page += 4096 {
		header := b[page:]
		count := int(binary.LittleEndian.Uint16(header[10:]))
		switch branch := binary.LittleEndian.Uint16(header[8:]) == 1; {
		case !branch || count < 2 || rng.IntN(2) == 0:
		case shorten:
			binary.LittleEndian.PutUint16(header[10:], uint16(count-1))
		default:
			from, to := rng.IntN(count), rng.IntN(count)
			copy(header[16+16*to+8:16+16*to+16], header[16+16*from+8:])
		}
	}
}

// lowRoot changes some of the n tiles in a file, until its root page lies in the first half
// of it, and returns where that is.
func lowRoot(t *testing.T, path string, rng *rand.Rand, n int) int {
	t.Helper()
	for i := range 100 {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		rep, err := pages.Metas(bytes.NewReader(whole), int64(len(whole)))
		if err != nil || rep.Meta < 0 {
			t.Fatal(rep.Findings, err)
		}
		if root := int(rep.Metas[rep.Meta].Root) * rep.PageSize; root < len(whole)/2 {
			return root
		}
		db, err := userdata.Open(path, nil, tiles)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Transact(t.Context(), func(s *userdata.Session) error {
			for range 1 + i%2*50 { // many free pages for few of the next transaction
				one, err := tiles.Get(t.Context(), s, tileKey(rng.IntN(n)))
				if err != nil {
					return err
				}
				one.Size++
			}
			return nil
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the root page lies in the second half of the file, whatever is changed")
	return 0
}

// TestPartsOfShortFile cuts a file off while it is open, so that goroutines that help to
// read it meet its end.
func TestPartsOfShortFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not let a mapped file be truncated")
	}
	withProcessors(t, 4)
	rng := rand.New(rand.NewPCG(4, 4))
	const n = 18_500
	path := tilesFile(t, rng, n)
	root := lowRoot(t, path, rng, n)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	db, err := userdata.Open(path, nil, tiles)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	userdata.DivideScans(db, true)
	var ends []int64 // where branches begin
	for page := root + 4096; page < len(whole); page += 4096 {
		if binary.LittleEndian.Uint16(whole[page+8:]) == 1 {
			ends = append(ends, int64(page))
		}
	}
	rng.Shuffle(len(ends), func(i, j int) { ends[i], ends[j] = ends[j], ends[i] })
	ends = ends[:min(len(ends), 12)]
	short, left, stacks := 0, 0, make([]byte, 1<<17)
	for i := range 2 * len(ends) {
		end := int64(root + 4096 + rng.IntN(len(whole)-root-4096))
		if i%2 == 0 {
			end = ends[i/2]
		}
		if err := os.Truncate(path, end); err != nil {
			t.Fatal(err)
		}
		s := db.NewSession()
		for _, q := range []userdata.Query[tile]{tiles.Select(s).Untracked(), tiles.Select(s).Where(tileSize.Lt(10))} {
			ctx := &helped{Context: t.Context(), stacks: stacks}
			_, err := q.All(ctx)
			if err != nil && !errors.Is(err, userdata.ErrCorrupt) {
				t.Fatal(err)
			}
			if err != nil {
				short++
			}
			if ctx.waited.Load() {
				left++
			}
		}
		s.Close()
		overwrite(t, path, 0, whole)
	}
	if short < len(ends) || left < len(ends) {
		t.Errorf("%d of %d queries met the end of the file, others read parts of %d", short, 4*len(ends), left)
	}
	all, err := tiles.Select(db.NewSession()).All(t.Context())
	if err != nil || len(all) != n {
		t.Errorf("with the file as it was: %d records, %v", len(all), err)
	}
}

// A helped context makes the session's goroutine leave all parts of a scan but its first to
// those that help it: when it looks at the context, it waits until they have ended.
type helped struct {
	context.Context
	stacks []byte // room for them
	waited atomic.Bool
}

func (c *helped) Err() error {
	if c.waited.Load() {
		return c.Context.Err()
	}
	var callers [32]uintptr
	wait := false
	frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers[:])])
	for frame, more := frames.Next(); more; frame, more = frames.Next() {
		if strings.HasSuffix(frame.Function, "(*partition).run") {
			wait = true
			c.waited.Store(true)
		}
	}
	for wait && bytes.Contains(c.stacks[:runtime.Stack(c.stacks, true)], []byte("sync.(*WaitGroup).Go")) {
		runtime.Gosched()
	}
	return c.Context.Err()
}

// TestPartsCancelled cancels a context while parts are read.
func TestPartsCancelled(t *testing.T) {
	withProcessors(t, 4)
	rng := rand.New(rand.NewPCG(3, 3))
	db, err := userdata.Open(tilesFile(t, rng, 3000), nil, tiles)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	userdata.DivideScans(db, true)
	for i := range 30 {
		s := db.NewSession()
		ctx := &expiring{Context: t.Context(), after: int64(i)}
		_, err := tiles.Select(s).Where(tileSize.Ge(0)).All(ctx)
		if err != nil && !errors.Is(err, context.Canceled) || err == nil && ctx.calls.Load() > int64(i) {
			t.Errorf("after %d looks at the context: %v", i, err)
		}
		s.Close()
	}
}

// An expiring context is cancelled when somebody has looked at it a number of times.
type expiring struct {
	context.Context
	after int64
	calls atomic.Int64
}

func (c *expiring) Err() error {
	if c.calls.Add(1) > c.after {
		return context.Canceled
	}
	return nil
}
