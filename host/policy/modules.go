package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/sandbox"
)

// AddModule admits and stores a module; created is false if it was there.
// Errors: Invalid with what is wrong with it and where.
func (r *Registry) AddModule(ctx context.Context, wasm []byte) (stored *prefect.PolicyModule, created bool, err error) {
	audit := r.attempt(ctx, prefect.AuditPush, sandbox.Digest(wasm))
	m, err := r.admit(ctx, wasm)
	if err != nil {
		return nil, false, r.refused(ctx, audit, err)
	}
	defer func() { _ = m.Close(context.WithoutCancel(ctx)) }()
	stored = &prefect.PolicyModule{
		Digest: m.Digest(), Created: r.config.Now(), Size: len(wasm), Manifest: m.Manifest(), Wasm: wasm,
	}
	created, err = r.config.Store.SaveModule(ctx, stored, audit)
	if err != nil {
		return nil, false, err
	}
	if !created {
		stored, err = r.config.Store.ReadModule(ctx, m.Digest())
	}
	return stored, created, err
}

// Check admits a module without storing it and returns its manifest. Errors:
// Invalid.
func (r *Registry) Check(ctx context.Context, wasm []byte) (json.RawMessage, error) {
	m, err := r.admit(ctx, wasm)
	if err != nil {
		return nil, err
	}
	return append(json.RawMessage(nil), m.Manifest()...), m.Close(ctx)
}

// Modules returns the stored modules without their bytes, newest first.
func (r *Registry) Modules(ctx context.Context) ([]*prefect.PolicyModule, error) {
	return r.config.Store.ListModules(ctx)
}

// Module returns a stored module. Errors: NotFound.
func (r *Registry) Module(ctx context.Context, digest string) (*prefect.PolicyModule, error) {
	return r.config.Store.ReadModule(ctx, digest)
}

// DeleteModule removes a module. Errors: NotFound, Conflict while a policy uses
// it.
func (r *Registry) DeleteModule(ctx context.Context, digest string) error {
	audit := r.attempt(ctx, prefect.AuditRemove, prefect.Cut(digest, 128))
	if err := r.config.Store.DeleteModule(ctx, digest, audit); err != nil {
		return r.refused(ctx, audit, err)
	}
	return nil
}

// admit loads a module or says what is wrong with it.
func (r *Registry) admit(ctx context.Context, wasm []byte) (*module, error) {
	m, err := r.library.load(ctx, wasm)
	var refused *sandbox.RefusedError
	if !errors.As(err, &refused) {
		return m, err
	}
	msg := refused.Reason
	if refused.Offset >= 0 {
		msg = fmt.Sprintf("%s (at byte %d)", msg, refused.Offset)
	}
	return nil, invalid("The module is refused: "+msg, []prefect.FieldError{{Loc: []any{"body"}, Msg: msg, Type: "value_error"}})
}

// invalid is an error with its fields.
func invalid(message string, fields []prefect.FieldError) error {
	err := prefect.Errorf(prefect.Invalid, "%s", message)
	err.Fields = fields
	return err
}
