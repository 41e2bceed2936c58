package sdk

import (
	"strconv"

	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/value"
)

// Rule is one rule of a module.
type Rule struct {
	Name        string // unique in the module; ASCII without spaces
	Description string
	RunType     RunType
	From        StateType // the initial types that it is asked about
	To          StateType // the types as the client proposed them
	Kind        Kind
	Phase       Phase
	// Needs are what has to be there for the rule to have anything to say: names of
	// the contract's list (abi.NeedDeployment, ...). Where one is missing the rule
	// is not asked and costs nothing.
	Needs []string
	// Facts are what the rule needs to know besides the run: names of the
	// contract's list (abi.FactAttempts, "recent_outcomes:3600", ...). Each costs
	// the host a read.
	Facts []string
	// Effects are what the rule may ask for: names of the contract's list
	// (abi.EffectEmitEvent, ...). One that is not declared is a policy error: who
	// installs a module can see what it may do.
	Effects []string
	// ConfigSchema is a JSON Schema of the rule's config; "" for a rule without.
	ConfigSchema string
	Evaluate     func(*Context) Decision
}

// Module is a policy module. It answers one call at a time.
type Module struct {
	Name        string
	Version     string
	Description string
	Rules       []Rule

	context Context
	doc     value.Doc
	out     []byte
}

// What a module has at hand from the start, so that a call of usual size
// allocates nothing.
const (
	usualInput = 16 << 10 // beyond it memory is not kept for the next call
	usualNodes = 512
)

// Serve makes m the module that this program exports, and returns it for tests.
// It is called once, in a package variable's initialisation.
func Serve(m Module) *Module {
	m.doc.Grow(usualNodes)
	m.out = make([]byte, 0, usualInput/2)
	serve(&m)
	return &m
}

// Manifest returns the module's manifest as JSON.
func (m *Module) Manifest() []byte {
	b := append([]byte(nil), `{"abi":`...)
	b = strconv.AppendInt(b, abi.Version, 10)
	b = value.AppendString(append(b, `,"name":`...), m.Name)
	b = value.AppendString(append(b, `,"version":`...), m.Version)
	b = value.AppendString(append(b, `,"description":`...), m.Description)
	b = append(b, `,"rules":[`...)
	for i := range m.Rules {
		if i > 0 {
			b = append(b, ',')
		}
		b = m.Rules[i].appendManifest(b)
	}
	return append(b, `]}`...)
}

func (r *Rule) appendManifest(b []byte) []byte {
	b = value.AppendString(append(b, `{"name":`...), r.Name)
	b = value.AppendString(append(b, `,"description":`...), r.Description)
	b = value.AppendString(append(b, `,"run_type":`...), r.RunType.String())
	b = appendStateTypes(append(b, `,"from":`...), r.From)
	b = appendStateTypes(append(b, `,"to":`...), r.proposedTypes())
	b = value.AppendString(append(b, `,"kind":`...), r.Kind.String())
	b = value.AppendString(append(b, `,"phase":`...), r.Phase.String())
	if len(r.Needs) > 0 {
		b = appendTexts(append(b, `,"needs":`...), r.Needs)
	}
	b = appendTexts(append(b, `,"facts":`...), r.Facts)
	if len(r.Effects) > 0 {
		b = appendTexts(append(b, `,"effects":`...), r.Effects)
	}
	if r.ConfigSchema != "" {
		b = append(append(b, `,"config_schema":`...), r.ConfigSchema...)
	}
	return append(b, '}')
}

func appendTexts(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = value.AppendString(b, s)
	}
	return append(b, ']')
}

// proposedTypes is To without no state, which nobody proposes.
func (r *Rule) proposedTypes() StateType {
	if r.To == AnyState {
		return AnyState
	}
	return r.To &^ NoState
}

func appendStateTypes(b []byte, set StateType) []byte {
	if set == AnyState {
		return append(b, `["*"]`...)
	}
	b = append(b, '[')
	for t := Scheduled; t <= NoState; t <<= 1 {
		if !t.In(set) {
			continue
		}
		if b[len(b)-1] != '[' {
			b = append(b, ',')
		}
		if t == NoState {
			b = append(b, "null"...)
		} else {
			b = value.AppendString(b, t.String())
		}
	}
	return append(b, ']')
}

// Evaluate answers the context of a call, as JSON, with a verdict. It is total:
// for a context that it cannot read, a rule that it does not have or one that
// panics, the verdict has an error. The verdict is good until the next call.
func (m *Module) Evaluate(in []byte) []byte {
	m.out = append(m.out[:0], `{"decisions":[`...)
	failure := m.decide(in)
	m.out = append(m.out, ']')
	if failure != "" {
		m.out = value.AppendString(append(m.out, `,"error":`...), failure)
	}
	out := append(m.out, '}')
	m.out = out
	if len(in) > usualInput {
		m.doc, m.out, m.context = value.Doc{}, nil, Context{}
	}
	return out
}

// decide appends the decisions of the rules asked, up to one that fails.
func (m *Module) decide(in []byte) (failure string) {
	root, err := m.doc.Parse(in)
	if err != nil {
		return "the context is not JSON: " + err.Error()
	}
	c := &m.context
	if failure = c.read(root); failure != "" {
		return failure
	}
	rules := c.members[rootRules]
	last := rules.Len() - 1
	for i, asked := range rules.Elements() {
		rule := m.find(asked.Get("name"))
		if rule == nil {
			name, _ := asked.Get("name").Text()
			return "this module has no rule " + strconv.Quote(name)
		}
		answered := len(m.out)
		if i > 0 {
			m.out = append(m.out, ',')
		}
		if failure = m.ask(c, rule, asked.Get("config"), i == last); failure != "" {
			m.out = m.out[:answered]
			return rule.Name + ": " + failure
		}
	}
	return ""
}

func (m *Module) find(asked value.Value) *Rule {
	var scratch [abi.MaxName]byte
	name := asked.AppendText(scratch[:0])
	for i := range m.Rules {
		if string(name) == m.Rules[i].Name {
			return &m.Rules[i]
		}
	}
	return nil
}

// ask appends the decision of one rule.
func (m *Module) ask(c *Context, rule *Rule, config value.Value, last bool) (failure string) {
	if rule.Phase != c.phase {
		return "asked in phase " + c.phase.String()
	}
	if rule.Kind == Intervening && c.phase == Before && c.proposed.Type() != c.intended {
		m.out = value.AppendString(append(m.out, `{"rule":`...), rule.Name)
		m.out = append(m.out, `,"decision":"SKIPPED"}`...)
		return ""
	}
	c.config, c.chance = config, Chance{}
	c.rule = rule
	d, failure := evaluate(c, rule)
	if failure != "" {
		return failure
	}
	m.out = d.append(m.out, rule.Name)
	if !last {
		c.apply(&d)
	}
	return ""
}

// evaluate keeps a rule's panic to itself.
func evaluate(c *Context, rule *Rule) (d Decision, failure string) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case error:
			failure = "panic: " + p.Error()
		case string:
			failure = "panic: " + p
		default:
			failure = "panic"
		}
	}()
	return rule.Evaluate(c), ""
}
