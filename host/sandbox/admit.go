package sandbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/interlock-run/interlock/host/sandbox/wasm"
	"github.com/interlock-run/interlock/sdk/abi"
)

// admit reads a binary before anything else does, and refuses what is not
// valid, over a cap, or no policy module. Every error is a *RefusedError.
func (l Limits) admit(bytes []byte) (*wasm.Module, error) {
	caps := l.Caps
	caps.MemoryPages = int(l.MemoryPages)
	m, err := wasm.Decode(bytes, caps)
	if err != nil {
		var e *wasm.Error
		if errors.As(err, &e) {
			return nil, &RefusedError{Offset: e.Offset, Reason: e.Reason}
		}
		return nil, err
	}
	if m.HasStart {
		section, _ := m.Section(wasm.SecStart)
		return nil, &RefusedError{Offset: section.Start, Reason: "a start function would run before its limits are set; export " + abi.ExportInit + " instead"}
	}
	if err := checkImports(m); err != nil {
		return nil, err
	}
	if err := checkExports(m); err != nil {
		return nil, err
	}
	return m, nil
}

// checkImports refuses what is not on offer, by name.
func checkImports(m *wasm.Module) error {
	allowed := wasiFunctions()
	for _, i := range m.Imports {
		refused := func(format string, args ...any) error {
			return &RefusedError{Offset: i.Offset, Reason: fmt.Sprintf("import %q.%q ", i.Module, i.Name) + fmt.Sprintf(format, args...)}
		}
		if i.Kind != wasm.ExternFunc {
			return refused("is a %s; only functions can be imported", i.Kind)
		}
		want, ok := allowed[i.Name]
		if i.Module != abi.ImportModule || !ok {
			return refused("is not available to policies")
		}
		have, wanted := m.Types[i.Type], want.funcType(i.Name)
		if signature(have) != signature(wanted) {
			return refused("has the signature %s, want %s", signature(have), signature(wanted))
		}
	}
	return nil
}

// funcType is the type of a WASI function.
func (f wasiFunction) funcType(name string) wasm.FuncType {
	t := wasm.FuncType{}
	for _, p := range f.params {
		t.Params = append(t.Params, wasm.ValueType(p))
	}
	if name != "proc_exit" {
		t.Results = []wasm.ValueType{wasm.I32}
	}
	return t
}

// export is what the host calls of a module.
type export struct {
	name     string
	typ      wasm.FuncType
	optional bool
}

func exports() []export {
	i32, i64 := []wasm.ValueType{wasm.I32}, []wasm.ValueType{wasm.I64}
	return []export{
		{name: abi.ExportABI, typ: wasm.FuncType{Results: i32}},
		{name: abi.ExportAlloc, typ: wasm.FuncType{Params: i32, Results: i32}},
		{name: abi.ExportManifest, typ: wasm.FuncType{Results: i64}},
		{name: abi.ExportEvaluate, typ: wasm.FuncType{Params: []wasm.ValueType{wasm.I32, wasm.I32}, Results: i64}},
		{name: abi.ExportInit, optional: true},
	}
}

// checkExports refuses a module that lacks an export, naming it.
func checkExports(m *wasm.Module) error {
	if _, ok := findExport(m, abi.ExportMemory, wasm.ExternMemory); !ok {
		return refuse("export %q (a memory) is missing", abi.ExportMemory)
	}
	for _, want := range exports() {
		e, ok := findExport(m, want.name, wasm.ExternFunc)
		if !ok && want.optional {
			continue
		}
		if !ok {
			return refuse("export %q %s is missing", want.name, signature(want.typ))
		}
		if have := *m.FuncType(e.Index); signature(have) != signature(want.typ) {
			return refuse("export %q has the signature %s, want %s", want.name, signature(have), signature(want.typ))
		}
	}
	return nil
}

func findExport(m *wasm.Module, name string, kind wasm.ExternKind) (wasm.Export, bool) {
	k := slices.IndexFunc(m.Exports, func(e wasm.Export) bool { return e.Name == name && e.Kind == kind })
	if k < 0 {
		return wasm.Export{}, false
	}
	return m.Exports[k], true
}

func signature(t wasm.FuncType) string {
	names := func(types []wasm.ValueType) string {
		out := make([]string, len(types))
		for k, t := range types {
			out[k] = t.String()
		}
		return strings.Join(out, ", ")
	}
	return fmt.Sprintf("(%s) -> (%s)", names(t.Params), names(t.Results))
}
