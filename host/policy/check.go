package policy

import (
	"context"
	"encoding/json"
)

// Check admits a module without a registry and returns its manifest. Errors:
// Invalid.
func Check(ctx context.Context, modules Modules, wasm []byte) (json.RawMessage, error) {
	return (&Registry{library: newLibrary(modules, 0)}).Check(ctx, wasm)
}
