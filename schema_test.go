package userdata_test

import (
	"encoding"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata"
)

// open opens a database in memory, which needs nothing of the tables but their declaration.
func open(t *testing.T, tables ...userdata.Mapped) (*userdata.DB, error) {
	t.Helper()
	store := userdata.NewMemStore()
	t.Cleanup(func() { store.Close() })
	return userdata.OpenStore(t.Context(), store, nil, tables...)
}

type (
	plainID   struct{ ID string }
	secretive struct {
		ID     string `userdata:"id,key"`
		secret string `userdata:"secret"` //lint:ignore U1000 its tag is what the test is about
	}
	tagged struct {
		Title string `userdata:"title"`
	}
	behind struct {
		ID string `userdata:"id,key"`
		*tagged
	}
	event struct {
		time.Time
		Name string
	}
	twoNames struct {
		A int `userdata:"x"`
		B int `userdata:"x"`
	}
	inner struct {
		F func() `userdata:"f"`
	}
	keyInside struct {
		N int `userdata:"n,key"`
	}
	marshaler interface {
		encoding.TextMarshaler
		encoding.TextUnmarshaler
	}
)

// Each error says which type and field it is about, and what to do.
func TestMappingErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		table userdata.Mapped
		says  []string // type, field, fix
	}{
		{"func", userdata.NewTable[single[func()]]("t"), []string{"single", ".Value", "func()", `userdata:"-"`}},
		{"chan", userdata.NewTable[single[chan int]]("t"), []string{"single", ".Value", "chan int", `userdata:"-"`}},
		{"interface", userdata.NewTable[single[any]]("t"), []string{"single", ".Value", "interface", `userdata:"-"`}},
		{"interface that marshals", userdata.NewTable[single[marshaler]]("t"), []string{"single", ".Value", "marshaler", `userdata:"-"`}},
		{"complex", userdata.NewTable[single[complex128]]("t"), []string{"single", ".Value", "complex128"}},
		{"uintptr", userdata.NewTable[single[uintptr]]("t"), []string{"single", ".Value", "uintptr"}},
		{"empty array", userdata.NewTable[single[[0]int]]("t"), []string{"single", ".Value", "[0]int"}},
		{"empty struct", userdata.NewTable[single[struct{}]]("t"), []string{"single", ".Value", "no exported fields", "TextMarshaler"}},
		{"pointer to pointer", userdata.NewTable[single[**int]]("t"), []string{"single", ".Value", "**int", "pointer to a pointer"}},
		{"func in a struct", userdata.NewTable[single[inner]]("t"), []string{"single", ".Value", "inner.F", "func()"}},
		{"func in slices and maps", userdata.NewTable[single[[]map[string][2]func()]]("t"), []string{"single", ".Value", "func()"}},
		{"map with pointer key", userdata.NewTable[single[map[*int]int]]("t"), []string{"single", ".Value", "map[*int]int", "compares by address"}},
		{"map with interface key", userdata.NewTable[single[map[any]int]]("t"), []string{"single", ".Value", "compares by address"}},
		{"map with pointer inside its key", userdata.NewTable[single[map[[1]struct{ P *int }]int]]("t"), []string{"single", ".Value", "compares by address"}},
		{"map with unmappable key", userdata.NewTable[single[map[complex64]int]]("t"), []string{"single", ".Value", "complex64"}},
		{"map with unmappable value", userdata.NewTable[single[map[int]func()]]("t"), []string{"single", ".Value", "func()"}},
		{"marshaler of an embedded field", userdata.NewTable[single[event]]("t"), []string{"single", ".Value", "event", "time.Time", "give the field a name"}},
		{"two fields of one name", userdata.NewTable[single[twoNames]]("t"), []string{"single", ".Value", "twoNames", `"x"`}},
		{"key inside a struct", userdata.NewTable[single[keyInside]]("t"), []string{"single", ".Value", "keyInside.N", "fields of a record"}},
		{"record without tags", userdata.NewTable[plainID]("t"), []string{"plainID.ID", `userdata:"id"`, `userdata:"-"`}},
		{"field that is not exported", userdata.NewTable[secretive]("t"), []string{"secretive.secret", "capital letter"}},
		{"embedded pointer", userdata.NewTable[behind]("t"), []string{"behind.tagged", "embed userdata_test.tagged itself"}},
		{"not a struct", userdata.NewTable[int]("t"), []string{"int", "not a struct"}},
		{"pointer to a struct", userdata.NewTable[*card]("t"), []string{"*userdata_test.card", "not a struct"}},
		{"no key", userdata.NewTable[tagged]("t"), []string{"tagged", "no key", `userdata:"id,key"`}},
		{"float key", userdata.NewTable[keyed[float64]]("t"), []string{"keyed", ".ID", "float64", "a key is a string"}},
		{"pointer key", userdata.NewTable[keyed[*string]]("t"), []string{"keyed", ".ID", "*string", "a key is a string"}},
		{"bool key", userdata.NewTable[keyed[bool]]("t"), []string{"keyed", ".ID", "bool", "a key is a string"}},
		{"struct key", userdata.NewTable[keyed[point]]("t"), []string{"keyed", ".ID", "point", "a key is a string"}},
		{"unknown word", tableOf[struct {
			ID string `userdata:"id,key,fast"`
		}](), []string{"ID", `"fast"`, "known are key, size"}},
		{"near miss", tableOf[struct {
			ID string `userdata:"id,kye"`
		}](), []string{"ID", `"kye"`, `did you mean "key"?`}},
		{"capital letters", tableOf[struct {
			ID string `userdata:"id,KEY"`
		}](), []string{"ID", `did you mean "key"?`}},
		{"blank", tableOf[struct {
			ID string `userdata:"id, size=3"`
		}](), []string{"ID", `did you mean "size"?`}},
		{"nothing after the comma", tableOf[struct {
			ID string `userdata:"id,"`
		}](), []string{"ID", `""`, "known are key, size"}},
		{"doubled word", tableOf[struct {
			ID string `userdata:"id,key,key"`
		}](), []string{"ID", `"key" twice`}},
		{"key with a value", tableOf[struct {
			ID string `userdata:"id,key=1"`
		}](), []string{"ID", "key takes no value"}},
		{"size without a number", tableOf[struct {
			ID string `userdata:"id,key,size"`
		}](), []string{"ID", "as in size=32"}},
		{"size 0", tableOf[struct {
			ID string `userdata:"id,key,size=0"`
		}](), []string{"ID", "as in size=32"}},
		{"size that is no number", tableOf[struct {
			ID string `userdata:"id,key,size=3x"`
		}](), []string{"ID", "as in size=32"}},
		{"size on a number", tableOf[struct {
			ID int `userdata:"id,key,size=3"`
		}](), []string{"ID", "size is for strings and bytes, not for int"}},
		{"size on a slice", tableOf[struct {
			ID   int      `userdata:"id,key"`
			Tags []string `userdata:"tags,size=3"`
		}](), []string{"Tags", "not for []string"}},
		{"two keys", tableOf[struct {
			A int `userdata:"a,key"`
			B int `userdata:"b,key"`
		}](), []string{".B", "A is the key already"}},
		{"column twice", tableOf[struct {
			A int `userdata:"a,key"`
			B int `userdata:"a"`
		}](), []string{".B", "column a is A already", "another name"}},
		{"column twice, once embedded", tableOf[struct {
			tagged
			ID    int    `userdata:"id,key"`
			Title string `userdata:"title"`
		}](), []string{".Title", "column title is Title already"}},
		{"bad name", tableOf[struct {
			A int `userdata:"a b,key"`
		}](), []string{".A", `"a b"`, "letters, digits"}},
		{"name too long", tableOf[struct {
			A int `userdata:"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,key"`
		}](), []string{".A", "1 to 255 bytes"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := open(t, test.table); !errors.Is(err, userdata.ErrInvalid) {
				t.Fatalf("got %v, want ErrInvalid", err)
			} else {
				for _, want := range append(test.says, "userdata: table t: ") {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("got %q, want a text with %q", err, want)
					}
				}
			}
			if test.table.Columns() != nil {
				t.Error("got columns of a type that can't be mapped, want none")
			}
		})
	}
}

