package userdata_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/anishathalye/porcupine"
	"go.uber.org/goleak"

	"github.com/seed-5df914be/userdata"
)

// A cell is a register of the histories.
type cell struct {
	ID string `userdata:"id,key"`
	N  int    `userdata:"n"`
}

var cells = userdata.NewTable[cell]("cells")

// cellIDs are the keys of the registers: few, so that calls meet.
var cellIDs = [...]string{"a", "b", "c"}

// registers are what the cells hold at one time, and the state of the model.
type registers [len(cellIDs)]int

// missing stands for the value of a cell that does not exist.
const missing = -1 << 30

// verbs are what a registerOp may be.
var verbs = []string{"read", "read all", "write", "cas", "delete", "transfer"}

// A registerOp is one call of a history, and what came of it.
type registerOp struct {
	verb     string
	key, to  int // places in cellIDs; to is the receiver of a transfer
	n, value int // transfer, write and cas: the value; cas: n is what it expects
}

// A registerResult is what a call returned.
type registerResult struct {
	done bool      // cas, delete, transfer: whether it changed anything
	seen registers // what it read; missing where it did not look, or found nothing
}

// step is the model: it says whether a call may return that in this state, and
// gives the state after it.
func (op registerOp) step(s registers, r registerResult) (bool, registers) {
	was := s[op.key]
	switch op.verb {
	case "read":
		return r.seen[op.key] == was, s
	case "read all":
		return r.seen == s, s
	case "write":
		s[op.key] = op.value
		return true, s
	case "delete":
		s[op.key] = missing
		return r.done == (was != missing), s
	case "cas":
		if was == op.n {
			s[op.key] = op.value
		}
		return r.done == (was == op.n) && r.seen[op.key] == was, s
	}
	if !r.done { // one of the two was missing; the other was not looked at then
		return was == missing || s[op.to] == missing, s
	}
	possible := was != missing && s[op.to] != missing && r.seen[op.key] == was && r.seen[op.to] == s[op.to]
	s[op.key], s[op.to] = was-op.n, s[op.to]+op.n
	return possible, s
}

