package sandbox

import (
	"context"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// compile makes native code of an admitted module.
func (r *Runtime) compile(ctx context.Context, wasm []byte) (*code, error) {
	cache, err := r.cache.open(wasm)
	if err != nil {
		return nil, err
	}
	config := wazero.NewRuntimeConfigCompiler().
		WithCoreFeatures(api.CoreFeaturesV2).
		WithMemoryLimitPages(r.limits.MemoryPages).
		WithDebugInfoEnabled(false).
		WithCompilationCache(cache)
	c := &code{runtime: wazero.NewRuntimeWithConfig(ctx, config), cache: cache}
	c.compiled, err = compileGuarded(ctx, c.runtime, wasm)
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
