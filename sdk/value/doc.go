// Package value reads and writes JSON without reflection, so that a guest stays
// small and fast: one pass checks a text and notes where each value stands, and
// what a rule asks for is read from there. It is strict (RFC 8259, no trailing
// text, bounded depth) and total: no text makes it panic.
package value
