// Package twin compares interlock with the reference: the same requests to
// both, replies and rows side by side with ids and times made comparable.
package twin

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/google/uuid"
)

// window is the time in which a request was under way: an instant inside it was
// the server's now of that request.
type window struct {
	name     string
	from, to time.Time
}

// slack covers that instants are cut to microseconds.
const slack = 10 * time.Microsecond

// The delays that the scripts use or the servers have, in seconds. They are so
// far apart that none is taken for another while a script goes on.
const (
	retryDelay    = 700 // retry_delay
	firstDelay    = 400 // the items of a retry_delay that is a list
	secondDelay   = 500
	fractionDelay = 901 // halves of a second
	negativeDelay = -600
	jitterDelay   = 5000 // retry_delay with jitter
	slotWait      = 30   // of a run that waits for a deployment's slot
	leaseTime     = 300  // of a deployment's slot
	graceTime     = 90   // of a deployment's slot where the deployment says so
	tagWait       = 10   // mean of a task run that waits for a tag's slot
)

// delays are what rules add to now.
var delays = []time.Duration{0, retryDelay * time.Second, firstDelay * time.Second, secondDelay * time.Second,
	fractionDelay * time.Second / 2, negativeDelay * time.Second, slotWait * time.Second, leaseTime * time.Second, graceTime * time.Second}

// A random delay of mean m with the factor jitterFactor lies between
// jitterLeast and jitterMost times m.
const (
	jitterFactor = 0.3
	jitterLeast  = 0.75
	jitterMost   = 1 + jitterFactor
)

// normal turns the values of one case on one server into words that are the
// same on the other server if both did the same: an id becomes the order of its
// first sight, an instant the request it fell into.
type normal struct {
	windows []window
	read    *window          // when the run was read back; nil: in the last of windows
	given   map[string]bool  // texts, ids and times that the script sent
	times   map[int64]string // the given times by nanosecond
	ids     map[string]string
	history float64 // seconds in RUNNING by the run's states
}

func newNormal(given map[string]bool) *normal {
	n := &normal{given: given, times: map[int64]string{}, ids: map[string]string{}}
	for text := range given {
		n.know(text)
	}
	return n
}

// know adds to what the script gave.
func (n *normal) know(text string) {
	n.given[text] = true
	if t, err := parseTime(text); err == nil {
		n.times[t.UnixNano()] = t.UTC().Format(time.RFC3339Nano)
	}
}

// flatten writes v to out, a leaf a key: "state.state_details.cache_key".
func (n *normal) flatten(out map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		n.flattenObject(out, path, v)
	case []any:
		out[path+"[]"] = fmt.Sprint(len(v))
		for i, item := range v {
			n.flatten(out, fmt.Sprintf("%s[%d]", path, i), item)
		}
	case string:
		out[path] = n.text(v)
	case json.Number:
		f, _ := v.Float64()
		out[path] = fmt.Sprint(f)
	default:
		out[path] = fmt.Sprint(v)
	}
}

