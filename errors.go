package userdata

import (
	"errors"
	"fmt"
	"strings"
)

// The errors that this package returns, to be tested with [errors.Is]. They
// come wrapped, mostly in a [*RecordError] that says which record and column.
var (
	// ErrNotFound is returned when no record has the key, or when a query that
	// must find one finds none.
	ErrNotFound = errors.New("not found")

	// ErrMultiple is returned by [Query.One] when more than one record matches.
	ErrMultiple = errors.New("more than one record matches")

	// ErrExists is returned when a record is added under a key that another
	// record has, or has the values of another in a unique index.
	ErrExists = errors.New("already exists")

	// ErrConflict is returned by a commit when a record that it changes or
	// deletes is no longer what the session read. SQLAlchemy's word for it is
	// StaleDataError.
	ErrConflict = errors.New("changed by someone else since it was read")

	// ErrInvalid is returned for what the caller can mend: a value that does not
	// fit its column, a type that can't be mapped, a query that makes no sense.
	ErrInvalid = errors.New("invalid")

	// ErrSchema is returned when the tables that a program declares do not fit
	// those in the file.
	ErrSchema = errors.New("schema does not fit")

	// ErrCorrupt is returned when stored bytes are not what was written there.
	ErrCorrupt = errors.New("corrupt")

	// ErrLocked is returned when another process has the file open, or when a View
	// that has to end first still runs.
	ErrLocked = errors.New("locked")

	// ErrReadOnly is returned when a change meets a store, a file or a session
	// that only reads.
	ErrReadOnly = errors.New("read-only")

	// ErrClosed is returned by the methods of a closed database, store or session.
	ErrClosed = errors.New("closed")

	// ErrConcurrentUse is returned when two goroutines use one session at the
	// same time, or when a function that the session calls, such as a Validate
	// method, calls the session.
	ErrConcurrentUse = errors.New("session is in use by another call")

	// ErrTooLarge is returned when a key or a value is larger than a store can hold.
	ErrTooLarge = errors.New("too large")

	// ErrUnknownOutcome is returned by a commit when the disk has failed in such a
	// way that nobody can tell whether the commit will be there when the file is
	// opened again. The store takes no more changes.
	ErrUnknownOutcome = errors.New("outcome unknown")
)

// A RecordError says which record an error is about. Fields that are not known,
// or do not apply, are zero.
type RecordError struct {
	Op     string // what was being done: "add", "get", "commit", ...
	Table  string
	Key    any    // the key's value, of the key column's type, or []byte if it can't be decoded
	Column string // the column at fault

	// For a conflict: the record as the session read it, as the session wants
	// it, and as it is in the store. Each is nil or a pointer to a record of
	// its own, of the table's type. Base is nil for an added record, Mine for a
	// deleted one, Theirs for one that is gone.
	Base, Mine, Theirs any

	Err error // the cause; one of the package's errors is in its chain
}

// Error returns a line such as
//
//	userdata: commit notes "n1" title: invalid: 130 runes, at most 120
func (e *RecordError) Error() string {
	var words []string
	for _, s := range []string{e.Op, e.Table} {
		if s != "" {
			words = append(words, s)
		}
	}
	if e.Key != nil {
		words = append(words, formatKey(e.Key))
	}
	if e.Column != "" {
		words = append(words, e.Column)
	}
	if len(words) == 0 {
		return "userdata: " + e.Err.Error()
	}
	return "userdata: " + strings.Join(words, " ") + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *RecordError) Unwrap() error { return e.Err }

// invalidf returns an error that is ErrInvalid and says why.
func invalidf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

// corruptf returns an error that is ErrCorrupt and says why.
func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
}
