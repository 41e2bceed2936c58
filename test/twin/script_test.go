package twin

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/google/uuid"
)

// object is a JSON object.
type object = map[string]any

// kind is one of the two kinds of runs, and where they are found.
type kind struct {
	name  string
	path  string // below /api
	table string
}

var (
	flowRuns = &kind{"flow run", "/flow_runs/", "flow_run"}
	taskRuns = &kind{"task run", "/task_runs/", "task_run"}
)

// proposal is one set_state request.
type proposal struct {
	state   object
	force   bool
	version string // API version; "" sends no header
	agent   string // User-Agent; "" sends Go's, which names no client
}

func (p proposal) String() string {
	raw, _ := json.Marshal(p.state)
	text := string(raw)
	if p.force {
		text += " force"
	}
	if p.version != "" {
		text += " api=" + p.version
	}
	if p.agent != "" {
		text += " by " + p.agent
	}
	return text
}

// script is one case: a run in its initial state, what stands around it, and
// what is proposed. The rows are written to both databases alike, ids and times
// included.
type script struct {
	name     string
	kind     *kind
	initial  object // nil: a run without a state
	policy   object // empirical_policy
	runCount int
	pid      string // infrastructure_pid
	world    world
	prelude  []proposal // made before the one that is looked at
	drop     bool       // the run's lease is given back in between
	holds    bool       // the run holds a slot of its deployment by then
	change   string     // SQL in between; $1 is the id of the run's first limit
	proposal proposal
	walk     bool // the proposal is the last of many
	// expect is what interlock must show where the reference fails with 500.
	expect map[string]string
}

// initialType and proposedType are "" for none.
func (s *script) initialType() string  { return str(s.initial["type"]) }
func (s *script) proposedType() string { return str(s.proposal.state["type"]) }

// id returns the id of what plays a part in the script, the same in every run.
func (s *script) id(role string) string {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(s.kind.name+"\x00"+s.name+"\x00"+role)).String()
}

// detail returns a field of a state's details, nil if it has none.
func detail(state object, name string) any {
	d, _ := state["state_details"].(object)
	return d[name]
}

// pauseIsOver reports whether the initial state's pause timed out.
func (s *script) pauseIsOver() bool {
	t, err := parseTime(str(detail(s.initial, "pause_timeout")))
	return err == nil && t.Before(time.Now())
}

// before is how [normal] shows the time of what was arranged.
func before(base time.Time) string { return stamp(base.Add(-3 * time.Hour)) }

// stamp writes an instant as the scripts do.
func stamp(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

// when returns a fixed instant that is far from now, so that no window holds it.
func when(base time.Time, d time.Duration) string { return stamp(base.Add(d).Truncate(time.Hour)) }

func str(v any) string {
	s, _ := v.(string)
	return s
}

// state makes a state of a kind with more fields.
func state(kind string, more ...object) object {
	s := object{"type": kind}
	for _, m := range more {
		maps.Copy(s, m)
	}
	return s
}

func named(name string) object { return object{"name": name} }

func details(d object) object { return object{"state_details": d} }

// nameOf is the name that a state has, or gets.
func nameOf(state object) string {
	if name := str(state["name"]); name != "" {
		return name
	}
	kind := str(state["type"])
	if kind == "" {
		return ""
	}
	return kind[:1] + strings.ToLower(kind[1:])
}

// given collects every text in what the script sends.
func given(parts ...any) map[string]bool {
	all := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case object:
			for _, item := range v {
				walk(item)
			}
		case []any:
			for _, item := range v {
				walk(item)
			}
		case []string:
			for _, item := range v {
				all[item] = true
			}
		case string:
			all[v] = true
		}
	}
	for _, p := range parts {
		walk(p)
	}
	return all
}

// given collects every text of the script.
func (s *script) given(base time.Time) map[string]bool {
	parts := []any{s.name, before(base), s.initial, s.policy, s.pid, s.proposal.state, s.world.flow}
	for _, p := range s.prelude {
		parts = append(parts, p.state)
	}
	for _, t := range s.world.tags {
		parts = append(parts, s.tag(t))
	}
	if c := s.world.cache; c != nil {
		parts = append(parts, c.state, c.expires)
	}
	return given(parts...)
}

// tag is a tag's name in this script alone, so that scripts do not share limits.
func (s *script) tag(t tag) string { return fmt.Sprintf("%s-%s", t.name, s.id("tag")[:13]) }
