package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
)

// progressWait is how long work must take before a bar is shown.
const progressWait = 500 * time.Millisecond

// A progress shows how far long work is: a bar on stderr, if that is a terminal and
// the work takes longer than progressWait. It is not safe for concurrent use.
type progress struct {
	w     io.Writer // nil if nobody looks
	verb  string
	began time.Time
	bar   *progressbar.ProgressBar
	what  string
	total int
	drew  bool // tick has
}

// newProgress returns the progress of a command's work, which the verb says.
func newProgress(cmd *cobra.Command, verb string) *progress {
	p := &progress{verb: verb, began: time.Now()}
	if isTerminal(cmd.ErrOrStderr()) {
		p.w = cmd.ErrOrStderr()
	}
	return p
}

// report shows that so much of what is being worked on is done; a total of 0 stands
// for one that isn't known. It is what [userdata.Options] Progress takes.
func (p *progress) report(what string, done, total int) {
	if p.w == nil || time.Since(p.began) < progressWait {
		return
	}
	if p.bar == nil || what != p.what || total != p.total {
		p.end()
		size := total
		if size == 0 {
			size = -1
		}
		p.what, p.total = what, total
		p.bar = progressbar.NewOptions(size,
			progressbar.OptionSetWriter(p.w),
			progressbar.OptionSetDescription(fmt.Sprintf("%s %s", p.verb, printable(what))),
			progressbar.OptionShowCount(),
			progressbar.OptionShowIts(),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetSpinnerChangeInterval(0), // else it goes on drawing after the end
			progressbar.OptionClearOnFinish(),
			progressbar.OptionSetWidth(24),
			progressbar.OptionSetTheme(progressbar.ThemeASCII),
		)
	}
	_ = p.bar.Set(done)
}

// busy shows that work of unknown length is under way until stop is called, which may
// be done more than once. Where nobody looks it does nothing.
func busy(cmd *cobra.Command, verb, what string) (stop func()) {
	p := newProgress(cmd, verb)
	if p.w == nil {
		return func() {}
	}
	ended, drawn := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(drawn)
		ticks := time.NewTicker(progressWait / 4)
		defer ticks.Stop()
		for {
			select {
			case <-ticks.C:
				p.tick(what)
			case <-ended:
				p.end()
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(ended)
		<-drawn
	})
}

// tick shows for how long the work has been going on.
func (p *progress) tick(what string) {
	if took := time.Since(p.began); took >= progressWait {
		p.drew = true
		fmt.Fprintf(p.w, "\r%s %s: %d s", p.verb, printable(what), int(took.Seconds()))
	}
}

// end takes the bar away.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
	if p.drew {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drew = false
	}
}