func (n *normal) flattenObject(out map[string]string, path string, v map[string]any) {
	keys := make([]string, 0, len(v))
	for k := range v {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	if len(keys) == 0 {
		out[path+"{}"] = "empty"
	}
	_, isRun := v["expected_start_time"]
	_, isQueue := v["priority"]
	for _, k := range keys {
		at := path + "." + k
		if isQueue && (k == "updated" || k == "status" && v[k] != "PAUSED") {
			out[at] = presence(v[k]) // as for last_polled
			continue
		}
		switch k {
		case "reason":
			out[at] = presence(v[k])
		case "pause_keys":
			out[at] = n.set(v[k])
		case "tags": // the reference unites those of a run and its deployment in any order
			if isRun && v["deployment_id"] != nil {
				out[at] = n.set(v[k])
				continue
			}
			n.flatten(out, at, v[k])
		case "error": // texts are ours
			out[at] = presence(v[k])
		case "last_polled": // a poll is noted down after its reply there
			out[at] = "any"
		case "delay_seconds":
			out[at] = n.delay(v[k])
		case "message":
			if s, ok := v[k].(string); ok && !n.given[s] {
				out[at] = "a text"
				continue
			}
			n.flatten(out, at, v[k])
		case "total_run_time", "estimated_run_time", "estimated_start_time_delta":
			out[at] = "a duration" // of a run whose other columns are not there to tell
			if isRun {
				out[at] = n.duration(k, v)
			}
		default:
			n.flatten(out, at, v[k])
		}
	}
}

// set shows a list whose order means nothing; keys that the script did not give
// are made up by the server.
func (n *normal) set(v any) string {
	list, ok := v.([]any)
	if !ok {
		return fmt.Sprint(v)
	}
	var names []string
	for _, item := range list {
		if s, ok := item.(string); ok && n.given[s] {
			names = append(names, s)
		} else {
			names = append(names, "(made up)")
		}
	}
	sort.Strings(names)
	return "{" + strings.Join(names, " ") + "}"
}

func presence(v any) string {
	if s, ok := v.(string); ok && s != "" {
		return "present"
	}
	return "absent"
}

func (n *normal) text(s string) string {
	if n.given[s] {
		return s
	}
	if id, err := uuid.Parse(s); err == nil && len(s) == 36 {
		return n.id(id.String())
	}
	if t, err := parseTime(s); err == nil {
		return n.instant(t)
	}
	return idWithin.ReplaceAllStringFunc(s, n.id)
}

// idWithin finds an id that is part of a name.
var idWithin = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

func (n *normal) id(id string) string {
	if n.given[id] {
		return id
	}
	name, ok := n.ids[id]
	if !ok {
		name = fmt.Sprintf("id %d", len(n.ids)+1)
		n.ids[id] = name
	}
	return name
}

func parseTime(s string) (time.Time, error) {
	if len(s) < len("2006-01-02T15:04:05") || s[4] != '-' {
		return time.Time{}, fmt.Errorf("no time: %q", s)
	}
	var t time.Time
	var err error
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999Z07:00", "2006-01-02 15:04:05.999999Z07", "2006-01-02 15:04:05.999999"} {
		if t, err = time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return t, err
}

func (n *normal) instant(t time.Time) string {
	if name, ok := n.times[t.UnixNano()]; ok {
		return name
	}
	// The newest request first: windows do not overlap within a case.
	for _, w := range slices.Backward(n.windows) {
		for _, d := range delays {
			at := t.Add(-d)
			if at.After(w.from.Add(-slack)) && at.Before(w.to.Add(slack)) {
				if d == 0 {
					return "time of " + w.name
				}
				return fmt.Sprintf("time of %s + %s", w.name, d)
			}
		}
		if t.After(w.from.Add(time.Duration(jitterDelay*jitterLeast*float64(time.Second)))) && t.Before(w.to.Add(time.Duration(jitterDelay*jitterMost*float64(time.Second)))) {
			return "time of " + w.name + " + jitter"
		}
	}
	return "time " + t.UTC().Format(time.RFC3339)
}

// delay says what a delay reaches to: a time that the script gave, within the
// second that rounding allows.
func (n *normal) delay(v any) string {
	number, ok := v.(json.Number)
	if !ok || len(n.windows) == 0 {
		return fmt.Sprint(v)
	}
	seconds, _ := number.Float64()
	request := n.windows[len(n.windows)-1]
	reaches := func(t time.Time) bool {
		return seconds <= t.Sub(request.from).Seconds()+1 && seconds >= t.Sub(request.to).Seconds()-1
	}
	for at, name := range n.times {
		if reaches(time.Unix(0, at)) {
			return "until " + name
		}
	}
	for _, w := range n.windows {
		for _, d := range delays[1:] {
			if reaches(w.to.Add(d)) {
				return fmt.Sprintf("until time of %s + %s", w.name, d)
			}
		}
	}
	if seconds >= math.Floor(tagWait*jitterLeast) && seconds <= math.Ceil(tagWait*jitterMost) {
		return "a wait for slots"
	}
	if seconds > time.Hour.Seconds() { // until a full hour that a step of a walk gave: no second decides
		return "until " + request.to.Add(time.Duration(seconds)*time.Second).Round(time.Minute).UTC().Format(time.RFC3339)
	}
	return number.String()
}

// duration says where a run's duration comes from.
func (n *normal) duration(key string, run map[string]any) string {
	const close = 0.005
	number := func(k string) float64 {
		if v, ok := run[k].(json.Number); ok {
			f, _ := v.Float64()
			return f
		}
		return 0
	}
	instant := func(k string) (time.Time, bool) {
		s, ok := run[k].(string)
		if !ok {
			return time.Time{}, false
		}
		t, err := parseTime(s)
		return t, err == nil
	}
	got := number(key)
	switch key {
	case "total_run_time":
		if n.history == unknownHistory && got > 0 {
			return "some"
		}
		if math.Abs(got-n.history) < close {
			return "as its states say"
		}
	case "estimated_run_time":
		if math.Abs(got-number("total_run_time")) < close && run["state_type"] != "RUNNING" {
			return "total"
		}
		if run["state_type"] == "RUNNING" && got >= number("total_run_time") {
			return "grows"
		}
	case "estimated_start_time_delta":
		expected, _ := instant("expected_start_time")
		if start, ok := instant("start_time"); ok {
			if math.Abs(got-math.Max(0, start.Sub(expected).Seconds())) < close {
				return "start - expected"
			}
			break
		}
		if got == 0 {
			return "0"
		}
		if read := n.reading(); got > read.from.Sub(expected).Seconds()-close && got < read.to.Sub(expected).Seconds()+close {
			return "grows"
		}
	}
	return fmt.Sprintf("%.2f", got)
}

// reading is the window of the request whose reply is looked at.
func (n *normal) reading() window {
	if n.read != nil {
		return *n.read
	}
	return n.windows[len(n.windows)-1]
}

// unknownHistory stands for a run whose states were not read.
const unknownHistory = -1

// difference is one leaf that is not the same.
type difference struct {
	path      string
	ref, ours string
}

func (d difference) String() string {
	return fmt.Sprintf("%s: reference %q, ours %q", d.path, d.ref, d.ours)
}

const missing = "(missing)"

// compare returns the leaves that differ, in order.
func compare(ref, ours map[string]string) []difference {
	var all []difference
	for path, r := range ref {
		o, ok := ours[path]
		if !ok {
			o = missing
		}
		if r != o {
			all = append(all, difference{path, r, o})
		}
	}
	for path, o := range ours {
		if _, ok := ref[path]; !ok {
			all = append(all, difference{path, missing, o})
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].path < all[j].path })
	return all
}
