package userdata_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-5df914be/userdata"
)

// damageEnv makes the test binary a child that uses damaged files. It has the
// folder of the sound ones.
const damageEnv = "USERDATA_DAMAGE_CHILD"

// A part is a record of the files that are damaged.
type part struct {
	ID   string `userdata:"id,key"`
	N    int    `userdata:"n,index"`
	Slug string `userdata:"slug,unique"`
	Body []byte `userdata:"body"`
}

var (
	parts    = userdata.NewTable[part]("parts")
	partN    = userdata.ColumnOf(func(p *part) *int { return &p.N })
	partSlug = userdata.ColumnOf(func(p *part) *string { return &p.Slug })
)

// partState is what a file holds: the records by key, as text.
type partState map[string]string

func (s partState) add(p *part) { s[p.ID] = fmt.Sprintf("%d %s %x", p.N, p.Slug, p.Body) }

// newPart makes the n-th record: some take several pages.
func newPart(n int) *part {
	size := 0
	if n%50 == 7 {
		size = 9000
	}
	return &part{ID: fmt.Sprintf("part %04d", n), N: n % 40, Slug: fmt.Sprintf("slug %d", n), Body: bytes.Repeat([]byte{byte(n)}, size+n%30)}
}

// A damageFile is a file to be damaged: as it is, as it was some commits ago, and
// what it holds now, held before its last commit, and held at first.
type damageFile struct {
	*damagePages
	latest, before, older partState
}

// beyondCheck is a size that a file is not checked in full at, when it is opened.
const beyondCheck = 9 << 20

// makeDamageFile makes a file and its older copies.
func makeDamageFile(t testing.TB, path string) {
	t.Helper()
	withParts := func(fn func(s *userdata.Session) error) {
		t.Helper()
		db, err := userdata.Open(path, nil, parts)
		ok(t, err)
		ok(t, errors.Join(db.Transact(t.Context(), fn), db.Close()))
	}
	withParts(func(s *userdata.Session) error {
		for n := range 300 {
			if err := s.Add(newPart(n)); err != nil {
				return err
			}
		}
		return nil
	})
	ok(t, os.WriteFile(path+".first", fileBytes(t, path), 0o600))
	withParts(func(s *userdata.Session) error {
		_, err := parts.Select(s).Where(partN.Between(10, 20)).Delete(t.Context())
		return err
	})
	ok(t, os.WriteFile(path+".old", fileBytes(t, path), 0o600))
	for i := range 3 {
		if i == 2 {
			ok(t, os.WriteFile(path+".before", fileBytes(t, path), 0o600))
		}
		withParts(func(s *userdata.Session) error {
			_, err := parts.Select(s).Where(partN.Eq(30+i)).Update(t.Context(), partN.Set(100+i))
			return errors.Join(err, s.Add(newPart(1000+i)))
		})
	}
}

// loadDamageFile reads a file that makeDamageFile has made.
func loadDamageFile(t testing.TB, path string) *damageFile {
	t.Helper()
	f := &damageFile{damagePages: newDamagePages(t, fileBytes(t, path), fileBytes(t, path+".old"))}
	for path, state := range map[string]*partState{path: &f.latest, path + ".before": &f.before, path + ".first": &f.older} {
		copied := filepath.Join(t.TempDir(), "copy")
		ok(t, os.WriteFile(copied, fileBytes(t, path), 0o600))
		db, err := userdata.Open(copied, nil, parts)
		ok(t, err)
		u := use{state: partState{}}
		u.all(t.Context(), db)
		ok(t, errors.Join(u.err, db.Close()))
		*state = u.state
	}
	return f
}

// fileBytes returns what is in a file.
func fileBytes(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	ok(t, err)
	return b
}

// A use is what somebody who uses a file gets to see.
type use struct {
	state partState // what was read
	err   error     // what was said
	wrong []string  // values that can't be
	older partState // what else may be read: the state before the last commit

	missing []string  // what was not read, or is no longer so, and no error said so
	old     partState // what the records were some commits ago
}

// all reads all records.
func (u *use) all(ctx context.Context, db *userdata.DB) {
	for p, err := range parts.Select(db.NewSession()).Untracked().Rows(ctx) {
		if u.err = errors.Join(u.err, err); err == nil {
			u.state.add(p)
		}
	}
}

