package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/interlock-run/interlock/host/prefect"
)

func TestModules(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxModule = 64 })
	wasm := []string{"Content-Type", "application/wasm"}
	made := r.want(201, "POST", "/interlock/modules", "\x00asm\x01\x00\x00\x00", wasm...)
	digest := at(t, made, "digest").(string)
	if at(t, made, "quarantined") != false || at(t, made, "size") != 8.0 || at(t, made, "manifest", "abi") != 1.0 {
		t.Errorf("reply %v", made)
	}
	r.want(200, "POST", "/interlock/modules", "\x00asm\x01\x00\x00\x00", "Content-Type", "application/octet-stream")
	r.want(422, "POST", "/interlock/modules", "\x00asm\x01\x00\x00\x00", "Content-Type", "text/plain")
	if reply := r.want(422, "POST", "/interlock/modules", "nonsense", wasm...); !strings.Contains(at(t, reply, "detail").(string), "offset 0") {
		t.Errorf("reply %v", reply)
	}
	r.want(422, "POST", "/interlock/modules", "", wasm...)
	r.want(413, "POST", "/interlock/modules", strings.Repeat("x", 65), wasm...)
	if got := r.want(200, "GET", "/interlock/modules", ""); at(t, got, 0, "digest") != digest {
		t.Errorf("list %v", got)
	}
	r.want(200, "GET", "/interlock/modules/"+digest, "")
	r.modules = append(r.modules, &prefect.PolicyModule{Digest: "sha256:b"})
	if got := r.want(200, "GET", "/interlock/modules", ""); at(t, got, 0, "quarantined") != false || at(t, got, 1, "quarantined") != true {
		t.Errorf("list %v", got)
	}
	r.want(204, "POST", "/interlock/modules/"+digest+"/readmit", "")
	r.want(404, "POST", "/interlock/modules/sha256:x/readmit", "")
	r.want(404, "GET", "/interlock/modules/sha256:x", "")
	r.want(404, "DELETE", "/interlock/modules/sha256:x", "")
	r.policies = []*prefect.PolicyVersion{{}}
	r.want(409, "DELETE", "/interlock/modules/"+digest, "")
	r.policies = nil
	r.want(204, "DELETE", "/interlock/modules/"+digest, "")
	if got := r.want(200, "GET", "/interlock/modules", ""); len(got.([]any)) != 0 {
		t.Errorf("list %v", got)
	}
}

func TestPolicies(t *testing.T) {
	r := newRig(t)
	r.policies = []*prefect.PolicyVersion{{Name: "CoreFlowPolicy", Version: 1, Created: testNow, Reason: "installed", Entries: []prefect.PolicyEntry{{Name: "A"}}}}
	if got := r.want(200, "GET", "/interlock/policies", ""); at(t, got, 0, "name") != "CoreFlowPolicy" {
		t.Errorf("list %v", got)
	}
	put := r.want(200, "PUT", "/interlock/policies/CoreFlowPolicy", `{"version":1,"entries":[{"name":"B"},{"name":"C","module":"sha256:aa","rule":"R","config":{"x":1},"on_error":"open"}]}`)
	if at(t, put, "version") != 2.0 || at(t, put, "entries", 0, "module") != "builtin" || at(t, put, "entries", 0, "rule") != "B" ||
		at(t, put, "entries", 0, "on_error") != "fallback" || at(t, put, "entries", 1, "config", "x") != 1.0 {
		t.Errorf("reply %v", put)
	}
	r.want(409, "PUT", "/interlock/policies/CoreFlowPolicy", `{"version":1,"entries":[]}`)
	r.want(404, "PUT", "/interlock/policies/Other", `{"version":1,"entries":[]}`)
	put = r.want(200, "PUT", "/interlock/policies/CoreFlowPolicy", `{"version":2,"entries":[{"name":"C","module":"sha256:aa","fuel":1000,"stack_bytes":4194304},{"name":"D","fuel":null}]}`)
	if at(t, put, "entries", 0, "fuel") != 1000.0 || at(t, put, "entries", 0, "stack_bytes") != 4194304.0 || at(t, put, "entries", 1, "fuel") != nil {
		t.Errorf("reply %v", put)
	}
	for _, limits := range []string{`"fuel":999`, `"fuel":1000000001`, `"fuel":1.5`, `"fuel":"x"`, `"stack_bytes":1023`, `"stack_bytes":4194305`} {
		r.want(422, "PUT", "/interlock/policies/CoreFlowPolicy", `{"version":3,"entries":[{"name":"C",`+limits+`}]}`)
	}
	for _, body := range []string{`{}`, `{"version":1}`, `{"version":2,"entries":[{"name":"B","on_error":"x"}]}`, `{"version":2,"entries":[{"name":"B","config":[]}]}`, `{"version":2,"entries":[{"nam":"B"}]}`} {
		r.want(422, "PUT", "/interlock/policies/CoreFlowPolicy", body)
	}
	if got := r.want(200, "GET", "/interlock/policies/CoreFlowPolicy/versions", ""); len(got.([]any)) != 3 {
		t.Errorf("versions %v", got)
	}
	back := r.want(200, "POST", "/interlock/policies/CoreFlowPolicy/rollback", `{"version":1}`)
	if at(t, back, "version") != 4.0 || at(t, back, "entries", 0, "name") != "A" {
		t.Errorf("reply %v", back)
	}
	r.want(422, "POST", "/interlock/policies/CoreFlowPolicy/rollback", `{"version":0}`)
	r.want(404, "GET", "/interlock/policies/Other", "")
	r.want(404, "GET", "/interlock/policies/Other/versions", "")
	r.want(404, "POST", "/interlock/policies/Other/rollback", `{"version":1}`)
}

