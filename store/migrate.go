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

// prepareInterlock makes our tables where they are missing and brings older ones
// to this version.
func (t *tx) prepareInterlock(ctx context.Context) error {
	tables, err := t.tables(ctx)
	if err != nil {
		return err
	}
	if tables["interlock_meta"] {
		if err := t.upgradeInterlock(ctx); err != nil {
			return err
		}
		if tables, err = t.tables(ctx); err != nil { // a step may have made one
			return err
		}
	}
	if err := t.run(ctx, schema.CreateInterlock(t.d.postgres, tables)); err != nil || tables["interlock_meta"] {
		return err
	}
	_, err = t.ExecContext(ctx, "INSERT INTO interlock_meta (key, value) VALUES ('version', ?)", strconv.Itoa(schema.Version))
	return err
}

// upgradeInterlock takes the steps from the version of our tables to this
// binary's. A newer version, or one without a way from it, is refused.
func (t *tx) upgradeInterlock(ctx context.Context) error {
	var found string
	if err := t.QueryRowContext(ctx, "SELECT value FROM interlock_meta WHERE key = 'version'").Scan(&found); err != nil {
		return err
	}
	at, err := strconv.Atoi(found)
	for err == nil && at < schema.Version {
		steps := schema.InterlockSteps(at, t.d.postgres)
		if steps == nil {
			break
		}
		if err := t.run(ctx, steps); err != nil {
			return err
		}
		at++
	}
	switch {
	case err != nil || at != schema.Version:
		return prefect.Errorf(prefect.UnknownRevision, "interlock's own tables are at version %s and this binary needs %d; nothing was written", found, schema.Version)
	case found == strconv.Itoa(at):
		return nil
	}
	_, err = t.ExecContext(ctx, "UPDATE interlock_meta SET value = ? WHERE key = 'version'", strconv.Itoa(at))
	return err
}

func (t *tx) run(ctx context.Context, statements []string) error {
	for _, s := range statements {
		if _, err := t.ExecContext(ctx, s); err != nil {
			return wrapf(err, "make the schema: %s", s)
		}
	}
	return nil
}
