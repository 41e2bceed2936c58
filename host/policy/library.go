package policy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/interlock-run/interlock/host/sandbox"
	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/contract"
)

// module is a loaded module with what its manifest says. It counts its users:
// each snapshot that has it is one.
type module struct {
	Module
	manifest *abi.Manifest
	schemas  map[string]*jsonschema.Schema // by rule; none for a rule without one
	health   *health
	builtin  bool
	users    int // guarded by library.mu
}

// library holds the loaded modules by digest.
type library struct {
	modules Modules
	after   int32 // see health

	mu     sync.Mutex
	loaded map[string]*module
	health map[string]*health
}

func newLibrary(modules Modules, after int) *library {
	if after == 0 {
		after = quarantineAfter
	}
	return &library{modules: modules, after: int32(after), loaded: map[string]*module{}, health: map[string]*health{}}
}

// get returns a module, read by bytes if it is not loaded. The caller must put
// it back.
func (l *library) get(ctx context.Context, digest string, bytes func() ([]byte, error)) (*module, error) {
	if m := l.retain(digest, nil); m != nil {
		return m, nil
	}
	wasm, err := bytes()
	if err != nil {
		return nil, err
	}
	fresh, err := l.load(ctx, wasm)
	if err != nil {
		return nil, err
	}
	return l.retain(fresh.Digest(), fresh), nil
}

// retain takes a use of a loaded module. fresh becomes it if there is none, and
// is closed otherwise.
func (l *library) retain(digest string, fresh *module) *module {
	l.mu.Lock()
	m := l.loaded[digest]
	if m == nil && fresh != nil {
		m, fresh = fresh, nil
		m.health = l.healthOf(digest)
		l.loaded[digest] = m
	}
	if m != nil {
		m.users++
	}
	l.mu.Unlock()
	if fresh != nil {
		_ = fresh.Close(context.Background())
	}
	return m
}

// put ends a use of m; the last one closes it.
func (l *library) put(m *module) {
	l.mu.Lock()
	m.users--
	last := m.users == 0
	if last {
		delete(l.loaded, m.Digest())
	}
	l.mu.Unlock()
	if last {
		_ = m.Close(context.Background())
	}
}

// load loads and reads a module that nobody holds yet.
func (l *library) load(ctx context.Context, wasm []byte) (*module, error) {
	loaded, err := l.modules.Load(ctx, wasm)
	if err != nil {
		return nil, err
	}
	m, err := describe(loaded)
	if err != nil {
		return nil, errors.Join(err, loaded.Close(ctx))
	}
	return m, nil
}

// describe reads a module's manifest. What is wrong with it is a
// *sandbox.RefusedError, as it is with the bytes.
func describe(loaded Module) (*module, error) {
	manifest, err := contract.ParseManifest(loaded.Manifest())
	if err != nil {
		return nil, &sandbox.RefusedError{Offset: -1, Reason: err.Error()}
	}
	m := &module{Module: loaded, manifest: manifest, schemas: map[string]*jsonschema.Schema{}}
	for i, rule := range manifest.Rules {
		if rule.ConfigSchema == nil {
			continue
		}
		schema, err := compileSchema(rule.ConfigSchema)
		if err != nil {
			return nil, &sandbox.RefusedError{Offset: -1, Reason: fmt.Sprintf("manifest: rules[%d].config_schema: %v", i, err)}
		}
		m.schemas[rule.Name] = schema
	}
	return m, nil
}

// healthOf returns the health that goes with a digest; mu is held.
func (l *library) healthOf(digest string) *health {
	h := l.health[digest]
	if h == nil {
		h = &health{after: l.after}
		l.health[digest] = h
	}
	return h
}

// readmit ends the quarantine of a module, and reports whether there was one.
func (l *library) readmit(digest string) (was bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.healthOf(digest).streak.Swap(0) >= l.after
}

// quarantined reports whether a module is in quarantine in this process.
func (l *library) quarantined(digest string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.health[digest]
	return h != nil && h.quarantined()
}

// Standing is what became of a module in this process.
type Standing struct {
	Digest, Name, Version string
	Builtin               bool
	Loaded                bool // an active policy uses it
	Quarantined           bool
	BadVerdicts           uint64 // calls whose answer was none: a kind of failure beside the sandbox's
	TooLarge              uint64 // contexts that it was not sent; likewise
}

// standings tells of all modules that are loaded or were, in the order of their
// digests.
func (l *library) standings() []Standing {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Standing, 0, len(l.health))
	for digest, h := range l.health {
		s := Standing{Digest: digest, BadVerdicts: h.badVerdicts.Load(), TooLarge: h.tooLarge.Load()}
		if m := l.loaded[digest]; m != nil {
			s.Loaded, s.Builtin, s.Name, s.Version = true, m.builtin, m.manifest.Name, m.manifest.Version
		}
		s.Quarantined = h.quarantined() && !s.Builtin
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Standing) int { return cmp.Compare(a.Digest, b.Digest) })
	return all
}