func tableOf[T any]() userdata.Mapped { return userdata.NewTable[T]("t") }

func TestTableNames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		want error
	}{
		{"notes", nil}, {"a", nil}, {"Größe-2.x_y", nil}, {strings.Repeat("x", 255), nil}, {"日本", nil},
		{"", userdata.ErrInvalid}, {"_notes", userdata.ErrInvalid}, {"a b", userdata.ErrInvalid}, {"a/b", userdata.ErrInvalid}, {"a\x00", userdata.ErrInvalid},
		{"\xff", userdata.ErrInvalid}, {"\uFFFD", userdata.ErrInvalid}, {strings.Repeat("x", 256), userdata.ErrInvalid},
	} {
		table := userdata.NewTable[card](test.name)
		if _, err := open(t, table); !errors.Is(err, test.want) {
			t.Errorf("%q: got %v, want %v", test.name, err, test.want)
		}
		if table.Name() != test.name {
			t.Errorf("Name: got %q, want %q", table.Name(), test.name)
		}
	}
}

// All faults of the declaration come at once, before a file is made.
func TestTablesAmongThemselves(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "none.db")
	_, err := userdata.Open(path, nil, userdata.NewTable[card]("a"), userdata.NewTable[plain]("a"), userdata.NewTable[card]("b"), tableOf[plainID]())
	if !errors.Is(err, userdata.ErrInvalid) {
		t.Fatalf("got %v, want ErrInvalid", err)
	}
	for _, want := range []string{"table a: invalid: two tables have this name: rename one", "table b: invalid: userdata_test.card is the type of table a already: declare a type of its own, as in type Draft card", "plainID.ID"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want a text with %q", err, want)
		}
	}
	if found, _ := filepath.Glob(filepath.Dir(path) + "/*"); len(found) > 0 {
		t.Errorf("got files %v, want none", found)
	}
}

