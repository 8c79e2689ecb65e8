//go:build !linux

package userdata

import "os"

// stillNamed makes sure that path leads to the open file, and returns its size.
func stillNamed(f *os.File, path string) (size int64, err error) { return stillNamedByStat(f, path) }
