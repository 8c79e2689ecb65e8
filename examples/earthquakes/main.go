// Command earthquakes writes a made-up catalogue of 120,000 earthquakes as CSV: always
// the same one. docs/walk.md goes through it with the tool.
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"time"
)

// quakes is how many there are.
const quakes = 120_000

// A region is where the ground moves.
type region struct {
	name                string
	latitude, longitude int // in thousandths of a degree
	spread              int // to each side, the same
	deepest             int // in km
	share               int // of all quakes, in percent
	felt                int // how much of it is reported
	far                 int // the most km from the place
}

var regions = []region{
	{"Valparaíso, Chile", -33047, -71613, 4000, 180, 18, 30, 220},
	{"Sendai, Japan", 38268, 140872, 3500, 120, 22, 60, 180},
	{"Anchorage, Alaska", 61218, -149900, 5000, 150, 20, 8, 400},
	{"Wellington, New Zealand", -41286, 174776, 2500, 90, 12, 25, 150},
	{"Padang, Indonesia", -950, 100354, 4500, 200, 16, 20, 300},
	{"Kahramanmaraş, Türkiye", 37575, 36923, 1500, 30, 7, 90, 120},
	{"Reykjavík, Iceland", 64147, -21943, 800, 15, 5, 12, 60},
}

var directions = []string{"N", "NE", "E", "SE", "S", "SW", "W", "NW"}

func main() {
	if err := write(os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// write writes the catalogue. It reckons in whole numbers, so that it is the same on
// every machine.
func write(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, "id,time,latitude,longitude,depth,magnitude,place,felt,note")
	r := rand.New(rand.NewPCG(2026, 11))
	at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range quakes {
		at = at.Add(time.Duration(r.IntN(52*60*1000)) * time.Millisecond)
		q := regions[pick(r)]
		magnitude := 25
		for magnitude < 95 && r.IntN(1000) < 832 { // six times fewer for each whole step
			magnitude++
		}
		felt, note := "", ""
		if magnitude >= 35 { // else nobody reports it
			felt = fmt.Sprint(r.IntN((magnitude - 30) * (magnitude - 30) * q.felt))
		}
		if magnitude >= 70 {
			note = `"reviewed, ""major"""`
		}
		fmt.Fprintf(out, "eq%06d,%s,%s,%s,%d,%s,\"%d km %s of %s\",%s,%s\n", i+1, at.Format("2006-01-02T15:04:05.000Z"),
			thousandths(q.latitude+r.IntN(2*q.spread)-q.spread), thousandths(q.longitude+r.IntN(2*q.spread)-q.spread),
			1+r.IntN(q.deepest), fmt.Sprintf("%d.%d", magnitude/10, magnitude%10), 1+r.IntN(q.far), directions[r.IntN(len(directions))], q.name, felt, note)
	}
	return out.Flush()
}

// pick returns the place of a region, as often as its share says.
func pick(r *rand.Rand) int {
	n := r.IntN(100)
	for i, q := range regions {
		if n -= q.share; n < 0 {
			return i
		}
	}
	return 0
}

// thousandths returns a number of thousandths with a point.
func thousandths(n int) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	return fmt.Sprintf("%s%d.%03d", sign, n/1000, n%1000)
}
