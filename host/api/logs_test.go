package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/interlock-run/interlock/host/prefect"
)

func TestLogs(t *testing.T) {
	var published []*prefect.Log
	r := newRig(t, func(c *Config) { c.PublishLogs = func(l []*prefect.Log) { published = l } })
	r.want(201, "POST", "/logs/", `[{"name":"n","level":20,"message":"hello\nworld","timestamp":"2026-01-02T03:04:05Z","flow_run_id":"`+unknown+`"},
		{"name":"n","level":"30","message":"m","timestamp":1767323045.5,"task_run_id":"`+unknown+`"}]`)
	if len(r.logs) != 2 || r.logs[1].Level != 30 || len(published) != 2 || r.logs[0].ID == r.logs[1].ID {
		t.Fatalf("stored %+v, published %d", r.logs, len(published))
	}
	got := r.want(200, "POST", "/logs/filter", `{"logs":{"level":{"ge_":10},"flow_run_id":{"any_":["`+unknown+`"]}},"sort":"TIMESTAMP_DESC","limit":1}`)
	if at(t, got, 0, "message") != "hello\nworld" || at(t, got, 0, "timestamp") != "2026-01-02T03:04:05Z" {
		t.Errorf("reply %v", got)
	}
	if *r.logFilter.Level.Ge != 10 || r.page.Sort != "TIMESTAMP_DESC" || r.page.Limit != 1 {
		t.Errorf("asked for %+v, %+v", r.logFilter, r.page)
	}
	r.want(200, "POST", "/logs/filter", "")
	if r.logFilter != nil || r.page.Sort != "TIMESTAMP_ASC" {
		t.Errorf("asked for %+v, %+v", r.logFilter, r.page)
	}
	published = nil
	r.want(201, "POST", "/logs/", `[]`)
	if published != nil {
		t.Error("published no logs")
	}
	reply := r.want(422, "POST", "/logs/", `[{"name":"n","level":20,"message":"m","timestamp":"2026-01-02T03:04:05Z"},{"level":1}]`)
	if at(t, reply, "exception_detail", 0, "loc", 1) != 1.0 || len(r.logs) != 2 {
		t.Errorf("reply %v, %d logs", reply, len(r.logs))
	}
	r.want(422, "POST", "/logs/filter", `{"sort":"X"}`)
}

func TestDownloadLogs(t *testing.T) {
	r := newRig(t)
	run := r.withFlowRun(prefect.Completed)
	run.Name = "my run"
	for i := range logsPage + 2 {
		r.logs = append(r.logs, &prefect.Log{Level: 20, Message: fmt.Sprintf("line %d, \"quoted\"", i), Timestamp: testNow, FlowRunID: &run.ID})
	}
	w := r.do("GET", "/flow_runs/"+run.ID.String()+"/logs/download", "")
	lines := strings.Split(strings.TrimSpace(w.Body.String()), "\r\n")
	if w.Code != 200 || len(lines) != logsPage+3 {
		t.Fatalf("%d, %d lines", w.Code, len(lines))
	}
	if want := `2026-11-23 18:00:00.123456+00:00,20,` + run.ID.String() + `,,"line 0, ""quoted"""`; lines[0] != "timestamp,level,flow_run_id,task_run_id,message" || lines[1] != want {
		t.Errorf("begins with %q", lines[:2])
	}
	for text, want := range map[string]string{"2026-01-02T03:04:05Z": "2026-01-02 03:04:05+00:00", "2026-01-02T03:04:05.5Z": "2026-01-02 03:04:05.500000+00:00"} {
		at, err := prefect.ParseTime(text)
		if got := csvTime(at); err != nil || got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if got := w.Header().Get("Content-Disposition"); !strings.Contains(got, "my%20run-logs.csv") {
		t.Errorf("Content-Disposition %q", got)
	}
	r.want(404, "GET", "/flow_runs/"+unknown+"/logs/download", "")
}

func TestFlowRunInput(t *testing.T) {
	r := newRig(t)
	run := r.withFlowRun(prefect.Running)
	path := "/flow_runs/" + run.ID.String() + "/input"
	r.want(201, "POST", path, `{"key":"a-1","value":"{\"x\":1}","sender":"me"}`)
	r.want(201, "POST", path, `{"key":"a-2","value":""}`)
	r.want(409, "POST", path, `{"key":"a-1","value":"2"}`)
	r.want(404, "POST", "/flow_runs/"+unknown+"/input", `{"key":"a","value":"2"}`)
	r.want(422, "POST", path, `{"key":"a"}`)
	if w := r.do("GET", path+"/a-1", ""); w.Code != 200 || w.Body.String() != `{"x":1}` || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Errorf("read %d %q", w.Code, w.Body)
	}
	got := r.want(200, "POST", path+"/filter", `{"prefix":"a","limit":5,"exclude_keys":["a-2"]}`)
	if len(got.([]any)) != 1 || at(t, got, 0, "sender") != "me" {
		t.Errorf("filtered %v", got)
	}
	if got := r.want(200, "POST", path+"/filter", `{"prefix":"a"}`); len(got.([]any)) != 1 {
		t.Errorf("filtered without a limit: %v", got)
	}
	r.want(422, "POST", path+"/filter", `{"prefix":"a","limit":-1}`)
	r.want(422, "POST", path+"/filter", `{}`)
	r.want(204, "DELETE", path+"/a-1", "")
	r.want(404, "DELETE", path+"/a-1", "")
	r.want(404, "GET", path+"/a-1", "")
}
