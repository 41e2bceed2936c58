// Package schema declares the tables of Prefect's database, once for SQLite and
// Postgres, and ours beside them, and writes the statements that make them.
package schema
