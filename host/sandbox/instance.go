package sandbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"github.com/interlock-run/interlock/sdk/abi"
)

// instance is one running copy of a module. One call uses it at a time.
type instance struct {
	module    *Module
	guest     api.Module
	memory    api.Memory
	alloc     api.Function
	evaluator api.Function
	host      host
	ctx       context.Context // carries host to the WASI functions
	stack     [2]uint64
}

// newInstance instantiates and initialises. The guest sees the same world each
// time: [epoch] and random numbers that follow from its digest.
func newInstance(ctx context.Context, m *Module) (*instance, error) {
	inst := &instance{module: m}
	inst.host.begin(CallOptions{Seed: m.digest}, m.limits.LogBytes)
	inst.ctx = context.WithValue(context.WithoutCancel(ctx), hostKey{}, &inst.host)
	guest, err := m.code.runtime.InstantiateModule(inst.ctx, m.code.compiled,
		wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return nil, fmt.Errorf("instantiate: %s", reason(err))
	}
	inst.guest = guest
	inst.memory = guest.ExportedMemory(abi.ExportMemory)
	inst.alloc = guest.ExportedFunction(abi.ExportAlloc)
	inst.evaluator = guest.ExportedFunction(abi.ExportEvaluate)
	if start := guest.ExportedFunction(abi.ExportInit); start != nil {
		deadline, cancel := context.WithTimeout(inst.ctx, m.limits.Deadline)
		defer cancel()
		if err := start.CallWithStack(deadline, nil); err != nil {
			inst.close()
			return nil, fmt.Errorf("%s: %s%s", abi.ExportInit, reason(err), inst.lastWords())
		}
	}
	return inst, nil
}

func (inst *instance) close() {
	_ = inst.guest.Close(context.Background())
}

// lastWords is what the guest printed before it failed, for a message.
func (inst *instance) lastWords() string {
	if len(inst.host.log) == 0 {
		return ""
	}
	return fmt.Sprintf(" (it printed %q)", inst.host.log)
}

// evaluate is one call: input in, output out.
func (inst *instance) evaluate(ctx context.Context, in []byte, o CallOptions, deadline time.Time) (*Result, error) {
	started := time.Now()
	inst.host.begin(o, inst.module.limits.LogBytes)
	bounded, cancel := context.WithDeadline(inst.ctx, deadline)
	defer cancel()
	stop := context.AfterFunc(ctx, cancel)
	defer stop()

	inst.stack[0] = uint64(len(in))
	if err := inst.alloc.CallWithStack(bounded, inst.stack[:]); err != nil {
		return nil, inst.failed(ctx, err)
	}
	ptr := uint32(inst.stack[0])
	if !inst.memory.Write(ptr, in) {
		return nil, inst.fail(KindMemory, fmt.Sprintf("%s(%d) returned %d, which is out of bounds", abi.ExportAlloc, len(in), ptr))
	}
	inst.stack[0], inst.stack[1] = uint64(ptr), uint64(len(in))
	if err := inst.evaluator.CallWithStack(bounded, inst.stack[:]); err != nil {
		return nil, inst.failed(ctx, err)
	}
	out, err := inst.read(inst.stack[0])
	if err != nil {
		return nil, err
	}
	return &Result{Output: out, Log: inst.host.output(), Duration: time.Since(started)}, nil
}

// read copies the bytes that a packed pointer and length stand for.
func (inst *instance) read(packed uint64) ([]byte, error) {
	ptr, size := uint32(packed>>32), uint32(packed)
	if limit := inst.module.limits.OutputBytes; int64(size) > int64(limit) {
		return nil, inst.fail(KindOutput, fmt.Sprintf("the output has %d bytes, the limit is %d", size, limit))
	}
	view, ok := inst.memory.Read(ptr, size)
	if !ok {
		return nil, inst.fail(KindOutput, fmt.Sprintf("the output at %d with %d bytes is out of bounds", ptr, size))
	}
	return append(make([]byte, 0, size), view...), nil
}

func (inst *instance) fail(kind CallErrorKind, reason string) *CallError {
	return &CallError{Kind: kind, Reason: reason, Log: inst.host.output()}
}

// failed explains an error of wazero.
func (inst *instance) failed(ctx context.Context, err error) *CallError {
	var ended *sys.ExitError
	if errors.As(err, &ended) {
		if ctx.Err() != nil {
			return inst.fail(KindCancelled, ctx.Err().Error())
		}
		return inst.fail(KindDeadline, fmt.Sprintf("the call ran for more than %s", inst.module.limits.Deadline))
	}
	return inst.fail(KindTrap, reason(err))
}

// reason is wazero's error without its stack trace.
func reason(err error) string {
	if e, ok := asExit(err); ok {
		return e.Error()
	}
	return strings.TrimPrefix(firstLine(err), "wasm error: ")
}

// readManifest checks the version of the interface and keeps the manifest.
func (m *Module) readManifest(ctx context.Context) error {
	inst, err := newInstance(ctx, m)
	if err != nil {
		return refuse("%s", err)
	}
	bounded, cancel := context.WithTimeout(inst.ctx, m.limits.Deadline)
	defer cancel()
	if err := inst.guest.ExportedFunction(abi.ExportABI).CallWithStack(bounded, inst.stack[:]); err != nil {
		inst.close()
		return refuse("%s: %s", abi.ExportABI, reason(err))
	}
	if version := uint32(inst.stack[0]); version != abi.Version {
		inst.close()
		return refuse("%s returned %d, this server speaks version %d", abi.ExportABI, version, abi.Version)
	}
	if err := inst.guest.ExportedFunction(abi.ExportManifest).CallWithStack(bounded, inst.stack[:]); err != nil {
		inst.close()
		return refuse("%s: %s", abi.ExportManifest, reason(err))
	}
	m.manifest, err = inst.read(inst.stack[0])
	if err != nil {
		inst.close()
		return refuse("%s: %s", abi.ExportManifest, err.(*CallError).Reason)
	}
	m.put(inst)
	return nil
}
