package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/interlock-run/interlock/host"
)

// usageError is a command line that was not understood: exit code 2.
type usageError struct{ text string }

func (u usageError) Error() string { return u.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// report prints the outcome of a command and returns its exit code.
func report(e env, name string, err error) int {
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		say(e.stderr, "interlock %s: %s; see 'interlock help %s'\n", name, usage.text, name)
		return 2
	}
	line := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
	say(e.stderr, "interlock: %s\n", line)
	return 1
}

const helpHead = `interlock: a Prefect API server whose orchestration rules are WebAssembly policies

usage: interlock COMMAND [arguments]

`

const helpServe = `usage: interlock serve [flags]

Serves the Prefect API under /api until SIGTERM or SIGINT; requests that are
under way then finish first. Point a client at it with
  PREFECT_API_URL=http://127.0.0.1:4200/api

`

const helpPolicy = `usage: interlock policy COMMAND [flags]

  check FILE                 say whether FILE is a policy module, and what it holds; needs no server
  push FILE                  store a module on the server
  list                       modules on the server, and the entries of every policy
  show POLICY                one policy as JSON, fit for put
  use NAME FILE|DIGEST       let a module decide in the entry NAME
                             what no flag changes stays: configuration, mode, fuel and stack
      [--rule R]             the module's rule; needed when it has several and none is called NAME
      [--config JSON]        the rule's configuration; '{}' for none
      [--on-error MODE]      fallback (default), closed or open
      [--fuel N]             work that a call may do, in units of about one instruction; 0: the server's
      [--stack BYTES]        depth of nested calls; 0: the server's
      [--policy POLICY]      needed when NAME stands in several policies
  use NAME builtin           give the entry back to the built-in rule, without a module's configuration,
                             fuel and stack
  put POLICY FILE            replace a policy's entries by those in a JSON file ("-": standard input)
  rollback [POLICY]          back to the version before the active one (of CoreFlowPolicy if none is named)
      [--to VERSION]
  versions POLICY            a policy's history
  remove DIGEST              delete a module that no policy uses
  readmit DIGEST             end a module's quarantine, which five failures in a row begin
  audit                      who changed which policy when, and what was refused; newest first
      [--policy POLICY]      one policy's rows
      [--limit N]            50 unless told otherwise
  explain RUN_ID             why each transition of a flow run or task run was decided as it was

Every command but check talks to a server: --url, else PREFECT_API_URL, else
http://127.0.0.1:4200/api. PREFECT_API_AUTH_STRING is sent if it is set.
A DIGEST may be cut, as list shows it.
`

const helpDatabase = `usage: interlock database upgrade [--database-url URL]

Brings a database of a known older schema revision to the one of this binary, in
one transaction, and says so. One that is there already is left as it is; one
of an unknown revision is refused, and nothing is written.
`

// help prints the overview or one command's page.
func help(e env, args []string) int {
	topic := ""
	if len(args) > 1 {
		topic = args[1]
	}
	switch topic {
	case "serve":
		printServeHelp(e)
	case "policy":
		fmt.Fprint(e.stdout, helpPolicy)
	case "database":
		fmt.Fprint(e.stdout, helpDatabase)
	case "settings":
		fmt.Fprint(e.stdout, "Settings in the environment; flags of serve override them.\n\n")
		for _, row := range host.Settings() {
			fmt.Fprintf(e.stdout, "  %s\n      %s\n", row[0], row[1])
		}
	case "", "version":
		fmt.Fprint(e.stdout, helpHead)
		for _, c := range commands() {
			fmt.Fprintf(e.stdout, "  %-10s %s\n", c.name, c.summary)
		}
		fmt.Fprint(e.stdout, "  help       this text; help serve, help policy, help database, help settings\n")
	default:
		say(e.stderr, "interlock: no help for %q\n", topic)
		return 2
	}
	return 0
}

func printServeHelp(e env) {
	fmt.Fprint(e.stdout, helpServe)
	set, _ := serveFlags(e)
	set.SetOutput(e.stdout)
	set.PrintDefaults()
	fmt.Fprintln(e.stdout, "\nEach flag has a setting in the environment: see 'interlock help settings'.")
}

func version(_ context.Context, e env, _ []string) error {
	fmt.Fprintf(e.stdout, "interlock %s (Prefect API %s)\n", buildVersion(), host.PrefectVersion)
	return nil
}

// buildVersion is the module version that the Go toolchain recorded, "dev" for a
// build from a work tree.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "dev"
	}
	return info.Main.Version
}
