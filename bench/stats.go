package main

import (
	"fmt"
	"math"
	"slices"
)

// A spread sums up the samples of the rounds.
type spread struct {
	Min    float64 `json:"min"`
	Q1     float64 `json:"q1"`
	Median float64 `json:"median"`
	Q3     float64 `json:"q3"`
	Max    float64 `json:"max"`
}

// spreadOf returns the spread of some samples, of which there must be one at least.
func spreadOf(samples []float64) spread {
	sorted := slices.Sorted(slices.Values(samples))
	return spread{sorted[0], quantile(sorted, 0.25), quantile(sorted, 0.5), quantile(sorted, 0.75), sorted[len(sorted)-1]}
}

// quantile returns a quantile of sorted samples, between two of them if it falls
// there.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low, high := int(math.Floor(at)), int(math.Ceil(at))
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// A result is what one peer's samples of one op come to.
type result struct {
	Op      string    `json:"op"`
	Peer    string    `json:"peer"`
	Unit    string    `json:"unit"` // nanoseconds for one of these, except bytes
	Samples []float64 `json:"samples,omitempty"`
	Cost    *spread   `json:"cost,omitempty"`
	Ratio   *spread   `json:"ratio,omitempty"`   // to raw bbolt in the same round
	ToUsual *spread   `json:"toUsual,omitempty"` // to raw bbolt with msgpack.Marshal in the same round
	Allocs  *float64  `json:"allocs,omitempty"`
	Note    string    `json:"note,omitempty"` // why there are no samples
	Goal    string    `json:"goal,omitempty"`
	Verdict string    `json:"verdict,omitempty"`
	Reason  string    `json:"reason,omitempty"` // why the goal is not met, or a peer is ahead
}

// amount prints a cost of an op in a unit that suits it.
func amount(o *op, cost float64) string {
	if o.unit == "bytes per record" {
		return figure(cost) + " B"
	}
	return duration(cost)
}

// duration prints nanoseconds in a unit that suits them.
func duration(ns float64) string {
	switch {
	case ns < 1e3:
		return figure(ns) + " ns"
	case ns < 1e6:
		return figure(ns/1e3) + " µs"
	case ns < 1e9:
		return figure(ns/1e6) + " ms"
	}
	return figure(ns/1e9) + " s"
}

// figure prints a number with three digits or so.
func figure(x float64) string {
	switch {
	case x == 0:
		return "0"
	case x < 0.0995:
		return fmt.Sprintf("%.3f", x)
	case x < 9.995:
		return fmt.Sprintf("%.2f", x)
	case x < 99.95:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}
