package event

import (
	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// policyEvent makes the event that a rule asked for. Name and payload are the
// rule's; whom it is about and to whom that belongs is not for a rule to say. The
// payload is cleaned as a client's is, or a rule could ask for what no database
// takes.
func policyEvent(p *prefect.PolicyEvent, names map[uuid.UUID]prefect.RelatedRow, now prefect.Time) *prefect.Event {
	e := &prefect.Event{ID: p.ID, Occurred: p.Occurred, Received: now, Event: p.Event, Payload: prefect.CleanJSON(object(p.Payload))}
	if e.Payload == nil {
		e.Payload = []byte("{}")
	}
	if c := p.FlowRun; c != nil {
		e.Resource = prefect.NewResource("prefect.flow-run."+c.FlowRunID.String(), prefect.LabelName, c.Name)
		e.Related = flowRunRelated(c, names)
		return e
	}
	run := p.TaskRun
	e.Resource = prefect.NewResource("prefect.task-run."+run.ID.String(), prefect.LabelName, run.Name)
	e.Related = []prefect.Resource{}
	if run.FlowRunID != nil {
		e.Related = append(e.Related, prefect.NewResource("prefect.flow-run."+run.FlowRunID.String(), prefect.LabelRole, "flow-run"))
	}
	e.Related = appendTags(e.Related, run.Tags, 0)
	return e
}
