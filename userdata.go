package userdata

import (
	"fmt"
	"time"
)

// Userdata is a ready-made record: some data of a user, and when it was written.
// It is mapped by its tags like any program's own type.
type Userdata struct {
	UserID    string    `userdata:"user_id,key,size=32"` // at most 32 runes, not empty
	UserData  string    `userdata:"user_data,size=640"`  // at most 640 runes
	TimeStamp time.Time `userdata:"time_stamp"`
}

// UserdataTable is the table "userdata", of [Userdata] records.
var UserdataTable = NewTable[Userdata]("userdata")

// UserdataColumns are the columns of [UserdataTable].
var UserdataColumns = struct {
	UserID    Column[Userdata, string]
	UserData  Column[Userdata, string]
	TimeStamp Column[Userdata, time.Time]
}{
	UserID:    ColumnOf(func(u *Userdata) *string { return &u.UserID }),
	UserData:  ColumnOf(func(u *Userdata) *string { return &u.UserData }),
	TimeStamp: ColumnOf(func(u *Userdata) *time.Time { return &u.TimeStamp }),
}

// String returns the record on one line, the time in its own zone:
//
//	user_id=Brian, user_data=changed, time_stamp=October 12 19:58
func (u Userdata) String() string {
	return fmt.Sprintf("user_id=%s, user_data=%s, time_stamp=%s", u.UserID, u.UserData, u.TimeStamp.Format("January 2 15:04"))
}
