// Package wasmtest assembles small WebAssembly modules for tests, so that no
// binaries need to be kept and hostile ones can be written down plainly. It
// checks nothing: wrong modules are what tests often want. Only tests import it.
package wasmtest

// Value types, and the reference types of tables.
const (
	I32       = 0x7f
	I64       = 0x7e
	F32       = 0x7d
	F64       = 0x7c
	V128      = 0x7b
	FuncRef   = 0x70
	ExternRef = 0x6f
	Void      = 0x40 // of a block without a result
)

// Kinds of imports and exports.
const (
	ExternFunc   = 0
	ExternTable  = 1
	ExternMemory = 2
	ExternGlobal = 3
)

// Types is a list of value types.
type Types []byte

// Builder collects the items of a module in the order of their indices. Imported
// functions have to come before the module's own.
type Builder struct {
	types    [][]byte
	imports  [][]byte
	imported uint32 // functions among the imports
	funcs    [][]byte
	tables   [][]byte
	memories [][]byte
	globals  [][]byte
	exports  [][]byte
	elements [][]byte
	codes    [][]byte
	data     [][]byte
	start    []byte
	extra    []byte // raw sections for the end
}

// Type adds a function type and returns its index; equal types are one.
func (m *Builder) Type(params, results Types) uint32 {
	t := join([]byte{0x60}, vector(params), vector(results))
	for k, have := range m.types {
		if string(have) == string(t) {
			return uint32(k)
		}
	}
	m.types = append(m.types, t)
	return uint32(len(m.types) - 1)
}

// ImportFunc adds a function import and returns the function's index.
func (m *Builder) ImportFunc(module, name string, params, results Types) uint32 {
	m.Import(module, name, ExternFunc, Uint(uint64(m.Type(params, results))))
	m.imported++
	return m.imported - 1
}

// Import adds any import; description is what follows the kind.
func (m *Builder) Import(module, name string, kind byte, description []byte) {
	m.imports = append(m.imports, join(vector([]byte(module)), vector([]byte(name)), []byte{kind}, description))
}

// Func adds a function and returns its index. The body's final end is added.
func (m *Builder) Func(params, results, locals Types, body ...[]byte) uint32 {
	m.funcs = append(m.funcs, Uint(uint64(m.Type(params, results))))
	code := Uint(uint64(len(locals)))
	for _, t := range locals {
		code = append(code, 1, t)
	}
	code = join(code, join(body...), []byte{0x0b})
	m.codes = append(m.codes, vector(code))
	return m.imported + uint32(len(m.funcs)-1)
}

// Table adds a table of elements of a reference type; max below 0 is none.
func (m *Builder) Table(ref byte, minimum uint32, maximum int64) uint32 {
	m.tables = append(m.tables, join([]byte{ref}, limits(minimum, maximum)))
	return uint32(len(m.tables) - 1)
}

// Memory adds a memory in pages; max below 0 is none.
func (m *Builder) Memory(minimum uint32, maximum int64) {
	m.memories = append(m.memories, limits(minimum, maximum))
}

// Global adds a global; init is an expression without its end.
func (m *Builder) Global(typ byte, mutable bool, init []byte) uint32 {
	mut := byte(0)
	if mutable {
		mut = 1
	}
	m.globals = append(m.globals, join([]byte{typ, mut}, init, []byte{0x0b}))
	return uint32(len(m.globals) - 1)
}

// Export adds an export.
func (m *Builder) Export(name string, kind byte, index uint32) {
	m.exports = append(m.exports, join(vector([]byte(name)), []byte{kind}, Uint(uint64(index))))
}

// Elements adds an active element segment of functions for table 0.
func (m *Builder) Elements(offset int32, funcs ...uint32) {
	e := join([]byte{0}, I32Const(offset), []byte{0x0b}, Uint(uint64(len(funcs))))
	for _, f := range funcs {
		e = append(e, Uint(uint64(f))...)
	}
	m.elements = append(m.elements, e)
}

// RawElements adds an element segment as its bytes are.
func (m *Builder) RawElements(e []byte) { m.elements = append(m.elements, e) }

// Data adds an active data segment.
func (m *Builder) Data(offset int32, bytes []byte) {
	m.data = append(m.data, join([]byte{0}, I32Const(offset), []byte{0x0b}, vector(bytes)))
}

// Start names the start function.
func (m *Builder) Start(f uint32) { m.start = Uint(uint64(f)) }

// Custom adds a custom section at the end.
func (m *Builder) Custom(name string, body []byte) {
	m.extra = append(m.extra, Section(0, join(vector([]byte(name)), body))...)
}

// Bytes assembles the module.
func (m *Builder) Bytes() []byte {
	out := Header()
	add := func(id byte, items [][]byte) {
		if len(items) > 0 {
			out = append(out, Section(id, join(Uint(uint64(len(items))), join(items...)))...)
		}
	}
	add(1, m.types)
	add(2, m.imports)
	add(3, m.funcs)
	add(4, m.tables)
	add(5, m.memories)
	add(6, m.globals)
	add(7, m.exports)
	if m.start != nil {
		out = append(out, Section(8, m.start)...)
	}
	add(9, m.elements)
	add(10, m.codes)
	add(11, m.data)
	return append(out, m.extra...)
}

// Header is the magic number and the version.
func Header() []byte { return []byte{0, 'a', 's', 'm', 1, 0, 0, 0} }

// Section is a section with its id and size.
func Section(id byte, body []byte) []byte { return join([]byte{id}, vector(body)) }

// Uint is an unsigned LEB128 number.
func Uint(v uint64) []byte {
	var out []byte
	for v >= 0x80 {
		out = append(out, byte(v)|0x80)
		v >>= 7
	}
	return append(out, byte(v))
}

// Int is a signed LEB128 number.
func Int(v int64) []byte {
	var out []byte
	for {
		b := byte(v & 0x7f)
		v >>= 7
		if (v == 0 && b&0x40 == 0) || (v == -1 && b&0x40 != 0) {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}

func join(parts ...[]byte) []byte {
	out := []byte{}
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func vector(bytes []byte) []byte { return join(Uint(uint64(len(bytes))), bytes) }

func limits(minimum uint32, maximum int64) []byte {
	if maximum < 0 {
		return join([]byte{0}, Uint(uint64(minimum)))
	}
	return join([]byte{1}, Uint(uint64(minimum)), Uint(uint64(maximum)))
}
