package swap

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/interlock-run/interlock/host/prefect"
	. "github.com/interlock-run/interlock/host/sandbox/wasmtest"
	"github.com/interlock-run/interlock/test/rest"
	"github.com/interlock-run/interlock/test/servers"
)

// version is what a version of the policy says, and when it was active: from when it
// was asked for until the next one was confirmed.
type version struct {
	module  string
	hostile bool
	active  interval
}

// swapper changes the policy and keeps what should have come of it.
type swapper struct {
	client   *rest.Client
	policy   prefect.PolicyVersion // the active one
	versions map[int]version
	working  string   // digest of a module that works
	bad      []string // digests of modules that are taken, and fail when they are asked

	good, hostile, refused int
	setUp                  int // rows of audit that were there before
}

const hostileManifest = `{"abi":1,"name":"hostile","version":"1","rules":[{"name":"Hostile","run_type":"flow_run","from":["RUNNING"],"to":["FAILED"],"kind":"rule","phase":"before"}]}`

func newSwapper(t *testing.T, c *rest.Client) *swapper {
	t.Helper()
	root, err := servers.Root()
	if err != nil {
		t.Fatal(err)
	}
	wasm, err := os.ReadFile(filepath.Join(root, "bin/policies/backoff.wasm"))
	if err != nil {
		t.Fatalf("%v: run 'make build'", err)
	}
	w := &swapper{client: c, versions: map[int]version{}, working: push(t, c, wasm)}
	for _, body := range [][]byte{
		Op(Unreachable),
		Code(Loop(Void, Br(0)), Op(Unreachable)),
		Pack(0xfffffff0, 100),
		Pack(0, 0),
	} {
		w.bad = append(w.bad, push(t, c, PolicyOf(&Builder{}, hostileManifest, 2).Evaluate(nil, body)))
	}
	if err := c.Get(t.Context(), policyPath, &w.policy); err != nil {
		t.Fatal(err)
	}
	w.versions[w.policy.Version] = version{module: prefect.BuiltinModule, active: interval{from: time.Now()}}
	w.setUp = len(w.rows(t))
	return w
}

func push(t *testing.T, c *rest.Client, wasm []byte) string {
	t.Helper()
	var m struct{ Digest string }
	if reply := upload(t, c, wasm); reply.JSON(&m) != nil || m.Digest == "" {
		t.Fatalf("push: %d %s", reply.Status, reply.Raw)
	}
	return m.Digest
}

