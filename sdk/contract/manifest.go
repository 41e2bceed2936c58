package contract

import (
	"errors"
	"slices"
	"strconv"

	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/value"
)

// MaxManifest bounds a manifest in bytes, MaxRules its rules.
const (
	MaxManifest = 256 << 10
	MaxRules    = 256
)

// ParseManifest reads a manifest and checks all of it but the schemas, of which
// it checks that they are objects. Kind and Phase are filled where they are left
// to their defaults.
func ParseManifest(text []byte) (*abi.Manifest, error) {
	if len(text) > MaxManifest {
		return nil, errors.New("the manifest is larger than " + strconv.Itoa(MaxManifest) + " bytes")
	}
	v, err := value.Parse(text)
	if err != nil {
		return nil, errors.New("the manifest is not JSON: " + err.Error())
	}
	r := reader{locate: true}
	m := new(abi.Manifest)
	r.object("manifest", v, func(key, path string, v value.Value) bool {
		switch key {
		case "abi":
			m.ABI = r.int(path, v, abi.Version, abi.Version)
		case "name":
			m.Name = r.name(path, v)
		case "version":
			m.Version = r.text(path, v)
		case "description":
			m.Description = r.text(path, v)
		case "rules":
			r.elements(path, v, func(path string, v value.Value) {
				rule := r.rule(path, v)
				if r.err == nil && m.Rule(rule.Name) != nil {
					r.fail(path, "there are two rules "+strconv.Quote(rule.Name))
				}
				m.Rules = append(m.Rules, rule)
			})
		default:
			return false
		}
		return true
	})
	switch {
	case m.ABI == 0:
		r.fail("manifest", "abi is missing")
	case m.Name == "":
		r.fail("manifest", "name is missing")
	case len(m.Rules) == 0:
		r.fail("manifest", "there are no rules")
	case len(m.Rules) > MaxRules:
		r.fail("manifest", "there are more than "+strconv.Itoa(MaxRules)+" rules")
	}
	if r.err != nil {
		return nil, r.err
	}
	return m, nil
}

// name reads the name of a module or a rule: printable ASCII without spaces or
// quotes, as it goes into URLs, logs and command lines.
func (r *reader) name(path string, v value.Value) string {
	s := r.text(path, v)
	if r.err != nil {
		return s
	}
	if s == "" || len(s) > abi.MaxName {
		r.fail(path, "not 1 to "+strconv.Itoa(abi.MaxName)+" characters long")
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || c == '"' || c == '\'' || c == '\\' || c == '/' {
			r.fail(path, strconv.Quote(s)+" has characters that a name cannot have")
		}
	}
	return s
}

func (r *reader) rule(path string, v value.Value) abi.RuleManifest {
	rule := abi.RuleManifest{Kind: abi.KindRule, Phase: abi.PhaseBefore}
	r.object(path, v, func(key, path string, v value.Value) bool {
		switch key {
		case "name":
			rule.Name = r.name(path, v)
		case "description":
			rule.Description = r.text(path, v)
		case "run_type":
			rule.RunType = r.oneOf(path, v, abi.RunTypeFlow, abi.RunTypeTask, abi.AnyType)
		case "from":
			rule.From = r.stateTypes(path, v)
		case "to":
			rule.To = r.stateTypes(path, v)
		case "kind":
			rule.Kind = r.oneOf(path, v, abi.KindRule, abi.KindTransform)
		case "phase":
			rule.Phase = r.oneOf(path, v, abi.PhaseBefore, abi.PhaseAfter)
		case "needs":
			rule.Needs = r.texts(path, v, func(path, need string) {
				if !abi.KnownNeed(need) {
					r.fail(path, "there is no need "+strconv.Quote(need))
				}
			})
		case "facts":
			rule.Facts = r.texts(path, v, func(path, fact string) {
				if _, _, ok := abi.ParseFact(fact); !ok {
					r.fail(path, "there is no fact "+strconv.Quote(fact))
				}
			})
		case "effects":
			rule.Effects = r.texts(path, v, func(path, effect string) {
				if !slices.Contains(abi.Effects(), effect) {
					r.fail(path, "there is no effect "+strconv.Quote(effect))
				}
			})
		case "config_schema":
			rule.ConfigSchema = r.objectText(path, v)
		default:
			return false
		}
		return true
	})
	switch {
	case rule.Name == "":
		r.fail(path, "name is missing")
	case rule.RunType == "":
		r.fail(path, "run_type is missing")
	case len(rule.From) == 0:
		r.fail(path, "from is missing or empty")
	case len(rule.To) == 0:
		r.fail(path, "to is missing or empty")
	}
	return rule
}

func (r *reader) stateTypes(path string, v value.Value) []*string {
	var types []*string
	r.elements(path, v, func(path string, v value.Value) {
		t := r.optionalText(path, v)
		if t != nil && *t != abi.AnyType && !abi.KnownStateType(*t) {
			r.fail(path, "there is no state type "+strconv.Quote(*t))
		}
		types = append(types, t)
	})
	return types
}
