package wasmtest

// Where [Policy] puts things in its memory of two pages.
const (
	ManifestAt = 16
	InputAt    = 1024
	InputMax   = 60 << 10
	FreeAt     = 1 << 16 // the second page is free to use
)

// Manifest is what policies of [Policy] return as theirs.
const Manifest = `{"abi":1,"name":"test"}`

// Policy is a module with all that the interface wants, but for
// interlock_evaluate: that is for the test to add with [Builder.Evaluate].
// Function imports have to be there before.
func Policy(m *Builder) *Builder { return PolicyOf(m, Manifest, 2) }

// PolicyOf is [Policy] with another manifest, of less than 1000 bytes, and a memory
// of that many pages.
func PolicyOf(m *Builder, manifest string, pages uint32) *Builder {
	m.Memory(pages, -1)
	m.Export("memory", ExternMemory, 0)
	m.Data(ManifestAt, []byte(manifest))
	m.ExportFunc("interlock_abi", nil, Types{I32}, nil, I32Const(1))
	m.ExportFunc("interlock_alloc", Types{I32}, Types{I32}, nil, I32Const(InputAt))
	m.ExportFunc("interlock_manifest", nil, Types{I64}, nil, Pack(ManifestAt, uint32(len(manifest))))
	return m
}

// Evaluate adds interlock_evaluate (locals 0 and 1 are pointer and length) and
// returns the assembled module.
func (m *Builder) Evaluate(locals Types, body ...[]byte) []byte {
	m.ExportFunc("interlock_evaluate", Types{I32, I32}, Types{I64}, locals, body...)
	return m.Bytes()
}

// ExportFunc adds a function and exports it.
func (m *Builder) ExportFunc(name string, params, results, locals Types, body ...[]byte) uint32 {
	f := m.Func(params, results, locals, body...)
	m.Export(name, ExternFunc, f)
	return f
}

// Echo is the body of an interlock_evaluate that returns its input.
func Echo() []byte {
	return Code(LocalGet(0), Op(I64ExtendU), I64Const(32), Op(I64Shl), LocalGet(1), Op(I64ExtendU), Op(I64Or))
}
