package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/interlock-run/interlock/host/prefect"
)

// policyAudit prints the attempts at changing policies, newest first.
func policyAudit(ctx context.Context, e env, c *client, f policyFlags, _ []string) error {
	query := url.Values{"limit": {strconv.Itoa(f.limit)}}
	if f.policy != "" {
		query.Set("policy", f.policy)
	}
	var rows []prefect.PolicyAudit
	if _, err := c.call(ctx, http.MethodGet, "/audit?"+query.Encode(), nil, &rows); err != nil {
		return err
	}
	w := tabwriter.NewWriter(e.stdout, 0, 4, 2, ' ', 0)
	defer w.Flush()
	for _, a := range rows {
		say(w, "%s\t%s\t%s\t%s\t%s\t%q\n", a.Created, a.Action, a.Outcome, auditSubject(&a), auditActor(a.Actor), a.Reason)
	}
	return nil
}

// auditSubject is what an attempt was about.
func auditSubject(a *prefect.PolicyAudit) string {
	var parts []string
	if a.Policy != "" {
		parts = append(parts, a.Policy)
	}
	if a.Version > 0 {
		parts = append(parts, fmt.Sprintf("version %d", a.Version))
	}
	for _, digest := range a.Modules {
		parts = append(parts, shortDigest(digest))
	}
	return strings.Join(parts, " ")
}

func auditActor(a prefect.Actor) string {
	var parts []string
	for _, part := range []string{a.User, a.Address, a.Agent} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, " ")
}

// policyReadmit has a quarantined module asked again.
func policyReadmit(ctx context.Context, e env, c *client, _ policyFlags, args []string) error {
	digest, err := onModule(ctx, c, http.MethodPost, args[0], "/readmit", nil)
	if err != nil {
		return err
	}
	say(e.stdout, "%s is asked again\n", digest)
	return nil
}
