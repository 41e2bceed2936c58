// Package prefect is the vocabulary of the Prefect API: runs, states, policies
// and the errors that concern them. It holds shapes and their invariants, does
// no I/O and imports nothing else of this module.
//
// JSON names are those of Prefect's REST API, so a value of this package
// marshals to what a Prefect client reads. Times are UTC with microsecond
// precision everywhere (see [Time]).
package prefect