// A type is what Go says it is, not what it is called.
func TestTypesOfOneName(t *testing.T) {
	t.Parallel()
	first, last := notesWithTitle(), notesWithBody()
	db, err := open(t, first, last)
	if err != nil {
		t.Fatal(err)
	}
	want := "bodies\n  id    string  key\n  body  string\n\ntitles\n  id     int     key\n  title  string\n"
	if got := db.Schema().String(); got != want {
		t.Errorf("got schema\n%s\nwant\n%s", got, want)
	}
}

func notesWithTitle() userdata.Mapped {
	type note struct {
		ID    int    `userdata:"id,key"`
		Title string `userdata:"title"`
	}
	return userdata.NewTable[note]("titles")
}

func notesWithBody() userdata.Mapped {
	type note struct {
		ID   string `userdata:"id,key"`
		Body string `userdata:"body"`
	}
	return userdata.NewTable[note]("bodies")
}

// panics returns what ColumnOf panics with.
func panics(fn func()) (err error) {
	defer func() { err, _ = recover().(error) }()
	fn()
	return nil
}

func TestColumnOf(t *testing.T) {
	t.Parallel()
	if got := userdata.ColumnOf(func(c *card) *uint16 { return &c.Size }).Name(); got != "size" {
		t.Errorf("got column %q, want size", got)
	}
	if got := userdata.ColumnOf(func(w *wide) *string { return &w.By }).Name(); got != "by" {
		t.Errorf("embedded: got column %q, want by", got)
	}
	elsewhere := ""
	for name, test := range map[string]struct {
		fn   func()
		says string
	}{
		"unmapped type":     {func() { userdata.ColumnOf(func(p *plainID) *string { return &p.ID }) }, "plainID.ID"},
		"not a column":      {func() { userdata.ColumnOf(func(w *wide) *func() { return &w.Left }) }, "return &record.Field"},
		"inside a column":   {func() { userdata.ColumnOf(func(w *wide) *string { return &w.Struct.Street }) }, "return &record.Field"},
		"another variable":  {func() { userdata.ColumnOf(func(*card) *string { return &elsewhere }) }, "return &record.Field"},
		"nil":               {func() { userdata.ColumnOf(func(*card) *string { return nil }) }, "return &record.Field"},
		"no struct at all":  {func() { userdata.ColumnOf(func(n *int) *int { return n }) }, "not a struct"},
		"the record itself": {func() { userdata.ColumnOf(func(c *card) *card { return c }) }, "return &record.Field"},
	} {
		if err := panics(test.fn); !errors.Is(err, userdata.ErrInvalid) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got a panic with %v, want ErrInvalid and a text with %q", name, err, test.says)
		}
	}
}

