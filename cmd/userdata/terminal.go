package main

import (
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// terminal returns the descriptor of what a stream is, if that is a terminal.
func terminal(stream any) (fd int, ok bool) {
	f, isFile := stream.(*os.File)
	if !isFile || f == nil {
		return 0, false
	}
	fd = int(f.Fd())
	return fd, term.IsTerminal(fd)
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	_, ok := terminal(stream)
	return ok
}

// width returns how many letters fit on a line of a stream; 0 if it is no terminal,
// and has lines of any length.
func width(stream any) int {
	fd, ok := terminal(stream)
	if !ok {
		return 0
	}
	w, _, err := term.GetSize(fd)
	if err != nil || w < 1 {
		return 80
	}
	return w
}

// colors reports whether a stream may have colours: it is a terminal, and neither
// NO_COLOR nor TERM say otherwise.
func colors(stream any) bool {
	return isTerminal(stream) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// canAsk reports whether there is someone to answer a question.
func canAsk(cmd *cobra.Command) bool {
	return isTerminal(cmd.InOrStdin()) && isTerminal(cmd.ErrOrStderr())
}