func upload(t *testing.T, c *rest.Client, wasm []byte) *rest.Reply {
	t.Helper()
	reply, err := c.Do(t.Context(), rest.Request{Method: http.MethodPost, Path: "/interlock/modules", Body: wasm, Header: map[string]string{"Content-Type": "application/wasm"}})
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// swap is the i-th: to a module that works, to the built-in one, and to something
// bad, each way of which has its turn.
func (w *swapper) swap(t *testing.T, i int) {
	t.Helper()
	switch turn := i / 3; i % 3 {
	case 0:
		w.accepted(t, prefect.PolicyEntry{Module: w.working, Rule: "BackoffRetry"}, false)
		w.good++
	case 1:
		w.accepted(t, prefect.PolicyEntry{Module: prefect.BuiltinModule, Rule: entryName}, false)
		w.good++
	default:
		if turn%2 == 0 {
			w.accepted(t, prefect.PolicyEntry{Module: w.bad[turn/2%len(w.bad)], Rule: "Hostile"}, true)
			w.hostile++
			return
		}
		w.turnedDown(t, turn/2)
		w.refused++
	}
}

// entries is the active policy's with one of them changed.
func (w *swapper) entries(e prefect.PolicyEntry) []prefect.PolicyEntry {
	e.Name, e.OnError = entryName, prefect.Fallback
	list := slices.Clone(w.policy.Entries)
	at := slices.IndexFunc(list, func(have prefect.PolicyEntry) bool { return have.Name == entryName })
	list[at] = e
	return list
}

func (w *swapper) put(t *testing.T, list []prefect.PolicyEntry, version int) *rest.Reply {
	t.Helper()
	reply, err := w.client.Do(t.Context(), rest.Request{Method: http.MethodPut, Path: policyPath, Body: map[string]any{"entries": list, "version": version}})
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// accepted is a swap that comes about.
func (w *swapper) accepted(t *testing.T, e prefect.PolicyEntry, hostile bool) {
	t.Helper()
	reply := w.put(t, w.entries(e), w.policy.Version)
	if reply.Status >= 300 {
		t.Fatalf("swap to %s: %d %s", e.Module, reply.Status, reply.Raw)
	}
	before := w.versions[w.policy.Version]
	before.active.to = reply.Received
	w.versions[w.policy.Version] = before
	if err := reply.JSON(&w.policy); err != nil {
		t.Fatal(err)
	}
	w.versions[w.policy.Version] = version{e.Module, hostile, interval{from: reply.Sent}}
}

// turnedDown is a swap that does not come about, and leaves everything as it was.
func (w *swapper) turnedDown(t *testing.T, way int) {
	t.Helper()
	want, reply := http.StatusUnprocessableEntity, (*rest.Reply)(nil)
	start := PolicyOf(&Builder{}, hostileManifest, 2)
	start.Start(0)
	switch way % 5 {
	case 0:
		reply = upload(t, w.client, fmt.Appendf(nil, "no module %d", way))
	case 1:
		reply = upload(t, w.client, start.Evaluate(nil, I64Const(0)))
	case 2:
		reply = w.put(t, w.entries(prefect.PolicyEntry{Module: w.working, Rule: "NoSuchRule"}), w.policy.Version)
	case 3:
		reply = w.put(t, w.entries(prefect.PolicyEntry{Module: "sha256:" + strings.Repeat("0", 64), Rule: "X"}), w.policy.Version)
	default:
		want, reply = http.StatusConflict, w.put(t, w.entries(prefect.PolicyEntry{Module: w.bad[0], Rule: "Hostile"}), w.policy.Version-1)
	}
	if reply.Status != want {
		t.Errorf("what should be refused with %d: %d %s", want, reply.Status, reply.Raw)
	}
	var active prefect.PolicyVersion
	if err := w.client.Get(t.Context(), policyPath, &active); err != nil {
		t.Fatal(err)
	}
	if active.Version != w.policy.Version {
		t.Errorf("version %d is active after a refusal, want the last good one, %d", active.Version, w.policy.Version)
	}
}

// end says that the last version stays active.
func (w *swapper) end() {
	last := w.versions[w.policy.Version]
	last.active.to = time.Now().Add(time.Hour)
	w.versions[w.policy.Version] = last
}

// rows reads the whole audit, without what the server does by itself.
func (w *swapper) rows(t *testing.T) []prefect.PolicyAudit {
	t.Helper()
	var all []prefect.PolicyAudit
	for seen := 0; ; {
		var page []prefect.PolicyAudit
		if err := w.client.Get(t.Context(), fmt.Sprintf("/interlock/audit?limit=200&offset=%d", seen), &page); err != nil {
			t.Fatal(err)
		}
		seen += len(page)
		for _, a := range page {
			if a.Action != prefect.AuditQuarantine && a.Action != prefect.AuditInstall {
				all = append(all, a)
			}
		}
		if len(page) < 200 {
			return all
		}
	}
}

// audit wants one row of each attempt.
func (w *swapper) audit(t *testing.T) {
	t.Helper()
	rows := w.rows(t)
	if got, want := len(rows)-w.setUp, w.good+w.hostile+w.refused; got != want {
		t.Errorf("%d rows of audit for %d swaps", got, want)
	}
	made, refused := map[int]int{}, 0
	for _, a := range rows {
		switch {
		case a.Actor.Address != "127.0.0.1" || a.Created.IsZero():
			t.Errorf("nobody knows who or when: %+v", a)
		case a.Outcome == prefect.AuditRefused:
			refused++
			if a.Reason == "" {
				t.Errorf("nobody knows why: %+v", a)
			}
		case a.Action == prefect.AuditPut:
			made[a.Version]++
			if v := w.versions[a.Version]; v.module != prefect.BuiltinModule && !slices.Contains(a.Modules, v.module) {
				t.Errorf("version %d has %s, the audit says %v", a.Version, v.module, a.Modules)
			}
		}
	}
	if refused != w.refused {
		t.Errorf("%d refusals are in the audit, want %d", refused, w.refused)
	}
	for v := range w.versions {
		if made[v] != 1 && v > 1 {
			t.Errorf("version %d is in the audit %d times", v, made[v])
		}
	}
}
