package wasm

// Op is an opcode; those after a prefix byte are prefix<<8 | number.
type Op uint16

// The opcodes that are more than their operands' types.
const (
	OpUnreachable  Op = 0x00
	OpNop          Op = 0x01
	OpBlock        Op = 0x02
	OpLoop         Op = 0x03
	OpIf           Op = 0x04
	OpElse         Op = 0x05
	OpEnd          Op = 0x0b
	OpBr           Op = 0x0c
	OpBrIf         Op = 0x0d
	OpBrTable      Op = 0x0e
	OpReturn       Op = 0x0f
	OpCall         Op = 0x10
	OpCallIndirect Op = 0x11
	OpDrop         Op = 0x1a
	OpSelect       Op = 0x1b
	OpSelectTyped  Op = 0x1c
	OpLocalGet     Op = 0x20
	OpLocalSet     Op = 0x21
	OpLocalTee     Op = 0x22
	OpGlobalGet    Op = 0x23
	OpGlobalSet    Op = 0x24
	OpTableGet     Op = 0x25
	OpTableSet     Op = 0x26
	OpI32Load      Op = 0x28
	OpI64Store32   Op = 0x3e
	OpMemorySize   Op = 0x3f
	OpMemoryGrow   Op = 0x40
	OpI32Const     Op = 0x41
	OpI64Const     Op = 0x42
	OpF32Const     Op = 0x43
	OpF64Const     Op = 0x44
	OpRefNull      Op = 0xd0
	OpRefIsNull    Op = 0xd1
	OpRefFunc      Op = 0xd2

	OpMemoryInit Op = 0xfc08
	OpDataDrop   Op = 0xfc09
	OpMemoryCopy Op = 0xfc0a
	OpMemoryFill Op = 0xfc0b
	OpTableInit  Op = 0xfc0c
	OpElemDrop   Op = 0xfc0d
	OpTableCopy  Op = 0xfc0e
	OpTableGrow  Op = 0xfc0f
	OpTableSize  Op = 0xfc10
	OpTableFill  Op = 0xfc11

	OpV128Const Op = 0xfd0c
	OpShuffle   Op = 0xfd0d

	prefixMisc = 0xfc
	prefixSIMD = 0xfd
)

// shape is what an instruction takes and gives, and what follows its opcode.
type shape struct {
	params  string // a letter for each value: i I f F V
	results string
	align   uint8 // of a memory access: log2 of its width, plus 1
	lanes   uint8 // how many lanes there are to choose from, for one lane byte
	known   bool
}

// run gives one shape to the opcodes from first to last.
type run struct {
	first, last Op
	shape       shape
}

func op(params, results string) shape { return shape{params: params, results: results} }

func access(params, results string, log2 uint8) shape {
	return shape{params: params, results: results, align: log2 + 1}
}

func lane(params, results string, lanes uint8) shape {
	return shape{params: params, results: results, lanes: lanes}
}

func laneAccess(params, results string, log2 uint8) shape {
	return shape{params: params, results: results, align: log2 + 1, lanes: 16 >> log2}
}

func plainRuns() []run {
	return []run{
		{0x28, 0x28, access("i", "i", 2)}, {0x29, 0x29, access("i", "I", 3)},
		{0x2a, 0x2a, access("i", "f", 2)}, {0x2b, 0x2b, access("i", "F", 3)},
		{0x2c, 0x2d, access("i", "i", 0)}, {0x2e, 0x2f, access("i", "i", 1)},
		{0x30, 0x31, access("i", "I", 0)}, {0x32, 0x33, access("i", "I", 1)}, {0x34, 0x35, access("i", "I", 2)},
		{0x36, 0x36, access("ii", "", 2)}, {0x37, 0x37, access("iI", "", 3)},
		{0x38, 0x38, access("if", "", 2)}, {0x39, 0x39, access("iF", "", 3)},
		{0x3a, 0x3a, access("ii", "", 0)}, {0x3b, 0x3b, access("ii", "", 1)},
		{0x3c, 0x3c, access("iI", "", 0)}, {0x3d, 0x3d, access("iI", "", 1)}, {0x3e, 0x3e, access("iI", "", 2)},
		{0x45, 0x45, op("i", "i")}, {0x46, 0x4f, op("ii", "i")},
		{0x50, 0x50, op("I", "i")}, {0x51, 0x5a, op("II", "i")},
		{0x5b, 0x60, op("ff", "i")}, {0x61, 0x66, op("FF", "i")},
		{0x67, 0x69, op("i", "i")}, {0x6a, 0x78, op("ii", "i")},
		{0x79, 0x7b, op("I", "I")}, {0x7c, 0x8a, op("II", "I")},
		{0x8b, 0x91, op("f", "f")}, {0x92, 0x98, op("ff", "f")},
		{0x99, 0x9f, op("F", "F")}, {0xa0, 0xa6, op("FF", "F")},
		{0xa7, 0xa7, op("I", "i")}, {0xa8, 0xa9, op("f", "i")}, {0xaa, 0xab, op("F", "i")},
		{0xac, 0xad, op("i", "I")}, {0xae, 0xaf, op("f", "I")}, {0xb0, 0xb1, op("F", "I")},
		{0xb2, 0xb3, op("i", "f")}, {0xb4, 0xb5, op("I", "f")}, {0xb6, 0xb6, op("F", "f")},
		{0xb7, 0xb8, op("i", "F")}, {0xb9, 0xba, op("I", "F")}, {0xbb, 0xbb, op("f", "F")},
		{0xbc, 0xbc, op("f", "i")}, {0xbd, 0xbd, op("F", "I")}, {0xbe, 0xbe, op("i", "f")}, {0xbf, 0xbf, op("I", "F")},
		{0xc0, 0xc1, op("i", "i")}, {0xc2, 0xc4, op("I", "I")},
	}
}

