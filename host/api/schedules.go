package api

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // names of time zones mean the same wherever this runs

	"github.com/interlock-run/interlock/host/api/bind"
	"github.com/interlock-run/interlock/host/prefect"
)

// scheduleSpec is one of the schemas IntervalSchedule, CronSchedule and
// RRuleSchedule.
type scheduleSpec struct {
	interval *intervalSchedule
	cron     *cronSchedule
	rrule    *rruleSchedule
}

type intervalSchedule struct {
	_          struct{}                       `bind:"forbid"`
	Interval   interval                       `json:"interval" bind:"required"`
	AnchorDate prefect.Optional[prefect.Time] `json:"anchor_date"`
	Timezone   *string                        `json:"timezone"`
}

type cronSchedule struct {
	_        struct{}       `bind:"forbid"`
	Cron     cronExpression `json:"cron" bind:"required"`
	Timezone *string        `json:"timezone"`
	DayOr    bool           `json:"day_or"`
}

// SetDefaults is called by bind.
func (c *cronSchedule) SetDefaults() { c.DayOr = true }

type rruleSchedule struct {
	_        struct{}   `bind:"forbid"`
	RRule    recurrence `json:"rrule" bind:"required"`
	Timezone zoneName   `json:"timezone"`
}

// SetDefaults is called by bind.
func (c *rruleSchedule) SetDefaults() { utc := "UTC"; c.Timezone = zoneName{&utc} }

// zoneName is the name of a time zone, or null.
type zoneName struct{ name *string }

// UnmarshalBind is called by bind.
func (z *zoneName) UnmarshalBind(raw []byte, r bind.Reporter) {
	var name *string
	if refused := r.Try(raw, &name); len(refused) > 0 {
		r.Report(refused)
		return
	}
	if name != nil && !knownZone(*name) {
		r.Fail("string_pattern_mismatch", "String should be the name of a time zone", raw)
		return
	}
	z.name = name
}

// CheckBind is called by bind.
func (c *intervalSchedule) CheckBind(r bind.Reporter) { checkZone(c.Timezone, r) }

// CheckBind is called by bind.
func (c *cronSchedule) CheckBind(r bind.Reporter) { checkZone(c.Timezone, r) }

func checkZone(name *string, r bind.Reporter) {
	if name != nil && *name != "" && !knownZone(*name) {
		r.Fail("value_error", "Value error, Invalid timezone (specify in IANA tzdata format, for example, America/New_York)", appendString(nil, *name))
	}
}

func knownZone(name string) bool {
	_, err := time.LoadLocation(name)
	return err == nil && name != "" && name != "Local"
}

// The places of the schemas in the reference's list of what was refused.
const (
	intervalPlace = "function-after[validate_timezone(), IntervalSchedule]"
	cronPlace     = "function-after[validate_timezone(), CronSchedule]"
	rrulePlace    = "RRuleSchedule"
)

// UnmarshalBind is called by bind.
func (s *scheduleSpec) UnmarshalBind(raw []byte, r bind.Reporter) {
	*s = scheduleSpec{}
	var i intervalSchedule
	var c cronSchedule
	var rr rruleSchedule
	refused := r.Try(raw, &i, intervalPlace)
	if len(refused) == 0 {
		s.interval = &i
		return
	}
	more := r.Try(raw, &c, cronPlace)
	if len(more) == 0 {
		s.cron = &c
		return
	}
	refused = append(refused, more...)
	if more = r.Try(raw, &rr, rrulePlace); len(more) == 0 {
		s.rrule = &rr
		return
	}
	r.Report(append(refused, more...))
}

// maybeSchedule is a scheduleSpec or null, which is none.
type maybeSchedule struct{ scheduleSpec }

// UnmarshalBind is called by bind.
func (s *maybeSchedule) UnmarshalBind(raw []byte, r bind.Reporter) {
	if raw[0] != 'n' {
		s.scheduleSpec.UnmarshalBind(raw, r)
	}
}

// none reports whether there is no schedule.
func (s *scheduleSpec) none() bool { return s.interval == nil && s.cron == nil && s.rrule == nil }

// stored returns the schedule as it is kept: an anchor that was not given is now.
func (s *scheduleSpec) stored(now prefect.Time) json.RawMessage {
	var b []byte
	switch {
	case s.interval != nil:
		anchor, zone := now, "UTC"
		if s.interval.AnchorDate.Set {
			anchor = s.interval.AnchorDate.Value
		}
		if s.interval.Timezone != nil {
			zone = *s.interval.Timezone
		}
		b = appendSeconds([]byte(`{"interval":`), float64(s.interval.Interval))
		b = appendTime(append(b, `,"anchor_date":`...), anchor)
		b = appendString(append(b, `,"timezone":`...), zone)
	case s.cron != nil:
		b = appendString([]byte(`{"cron":`), string(s.cron.Cron))
		b = appendStringPtr(append(b, `,"timezone":`...), s.cron.Timezone)
		b = appendBool(append(b, `,"day_or":`...), s.cron.DayOr)
	case s.rrule != nil:
		b = appendString([]byte(`{"rrule":`), s.rrule.RRule.anchored(now, s.rrule.Timezone.name))
		b = appendStringPtr(append(b, `,"timezone":`...), s.rrule.Timezone.name)
	default:
		return nil
	}
	return append(b, '}')
}

// interval is a number of seconds, above 0: a JSON number, or a duration of ISO
// 8601 or like "1 day, 02:30:00".
type interval float64

const longestInterval = 999999999 * 24 * 3600 // seconds

// UnmarshalBind is called by bind.
func (i *interval) UnmarshalBind(raw []byte, r bind.Reporter) {
	var seconds float64
	ok := false
	switch raw[0] {
	case '"':
		var text string
		ok = json.Unmarshal(raw, &text) == nil
		if ok {
			seconds, ok = parseDuration(text)
		}
	case 't', 'f': // Python's true is 1
		ok = true
		if raw[0] == 't' {
			seconds = 1
		}
	case 'n', '{', '[':
		r.Fail("time_delta_type", "Input should be a valid timedelta", raw)
		return
	default:
		f, err := strconv.ParseFloat(string(raw), 64)
		seconds, ok = f, err == nil
	}
	switch {
	case !ok || seconds > longestInterval || seconds < -longestInterval:
		r.Fail("time_delta_parsing", "Input should be a valid timedelta", raw)
	case seconds <= 0:
		r.Fail("value_error", "Value error, interval must be positive", raw)
	default:
		*i = interval(seconds)
	}
}

var (
	isoDuration   = regexp.MustCompile(`^([+-]?)P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:[.,]\d+)?)S)?)?$`)
	clockDuration = regexp.MustCompile(`^([+-]?)(?:(\d+) ?(?:d|days?),? ?)?(?:(\d+):(\d+)(?::(\d+(?:\.\d+)?))?)?$`)
)

// parseDuration returns seconds.
func parseDuration(s string) (float64, bool) {
	units := []float64{7 * 24 * 3600, 24 * 3600, 3600, 60, 1}
	m := isoDuration.FindStringSubmatch(s)
	if m == nil {
		m, units = clockDuration.FindStringSubmatch(s), units[1:]
	}
	if m == nil || strings.Trim(s, "+-PT") == "" {
		return 0, false
	}
	total := 0.0
	for n, text := range m[2:] {
		if text == "" {
			continue
		}
		f, err := strconv.ParseFloat(strings.Replace(text, ",", ".", 1), 64)
		if err != nil {
			return 0, false
		}
		total += f * units[n]
	}
	if m[1] == "-" {
		total = -total
	}
	return total, true
}
