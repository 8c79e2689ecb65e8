package main

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/seed-5df914be/userdata"
)

// printable returns text with control characters shown as escapes, so that a
// value can't play tricks on the terminal.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strconv.IsPrint(r) {
			b.WriteRune(r)
		} else {
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}

// cellText returns a value as people read it: times in a zone, text as it is but
// for what does not print, what is nested as JSON.
func cellText(v any, zone *time.Location) string {
	switch v := v.(type) {
	case string:
		return printable(v)
	case time.Time:
		return timeText(v, zone)
	}
	return plainCell(v)
}

// timeText returns a time in a zone, as parseTime takes it.
func timeText(t time.Time, zone *time.Location) string {
	layout := time.DateTime
	if t.Nanosecond() != 0 {
		layout += ".999999999"
	}
	if zone == time.UTC {
		layout += "Z07:00"
	}
	return t.In(zone).Format(layout)
}

// plainCell returns a value as files of text hold it: nothing for null, times as
// in RFC 3339 in UTC, bytes in base64, what is nested as JSON.
func plainCell(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case float32, float64, bool:
		return strings.Trim(string(appendJSON(nil, v)), `"`)
	case []any, []userdata.Entry:
		return string(appendJSON(nil, v))
	}
	return fmt.Sprint(v)
}

// isNumber reports whether a value is shown at the right of its column.
func isNumber(v any) bool {
	if _, ok := v.(numberCell); ok {
		return true
	}
	n := reflect.ValueOf(v)
	return n.IsValid() && (n.CanInt() || n.CanUint() || n.CanFloat())
}

// parseTime reads a point in time; one without a zone is local.
func parseTime(s string) (time.Time, error) {
	var t time.Time
	if err := t.UnmarshalText([]byte(s)); err == nil {
		return t, nil
	}
	if t, err := time.Parse("2006-01-02 15:04:05Z07:00", s); err == nil {
		return t, nil
	}
	for _, layout := range []string{time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usageError{fmt.Errorf("%q is no time: write 2026-10-12, \"2026-10-12 19:58\" or 2026-10-12T19:58:00Z", short(printable(s)))}
}

// sizeText returns a number of bytes as people read it.
func sizeText(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), 0
	for f >= 999.5 && unit < 4 {
		f /= 1000
		unit++
	}
	digits := 0
	if f < 9.95 {
		digits = 1
	}
	return fmt.Sprintf("%.*f %cB", digits, f, "BkMGT"[unit])
}

// countText returns a number with the thousands set apart.
func countText(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// plural returns a number and a word, in the plural unless the number is one.
func plural(n int, word string) string {
	if n != 1 {
		word += "s"
	}
	return countText(n) + " " + word
}

// asTime returns a value that should be a time; the zero one if it is none.
func asTime(v any) time.Time {
	t, _ := v.(time.Time)
	return t
}
