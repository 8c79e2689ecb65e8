package userdata_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/seed-5df914be/userdata"
)

func TestStates(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		putAll(t, db, &piece{ID: "a"})
		s := db.NewSession()
		p, a := &piece{ID: "p"}, get(t, s, "a")
		walk := func(want ...string) {
			t.Helper()
			sameAs(t, "states", states(s, p, a), want)
		}
		walk("transient", "persistent")
		ok(t, s.Add(p))
		ok(t, s.Delete(a))
		walk("pending", "deleted")
		s.Rollback()
		walk("transient", "persistent")
		ok(t, s.Add(p))
		ok(t, s.Delete(a))
		ok(t, s.Add(a)) // takes back its Delete
		walk("pending", "persistent")
		ok(t, s.Delete(a))
		ok(t, s.Commit(t.Context()))
		walk("persistent", "detached")
		s.Expunge(p)
		walk("detached", "detached")
		ok(t, s.Add(a))
		walk("detached", "pending")
		ok(t, s.Close())
		walk("detached", "detached")
	})
	if got := userdata.State(99).String(); got != "unknown" {
		t.Errorf("got %q, want unknown", got)
	}
}

// global is a record that lies outside the heap.
var global piece

func TestRecordsAnywhere(t *testing.T) {
	db := openMem(t, pieces)
	ctx := t.Context()
	s := db.NewSession()
	global = piece{ID: "g"}
	array := [2]piece{{ID: "1"}, {ID: "2"}}
	ok(t, s.Add(&global, &array[0], &array[1]))
	ok(t, s.Commit(ctx))
	s.Expunge(&global)
	ok(t, s.Delete(&array[0]))
	ok(t, s.Commit(ctx))
	sameAs(t, "states", states(s, &global, &array[0], &array[1]), []string{"detached", "detached", "persistent"})
}

// An inner record at the beginning of an outer one has the same address.
func TestRecordInsideARecord(t *testing.T) {
	type inner struct {
		ID string `userdata:"id,key"`
	}
	type outer struct {
		Inner inner  `userdata:"-"`
		Key   string `userdata:"key,key"`
	}
	inners, outers := userdata.NewTable[inner]("inners"), userdata.NewTable[outer]("outers")
	db := openMem(t, inners, outers)
	s := db.NewSession()
	o := &outer{Inner: inner{"in"}, Key: "out"}
	ok(t, s.Add(o))
	sameAs(t, "states", states(s, o, &o.Inner), []string{"pending", "transient"})
	ok(t, s.Add(&o.Inner))
	ok(t, s.Commit(t.Context()))
	if got, err := inners.Get(t.Context(), s, "in"); got != &o.Inner || err != nil {
		t.Errorf("Get: got %v, %v", got, err)
	}
	s.Expunge(&o.Inner)
	sameAs(t, "states", states(s, o, &o.Inner), []string{"persistent", "detached"})
	if got, err := outers.Get(t.Context(), db.NewSession(), "out"); err != nil || got.Key != "out" {
		t.Errorf("Get: got %v, %v", got, err)
	}
}

// A session that lives long lets go of what it has let go.
func TestManyRecordsComeAndGo(t *testing.T) {
	db := openMem(t, pieces)
	s := db.NewSession()
	kept := &piece{ID: "kept"}
	ok(t, s.Add(kept))
	var last *piece
	for round := range 5 {
		for i := range 1000 {
			last = &piece{ID: fmt.Sprint(round, "-", i)}
			ok(t, s.Add(last))
			if i%10 > 0 {
				s.Expunge(last)
			}
		}
		runtime.GC()
		sameAs(t, "states", states(s, kept, last), []string{"pending", "detached"})
	}
	if get(t, s, "kept") != kept || get(t, s, "3-990").N != 0 {
		t.Error("Get: got other records")
	}
	ok(t, s.Commit(t.Context()))
	if n, err := pieces.Select(s).Count(t.Context()); n != 501 || err != nil {
		t.Errorf("Count: got %d, %v, want 501", n, err)
	}
}

// What a bulk update or delete had to hold is forgotten with the commit.
func TestBulkChangesAreNotTracked(t *testing.T) {
	onStores(t, func(t *testing.T, db *userdata.DB) {
		ctx := t.Context()
		putAll(t, db, &piece{ID: "a"}, &piece{ID: "b"}, &piece{ID: "c"})
		s := db.NewSession()
		n, err := pieces.Select(s).Where(pieceID.Lt("c")).Update(ctx, pieceTitle.Set("bulk"))
		if n != 2 || err != nil {
			t.Fatal(n, err)
		}
		n, err = pieces.Select(s).Where(pieceID.Eq("c")).Delete(ctx)
		if n != 1 || err != nil {
			t.Fatal(n, err)
		}
		b := get(t, s, "b") // this one the program has now
		is(t, s.Add(&piece{ID: "a"}), userdata.ErrExists)
		ok(t, s.Commit(ctx))
		ok(t, s.Add(&piece{ID: "a"})) // the session knows of no other
		is(t, s.Add(&piece{ID: "b"}), userdata.ErrExists)
		if get(t, s, "b") != b {
			t.Error("Get: got another pointer")
		}
		is(t, s.Commit(ctx), userdata.ErrExists)
		sameAs(t, "store", titlesOf(t, db), titles{"a": "bulk", "b": "bulk"})
	})
}
