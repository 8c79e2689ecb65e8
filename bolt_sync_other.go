//go:build !linux || android

package userdata

import "os"

// syncData makes durable what was written to the file.
func syncData(f *os.File) error { return f.Sync() }
