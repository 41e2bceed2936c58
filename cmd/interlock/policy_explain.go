package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// explainPage is how many decisions one request asks for.
const explainPage = 200

// policyExplain prints the decisions on a run, oldest first. The id may be a
// flow run's or a task run's.
func policyExplain(ctx context.Context, e env, c *client, _ policyFlags, args []string) error {
	if _, err := uuid.Parse(args[0]); err != nil {
		return usagef("%q is no run id", args[0])
	}
	total := 0
	for _, kind := range []prefect.RunType{prefect.FlowRunType, prefect.TaskRunType} {
		n, err := explainRun(ctx, e.stdout, c, kind, args[0])
		if err != nil {
			return err
		}
		if total += n; total > 0 {
			return nil
		}
	}
	return fmt.Errorf("no decisions on a run %s", args[0])
}

func explainRun(ctx context.Context, w io.Writer, c *client, kind prefect.RunType, id string) (int, error) {
	seen := 0
	for {
		var page []prefect.Decision
		path := fmt.Sprintf("/decisions?%s_id=%s&limit=%d&offset=%d", kind, id, explainPage, seen)
		if _, err := c.call(ctx, http.MethodGet, path, nil, &page); err != nil {
			return seen, err
		}
		for i := range page {
			printDecision(w, &page[i])
		}
		seen += len(page)
		if len(page) < explainPage {
			return seen, nil
		}
	}
}

// printDecision writes one transition: a line for the whole, a line for each
// rule that was asked, what was read for them and what they had done.
func printDecision(w io.Writer, d *prefect.Decision) {
	say(w, "%s  %s -> %s  %s", d.Created, stateName(d.InitialType, d.InitialName), named(string(d.ProposedType), d.ProposedName), d.Status)
	if d.Reason != nil {
		say(w, " %q", *d.Reason)
	}
	if d.Status == prefect.Wait {
		say(w, " for %d s", d.DelaySeconds)
	}
	if d.FinalType != nil && (*d.FinalType != d.ProposedType || value(d.FinalName) != d.ProposedName) {
		say(w, ", written as %s", stateName(d.FinalType, d.FinalName))
	}
	say(w, "  (%s v%d", d.Policy, d.PolicyVersion)
	if d.Tries > 1 {
		say(w, ", try %d", d.Tries)
	}
	fmt.Fprintln(w, ")")
	for i := range d.Rules {
		printRule(w, &d.Rules[i])
	}
	if len(d.FactsRead) > 0 {
		say(w, "    facts read: %s\n", strings.Join(d.FactsRead, ", "))
	}
	for _, e := range d.Effects {
		say(w, "    applied: %s", e.Effect)
		if e.LeaseID != nil {
			say(w, " as lease %s", e.LeaseID)
		}
		fmt.Fprintln(w)
	}
}

func printRule(w io.Writer, r *prefect.RuleDecision) {
	module := shortDigest(r.Module)
	if r.Builtin {
		module = "built-in " + module
	}
	say(w, "    %-40s %-7s %s", r.Name, r.Decision, module)
	if r.Rule != r.Name {
		say(w, " rule %s", r.Rule)
	}
	if r.Fuel > 0 {
		say(w, " fuel %d", r.Fuel)
	}
	if r.MaxFuel > 0 {
		say(w, " of %d", r.MaxFuel)
	}
	if r.Reason != "" {
		say(w, " %q", r.Reason)
	}
	for _, part := range []struct {
		name string
		raw  []byte
	}{{"flags", r.Flags}, {"run", r.Run}, {"effects", r.Effects}} {
		if len(part.raw) > 0 {
			say(w, " %s %s", part.name, part.raw)
		}
	}
	fmt.Fprintln(w)
	if r.Error != "" {
		say(w, "        failed: %s; handled by: %s\n", r.Error, r.Handled)
	}
	if r.Log != "" {
		for _, line := range strings.Split(strings.TrimRight(r.Log, "\n"), "\n") {
			say(w, "        log: %s\n", line)
		}
	}
}

func stateName(t *prefect.StateType, name *string) string {
	if t == nil {
		return "(none)"
	}
	return named(string(*t), value(name))
}

// named shows a state by its type, and by its name where that says more.
func named(t, name string) string {
	if name == "" || strings.EqualFold(t, name) {
		return t
	}
	return t + " " + name
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
