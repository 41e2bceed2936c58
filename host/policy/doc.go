// Package policy keeps the policies: which entries they have, the modules that
// decide them, and the swap of both while transitions are being decided.
//
//	Registry   what the API changes and the database keeps; builds snapshots
//	snapshot   the active policies, prepared, never changed: an evaluation keeps
//	           the one that it began with
//	cell       the entries that a policy asks about one pair of types, grouped
//	           into calls of modules
//	evaluation one proposal on its way through a cell: context out, verdict in,
//	           what stands at the end
//
// A module is not trusted. Its manifest and its verdicts are read strictly, and
// whatever is wrong with one becomes a policy error of the entry, which is
// handled by the entry's failure mode and told in the decision record.
package policy
