package wasm

// check is the typing rule of each instruction.
func (v *validator) check(in *Instr) {
	switch in.Op {
	case OpUnreachable:
		v.dead()
	case OpNop:
	case OpBlock, OpLoop, OpIf:
		if in.Op == OpIf {
			v.want(I32)
		}
		if k := in.Block.Index; k >= 0 && !v.inRange("type", uint32(k), len(v.m.Types)) {
			return
		}
		v.wantAll(v.params(in.Block))
		if v.err == nil {
			v.push(in.Op, in.Block)
		}
	case OpElse:
		f := v.close()
		if f.op != OpIf {
			v.bad("an else without its if")
			return
		}
		v.push(OpElse, f.block)
	case OpEnd:
		v.end()
	case OpBr, OpBrIf, OpBrTable, OpReturn:
		v.branch(in)
	case OpCall, OpCallIndirect:
		v.call(in)
	case OpDrop:
		v.pop()
	case OpSelect:
		v.want(I32)
		a := v.pop()
		b := v.pop()
		if a.reference() || b.reference() || (a != b && a != Unknown && b != Unknown) {
			v.bad("a select between %s and %s", b, a)
		}
		v.put(max(a, b))
	case OpSelectTyped:
		v.want(I32)
		v.want(ValueType(in.B))
		v.want(ValueType(in.B))
		v.put(ValueType(in.B))
	case OpLocalGet, OpLocalSet, OpLocalTee, OpGlobalGet, OpGlobalSet:
		v.variable(in)
	case OpMemorySize, OpMemoryGrow, OpMemoryFill, OpMemoryCopy, OpMemoryInit, OpDataDrop:
		v.memory(in)
	case OpTableGet, OpTableSet, OpTableInit, OpElemDrop, OpTableCopy, OpTableGrow, OpTableSize, OpTableFill:
		v.table(in)
	case OpI32Const:
		v.put(I32)
	case OpI64Const:
		v.put(I64)
	case OpF32Const:
		v.put(F32)
	case OpF64Const:
		v.put(F64)
	case OpRefNull:
		v.put(ValueType(in.A))
	case OpRefIsNull:
		if t := v.pop(); t != Unknown && !t.reference() {
			v.bad("ref.is_null of %s", t)
		}
		v.put(I32)
	case OpRefFunc:
		v.m.UsesTables = true
		if v.inRange("function", in.A, len(v.m.Funcs)) && (v.m.declared == nil || !v.m.declared[in.A]) {
			v.bad("ref.func of function %d, which is not declared", in.A)
		}
		v.put(FuncRef)
	default:
		v.checkShape(in.Op)
	}
}

func (v *validator) end() {
	f := v.close()
	if v.err != nil {
		return
	}
	results := v.results(f.block)
	if f.op == OpIf && !sameTypes(v.params(f.block), results) {
		v.bad("an if without else has other results than parameters")
		return
	}
	v.putAll(results)
}

func sameTypes(a, b []ValueType) bool { return string(bytesOf(a)) == string(bytesOf(b)) }

func bytesOf(types []ValueType) []byte {
	out := make([]byte, len(types))
	for k, t := range types {
		out[k] = byte(t)
	}
	return out
}

func (v *validator) branch(in *Instr) {
	switch in.Op {
	case OpBr:
		v.wantAll(v.label(in.A))
		v.dead()
	case OpBrIf:
		v.want(I32)
		types := v.label(in.A)
		v.wantAll(types)
		v.putAll(types)
	case OpReturn:
		v.wantAll(v.fn.Results)
		v.dead()
	case OpBrTable:
		v.brTable(in)
	}
}

func (v *validator) brTable(in *Instr) {
	v.want(I32)
	last := v.label(in.B)
	targets := Reader{b: v.b, pos: in.Targets, end: in.End}
	for range in.A {
		types := v.label(targets.u32())
		if v.err != nil {
			return
		}
		if len(types) != len(last) {
			v.bad("the targets of a br_table want different numbers of values")
			return
		}
		v.peekAll(types)
	}
	v.wantAll(last)
	v.dead()
}

// peekAll checks the operands on top and leaves them there.
func (v *validator) peekAll(types []ValueType) {
	f := &v.frames[len(v.frames)-1]
	for k := range types {
		at := len(v.operands) - 1 - k
		want := types[len(types)-1-k]
		if at < int(f.height) {
			if !f.unreachable {
				v.bad("an operand is missing")
			}
			return
		}
		if got := v.operands[at]; got != want && got != Unknown {
			v.bad("an operand is %s, want %s", got, want)
			return
		}
	}
}

