package userdata_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/seed-5df914be/userdata"
)

// A tool that knows no Go types asks for records by the names of columns.
func ExampleRowTable_Select() {
	dir, err := os.MkdirTemp("", "userdata-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "userdata.db")
	ctx := context.Background()
	if err := makeUsers(ctx, path); err != nil {
		log.Fatal(err)
	}

	db, err := userdata.OpenFile(path, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	users, err := db.Rows("userdata")
	if err != nil {
		log.Fatal(err)
	}
	id, data := userdata.RowColumn("user_id"), userdata.RowColumn("user_data")
	q := users.Select(db.NewSession()).Where(id.Ge("C"), userdata.Not(data.Eq(""))).OrderBy(id.Desc())
	plan, err := q.Explain()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(plan)
	for row, err := range q.Rows(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(row.Values()[0].Value)
	}
	// Output:
	// userdata: key range user_id >= "C" in reverse; filter user_id >= "C" and not (user_data = "")
	// Larry
	// Jane
}

// makeUsers makes a file with users.
func makeUsers(ctx context.Context, path string) error {
	db, err := userdata.Open(path, nil, userdata.UserdataTable)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Transact(ctx, func(s *userdata.Session) error {
		return s.Add(
			&userdata.Userdata{UserID: "Brad", UserData: "Brad's data"},
			&userdata.Userdata{UserID: "Jane", UserData: "Jane's data"},
			&userdata.Userdata{UserID: "Larry", UserData: "Larry's data"},
		)
	})
}
