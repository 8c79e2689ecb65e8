package userdata

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unicode"
	"unsafe"
)

// A Table is the records of one struct type, kept under one name. It is what
// __tablename__ and the mapped class are in SQLAlchemy. It is safe for
// concurrent use, and may be given to several databases.
type Table[T any] struct{ declaration }

// A declaration is a Table without its type.
type declaration struct {
	name  string
	table *table
	err   error
	place *atomic.Int32 // in DB.list of the database that asked for it last
}

// NewTable declares a table of records of type T, a struct whose fields have
// userdata tags; the package documentation describes them. The name is what the
// table is called in the file: letters, digits, "_", "-" and ".", at most 255
// bytes, not beginning with "_". What is wrong with name or type is an error of
// [Open].
func NewTable[T any](name string) *Table[T] {
	t := &Table[T]{declaration{name: name, place: new(atomic.Int32)}}
	rt, err := recordTypeOf(reflect.TypeFor[T]())
	switch {
	case err != nil:
		t.err = fmt.Errorf("userdata: table %s: %w", name, err)
	case strings.HasPrefix(name, "_"):
		t.err = fmt.Errorf("userdata: table %s: %w", name, invalidf("names that begin with _ are the package's own"))
	case checkName(name) != nil:
		t.err = fmt.Errorf("userdata: table %q: %w", name, checkName(name))
	default:
		t.table = newTable(name, rt)
		t.table.newRecord = func() unsafe.Pointer { return unsafe.Pointer(new(T)) }
	}
	return t
}

// Name returns the table's name.
func (t *Table[T]) Name() string { return t.name }

// Columns returns the table's columns in the order of the struct's fields; nil
// if T can't be mapped.
func (t *Table[T]) Columns() []ColumnSchema {
	if t.table == nil {
		return nil
	}
	return t.table.schema().Columns
}

// mapped implements [Mapped]: its error is what is wrong with name or type.
func (d *declaration) mapped() (*table, error) {
	if d.table == nil && d.err == nil {
		return nil, fmt.Errorf("userdata: a table: %w", invalidf("NewTable has not made it"))
	}
	return d.table, d.err
}

// Mapped is what [Open] takes: a [*Table] of any record type.
type Mapped interface {
	Name() string
	Columns() []ColumnSchema
	mapped() (*table, error)
}

// A Schema describes the tables of a database, sorted by name.
type Schema struct {
	Tables []TableSchema
}

// A TableSchema describes one table.
type TableSchema struct {
	Name    string         `userdata:"name,key"`
	Columns []ColumnSchema `userdata:"columns"`
	Indexes []IndexSchema  `userdata:"indexes"` // sorted by name
}

// An IndexSchema describes one index of a table.
type IndexSchema struct {
	Name    string   `userdata:"name"`
	Columns []string `userdata:"columns"` // in the order of the index
	Unique  bool     `userdata:"unique"`  // whether no two records may have the same values
}

// A ColumnSchema describes one column.
type ColumnSchema struct {
	Name     string `userdata:"name"`
	Type     string `userdata:"type"`     // what is stored: "string", "int64", "time", "[]string", "struct{X int, Y int}", ...
	Size     int    `userdata:"size"`     // the most runes of a string or bytes of a []byte; 0 if there is no limit
	Key      bool   `userdata:"key"`      // whether it is the table's key
	Nullable bool   `userdata:"nullable"` // whether it may be null: a pointer
}

// String returns one block a table, one line a column:
//
//	notes
//	  id     string(32)   key
//	  title  string(120)
//	  due    time         null
func (s Schema) String() string {
	var b strings.Builder
	for i, t := range s.Tables {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(t.String())
	}
	return b.String()
}

// String returns the table's block, as [Schema.String] has it.
func (t TableSchema) String() string {
	var name, typ int
	for _, c := range t.Columns {
		name, typ = max(name, len(c.Name)), max(typ, len(c.sizedType()))
	}
	var b strings.Builder
	fmt.Fprintln(&b, t.Name)
	for _, c := range t.Columns {
		line := fmt.Sprintf("  %-*s  %-*s  %s", name, c.Name, typ, c.sizedType(), c.words())
		fmt.Fprintln(&b, strings.TrimRight(line, " "))
	}
	for _, x := range t.Indexes {
		fmt.Fprintln(&b, "  "+x.String())
	}
	return b.String()
}

// String returns the index on one line, such as "unique slug (slug)".
func (x IndexSchema) String() string {
	word := "index"
	if x.Unique {
		word = "unique"
	}
	return fmt.Sprintf("%s %s (%s)", word, x.Name, strings.Join(x.Columns, ", "))
}

