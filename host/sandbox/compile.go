package sandbox

import (
	"context"
	"os"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// compile makes native code of a metered module: from the cache, else by a child
// process where there can be one, else here.
func (r *Runtime) compile(ctx context.Context, wasm []byte) (*code, error) {
	store := r.cache
	if store.dir == "" && childAllowed.Load() {
		dir, err := os.MkdirTemp("", "interlock-compile-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		store = &cache{dir: dir}
	}
	if store.dir == "" {
		return r.build(ctx, wazero.NewCompilationCache(), wasm)
	}
	entry := store.entry(wasm)
	if !store.has(entry) {
		err := store.fill(entry, func(dir string) error {
			if childAllowed.Load() {
				return r.compileInChild(ctx, dir, wasm)
			}
			return compileInto(ctx, dir, r.limits.MemoryPages, wasm)
		})
		if err != nil {
			return nil, err
		}
	}
	opened, err := store.open(entry)
	if err != nil {
		return nil, err
	}
	return r.build(ctx, opened, wasm)
}

// build makes a wazero runtime for one module.
func (r *Runtime) build(ctx context.Context, cache wazero.CompilationCache, wasm []byte) (*code, error) {
	c := &code{runtime: wazero.NewRuntimeWithConfig(ctx, runtimeConfig(cache, r.limits.MemoryPages)), cache: cache}
	var err error
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

// runtimeConfig is the same for who compiles and who loads.
func runtimeConfig(cache wazero.CompilationCache, memoryPages uint32) wazero.RuntimeConfig {
	return wazero.NewRuntimeConfigCompiler().
		WithCoreFeatures(api.CoreFeaturesV2).
		WithMemoryLimitPages(memoryPages + 1). // one to ask for in vain, see meter.Options.Yield
		WithDebugInfoEnabled(false).
		WithCompilationCache(cache)
}

// compileInto compiles only for what it leaves in a directory.
func compileInto(ctx context.Context, dir string, memoryPages uint32, wasm []byte) error {
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return err
	}
	defer cache.Close(ctx)
	r := wazero.NewRuntimeWithConfig(ctx, runtimeConfig(cache, memoryPages))
	defer r.Close(ctx)
	_, err = compileGuarded(ctx, r, wasm)
	return err
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
