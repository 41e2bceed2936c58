package store

import (
	"context"
	"database/sql"
	"errors"
	"strconv"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store/schema"
)

// revision is the reference's revision that this binary's tables are equal to.
func (d *dialect) revision() string { return d.pick(schema.SQLiteRevision, schema.PostgresRevision) }

// prepareSchema makes the tables in an empty database, adds ours to one of the
// reference's, and refuses what it does not know, all in one transaction.
func (db *DB) prepareSchema(ctx context.Context) error {
	return db.write(ctx, func(t *tx) error {
		if err := t.lockSchema(ctx); err != nil {
			return err
		}
		found, err := t.findRevision(ctx)
		if err != nil {
			return err
		}
		switch found {
		case "":
			err = t.run(ctx, schema.CreatePrefect(db.d.postgres))
		case db.d.revision():
		default:
			err = unknownRevision(db.url, found, db.d)
		}
		if err != nil {
			return err
		}
		return t.prepareInterlock(ctx)
	})
}

// lockSchema keeps two servers that start at once on one Postgres apart.
func (t *tx) lockSchema(ctx context.Context) error {
	if !t.d.postgres {
		return nil
	}
	_, err := t.ExecContext(ctx, "SELECT pg_advisory_xact_lock(7368632345)")
	return err
}

// findRevision returns the revision of the database, "" for an empty one. A
// database with other tables is not Prefect's, and is refused.
func (t *tx) findRevision(ctx context.Context) (string, error) {
	tables, err := t.tables(ctx)
	if err != nil {
		return "", err
	}
	if len(tables) == 0 {
		return "", nil
	}
	if !tables["alembic_version"] {
		return "", prefect.Errorf(prefect.UnknownRevision, "the database has tables, but none that says which revision of Prefect's schema it is at; nothing was written")
	}
	var revision string
	err = t.QueryRowContext(ctx, "SELECT version_num FROM alembic_version").Scan(&revision)
	if errors.Is(err, sql.ErrNoRows) {
		return "", prefect.Errorf(prefect.UnknownRevision, "the database does not say which revision of Prefect's schema it is at; nothing was written")
	}
	return revision, err
}

func (t *tx) tables(ctx context.Context) (map[string]bool, error) {
	rows, err := t.QueryContext(ctx, t.d.pick(
		"SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
		"SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names := map[string]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names[name] = true
	}
	return names, rows.Err()
}

func unknownRevision(a address, found string, d *dialect) error {
	if d.known(found) {
		return prefect.Errorf(prefect.UnknownRevision, "%s is at schema revision %s and this interlock needs %s; nothing was written. Run 'interlock database upgrade'", a.shown, found, d.revision())
	}
	return prefect.Errorf(prefect.UnknownRevision, "%s is at schema revision %s and this interlock needs %s; nothing was written. 'prefect server database upgrade' of Prefect 3.8.8 brings an older database there", a.shown, found, d.revision())
}

// prepareInterlock makes our tables where they are missing.
func (t *tx) prepareInterlock(ctx context.Context) error {
	tables, err := t.tables(ctx)
	if err != nil {
		return err
	}
	if tables["interlock_meta"] {
		if err := t.checkVersion(ctx); err != nil {
			return err
		}
	}
	if err := t.run(ctx, schema.CreateInterlock(t.d.postgres, tables)); err != nil || tables["interlock_meta"] {
		return err
	}
	_, err = t.ExecContext(ctx, "INSERT INTO interlock_meta (key, value) VALUES ('version', ?)", strconv.Itoa(schema.Version))
	return err
}

func (t *tx) checkVersion(ctx context.Context) error {
	var version string
	if err := t.QueryRowContext(ctx, "SELECT value FROM interlock_meta WHERE key = 'version'").Scan(&version); err != nil {
		return err
	}
	if version != strconv.Itoa(schema.Version) {
		return prefect.Errorf(prefect.UnknownRevision, "interlock's own tables are at version %s and this binary needs %d; nothing was written", version, schema.Version)
	}
	return nil
}

func (t *tx) run(ctx context.Context, statements []string) error {
	for _, s := range statements {
		if _, err := t.ExecContext(ctx, s); err != nil {
			return wrapf(err, "make the schema: %s", s)
		}
	}
	return nil
}
