package main

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkImport makes a table of a CSV of many rows.
func BenchmarkImport(b *testing.B) {
	var csv strings.Builder
	csv.WriteString("id,station,at,temperature,humidity,note\n")
	for i := range 100_000 {
		fmt.Fprintf(&csv, "%d,ST%03d,2026-01-%02dT%02d:00:00Z,%d.5,%d,calm\n", i, i*7%500, 1+i%28, i%24, i%40, i%100)
	}
	dir := b.TempDir()
	for i := 0; b.Loop(); i++ {
		var errs bytes.Buffer
		path := filepath.Join(dir, fmt.Sprint(i, ".db"))
		if run([]string{"--db", path, "import", "r", "--create"}, strings.NewReader(csv.String()), io.Discard, &errs) != 0 {
			b.Fatal(errs.String())
		}
	}
	b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
