package task

import (
	"os"
	"testing"

	"github.com/interlock-run/interlock/policies/policytest"
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

var suite *policytest.Suite

func TestMain(m *testing.M) {
	module := sdk.Serve(sdk.Module{Name: "task", Version: "test", Rules: Rules()})
	os.Exit(policytest.Main(m, module, "../core", func(s *policytest.Suite) { suite = s }))
}

const accepted = `{"decision":"ACCEPT"}`

func run(t *testing.T, rule string, cases []policytest.Case) {
	t.Helper()
	suite.Run(t, rule, abi.RunTypeTask, cases)
}
