//go:build amd64 || arm64

package pages

// prefetch has the processor fetch the n bytes at p, at least one, from memory while it goes
// on: unlike a load, that waits for nothing, and is no access that could fail.
//
//go:noescape
func prefetch(p *byte, n int)
