package flow

import (
	"os"
	"testing"

	"github.com/interlock-run/interlock/policies/policytest"
	"github.com/interlock-run/interlock/sdk"
)

var suite *policytest.Suite

func TestMain(m *testing.M) {
	module := sdk.Serve(sdk.Module{Name: "flow", Version: "test", Rules: Rules()})
	os.Exit(policytest.Main(m, module, "../core", func(s *policytest.Suite) { suite = s }))
}
