package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/interlock-run/interlock/host"
	"github.com/interlock-run/interlock/store"
)

func database(ctx context.Context, e env, args []string) error {
	if len(args) == 0 {
		return usagef("which command?")
	}
	config := host.DefaultConfig()
	if err := config.FromEnvironment(e.lookup); err != nil {
		return err
	}
	set := flag.NewFlagSet("database", flag.ContinueOnError)
	set.SetOutput(e.stderr)
	set.StringVar(&config.DatabaseURL, "database-url", config.DatabaseURL, "database in SQLAlchemy form")
	if err := set.Parse(args[1:]); err != nil {
		return usagef("%v", err)
	}
	if args[0] == "upgrade" {
		if err := store.Upgrade(ctx, config.URL()); err != nil {
			return err
		}
		fmt.Fprintln(e.stdout, "the database is at the schema of this binary")
		return nil
	}
	return usagef("unknown command %q", args[0])
}
