package userdata

import "github.com/seed-5df914be/userdata/internal/pages"

// A verifier checks the pages of a file that was not checked when it was opened, before a
// transaction changes what is on them.
type verifier struct {
	paths *pages.Paths // nil if the file is trusted
	spoil error        // why it can't be checked

	sums map[string]bucketSum // of buckets that keep none and were not written to yet, if paths is not nil
}

// distrust makes it check what is touched of the file.
func (v *verifier) distrust(file pages.Map) { v.paths = pages.NewPaths(file) }

// verify checks the pages that are looked at when the changes are made.
func (v *verifier) verify(changes []Change) error {
	if v.spoil != nil || v.paths == nil {
		return v.spoil
	}
	var tree pages.Tree
	found := false
	for i := range changes {
		ch := &changes[i]
		if i == 0 || ch.Bucket != changes[i-1].Bucket {
			var err error
			if tree, found, err = v.paths.Bucket([]byte(ch.Bucket)); err != nil {
				return pageFault(ch.Bucket, nil, err)
			}
			if found && tree.Sequence() == 0 {
				if err := v.addUp(ch.Bucket, &tree); err != nil {
					return err
				}
			}
		}
		check := v.paths.Put
		if ch.Value == nil {
			check = v.paths.Delete
		}
		if !found {
			continue
		}
		if err := check(&tree, ch.Key); err != nil {
			return pageFault(ch.Bucket, ch.Key, err)
		}
	}
	return nil
}

// addUp works out the sum of a bucket that keeps none.
func (v *verifier) addUp(name string, tree *pages.Tree) error {
	if _, known := v.sums[name]; known {
		return nil
	}
	sum, err := addUp(tree)
	if err != nil {
		return pageFault(name, nil, err)
	}
	if v.sums == nil {
		v.sums = map[string]bucketSum{}
	}
	v.sums[name] = sum
	return nil
}

// addUp works out the sum of a bucket, with a reader that is careful.
func addUp(tree *pages.Tree) (sum bucketSum, err error) {
	c := cursors.Get().(*pages.Cursor)
	defer cursors.Put(c)
	c.Reset(tree)
	key, value, err := c.Next()
	for ; key != nil; key, value, err = c.Next() {
		if value != nil {
			sum = sum.with(key, value)
		}
	}
	return sum, err
}