// String returns the column on one line, such as "title string(120)".
func (c ColumnSchema) String() string {
	return strings.TrimRight(fmt.Sprintf("%s %s %s", c.Name, c.sizedType(), c.words()), " ")
}

func (c ColumnSchema) sizedType() string {
	if c.Size == 0 {
		return c.Type
	}
	return fmt.Sprintf("%s(%d)", c.Type, c.Size)
}

func (c ColumnSchema) words() string {
	switch {
	case c.Key:
		return "key"
	case c.Nullable:
		return "null"
	}
	return ""
}

// A table is a record type under a name: what a Table is once its type is known.
type table struct {
	*recordType
	name    string
	seed    uint32   // of the checksum of each value
	indexes []*index // by name

	newRecord func() unsafe.Pointer // returns the address of a new record

	sum *schemaSum
}

// A schemaSum is what TableSchema.sum says of a table, once it was asked.
type schemaSum struct {
	once sync.Once
	sum  []byte
}

func newTable(name string, rt *recordType) *table {
	return &table{
		recordType: rt, name: name, seed: checksumSeed(name), indexes: rt.tableIndexes(name), sum: &schemaSum{},
		newRecord: func() unsafe.Pointer { return reflect.New(rt.typ).UnsafePointer() },
	}
}

// schemaSum returns the sum of the table's schema, worked out once.
func (t *table) schemaSum() []byte {
	t.sum.once.Do(func() { t.sum.sum = t.schema().sum() })
	return t.sum.sum
}

func (t *table) schema() TableSchema {
	s := TableSchema{Name: t.name}
	for _, c := range t.columns {
		s.Columns = append(s.Columns, c.schema())
	}
	for _, x := range t.indexes {
		s.Indexes = append(s.Indexes, x.schema())
	}
	return s
}

func (c *column) schema() ColumnSchema {
	return ColumnSchema{Name: c.name, Type: strings.TrimPrefix(c.codec.name, "*"), Size: c.size, Key: c.key, Nullable: c.nullable}
}

// A recordType is what the tags of a struct declare.
type recordType struct {
	rooms sync.Pool // of *room

	typ       reflect.Type
	size      uintptr   // of a record
	columns   []*column // in the order of the struct's fields
	stored    []*column // in the order of the encoding
	key       *column
	keyCodec  *keyCodec
	indexes   []*declaredIndex // by name
	validates bool             // a pointer to the type has a Validate method
	sliceType reflect.Type     // of records
	plain     bool             // no code of the program's runs when a record is decoded
}

// A column is a mapped field.
type column struct {
	name        string
	encodedName []byte // in msgpack; stored columns are sorted by it
	head, mask  uint64 // if it is no longer than that, and which bits are: see begins
	goName      string
	offset      uintptr // from the beginning of the record
	place       int     // in recordType.stored
	codec       *valueCodec
	size        int
	key         bool
	nullable    bool
	was         []string // names that the column had in older files

	// absent is the msgpack that the column gets in records which are older than
	// it: null, or its default. Nil says that there is none.
	absent []byte

	// appendOrdered appends a value as indexes hold it; nil for types without an
	// order. For a slice of what has an order, elements makes that of each element.
	appendOrdered func(b []byte, p unsafe.Pointer) []byte
	elements      func(prefix []byte, p unsafe.Pointer) [][]byte
}

// begins reports whether b begins with the column's encoded name.
func (c *column) begins(b []byte) bool {
	if c.mask != 0 && len(b) >= 8 {
		return (binary.LittleEndian.Uint64(b)^c.head)&c.mask == 0
	}
	return bytes.HasPrefix(b, c.encodedName)
}

// setHead notes the encoded name as begins compares it.
func (c *column) setHead() {
	var head [8]byte
	if n := copy(head[:], c.encodedName); n == len(c.encodedName) {
		c.head, c.mask = binary.LittleEndian.Uint64(head[:]), 1<<(8*n)-1
	}
}

// at returns the address of the column in the record at p.
func (c *column) at(p unsafe.Pointer) unsafe.Pointer { return unsafe.Add(p, c.offset) }

// recordTypes holds the *recordType, or the error, of each type ever asked for.
var recordTypes sync.Map

