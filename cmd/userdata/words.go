package main

import (
	"strings"
	"unicode/utf8"
)

// didYouMean returns ": did you mean x?" with the one of the names that is the most
// like a word, if one is, or else what the names are.
func didYouMean(word string, names []string) string {
	best, least := "", min(3, 1+len(word)/3)
	for _, name := range names {
		if d := distance(strings.ToLower(word), strings.ToLower(name)); d < least || d == least && best == "" {
			best, least = name, d
		}
	}
	switch {
	case best != "":
		return ": did you mean " + best + "?"
	case len(names) == 0:
		return ""
	case len(names) > 12:
		names = append(names[:12:12], "...")
	}
	return ": there are " + strings.Join(names, ", ")
}

// distance returns how many letters must be changed, added, removed or exchanged
// with a neighbour to make b of a.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	older, last := make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := range x {
		row := make([]int, len(y)+1)
		row[0] = i + 1
		for j := range y {
			change := 1
			if x[i] == y[j] {
				change = 0
			}
			row[j+1] = min(last[j]+change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], older[j-1]+1)
			}
		}
		older, last = last, row
	}
	return last[len(y)]
}

// short returns the beginning of a text, for an error.
func short(s string) string {
	const most = 40
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-3]) + "..."
}

// suggestion returns ": did you mean x?" if one of the names is much like a word.
func suggestion(word string, names []string) string {
	if s := didYouMean(word, names); strings.HasPrefix(s, ": did") {
		return s
	}
	return ""
}
