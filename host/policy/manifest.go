package policy

import (
	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/value"
)

const (
	maxRules       = 64
	maxDescription = 4096
	maxFacts       = 32
)

// readManifest reads what a module says of itself. The error names the field.
func readManifest(text []byte) (*abi.Manifest, error) {
	root, err := value.Parse(text)
	if err != nil {
		return nil, wrong("is not JSON: %v", err)
	}
	if err := noDuplicates(root); err != nil {
		return nil, err
	}
	m := &abi.Manifest{}
	err = fields(root, func(key string, v value.Value) error {
		switch key {
		case "abi":
			return readInt(v, abi.Version, abi.Version, &m.ABI)
		case "name":
			return readName(v, abi.MaxName, &m.Name)
		case "version":
			return readText(v, abi.MaxName, &m.Version)
		case "description":
			return readText(v, maxDescription, &m.Description)
		case "rules":
			return elements(v, maxRules, func(v value.Value) error {
				rule, err := readRule(v)
				if err == nil && m.Rule(rule.Name) != nil {
					return at("name", wrong("%q is the name of another rule too", rule.Name))
				}
				m.Rules = append(m.Rules, rule)
				return err
			})
		}
		return errUnknownField
	})
	switch {
	case err != nil:
		return nil, err
	case m.ABI == 0:
		return nil, at("abi", wrong("is missing"))
	case m.Name == "":
		return nil, at("name", wrong("is missing"))
	case len(m.Rules) == 0:
		return nil, at("rules", wrong("is empty: a module has at least one rule"))
	}
	return m, nil
}

func readRule(v value.Value) (abi.RuleManifest, error) {
	r := abi.RuleManifest{Kind: abi.KindRule, Phase: abi.PhaseBefore}
	err := fields(v, func(key string, v value.Value) error {
		switch key {
		case "name":
			return readName(v, abi.MaxName, &r.Name)
		case "description":
			return readText(v, maxDescription, &r.Description)
		case "run_type":
			return readWord(v, &r.RunType, abi.RunTypeFlow, abi.RunTypeTask, abi.AnyType)
		case "from":
			return readTypes(v, &r.From)
		case "to":
			return readTypes(v, &r.To)
		case "kind":
			return readWord(v, &r.Kind, abi.KindRule, abi.KindTransform)
		case "phase":
			return readWord(v, &r.Phase, abi.PhaseBefore, abi.PhaseAfter)
		case "facts":
			return readFacts(v, &r.Facts)
		case "config_schema":
			if !v.IsNull() {
				r.ConfigSchema = append(abi.Raw(nil), v.Raw()...)
			}
			return nil
		}
		return errUnknownField
	})
	switch {
	case err != nil:
	case r.Name == "":
		err = at("name", wrong("is missing"))
	case r.RunType == "":
		err = at("run_type", wrong("is missing"))
	case len(r.From) == 0:
		err = at("from", wrong("is missing or empty"))
	case len(r.To) == 0:
		err = at("to", wrong("is missing or empty"))
	}
	return r, err
}

// readWord reads one of a closed list.
func readWord(v value.Value, dst *string, words ...string) error {
	for _, word := range words {
		if v.Is(word) {
			*dst = word
			return nil
		}
	}
	return wrong("is none of %q", words)
}

// readTypes reads a from or to list.
func readTypes(v value.Value, dst *[]*string) error {
	return elements(v, len(abi.StateTypes())+2, func(v value.Value) error {
		if v.Kind() == value.Null {
			*dst = append(*dst, nil)
			return nil
		}
		text, ok := v.Text()
		if !ok || text != abi.AnyType && !abi.KnownStateType(text) {
			return wrong("is no state type, nor null or %q", abi.AnyType)
		}
		*dst = append(*dst, &text)
		return nil
	})
}

func readFacts(v value.Value, dst *[]string) error {
	return elements(v, maxFacts, func(v value.Value) error {
		text, _ := v.Text()
		if _, _, ok := abi.ParseFact(text); !ok {
			return wrong("%q is no fact", cut(text, 64))
		}
		*dst = append(*dst, text)
		return nil
	})
}
