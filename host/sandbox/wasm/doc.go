// Package wasm reads and validates WebAssembly binaries that nobody vouches
// for: every count is held against the bytes that are left, everything has a
// cap, and no allocation is larger than the input pays for. It accepts the
// WebAssembly 2.0 core specification and nothing newer; what it accepts is valid
// by that specification's typing rules, so that a rewriter can rely on it.
package wasm

import "fmt"

// Error says where and why a binary is not accepted.
type Error struct {
	Offset int // byte offset in the binary
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("byte %d: %s", e.Offset, e.Reason) }

// Caps bound a module. A zero field stands for its default, which leaves room
// for what compilers of Go, Rust, C, Zig and AssemblyScript make.
type Caps struct {
	Types        int // function types; default 10,000
	Arity        int // parameters of a function type, and its results; default 64
	Imports      int // default 64
	Functions    int // functions of the module; default 30,000
	BodyBytes    int // code of one function; default 1 MiB
	Locals       int // locals of one function; default 4,000
	Nesting      int // blocks within blocks; default 2,000
	BranchTable  int // targets of one br_table; default 8,000
	BulkOps      int // bulk memory and table instructions of one function; default 200
	JoinWork     int // variables times blocks over all functions, what compile time follows; default 4 million
	Globals      int // default 1,000
	Tables       int // default 8
	TableEntries int // entries of a table, at the start and ever; default 50,000
	MemoryPages  int // pages of 64 KiB, at the start and ever; default 64
	Elements     int // element segments, and the entries of all; default 50,000
	Data         int // data segments, of which Go makes many; default 200,000
	Exports      int // default 1,000
	NameBytes    int // one import or export name; default 512
	Customs      int // custom sections; default 100
}

// WithDefaults returns the caps with zero fields filled in.
func (c Caps) WithDefaults() Caps {
	for _, f := range []struct {
		field *int
		value int
	}{
		{&c.Types, 10_000}, {&c.Arity, 64}, {&c.Imports, 64}, {&c.Functions, 30_000}, {&c.BodyBytes, 1 << 20},
		{&c.Locals, 4_000}, {&c.Nesting, 2_000}, {&c.BranchTable, 8_000}, {&c.BulkOps, 200}, {&c.JoinWork, 4_000_000},
		{&c.Globals, 1_000}, {&c.Tables, 8}, {&c.TableEntries, 50_000}, {&c.MemoryPages, 64}, {&c.Elements, 50_000},
		{&c.Data, 200_000}, {&c.Exports, 1_000}, {&c.NameBytes, 512}, {&c.Customs, 100},
	} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	return c
}
