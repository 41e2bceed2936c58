package sandbox

import (
	"os"
	"testing"
)

// TestMain lets the test binary compile modules as a child, like interlock does.
func TestMain(m *testing.M) {
	MaybeRunCompileChild()
	os.Exit(m.Run())
}
