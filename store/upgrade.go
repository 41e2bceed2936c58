package store

import (
	"context"
	"errors"

	"github.com/interlock-run/interlock/store/schema"
)

// known reports whether there is a way from revision to the head.
func (d *dialect) known(revision string) bool {
	for _, s := range schema.Steps(d.postgres) {
		if s.From == revision {
			return true
		}
	}
	return false
}

// Upgrade brings the database at url to the revision of this binary, in one
// transaction: from the few revisions before it that lack indexes alone. While
// it runs, nothing else can write to the tables that get one. A database that is
// there already, or empty, is treated as by [Open].
//
// Errors: those of Open; UnknownRevision when there is no known way.
func Upgrade(ctx context.Context, url string) error {
	db, err := connect(ctx, url, Options{})
	if err != nil {
		return err
	}
	err = db.write(ctx, func(t *tx) error { return t.upgrade(ctx, db.url) })
	if err == nil {
		err = db.prepare(ctx)
	}
	return errors.Join(err, db.Close())
}

func (t *tx) upgrade(ctx context.Context, a address) error {
	if err := t.lockSchema(ctx); err != nil {
		return err
	}
	at, err := t.findRevision(ctx)
	if err != nil || at == "" || at == t.d.revision() {
		return err
	}
	if !t.d.known(at) {
		return unknownRevision(a, at, t.d)
	}
	for _, s := range schema.Steps(t.d.postgres) {
		if s.From != at {
			continue
		}
		if err := t.buildIndex(ctx, s.Index); err != nil {
			return wrapf(err, "upgrade to %s", s.To)
		}
		at = s.To
	}
	_, err = t.ExecContext(ctx, "UPDATE alembic_version SET version_num = ?", at)
	return err
}

// buildIndex makes the index unless it is there. One that an interrupted
// migration left invalid, as Postgres can, is made again.
func (t *tx) buildIndex(ctx context.Context, name string) error {
	present, err := count(ctx, t, t.d.pick(
		"SELECT count(*) FROM sqlite_master WHERE type = 'index' AND name = ?",
		"SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass(?) AND indisvalid"), name)
	if err != nil || present > 0 {
		return err
	}
	return t.run(ctx, []string{"DROP INDEX IF EXISTS " + name, schema.CreateIndex(name, t.d.postgres)})
}

func count(ctx context.Context, q querier, query string, args ...any) (n int, err error) {
	err = q.QueryRowContext(ctx, query, args...).Scan(&n)
	return n, err
}
