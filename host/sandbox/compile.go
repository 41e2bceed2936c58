package sandbox

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/interlock-run/interlock/sdk/abi"
)

// compile makes native code of a module and checks what it imports and exports.
func (r *Runtime) compile(ctx context.Context, wasm []byte) (*code, error) {
	cache, err := r.cache.open(wasm)
	if err != nil {
		return nil, err
	}
	config := wazero.NewRuntimeConfigCompiler().
		WithCoreFeatures(api.CoreFeaturesV2).
		WithMemoryLimitPages(r.limits.MemoryPages).
		WithDebugInfoEnabled(false).
		WithCloseOnContextDone(true).
		WithCompilationCache(cache)
	c := &code{runtime: wazero.NewRuntimeWithConfig(ctx, config), cache: cache}
	c.compiled, err = compileGuarded(ctx, c.runtime, wasm)
	if err == nil {
		err = checkInterface(c.compiled)
	}
	if err == nil {
		err = instantiateWASI(ctx, c.runtime)
	}
	if err != nil {
		_ = c.close(ctx)
		return nil, err
	}
	return c, nil
}

// compileGuarded turns a panic of the compiler into a refusal.
func compileGuarded(ctx context.Context, r wazero.Runtime, wasm []byte) (compiled wazero.CompiledModule, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = refuse("the compiler failed: %v", p)
		}
	}()
	compiled, err = r.CompileModule(ctx, wasm)
	if err != nil {
		return nil, refuse("%s", firstLine(err))
	}
	return compiled, nil
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// export is what the host calls of a module.
type export struct {
	name            string
	params, results []api.ValueType
	optional        bool
}

func exports() []export {
	i32, i64 := []api.ValueType{api.ValueTypeI32}, []api.ValueType{api.ValueTypeI64}
	return []export{
		{name: abi.ExportABI, results: i32},
		{name: abi.ExportAlloc, params: i32, results: i32},
		{name: abi.ExportManifest, results: i64},
		{name: abi.ExportEvaluate, params: []api.ValueType{api.ValueTypeI32, api.ValueTypeI32}, results: i64},
		{name: abi.ExportInit, optional: true},
	}
}

// checkInterface refuses a module that imports what is not on offer or lacks
// an export, naming it.
func checkInterface(m wazero.CompiledModule) error {
	allowed := wasiFunctions()
	for _, f := range m.ImportedFunctions() {
		module, name, _ := f.Import()
		want, ok := allowed[name]
		if module != abi.ImportModule || !ok {
			return refuse("import %q.%q is not available to policies", module, name)
		}
		results := []api.ValueType{api.ValueTypeI32}
		if name == "proc_exit" {
			results = nil
		}
		if !slices.Equal(f.ParamTypes(), want.params) || !slices.Equal(f.ResultTypes(), results) {
			return refuse("import %q.%q has the signature %s, want %s", module, name,
				signature(f.ParamTypes(), f.ResultTypes()), signature(want.params, results))
		}
	}
	for _, memory := range m.ImportedMemories() {
		module, name, _ := memory.Import()
		return refuse("import %q.%q is a memory; only functions can be imported", module, name)
	}
	if m.ExportedMemories()[abi.ExportMemory] == nil {
		return refuse("export %q (a memory) is missing", abi.ExportMemory)
	}
	functions := m.ExportedFunctions()
	for _, want := range exports() {
		f := functions[want.name]
		if f == nil {
			if want.optional {
				continue
			}
			return refuse("export %q %s is missing", want.name, signature(want.params, want.results))
		}
		if !slices.Equal(f.ParamTypes(), want.params) || !slices.Equal(f.ResultTypes(), want.results) {
			return refuse("export %q has the signature %s, want %s", want.name,
				signature(f.ParamTypes(), f.ResultTypes()), signature(want.params, want.results))
		}
	}
	return nil
}

func signature(params, results []api.ValueType) string {
	names := func(types []api.ValueType) string {
		out := make([]string, len(types))
		for k, t := range types {
			out[k] = api.ValueTypeName(t)
		}
		return strings.Join(out, ", ")
	}
	return fmt.Sprintf("(%s) -> (%s)", names(params), names(results))
}
