package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/interlock-run/interlock/host"
	"github.com/interlock-run/interlock/host/prefect"
)

// policyFlags are the flags of all policy commands; each command reads its own.
type policyFlags struct {
	url, rule, config, onError, policy string
	to                                 int
	limit                              int
	fuel, stack                        uint64
	given                              map[string]bool // which flags there were
}

// policyCommand is one word after `interlock policy`.
type policyCommand func(ctx context.Context, e env, c *client, f policyFlags, args []string) error

func policyRun(name string) (run policyCommand, min, max int) {
	switch name {
	case "check":
		return policyCheck, 1, 1
	case "push":
		return policyPush, 1, 1
	case "list":
		return policyList, 0, 0
	case "show":
		return policyShow, 1, 1
	case "use":
		return policyUse, 2, 2
	case "put":
		return policyPut, 2, 2
	case "rollback":
		return policyRollback, 0, 1
	case "versions":
		return policyVersions, 1, 1
	case "remove":
		return policyRemove, 1, 1
	case "explain":
		return policyExplain, 1, 1
	case "audit":
		return policyAudit, 0, 0
	case "readmit":
		return policyReadmit, 1, 1
	}
	return nil, 0, 0
}

func policyCommands(ctx context.Context, e env, args []string) error {
	if len(args) == 0 {
		return usagef("which command?")
	}
	if args[0] == "-h" || args[0] == "--help" {
		fmt.Fprint(e.stdout, helpPolicy)
		return nil
	}
	run, min, max := policyRun(args[0])
	if run == nil {
		return usagef("unknown command %q", args[0])
	}
	var f policyFlags
	set := flag.NewFlagSet("policy "+args[0], flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&f.url, "url", "", "")
	set.StringVar(&f.rule, "rule", "", "")
	set.StringVar(&f.config, "config", "", "")
	set.StringVar(&f.onError, "on-error", "", "")
	set.StringVar(&f.policy, "policy", "", "")
	set.IntVar(&f.to, "to", 0, "")
	set.IntVar(&f.limit, "limit", 50, "")
	set.Uint64Var(&f.fuel, "fuel", 0, "")
	set.Uint64Var(&f.stack, "stack", 0, "")
	words, err := parseMixed(set, args[1:])
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(e.stdout, helpPolicy)
		return err
	}
	if err != nil {
		return usagef("%v", err)
	}
	f.given = map[string]bool{}
	set.Visit(func(g *flag.Flag) { f.given[g.Name] = true })
	if len(words) < min || len(words) > max {
		return usagef("%s: %d arguments given", args[0], len(words))
	}
	return run(ctx, e, newClient(e, f.url), f, words)
}

// parseMixed parses flags that may stand before, between and after the words.
func parseMixed(set *flag.FlagSet, args []string) (words []string, err error) {
	for {
		if err := set.Parse(args); err != nil {
			return nil, err
		}
		if set.NArg() == 0 {
			return words, nil
		}
		words = append(words, set.Arg(0))
		args = set.Args()[1:]
	}
}

func policyCheck(ctx context.Context, e env, _ *client, _ policyFlags, args []string) error {
	wasm, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	c := host.DefaultConfig()
	if err := c.FromEnvironment(e.lookup); err != nil {
		return err
	}
	manifest, err := host.CheckModule(ctx, c, wasm)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	printManifest(e.stdout, manifest)
	return nil
}

func policyPush(ctx context.Context, e env, c *client, _ policyFlags, args []string) error {
	m, created, err := push(ctx, c, args[0])
	if err != nil {
		return err
	}
	what := "was there already"
	if created {
		what = "stored"
	}
	say(e.stdout, "%s %s, %d bytes\n", m.Digest, what, m.Size)
	return nil
}

func push(ctx context.Context, c *client, file string) (*prefect.PolicyModule, bool, error) {
	wasm, err := os.ReadFile(file)
	if err != nil {
		return nil, false, err
	}
	var m prefect.PolicyModule
	status, err := c.call(ctx, http.MethodPost, "/modules", wasm, &m)
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", file, err)
	}
	return &m, status == http.StatusCreated, nil
}

