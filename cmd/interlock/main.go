// Command interlock serves the Prefect API with WebAssembly orchestration
// policies, and manages those policies on a running server.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/interlock-run/interlock/host/sandbox"
)

func main() {
	sandbox.MaybeRunCompileChild()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, env{os.LookupEnv, os.Stdout, os.Stderr}, os.Args[1:]))
}

// env is what a command knows of the world, so that tests can give their own.
type env struct {
	lookup func(string) (string, bool)
	stdout io.Writer
	stderr io.Writer
}

// command is one word of the command line.
type command struct {
	name    string
	args    string // as shown after the name
	summary string
	run     func(ctx context.Context, e env, args []string) error
}

func commands() []command {
	return []command{
		{"serve", "[flags]", "serve the API and run the services", serve},
		{"policy", "check|push|list|show|use|put|rollback|versions|remove|readmit|explain|audit", "manage policy modules on a running server", policyCommands},
		{"database", "upgrade", "bring a database to the schema of this binary", database},
		{"version", "", "print the version", version},
	}
}

// run executes one command line and returns the exit code: 0 done, 1 failed with
// one line on stderr, 2 not understood.
func run(ctx context.Context, e env, args []string) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		return help(e, args)
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return report(e, c.name, c.run(ctx, e, args[1:]))
		}
	}
	fmt.Fprintf(e.stderr, "interlock: unknown command %q; see 'interlock help'\n", args[0])
	return 2
}
