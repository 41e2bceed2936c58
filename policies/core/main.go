// Command core is the server's own policy module: the built-in rules, all of
// them. It is built as a WebAssembly module by make policies.
package main

import (
	"github.com/interlock-run/interlock/policies/flow"
	"github.com/interlock-run/interlock/policies/task"
	"github.com/interlock-run/interlock/sdk"
)

var module = sdk.Serve(sdk.Module{
	Name:        "interlock-core",
	Version:     "1.0.0",
	Description: "The built-in orchestration rules",
	Rules:       append(flow.Rules(), task.Rules()...),
})

func main() {}
