package api

import (
	"net/http"

	"github.com/interlock-run/interlock/host/prefect"
)

// registry returns the policy registry. Errors: NotFound without one.
func (s *server) registry() (Registry, error) {
	if s.Registry == nil {
		return nil, prefect.Errorf(prefect.NotFound, "This server has no policies")
	}
	return s.Registry, nil
}

// usualModule is the size in bytes that a module is expected to have: enough for
// one in C or Rust.
const usualModule = 64 << 10

func (s *server) addModule(w http.ResponseWriter, r *http.Request) error {
	registry, err := s.registry()
	if err != nil {
		return err
	}
	switch r.Header.Get("Content-Type") {
	case "application/wasm", "application/octet-stream":
	default:
		return prefect.Errorf(prefect.Invalid, "A module is sent as application/wasm")
	}
	select {
	case s.uploads <- struct{}{}:
		defer func() { <-s.uploads }()
	case <-r.Context().Done():
		return r.Context().Err()
	}
	wasm, err := s.read(w, r, make([]byte, 0, usualModule), s.MaxModule)
	if err != nil {
		return err
	}
	if len(wasm) == 0 {
		return prefect.Errorf(prefect.Invalid, "The body is empty: it should be a module")
	}
	module, created, err := registry.AddModule(r.Context(), wasm)
	if err != nil {
		return err
	}
	return s.marshal(w, createdStatus(created), described(registry, module))
}

func (s *server) listModules(w http.ResponseWriter, r *http.Request) error {
	registry, err := s.registry()
	if err != nil {
		return err
	}
	modules, err := registry.Modules(r.Context())
	if err != nil {
		return err
	}
	replies := make([]moduleReply, len(modules))
	for i, m := range modules {
		replies[i] = described(registry, m)
	}
	return s.marshal(w, http.StatusOK, replies)
}

// moduleReply is a module with its standing in this process.
type moduleReply struct {
	*prefect.PolicyModule
	Quarantined bool `json:"quarantined"`
}

func described(registry Registry, m *prefect.PolicyModule) moduleReply {
	return moduleReply{m, registry.Quarantined(m.Digest)}
}

func (s *server) readModule(w http.ResponseWriter, r *http.Request) error {
	registry, err := s.registry()
	if err != nil {
		return err
	}
	module, err := registry.Module(r.Context(), pathText(r, "digest"))
	if err != nil {
		return err
	}
	return s.marshal(w, http.StatusOK, described(registry, module))
}

func (s *server) deleteModule(w http.ResponseWriter, r *http.Request) error {
	registry, err := s.registry()
	if err != nil {
		return err
	}
	if err := registry.DeleteModule(r.Context(), pathText(r, "digest")); err != nil {
		return err
	}
	return noContent(w)
}

// readmitModule puts a quarantined module back to work.
func (s *server) readmitModule(w http.ResponseWriter, r *http.Request) error {
	registry, err := s.registry()
	if err != nil {
		return err
	}
	if err := registry.Readmit(r.Context(), pathText(r, "digest")); err != nil {
		return err
	}
	return noContent(w)
}

// interlockVersion tells this binary's version and what it answers as.
func (s *server) interlockVersion(w http.ResponseWriter, r *http.Request) error {
	return s.marshal(w, http.StatusOK, struct {
		Version string `json:"version"`
		Prefect string `json:"prefect"`
		API     string `json:"api"`
	}{s.Version, PrefectVersion, APIVersion})
}
