package userdata

import "reflect"

// RowTableOf makes a table from a schema, with more words for the tags of columns.
func RowTableOf(s TableSchema, words map[string]string) (*RowTable, error) {
	var fields []reflect.StructField
	for i, c := range s.Columns {
		t, err := typeNamed(c.Type)
		if err != nil {
			return nil, err
		}
		if c.Nullable {
			t = reflect.PointerTo(t)
		}
		fields = append(fields, dynamicField(i, t, columnTag(c, s.Indexes)+words[c.Name]))
	}
	rt, err := newRecordType(reflect.StructOf(append(fields, distinction(s.Name))))
	if err != nil {
		return nil, err
	}
	return &RowTable{newTable(s.Name, rt)}, nil
}

// SortEntries sorts keys with a sorter of that much memory, which keeps the rest in
// a file in the folder.
func SortEntries(room string, limit int, keys [][]byte) (sorted [][]byte, runs int, err error) {
	s := newSorter(room, limit)
	defer s.close()
	for _, k := range keys {
		if err := s.add(indexEntry{key: k, value: k}); err != nil {
			return nil, 0, err
		}
	}
	err = s.each(func(e indexEntry) error { sorted = append(sorted, e.key); return nil })
	return sorted, len(s.runs), err
}
