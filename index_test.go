package userdata_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-5df914be/userdata"
)

// Tags of indexes that are wrong: the error names type, field and what to do.
func TestIndexTagErrors(t *testing.T) {
	t.Parallel()
	type (
		noOrder struct {
			ID string         `userdata:"id,key"`
			M  map[string]int `userdata:"m,index"`
		}
		noOrderInside struct {
			ID string           `userdata:"id,key"`
			M  []map[string]int `userdata:"m,unique"`
		}
		emptyName struct {
			ID string `userdata:"id,key"`
			A  string `userdata:"a,index="`
		}
		badName struct {
			ID string `userdata:"id,key"`
			A  string `userdata:"a,index=a/b"`
		}
		place0 struct {
			ID string `userdata:"id,key"`
			A  string `userdata:"a,index=x:0"`
		}
		placeWord struct {
			ID string `userdata:"id,key"`
			A  string `userdata:"a,unique=x:first"`
		}
		placePlus struct {
			ID string `userdata:"id,key"`
			A  string `userdata:"a,unique=x:+1"`
		}
		missing struct {
			ID string `userdata:"id,key"`
			A  string `userdata:"a,index=x:1"`
			B  string `userdata:"b,index=x:3"`
		}
		doubled struct {
			ID string `userdata:"id,key"`
			A  string `userdata:"a,index=x:1"`
			B  string `userdata:"b,index=x:1"`
		}
		doubledNext struct {
			ID string `userdata:"id,key"`
			A  string `userdata:"a,index=x:2"`
			B  string `userdata:"b,index=x"`
		}
		sliceFirst struct {
			ID string   `userdata:"id,key"`
			A  []string `userdata:"a,index=x:1"`
			B  string   `userdata:"b,index=x:2"`
		}
		halfUnique struct {
			ID string `userdata:"id,key"`
			A  string `userdata:"a,index=x"`
			B  string `userdata:"b,unique=x"`
		}
		bothWords struct {
			ID string `userdata:"id,key"`
			A  string `userdata:"a,index,unique"`
		}
		sameColumn struct {
			ID string `userdata:"id,key"`
			A  string `userdata:"a,index=x:1,index=x:2"`
		}
		sameName struct {
			ID string `userdata:"id,key"`
			A  string `userdata:"a,index"`
			B  string `userdata:"b,index=a"`
		}
		sameNameFirst struct {
			ID string `userdata:"id,key"`
			B  string `userdata:"b,index=a"`
			A  string `userdata:"a,index"`
		}
		twice struct {
			ID string `userdata:"id,key"`
			A  string `userdata:"a,index,index"`
		}
		onKey struct {
			ID string `userdata:"id,key,unique"`
		}
		misspelt struct {
			ID string `userdata:"id,key"`
			A  string `userdata:"a,indexed"`
		}
		inside struct {
			ID string `userdata:"id,key"`
			A  struct {
				X string `userdata:"x,index"`
			} `userdata:"a"`
		}
	)
	tests := []struct {
		name  string
		table userdata.Mapped
		want  []string
	}{
		{"no order", userdata.NewTable[noOrder]("t"), []string{"noOrder.M", "no order", "remove the word"}},
		{"no order inside", userdata.NewTable[noOrderInside]("t"), []string{"noOrderInside.M", "no order", "remove the word"}},
		{"empty name", userdata.NewTable[emptyName]("t"), []string{"emptyName.A", `"index="`, "index=by_author"}},
		{"bad name", userdata.NewTable[badName]("t"), []string{"badName.A", `"index=a/b"`, "letters"}},
		{"place 0", userdata.NewTable[place0]("t"), []string{"place0.A", `"index=x:0"`, "index=x:1"}},
		{"place word", userdata.NewTable[placeWord]("t"), []string{"placeWord.A", `"unique=x:first"`, "unique=x:1"}},
		{"place plus", userdata.NewTable[placePlus]("t"), []string{"placePlus.A", `"unique=x:+1"`, "unique=x:1"}},
		{"missing", userdata.NewTable[missing]("t"), []string{"missing", "B has place 3", "1 to 2"}},
		{"doubled", userdata.NewTable[doubled]("t"), []string{"doubled", "B has place 1", "1 to 2"}},
		{"next after the last", userdata.NewTable[doubledNext]("t"), []string{"doubledNext", "A has place 2", "1 to 2"}},
		{"slice first", userdata.NewTable[sliceFirst]("t"), []string{"sliceFirst", "A is a slice", "place 2"}},
		{"half unique", userdata.NewTable[halfUnique]("t"), []string{"halfUnique.B", "unique in one place and not in another, A", "same word"}},
		{"both words", userdata.NewTable[bothWords]("t"), []string{"bothWords.A", "same word"}},
		{"same column", userdata.NewTable[sameColumn]("t"), []string{"sameColumn.A", "column a twice", "remove"}},
		{"same name", userdata.NewTable[sameName]("t"), []string{"sameName.B", "column a alone", "another name"}},
		{"same name first", userdata.NewTable[sameNameFirst]("t"), []string{"sameNameFirst.A", "column a alone", "another name"}},
		{"twice", userdata.NewTable[twice]("t"), []string{"twice.A", `"index" twice`}},
		{"on the key", userdata.NewTable[onKey]("t"), []string{"onKey", "begins with the key ID", "remove the word"}},
		{"misspelt", userdata.NewTable[misspelt]("t"), []string{"misspelt.A", `"indexed"`, `did you mean "index"`}},
		{"inside", userdata.NewTable[inside]("t"), []string{"X", "index", "fields of a record"}},
	}
	for _, test := range tests {
		_, err := userdata.OpenStore(t.Context(), userdata.NewMemStore(), nil, test.table)
		if !errors.Is(err, userdata.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", test.name, err)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %q, want %q in it", test.name, err, want)
			}
		}
	}
}

