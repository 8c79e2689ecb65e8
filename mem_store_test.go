package userdata_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/seed-5df914be/userdata"
)

// Commits from many goroutines are made one after the other: none is lost.
func TestMemStoreWriters(t *testing.T) {
	t.Parallel()
	s := userdata.NewMemStore()
	const writers, each = 8, 500
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := s.Apply(context.Background(), change(fmt.Sprint(w, "/", i), "x", userdata.ExpectNothing)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if all, version, err := contents(s); len(all["a"]) != writers*each || version != writers*each+1 || err != nil {
		t.Errorf("got %d entries, version %d, %v, want %d and one more", len(all["a"]), version, err, writers*each)
	}
}
