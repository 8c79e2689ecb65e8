package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

// The catalogue is the same on every machine.
func TestWrite(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	if got := hex.EncodeToString(sum[:]); got != "99e9013a38fa0e888864aebb73e9fae4762800f0da83a9925d41243b434811af" {
		t.Errorf("got %d bytes of sum %s", b.Len(), got)
	}
}