func (v *validator) call(in *Instr) {
	v.out.Calls = true
	var t *FuncType
	if in.Op == OpCall {
		if !v.inRange("function", in.A, len(v.m.Funcs)) {
			return
		}
		t = v.m.FuncType(in.A)
	} else {
		if !v.inRange("type", in.A, len(v.m.Types)) || !v.inRange("table", in.B, len(v.m.Tables)) {
			return
		}
		if v.m.Tables[in.B].Type != FuncRef {
			v.bad("call_indirect through a table of %s", v.m.Tables[in.B].Type)
		}
		v.want(I32)
		t = &v.m.Types[in.A]
		v.called(in.A)
	}
	v.wantAll(t.Params)
	v.putAll(t.Results)
}

// called notes a call through a table.
func (v *validator) called(typ uint32) {
	v.out.Indirect = true
	if v.m.Called == nil {
		v.m.Called = make([]bool, len(v.m.Types))
	}
	v.m.Called[typ] = true
}

func (v *validator) variable(in *Instr) {
	if in.Op == OpGlobalGet || in.Op == OpGlobalSet {
		if !v.inRange("global", in.A, len(v.m.Globals)) {
			return
		}
		g := v.m.Globals[in.A]
		if in.Op == OpGlobalGet {
			v.put(g.Type)
			return
		}
		if !g.Mutable {
			v.bad("global %d is a constant", in.A)
		}
		v.want(g.Type)
		return
	}
	if !v.inRange("local", in.A, len(v.locals)) {
		return
	}
	t := v.locals[in.A]
	if in.Op != OpLocalGet {
		v.want(t)
	}
	if in.Op != OpLocalSet {
		v.put(t)
	}
}

// countBulk keeps the cap on instructions that compile into much code.
func (v *validator) countBulk() {
	if v.bulk++; v.bulk > v.caps.BulkOps {
		v.bad("more than %d bulk memory and table instructions in a function", v.caps.BulkOps)
	}
}

func (v *validator) memory(in *Instr) {
	if in.Op != OpDataDrop && len(v.m.Memories) == 0 {
		v.bad("a memory instruction without a memory")
		return
	}
	switch in.Op {
	case OpMemorySize:
		v.put(I32)
		return
	case OpMemoryGrow:
		v.want(I32)
		v.put(I32)
		return
	}
	v.countBulk()
	if in.Op == OpMemoryInit || in.Op == OpDataDrop {
		if v.m.dataCount < 0 {
			v.bad("a data segment is named without a data count section")
			return
		}
		v.inRange("data segment", in.A, v.m.dataCount)
		v.m.UsesSegments = true
	}
	if in.Op == OpDataDrop {
		v.m.DropsSegments = true
		return
	}
	v.want(I32)
	v.want(I32)
	v.want(I32)
}

func (v *validator) table(in *Instr) {
	v.m.UsesTables = true
	switch in.Op {
	case OpElemDrop:
		v.m.DropsSegments = true
		v.countBulk()
		v.inRange("element segment", in.A, len(v.m.Elements))
		return
	case OpTableInit:
		if v.inRange("element segment", in.A, len(v.m.Elements)) && v.inRange("table", in.B, len(v.m.Tables)) &&
			v.m.Elements[in.A].Type != v.m.Tables[in.B].Type {
			v.bad("table.init of a table of %s with %s", v.m.Tables[in.B].Type, v.m.Elements[in.A].Type)
		}
	case OpTableCopy:
		if v.inRange("table", in.A, len(v.m.Tables)) && v.inRange("table", in.B, len(v.m.Tables)) &&
			v.m.Tables[in.A].Type != v.m.Tables[in.B].Type {
			v.bad("table.copy between tables of %s and %s", v.m.Tables[in.B].Type, v.m.Tables[in.A].Type)
		}
	}
	if in.Op == OpTableInit || in.Op == OpTableCopy {
		v.m.MutatesTables = true
		v.countBulk()
		v.want(I32)
		v.want(I32)
		v.want(I32)
		return
	}
	if !v.inRange("table", in.A, len(v.m.Tables)) {
		return
	}
	t := v.m.Tables[in.A].Type
	v.m.MutatesTables = v.m.MutatesTables || in.Op == OpTableSet || in.Op == OpTableGrow || in.Op == OpTableFill
	switch in.Op {
	case OpTableGet:
		v.want(I32)
		v.put(t)
	case OpTableSet:
		v.want(t)
		v.want(I32)
	case OpTableSize:
		v.put(I32)
	case OpTableGrow:
		v.countBulk()
		v.want(I32)
		v.want(t)
		v.put(I32)
	case OpTableFill:
		v.countBulk()
		v.want(I32)
		v.want(t)
		v.want(I32)
	}
}
