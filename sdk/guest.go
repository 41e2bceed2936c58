//go:build wasip1

package sdk

import (
	"runtime"
	"unsafe"

	"github.com/interlock-run/interlock/sdk/abi"
)

// guest is what the exports work on. A guest has one thread and one module, and
// exports cannot carry state of their own.
var guest struct {
	module   *Module
	manifest []byte
	input    []byte
	calls    int
	memory   runtime.MemStats
	bytes    []byte  // see warmUp
	pointers []*byte // see warmUp
}

func serve(m *Module) {
	guest.module = m
	guest.manifest = m.Manifest()
	guest.input = make([]byte, usualInput)
	deepen(stackFrames)
	warmUp(m)
}

// stackFrames is how many KB of stack a call finds made.
const stackFrames = 24

// deepen makes the runtime grow the stack on which all calls run. A host that
// takes calls back to where they started would else have it grow in each of them.
//
//go:noinline
func deepen(frames int) byte {
	var frame [1 << 10]byte
	if frames > 0 {
		frame[frames] = deepen(frames - 1)
	}
	return frame[frames] + 1
}

// warmUp makes a call to a rule of its own and allocates what rules may need, so
// that a snapshot has what the runtime makes on first use: for each size its own
// pages, which take longer to make than a call.
func warmUp(m *Module) {
	rules := m.Rules
	m.Rules = []Rule{{RunType: FlowRun, From: Running, To: Failed, Evaluate: func(c *Context) Decision {
		at := DetailTime(abi.DetailScheduledTime, c.Now().Add(1))
		return Reject(NewState{Type: Scheduled, Details: []Detail{at, DetailNull(abi.DetailPauseKey)}}, c.TransitionID())
	}}}
	m.Evaluate([]byte(`{"abi":1,"now":"2000-01-01T00:00:00.000000Z","run_type":"flow_run","rules":[{"name":"","config":{}}],"facts":{},` +
		`"transition":{"id":"0","initial_state":{"type":"RUNNING"},"proposed_state":{"type":"FAILED"}},"run":{"total_run_time":0.5}}`))
	m.Rules, m.context = rules, Context{}
	for _, size := range [...]int{8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 160, 192, 256, 384, 512} {
		guest.bytes, guest.pointers = make([]byte, size), make([]*byte, size/int(unsafe.Sizeof(uintptr(0))))
	}
	guest.bytes, guest.pointers = nil, nil
}

//go:wasmexport interlock_abi
func exportABI() int32 { return abi.Version }

// exportAlloc lends the input buffer: good until the next call.
//
//go:wasmexport interlock_alloc
func exportAlloc(size int32) unsafe.Pointer {
	wanted := max(int(size), usualInput)
	if wanted != len(guest.input) {
		guest.input = nil
	}
	tidy(wanted)
	if guest.input == nil {
		guest.input = make([]byte, wanted)
	}
	return unsafe.Pointer(unsafe.SliceData(guest.input))
}

//go:wasmexport interlock_manifest
func exportManifest() uint64 {
	if guest.module == nil {
		return packed([]byte(`{}`))
	}
	return packed(guest.manifest)
}

//go:wasmexport interlock_evaluate
func exportEvaluate(at unsafe.Pointer, size int32) uint64 {
	if guest.module == nil || at != unsafe.Pointer(unsafe.SliceData(guest.input)) || size < 0 || int(size) > cap(guest.input) {
		return packed([]byte(`{"decisions":[],"error":"the input does not stand where interlock_alloc put it"}`))
	}
	return packed(guest.module.Evaluate(guest.input[:size]))
}

// A guest has little memory, and the runtime would let 4 MB of garbage gather
// before it looks. A host that resets the memory between calls spares this.
const (
	tidyCalls  = 128       // calls between two looks
	tidyMemory = 192 << 10 // what may be in use, garbage included
)

// tidy collects garbage when there is much of it, or room is needed.
func tidy(size int) {
	guest.calls++
	if guest.calls < tidyCalls && size <= usualInput {
		return
	}
	guest.calls = 0
	runtime.ReadMemStats(&guest.memory)
	if guest.memory.HeapAlloc > tidyMemory {
		runtime.GC()
	}
}

func packed(b []byte) uint64 {
	at := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
	return at<<32 | uint64(uint32(len(b)))
}
