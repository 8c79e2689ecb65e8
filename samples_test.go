package userdata_test

import "testing"

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
