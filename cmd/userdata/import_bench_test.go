package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// BenchmarkImport makes a table of a CSV file of many rows, in one whole. MB is what Go
// has taken from the system by then: pages of the file that are mapped come on top. Of
// a million rows:
//
//	go test -run '^$' -bench 'Import/rows=1000000' -benchtime 1x
func BenchmarkImport(b *testing.B) {
	for _, rows := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			dir := b.TempDir()
			in := filepath.Join(dir, "in.csv")
			if err := writeReadings(in, rows); err != nil {
				b.Fatal(err)
			}
			for i := 0; b.Loop(); i++ {
				var errs bytes.Buffer
				path := filepath.Join(dir, fmt.Sprint(i, ".db"))
				if run([]string{"--db", path, "import", "readings", in, "--create"}, strings.NewReader(""), io.Discard, &errs) != exitOK {
					b.Fatal(errs.String())
				}
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(m.Sys)/1e6, "MB")
		})
	}
}

// writeReadings writes a CSV file of what weather stations read.
func writeReadings(path string, rows int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "id,station,at,temperature,humidity,wind,note")
	for i := range rows {
		fmt.Fprintf(w, "%d,ST%03d,2026-01-%02dT%02d:00:00Z,%d.5,%d,%d.25,calm\n", i, i*7%500, 1+i%28, i%24, i*13%40, i%100, i*11%30)
	}
	return w.Flush()
}
