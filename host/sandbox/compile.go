package sandbox

import (
	"context"
	"os"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/interlock-run/interlock/host/sandbox/meter"
	"github.com/interlock-run/interlock/sdk/abi"
)

// prepare admits, meters and compiles a module: or takes from the cache what that
// made before, else compiles in a child process where there can be one, else here.
func (r *Runtime) prepare(ctx context.Context, digest string, bytes []byte) (*meter.Metered, *code, error) {
	store := r.cache
	if store.dir == "" && childAllowed.Load() {
		dir, err := os.MkdirTemp("", "interlock-compile-")
		if err != nil {
			return nil, nil, err
		}
		defer os.RemoveAll(dir)
		store = &cache{dir: dir}
	}
	if store.dir == "" {
		metered, err := r.meter(ctx, bytes)
		if err != nil {
			return nil, nil, err
		}
		code, err := r.build(ctx, wazero.NewCompilationCache(), metered.Bytes)
		return metered, code, err
	}
	entry := store.entry(digest, r.limits)
	metered := store.get(entry)
	if metered == nil {
		var err error
		if metered, err = r.meter(ctx, bytes); err != nil {
			return nil, nil, err
		}
		err = store.fill(entry, func(dir string) error {
			if err := writeMetered(dir, metered); err != nil {
				return err
			}
			if childAllowed.Load() {
				return r.compileInChild(ctx, dir, metered.Bytes)
			}
			return compileInto(ctx, dir, r.limits.MemoryPages, metered.Bytes)
		})
		if err != nil {
			return nil, nil, err
		}
	}
	opened, err := store.open(entry)
	if err != nil {
		return nil, nil, err
	}
	code, err := r.build(ctx, opened, metered.Bytes)
	return metered, code, err
}

// meter is [Limits.meter], in turn.
func (r *Runtime) meter(ctx context.Context, bytes []byte) (metered *meter.Metered, err error) {
	err = r.inTurn(ctx, func() (err error) {
		metered, err = r.limits.meter(bytes)
		return err
	})
	return metered, err
}

// meter admits and rewrites a module.
func (l Limits) meter(bytes []byte) (*meter.Metered, error) {
	decoded, err := l.admit(bytes)
	if err != nil {
		return nil, err
	}
	return meter.Rewrite(decoded, meter.Options{
		MemoryPages:  l.MemoryPages,
		TableEntries: uint32(l.Caps.TableEntries),
		Slice:        slice,
		SmallTable:   smallTable,
		Gate:         []string{abi.ExportAlloc, abi.ExportEvaluate}, // see gateAlloc
		Yield:        true,
		StripData:    true,
	}), nil
}

// smallTable is how many entries a guest's table may have that is made for each instance:
// what languages other than Go make.
const smallTable = 64

// The numbers of what a guest's gate leads to.
const (
	gateAlloc = iota
	gateEvaluate
)

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
