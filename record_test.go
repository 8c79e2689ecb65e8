package userdata_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/seed-5df914be/userdata"
)

// A scan verifies the checksum of a record that does not match, what the condition
// reads, and what lies before that. The rest is looked at when the record is decoded:
// with a right checksum, no accident has made it wrong.
func TestScanVerifiesWhatDoesNotMatch(t *testing.T) {
	t.Parallel()
	good := encode(t, cards, &card{"k", 1, 3, true})
	damaged := bytes.Clone(good)
	damaged[5] ^= 1
	sealed := func(hex string) []byte { return userdata.Seal("cards", []byte("k"), unhex(t, hex)) }
	count := userdata.ColumnOf(func(c *card) *int8 { return &c.Count })
	for _, test := range []struct {
		name    string
		value   []byte
		byBytes bool // a comparison of bytes sees it, too
		late    bool // only who decodes the record sees it
	}{
		{"bit", damaged, true, false},
		{"end", good[:len(good)-1], true, false},
		{"another key", sealed("84 a26964 a16c a26f6e c3 a473697a65 03 a5636f756e74 01"), true, true},
		{"missing column", sealed("83 a26964 a16b a26f6e c3 a5636f756e74 01"), true, false},
		{"other column", sealed("84 a26964 a16b a26f6f c3 a473697a65 03 a5636f756e74 01"), true, false},
		{"bytes after", sealed("84 a26964 a16b a26f6e c3 a473697a65 03 a5636f756e74 01 00"), true, true},
		{"cut off", sealed("84 a26964 a16b a26f6e c3 a473697a65 03 a5636f756e74 cd01"), true, false},
		{"column out of range", sealed("84 a26964 a16b a26f6e c3 a473697a65 03 a5636f756e74 cd0400"), false, false},
		{"column of another type", sealed("84 a26964 a16b a26f6e c3 a473697a65 03 a5636f756e74 dcffff"), true, false},
		{"column in another form", sealed("84 a26964 a16b a26f6e c3 a473697a65 03 a5636f756e74 cd0001"), true, false},
		{"length that cannot be", sealed("84 a26964 a16b a26f6e dbffffffff a473697a65 03 a5636f756e74 01"), true, false},
		{"entries that cannot be", sealed("84 a26964 a16b a26f6e dfffffffff a473697a65 03 a5636f756e74 01"), true, false},
		{"no map", sealed("90"), true, false},
		{"key of another type", sealed("84 a26964 6b a26f6e c3 a473697a65 03 a5636f756e74 01"), true, true},
		{"key in another form", sealed("84 a26964 d9016b a26f6e c3 a473697a65 03 a5636f756e74 01"), true, false},
	} {
		db, err := userdata.OpenStore(t.Context(), userdata.NewMemStore(), nil, cards)
		ok(t, err)
		defer db.Close()
		changes := &userdata.ChangeSet{Changes: []userdata.Change{{Bucket: "cards", Key: []byte("k"), Value: test.value}}}
		ok(t, db.Store().Apply(t.Context(), changes))
		conditions := []userdata.Predicate[card]{count.Gt(9), count.Lt(-9), userdata.Not(count.Lt(100))}
		if test.byBytes {
			conditions = append(conditions, count.Eq(9), count.In(9), userdata.Not(count.Ne(9)))
		}
		if all, err := cards.Select(db.NewSession()).Where(count.Lt(100)).All(t.Context()); !errors.Is(err, userdata.ErrCorrupt) {
			t.Errorf("%s: got %v, %v, want ErrCorrupt", test.name, all, err)
		}
		for _, where := range conditions {
			if test.late {
				break
			}
			if n, err := cards.Select(db.NewSession()).Where(where).Count(t.Context()); !errors.Is(err, userdata.ErrCorrupt) {
				t.Errorf("%s: %s: got %d, %v, want ErrCorrupt", test.name, where, n, err)
			}
		}
	}
}