// A pair of types that hold each other.
type (
	hen struct{ Eggs []egg }
	egg struct{ Of *hen }
)

func TestSchemaPrint(t *testing.T) {
	t.Parallel()
	type note struct {
		ID    string            `userdata:"id,key,size=32"`
		Title label             `userdata:"title,size=120"`
		Pin   *int              `userdata:"pin"`
		Scan  *[]byte           `userdata:"scan,size=1000"`
		Due   *time.Time        `userdata:"due"`
		Tags  map[string][]mark `userdata:"tags"`
		Where struct {
			X, Y int
			Name string `userdata:"name"`
		} `userdata:"where"`
		Roots []tree `userdata:"roots"`
		Hen   hen    `userdata:"hen"`
		Egg   egg    `userdata:"egg"`
		ID2   id     `userdata:"id2"`
		Mood  mood   `userdata:"mood"`
		Pair  pair   `userdata:"pair"`
		Grid  [2][3]int8
	}
	type grid struct {
		note `userdata:"-"`
		Grid [2][3]int8 `userdata:"grid,key"`
	}
	if _, err := open(t, userdata.NewTable[note]("notes")); !errors.Is(err, userdata.ErrInvalid) {
		t.Errorf("untagged field: got %v, want ErrInvalid", err)
	}
	if _, err := open(t, userdata.NewTable[grid]("grids")); !errors.Is(err, userdata.ErrInvalid) {
		t.Errorf("array key: got %v, want ErrInvalid", err)
	}
	type whole struct {
		ID    string            `userdata:"id,key,size=32"`
		Title label             `userdata:"title,size=120"`
		Pin   *int              `userdata:"pin"`
		Scan  *[]byte           `userdata:"scan,size=1000"`
		Due   *time.Time        `userdata:"due"`
		Tags  map[string][]mark `userdata:"tags"`
		Where struct {
			Y, X int
			Name string `userdata:"name"`
		} `userdata:"where"`
		Roots []tree     `userdata:"roots"`
		Hen   hen        `userdata:"hen"`
		Egg   egg        `userdata:"egg"`
		ID2   id         `userdata:"id2"`
		Mood  mood       `userdata:"mood"`
		Pair  pair       `userdata:"pair"`
		Grid  [2][3]int8 `userdata:"grid"`
	}
	db, err := open(t, userdata.NewTable[whole]("notes"), cards)
	if err != nil {
		t.Fatal(err)
	}
	want := `cards
  id     string  key
  count  int8
  size   uint16
  on     bool

notes
  id     string(32)                         key
  title  string(120)
  pin    int                                null
  scan   bytes(1000)                        null
  due    time                               null
  tags   map[string][]bool
  where  struct{X int, Y int, name string}
  roots  []struct{Kids []*^^, Name string}
  hen    struct{Eggs []struct{Of *^^^}}
  egg    struct{Of *struct{Eggs []^^^}}
  id2    [16]byte
  mood   text
  pair   binary
  grid   [2][3]int8
`
	if d := cmp.Diff(want, db.Schema().String()); d != "" {
		t.Errorf("schema (-want +got):\n%s", d)
	}
	if got, want := db.Schema().Tables[1].Columns[0].String(), "id string(32) key"; got != want {
		t.Errorf("column: got %q, want %q", got, want)
	}
	columns := cards.Columns()
	columns[0].Name = "changed"
	if cards.Columns()[0].Name != "id" {
		t.Error("got a changed column after the caller changed the list, want a list of the caller's own")
	}
}

// The order of fields is no part of the schema, not even where types hold each other.
func TestSchemaIgnoresOrder(t *testing.T) {
	t.Parallel()
	type ab struct {
		ID  string `userdata:"id,key"`
		Two struct {
			A hen
			B egg
		} `userdata:"two"`
		Hen hen `userdata:"hen"`
	}
	type ba struct {
		Hen hen `userdata:"hen"`
		Two struct {
			B egg
			A hen
		} `userdata:"two"`
		ID string `userdata:"id,key"`
	}
	store := userdata.NewMemStore()
	defer store.Close()
	for _, table := range []userdata.Mapped{userdata.NewTable[ab]("t"), userdata.NewTable[ba]("t")} {
		if _, err := userdata.OpenStore(t.Context(), store, nil, table); err != nil {
			t.Errorf("got %v, want nil", err)
		}
	}
}
