package userdata_test

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed-5df914be/userdata"
)

// Tables whose keys stand at several places in what is stored, and are of several types.
type (
	textKeyed struct {
		ID   string `userdata:"id,key"`
		N    int    `userdata:"n"`
		Text string `userdata:"text"`
	}
	lateKeyed struct {
		Text string `userdata:"text"`
		N    int    `userdata:"n"`
		ID   string `userdata:"id,key"`
	}
	intKeyed struct {
		N    int    `userdata:"n"`
		ID   int64  `userdata:"id,key"`
		Text string `userdata:"text"`
	}
	timeKeyed struct {
		Text string    `userdata:"text"`
		ID   time.Time `userdata:"id,key"`
		N    int       `userdata:"n"`
	}
	bytesKeyed struct {
		ID   []byte `userdata:"id,key"`
		Text string `userdata:"text"`
		N    int    `userdata:"n"`
	}
)

// A listed is a type of record in the tests of lists.
type listed[T any] struct {
	table *userdata.Table[T]
	keyOf func(i int) any // in the order of i
}

// field returns the address of a record's field.
func field[V, T any](r *T, name string) *V {
	return reflect.ValueOf(r).Elem().FieldByName(name).Addr().Interface().(*V)
}

func numberOf[T any](r *T) *int { return field[int](r, "N") }

func (l listed[T]) setKey(r *T, i int) {
	reflect.ValueOf(r).Elem().FieldByName("ID").Set(reflect.ValueOf(l.keyOf(i)))
}

// record returns record i, whose text shares its bytes with nothing if it is one of 50.
func (l listed[T]) record(i int) *T {
	r := new(T)
	l.setKey(r, i)
	*numberOf(r) = i
	*field[string](r, "Text") = strings.Repeat(fmt.Sprint("text ", i), i%7)
	if i%50 == 49 {
		*field[string](r, "Text") = strings.Repeat(fmt.Sprint("text ", i), 300)
	}
	return r
}

// inList are the records of the tests of lists: from 0 to that.
const inList = 700

func (l listed[T]) open(t *testing.T) *userdata.DB {
	t.Helper()
	db := openDB(t, l.table)
	var records []any
	for i := range inList {
		records = append(records, l.record(i))
	}
	putAll(t, db, records...)
	return db
}

// list reads records into a new session, by a query that is like that for all but for what
// fn does to it.
func (l listed[T]) list(t *testing.T, db *userdata.DB, fn func(userdata.Query[T]) userdata.Query[T]) (*userdata.Session, []*T) {
	t.Helper()
	s := db.NewSession()
	t.Cleanup(func() { s.Close() })
	all, err := fn(l.table.Select(s)).All(t.Context())
	ok(t, err)
	l.entries(t, s, 0, 0)
	return s, all
}

func everything[T any](q userdata.Query[T]) userdata.Query[T] { return q }

// entries checks how many records of a session have entries.
func (l listed[T]) entries(t *testing.T, s *userdata.Session, least, most int) {
	t.Helper()
	if n := userdata.Entries(s, l.table); n < least || n > most {
		t.Errorf("%d records have entries, want %d to %d", n, least, most)
	}
}

// stored checks what a new session reads: the records with other numbers where there are some.
func (l listed[T]) stored(t *testing.T, db *userdata.DB, numbers map[int]int) {
	t.Helper()
	_, all := l.list(t, db, everything)
	want := make([]*T, inList)
	for i := range want {
		want[i] = l.record(i)
		if n, changed := numbers[i]; changed {
			*numberOf(want[i]) = n
		}
	}
	sameAs(t, "stored", all, want)
}

// same checks that a session gets the record that it has already.
func (l listed[T]) same(t *testing.T, s *userdata.Session, i int, want *T) {
	t.Helper()
	if got, err := l.table.Get(t.Context(), s, l.keyOf(i)); err != nil || got != want {
		t.Errorf("Get of record %d: got %p, %v, want %p, which the session has", i, got, err, want)
	}
}