// recordTypeOf returns what the tags of t declare. The answer for a type is
// worked out once.
func recordTypeOf(t reflect.Type) (*recordType, error) {
	known, ok := recordTypes.Load(t)
	if !ok {
		rt, err := newRecordType(t)
		if err != nil {
			known, _ = recordTypes.LoadOrStore(t, err)
		} else {
			known, _ = recordTypes.LoadOrStore(t, rt)
		}
	}
	if err, failed := known.(error); failed {
		return nil, err
	}
	return known.(*recordType), nil
}

func newRecordType(t reflect.Type) (*recordType, error) {
	if t.Kind() != reflect.Struct {
		return nil, invalidf("%s is not a struct", t)
	}
	fields, err := recordFields(t)
	if err != nil {
		return nil, err
	}
	rt := &recordType{typ: t, size: t.Size(), validates: reflect.PointerTo(t).Implements(reflect.TypeFor[validator]())}
	builder := codecBuilder{done: map[reflect.Type]*valueCodec{}}
	for _, f := range fields {
		c, err := newColumn(&builder, f)
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", t, f.goName, err)
		}
		if err := rt.add(c); err != nil {
			return nil, fmt.Errorf("%s.%s: %w", t, f.goName, err)
		}
		for _, tag := range f.tag.indexes {
			if err := rt.declare(c, tag); err != nil {
				return nil, fmt.Errorf("%s.%s: %w", t, f.goName, err)
			}
		}
	}
	if rt.key == nil {
		return nil, invalidf(`%s has no key: add the word "key" to one field's tag, as in userdata:"id,key"`, t)
	}
	if err := rt.checkIndexes(); err != nil {
		return nil, fmt.Errorf("%s: %w", t, err)
	}
	if err := rt.checkWas(); err != nil {
		return nil, fmt.Errorf("%s: %w", t, err)
	}
	rt.stored = slices.Clone(rt.columns)
	slices.SortFunc(rt.stored, func(a, b *column) int { return bytes.Compare(a.encodedName, b.encodedName) })
	rt.sliceType, rt.plain = reflect.SliceOf(t), true
	for i, c := range rt.stored {
		c.place = i
		rt.plain = rt.plain && c.codec.plain()
	}
	return rt, nil
}

// add takes in a column, unless its name is taken or it is a second key.
func (rt *recordType) add(c *column) error {
	for _, o := range rt.columns {
		if o.name == c.name {
			return invalidf("column %s is %s already: give one of them another name", c.name, o.goName)
		}
	}
	if c.key {
		if rt.key != nil {
			return invalidf("%s is the key already: a table has one", rt.key.goName)
		}
		kc, err := keyCodecOf(c.codec.typ)
		if err != nil {
			return err
		}
		rt.key, rt.keyCodec = c, kc
	}
	rt.columns = append(rt.columns, c)
	return nil
}

func newColumn(b *codecBuilder, f field) (*column, error) {
	if f.tag.name == "" {
		return nil, invalidf(`the field has no column name: give it one, as in userdata:"%s", or leave it out with userdata:"-"`, strings.ToLower(f.goName))
	}
	codec, err := b.column(f.typ)
	if err != nil {
		return nil, fmt.Errorf(`%w; leave the field out with userdata:"-"`, err)
	}
	if base := strings.TrimPrefix(codec.name, "*"); f.tag.size != 0 && base != "string" && base != "bytes" {
		return nil, invalidf("size is for strings and bytes, not for %s", f.typ)
	}
	c := &column{
		name: f.tag.name, encodedName: encodedName(f.tag.name), goName: f.goName, offset: f.offset,
		codec: codec, size: f.tag.size, key: f.tag.key, nullable: f.typ.Kind() == reflect.Pointer, was: f.tag.was,
		appendOrdered: orderedAppender(codec), elements: elementAppender(codec),
	}
	c.setHead()
	return c, c.setAbsent(f.tag.fallback)
}

// checkWas refuses former names that a column of today has, or two claim.
func (rt *recordType) checkWas() error {
	owner := map[string]*column{}
	for _, c := range rt.columns {
		owner[c.name] = c
	}
	for _, c := range rt.columns {
		for _, name := range c.was {
			if o := owner[name]; o != nil {
				return invalidf("%s: was=%s is the name of %s: a former name belongs to one column", c.goName, name, o.goName)
			}
			owner[name] = c
		}
	}
	return nil
}

// A field is an exported field of a struct, or of one embedded in it.
type field struct {
	goName string
	typ    reflect.Type
	offset uintptr
	tag    tag
}

// fieldsOf returns the fields of a struct inside a column.
func fieldsOf(t reflect.Type) ([]field, error) {
	fields, err := recordFields(t)
	for _, f := range fields {
		if f.tag.was != nil || f.tag.fallback != nil {
			return nil, invalidf("%s.%s: was and default are for the fields of a record, not of a struct inside it", t, f.goName)
		}
	}
	return fields, err
}

