package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/interlock-run/interlock/host/sandbox/meter"
	"github.com/interlock-run/interlock/host/sandbox/wasm"
)

// cache keeps metered modules and their native code on disk, a directory for each
// module. What lies there is trusted and executed, so nobody else may write to it,
// and what is not whole any more is thrown away.
type cache struct {
	dir string // empty: nothing is kept
}

// sumFile holds the digest of all other files of an entry.
const sumFile = "sum"

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
	c := &cache{dir: dir}
	c.sweep()
	return c, nil
}

// Directories that are being filled have this prefix; one that is older than
// abandoned was left by a process that died.
const (
	newPrefix = "new-"
	abandoned = time.Hour
)

// sweep removes what dead processes have left.
func (c *cache) sweep() {
	left, err := filepath.Glob(filepath.Join(c.dir, newPrefix+"*"))
	if err != nil {
		return
	}
	for _, path := range left {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > abandoned {
			_ = os.RemoveAll(path)
		}
	}
}

// admitVersion changes whenever a module might be refused that was not before:
// what the cache has of one is not looked at again.
const admitVersion = 1

// entry is where what was made of a module lies. The name follows from all that
// shapes it; the CPU's features are looked after by wazero.
func (c *cache) entry(digest string, l Limits) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %d %s %s %s\n", admitVersion, meter.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(h, "%d %d %+v\n%s\n", l.MemoryPages, slice, l.Caps, digest)
	return filepath.Join(c.dir, hex.EncodeToString(h.Sum(nil)))
}

// The files of an entry, beside the native code: the metered module, and what else
// the meter says of it.
const (
	meteredFile = "metered.wasm"
	meterFile   = "meter"
)

// about is a metered module without its bytes. Of the many data segments there are
// three numbers each, which are read faster than structs.
type about struct {
	Metered  meter.Metered
	Segments []byte
}

// writeMetered puts a metered module into the directory of an entry.
func writeMetered(dir string, m *meter.Metered) error {
	a := about{Metered: *m}
	a.Metered.Bytes, a.Metered.Data = nil, nil
	for _, d := range m.Data {
		for _, n := range []uint32{d.Offset, uint32(d.Start), uint32(d.End)} {
			a.Segments = binary.LittleEndian.AppendUint32(a.Segments, n)
		}
	}
	var text bytes.Buffer
	err := gob.NewEncoder(&text).Encode(&a)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, meterFile), text.Bytes(), 0o600)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, meteredFile), m.Bytes, 0o600)
	}
	if err != nil {
		return fmt.Errorf("compilation cache: %w", err)
	}
	return nil
}

// get returns the metered module of an entry that is there and whole, else nil.
func (c *cache) get(entry string) *meter.Metered {
	if !c.has(entry) {
		return nil
	}
	var a about
	text, err := os.ReadFile(filepath.Join(entry, meterFile))
	if err == nil {
		err = gob.NewDecoder(bytes.NewReader(text)).Decode(&a)
	}
	m := &a.Metered
	if err == nil {
		m.Bytes, err = os.ReadFile(filepath.Join(entry, meteredFile))
	}
	if err != nil {
		_ = os.RemoveAll(entry)
		return nil
	}
	for s := a.Segments; len(s) >= 12; s = s[12:] {
		n := func(k int) uint32 { return binary.LittleEndian.Uint32(s[4*k:]) }
		m.Data = append(m.Data, wasm.Data{Active: true, Constant: true, Offset: n(0), Start: int(n(1)), End: int(n(2))})
	}
	return m
}

// has says whether an entry is there and whole. A damaged one is removed.
func (c *cache) has(entry string) bool {
	want, err := os.ReadFile(filepath.Join(entry, sumFile))
	if err == nil {
		var have string
		have, err = sum(entry)
		if err == nil && have == string(want) {
			return true
		}
	}
	if !errors.Is(err, fs.ErrNotExist) || exists(entry) {
		_ = os.RemoveAll(entry)
	}
	return false
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// fill lets compile write into a new directory and makes that the entry.
func (c *cache) fill(entry string, compile func(dir string) error) error {
	dir, err := os.MkdirTemp(c.dir, newPrefix)
	if err != nil {
		return fmt.Errorf("compilation cache: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := compile(dir); err != nil {
		return err
	}
	have, err := sum(dir)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, sumFile), []byte(have), 0o600)
	}
	if err == nil {
		err = os.Rename(dir, entry)
	}
	if err != nil && !c.has(entry) { // another process may have been first
		return fmt.Errorf("compilation cache: %w", err)
	}
	return nil
}

// sum is a digest of the names and contents of an entry's files.
func sum(dir string) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == sumFile || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is no regular file", path)
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		part := sha256.New()
		if _, err := io.Copy(part, f); err != nil {
			return err
		}
		fmt.Fprintf(h, "%q %x\n", name, part.Sum(nil))
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("compilation cache: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// open gives wazero's cache in an entry.
func (c *cache) open(entry string) (wazero.CompilationCache, error) {
	opened, err := wazero.NewCompilationCacheWithDir(entry)
	if err != nil {
		return nil, fmt.Errorf("compilation cache: %w", err)
	}
	return opened, nil
}