// testLists is what the session must know of a list of records, none of which has an entry before
// it is asked for.
func testLists[T any](t *testing.T, keyOf func(i int) any) {
	l := listed[T]{userdata.NewTable[T]("listed"), keyOf}
	ctx := t.Context()
	t.Run("read", func(t *testing.T) { l.stored(t, l.open(t), nil) })
	t.Run("changed", func(t *testing.T) {
		db := l.open(t)
		s, all := l.list(t, db, everything)
		*numberOf(all[3])++
		*numberOf(all[499])--
		ok(t, s.Commit(ctx))
		l.entries(t, s, 2, inList/2) // those that lie beside the two
		l.stored(t, db, map[int]int{3: 4, 499: 498})
		*numberOf(all[499])--
		*numberOf(all[inList-1]) = 0
		n := 0
		for c := range s.Changes() {
			sameAs(t, "changed columns", len(c.Columns), 1)
			n++
		}
		sameAs(t, "changes", n, 2)
		ok(t, s.Commit(ctx))
		l.stored(t, db, map[int]int{3: 4, 499: 497, inList - 1: 0})
		for i, r := range all {
			l.same(t, s, i, r)
		}
	})
	t.Run("a part", func(t *testing.T) {
		db := l.open(t)
		s, all := l.list(t, db, func(q userdata.Query[T]) userdata.Query[T] { return q.Offset(123).Limit(345) })
		want := map[int]int{}
		for i, r := range all {
			sameAs(t, "number", *numberOf(r), 123+i)
			*numberOf(r), want[123+i] = -i, -i
		}
		sameAs(t, "records", len(all), 345)
		ok(t, s.Commit(ctx))
		l.stored(t, db, want)
	})
	t.Run("rolled back", func(t *testing.T) {
		db := l.open(t)
		s, all := l.list(t, db, everything)
		for i := range 20 {
			l.setKey(all[i*30], 10000+i)
			*numberOf(all[i*31])++
		}
		l.same(t, s, 10003, all[90])
		if _, err := l.table.Get(ctx, s, keyOf(90)); err == nil {
			t.Error("a record was found under the key that it had before")
		}
		s.Rollback()
		for i, r := range all {
			sameAs(t, "rolled back", r, l.record(i))
			l.same(t, s, i, r)
		}
		s, all = l.list(t, db, everything)
		*numberOf(all[600])++
		l.setKey(all[601], 10000)
		s.Rollback()
		l.entries(t, s, 2, inList/2)
		for i, r := range all {
			sameAs(t, "rolled back", r, l.record(i))
			l.same(t, s, i, r)
		}
	})
	t.Run("moved", func(t *testing.T) {
		db := l.open(t)
		s, all := l.list(t, db, everything)
		l.setKey(all[5], 6) // two change their places, in all but their numbers
		l.setKey(all[6], 5)
		a, b := field[string](all[5], "Text"), field[string](all[6], "Text")
		*a, *b = *b, *a
		ok(t, s.Commit(ctx))
		l.same(t, s, 5, all[6])
		l.stored(t, db, map[int]int{5: 6, 6: 5})
	})
	t.Run("deleted and added", func(t *testing.T) {
		db := l.open(t)
		s, all := l.list(t, db, everything)
		is(t, s.Add(l.record(77)), userdata.ErrExists)
		sameAs(t, "states", states(s, all[77], all[78]), []string{"persistent", "persistent"})
		ok(t, s.Delete(all[77]))
		s.Expunge(all[78])
		ok(t, s.Commit(ctx))
		ok(t, s.Add(all[77]))
		l.same(t, s, 77, all[77])
		ok(t, s.Commit(ctx))
		l.same(t, s, 79, all[79])
		if again, err := l.table.Get(ctx, s, keyOf(78)); err != nil || again == all[78] {
			t.Errorf("got %p, %v, want another record than the one that was expunged", again, err)
		}
		l.stored(t, db, nil)
	})
	t.Run("in turns", func(t *testing.T) { // lists of one session
		db := l.open(t)
		s, first := l.list(t, db, func(q userdata.Query[T]) userdata.Query[T] { return q.Limit(100) })
		s.Expunge(first[1])
		all, err := l.table.Select(s).All(ctx)
		ok(t, err)
		for i, r := range all {
			if i < 100 && (r == first[i]) != (i != 1) {
				t.Errorf("record %d of the second list is not the one of the first, or is although it was expunged", i)
			}
			l.same(t, s, i, r)
		}
		sameAs(t, "states", states(s, first[1], all[1], all[200]), []string{"detached", "persistent", "persistent"})
	})
	t.Run("changed by others", func(t *testing.T) {
		db := l.open(t)
		s, all := l.list(t, db, everything)
		other, theirs := l.list(t, db, everything)
		*numberOf(theirs[7]), *numberOf(theirs[300]) = -7, -300
		ok(t, other.Commit(ctx))
		*numberOf(all[7]) = 70
		is(t, s.Commit(ctx), userdata.ErrConflict)
		s.Rollback()
		again, err := l.table.Select(s).All(ctx)
		ok(t, err)
		sameAs(t, "numbers", []int{*numberOf(all[7]), *numberOf(all[300]), len(again)}, []int{-7, -300, inList})
		l.stored(t, db, map[int]int{7: -7, 300: -300})
	})
	t.Run("savepoint", func(t *testing.T) {
		db := l.open(t)
		s, all := l.list(t, db, everything)
		failed := s.Savepoint(func() error {
			*numberOf(all[3]) = -1
			return userdata.ErrInvalid
		})
		is(t, failed, userdata.ErrInvalid)
		sameAs(t, "number", *numberOf(all[3]), 3)
		ok(t, s.Commit(ctx))
		l.stored(t, db, nil)
	})
}

