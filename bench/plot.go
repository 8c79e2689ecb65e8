package main

import (
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A point is one median of a plot, with its quartiles.
type point struct{ x, y, low, high float64 }

// A series is a line of points in a plot.
type series struct {
	name   string
	color  int  // which of the colors
	dashed bool // as raw bbolt's are
	points []point
}

// plotLines draws series over the number of records, both axes by their logarithms,
// with the quartiles as error bars.
func plotLines(path, title, unit string, all []series) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, "records in the file", unit
	logScale(&p.X)
	logScale(&p.Y)
	p.Add(plotter.NewGrid())
	p.Legend.Top, p.Legend.Left = true, true
	for _, s := range all {
		if err := addLine(p, s); err != nil {
			return err
		}
	}
	p.Y.Max *= 30 // room for the legend
	return p.Save(18*vg.Centimeter, 13*vg.Centimeter, path)
}

// A quartiles is points whose error bars are their quartiles.
type quartiles struct {
	plotter.XYs
	plotter.YErrors
}

// addLine adds a series to a plot.
func addLine(p *plot.Plot, s series) error {
	data := quartiles{make(plotter.XYs, len(s.points)), make(plotter.YErrors, len(s.points))}
	for i, pt := range s.points {
		data.XYs[i] = plotter.XY{X: pt.x, Y: pt.y}
		data.YErrors[i].Low, data.YErrors[i].High = pt.low-pt.y, pt.high-pt.y
	}
	line, dots, err := plotter.NewLinePoints(data.XYs)
	if err != nil {
		return err
	}
	bars, err := plotter.NewYErrorBars(data)
	if err != nil {
		return err
	}
	c := plotutil.Color(s.color)
	line.Color, dots.Color, bars.Color, dots.Shape = c, c, c, draw.CircleGlyph{}
	if s.dashed {
		line.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
		dots.Shape = draw.RingGlyph{}
	}
	p.Add(bars, line, dots)
	p.Legend.Add(s.name, line, dots)
	return nil
}

// logScale makes an axis show logarithms.
func logScale(a *plot.Axis) {
	a.Scale = plot.LogScale{}
	a.Tick.Marker = plot.TickerFunc(func(low, high float64) []plot.Tick {
		var ticks []plot.Tick
		for e := math.Floor(math.Log10(low)); e <= math.Ceil(math.Log10(high)); e++ {
			for k := 1.0; k < 10; k++ {
				value, label := k*math.Pow(10, e), ""
				if value < low || value > high {
					continue
				}
				if k == 1 {
					label = strconv.FormatFloat(value, 'f', -1, 64)
				}
				ticks = append(ticks, plot.Tick{Value: value, Label: label})
			}
		}
		return ticks
	})
}

// plotRatios draws the ratios to raw bbolt: a row for each op, and in it a dot for
// each peer. Raw bbolt is the line at 1, and a goal is a bar.
func (rep *report) plotRatios(path string) error {
	p := plot.New()
	p.Title.Text = thousands(rep.Records) + " records, each commit synced"
	p.X.Label.Text = "time of an operation (bytes, for the size), as a ratio to raw bbolt in the same round: less is better"
	logScale(&p.X)
	p.Add(plotter.NewGrid())
	var rows []*op
	for _, o := range rep.ops {
		if o.base != noBase {
			rows = append([]*op{o}, rows...) // the first is on top
		}
	}
	if err := rep.addGoals(p, rows); err != nil {
		return err
	}
	for i, peer := range rep.peers {
		if err := rep.addPeer(p, rows, peer, i); err != nil {
			return err
		}
	}
	titles := make([]string, len(rows))
	for i, o := range rows {
		titles[i] = o.title
	}
	p.NominalY(titles...)
	p.Y.Tick.Label.Font.Size = vg.Points(9)
	p.Y.Min, p.Y.Max = -0.6, float64(len(rows))-0.4
	p.Legend.Top = true
	p.X.Max *= 10 // room for the legend
	return p.Save(26*vg.Centimeter, 16*vg.Centimeter, path)
}

// addPeer adds a peer's ratios to a plot.
func (rep *report) addPeer(p *plot.Plot, rows []*op, peer *peer, number int) error {
	var dots plotter.XYs
	for y, o := range rows {
		if res := rep.result(o, peer.name); res.Ratio != nil {
			dots = append(dots, plotter.XY{X: res.Ratio.Median, Y: float64(y)})
		}
	}
	if len(dots) == 0 {
		return nil
	}
	scatter, err := plotter.NewScatter(dots)
	if err != nil {
		return err
	}
	scatter.Color, scatter.Shape, scatter.Radius = plotutil.Color(number), plotutil.Shape(number), vg.Points(3.5)
	if peer.name == subject {
		scatter.Color, scatter.Shape, scatter.Radius = color.Black, draw.CircleGlyph{}, vg.Points(5)
	}
	p.Add(scatter)
	p.Legend.Add(peer.title, scatter)
	return nil
}

// addGoals adds the goals to a plot.
func (rep *report) addGoals(p *plot.Plot, rows []*op) error {
	var first *plotter.Line
	for y, o := range rows {
		ratio := goals[o.name].Ratio
		if ratio == 0 {
			continue
		}
		line, err := plotter.NewLine(plotter.XYs{{X: ratio, Y: float64(y) - 0.4}, {X: ratio, Y: float64(y) + 0.4}})
		if err != nil {
			return err
		}
		line.Width, line.Color = vg.Points(2), color.RGBA{R: 0xd0, G: 0x30, B: 0x30, A: 0xff}
		if p.Add(line); first == nil {
			first = line
			p.Legend.Add("goal of userdata", line)
		}
	}
	return nil
}
