package host

import (
	"context"
	"encoding/json"

	"github.com/interlock-run/interlock/host/policy"
	"github.com/interlock-run/interlock/host/sandbox"
)

// CheckModule says whether bytes are a policy module, within the limits that c
// sets, and returns its manifest. It needs no server. Errors: Invalid with what is
// wrong and where.
func CheckModule(ctx context.Context, c Config, wasm []byte) (json.RawMessage, error) {
	runtime, err := sandbox.New(ctx, sandbox.Config{Limits: c.Sandbox})
	if err != nil {
		return nil, err
	}
	defer runtime.Close(ctx)
	return policy.Check(ctx, policy.Sandbox(runtime), wasm)
}
