// Package builtin carries the server's own policy module and says which of its
// rules stand where in the policies.
package builtin

import (
	"embed"
	"errors"
	"io/fs"
)

//go:embed module
var files embed.FS

// Module returns the built-in module's bytes. It fails in a binary that was built
// without them.
func Module() ([]byte, error) {
	wasm, err := files.ReadFile("module/core.wasm")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("this binary was built without the built-in policy module: run make policies, then build again")
	}
	return wasm, err
}
