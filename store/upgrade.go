package store

import (
	"context"

	"github.com/interlock-run/interlock/host/prefect"
)

// step brings a database from one revision to the next.
type step struct {
	from, to   string
	statements []string
}

// steps are the migrations before the head that change indexes alone, oldest
// first, so that each ends where the next begins.
func steps(d *dialect) []step {
	return nil
}

// known reports whether there is a way from revision to the head.
func known(d *dialect, revision string) bool {
	for _, s := range steps(d) {
		if s.from == revision {
			return true
		}
	}
	return false
}

// Upgrade brings the database at url to the revision of this binary, in one
// transaction. Errors: those of Open; UnknownRevision when there is no known way.
func Upgrade(ctx context.Context, url string) error {
	a, err := parseURL(url)
	if err != nil {
		return err
	}
	opts := Options{}
	opts.setDefaults(a.postgres)
	open := openSQLite
	if a.postgres {
		open = openPostgres
	}
	db, err := open(ctx, a, opts)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.write(ctx, func(t *tx) error { return t.upgrade(ctx, a) }); err != nil {
		return err
	}
	return db.prepareSchema(ctx)
}

func (t *tx) upgrade(ctx context.Context, a address) error {
	if err := t.lockSchema(ctx); err != nil {
		return err
	}
	at, err := t.findRevision(ctx)
	if err != nil || at == "" || at == t.d.revision() {
		return err
	}
	if !known(t.d, at) {
		return unknownRevision(a, at, t.d)
	}
	for _, s := range steps(t.d) {
		if s.from != at {
			continue
		}
		if err := t.run(ctx, s.statements); err != nil {
			return err
		}
		at = s.to
	}
	if at != t.d.revision() {
		return prefect.Errorf(prefect.UnknownRevision, "the upgrade ends at revision %s and not at %s", at, t.d.revision())
	}
	_, err = t.ExecContext(ctx, "UPDATE alembic_version SET version_num = ?", at)
	return err
}