// read reads the file in every way: each that does not end in an error must agree
// with the state.
func (u *use) read(ctx context.Context, db *userdata.DB, state partState) {
	for name, way := range waysToRead {
		got := partState{}
		want, err := way(ctx, db.NewSession(), state, got)
		u.err = errors.Join(u.err, err)
		for id, p := range got {
			switch {
			case p == state[id], u.older != nil && p == u.older[id]:
			case p == u.old[id]:
				u.missing = append(u.missing, fmt.Sprintf("%s: %s is what it was some commits ago", name, id))
			default:
				u.wrong = append(u.wrong, fmt.Sprintf("%s: %s is %.80s, want %.80s", name, id, p, state[id]))
			}
		}
		if err == nil && len(got) < want {
			u.missing = append(u.missing, fmt.Sprintf("%s: %d of %d records, and no error", name, len(got), want))
		}
	}
}

// waysToRead read records, say how many there should be, and all that failed.
var waysToRead = map[string]func(ctx context.Context, s *userdata.Session, state, got partState) (want int, err error){
	"all": func(ctx context.Context, s *userdata.Session, state, got partState) (int, error) {
		return len(state), addAll(got)(parts.Select(s).All(ctx))
	},
	"get": func(ctx context.Context, s *userdata.Session, state, got partState) (want int, err error) {
		for n := 0; n < 300; n += 7 {
			id := fmt.Sprintf("part %04d", n)
			if _, there := state[id]; there {
				want++
			}
			p, getting := parts.Get(ctx, s, id)
			if getting == nil {
				got.add(p)
			} else if !errors.Is(getting, userdata.ErrNotFound) {
				err = errors.Join(err, getting)
			}
		}
		return want, err
	},
	"in the order of an index": func(ctx context.Context, s *userdata.Session, state, got partState) (int, error) {
		return len(state), addAll(got)(parts.Select(s).OrderBy(partN.Desc()).All(ctx))
	},
	"by a value of an index": func(ctx context.Context, s *userdata.Session, state, got partState) (want int, err error) {
		for _, p := range state {
			if strings.HasPrefix(p, "101 ") {
				want++
			}
		}
		return want, addAll(got)(parts.Select(s).Where(partN.Eq(101)).All(ctx))
	},
	"by a unique index": func(ctx context.Context, s *userdata.Session, state, got partState) (int, error) {
		return len(state), addAll(got)(parts.Select(s).Where(partSlug.Ge("")).OrderBy(partSlug.Asc()).All(ctx))
	},
}

// addAll returns a function that takes a query's answers.
func addAll(got partState) func(found []*part, err error) error {
	return func(found []*part, err error) error {
		for _, p := range found {
			got.add(p)
		}
		return err
	}
}

// commit changes, adds and deletes a record, and brings the state up to date if
// that was applied.
func (u *use) commit(ctx context.Context, db *userdata.DB, state partState) {
	err := db.Transact(ctx, func(s *userdata.Session) error {
		p, err := parts.Get(ctx, s, "part 0003")
		if err != nil {
			return err
		}
		p.Slug = "changed"
		q, err := parts.Get(ctx, s, "part 0265")
		if err != nil {
			return err
		}
		return errors.Join(s.Delete(q), s.Add(newPart(2000)))
	})
	if u.err = errors.Join(u.err, err); err == nil {
		p := newPart(3)
		p.Slug = "changed"
		state.add(p)
		delete(state, "part 0265")
		state.add(newPart(2000))
	}
}

// useDamaged opens the file, reads it in every way, commits, reads it again, and
// says what came of that. older allows the state before the last commit. In a file
// that was not checked in full when it was opened, a read may miss records, if a
// check finds out.
func useDamaged(ctx context.Context, path string, f *damageFile, older, large bool) (verdict string) {
	u := use{state: partState{}, old: f.older}
	if older {
		u.older = f.before
	}
	checked := false
	defer func() {
		switch {
		case u.wrong != nil, u.missing != nil && !checked:
			slices.Sort(u.missing)
			verdict = fmt.Sprintf("wrong: %.200q, %.200q, %.200v", u.wrong, u.missing, u.err)
		case u.missing != nil:
			verdict = "missing or old to one read, and a check tells"
		case u.err == nil:
		case errors.Is(u.err, userdata.ErrCorrupt), errors.Is(u.err, userdata.ErrSchema):
			verdict = "error"
		default:
			verdict = fmt.Sprintf("error of another kind: %.200v", u.err)
		}
		verdict = strings.ReplaceAll(verdict, "\n", " ")
	}()
	db, err := userdata.Open(path, nil, parts)
	if err != nil {
		u.err = err
		return
	}
	state := maps.Clone(f.latest)
	verdict = "right"
	if u.all(ctx, db); older && maps.Equal(u.state, f.before) {
		state, verdict = maps.Clone(f.before), "the state before the last commit"
	}
	read := func() {
		u.read(ctx, db, state)
		if large && u.missing != nil && !checked {
			checked = wholeCheck(ctx, db) != nil
		}
	}
	read()
	u.commit(ctx, db, state)
	if err := db.Close(); err != nil {
		u.err = errors.Join(u.err, err)
		return
	}
	db, err = userdata.Open(path, nil, parts)
	if err != nil {
		u.err = errors.Join(u.err, err)
		return
	}
	read()
	u.err = errors.Join(u.err, db.Close())
	return
}

