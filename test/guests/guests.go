// Package guests builds the built-in rule RetryFailedFlows as a guest in several
// languages, for the conformance kit and for the table of costs.
package guests

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Guest is one of them.
type Guest struct {
	Name string // the language
	// Always says that its compiler comes with what make test sets up.
	Always bool
	build  func(ctx context.Context, root, out string) *exec.Cmd
}

// All lists the guests. The one in Go is the built-in module with all of its
// rules.
func All() []Guest {
	return []Guest{
		{"Go", true, func(ctx context.Context, _, out string) *exec.Cmd {
			cmd := exec.CommandContext(ctx, "go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", out, "./policies/core")
			cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
			return cmd
		}},
		{"C", true, func(ctx context.Context, root, out string) *exec.Cmd {
			cmd := exec.CommandContext(ctx, filepath.Join(root, ".build/venv/bin/python"), "-m", "ziglang", "cc", "-target", "wasm32-freestanding",
				"-O2", "-Wall", "-Wextra", "-Werror", "-fno-builtin", "-nostdlib", "-Wl,--no-entry", "-Wl,-z,stack-size=8192", "-s", "-o", out, "sdk/c/examples/retry_failed_flows.c")
			cmd.Env = append(os.Environ(), "ZIG_GLOBAL_CACHE_DIR="+filepath.Join(root, ".build/zig"))
			return cmd
		}},
		{"Rust", false, func(ctx context.Context, _, out string) *exec.Cmd {
			return exec.CommandContext(ctx, "sh", "sdk/rust/build.sh", out)
		}},
	}
}

// Build compiles the guest. It fails where its compiler is missing.
func (g Guest) Build(ctx context.Context) ([]byte, error) {
	root, err := repository()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "guest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "module.wasm")
	cmd := g.build(ctx, root, out)
	cmd.Dir = root
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("the guest in %s: %w\n%s", g.Name, err, text)
	}
	return os.ReadFile(out)
}

// repository returns the directory that has go.mod.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("not inside of the repository")
		}
		dir = parent
	}
}
