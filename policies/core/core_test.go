package main

import (
	"os"
	"strings"
	"testing"

	"github.com/interlock-run/interlock/policies/builtin"
	"github.com/interlock-run/interlock/policies/policytest"
	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/tck"
)

var suite *policytest.Suite

func TestMain(m *testing.M) {
	os.Exit(policytest.Main(m, module, ".", func(s *policytest.Suite) { suite = s }))
}

type native struct{}

func (native) Manifest() []byte                     { return module.Manifest() }
func (native) Call(in []byte) (out []byte, _ error) { return module.Evaluate(in), nil }

func TestContractNatively(t *testing.T) { tck.Run(t, native{}, tck.Options{}) }

func TestContractInTheSandbox(t *testing.T) { tck.Run(t, suite.Caller(), tck.Options{}) }

// TestTheDefaultPoliciesAreOfRulesThatExist also checks that every rule has a
// place, and that what stands in a policy is for its kind of run.
func TestTheDefaultPoliciesAreOfRulesThatExist(t *testing.T) {
	used := map[string]bool{}
	for _, policy := range builtin.Policies() {
		runType := abi.RunTypeFlow
		if strings.HasSuffix(policy.Name, "TaskPolicy") || policy.Name == builtin.ClientSideTaskOrchestrationPolicy {
			runType = abi.RunTypeTask
		}
		seen := map[string]bool{}
		for _, entry := range policy.Entries {
			rule := suite.Manifest.Rule(entry.Name)
			if entry.Host {
				if rule != nil {
					t.Errorf("%s is the host's and has a rule", entry.Name)
				}
				continue
			}
			if rule == nil || seen[entry.Name] || rule.RunType != abi.AnyType && rule.RunType != runType {
				t.Errorf("%s in %s: %+v", entry.Name, policy.Name, rule)
				continue
			}
			if (len(entry.Settings) > 0) != (rule.ConfigSchema != nil) {
				t.Errorf("%s takes settings %v, its schema is %s", entry.Name, entry.Settings, rule.ConfigSchema)
			}
			used[entry.Name], seen[entry.Name] = true, true
		}
	}
	for _, rule := range suite.Manifest.Rules {
		if !used[rule.Name] {
			t.Errorf("%s stands in no policy", rule.Name)
		}
	}
}
