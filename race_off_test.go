//go:build !race

package userdata_test

// underRace says that the race detector slows everything down.
const underRace = false
