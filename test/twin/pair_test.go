package twin

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/interlock-run/interlock/store/storetest/pgtest"
	"github.com/interlock-run/interlock/test/rest"
	"github.com/interlock-run/interlock/test/servers"
)

func TestMain(m *testing.M) {
	code := m.Run()
	pgtest.Stop()
	os.Exit(code)
}

// side is one of the two servers under comparison.
type side struct {
	server *servers.Server
	client *rest.Client
	db     *sql.DB
	flow   string // id of the flow that the runs belong to
	made   window // when that was made
}

// pair is the reference and ours, side by side.
type pair struct {
	ref, ours side
	workers   int
}

// selfEnv, set to 1, compares the reference with itself: the harness is right
// only if it finds nothing then.
const selfEnv = "INTERLOCK_TWIN_SELF"

func newPair(t *testing.T, postgres bool) *pair {
	t.Helper()
	kind := servers.Interlock
	if os.Getenv(selfEnv) == "1" {
		kind = servers.Reference
	}
	p := &pair{workers: 1}
	if postgres {
		p.workers = 8
	}
	var urls [2]string // "" is SQLite
	if postgres {
		urls = [2]string{servers.Postgres(t), servers.Postgres(t)}
	}
	var errs [2]error
	var starting sync.WaitGroup
	starting.Go(func() { p.ref, errs[0] = newSide(t, servers.Reference, urls[0]) })
	starting.Go(func() { p.ours, errs[1] = newSide(t, kind, urls[1]) })
	starting.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return p
}

// newSide starts a server that ends with the test.
func newSide(t *testing.T, kind servers.Kind, databaseURL string) (side, error) {
	s, err := servers.Start(t.Context(), servers.Options{Kind: kind, Quiet: true, DatabaseURL: databaseURL,
		Env: append(servers.Patient(), "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem")})
	if err != nil {
		return side{}, err
	}
	servers.EndWith(t, s)
	db, err := s.OpenDatabase()
	if err != nil {
		return side{}, err
	}
	t.Cleanup(func() { db.Close() })
	c := side{server: s, client: rest.New(s.URL, 20).OneEach(), db: db}
	c.made = window{name: "setup", from: time.Now()}
	var flow struct{ ID string }
	if err := c.client.Post(t.Context(), "/flows/", map[string]any{"name": "twin"}, &flow); err != nil {
		return side{}, err
	}
	c.flow, c.made.to = flow.ID, time.Now()
	return c, nil
}

// each calls fn for 0..n-1 from the pair's workers.
func (p *pair) each(ctx context.Context, n int, fn func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var wg sync.WaitGroup
	for range p.workers {
		wg.Go(func() {
			for i := range next {
				if err := fn(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}
