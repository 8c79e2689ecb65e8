//go:build linux && (amd64 || arm64)

package userdata_test

import (
	"context"
	"encoding/hex"
	"errors"

	"github.com/seed-5df914be/userdata"
)

// A crashRow is a record of the tables that are written to while the power fails.
type crashRow struct {
	Key  string `userdata:"key,key,size=20"`
	Head string `userdata:"head,size=8,index"` // the first bytes of Body
	Body []byte `userdata:"body"`
}

// A table's type is its own.
type (
	crashLink crashRow
	crashNote crashRow
	crashTag  crashRow
)

var (
	crashLinks = userdata.NewTable[crashLink]("links")
	crashNotes = userdata.NewTable[crashNote]("notes")
	crashTags  = userdata.NewTable[crashTag]("tags")
)

// sessionEngine makes each change set a session's commit, and keeps indexes.
var sessionEngine = engine{"sessions", func(path string) (engineStore, error) {
	db, err := userdata.Open(path, nil, crashLinks, crashNotes, crashTags)
	if err != nil {
		return nil, err
	}
	return sessionFile{db}, nil
}}

// A sessionFile is an open database.
type sessionFile struct{ *userdata.DB }

func (f sessionFile) apply(changes []userdata.Change) error {
	ctx := context.Background()
	return f.Transact(ctx, func(s *userdata.Session) error {
		for _, ch := range changes {
			row := crashRow{string(ch.Key), hex.EncodeToString(ch.Value[:min(4, len(ch.Value))]), ch.Value}
			var err error
			switch ch.Bucket {
			case "links":
				err = putRow(ctx, s, crashLinks, crashLink(row))
			case "notes":
				err = putRow(ctx, s, crashNotes, crashNote(row))
			case "tags":
				err = putRow(ctx, s, crashTags, crashTag(row))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// putRow adds or changes a record, or deletes it if it has no body.
func putRow[T crashLink | crashNote | crashTag](ctx context.Context, s *userdata.Session, table *userdata.Table[T], row T) error {
	if crashRow(row).Body != nil {
		_, err := table.Merge(ctx, s, &row)
		return err
	}
	old, err := table.Get(ctx, s, crashRow(row).Key)
	if err != nil {
		return err
	}
	return s.Delete(old)
}

func (f sessionFile) read() (records, error) {
	ctx := context.Background()
	all := records{}
	err := f.DB.View(ctx, func(s *userdata.Session) error {
		return errors.Join(readAll(ctx, s, crashLinks, all), readAll(ctx, s, crashNotes, all), readAll(ctx, s, crashTags, all))
	})
	return all, errors.Join(err, wholeCheck(ctx, f.DB))
}

// readAll reads a table.
func readAll[T crashLink | crashNote | crashTag](ctx context.Context, s *userdata.Session, table *userdata.Table[T], into records) error {
	for r, err := range table.Select(s).Rows(ctx) {
		if err != nil {
			return err
		}
		row := crashRow(*r)
		into[table.Name()+"/"+row.Key] = string(row.Body)
	}
	return nil
}
