package builtin

import (
	"bytes"
	"strings"
	"testing"
)

// TestModule holds with and without make policies before it.
func TestModule(t *testing.T) {
	wasm, err := Module()
	switch {
	case err != nil && !strings.Contains(err.Error(), "make policies"):
		t.Error(err)
	case err == nil && !bytes.HasPrefix(wasm, []byte("\x00asm\x01\x00\x00\x00")):
		t.Errorf("the module starts with %q", wasm[:min(len(wasm), 8)])
	}
}
