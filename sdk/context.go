package sdk

import (
	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/value"
)

// Context is what a rule is asked about. It is good for one call.
type Context struct {
	root       value.Value
	members    [rootMembers]value.Value
	transition [transitionMembers]value.Value
	rule       *Rule
	config     value.Value
	phase      Phase
	now        Time
	intended   StateType
	initial    State
	proposed   State
	run        Run
	chance     Chance
}

// The members of a context and of its transition, in the order in which the host
// writes them: so they are found in one walk.
const (
	rootABI = iota
	rootPhase
	rootNow
	rootSeed
	rootRunType
	rootRules
	rootTransition
	rootRun
	rootFacts
	rootMembers
)

const (
	transitionID = iota
	transitionInitial
	transitionProposed
	transitionIntended
	transitionForce
	transitionClient
	transitionMembers
)

var (
	rootKeys       = []string{"abi", "phase", "now", "seed", "run_type", "rules", "transition", "run", "facts"}
	transitionKeys = []string{"id", "initial_state", "proposed_state", "intended_type", "force", "client"}
)

// read takes from a context what every rule needs, and returns what is wrong
// with it.
func (c *Context) read(root value.Value) (failure string) {
	*c = Context{root: root}
	root.Pick(rootKeys, c.members[:])
	if version, ok := c.members[rootABI].Int(); !ok || version != abi.Version {
		return "the context's abi is not 1"
	}
	var ok bool
	if c.now, ok = c.members[rootNow].Time(); !ok {
		return "the context's now is not a time"
	}
	switch phase := c.members[rootPhase]; {
	case phase.Is(abi.PhaseBefore), phase.IsNull():
	case phase.Is(abi.PhaseAfter):
		c.phase = After
	default:
		return "the context's phase is unknown"
	}
	if c.members[rootRules].Kind() != value.Array {
		return "the context's rules are not a list"
	}
	if c.members[rootTransition].Kind() != value.Object || c.members[rootRun].Kind() != value.Object {
		return "the context lacks a transition or a run"
	}
	c.members[rootTransition].Pick(transitionKeys, c.transition[:])
	if !c.initial.read(c.transition[transitionInitial]) {
		return "the context's initial_state is not a state"
	}
	if !c.proposed.read(c.transition[transitionProposed]) {
		return "the context's proposed_state is not a state"
	}
	c.intended = c.proposed.Type()
	if intended := c.transition[transitionIntended]; !intended.IsNull() {
		if c.intended = stateTypeOf(intended); c.intended == 0 {
			return "the context's intended_type is not a state type"
		}
	}
	c.run.fields = c.members[rootRun]
	return ""
}

// apply makes what d changes visible to the rules after it.
func (c *Context) apply(d *Decision) {
	if c.phase == Before {
		switch d.kind {
		case accept:
			c.proposed.patch(&d.state)
		case reject:
			c.proposed = c.made(&d.state)
		default:
			c.proposed = State{}
		}
	}
	// What comes with an outcome that writes nothing is dropped by the host.
	if c.proposed.Exists() {
		c.run.patch(d)
	}
}

// made returns a state that a rule made, as the rules after it see it.
func (c *Context) made(s *NewState) State {
	if s.Type == 0 {
		return State{}
	}
	made := State{typ: s.Type, made: abi.ResultNone}
	made.name.set(s.Type.defaultName())
	if s.MessageFrom != 0 {
		made.message = c.source(s.MessageFrom).wholeMessage()
	}
	if s.DataFrom != 0 {
		made.made = c.source(s.DataFrom).Result()
	}
	made.patch(s)
	return made
}

func (c *Context) source(from Source) *State {
	switch from {
	case FromProposed:
		return &c.proposed
	case FromInitial:
		return &c.initial
	}
	cached, _ := c.CachedState()
	return cached
}

// Now returns the time of the decision: the only clock there is.
func (c *Context) Now() Time { return c.now }

// Chance returns this rule's source of chance. The same transition has the same
// chance, for each rule its own.
func (c *Context) Chance() *Chance {
	if !c.chance.seeded {
		c.chance = newChance(c.members[rootSeed], c.rule.Name)
	}
	return &c.chance
}

// Config returns the entry's settings.
func (c *Context) Config() Config { return Config{c.config} }

// Initial returns the run's current state.
func (c *Context) Initial() *State { return &c.initial }

