//go:build !amd64 && !arm64

package pages

// prefetch does nothing: memory is fetched when it is needed.
func prefetch(*byte, int) {}
