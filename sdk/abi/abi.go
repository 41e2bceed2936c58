// Package abi is the contract between the host and a policy module, version 1:
// the names that a module exports and may import, and the closed lists of
// decisions, flags, facts and effects. It holds names and shapes, no behaviour.
package abi

// Version is what interlock_abi returns.
const Version = 1

// What a module must export. Pointers and lengths are i32; a packed result is
// ptr<<32|len in an i64.
const (
	ExportMemory   = "memory"
	ExportABI      = "interlock_abi"      // () -> i32, always Version
	ExportAlloc    = "interlock_alloc"    // (size i32) -> ptr i32
	ExportManifest = "interlock_manifest" // () -> packed i64, the manifest as JSON
	ExportEvaluate = "interlock_evaluate" // (ptr i32, len i32) -> packed i64, the verdict as JSON
	ExportInit     = "_initialize"        // optional: () -> ()
)

// ImportModule is the only module that a guest may import from.
const ImportModule = "wasi_snapshot_preview1"
