package userdata_test

import (
	"flag"
	"testing"
)

// long makes the tests that sample look at many times more.
var long = flag.Bool("long", false, "run the long proofs")

// samples returns how many cases a test that samples looks at: few with -short or
// the race detector, many with -long.
func samples(few, some, many int) int {
	switch {
	case *long:
		return many
	case underRace || testing.Short():
		return few
	}
	return some
}
