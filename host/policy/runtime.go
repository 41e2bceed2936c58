package policy

import (
	"context"

	"github.com/interlock-run/interlock/host/sandbox"
)

// Modules turns bytes into modules.
type Modules interface {
	// Load admits and prepares a module; each Load wants its own Close. The error
	// is a *sandbox.RefusedError when it is the bytes' fault.
	Load(ctx context.Context, wasm []byte) (Module, error)
}

// Module is a loaded module. It is safe for concurrent use.
type Module interface {
	Digest() string   // "sha256:" and 64 hex digits
	Manifest() []byte // unparsed
	// Call evaluates one context. The error is a *sandbox.CallError.
	Call(ctx context.Context, in []byte, o sandbox.CallOptions) (*sandbox.Result, error)
	Close(ctx context.Context) error
}

// Sandbox has a [sandbox.Runtime] load the modules.
func Sandbox(r *sandbox.Runtime) Modules { return sandboxed{r} }

type sandboxed struct{ runtime *sandbox.Runtime }

func (s sandboxed) Load(ctx context.Context, wasm []byte) (Module, error) {
	m, err := s.runtime.Load(ctx, wasm)
	if err != nil {
		return nil, err
	}
	return m, nil
}
