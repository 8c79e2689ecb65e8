package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"unicode/utf8"

	"github.com/seed-5df914be/userdata"
)

// How records are taken whose key is in the table already.
const (
	addOnly = iota // it is an error
	ignoreExisting
	replaceExisting
	mergeExisting
)

// loadStep is how many records are committed at a time where many are one whole.
const loadStep = 1000

// A loader puts the records of an input into a table.
type loader struct {
	t       *userdata.RowTable
	name    string // of the input
	isJSON  bool
	mode    int
	report  func(n int)
	columns map[string]*loadColumn // by the name in the input
	key     *loadColumn
	types   *columnTypes
	blank   *userdata.Row

	added, changed, unchanged, done int
	committed                       int // of those done, if each commit is for good

	step []loaded // since the last commit
}

// A loadColumn is a column that records are put into.
type loadColumn struct {
	userdata.ColumnSchema
	typ    reflect.Type // without the pointer of a column that may be null
	anyway bool         // text takes every JSON as it is
}

// loaded is a record that is not committed yet.
type loaded struct {
	row *userdata.Row
	place
}

// newLoader returns a loader. Raw names columns of text that take any JSON as text.
func newLoader(t *userdata.RowTable, in string, isJSON bool, mode int, raw map[string]string, report func(n int)) *loader {
	l := &loader{t: t, name: in, isJSON: isJSON, mode: mode, report: report, columns: map[string]*loadColumn{}, types: newColumnTypes(t), blank: t.New()}
	for _, c := range t.Columns() {
		typ := l.types.types[c.Name]
		if c.Nullable {
			typ = typ.Elem()
		}
		lc := &loadColumn{c, typ, raw[c.Name] != "" && c.Type == "string"}
		l.columns[c.Name] = lc
		if c.Key {
			l.key = lc
		}
	}
	return l
}

// column returns the column that the input has under a name.
func (l *loader) column(f *field) (*loadColumn, error) {
	if c := l.columns[f.name]; c != nil {
		return c, nil
	}
	if c := l.columns[cleanName(f.name)]; c != nil {
		l.columns[f.name] = c
		return c, nil
	}
	return nil, l.fault(f.place, fmt.Errorf("%s has no column %q%s", l.t.Name(), short(printable(f.name)), didYouMean(f.name, columnNames(l.t))))
}

// fault returns an error with its place.
func (l *loader) fault(at place, err error) error { return &badInput{l.name, at, err} }

// value returns what a field stands for. It reports false if the field says nothing:
// an empty cell of a column that can't be null.
func (l *loader) value(c *loadColumn, f *field) (v any, ok bool, err error) {
	if l.isJSON {
		v, err = l.jsonValue(c, f.text)
		ok = true
	} else {
		v, ok, err = l.cellValue(c, string(f.text))
	}
	if err == nil && c.Size > 0 {
		err = checkSize(c, v)
	}
	if err != nil {
		return nil, false, l.fault(f.place, err)
	}
	return v, ok, nil
}

// cellValue returns what a cell of text stands for.
func (l *loader) cellValue(c *loadColumn, text string) (v any, ok bool, err error) {
	switch {
	case text == "" && c.Key:
		return nil, false, fmt.Errorf("column %s: the key is empty", c.Name)
	case text == "" && c.Nullable:
		return nil, true, nil
	case text == "":
		return nil, false, nil
	}
	v, err = l.types.textValue(c.Name, text)
	return v, true, err
}

// jsonValue returns what a value of JSON stands for. What most values are is read
// here, all else by columnTypes.
func (l *loader) jsonValue(c *loadColumn, text []byte) (any, error) {
	k := c.typ.Kind()
	switch {
	case c.anyway && text[0] != '"' && text[0] != 'n':
		return string(text), nil
	case text[0] == '"' && k == reflect.String && bytes.IndexByte(text, '\\') < 0:
		return string(text[1 : len(text)-1]), nil
	case text[0] <= '9' && text[0] != '"' && k >= reflect.Int && k <= reflect.Float64 && !isText(c.typ) && !isBytes(c.typ):
		v, err := numberOf(string(text), c.typ)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
		return v, nil
	case text[0] == 'n' && c.Key:
		return nil, fmt.Errorf("column %s: the key is null", c.Name)
	}
	return l.types.value(c.Name, text)
}

// checkSize refuses a value that is larger than its column allows.
func checkSize(c *loadColumn, v any) error {
	n, unit := 0, "letters"
	switch v := v.(type) {
	case string:
		n = utf8.RuneCountInString(v)
	case []byte:
		n, unit = len(v), "bytes"
	}
	if n > c.Size {
		return fmt.Errorf("column %s: %d %s, at most %d", c.Name, n, unit, c.Size)
	}
	return nil
}

// row returns a row with the values of a record: a new one if it is nil.
func (l *loader) row(r *record, row *userdata.Row) (*userdata.Row, error) {
	fresh := row == nil
	if fresh {
		row = l.t.New()
	}
	hasKey, hasStamp := false, false
	for i := range r.fields {
		f := &r.fields[i]
		c, err := l.column(f)
		if err != nil {
			return nil, err
		}
		hasKey, hasStamp = hasKey || c.Key, hasStamp || c.Name == "time_stamp"
		if c.Key && !fresh || isInsideItself(c.ColumnSchema) && fresh && string(f.text) == "null" {
			continue // it is so already, and can't be set
		}
		v, ok, err := l.value(c, f)
		switch {
		case err != nil:
			return nil, err
		case !ok && fresh:
			continue
		case !ok:
			if v, err = l.blank.Get(c.Name); err != nil {
				return nil, l.fault(f.place, err)
			}
		}
		if err := row.Set(c.Name, v); err != nil {
			return nil, l.fault(f.place, columnFault(c.Name, err))
		}
	}
	if !hasKey {
		return nil, l.fault(r.place, fmt.Errorf("it has no %s, the key of %s", l.key.Name, l.t.Name()))
	}
	if l.t.Name() == table.Name() && !hasStamp {
		return row, assign(row, stamped(l.t, nil))
	}
	return row, nil
}