// TestDamageChild is the child: it reads seeds and says what came of each.
func TestDamageChild(t *testing.T) {
	dir := os.Getenv(damageEnv)
	if dir == "" {
		t.Skip("only in a child process of TestDamage")
	}
	f := loadDamageFile(t, filepath.Join(dir, "sound"))
	path := filepath.Join(t.TempDir(), "db")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var seed uint64
		fmt.Sscan(in.Text(), &seed)
		hang := time.AfterFunc(time.Minute, func() { panic("hangs") })
		b, kind, how := f.damage(seed / 2)
		ok(t, os.WriteFile(path, b, 0o600))
		size := "small"
		if seed%2 == 1 && len(b) == len(f.now) {
			size = "large"
			ok(t, os.Truncate(path, beyondCheck))
		}
		fmt.Printf("%d: %s %s, %s: %s\n", seed, size, kind, how, useDamaged(t.Context(), path, f, kind == "meta" || how == "swapped", size == "large"))
		hang.Stop()
	}
}

// damageChild lets a child use the files of the seeds, and returns what it said of
// each; if it died before the end, what it wrote then.
func damageChild(t *testing.T, dir string, seeds []uint64) (said []string, died string) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDamageChild$", "-test.timeout=0")
	cmd.Env = append(os.Environ(), damageEnv+"="+dir)
	cmd.Stdin = strings.NewReader(strings.ReplaceAll(strings.Trim(fmt.Sprint(seeds), "[]"), " ", "\n"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	for line := range strings.Lines(string(out)) {
		if seed, what, cut := strings.Cut(strings.TrimSpace(line), ": "); cut && len(said) < len(seeds) && seed == fmt.Sprint(seeds[len(said)]) {
			said = append(said, what)
		}
	}
	if len(said) < len(seeds) {
		died = strings.ReplaceAll(fmt.Sprintf("%v: %.1500s %.500s", err, stderr.String(), out), "\n", "\n\t")
	}
	return said, died
}

// However a file is damaged, whoever uses it gets the right values or an error: it
// never dies or hangs, reads a wrong value, or misses a record without being told.
func TestDamage(t *testing.T) {
	t.Parallel()
	n := samples(1000, 10_000, 200_000)
	dir := t.TempDir()
	makeDamageFile(t, filepath.Join(dir, "sound"))
	tally, byKind := map[string]int{}, map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	const children = 2
	for i := range children {
		wg.Go(func() {
			var seeds []uint64
			for seed := i; seed < n; seed += children {
				seeds = append(seeds, uint64(seed))
			}
			for len(seeds) > 0 {
				said, died := damageChild(t, dir, seeds)
				mu.Lock()
				for j, what := range said {
					kind, verdict, _ := strings.Cut(what, ": ")
					verdict, detail, _ := strings.Cut(verdict, ": ")
					tally[verdict]++
					page, _, _ := strings.Cut(kind, ",")
					byKind[page+": "+verdict]++
					if detail != "" {
						t.Errorf("seed %d: %s: %s: %s", seeds[j], kind, verdict, detail)
					}
				}
				if died != "" && len(said) < len(seeds) {
					tally["died"]++
					t.Errorf("seed %d: the child died: %s", seeds[len(said)], died)
					seeds = seeds[1:]
				}
				mu.Unlock()
				seeds = seeds[len(said):]
			}
		})
	}
	wg.Wait()
	t.Logf("%d files: %v", n, tally)
	t.Logf("by page: %v", byKind)
	if tally["error"] < n/4 || tally["right"] < n/20 {
		t.Error("the damage is not what it should be")
	}
}

// newDamageRand returns the source of what a seed does.
func newDamageRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 11)) }