func policyList(ctx context.Context, e env, c *client, _ policyFlags, _ []string) error {
	var modules []struct {
		prefect.PolicyModule
		Quarantined bool `json:"quarantined"`
	}
	if _, err := c.call(ctx, http.MethodGet, "/modules", nil, &modules); err != nil {
		return err
	}
	var policies []prefect.PolicyVersion
	if _, err := c.call(ctx, http.MethodGet, "/policies", nil, &policies); err != nil {
		return err
	}
	w := tabwriter.NewWriter(e.stdout, 0, 4, 2, ' ', 0)
	defer w.Flush()
	for _, m := range modules {
		standing := ""
		if m.Quarantined {
			standing = "in quarantine"
		}
		say(w, "module %s\t%s\t%d bytes\t%s\n", shortDigest(m.Digest), manifestName(m.Manifest), m.Size, standing)
	}
	for _, p := range policies {
		say(w, "\npolicy %s, version %d\t(%s)\n", p.Name, p.Version, p.Reason)
		for _, entry := range p.Entries {
			say(w, "  %s\t%s\t%s\t%s%s\n", entry.Name, shortDigest(entry.Module), entry.Rule, entry.OnError, entryLimits(entry))
		}
	}
	return nil
}

// entryLimits shows the limits that an entry has of its own.
func entryLimits(e prefect.PolicyEntry) string {
	text := ""
	if e.Fuel > 0 {
		text += fmt.Sprintf(", fuel %d", e.Fuel)
	}
	if e.StackBytes > 0 {
		text += fmt.Sprintf(", stack %d", e.StackBytes)
	}
	return text
}

func policyShow(ctx context.Context, e env, c *client, _ policyFlags, args []string) error {
	var p prefect.PolicyVersion
	if _, err := c.call(ctx, http.MethodGet, "/policies/"+url.PathEscape(args[0]), nil, &p); err != nil {
		return err
	}
	shown, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	for line := range strings.SplitSeq(string(shown), "\n") {
		say(e.stdout, "%s\n", line)
	}
	return nil
}

func policyPut(ctx context.Context, e env, c *client, _ policyFlags, args []string) error {
	var raw []byte
	var err error
	if args[1] == "-" {
		raw, err = io.ReadAll(os.Stdin)
	} else {
		raw, err = os.ReadFile(args[1])
	}
	if err != nil {
		return err
	}
	var p prefect.PolicyVersion
	if err := json.Unmarshal(raw, &p); err != nil {
		return fmt.Errorf("%s: %w", args[1], err)
	}
	return putEntries(ctx, e, c, args[0], p.Entries, p.Version)
}

// putEntries stores the next version of a policy and says so.
func putEntries(ctx context.Context, e env, c *client, name string, entries []prefect.PolicyEntry, version int) error {
	var stored prefect.PolicyVersion
	body := map[string]any{"entries": entries, "version": version}
	if _, err := c.call(ctx, http.MethodPut, "/policies/"+url.PathEscape(name), body, &stored); err != nil {
		return err
	}
	say(e.stdout, "%s is at version %d\n", stored.Name, stored.Version)
	return nil
}

func policyRollback(ctx context.Context, e env, c *client, f policyFlags, args []string) error {
	name := prefect.CoreFlowPolicy
	if len(args) == 1 {
		name = args[0]
	}
	var active prefect.PolicyVersion
	if _, err := c.call(ctx, http.MethodGet, "/policies/"+url.PathEscape(name), nil, &active); err != nil {
		return err
	}
	to := f.to
	if to == 0 {
		to = active.Version - 1
	}
	if to < 1 {
		return fmt.Errorf("%s is at its first version", name)
	}
	var stored prefect.PolicyVersion
	if _, err := c.call(ctx, http.MethodPost, "/policies/"+url.PathEscape(name)+"/rollback", map[string]int{"version": to}, &stored); err != nil {
		return err
	}
	say(e.stdout, "%s is at version %d, with the entries of version %d\n", name, stored.Version, to)
	return nil
}

func policyVersions(ctx context.Context, e env, c *client, _ policyFlags, args []string) error {
	var versions []prefect.PolicyVersion
	if _, err := c.call(ctx, http.MethodGet, "/policies/"+url.PathEscape(args[0])+"/versions", nil, &versions); err != nil {
		return err
	}
	w := tabwriter.NewWriter(e.stdout, 0, 4, 2, ' ', 0)
	defer w.Flush()
	for _, v := range versions {
		say(w, "%d\t%s\t%s\t%d entries\n", v.Version, v.Created, v.Reason, len(v.Entries))
	}
	return nil
}

func policyRemove(ctx context.Context, e env, c *client, _ policyFlags, args []string) error {
	digest, err := onModule(ctx, c, http.MethodDelete, args[0], "", nil)
	if err != nil {
		return err
	}
	say(e.stdout, "%s is gone\n", digest)
	return nil
}

// shortDigest cuts a digest to what a person compares.
func shortDigest(digest string) string {
	if rest, ok := strings.CutPrefix(digest, "sha256:"); ok && len(rest) > 12 {
		return "sha256:" + rest[:12]
	}
	return digest
}
