package main

import "testing"

// TestPlaces makes sure that the notes' times are all different.
func TestPlaces(t *testing.T) {
	c := newCorpus(1000)
	seen := map[int]bool{}
	for i := range c.n {
		seen[c.place(i)] = true
	}
	if len(seen) != c.n {
		t.Errorf("got %d places, want %d", len(seen), c.n)
	}
}
