//go:build linux && (amd64 || arm64)

package intercept_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/seed-5df914be/userdata/internal/intercept"
)

func TestRunSpeed(t *testing.T) {
	dir := t.TempDir()
	n := 0
	start := time.Now()
	err := intercept.Run(func() error {
		f, err := os.Create(filepath.Join(dir, "a"))
		if err != nil {
			return err
		}
		defer f.Close()
		for i := range 10000 {
			if _, err := f.WriteAt([]byte("hello"), int64(i)); err != nil {
				return err
			}
		}
		return f.Sync()
	}, func(c *intercept.Call) (int, syscall.Errno) {
		n++
		return c.Perform()
	})
	t.Log(n, time.Since(start)/10000, err, errors.Is(err, intercept.ErrUnsupported))
	start = time.Now()
	for range 1000 {
		intercept.Run(func() error { return nil }, nil)
	}
	t.Log(time.Since(start) / 1000)
	for range 1000 {
		intercept.WithoutSync(func() error { return nil })
	}
	t.Log(time.Since(start) / 1000)
}
