package main

import (
	"context"
	"flag"
	"io"
	"log/slog"

	"github.com/interlock-run/interlock/host"
)

// serveFlags returns the flags of serve over a Config that already holds the
// defaults and the environment.
func serveFlags(e env) (*flag.FlagSet, *serveOptions) {
	o := &serveOptions{config: host.DefaultConfig()}
	o.err = o.config.FromEnvironment(e.lookup)
	set := flag.NewFlagSet("serve", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&o.config.Host, "host", o.config.Host, "address to listen on")
	set.IntVar(&o.config.Port, "port", o.config.Port, "port to listen on, 0 for a free one")
	set.StringVar(&o.config.Home, "home", o.config.Home, "`directory` of the default database and the compilation cache")
	set.Func("database-url", "database in SQLAlchemy form (default SQLite in the home directory)", func(v string) error {
		o.config.DatabaseURL = v
		return nil
	})
	set.Func("log-level", "DEBUG, INFO, WARNING or ERROR", func(v string) (err error) {
		o.config.LogLevel, err = host.ParseLevel(v)
		return err
	})
	set.BoolFunc("no-services", "leave the periodic services to another process", func(string) error {
		o.config.Services = false
		return nil
	})
	return set, o
}

type serveOptions struct {
	config host.Config
	err    error // what the environment got wrong
}

func serve(ctx context.Context, e env, args []string) error {
	set, o := serveFlags(e)
	if err := set.Parse(args); err != nil {
		if err == flag.ErrHelp {
			printServeHelp(e)
			return err
		}
		return usagef("%v", err)
	}
	if set.NArg() > 0 {
		return usagef("unexpected argument %q", set.Arg(0))
	}
	if o.err != nil {
		return o.err
	}
	o.config.Version = buildVersion()
	logger := slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: o.config.LogLevel}))
	return host.Serve(ctx, o.config, logger)
}
