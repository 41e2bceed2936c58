package event

import (
	"context"
	"testing"

	"github.com/interlock-run/interlock/host/prefect"
)

func BenchmarkDecodeTaskRunEvent(b *testing.B) {
	in := benchEvent().AppendJSON(nil)
	limits := prefect.DefaultEventLimits()
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		e, err := limits.Decode(in, start)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := taskRunRecord(e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeEvent(b *testing.B) {
	e := benchEvent()
	buf := e.AppendJSON(nil)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = e.AppendJSON(buf[:0])
	}
}

// BenchmarkIntake is what the package itself costs: the store does nothing.
func BenchmarkIntake(b *testing.B) {
	in := NewIntake(idle{}, new(Bus[*prefect.Event]), quiet())
	in.Start()
	defer in.Stop(context.Background())
	e := benchEvent()
	b.ReportAllocs()
	for b.Loop() {
		if err := in.Submit(context.Background(), e); err != nil {
			b.Fatal(err)
		}
	}
}

type idle struct{}

func (idle) WriteEvents(context.Context, []*prefect.Event) error            { return nil }
func (idle) RecordTaskRuns(context.Context, []*prefect.TaskRunRecord) error { return nil }

func benchEvent() *prefect.Event {
	e := newEvent(0)
	e.Event = "prefect.task-run.Running"
	e.Resource = prefect.NewResource("prefect.task-run."+taskRunID, prefect.LabelName, "hello-0", "prefect.run-count", "1",
		"prefect.state-message", "", "prefect.state-name", "Running", "prefect.state-timestamp", "2026-11-24T00:28:04.311285+00:00",
		"prefect.state-type", "RUNNING", prefect.LabelOrchestration, "client")
	e.Related = []prefect.Resource{
		prefect.NewResource("prefect.flow-run."+flowRunID, prefect.LabelRole, "flow-run", prefect.LabelName, "otter"),
		prefect.NewResource("prefect.flow."+flowRunID, prefect.LabelRole, "flow", prefect.LabelName, "f"),
	}
	e.Payload = []byte(taskRunPayloadJSON)
	return e
}
