// Package store keeps everything that interlock knows in Prefect's own schema, on
// SQLite or on Postgres. [Open] makes the schema on an empty database and checks
// it on an existing one. One file a noun holds that noun's reads and writes.
//
// On SQLite one connection writes, and callers take turns at it: whoever has the turn
// writes what all have queued, as one group. Its units run one after another in one
// transaction, each in a savepoint, and are acknowledged together once the group is
// on disk. Readers have connections of their own and never wait for it. On Postgres
// each unit has a transaction of its own and is run again when Postgres cannot
// serialize it.
package store
