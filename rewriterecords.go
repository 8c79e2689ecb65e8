package userdata

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"unsafe"
)

// RewriteRecords replaces every record of a table: fn makes the new one of each
// old one. Old declares the table as it is in the file by then, with all of its
// columns; New as it is afterwards, where even the key may be another. New records
// are checked as a commit checks them: sizes, and their Validate method. Two of one
// key are an [ErrExists]; a nil one is [ErrInvalid], since nothing is deleted by
// oversight: [RunStep] can delete.
func RewriteRecords[Old, New any](table string, fn func(*Old) (*New, error)) Step {
	return Step{func(e *evolution) error {
		from, _, ok := e.has(table, "")
		if !ok {
			return nil
		}
		old, err := stepTable(reflect.TypeFor[Old](), table)
		if err != nil {
			return err
		}
		now, err := stepTable(reflect.TypeFor[New](), table)
		if err != nil {
			return err
		}
		d := diffTable(from, old)
		if refused := d.refusals(); len(refused) > 0 {
			return e.refusal([]*tableDiff{d}, refused)
		}
		if err := e.dropIndexes(table, func(IndexSchema) bool { return true }); err != nil {
			return err
		}
		s := now.schema()
		s.Indexes = nil
		e.tables[table], e.bulk = s, true
		e.note(table + ": rewrite the records")
		if e.tx == nil {
			return nil
		}
		w := &recordRewriter{e: e, old: old, now: now, recoder: d.recoder()}
		w.make = func(p unsafe.Pointer) (unsafe.Pointer, error) {
			record, err := fn((*Old)(p))
			if err == nil && record == nil {
				err = invalidf("the new record is nil")
			}
			return unsafe.Pointer(record), err
		}
		return w.run()
	}}
}

// stepTable returns the table that a step's type declares.
func stepTable(t reflect.Type, name string) (*table, error) {
	rt, err := recordTypeOf(t)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", name, err)
	}
	return newTable(name, rt), nil
}

// A recordRewriter carries out RewriteRecords.
type recordRewriter struct {
	e        *evolution
	old, now *table
	recoder  *recoder
	make     func(p unsafe.Pointer) (unsafe.Pointer, error)
	moved    bool // whether a record's key has changed
}

// movedBucket has the records whose keys change until all old ones are read.
const movedBucket = "_moved"

// run rewrites the table: records that keep their key in place, the others by way
// of a bucket of their own.
func (w *recordRewriter) run() error {
	name := w.now.name
	type move struct{ from, key, value []byte }
	var moves []move
	err := w.e.eachPage(name, func(key, value []byte) (Change, error) {
		k, v, err := w.record(key, value)
		if err != nil {
			return Change{}, err
		}
		if !bytes.Equal(k, key) {
			moves = append(moves, move{bytes.Clone(key), k, v})
			return Change{}, nil
		}
		return Change{Key: k, Value: v}, nil
	}, func(page []Change) error {
		for _, ch := range page {
			if ch.Key == nil {
				continue
			}
			if err := w.e.tx.put(name, ch.Key, ch.Value); err != nil {
				return err
			}
		}
		for _, m := range moves {
			err := errors.Join(w.e.tx.delete(name, m.from), w.putNew(movedBucket, m.key, m.value))
			if err != nil {
				return err
			}
		}
		w.moved = w.moved || len(moves) > 0
		moves = moves[:0]
		return nil
	})
	if err != nil || !w.moved {
		return err
	}
	return w.moveBack()
}

// moveBack puts the records whose keys have changed among the others.
func (w *recordRewriter) moveBack() error {
	err := w.e.eachPage(movedBucket, func(key, value []byte) (Change, error) {
		return Change{Key: bytes.Clone(key), Value: bytes.Clone(value)}, nil
	}, func(page []Change) error {
		for _, ch := range page {
			if err := w.putNew(w.now.name, ch.Key, ch.Value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.e.tx.deleteBucket(movedBucket)
}

// putNew writes a record under a key that must be free.
func (w *recordRewriter) putNew(bucket string, key, value []byte) error {
	found, err := w.e.tx.Get(bucket, key)
	if err != nil {
		return err
	}
	if found != nil {
		return w.now.recordError("rewrite", key, "", fmt.Errorf("%w: two records would have this key", ErrExists))
	}
	return w.e.tx.put(bucket, key, value)
}

// record returns the new key and value of one record.
func (w *recordRewriter) record(key, value []byte) (k, v []byte, err error) {
	if value, err = w.recoder.value(key, value); err != nil {
		return nil, nil, err
	}
	p := w.old.newRecord()
	if err := w.old.decode(key, value, p); err != nil {
		return nil, nil, err
	}
	q, err := w.make(p)
	if err == nil && w.now.validates {
		if err = w.now.interfaceTo(q).(validator).Validate(); err != nil {
			err = fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	if err != nil {
		return nil, nil, w.old.recordError("rewrite", key, "", err)
	}
	e := newEncoder()
	defer e.free()
	k, err = w.now.encode(e, q)
	if err = errors.Join(err, w.now.checkSizes(q)); err != nil {
		return nil, nil, w.old.recordError("rewrite", key, "", err)
	}
	return k, e.bytes(), nil
}