// registerModel is what porcupine compares histories with.
var registerModel = porcupine.Model{
	Init: func() any { return registers{missing, missing, missing} },
	Step: func(state, input, output any) (bool, any) {
		return input.(registerOp).step(state.(registers), output.(registerResult))
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// drawOp draws a call. Each written value comes once in a history.
func drawOp(rnd *rand.Rand, value int) registerOp {
	op := registerOp{verb: verbs[rnd.IntN(len(verbs))], key: rnd.IntN(len(cellIDs)), value: value}
	switch op.verb {
	case "transfer":
		op.n, op.to = 1+rnd.IntN(5), (op.key+1+rnd.IntN(len(cellIDs)-1))%len(cellIDs)
	case "cas":
		op.n = missing // so that it creates; run overwrites this with what the goroutine saw last
	}
	return op
}

// run makes the call in a session, up to but without the commit.
func (op registerOp) run(ctx context.Context, s *userdata.Session) (r registerResult, err error) {
	r.seen = registers{missing, missing, missing}
	if op.verb == "read all" {
		found, err := cells.Select(s).All(ctx)
		for _, c := range found {
			r.seen[slices.Index(cellIDs[:], c.ID)] = c.N
		}
		return r, err
	}
	c, err := getCell(ctx, s, op.key, &r)
	if err != nil {
		return r, err
	}
	switch {
	case op.verb == "write", op.verb == "cas" && r.seen[op.key] == op.n:
		r.done = true
		if c == nil {
			return r, s.Add(&cell{ID: cellIDs[op.key], N: op.value})
		}
		c.N = op.value
	case op.verb == "delete" && c != nil:
		r.done = true
		return r, s.Delete(c)
	case op.verb == "transfer" && c != nil:
		to, err := getCell(ctx, s, op.to, &r)
		if to == nil || err != nil {
			return r, err
		}
		r.done = true
		c.N, to.N = c.N-op.n, to.N+op.n
	}
	return r, nil
}

// getCell returns a cell, or nil if there is none, and notes what it holds.
func getCell(ctx context.Context, s *userdata.Session, key int, r *registerResult) (*cell, error) {
	c, err := cells.Get(ctx, s, cellIDs[key])
	if errors.Is(err, userdata.ErrNotFound) {
		return nil, nil
	}
	if err == nil {
		r.seen[key] = c.N
	}
	return c, err
}

// A client makes calls one after the other, in some way. It gives up with an
// ErrConflict, and then the call had no effect.
type client func(ctx context.Context, db *userdata.DB, op registerOp) (registerResult, error)

// clients are the ways. Each returns a client for one goroutine.
var clients = map[string]func(db *userdata.DB) client{
	"Transact": func(*userdata.DB) client { return transacting() },
	"Transact, serializable": func(*userdata.DB) client {
		return transacting(userdata.Serializable)
	},
	"one session": func(db *userdata.DB) client {
		s := db.NewSession()
		return func(ctx context.Context, _ *userdata.DB, op registerOp) (registerResult, error) {
			s.Rollback() // what it reads from here on is not older than the call
			r, err := op.run(ctx, s)
			if err == nil {
				err = s.Commit(ctx)
			}
			return r, err
		}
	},
	"View and Transact": func(*userdata.DB) client {
		transact := transacting()
		return func(ctx context.Context, db *userdata.DB, op registerOp) (r registerResult, err error) {
			if !strings.HasPrefix(op.verb, "read") {
				return transact(ctx, db, op)
			}
			err = db.View(ctx, func(s *userdata.Session) error {
				if r, err = op.run(ctx, s); op.verb == "read" || err != nil {
					return err
				}
				for key := range cellIDs { // the same again, one by one
					var again registerResult
					if c, err := getCell(ctx, s, key, &again); c != nil && again.seen[key] != r.seen[key] || err != nil {
						return fmt.Errorf("a View has %d and then %d, %w", r.seen[key], again.seen[key], err)
					}
				}
				return nil
			})
			return r, err
		}
	},
}

// transacting returns the client that calls Transact.
func transacting(opts ...userdata.SessionOption) client {
	return func(ctx context.Context, db *userdata.DB, op registerOp) (r registerResult, err error) {
		err = db.Transact(ctx, func(s *userdata.Session) (err error) {
			r, err = op.run(ctx, s)
			return err
		}, opts...)
		return r, err
	}
}

// A yieldingStore lets other goroutines run between the calls of a session, or
// else on few cores they seldom meet.
type yieldingStore struct{ userdata.Store }

func (y yieldingStore) View(ctx context.Context, fn func(userdata.Snapshot) error) error {
	runtime.Gosched()
	return y.Store.View(ctx, fn)
}

func (y yieldingStore) Apply(ctx context.Context, changes *userdata.ChangeSet) error {
	runtime.Gosched()
	return y.Store.Apply(ctx, changes)
}

// A forgetfulStore applies change sets without looking at what they expect.
type forgetfulStore struct{ userdata.Store }

func (f forgetfulStore) Apply(ctx context.Context, changes *userdata.ChangeSet) error {
	set := &userdata.ChangeSet{Changes: slices.Clone(changes.Changes)}
	for i := range set.Changes {
		set.Changes[i].Expect, set.Changes[i].Before = userdata.ExpectAnything, nil
	}
	return f.Store.Apply(ctx, set)
}

// record makes calls from several goroutines and returns those that had an
// effect, or might have been seen, with the order of their beginnings and ends.
func record(t *testing.T, db *userdata.DB, newClient func(*userdata.DB) client, seed uint64, goroutines, calls int) (history []porcupine.Operation) {
	t.Helper()
	var clock atomic.Int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			rnd, call := rand.New(rand.NewPCG(seed, uint64(g))), newClient(db)
			last := registers{missing, missing, missing}
			for i := range calls {
				op := drawOp(rnd, 1000*(calls*g+i+1))
				if op.verb == "cas" && rnd.IntN(4) > 0 {
					op.n = last[op.key]
				}
				begin := clock.Add(1)
				r, err := call(t.Context(), db, op)
				end := clock.Add(1)
				switch {
				case errors.Is(err, userdata.ErrConflict):
					continue
				case err != nil:
					t.Errorf("%+v: got %v, want nil or ErrConflict", op, err)
					return
				}
				last = r.seen
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: g, Input: op, Call: begin, Output: r, Return: end})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return history
}

// leakless makes the test fail if goroutines of its own are left after it, once
// its stores are closed.
func leakless(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// concurrentStores are the stores that the tests of this file run on.
var concurrentStores = map[string]func(t *testing.T) userdata.Store{
	"MemStore":  func(*testing.T) userdata.Store { return userdata.NewMemStore() },
	"BoltStore": func(t *testing.T) userdata.Store { return openBolt(t) },
}

// Calls from eight goroutines have the effect and the results of the same calls
// in some order, one after the other, in which each stands between its begin
// and its end.
func TestLinearizable(t *testing.T) {
	histories := 2
	if *long {
		histories = 200
	}
	for storeName, newStore := range concurrentStores {
		for clientName, newClient := range clients {
			t.Run(storeName+"/"+clientName, func(t *testing.T) {
				leakless(t)
				kept := 0
				for seed := range uint64(histories) {
					db := openOn(t, yieldingStore{newStore(t)}, cells)
					history := record(t, db, newClient, seed, 8, 40)
					kept += len(history)
					if !porcupine.CheckOperations(registerModel, history) {
						t.Errorf("seed %d: the history of %d calls is not linearizable", seed, len(history))
					}
					ok(t, db.Close())
				}
				if kept < histories*8*40/4 {
					t.Errorf("got %d of %d calls through, want more", kept, histories*8*40)
				}
			})
		}
	}
}

// The same where three databases, which are to each other what processes are, share
// a file.
func TestLinearizableShared(t *testing.T) {
	histories := 1
	if *long {
		histories = 100
	}
	for name, newClient := range clients {
		t.Run(name, func(t *testing.T) {
			leakless(t)
			for seed := range uint64(histories) {
				path := filepath.Join(t.TempDir(), fmt.Sprint(seed))
				var dbs [3]*userdata.DB
				for i := range dbs {
					db, err := userdata.Open(path, shared, cells)
					ok(t, err)
					dbs[i] = db
				}
				var next atomic.Int64
				history := record(t, nil, func(*userdata.DB) client {
					db := dbs[next.Add(1)%int64(len(dbs))]
					call := newClient(db)
					return func(ctx context.Context, _ *userdata.DB, op registerOp) (registerResult, error) {
						return call(ctx, db, op)
					}
				}, seed, 6, 20)
				if !porcupine.CheckOperations(registerModel, history) {
					t.Errorf("seed %d: the history of %d calls is not linearizable", seed, len(history))
				}
				if len(history) < 6*20/4 {
					t.Errorf("seed %d: got %d of %d calls through, want more", seed, len(history), 6*20)
				}
				for _, db := range dbs {
					ok(t, db.Close())
				}
			}
		})
	}
}

// Without the comparison with what a session read, the same test finds that
// updates are lost.
func TestLinearizableCanFail(t *testing.T) {
	leakless(t)
	for seed := range uint64(100) {
		db := openOn(t, yieldingStore{forgetfulStore{userdata.NewMemStore()}}, cells)
		history := record(t, db, clients["Transact"], seed, 8, 40)
		ok(t, db.Close())
		if !porcupine.CheckOperations(registerModel, history) {
			return
		}
	}
	t.Error("got 100 histories that are linearizable, want one that is not: the store checks nothing")
}

// The model refuses what it should: one history for each of its rules.
func TestRegisterModel(t *testing.T) {
	none := registers{missing, missing, missing}
	with := func(a, b, c int) registerResult { return registerResult{seen: registers{a, b, c}} }
	done := func(a, b, c int) registerResult { return registerResult{done: true, seen: registers{a, b, c}} }
	for name, tt := range map[string]struct {
		state registers
		op    registerOp
		wrong registerResult
	}{
		"read of another value":              {none, registerOp{verb: "read"}, with(1, missing, missing)},
		"read that misses a value":           {registers{1}, registerOp{verb: "read"}, with(missing, 0, 0)},
		"read all, one old":                  {registers{1, 2, 3}, registerOp{verb: "read all"}, with(1, 2, 2)},
		"cas on another value":               {registers{1}, registerOp{verb: "cas", n: 2}, done(2, missing, missing)},
		"cas refused without reason":         {registers{1}, registerOp{verb: "cas", n: 1}, with(1, missing, missing)},
		"delete of nothing":                  {none, registerOp{verb: "delete"}, done(missing, missing, missing)},
		"delete that found nothing":          {registers{1}, registerOp{verb: "delete"}, with(1, missing, missing)},
		"transfer of an old value":           {registers{5, 5}, registerOp{verb: "transfer", to: 1, n: 1}, done(4, 5, missing)},
		"transfer to an old value":           {registers{5, 5}, registerOp{verb: "transfer", to: 1, n: 1}, done(5, 4, missing)},
		"transfer to nothing":                {registers{5, missing}, registerOp{verb: "transfer", to: 1, n: 1}, done(5, 4, missing)},
		"transfer refused, both cells there": {registers{5, 5}, registerOp{verb: "transfer", to: 1, n: 1}, with(5, missing, missing)},
	} {
		if possible, _ := tt.op.step(tt.state, tt.wrong); possible {
			t.Errorf("%s: the model takes %+v -> %+v in %v", name, tt.op, tt.wrong, tt.state)
		}
	}
}

// accounts is how many accounts the bank has, and funds what each begins with.
const accounts, funds = 6, 100

// openBank opens a database with the accounts in it.
func openBank(t *testing.T, store userdata.Store) *userdata.DB {
	t.Helper()
	db := openOn(t, store, cells)
	var all []any
	for i := range accounts {
		all = append(all, &cell{ID: fmt.Sprint(i), N: funds})
	}
	putAll(t, db, all...)
	return db
}

// pay moves money between two accounts that it draws, if the payer and the one
// after it have that much together: a condition on a record that it does not
// write, which only a serializable session may rely on.
func pay(ctx context.Context, s *userdata.Session, rnd *rand.Rand) error {
	from := rnd.IntN(accounts)
	to, beside := (from+2+rnd.IntN(accounts-2))%accounts, from^1
	var got [3]*cell
	for i, n := range []int{from, to, beside} {
		c, err := cells.Get(ctx, s, fmt.Sprint(n))
		if err != nil {
			return err
		}
		got[i] = c
	}
	if amount := 1 + rnd.IntN(3*funds/2); got[0].N+got[2].N >= amount && to != beside {
		got[0].N, got[1].N = got[0].N-amount, got[1].N+amount
	}
	return nil
}

// auditBank checks that nothing was lost or made, and no pair is in debt.
func auditBank(balance map[string]int) error {
	sum := 0
	for _, n := range balance {
		sum += n
	}
	if sum != accounts*funds || len(balance) != accounts {
		return fmt.Errorf("%d accounts hold %d, want %d and %d: %v", len(balance), sum, accounts, accounts*funds, balance)
	}
	for i := 0; i < accounts; i += 2 {
		if a, b := balance[fmt.Sprint(i)], balance[fmt.Sprint(i+1)]; a+b < 0 {
			return fmt.Errorf("accounts %d and %d hold %d and %d together, want no debt", i, i+1, a, b)
		}
	}
	return nil
}

// auditRows is auditBank of what Rows gives.
func auditRows(ctx context.Context, s *userdata.Session) error {
	balance := map[string]int{}
	for c, err := range cells.Select(s).Rows(ctx) {
		if err != nil {
			return err
		}
		balance[c.ID] = c.N
		runtime.Gosched()
	}
	return auditBank(balance)
}

// While six goroutines make payments in serializable sessions, readers never
// see money lost, made or on its way, and no pair of accounts gets into debt.
func TestBank(t *testing.T) {
	for name, newStore := range concurrentStores {
		t.Run(name, func(t *testing.T) {
			leakless(t)
			db := openBank(t, yieldingStore{newStore(t)})
			payments := 40
			if *long {
				payments = 4000
			}
			var payers, readers sync.WaitGroup
			var paid, conflicts, audits atomic.Int64
			for g := range 6 {
				payers.Go(func() {
					rnd := rand.New(rand.NewPCG(7, uint64(g)))
					for range payments {
						err := db.Transact(t.Context(), func(s *userdata.Session) error { return pay(t.Context(), s, rnd) }, userdata.Serializable)
						switch {
						case err == nil:
							paid.Add(1)
						case errors.Is(err, userdata.ErrConflict):
							conflicts.Add(1)
						default:
							t.Errorf("payment: got %v, want nil or ErrConflict", err)
						}
					}
				})
			}
			over := make(chan struct{})
			for g := range 2 {
				readers.Go(func() {
					rnd := rand.New(rand.NewPCG(8, uint64(g)))
					for {
						select {
						case <-over:
							return
						default:
						}
						if err := readBank(t.Context(), db, rnd); err == nil {
							audits.Add(1)
						} else if !errors.Is(err, userdata.ErrConflict) {
							t.Errorf("reading: %v", err)
							return
						}
					}
				})
			}
			payers.Wait()
			close(over)
			readers.Wait()
			ok(t, db.View(t.Context(), func(s *userdata.Session) error { return auditRows(t.Context(), s) }))
			if paid.Load() == 0 || audits.Load() == 0 {
				t.Errorf("got %d payments, %d conflicts, %d audits, want payments and audits", paid.Load(), conflicts.Load(), audits.Load())
			}
			ok(t, db.Close())
		})
	}
}

// readBank audits in one of the ways that promise one state.
func readBank(ctx context.Context, db *userdata.DB, rnd *rand.Rand) error {
	switch rnd.IntN(3) {
	case 0:
		return db.View(ctx, func(s *userdata.Session) error { return auditRows(ctx, s) })
	case 1:
		s := db.NewSession(userdata.Serializable)
		return errors.Join(auditRows(ctx, s), s.Close())
	}
	balance := map[string]int{}
	s := db.NewSession()
	found, err := cells.Select(s).All(ctx)
	for _, c := range found {
		balance[c.ID] = c.N
	}
	if err == nil {
		err = auditBank(balance)
	}
	return err
}

// Two payments that rely on what the other one changes: of serializable sessions
// one is refused, and without that the pair gets into debt, which auditBank sees.
func TestBankCanFail(t *testing.T) {
	leakless(t)
	for name, opts := range map[string][]userdata.SessionOption{"serializable": {userdata.Serializable}, "by record": nil} {
		db := openBank(t, userdata.NewMemStore())
		var sessions []*userdata.Session
		for i := range 2 {
			s := db.NewSession(opts...)
			var got [3]*cell
			for j, id := range []string{fmt.Sprint(i), fmt.Sprint(1 - i), fmt.Sprint(2 + i)} {
				c, err := cells.Get(t.Context(), s, id)
				ok(t, err)
				got[j] = c
			}
			if got[0].N+got[1].N >= 150 {
				got[0].N, got[2].N = got[0].N-150, got[2].N+150
			}
			sessions = append(sessions, s)
		}
		ok(t, sessions[0].Commit(t.Context()))
		err := sessions[1].Commit(t.Context())
		in := db.View(t.Context(), func(s *userdata.Session) error { return auditRows(t.Context(), s) })
		if refused := errors.Is(err, userdata.ErrConflict); refused != (opts != nil) || (in == nil) != refused {
			t.Errorf("%s: got %v from the second commit, and %v from the audit", name, err, in)
		}
		ok(t, db.Close())
	}
}
