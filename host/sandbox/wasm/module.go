package wasm

import "slices"

// ValueType is the type of a value. Unknown stands for any type in code that is
// not reached.
type ValueType byte

// The value types.
const (
	Unknown   ValueType = 0
	I32       ValueType = 0x7f
	I64       ValueType = 0x7e
	F32       ValueType = 0x7d
	F64       ValueType = 0x7c
	V128      ValueType = 0x7b
	FuncRef   ValueType = 0x70
	ExternRef ValueType = 0x6f
)

func (t ValueType) String() string {
	switch t {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
		return "f32"
	case F64:
		return "f64"
	case V128:
		return "v128"
	case FuncRef:
		return "funcref"
	case ExternRef:
		return "externref"
	default:
		return "unknown"
	}
}

func (t ValueType) reference() bool { return t == FuncRef || t == ExternRef }

func (t ValueType) valid() bool { return t >= V128 && t <= I32 || t.reference() }

// FuncType is a function's type.
type FuncType struct {
	Params, Results []ValueType
}

// Equal says whether two types are one.
func (t *FuncType) Equal(o *FuncType) bool {
	return slices.Equal(t.Params, o.Params) && slices.Equal(t.Results, o.Results)
}

// ExternKind is what an import or export is.
type ExternKind byte

// The kinds of imports and exports.
const (
	ExternFunc ExternKind = iota
	ExternTable
	ExternMemory
	ExternGlobal
)

func (k ExternKind) String() string {
	return [...]string{"function", "table", "memory", "global"}[k]
}

// Import is an item that the module wants from outside.
type Import struct {
	Module, Name string
	Kind         ExternKind
	Type         uint32 // of a function
	Offset       int
}

// Export is an item that the module shows.
type Export struct {
	Name  string
	Kind  ExternKind
	Index uint32
}

// Limits are a size and what it may grow to.
type Limits struct {
	Min, Max uint32
	HasMax   bool
}

// Table is a table, imported or not.
type Table struct {
	Type ValueType
	Limits
}

// Global is a global, imported or not.
type Global struct {
	Type    ValueType
	Mutable bool
}

// NoFunc stands for the function of an entry that has none.
const NoFunc = 1<<32 - 1

// Element is an element segment.
type Element struct {
	Type   ValueType
	Active bool
	Table  uint32 // which an active one fills
	Offset uint32 // from where on, if Constant
	// Constant says that Offset and Funcs are known, which is so unless they follow
	// from imported globals.
	Constant bool
	Funcs    []uint32
}

// Data is a data segment.
type Data struct {
	Active bool
	Offset uint32 // where an active one goes, if Constant
	// Constant says that Offset is known, which is so unless it follows from an
	// imported global.
	Constant   bool
	Start, End int // its bytes
}

// Body is the code of one function.
type Body struct {
	Start, End int // of locals and instructions, without the size
	Code       int // where the instructions start
	Locals     int // declared ones
	Wide       bool
	// MaxHeight is the most operands that are on the stack at a time.
	MaxHeight int
	Calls     bool // has call or call_indirect
	Indirect  bool // has call_indirect
}

// Section is the place of a section.
type Section struct {
	ID         byte
	Start, End int // of its body
}

// Module is a decoded and valid binary.
type Module struct {
	Bytes    []byte
	Sections []Section // without custom ones
	Types    []FuncType
	Imports  []Import
	Funcs    []uint32 // types of all functions, imported ones first
	Tables   []Table
	Memories []Limits
	Globals  []Global
	Exports  []Export
	HasStart bool
	Elements []Element
	Data     []Data
	Bodies   []Body

	ImportedFuncs, ImportedTables, ImportedMemories, ImportedGlobals int

	// MutatesTables says that some instruction changes a table.
	MutatesTables bool
	// UsesTables says that some instruction does more with a table than to call
	// through it, or makes a reference to a function.
	UsesTables bool
	// Called are the types, by their indices, that functions have which are called
	// through a table.
	Called []bool
	// DropsSegments says that some instruction drops a data or element segment.
	DropsSegments bool
	// UsesSegments says that some instruction names a data segment.
	UsesSegments bool

	declared  []bool // functions that ref.func may name
	dataCount int    // of the data count section, or -1
}

// FuncType is the type of function f.
func (m *Module) FuncType(f uint32) *FuncType { return &m.Types[m.Funcs[f]] }

// Section finds a section.
func (m *Module) Section(id byte) (Section, bool) {
	for _, s := range m.Sections {
		if s.ID == id {
			return s, true
		}
	}
	return Section{}, false
}
