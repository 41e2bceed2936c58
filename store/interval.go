package store

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

type secondsColumn seconds

func (c *secondsColumn) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*c = 0
	case time.Time:
		*c = secondsColumn(float64(src.UnixMicro()) / 1e6)
	case int64:
		*c = secondsColumn(src)
	case float64:
		*c = secondsColumn(src)
	case []byte:
		return c.parse(string(src))
	case string:
		return c.parse(src)
	default:
		return fmt.Errorf("an interval column holds %T", src)
	}
	return nil
}

// parse reads Postgres' text of an interval of days and times, SQLite's text of
// a DATETIME, and the bare number that the schema's default leaves there.
func (c *secondsColumn) parse(s string) error {
	if t, ok := parseDatetime(s); ok {
		*c = secondsColumn(float64(t.UnixMicro()) / 1e6)
		return nil
	}
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		*c = secondsColumn(n)
		return nil
	}
	if t, err := time.Parse("2006-01-02 15:04:05", s); err == nil {
		*c = secondsColumn(float64(t.UnixMicro()) / 1e6)
		return nil
	}
	var days float64
	rest := s
	if before, after, ok := strings.Cut(s, " day"); ok {
		n, err := strconv.ParseFloat(before, 64)
		if err != nil {
			return fmt.Errorf("%q is not an interval", s)
		}
		days, rest = n, strings.TrimSpace(strings.TrimPrefix(after, "s"))
	}
	clock, err := parseClock(rest)
	*c = secondsColumn(days*86400 + clock)
	return err
}

// parseClock reads [-]hh:mm:ss[.ffffff] as seconds, 0 for no text.
func parseClock(s string) (float64, error) {
	if s == "" {
		return 0, nil
	}
	sign := 1.0
	if s[0] == '-' || s[0] == '+' {
		if s[0] == '-' {
			sign = -1
		}
		s = s[1:]
	}
	total := 0.0
	for _, part := range strings.Split(s, ":") {
		n, err := strconv.ParseFloat(part, 64)
		if err != nil {
			return 0, fmt.Errorf("%q is not a time of day", s)
		}
		total = total*60 + n
	}
	return sign * total, nil
}