func miscRuns() []run {
	return []run{
		{0, 1, op("f", "i")}, {2, 3, op("F", "i")}, {4, 5, op("f", "I")}, {6, 7, op("F", "I")},
		{8, 8, op("iii", "")}, {10, 12, op("iii", "")}, {14, 14, op("iii", "")},
	}
}

func simdRuns() []run {
	unary, binary, shift := op("V", "V"), op("VV", "V"), op("Vi", "V")
	test := op("V", "i")
	return []run{
		{0, 0, access("i", "V", 4)}, {1, 6, access("i", "V", 3)}, {7, 7, access("i", "V", 0)}, {8, 8, access("i", "V", 1)},
		{9, 9, access("i", "V", 2)}, {10, 10, access("i", "V", 3)}, {11, 11, access("iV", "", 4)},
		{12, 12, op("", "V")}, {13, 14, binary},
		{15, 17, op("i", "V")}, {18, 18, op("I", "V")}, {19, 19, op("f", "V")}, {20, 20, op("F", "V")},
		{21, 22, lane("V", "i", 16)}, {23, 23, lane("Vi", "V", 16)}, {24, 25, lane("V", "i", 8)}, {26, 26, lane("Vi", "V", 8)},
		{27, 27, lane("V", "i", 4)}, {28, 28, lane("Vi", "V", 4)}, {29, 29, lane("V", "I", 2)}, {30, 30, lane("VI", "V", 2)},
		{31, 31, lane("V", "f", 4)}, {32, 32, lane("Vf", "V", 4)}, {33, 33, lane("V", "F", 2)}, {34, 34, lane("VF", "V", 2)},
		{35, 76, binary}, {77, 77, unary}, {78, 81, binary}, {82, 82, op("VVV", "V")}, {83, 83, test},
		{84, 84, laneAccess("iV", "V", 0)}, {85, 85, laneAccess("iV", "V", 1)}, {86, 86, laneAccess("iV", "V", 2)}, {87, 87, laneAccess("iV", "V", 3)},
		{88, 88, laneAccess("iV", "", 0)}, {89, 89, laneAccess("iV", "", 1)}, {90, 90, laneAccess("iV", "", 2)}, {91, 91, laneAccess("iV", "", 3)},
		{92, 92, access("i", "V", 2)}, {93, 93, access("i", "V", 3)}, {94, 98, unary},
		{99, 100, test}, {101, 102, binary}, {103, 106, unary}, {107, 109, shift}, {110, 115, binary}, {116, 117, unary},
		{118, 121, binary}, {122, 122, unary}, {123, 123, binary}, {124, 129, unary}, {130, 130, binary},
		{131, 132, test}, {133, 134, binary}, {135, 138, unary}, {139, 141, shift}, {142, 147, binary}, {148, 148, unary},
		{149, 153, binary}, {155, 159, binary}, {160, 161, unary}, {163, 164, test}, {167, 170, unary}, {171, 173, shift},
		{174, 174, binary}, {177, 177, binary}, {181, 186, binary}, {188, 191, binary}, {192, 193, unary}, {195, 196, test},
		{199, 202, unary}, {203, 205, shift}, {206, 206, binary}, {209, 209, binary}, {213, 223, binary},
		{224, 225, unary}, {227, 227, unary}, {228, 235, binary}, {236, 237, unary}, {239, 239, unary}, {240, 247, binary},
		{248, 255, unary},
	}
}

func table(runs []run) (t [256]shape) {
	for _, r := range runs {
		for k := r.first; k <= r.last; k++ {
			t[k] = r.shape
			t[k].known = true
		}
	}
	return t
}

// The shapes by opcode, never changed.
var (
	plain = table(plainRuns())
	misc  = table(miscRuns())
	simd  = table(simdRuns())
)

// shapeOf gives the shape of an instruction that has one.
func shapeOf(o Op) *shape {
	switch o >> 8 {
	case prefixMisc:
		return &misc[o&0xff]
	case prefixSIMD:
		return &simd[o&0xff]
	default:
		return &plain[o]
	}
}
