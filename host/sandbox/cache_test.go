package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/interlock-run/interlock/host/sandbox/wasmtest"
)

// files lists the regular files below dir with their sizes.
func files(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			out[path] = info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestChildCompilesAndTheCacheIsUsed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	wasm := Policy(&Builder{}).Evaluate(nil, Echo())
	load(t, newRuntimeIn(t, dir, Limits{}), wasm)
	before := files(t, dir)
	if len(before) != 4 {
		t.Fatalf("the cache holds %v, want the metered module, what the meter says of it, the native code and a sum", before)
	}
	m := load(t, newRuntimeIn(t, dir, Limits{}), wasm)
	if kind, out := callKind(t, m, "again"); kind != "" || out != "again" {
		t.Errorf("from the cache: %s %q", kind, out)
	}
	if after := files(t, dir); len(after) != len(before) {
		t.Errorf("loading from the cache changed it from %v to %v", before, after)
	}
}

func TestDamagedCacheOnlyCostsTime(t *testing.T) {
	wasm := Policy(&Builder{}).Evaluate(nil, Echo())
	for _, damage := range []struct {
		name string
		do   func(path string, size int64) error
	}{
		{"truncated", func(path string, size int64) error { return os.Truncate(path, size/2) }},
		{"empty", func(path string, _ int64) error { return os.Truncate(path, 0) }},
		{"removed", func(path string, _ int64) error { return os.Remove(path) }},
		{"changed", func(path string, size int64) error {
			b, err := os.ReadFile(path)
			if err == nil {
				b[len(b)/2] ^= 1
				err = os.WriteFile(path, b, 0o600)
			}
			return err
		}},
		{"huge counts", func(path string, size int64) error {
			b, err := os.ReadFile(path)
			if err == nil {
				for k := 6; k < len(b); k++ {
					b[k] = 0xff
				}
				err = os.WriteFile(path, b, 0o600)
			}
			return err
		}},
	} {
		t.Run(damage.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cache")
			load(t, newRuntimeIn(t, dir, Limits{}), wasm)
			for path, size := range files(t, dir) {
				if err := damage.do(path, size); err != nil {
					t.Fatal(err)
				}
				m := load(t, newRuntimeIn(t, dir, Limits{}), wasm)
				if kind, out := callKind(t, m, "x"); kind != "" || out != "x" {
					t.Errorf("%s: %s %q", filepath.Base(path), kind, out)
				}
			}
		})
	}
}

func TestCompilingThatTakesTooLongIsRefused(t *testing.T) {
	r := newRuntime(t, Limits{LoadTime: time.Millisecond})
	_, err := r.Load(t.Context(), Policy(&Builder{}).Evaluate(nil, Echo()))
	var refused *RefusedError
	if !errors.As(err, &refused) || !strings.Contains(refused.Reason, "compiling took more than 4ms") {
		t.Errorf("got %v", err)
	}
}

func TestLeftoversOfDeadProcessesAreSweptAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	old, fresh := filepath.Join(dir, "new-old"), filepath.Join(dir, "new-fresh")
	for _, d := range []string{old, fresh} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	yesterday := time.Now().Add(-24 * time.Hour)
	if err := os.Chtimes(old, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	newRuntimeIn(t, dir, Limits{})
	if exists(old) || !exists(fresh) {
		t.Errorf("old there: %v, fresh there: %v", exists(old), exists(fresh))
	}
}
