package api

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/interlock-run/interlock/host/api/bind"
	"github.com/interlock-run/interlock/host/prefect"
)

// cronExpression is five fields (minute, hour, day, month, weekday), with seconds
// as a sixth and years as a seventh, or a name like @daily.
type cronExpression string

// UnmarshalBind is called by bind.
func (c *cronExpression) UnmarshalBind(raw []byte, r bind.Reporter) {
	var text string
	if raw[0] != '"' || json.Unmarshal(raw, &text) != nil {
		r.Fail("string_type", "Input should be a valid string", raw)
		return
	}
	if !validCron(text) {
		r.Fail("value_error", "Value error, Invalid cron string", raw)
		return
	}
	*c = cronExpression(text)
}

// cronField is the range of a field and the names that stand for its numbers.
type cronField struct {
	low, high int
	names     string // three letters each, the first for low
}

var cronFields = []cronField{
	{0, 59, ""}, {0, 23, ""}, {1, 31, ""},
	{1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"}, {0, 7, "sunmontuewedthufrisat"},
	{0, 59, ""}, {1970, 2099, ""},
}

func validCron(text string) bool {
	switch strings.ToLower(text) {
	case "@midnight", "@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually":
		return true
	}
	fields := strings.Fields(strings.ToLower(text))
	if len(fields) < 5 || len(fields) > len(cronFields) {
		return false
	}
	for i, f := range fields {
		for part := range strings.SplitSeq(f, ",") {
			if !cronFields[i].valid(part, i) {
				return false
			}
		}
	}
	return true
}

// The places of the two fields that have signs of their own.
const (
	cronDay     = 2
	cronWeekday = 4
)

// valid reports whether part is *, a number or a range, with or without a step.
func (f cronField) valid(part string, place int) bool {
	span, step, stepped := strings.Cut(part, "/")
	if n, err := strconv.Atoi(step); stepped && (err != nil || n < 1) {
		return false
	}
	if span == "*" || span == "?" && (place == cronDay || place == cronWeekday) || span == "l" && place == cronDay {
		return true
	}
	if place == cronWeekday {
		if day, nth, ok := strings.Cut(span, "#"); ok { // the nth such weekday of the month
			n, err := strconv.Atoi(nth)
			_, known := f.number(day)
			return known && err == nil && n >= 1 && n <= 5
		}
		if day, last := strings.CutPrefix(span, "l"); last {
			span = day
		}
	}
	from, to, ranged := strings.Cut(span, "-")
	if _, ok := f.number(from); !ok || !ranged {
		return ok
	}
	_, ok := f.number(to) // one below the other wraps around
	return ok
}

func (f cronField) number(text string) (int, bool) {
	if i := strings.Index(f.names, text); len(text) == 3 && i >= 0 && i%3 == 0 {
		return f.low + i/3, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= f.low && n <= f.high
}

// recurrence is a rule of RFC 5545.
type recurrence string

// longestRecurrence is in bytes.
const longestRecurrence = 6500

// UnmarshalBind is called by bind.
func (c *recurrence) UnmarshalBind(raw []byte, r bind.Reporter) {
	var text string
	if raw[0] != '"' || json.Unmarshal(raw, &text) != nil {
		r.Fail("string_type", "Input should be a valid string", raw)
		return
	}
	if len(text) > longestRecurrence || !validRecurrence(text) {
		r.Fail("value_error", "Value error, Invalid RRule string", raw)
		return
	}
	*c = recurrence(text)
}

// validRecurrence checks the form: lines of known properties, one rule at least,
// and in each rule known parts, the frequency among them.
func validRecurrence(text string) bool {
	rules := 0
	for _, line := range strings.Fields(strings.ToUpper(text)) {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			name, value = "RRULE", line
		}
		property, _, _ := strings.Cut(name, ";")
		switch property {
		case "RRULE", "EXRULE":
			if _, ok := ruleParts(value); !ok {
				return false
			}
			rules++
		case "DTSTART", "RDATE", "EXDATE":
			rules++
		default:
			return false
		}
	}
	return rules > 0
}

// ruleParts returns the parts of one rule. ok is false for one without a known
// frequency, with an unknown part or a number that is none.
func ruleParts(rule string) (parts map[string]string, ok bool) {
	parts = map[string]string{}
	for part := range strings.SplitSeq(rule, ";") {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "FREQ", "UNTIL", "WKST", "BYDAY", "BYWEEKDAY":
		case "INTERVAL", "COUNT":
			if n, err := strconv.Atoi(value); err != nil || n < 0 {
				return nil, false
			}
		case "BYSETPOS", "BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYEASTER", "BYWEEKNO", "BYHOUR", "BYMINUTE", "BYSECOND":
			for n := range strings.SplitSeq(value, ",") {
				if _, err := strconv.Atoi(n); err != nil {
					return nil, false
				}
			}
		default:
			return nil, false
		}
		parts[key] = value
	}
	switch parts["FREQ"] {
	case "YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY":
		return parts, true
	}
	return nil, false
}

// legacyAnchor is where rules without a start begin.
var legacyAnchor = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// anchored gives a rule without a start the one that it has by custom. Rules of
// every second or minute get a later one on the same beat, so that nobody has to
// walk through years of them.
func (c recurrence) anchored(now prefect.Time, zone *string) string {
	text := string(c)
	upper := strings.ToUpper(text)
	if strings.Contains(upper, "DTSTART") {
		return text
	}
	start := legacyAnchor
	parts, ok := ruleParts(strings.TrimPrefix(strings.TrimSpace(upper), "RRULE:"))
	beat := map[string]time.Duration{"SECONDLY": time.Second, "MINUTELY": time.Minute}[parts["FREQ"]]
	if _, counted := parts["COUNT"]; ok && beat > 0 && !counted {
		local := now.Time
		if zone != nil {
			if location, err := time.LoadLocation(*zone); err == nil {
				local = now.In(location)
			}
		}
		wall := time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), local.Second(), 0, time.UTC)
		if since := wall.Sub(start); since > 0 {
			beats := since / beat
			if n, err := strconv.Atoi(parts["INTERVAL"]); err == nil && n > 1 {
				beats -= beats % time.Duration(n)
			}
			start = start.Add(beats * beat)
		}
	}
	return "DTSTART:" + start.Format("20060102T150405") + "\n" + text
}