// Proposed returns the state that is to be written, as the rules before this one
// left it. After a Reject that keeps, a Wait or an Abort it does not exist, which
// only transforms get to see.
func (c *Context) Proposed() *State { return &c.proposed }

// IntendedType returns the type that the client proposed.
func (c *Context) IntendedType() StateType { return c.intended }

// Final returns, in the After phase, the state that will be written.
func (c *Context) Final() *State {
	final := new(State)
	if !final.read(c.root.Get("final").Get("state")) {
		return new(State)
	}
	return final
}

// Rejected reports, in the After phase, whether the state that will be written is
// another than the client's.
func (c *Context) Rejected() bool { return c.root.Get("final").Get("status").Is(abi.Reject) }

// Run returns the run, as the rules before this one left it.
func (c *Context) Run() *Run { return &c.run }

// RunType returns the kind of the run.
func (c *Context) RunType() RunType {
	if c.members[rootRunType].Is(abi.RunTypeTask) {
		return TaskRun
	}
	return FlowRun
}

// Force reports whether the client asked for its state to be set by force.
func (c *Context) Force() bool {
	force, _ := c.transition[transitionForce].Bool()
	return force
}

// TransitionID returns the id that the client gave to its proposal, "" for none.
func (c *Context) TransitionID() string {
	id, _ := c.transition[transitionID].Text()
	return id
}

// ClientVersion returns the version of the client's library.
func (c *Context) ClientVersion() Version {
	client := c.transition[transitionClient]
	pre, _ := client.Get("prerelease").Bool()
	return Version{text: client.Get("version"), release: client.Get("release"), prerelease: pre}
}

// APIVersion returns the version of the API that the client speaks.
func (c *Context) APIVersion() Version {
	client := c.transition[transitionClient]
	return Version{text: client.Get("api_version"), release: client.Get("api_release")}
}

// Fact returns a fact by the name under which the rule declares it; null when
// what it is about does not exist.
func (c *Context) Fact(name string) Value { return c.members[rootFacts].Get(name) }

// CachedState returns the state of the fact cached_state; found is false when
// nothing is cached.
func (c *Context) CachedState() (s *State, found bool) {
	s = new(State)
	if !s.read(c.Fact(abi.FactCachedState)) {
		return new(State), false
	}
	return s, s.Exists()
}

// Config is an entry's settings. The host has checked them against the rule's
// schema; the fallback is for what is left out.
type Config struct{ fields value.Value }

// Get returns a setting.
func (c Config) Get(key string) Value { return c.fields.Get(key) }

// Float returns a number.
func (c Config) Float(key string, fallback float64) float64 {
	if f, ok := c.fields.Get(key).Float(); ok {
		return f
	}
	return fallback
}

// Int returns a whole number.
func (c Config) Int(key string, fallback int) int {
	if n, ok := c.fields.Get(key).Int(); ok && n == int64(int(n)) {
		return int(n)
	}
	return fallback
}

// Text returns a text.
func (c Config) Text(key, fallback string) string {
	if s, ok := c.fields.Get(key).Text(); ok {
		return s
	}
	return fallback
}

// Bool returns a bool.
func (c Config) Bool(key string, fallback bool) bool {
	if b, ok := c.fields.Get(key).Bool(); ok {
		return b
	}
	return fallback
}

// Version is a version of a client or of the API.
type Version struct {
	text       value.Value
	release    value.Value
	prerelease bool
}

// Known reports whether the client told a version that can be read.
func (v Version) Known() bool { return v.release.Kind() == value.Array }

// Is reports whether the client told this very version.
func (v Version) Is(text string) bool { return v.Known() && v.text.Is(text) }

// AtLeast compares with a release, as Python orders versions: 3.4.11rc1 is less
// than 3.4.11. A version that is not known is not at least any.
func (v Version) AtLeast(release ...int) bool {
	if !v.Known() {
		return false
	}
	order := v.compare(release)
	return order > 0 || order == 0 && !v.prerelease
}

// compare compares the numbers alone; what is left out counts as 0.
func (v Version) compare(release []int) int {
	for i, part := range v.release.Elements() {
		n, _ := part.Int()
		other := int64(0)
		if i < len(release) {
			other = int64(release[i])
		}
		if n != other {
			if n < other {
				return -1
			}
			return 1
		}
	}
	for i := v.release.Len(); i < len(release); i++ {
		if release[i] > 0 {
			return -1
		}
	}
	return 0
}
