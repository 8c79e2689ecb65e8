/*
Package userdata keeps records, ordinary structs, in one file, without SQL, a
server, cgo or generated code. A program works on its records through a
[Session], a unit of work with an identity map as in SQLAlchemy's ORM: it adds,
loads, changes and deletes structs, and Commit writes all of it in one
transaction, or nothing.

	type Note struct {
		ID      string    `userdata:"id,key,size=32"`
		Title   string    `userdata:"title,size=120"`
		Body    string    `userdata:"body"`
		Updated time.Time `userdata:"updated"`
		Author  *string   `userdata:"author"` // a pointer: may be null
	}

	var (
		Notes       = userdata.NewTable[Note]("notes")
		NoteTitle   = userdata.ColumnOf(func(n *Note) *string { return &n.Title })
		NoteUpdated = userdata.ColumnOf(func(n *Note) *time.Time { return &n.Updated })
	)

	db, err := userdata.Open("notes.db", nil, Notes)
	defer db.Close()

	s := db.NewSession()
	defer s.Close()
	err = s.Add(&Note{ID: "n1", Title: "Milk"}) // this session's queries see it
	err = s.Commit(ctx)                         // on the disk when it returns

	n, err := Notes.Get(ctx, s, "n1") // the same pointer each time in one session
	n.Title = ""                      // noticed at Commit: no setter, no Save
	err = s.Commit(ctx)

	recent, err := Notes.Select(s).Where(NoteUpdated.Ge(monday)).
		OrderBy(NoteUpdated.Desc()).Limit(20).All(ctx)

[Userdata] and [UserdataTable] are a ready-made record and its table.

# Declaring records

A field's tag names its column, and may add words after commas:

	key       the column is the table's key; each table has one
	size=N    at most N runes of a string, or N bytes of a []byte
	index     the table has an index of the column; see below
	unique    no two records have the same value in the column; see below

A field without a tag is an error, so that none is forgotten; userdata:"-" leaves
it out. The fields of an embedded struct without a tag are columns themselves.
The name in the tag, not the field's, is what the file holds: renaming a field in
Go changes nothing.

Columns may be bool, any integer, uint or float, string, []byte, [N]byte,
[time.Time], [time.Duration], named types of these, structs, slices, arrays and
maps of such, and types with encoding.BinaryMarshaler or TextMarshaler and the
matching unmarshaler, such as [net/netip.Addr]. A pointer to one of them is a
column that may be null. Fields of a struct inside a column go by their tag's
name, or else by their Go name. Keys may be string, []byte, [N]byte, any integer
and time.Time. A time is kept as an instant, to the nanosecond, in the years 1 to
9999, and read back in UTC.

Text is valid UTF-8 or refused. A nil slice or map stays nil, an empty one empty;
only a pointer to a nil one comes back as a pointer to an empty one.

What can't be mapped is an error of [Open] that names type, field and remedy, or a
panic of [ColumnOf] as the program starts.

The file keeps the schema. When a program declares its tables otherwise, Open does
what can't lose anything by itself: new tables and indexes, columns that may be null
or have the tag word default=, renamed ones with was=old_name, larger sizes, wider
numbers. It refuses all else with [ErrSchema], which lists what to write, such as a
[Migration]. [PlanOpen] says what it would do; docs/schema-changes.md in the
repository has each kind of change. [OpenFile] needs no Go types at all.

# Sessions

A record that a session has is in one of these states ([Session.State]):

	Pending     added, not yet committed
	Persistent  in the session and in the store
	Deleted     marked, not yet committed

Others are Transient, never in the session, or Detached, once in it. One table and
key has one pointer in a session. Records stay readable after Commit and Close.

Nothing is checked before [Session.Flush] or [Session.Commit], so a pending record
may be filled in step by step while queries run. Then every added or changed
record is validated: sizes, UTF-8, its key, and its Validate method if it has
one, func() error. All faults of all records come in one error.

Changes are found by comparing each tracked record with what the session last saw
in the store, nested slices and maps included. Setting a field to zero is a
change like any other. A changed key moves the record. Delete and Add under one
key are an update, and two records may swap keys in one commit.

[Session.Rollback] restores changed records in place, [Session.Savepoint] does that
for what one function did, [Session.Refresh] reads a record again,
[Table.Merge] copies a detached record onto the session's, [Session.Expunge] lets
one go, and [Session.Changes] lists what a commit would write, old and new.

# Conflicts

A commit is refused with [ErrConflict] if a record that it changes or deletes is no
longer what the session read, whichever fields the two have changed, or is gone.
The [RecordError] has the record as it was read, as it is wanted, and as it is
now. The session still holds its changes: Refresh the record and change it again,
or Rollback.

[DB.Transact] does this by itself: it runs a function with a session, commits it,
and on a conflict runs it again with a fresh one. This is the usual way to write:

	err = db.Transact(ctx, func(s *userdata.Session) error {
		n, err := Notes.Get(ctx, s, "n1")
		if err != nil {
			return err
		}
		n.Title = strings.ToUpper(n.Title)
		return nil
	})

Conflicts are about records that are written. A session with the option
[Serializable] commits only if nobody has committed anything since its first read.

# Queries

[Table.Select] makes a [Query], an immutable value that Where, OrderBy, Limit and
Offset refine, and All, One, First, Rows, Count, Exists, Update and Delete run.
Conditions come from columns ([Column.Eq], Ne, Lt, Le, Gt, Ge, Between, In), from
[HasPrefix], and from [And], [Or], [Not] and [Match], which takes any function.
Conditions on the key or an index narrow down what is read; the others are checked
record by record. [Query.Explain] says which is which.

Answers are what the store holds with the session's own changes laid over. The
session's pointers are returned for what it tracks, and new ones are tracked,
unless the query is [Query.Untracked].

Records that one query returns may lie in one block of memory, of 8 KiB at most, which
stays as long as one of them does; [runtime.AddCleanup] works on them,
[runtime.SetFinalizer] does not.

[Query.Update] and [Query.Delete] change many records within the session; Commit
writes them. Objects that the program has follow.

# Indexes

The word index in a tag keeps an index of the column, in the order of its values;
unique keeps one and refuses two records with one value. Any column that has an
order can be indexed, and so can a slice of such values, which has an entry for
each different element ([Contains] asks for one). Null comes first, and any
number of records may be null in a unique index.

	Author  string    `userdata:"author,index=by_author_time:1"`
	Updated time.Time `userdata:"updated,index,index=by_author_time:2"`
	Slug    *string   `userdata:"slug,unique"`
	Labels  []string  `userdata:"labels,index"`

An index of several columns has a name, and each column says its place in it. A
column may be in several indexes, and the word unique takes a name and a place as
well. Open builds an index that the file lacks, calling [Options.Progress], and
removes one that is no longer declared.

A program never names an index in a query. Conditions on the key, or on the first
columns of an index, narrow down what is read; an index that has the order asked
for saves the sort, and with a limit the reading stops early; an Or is answered
from several indexes if each side can be. [Query.Explain] says what is read, and
[Options.ScanLimit] refuses queries that would read more than so many records
without an index. The choice depends on the query and the declared indexes only.

[Query.After] and [Query.Cursor] turn pages: a cursor is a printable token for a
place in the order, and stays right when records come and go. [Min], [Max],
[Distinct] and [GroupBy] sum a query up, from an index alone where one serves it.

Uniqueness is checked for the net effect of a commit: records may swap unique
values, and a value may be taken from a record that is deleted or changed in the
same commit.

# Isolation

No transaction is held while a program's code runs. Get, All, One, First, Count and
Exists read one snapshot each; Rows reads pages. Within a session a record
that was read stays what it is until Commit or Rollback; the first Get or query
after that brings unchanged records up to date, in place. [DB.View] runs a
function on one snapshot throughout, and is the one place where a transaction is
open meanwhile: be brief.

A [DB], a [Table] and a [Column] are safe for concurrent use. A Session is not, and
returns [ErrConcurrentUse] instead of corrupting itself. A query that reads many
records of a plain type does so on several processors, at most eight and no more
than GOMAXPROCS says, and returns when all of them are done. Code of the program's,
such as a [Match], runs in the goroutine that called.

# The file

A commit is on the disk when it returns. Commits that many goroutines make at the
same time share a transaction and its sync, each checked on its own. If the disk
fails, the store makes the file sound again, opens it anew and looks whether the
commit is in it, so an error means that nothing was changed; the one exception says
so: [ErrUnknownOutcome].

Each value carries a checksum over its table, key and bytes, and each bucket a count
and a sum of what is in it: a damaged record is [ErrCorrupt], never wrong data, and
in a file of up to 8 MiB Open finds what is missing, too. [DB.Check] looks at
everything in a file of any size, and [Salvage] saves what can be read of a damaged
one. No file kills or hangs the process.

One process has the file open at a time, others get [ErrLocked]; with
[Options.ReadOnly] many may read, and with [Options.Shared] processes take turns.
[DB.Backup] copies the file while sessions go on, and [DB.Compact] makes it
smaller. FORMAT.md in the repository describes every byte, and docs/reliability.md
says what is promised, how that was tested, and what is not. Values are msgpack,
readable without this package.

# Errors

Errors wrap one of the package's Err values, to be tested with [errors.Is], and
mostly come in a [RecordError] with table, key and column. Several are joined.

# For those who come from SQLAlchemy

	create_engine, create_all     Open
	metadata.tables               DB.Schema
	echo=True                     Options.Logger
	sessionmaker(engine)          DB.NewSession
	with Session.begin()          DB.Transact
	session.get                   Table.Get
	select().where()              Table.Select, Query.Where
	update().values(), delete()   Query.Update with Column.Set, Query.Delete
	begin_nested                  Session.Savepoint
	session.new, dirty, deleted   Session.Changes
	version_id_col                always on: ErrConflict
	add, delete, flush, commit, rollback, expunge, refresh, merge keep their names

# Limits

No SQL, no joins. Whole records are read and written. One writer at a time. A key
has at most 32,768 bytes. What a session adds, changes or deletes is held in memory
until it is committed. While it is open, as much of the file may be free as is used. It
shrinks when it is closed, if much of it is free, and by [DB.Compact].
*/
package userdata
