package event

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// An event has no more related resources than one that a client may send.
func TestEventsOfRunsWithManyTags(t *testing.T) {
	id := func(n byte) uuid.UUID { return uuid.UUID{15: n} }
	tags := make([]string, 20_000)
	for i := range tags {
		tags[i] = fmt.Sprintf("%05d", i)
	}
	deployment := "DEPLOYMENT"
	c := &prefect.FlowRunStateChange{FlowRunID: id(1), FlowID: id(2), Tags: tags, CreatedBy: &prefect.CreatedBy{ID: new(id(3)), Type: &deployment},
		Written: prefect.EventState{ID: id(9), Type: prefect.Pending, Name: "Pending", Timestamp: start}}
	names := map[uuid.UUID]prefect.RelatedRow{id(2): {Kind: "flow", ID: id(2), Name: "f"}}
	most := prefect.DefaultEventLimits().Related
	for what, related := range map[string][]prefect.Resource{
		"a flow run": flowRunEvent(c, names, start).Related,
		"a policy":   policyEvent(&prefect.PolicyEvent{TaskRun: &prefect.EventTaskRun{ID: id(1), FlowRunID: new(id(2)), Tags: tags}}, nil, start).Related,
	} {
		if len(related) != most || related[1].ID() != "prefect.tag.00000" {
			t.Errorf("%s: %d related resources, the second %v", what, len(related), related[1])
		}
	}
	if last := flowRunEvent(c, names, start).Related[most-1]; last.Role() != "creator" {
		t.Errorf("the last is %v", last)
	}
}