// recordFields returns the fields of t that are stored, those of embedded structs
// in their place.
func recordFields(t reflect.Type) ([]field, error) {
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		text, tagged := f.Tag.Lookup("userdata")
		if text == "-" {
			continue
		}
		if f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct && !marshalsItself(f.Type) {
			inner, err := recordFields(f.Type)
			if err != nil {
				return nil, err
			}
			for _, in := range inner {
				in.offset += f.Offset
				fields = append(fields, in)
			}
			continue
		}
		if !f.IsExported() {
			if tagged {
				return nil, invalidf("%s.%s: the field is not exported: begin its name with a capital letter, or remove its userdata tag", t, f.Name)
			}
			if f.Anonymous && f.Type.Kind() == reflect.Pointer && hasTags(f.Type.Elem()) {
				return nil, invalidf(`%s.%s: fields behind an embedded pointer are not stored: embed %s itself, or leave it out with userdata:"-"`, t, f.Name, f.Type.Elem())
			}
			continue
		}
		tag, err := parseTag(text)
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", t, f.Name, err)
		}
		fields = append(fields, field{goName: f.Name, typ: f.Type, offset: f.Offset, tag: tag})
	}
	return fields, nil
}

// hasTags reports whether t is a struct that has fields with userdata tags.
func hasTags(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		if text, tagged := t.Field(i).Tag.Lookup("userdata"); tagged && text != "-" {
			return true
		}
	}
	return false
}

// A tag is what a userdata struct tag says.
type tag struct {
	name    string
	key     bool
	size    int
	indexes []indexTag
	was     []string

	fallback *string // the literal of default=; nil if there is none
}

// parseTag reads "name,key,size=32,index=by_author:1,was=old_name,default=0".
func parseTag(text string) (tag, error) {
	name, rest, more := strings.Cut(text, ",")
	t := tag{name: name}
	if name != "" {
		if err := checkName(name); err != nil {
			return t, fmt.Errorf("column %q: %w", name, err)
		}
	}
	seen := map[string]bool{}
	for more {
		var part string
		part, rest, more = strings.Cut(rest, ",")
		word, value, hasValue := strings.Cut(part, "=")
		once := word
		if word == "index" || word == "unique" || word == "was" { // a column may be in several, and have had several names
			once = part
		}
		if seen[once] {
			return t, invalidf("tag has the word %q twice", part)
		}
		seen[once] = true
		switch word {
		case "key":
			t.key = true
			if hasValue {
				return t, invalidf("tag word %q: key takes no value", part)
			}
		case "size":
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 {
				return t, invalidf("tag word %q: size takes a positive number, as in size=32", part)
			}
			t.size = n
		case "index", "unique":
			x, err := parseIndexTag(word, value, hasValue)
			if err != nil {
				return t, err
			}
			t.indexes = append(t.indexes, x)
		case "was":
			if err := checkName(value); err != nil {
				return t, fmt.Errorf("tag word %q: %w; write was=old_name", part, err)
			}
			t.was = append(t.was, value)
		case "default":
			if !hasValue {
				return t, invalidf("tag word %q: default takes a value, as in default=0", part)
			}
			t.fallback = &value
		default:
			return t, invalidf("tag has the unknown word %q%s", part, nearest(word, "key", "size", "index", "unique", "was", "default"))
		}
	}
	return t, nil
}

// nearest suggests the known word that was probably meant, or lists all.
func nearest(word string, known ...string) string {
	for _, k := range known {
		if strings.EqualFold(strings.TrimSpace(word), k) || sortedRunes(strings.ToLower(word)) == sortedRunes(k) ||
			len(word) > 1 && (strings.Contains(k, strings.ToLower(word)) || strings.Contains(strings.ToLower(word), k)) {
			return fmt.Sprintf(": did you mean %q?", k)
		}
	}
	return ": known are " + strings.Join(known, ", ")
}

func sortedRunes(s string) string {
	r := []rune(s)
	slices.Sort(r)
	return string(r)
}

// checkName reports whether a table or column may be called so.
func checkName(name string) error {
	if name == "" || len(name) > 255 {
		return invalidf("a name has 1 to 255 bytes")
	}
	for _, r := range name {
		if r == unicode.ReplacementChar || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-.", r) {
			return invalidf(`a name has letters, digits, "_", "-" and "." only`)
		}
	}
	return nil
}
