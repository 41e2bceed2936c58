// Package orchestrate carries one transition from proposal to commit: it reads
// the run, lets the policies decide, keeps the run's columns true and hands the
// store one [Commit]. It names what it needs of the store and of the policies as
// interfaces and depends on neither.
package orchestrate