func TestDecisions(t *testing.T) {
	r := newRig(t)
	r.decisions = []*prefect.Decision{{Policy: "CoreFlowPolicy", Created: testNow}}
	if got := r.want(200, "GET", "/interlock/decisions?flow_run_id="+unknown+"&limit=3&offset=4", ""); at(t, got, 0, "policy") != "CoreFlowPolicy" {
		t.Errorf("reply %v", got)
	}
	if f := r.decision; f.RunType != prefect.FlowRunType || f.RunID.String() != unknown || f.Limit != 3 || f.Offset != 4 {
		t.Errorf("asked for %+v", f)
	}
	r.want(200, "GET", "/interlock/decisions?task_run_id="+unknown, "")
	if f := r.decision; f.RunType != prefect.TaskRunType || f.Limit != 200 {
		t.Errorf("asked for %+v", f)
	}
	r.want(200, "GET", "/interlock/decisions?limit=0", "")
	if f := r.decision; f.Limit != 0 {
		t.Errorf("asked for %+v", f)
	}
	r.want(200, "GET", "/interlock/decisions", "")
	if r.decision.RunID != nil {
		t.Errorf("asked for %+v", r.decision)
	}
	for _, query := range []string{"flow_run_id=x", "limit=201", "limit=-1", "offset=x", "flow_run_id=" + unknown + "&task_run_id=" + unknown} {
		r.want(422, "GET", "/interlock/decisions?"+query, "")
	}
}

func TestAudit(t *testing.T) {
	r := newRig(t, func(c *Config) { c.AuthString = "admin:secret" })
	auth := []string{"Authorization", "Basic YWRtaW46c2VjcmV0", "User-Agent", "curl/8 " + strings.Repeat("x", 200)}
	r.want(401, "GET", "/interlock/audit", "")
	r.want(404, "POST", "/interlock/modules/sha256:x/readmit", "", auth...)
	got := r.want(200, "GET", "/interlock/audit?policy=P&outcome=refused&limit=3&offset=4", "", auth...)
	if want := (prefect.PolicyAuditFilter{Policy: "P", Outcome: "refused", Limit: 3, Offset: 4}); r.audit != want {
		t.Errorf("asked for %+v", r.audit)
	}
	if at(t, got, 0, "actor", "user") != "admin" || at(t, got, 0, "actor", "address") != "192.0.2.1" || len(at(t, got, 0, "actor", "agent").(string)) != agentBytes {
		t.Errorf("rows %v", got)
	}
	r.want(200, "GET", "/interlock/audit?limit=0", "", auth...)
	if r.audit.Limit != 0 {
		t.Errorf("asked for %+v", r.audit)
	}
	r.want(200, "GET", "/interlock/audit", "", auth...)
	if r.audit.Limit != 200 {
		t.Errorf("asked for %+v", r.audit)
	}
	for _, query := range []string{"outcome=maybe", "limit=-1", "limit=201", "offset=-1"} {
		r.want(422, "GET", "/interlock/audit?"+query, "", auth...)
	}
}

func TestNoRegistry(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Registry = nil })
	for _, rt := range (&server{}).routes() {
		path := strings.NewReplacer("{digest}", "d", "{name}", "n").Replace(rt.pattern)
		if strings.HasPrefix(path, "/interlock/") && path != "/interlock/version" {
			r.want(404, rt.method, path, "")
		}
	}
	if got := r.want(200, "GET", "/interlock/version", ""); at(t, got, "version") != "test" || at(t, got, "prefect") != PrefectVersion {
		t.Errorf("version %v", got)
	}
}

// TestFewModulesAreReceivedAtOnce has uploads that have not arrived whole: one more
// is not looked at before one of those is through.
func TestFewModulesAreReceivedAtOnce(t *testing.T) {
	s := &server{uploads: make(chan struct{}, uploadsAtOnce)}
	s.Registry = &fake{}
	for range uploadsAtOnce {
		s.uploads <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	body := &unread{t}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/api/interlock/modules", body)
	r.Header.Set("Content-Type", "application/wasm")
	if err := s.addModule(httptest.NewRecorder(), r); !errors.Is(err, context.Canceled) {
		t.Errorf("one more: %v", err)
	}
	if len(s.uploads) != uploadsAtOnce {
		t.Errorf("%d are being received", len(s.uploads))
	}
}

// unread is a body that nobody may read.
type unread struct{ t *testing.T }

func (u *unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}
