package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tetratelabs/wazero"
)

// cache keeps native code on disk, a directory for each module. What lies there
// is executed, so nobody else may write to it.
type cache struct {
	dir string // empty: nothing is kept
}

// openCache makes the directory if need be and checks that it is private.
func openCache(dir string) (*cache, error) {
	if dir == "" {
		return &cache{}, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("compilation cache: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("compilation cache: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("compilation cache: %s is not a directory", dir)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("compilation cache: %s is open to other users (mode %o); its contents are executed, so it must have mode 700", dir, mode)
	}
	if !ownedByUs(info) {
		return nil, fmt.Errorf("compilation cache: %s belongs to another user", dir)
	}
	return &cache{dir: dir}, nil
}

// open gives the compilation cache for one module.
func (c *cache) open(wasm []byte) (wazero.CompilationCache, error) {
	if c.dir == "" {
		return wazero.NewCompilationCache(), nil
	}
	sum := sha256.Sum256(wasm)
	opened, err := wazero.NewCompilationCacheWithDir(filepath.Join(c.dir, hex.EncodeToString(sum[:])))
	if err != nil {
		return nil, fmt.Errorf("compilation cache: %w", err)
	}
	return opened, nil
}
