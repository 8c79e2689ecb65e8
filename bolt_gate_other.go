//go:build !linux || android

package userdata

import "os"

// tryGate does nothing: the system has no locks for a gate.
func tryGate(*os.File, bool) error { return nil }

// leaveGate does nothing.
func leaveGate(*os.File) error { return nil }
