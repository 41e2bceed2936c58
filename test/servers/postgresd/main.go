// Command postgresd brings a Postgres for tests that are not written in Go: it
// prints the SQLAlchemy URL of a new, empty database for each name it is given,
// and ends the server when standard input ends.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/interlock-run/interlock/store/storetest/pgtest"
	"github.com/interlock-run/interlock/test/servers"
)

func main() {
	err := run(os.Args[1:])
	pgtest.Stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "postgresd:", err)
		os.Exit(1)
	}
}

func run(names []string) (err error) {
	maintenance, err := pgtest.Start()
	if err != nil {
		return err
	}
	for _, name := range names {
		url, drop, err := servers.CreateDatabase(context.Background(), maintenance, name)
		if err != nil {
			return err
		}
		defer func() {
			if dropErr := drop(); err == nil {
				err = dropErr
			}
		}()
		fmt.Println(url)
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