// columnFault says which column an error of the library is about, once.
func columnFault(column string, err error) error {
	var re *userdata.RecordError
	if errors.As(err, &re) {
		err = re.Err
	}
	return fmt.Errorf("column %s: %w", column, err)
}

// An incoming is a record that was read.
type incoming struct {
	place
	row *userdata.Row
	key any
	rec *record // a copy, for mergeExisting
}

// read reads as many records as are committed at a time.
func (l *loader) read(records recordReader, most int) (step []incoming, err error) {
	for len(step) < most {
		r, err := records.next()
		if errors.Is(err, io.EOF) {
			return step, nil
		}
		if err != nil {
			return nil, err
		}
		in := incoming{place: r.place}
		if in.row, err = l.row(r, nil); err != nil {
			return nil, err
		}
		if in.key, err = in.row.Get(l.key.Name); err != nil {
			return nil, err
		}
		if l.mode == mergeExisting {
			in.rec = r.clone()
		}
		step = append(step, in)
	}
	return step, nil
}

// put puts records into a session.
func (l *loader) put(ctx context.Context, s *userdata.Session, step []incoming) error {
	keys := make([]any, len(step))
	for i := range step {
		keys[i] = step[i].key
	}
	there := make(map[string]*userdata.Row, len(step)) // by the key's JSON form
	rows, err := l.t.Select(s).Where(userdata.RowColumn(l.key.Name).In(keys...)).All(ctx)
	if err != nil {
		return err
	}
	for _, row := range rows {
		key, err := row.Get(l.key.Name)
		if err != nil {
			return err
		}
		there[string(appendJSON(nil, key))] = row
	}
	for i := range step {
		in := &step[i]
		key := string(appendJSON(nil, in.key))
		old := there[key]
		switch {
		case old == nil:
			if err := s.Add(in.row.Record()); err != nil {
				return l.fault(in.place, err)
			}
			l.added++
			there[key] = in.row
			l.step = append(l.step, loaded{in.row, in.place})
		case l.mode == addOnly:
			return l.fault(in.place, fmt.Errorf("%s has a record %s already: --ignore leaves such as they are, --replace takes the new one, --merge its columns: %w", l.t.Name(), printable(keyText(l.t, in.row)), userdata.ErrExists))
		case l.mode == ignoreExisting:
			l.unchanged++
		default:
			if err := l.alter(old, in); err != nil {
				return err
			}
		}
		l.done++
		l.report(l.done)
	}
	for _, row := range rows { // those that were not altered either
		l.step = append(l.step, loaded{row, place{}})
	}
	return nil
}

// alter gives a record that is there the values of another: all of them, or those
// that the input has.
func (l *loader) alter(old *userdata.Row, in *incoming) error {
	before, now := old.Values(), in.row.Values()
	for i := range now { // what is equal need not be set, and some types can't be
		if l.mode == replaceExisting && !equalValues(before[i].Value, now[i].Value) {
			if err := old.Set(now[i].Key.(string), now[i].Value); err != nil {
				return l.fault(in.place, err)
			}
		}
	}
	if l.mode == mergeExisting {
		if _, err := l.row(in.rec, old); err != nil {
			return err
		}
	}
	if equalValues(before, old.Values()) {
		l.unchanged++
	} else {
		l.changed++
	}
	l.step = append(l.step, loaded{old, in.place})
	return nil
}

// equalValues reports whether two values have one JSON form.
func equalValues(a, b any) bool { return bytes.Equal(appendJSON(nil, a), appendJSON(nil, b)) }

// commit commits what was loaded since the last time, and lets go of it.
func (l *loader) commit(ctx context.Context, s *userdata.Session) error {
	if err := s.Commit(ctx); err != nil {
		return l.placed(err)
	}
	records := make([]any, len(l.step))
	for i := range l.step {
		records[i] = l.step[i].row.Record()
	}
	s.Expunge(records...)
	clear(l.step)
	l.step = l.step[:0]
	return nil
}

// placed adds to an error of a commit where in the input the record is from.
func (l *loader) placed(err error) error {
	var re *userdata.RecordError
	if !errors.As(err, &re) || re.Key == nil {
		return err
	}
	for _, step := range l.step { // the first of two that clash is committed, or stands first
		if step.line == 0 {
			continue
		}
		if key, got := step.row.Get(l.key.Name); got == nil && reflect.DeepEqual(key, re.Key) {
			return l.fault(step.place, err)
		}
	}
	return err
}

// all puts all records into one session, which it commits every so often: into one
// whole if the session is that of a [userdata.DB.Bulk].
func (l *loader) all(ctx context.Context, s *userdata.Session, records recordReader, most int) error {
	for {
		step, err := l.read(records, most)
		if err == nil {
			err = l.put(ctx, s, step)
		}
		if err == nil {
			err = l.commit(ctx, s)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || len(step) < most {
			return err
		}
		l.committed += len(step)
	}
}