func TestListsOfTextKeys(t *testing.T) {
	t.Parallel()
	testLists[textKeyed](t, func(i int) any { return fmt.Sprintf("key %06d", i) })
}

func TestListsOfLateKeys(t *testing.T) {
	t.Parallel()
	testLists[lateKeyed](t, func(i int) any { return strings.Repeat("k", 40) + fmt.Sprintf("%06d", i) })
}

func TestListsOfIntKeys(t *testing.T) {
	t.Parallel()
	testLists[intKeyed](t, func(i int) any { return int64(i*i - 1000) })
}

func TestListsOfTimeKeys(t *testing.T) {
	t.Parallel()
	testLists[timeKeyed](t, func(i int) any { return time.Unix(int64(i)*1e6, int64(i)).UTC() })
}

func TestListsOfBytesKeys(t *testing.T) {
	t.Parallel()
	testLists[bytesKeyed](t, func(i int) any { return []byte{byte(i >> 16), byte(i >> 8), byte(i), 0xff} })
}

// A chained record's Validate changes the next one, which is written with it if its turn comes
// later, as it does in a list.
type chained struct {
	ID   string   `userdata:"id,key"`
	N    int      `userdata:"n"`
	Next *chained `userdata:"-"`
}

func (c *chained) Validate() error {
	if c.Next != nil {
		c.Next.N = c.N
	}
	return nil
}

func TestListValidatedInTurn(t *testing.T) {
	table := userdata.NewTable[chained]("chained")
	db := openDB(t, table)
	var records []any
	for i := range inList {
		records = append(records, &chained{ID: fmt.Sprintf("key %06d", i)})
	}
	putAll(t, db, records...)
	s := db.NewSession()
	defer s.Close()
	all, err := table.Select(s).All(t.Context())
	ok(t, err)
	all[3].N, all[3].Next, all[4].Next = 1, all[4], all[inList-1]
	ok(t, s.Commit(t.Context()))
	other := db.NewSession()
	defer other.Close()
	last, err := table.Get(t.Context(), other, all[inList-1].ID)
	if err != nil || last.N != 1 {
		t.Errorf("got %+v, %v, want N 1: its turn came after those that changed it", last, err)
	}
	for c := range s.Changes() {
		t.Errorf("left over: %v", c)
	}
}

// A list keeps nothing of the records that its offset leaves out.
func TestListKeepsNothingOfItsOffset(t *testing.T) {
	l := listed[textKeyed]{userdata.NewTable[textKeyed]("listed"), func(i int) any { return fmt.Sprintf("key %06d", i) }}
	db := openDB(t, l.table)
	const n, size = 2000, 4000
	var records []any
	for i := range n {
		records = append(records, &textKeyed{ID: fmt.Sprintf("key %06d", i), Text: strings.Repeat("x", size)})
	}
	putAll(t, db, records...)
	clear(records)
	before := heap()
	s := db.NewSession()
	defer s.Close()
	list, err := l.table.Select(s).Offset(n - 10).All(t.Context())
	ok(t, err)
	if kept := int64(heap()) - int64(before); len(list) != 10 || kept > n*size/4 {
		t.Errorf("%d records keep %d bytes", len(list), kept)
	}
	runtime.KeepAlive(list)
}

// heap returns how many bytes of the heap are in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // twice: the first moves what pools have, and the second frees it
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