type article struct {
	ID      string    `userdata:"id,key"`
	Author  string    `userdata:"author,index=by_author:1"`
	Updated time.Time `userdata:"updated,index=by_author:2,index"`
	Slug    *string   `userdata:"slug,unique"`
	Day     int       `userdata:"day,unique=one_a_day,index"`
	Page    int       `userdata:"page,unique=one_a_day"`
	Tags    []string  `userdata:"tags,index"`
	Words   int       `userdata:"words"`
}

var (
	articles       = userdata.NewTable[article]("articles")
	articleID      = userdata.ColumnOf(func(a *article) *string { return &a.ID })
	articleAuthor  = userdata.ColumnOf(func(a *article) *string { return &a.Author })
	articleUpdated = userdata.ColumnOf(func(a *article) *time.Time { return &a.Updated })
	articleSlug    = userdata.ColumnOf(func(a *article) **string { return &a.Slug })
	articleDay     = userdata.ColumnOf(func(a *article) *int { return &a.Day })
	articlePage    = userdata.ColumnOf(func(a *article) *int { return &a.Page })
	articleTags    = userdata.ColumnOf(func(a *article) *[]string { return &a.Tags })
	articleWords   = userdata.ColumnOf(func(a *article) *int { return &a.Words })
)

func TestIndexSchema(t *testing.T) {
	t.Parallel()
	db := openDB(t, articles)
	want := `articles
  id       string    key
  author   string
  updated  time
  slug     string    null
  day      int
  page     int
  tags     []string
  words    int
  index by_author (author, updated)
  index day (day)
  unique one_a_day (day, page)
  unique slug (slug)
  index tags (tags)
  index updated (updated)
`
	if got := db.Schema().String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// FuzzIndexOrder checks that values of every type sort in an index as they
// compare, that no value's bytes begin another's, and that entries of
// arbitrary bytes are errors at the worst.
func FuzzIndexOrder(f *testing.F) {
	f.Add("", "a\x00", int64(-1), int64(255), 0.0, math.NaN(), []byte(nil), []byte{0}, int64(-1), int64(1))
	f.Add("a", "a\x00\xff", int64(math.MinInt64), int64(256), math.Copysign(0, -1), math.Inf(-1), []byte{}, []byte{0, 0xff}, int64(-62135596800), int64(253402300799))
	f.Fuzz(func(t *testing.T, s1, s2 string, i1, i2 int64, f1, f2 float64, b1, b2 []byte, t1, t2 int64) {
		a := orderedRecord{S: s1, I: i1, I8: int8(i1), U: uint64(i1), U16: uint16(i1), F: f1, F32: float32(f1), B: i1&1 > 0, Y: b1, T: time.Unix(t1, i1&0x1fffffff)}
		b := orderedRecord{S: s2, I: i2, I8: int8(i2), U: uint64(i2), U16: uint16(i2), F: f2, F32: float32(f2), B: i2&1 > 0, Y: b2, T: time.Unix(t2, i2&0x1fffffff)}
		copy(a.A[:], s1)
		copy(b.A[:], s2)
		for _, r := range []*orderedRecord{&a, &b} {
			if i1%3 != 0 {
				r.PS, r.PF, r.PT = &r.S, &r.F, &r.T
			}
			i1 /= 3
		}
		for _, c := range userdata.CompareOrdered(orderedRecords, &a, &b) {
			if sameSign := cmp.Compare(c.Bytes, 0) == cmp.Compare(c.Values, 0); !sameSign || c.Prefix {
				t.Errorf("column %s: the bytes compare as %d (prefix: %v), the values as %d: %v, %v", c.Column, c.Bytes, c.Prefix, c.Values, a, b)
			}
		}
		for _, s := range []string{s1, s2, string(b1)} {
			if own, want := userdata.OrderedForms(i1, uint64(i2), s); !bytes.Equal(own, want) {
				t.Errorf("%d, %d and %q: got %x, want %x", i1, uint64(i2), s, own, want)
			}
		}
		for _, value := range [][]byte{b2, []byte(s2)} {
			readEntries(t, append([]byte(s1), 1), value)
		}
	})
}

type orderedRecord struct {
	S   string     `userdata:"s,key"`
	I   int64      `userdata:"i"`
	I8  int8       `userdata:"i8"`
	U   uint64     `userdata:"u"`
	U16 uint16     `userdata:"u16"`
	F   float64    `userdata:"f"`
	F32 float32    `userdata:"f32"`
	B   bool       `userdata:"b"`
	Y   []byte     `userdata:"y"`
	A   [4]byte    `userdata:"a"`
	T   time.Time  `userdata:"t"`
	PS  *string    `userdata:"ps"`
	PF  *float64   `userdata:"pf"`
	PT  *time.Time `userdata:"pt"`
}

var orderedRecords = userdata.NewTable[orderedRecord]("ordered")

// readEntries reads an entry of arbitrary bytes through every kind of index.
func readEntries(t *testing.T, key, value []byte) {
	ctx := context.Background()
	for _, name := range []string{"by_author", "day", "one_a_day", "slug", "tags", "updated"} {
		store := userdata.NewMemStore()
		db, err := userdata.OpenStore(ctx, store, nil, articles)
		if err != nil {
			t.Fatal(err)
		}
		s := db.NewSession()
		if err := errors.Join(s.Add(&article{ID: "a"}), s.Commit(ctx)); err != nil {
			t.Fatal(err)
		}
		before := bucketEntries(t, store, "_index/articles/"+name)
		if before[string(key)] != "" || len(key) > userdata.MaxKeySize || len(value) == 0 {
			return
		}
		set := &userdata.ChangeSet{Changes: []userdata.Change{{Bucket: "_index/articles/" + name, Key: key, Value: value}}}
		if err := store.Apply(ctx, set); err != nil {
			t.Fatal(err)
		}
		for _, q := range indexQueries(db.NewSession())[name] {
			found, err := q.All(ctx)
			if err != nil && !errors.Is(err, userdata.ErrCorrupt) || len(found) > 1 {
				t.Errorf("%s: got %v, %v, want ErrCorrupt or nothing wrong", name, found, err)
			}
		}
		userdata.GroupBy(ctx, articles.Select(db.NewSession()), articleDay)
		userdata.Distinct(ctx, articles.Select(db.NewSession()), articleUpdated)
	}
}

// indexQueries are queries that each index serves, all of it.
func indexQueries(s *userdata.Session) map[string][]userdata.Query[article] {
	q := articles.Select(s)
	return map[string][]userdata.Query[article]{
		"by_author": {q.OrderBy(articleAuthor.Asc(), articleUpdated.Asc()), q.Where(articleAuthor.Ge(""))},
		"day":       {q.OrderBy(articleDay.Asc()), q.OrderBy(articleDay.Desc())},
		"one_a_day": {q.OrderBy(articleDay.Asc(), articlePage.Asc())},
		"slug":      {q.OrderBy(articleSlug.Asc())},
		"tags":      {q.Where(userdata.Contains(articleTags, ""))},
		"updated":   {q.OrderBy(articleUpdated.Desc())},
	}
}

// bucketEntries returns a bucket's entries.
func bucketEntries(t testing.TB, store userdata.Store, bucket string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := store.View(context.Background(), func(snap userdata.Snapshot) error {
		return snap.Scan(bucket, userdata.Range{}, func(k, v []byte) bool { out[string(k)] = string(v); return true })
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A damaged index is an error that names the record, never a wrong answer.
func TestCorruptIndex(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	record := func(id string, day int) *article {
		return &article{ID: id, Author: "x", Day: day, Page: 1, Slug: &id, Tags: []string{"", id}, Updated: time.Unix(int64(day), 0).UTC()}
	}
	for _, index := range []string{"by_author", "day", "one_a_day", "slug", "tags", "updated"} {
		for _, damage := range []string{"record gone", "other values", "empty value", "long value", "short value", "length beyond the key"} {
			store := userdata.NewMemStore()
			db, err := userdata.OpenStore(ctx, store, nil, articles)
			if err != nil {
				t.Fatal(err)
			}
			s := db.NewSession()
			if err := errors.Join(s.Add(record("a", 1), record("b", 2)), s.Commit(ctx)); err != nil {
				t.Fatal(err)
			}
			bucket := "_index/articles/" + index
			var changes []userdata.Change
			entries := bucketEntries(t, store, bucket)
			for _, k := range slices.Sorted(maps.Keys(entries))[:1] {
				v := entries[k]
				switch damage {
				case "record gone":
					changes = []userdata.Change{{Bucket: "articles", Key: []byte("a")}}
				case "other values": // an entry whose values are changed by one bit
					key := []byte(k)
					if i := bytes.IndexAny(key, "\x01\x02"); i > 0 && key[i-1] == '0' {
						key[i] ^= 4
					} else {
						key = append([]byte{1, 'q', 0, 0}, key...)
						if v[0] != k[len(k)-1] {
							v = string([]byte{v[0] + 4})
						}
					}
					changes = []userdata.Change{{Bucket: bucket, Key: []byte(k)}, {Bucket: bucket, Key: key, Value: []byte(v)}}
					if bytes.Compare(key, []byte(k)) < 0 {
						changes[0], changes[1] = changes[1], changes[0]
					}
				case "empty value":
					changes = []userdata.Change{{Bucket: bucket, Key: []byte(k), Value: []byte{}}}
				case "long value":
					changes = []userdata.Change{{Bucket: bucket, Key: []byte(k), Value: bytes.Repeat([]byte{0xff}, 20)}}
				case "length beyond the key":
					changes = []userdata.Change{{Bucket: bucket, Key: []byte(k), Value: []byte{0xff, 0x7f}}}
				case "short value":
					changes = []userdata.Change{{Bucket: bucket, Key: []byte(k), Value: []byte{1}}}
				}
			}
			if err := store.Apply(ctx, &userdata.ChangeSet{Changes: changes}); err != nil {
				t.Fatal(err)
			}
			if err := userdata.CheckRecords(ctx, db); err == nil {
				t.Errorf("%s, %s: the check of all records found nothing", index, damage)
			}
			for i, q := range indexQueries(db.NewSession())[index] {
				plan, err := q.Explain()
				if err != nil || plan.Index != index {
					t.Errorf("%s: got %s, %v, want a plan with the index", index, plan, err)
				}
				if index == "tags" && damage == "other values" {
					continue // the entry is not among those read
				}
				if found, err := q.All(ctx); !errors.Is(err, userdata.ErrCorrupt) {
					t.Errorf("%s, %s, query %d: got %v, %v, want ErrCorrupt", index, damage, i, found, err)
				}
			}
		}
	}
}
