package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/interlock-run/interlock/policies/builtin"
	"github.com/interlock-run/interlock/sdk/abi"
)

// page is written from the manifest: make docs.
const page = "../../docs/rules.md"

var update = flag.Bool("update", false, "write "+page)

func TestThePageOfRulesIsTrue(t *testing.T) {
	want := rulesPage()
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/rules.md is not what the manifest says; run make docs")
	}
}

// rulesPage is the page as the manifest has it.
func rulesPage() string {
	var b strings.Builder
	b.WriteString(`# The built-in rules

Made from the manifest of the built-in module by ` + "`make docs`" + `; a test keeps it true. Each rule is a file in
[policies/flow](../policies/flow) or [policies/task](../policies/task), with its tests beside it. Replace any of them with
` + "`interlock policy use NAME FILE`" + `; see [policies.md](policies.md).

## The policies

Entries are asked in this order; those marked *host* are done by the server itself and no rule is asked.

`)
	for _, p := range builtin.Policies() {
		fmt.Fprintf(&b, "* **%s**: %s\n", p.Name, strings.Join(entriesOf(p), ", "))
	}
	b.WriteString("\n## The rules\n")
	for i := range suite.Manifest.Rules {
		writeRule(&b, &suite.Manifest.Rules[i])
	}
	return b.String()
}

func entriesOf(p builtin.Policy) []string {
	var names []string
	for _, e := range p.Entries {
		name := "[" + e.Name + "](#" + strings.ToLower(e.Name) + ")"
		if e.Host {
			name = e.Name + " *(host)*"
		}
		names = append(names, name)
	}
	return names
}

func writeRule(b *strings.Builder, r *abi.RuleManifest) {
	fmt.Fprintf(b, "\n### %s\n\n%s.\n\n| | |\n|---|---|\n", r.Name, r.Description)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(b, "| %s | %s |\n", name, value)
		}
	}
	runs := map[string]string{abi.RunTypeFlow: "flow runs", abi.RunTypeTask: "task runs", abi.AnyType: "flow runs and task runs"}
	row("of", runs[r.RunType])
	row("from", states(r.From))
	row("to", states(r.To))
	kind := r.Kind
	if r.Phase == abi.PhaseAfter {
		kind += ", after the state to write is settled"
	}
	row("kind", kind)
	row("asked only with", strings.Join(r.Needs, ", "))
	row("facts", strings.Join(r.Facts, ", "))
	row("effects", strings.Join(r.Effects, ", "))
	if r.ConfigSchema != nil {
		row("config", "`"+strings.ReplaceAll(string(r.ConfigSchema), "|", "\\|")+"`")
	}
	row("in", strings.Join(policiesWith(r.Name), ", "))
}

func policiesWith(rule string) []string {
	var names []string
	for _, p := range builtin.Policies() {
		for _, e := range p.Entries {
			if e.Name == rule {
				names = append(names, p.Name)
			}
		}
	}
	return names
}

func states(list []*string) string {
	var names []string
	for _, t := range list {
		switch {
		case t == nil:
			names = append(names, "no state")
		case *t == abi.AnyType:
			names = append(names, "any")
		default:
			names = append(names, *t)
		}
	}
	return strings.Join(names, ", ")
}
