package meter

import "github.com/interlock-run/interlock/host/sandbox/wasm"

// point is a place where fuel is charged: for instructions that run at most once
// each time that the place is passed.
type point struct {
	at     int // the charge comes before the instruction at this offset
	cost   int
	parent int32 // a point that is passed before this one; itself for the entry
	head   int32 // the entry or loop head that this one belongs to
	taken  int   // costs of other points that this one took over
}

// open is a block that is being walked.
type open struct {
	op    wasm.Op
	entry int32 // the point in force where it starts
	dead  bool  // it is not reached
}

// planner finds where to charge. Its slices are used again for each function.
type planner struct {
	m      *wasm.Module
	points []point
	blocks []open
	totals []int // by head: costs of its region
	cur    int32
	dead   bool // the instruction is not reached
}

const (
	// smallRegion is what a region may cost to be charged at its head only.
	smallRegion = 100
	// smallPoint is what a point may cost to be taken over by its parent, and
	// takeOver how much a parent takes.
	smallPoint = 8
	takeOver   = 24
	entryCost  = 3
	loopCost   = 4 // charging waits for the charge of the pass before
)

// add makes a point at an offset and takes it for the current one.
func (p *planner) add(at int, parent int32, head bool) {
	k := int32(len(p.points))
	pt := point{at: at, parent: parent, head: k}
	if !head {
		pt.head = p.points[parent].head
	}
	p.points = append(p.points, pt)
	p.cur = k
}

// plan walks a body and leaves the points in order of their offsets.
func (p *planner) plan(b *wasm.Body) {
	p.points, p.blocks, p.dead = p.points[:0], p.blocks[:0], false
	p.add(b.Code, 0, true)
	p.points[0].cost = entryCost
	p.blocks = append(p.blocks, open{op: wasm.OpBlock})
	r := wasm.NewReader(p.m.Bytes, b.Code, b.End)
	for len(p.blocks) > 0 {
		in := r.Next()
		p.step(&in)
	}
	p.merge()
}

// step accounts for one instruction.
func (p *planner) step(in *wasm.Instr) {
	if !p.dead {
		p.points[p.cur].cost += cost(p.m, in)
	}
	switch in.Op {
	case wasm.OpBlock, wasm.OpLoop, wasm.OpIf:
		p.blocks = append(p.blocks, open{op: in.Op, entry: p.cur, dead: p.dead})
		if in.Op != wasm.OpBlock && !p.dead {
			p.add(in.End, p.cur, in.Op == wasm.OpLoop)
			if in.Op == wasm.OpLoop {
				p.points[p.cur].cost = loopCost
			}
		}
	case wasm.OpElse:
		b := p.blocks[len(p.blocks)-1]
		if p.dead = b.dead; !p.dead {
			p.add(in.End, b.entry, false)
		}
	case wasm.OpEnd:
		b := p.blocks[len(p.blocks)-1]
		p.blocks = p.blocks[:len(p.blocks)-1]
		if p.dead = b.dead; !p.dead && len(p.blocks) > 0 {
			p.add(in.End, b.entry, false)
		}
	case wasm.OpBrIf:
		if !p.dead {
			p.add(in.End, p.cur, false)
		}
	case wasm.OpBr, wasm.OpBrTable, wasm.OpReturn, wasm.OpUnreachable:
		p.dead = true
	}
}

// merge lets heads charge for small regions and parents for small points. A
// charge moved to a point that is passed earlier is never too small.
func (p *planner) merge() {
	p.totals = append(p.totals[:0], make([]int, len(p.points))...)
	for k := range p.points {
		p.totals[p.points[k].head] += p.points[k].cost
	}
	for k := len(p.points) - 1; k > 0; k-- {
		pt := &p.points[k]
		if pt.head == int32(k) || pt.cost == 0 {
			continue
		}
		to := &p.points[pt.parent]
		if p.totals[pt.head] <= smallRegion {
			to = &p.points[pt.head]
		} else if pt.cost > smallPoint || to.taken+pt.cost > takeOver {
			continue
		}
		to.cost += pt.cost
		to.taken += pt.cost
		pt.cost = 0
	}
}

// cost is what an instruction is charged with: 1, or more for what takes a
// processor longer. A tenth of a nanosecond a unit is usual for compiled code.
// Work that grows with an operand is charged when that is known.
func cost(m *wasm.Module, in *wasm.Instr) int {
	switch o := in.Op; {
	case o == wasm.OpBlock || o == wasm.OpLoop || o == wasm.OpEnd || o == wasm.OpNop || o == wasm.OpDrop:
		return 0
	case o == wasm.OpBrTable:
		return 3
	case o == wasm.OpCall && int(in.A) < m.ImportedFuncs:
		return 0 // the host charges for itself
	case o == wasm.OpCall:
		return 4
	case o == wasm.OpCallIndirect:
		return 8
	case o == wasm.OpRefFunc:
		return 100
	case o == wasm.OpMemoryGrow || o == wasm.OpTableGrow:
		return 100
	case o>>8 == 0xfc && o >= wasm.OpMemoryInit:
		return 30
	case o>>8 == 0xfd:
		return 3
	case slow(o):
		return 8
	default:
		return 1
	}
}

// slow says of numeric instructions that they take many cycles: division,
// square roots and conversions from floats.
func slow(o wasm.Op) bool {
	switch {
	case o >= 0x6d && o <= 0x70, o >= 0x7f && o <= 0x82: // div and rem of i32 and i64
		return true
	case o == 0x91 || o == 0x95 || o == 0x9f || o == 0xa3: // sqrt and div of f32 and f64
		return true
	case o >= 0xa8 && o <= 0xb1 && o != 0xac && o != 0xad, o>>8 == 0xfc: // trunc
		return true
	}
	return false
}
