package wasm_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/interlock-run/interlock/host/sandbox/wasm"
	. "github.com/interlock-run/interlock/host/sandbox/wasmtest"
)

// raw is a module of the sections given.
func raw(sections ...[]byte) []byte { return Code(append([][]byte{Header()}, sections...)...) }

// oneFunc is a module with a memory, a table and one function () -> ().
func oneFunc(locals Types, body ...[]byte) []byte {
	m := &Builder{}
	m.Memory(1, -1)
	m.Table(0x70, 1, -1)
	m.Func(nil, nil, locals, body...)
	return m.Bytes()
}

func repeat(n int, code []byte) []byte {
	out := make([]byte, 0, n*len(code))
	for range n {
		out = append(out, code...)
	}
	return out
}

// huge is a count that nobody has the bytes for.
var huge = []byte{0xff, 0xff, 0xff, 0xff, 0x0f}

func TestRefusals(t *testing.T) {
	nested := func(n int) []byte { return Code(repeat(n, Op(0x02, Void)), repeat(n, Op(End))) }
	brTable := func(n int) []byte {
		return Code(I32Const(0), Op(0x0e), Uint(uint64(n)), make([]byte, n+1))
	}
	memory := func(flag byte, limits ...[]byte) []byte {
		return raw(Section(wasm.SecMemory, Code(Op(1, flag), Code(limits...))))
	}
	imports := &Builder{}
	for range 65 {
		imports.ImportFunc("wasi_snapshot_preview1", "sched_yield", nil, Types{0x7f})
	}
	for _, c := range []struct {
		name   string
		bytes  []byte
		offset int // -1: any
		want   string
	}{
		{"empty", nil, 0, "magic"},
		{"text", []byte("(module)"), 0, "magic"},
		{"version 2", []byte("\x00asm\x02\x00\x00\x00"), 4, "version 1"},
		{"14 bytes with 4 billion imports", raw(Section(wasm.SecImport, huge)), 10, "cannot fit into the 0 bytes left"},
		{"4 billion types", raw(Section(wasm.SecType, huge)), 10, "cannot fit"},
		{"4 billion functions", raw(Section(wasm.SecFunction, huge)), 10, "cannot fit"},
		{"4 billion globals", raw(Section(wasm.SecGlobal, huge)), 10, "cannot fit"},
		{"4 billion exports", raw(Section(wasm.SecExport, huge)), 10, "cannot fit"},
		{"4 billion elements", raw(Section(wasm.SecElement, huge)), 10, "cannot fit"},
		{"4 billion bodies", raw(Section(wasm.SecCode, huge)), 10, "cannot fit"},
		{"4 billion data segments", raw(Section(wasm.SecData, huge)), 10, "cannot fit"},
		{"data count of 4 billion", raw(Section(wasm.SecDataCount, huge)), 10, "4294967295 data segments, the limit is"},
		{"section beyond the end", raw(Op(wasm.SecType, 0x7f)), 9, "127 bytes of a section cannot fit"},
		{"unknown section", raw(Section(13, nil)), 8, "unknown section 13"},
		{"section twice", raw(Section(wasm.SecType, Op(0)), Section(wasm.SecType, Op(0))), 11, "twice"},
		{"sections out of order", raw(Section(wasm.SecFunction, Op(0)), Section(wasm.SecType, Op(0))), 11, "out of order"},
		{"section too long", raw(Section(wasm.SecType, Op(0, 0))), 11, "1 bytes too many"},
		{"custom name beyond its section", raw(Section(wasm.SecCustom, Op(9, 'x'))), 10, "cannot fit"},
		{"number of too many bytes", raw(Section(wasm.SecType, []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0})), 10, "too large"},
		{"65 imports", imports.Bytes(), -1, "65 imports, the limit is 64"},
		{"memory of 4 GiB", memory(0, Uint(65536)), -1, "starts with 65536, the limit is 64"},
		{"memory over 4 GiB", memory(0, Uint(65537)), -1, "65536 at most"},
		{"shared memory", memory(3, Uint(1), Uint(1)), -1, "flag 0x03"},
		{"64-bit memory", memory(4, Uint(1)), -1, "flag 0x04"},
		{"two memories", raw(Section(wasm.SecMemory, Op(2, 0, 1, 0, 1))), -1, "2 memories, the limit is 1"},
		{"table to the sky", raw(Section(wasm.SecTable, Code(Op(1, 0x70, 0), Uint(1<<30)))), -1, "a table starts with 1073741824"},
		{"nine tables", raw(Section(wasm.SecTable, Code(Op(9), repeat(9, Op(0x70, 0, 0))))), -1, "9 tables, the limit is 8"},
		{"locals in one group", raw(
			Section(wasm.SecType, Op(1, 0x60, 0, 0)), Section(wasm.SecFunction, Op(1, 0)),
			Section(wasm.SecCode, Code(Op(1, 8), Op(1), huge, Op(0x7f), Op(End)))), -1, "more than 4000 locals"},
		{"40,000 nested blocks", oneFunc(nil, nested(40_000)), -1, "blocks within blocks 2001 deep, the limit is 2000"},
		{"giant br_table", oneFunc(nil, brTable(100_000)), -1, "100000 branch targets, the limit is 8000"},
		{"br_table beyond the body", oneFunc(nil, I32Const(0), Op(0x0e), huge), -1, "cannot fit"},
		{"body too big", oneFunc(nil, repeat(1<<20, Op(Nop))), -1, "the limit is 1048576"},
		{"201 fills", oneFunc(nil, repeat(201, Code(I32Const(0), I32Const(0), I32Const(0), Fill()))), -1, "more than 200 bulk"},
		{"missing operand", oneFunc(nil, Op(Drop)), -1, "an operand is missing"},
		{"unknown local", oneFunc(nil, I64Const(0), LocalSet(0)), -1, "local 0 of 0"},
		{"wrong operand", oneFunc(Types{0x7f}, I64Const(0), LocalSet(0)), -1, "an operand is i64, want i32"},
		{"left over", oneFunc(nil, I32Const(0)), -1, "1 operands are left over"},
		{"branch out", oneFunc(nil, Br(1)), -1, "a branch out of 1 blocks"},
		{"unknown function", oneFunc(nil, Call(1)), -1, "function 1 of 1"},
		{"block of type 2^31", oneFunc(nil, Op(0x02, 0x80, 0x80, 0x80, 0x80, 0x08)), -1, "no block type"},
		{"block of type 2^32-1", oneFunc(nil, Op(0x02, 0xff, 0xff, 0xff, 0xff, 0x0f)), -1, "no block type"},
		{"block of an unknown type", oneFunc(nil, Op(0x02, 7)), -1, "type 7 of 1"},
		{"unknown type", oneFunc(nil, I32Const(0), CallIndirect(7, 0)), -1, "type 7 of 1"},
		{"unknown global", oneFunc(nil, GlobalGet(0), Op(Drop)), -1, "global 0 of 0"},
		{"unknown instruction", oneFunc(nil, Op(0x06)), -1, "unknown instruction 0x06"},
		{"tail call", oneFunc(nil, Op(0x12, 0)), -1, "unknown instruction 0x12"},
		{"atomic", oneFunc(nil, Op(0xfe, 0)), -1, "unknown instruction 0xfe"},
		{"unknown SIMD instruction", oneFunc(nil, Op(0xfd), Uint(300)), -1, "unknown instruction 0xfd 300"},
		{"no end", oneFunc(nil, Op(0x02, Void)), -1, "unexpected end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := wasm.Decode(c.bytes, wasm.Caps{})
			var e *wasm.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %T %v, want an Error", err, err)
			}
			if !strings.Contains(e.Reason, c.want) {
				t.Errorf("reason %q lacks %q", e.Reason, c.want)
			}
			if c.offset >= 0 && e.Offset != c.offset {
				t.Errorf("offset %d, want %d", e.Offset, c.offset)
			}
		})
	}
}

func TestManyVariablesTimesBlocks(t *testing.T) {
	locals := make(Types, 2000)
	for k := range locals {
		locals[k] = I32
	}
	bytes := oneFunc(locals, repeat(2500, Block(Void)))
	if _, err := wasm.Decode(bytes, wasm.Caps{}); err == nil || !strings.Contains(err.Error(), "variables times blocks") {
		t.Errorf("got %v", err)
	}
}

// FuzzDecode wants an answer for every input, and that a refusal has a place
// within it.
func FuzzDecode(f *testing.F) {
	f.Add(Policy(&Builder{}).Evaluate(nil, Echo()))
	f.Add(oneFunc(Types{0x7f, 0x7b}, Block(Void, Loop(Void, I32Const(1), BrIf(0), Br(1)))))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := wasm.Decode(b, wasm.Caps{})
		var e *wasm.Error
		switch {
		case err == nil && m == nil:
			t.Fatal("neither a module nor an error")
		case err == nil:
		case !errors.As(err, &e):
			t.Fatalf("error of type %T", err)
		case e.Offset < 0 || e.Offset > len(b):
			t.Fatalf("offset %d of %d bytes", e.Offset, len(b))
		}
	})
}
