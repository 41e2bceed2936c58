package sdk

import (
	"slices"
	"testing"

	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/contract"
)

func TestNeedsStandInTheManifest(t *testing.T) {
	m := Module{Name: "m", Rules: []Rule{
		{Name: "All", RunType: AnyRun, From: AnyState, To: AnyState, Needs: abi.Needs()},
		{Name: "None", RunType: AnyRun, From: AnyState, To: AnyState},
	}}
	manifest, err := contract.ParseManifest(m.Manifest())
	if err != nil {
		t.Fatal(err)
	}
	if got := manifest.Rules[0].Needs; !slices.Equal(got, abi.Needs()) {
		t.Errorf("needs are %v", got)
	}
	if got := manifest.Rules[1].Needs; len(got) != 0 {
		t.Errorf("a rule without needs has %v", got)
	}
}
