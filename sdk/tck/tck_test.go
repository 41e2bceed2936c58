package tck_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/tck"
)

// caller is a native module, spoilt in some way.
type caller struct {
	module  *sdk.Module
	calls   int
	sulking bool
	spoil   func(c *caller, in, out []byte) ([]byte, error)
}

func (c *caller) Manifest() []byte { return c.module.Manifest() }

func (c *caller) Call(in []byte) ([]byte, error) {
	c.calls++
	out := c.module.Evaluate(in)
	if c.spoil == nil {
		return out, nil
	}
	return c.spoil(c, in, out)
}

func module() *sdk.Module {
	return sdk.Serve(sdk.Module{Name: "m", Version: "1", Rules: []sdk.Rule{
		{Name: "One", RunType: sdk.FlowRun, From: sdk.Running, To: sdk.Failed, Evaluate: func(c *sdk.Context) sdk.Decision {
			if c.Run().RunCount() > 1 {
				return sdk.Abort("no")
			}
			return sdk.Accept()
		}},
		{Name: "Two", RunType: sdk.FlowRun, From: sdk.Running, To: sdk.Failed, Evaluate: func(*sdk.Context) sdk.Decision { return sdk.Accept() }},
	}})
}

func replace(old, new string) func(*caller, []byte, []byte) ([]byte, error) {
	return func(_ *caller, _, out []byte) ([]byte, error) {
		return []byte(strings.ReplaceAll(string(out), old, new)), nil
	}
}

// spoilt are ways to break the contract, each with the check that has to notice.
var spoilt = map[string]struct {
	notice string
	spoil  func(c *caller, in, out []byte) ([]byte, error)
}{
	"answers another rule": {"every_rule_answers", replace(`"rule":"One"`, `"rule":"Uno"`)},
	"invents a decision":   {"every_rule_answers", replace(`"ACCEPT"`, `"PERHAPS"`)},
	"adds a field":         {"every_rule_answers", replace(`"decision":`, `"mood":"good","decision":`)},
	"gives no reason":      {"every_rule_answers", replace(`"reason":"no"`, `"reason":""`)},
	"answers in another order": {"rules_are_answered_together", func(_ *caller, _, out []byte) ([]byte, error) {
		return []byte(strings.Replace(string(out), `{"rule":"One","decision":"ACCEPT"},{"rule":"Two","decision":"ACCEPT"}`, `{"rule":"Two","decision":"ACCEPT"},{"rule":"One","decision":"ACCEPT"}`, 1)), nil
	}},
	"answers once when asked twice": {"a_rule_can_be_asked_twice", func(_ *caller, _, out []byte) ([]byte, error) {
		return []byte(strings.Replace(string(out), `{"rule":"One","decision":"ACCEPT"},{"rule":"One","decision":"ACCEPT"}`, `{"rule":"One","decision":"ACCEPT"}`, 1)), nil
	}},
	"answers unknown rules": {"an_unknown_rule", func(_ *caller, in, out []byte) ([]byte, error) {
		if bytes.Contains(in, []byte("NoSuchRule")) {
			return []byte(`{"decisions":[{"rule":"NoSuchRule","decision":"ACCEPT"}]}`), nil
		}
		return out, nil
	}},
	"is moody": {"every_rule_answers", func(c *caller, _, out []byte) ([]byte, error) {
		if c.calls%2 == 0 {
			return append(out, ' '), nil
		}
		return out, nil
	}},
	"sulks after an error": {"a_call_leaves_nothing_behind", func(c *caller, _, out []byte) ([]byte, error) {
		if c.sulking {
			out = append(out, ' ')
		}
		c.sulking = bytes.Contains(out, []byte("not JSON"))
		return out, nil
	}},
	"dislikes escapes": {"the_writing_of_a_context", func(_ *caller, in, out []byte) ([]byte, error) {
		if bytes.Contains(in, []byte(`\u0061`)) {
			return nil, errors.New("trap: unreachable")
		}
		return out, nil
	}},
	"dislikes unknown fields": {"the_writing_of_a_context", func(_ *caller, in, out []byte) ([]byte, error) {
		if bytes.Contains(in, []byte(`aaa_unknown`)) {
			return []byte(`{"decisions":[],"error":"what is this?"}`), nil
		}
		return out, nil
	}},
	"traps on odd values": {"odd_values", func(_ *caller, in, out []byte) ([]byte, error) {
		if bytes.Contains(in, []byte(`"run_count":"x"`)) {
			return nil, errors.New("trap: unreachable")
		}
		return out, nil
	}},
	"is small": {"large_contexts", func(_ *caller, in, out []byte) ([]byte, error) {
		if len(in) > 8<<10 {
			return nil, errors.New("trap: out of memory")
		}
		return out, nil
	}},
	"takes half a context": {"broken_contexts", func(_ *caller, in, out []byte) ([]byte, error) {
		if bytes.Contains(out, []byte("not JSON")) {
			return []byte(`{"decisions":[]}`), nil
		}
		return out, nil
	}},
	"answers nothing": {"broken_contexts", func(_ *caller, in, out []byte) ([]byte, error) {
		if bytes.Contains(out, []byte("not JSON")) {
			return nil, nil
		}
		return out, nil
	}},
}

func TestAGoodModulePasses(t *testing.T) {
	tck.Run(t, &caller{module: module()}, tck.Options{})
}

const spoiltBy = "TCK_SPOILT_BY"

// TestSpoiltModule is what TestABadModuleFails runs in a process of its own.
func TestSpoiltModule(t *testing.T) {
	if way, ok := spoilt[os.Getenv(spoiltBy)]; ok {
		tck.Run(t, &caller{module: module(), spoil: way.spoil}, tck.Options{})
	}
}

func TestABadModuleFails(t *testing.T) {
	for name, way := range spoilt {
		t.Run(name, func(t *testing.T) {
			run := exec.Command(os.Args[0], "-test.run=^TestSpoiltModule$")
			run.Env = append(os.Environ(), spoiltBy+"="+name)
			out, err := run.CombinedOutput()
			var failed *exec.ExitError
			if !errors.As(err, &failed) || !strings.Contains(string(out), "--- FAIL: TestSpoiltModule/"+way.notice) {
				t.Errorf("%v, want a failure of %s\n%s", err, way.notice, out)
			}
		})
	}
}
