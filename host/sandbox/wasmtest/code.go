package wasmtest

// Op is an instruction, or several, given as bytes.
func Op(bytes ...byte) []byte { return bytes }

// Code puts instructions in a row.
func Code(parts ...[]byte) []byte { return join(parts...) }

// I32Const pushes v.
func I32Const(v int32) []byte { return join([]byte{0x41}, Int(int64(v))) }

// I64Const pushes v.
func I64Const(v int64) []byte { return join([]byte{0x42}, Int(v)) }

// LocalGet pushes local n.
func LocalGet(n uint32) []byte { return join([]byte{0x20}, Uint(uint64(n))) }

// LocalSet pops into local n.
func LocalSet(n uint32) []byte { return join([]byte{0x21}, Uint(uint64(n))) }

// LocalTee copies the top into local n.
func LocalTee(n uint32) []byte { return join([]byte{0x22}, Uint(uint64(n))) }

// GlobalGet pushes global n.
func GlobalGet(n uint32) []byte { return join([]byte{0x23}, Uint(uint64(n))) }

// GlobalSet pops into global n.
func GlobalSet(n uint32) []byte { return join([]byte{0x24}, Uint(uint64(n))) }

// Call calls function n.
func Call(n uint32) []byte { return join([]byte{0x10}, Uint(uint64(n))) }

// CallIndirect calls through a table.
func CallIndirect(typ, table uint32) []byte {
	return join([]byte{0x11}, Uint(uint64(typ)), Uint(uint64(table)))
}

// Block is a block with its end.
func Block(typ byte, body ...[]byte) []byte {
	return join([]byte{0x02, typ}, join(body...), []byte{0x0b})
}

// Loop is a loop with its end.
func Loop(typ byte, body ...[]byte) []byte {
	return join([]byte{0x03, typ}, join(body...), []byte{0x0b})
}

// If is an if without else.
func If(typ byte, body ...[]byte) []byte {
	return join([]byte{0x04, typ}, join(body...), []byte{0x0b})
}

// Br branches to the label at depth n.
func Br(n uint32) []byte { return join([]byte{0x0c}, Uint(uint64(n))) }

// BrIf branches when the top is not zero.
func BrIf(n uint32) []byte { return join([]byte{0x0d}, Uint(uint64(n))) }

// Load is a load or store with alignment 0.
func Load(op byte, offset uint32) []byte { return join([]byte{op, 0}, Uint(uint64(offset))) }

// Misc is an instruction with the prefix 0xfc.
func Misc(op uint32, immediates ...byte) []byte {
	return join([]byte{0xfc}, Uint(uint64(op)), immediates)
}

// Instructions without immediates, and the loads and stores for [Load].
const (
	Unreachable = 0x00
	Nop         = 0x01
	Else        = 0x05
	End         = 0x0b
	Return      = 0x0f
	Drop        = 0x1a
	Select      = 0x1b
	I32Load     = 0x28
	I64Load     = 0x29
	I32Load8U   = 0x2d
	I32Store    = 0x36
	I64Store    = 0x37
	I32Store8   = 0x3a
	I32Eqz      = 0x45
	I32Eq       = 0x46
	I32LtU      = 0x49
	I32Add      = 0x6a
	I32Sub      = 0x6b
	I32Mul      = 0x6c
	I32DivU     = 0x6e
	I32And      = 0x71
	I64Add      = 0x7c
	I64Or       = 0x84
	I64Shl      = 0x86
	I64ExtendU  = 0xad // i64.extend_i32_u
)

// MemoryGrow grows memory 0.
func MemoryGrow() []byte { return []byte{0x40, 0} }

// MemorySize pushes the size of memory 0 in pages.
func MemorySize() []byte { return []byte{0x3f, 0} }

// Fill is memory.fill.
func Fill() []byte { return Misc(11, 0) }

// Copy is memory.copy.
func Copy() []byte { return Misc(10, 0, 0) }

// Pack makes ptr<<32|len of two constants.
func Pack(ptr, size uint32) []byte { return I64Const(int64(uint64(ptr)<<32 | uint64(size))) }
