package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/interlock-run/interlock/host"
	"github.com/interlock-run/interlock/store"
)

func database(ctx context.Context, e env, args []string) error {
	if len(args) == 0 {
		return usagef("which command?")
	}
	if args[0] == "-h" || args[0] == "--help" {
		fmt.Fprint(e.stdout, helpDatabase)
		return nil
	}
	config := host.DefaultConfig()
	if err := config.FromEnvironment(e.lookup); err != nil {
		return err
	}
	set := flag.NewFlagSet("database", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&config.DatabaseURL, "database-url", config.DatabaseURL, "database in SQLAlchemy form")
	switch err := set.Parse(args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(e.stdout, helpDatabase)
		return nil
	case err != nil:
		return usagef("%v", err)
	case args[0] != "upgrade":
		return usagef("unknown command %q", args[0])
	case set.NArg() > 0:
		return usagef("unexpected argument %q", set.Arg(0))
	}
	if err := store.Upgrade(ctx, config.URL()); err != nil {
		return err
	}
	fmt.Fprintln(e.stdout, "the database is at the schema of this binary")
	return nil
}
