package prefect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Time is an instant in UTC, cut to microseconds: the precision of the API and
// of both databases, so a value survives every round trip unchanged.
type Time struct{ time.Time }

// NewTime returns t in UTC, cut to microseconds.
func NewTime(t time.Time) Time { return Time{t.UTC().Truncate(time.Microsecond)} }

// Add returns t+d, cut to microseconds.
func (t Time) Add(d time.Duration) Time { return NewTime(t.Time.Add(d)) }

// Ptr returns a pointer to a copy of t.
func (t Time) Ptr() *Time { return &t }

// apiLayout and apiLayoutWhole are what the reference's serializer writes: six
// digits of fraction or none.
const (
	apiLayout      = "2006-01-02T15:04:05.000000Z"
	apiLayoutWhole = "2006-01-02T15:04:05Z"
)

// AppendAPI appends the API's form of t to b.
func (t Time) AppendAPI(b []byte) []byte {
	if t.Nanosecond() == 0 {
		return t.AppendFormat(b, apiLayoutWhole)
	}
	return t.AppendFormat(b, apiLayout)
}

// String returns the API's form of t.
func (t Time) String() string { return string(t.AppendAPI(nil)) }

// MarshalJSON writes t in the API's form.
func (t Time) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, len(apiLayout)+2)
	b = append(b, '"')
	b = t.AppendAPI(b)
	return append(b, '"'), nil
}

// UnmarshalJSON reads what the reference's parser accepts: ISO 8601 with any
// offset, without one (taken as UTC), a date alone, or a number of seconds (or
// milliseconds, when large) since the epoch. In UTC the year is from 1 to 9999: no
// other comes back from SQLite, nor is one read by the reference.
func (t *Time) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		parsed, err := ParseTime(s)
		if err != nil {
			return err
		}
		*t = parsed
		return nil
	}
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	parsed, err := parseEpoch(string(b))
	if err != nil {
		return err
	}
	*t = parsed
	return nil
}

// timeLayouts are tried in order; fractions are accepted by all of them.
var timeLayouts = [...]string{
	"2006-01-02T15:04:05Z07:00",
	"2006-01-02T15:04:05Z0700",
	"2006-01-02T15:04:05",
	"2006-01-02T15:04Z07:00",
	"2006-01-02T15:04",
	"2006-01-02",
}

// ParseTime reads the text forms of [Time.UnmarshalJSON].
func ParseTime(s string) (Time, error) {
	iso := s
	if len(iso) > 10 && (iso[10] == ' ' || iso[10] == 't') {
		iso = iso[:10] + "T" + iso[11:]
	}
	if strings.HasSuffix(iso, "z") {
		iso = iso[:len(iso)-1] + "Z"
	}
	for _, layout := range timeLayouts {
		if parsed, err := time.Parse(layout, iso); err == nil {
			return storable(NewTime(parsed), s)
		}
	}
	if parsed, err := parseEpoch(s); err == nil {
		return parsed, nil
	}
	return Time{}, fmt.Errorf("%q is not a date and time", s)
}

// millisecondsFrom is where the reference starts to read a number as
// milliseconds instead of seconds.
const millisecondsFrom = 2e10

func parseEpoch(s string) (Time, error) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(n) || math.Abs(n) > 2e14 {
		return Time{}, fmt.Errorf("%q is not a date and time", s)
	}
	if math.Abs(n) > millisecondsFrom {
		n /= 1000
	}
	whole, fraction := math.Modf(n)
	return storable(NewTime(time.Unix(int64(whole), int64(fraction*1e9))), s)
}

// storable refuses a time, written as s, in a year that has not four digits.
func storable(t Time, s string) (Time, error) {
	if year := t.Year(); year < 1 || year > 9999 {
		return Time{}, fmt.Errorf("%q is not in the years from 1 to 9999", s)
	}
	return t, nil
}
