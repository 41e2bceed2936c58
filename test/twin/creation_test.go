package twin

import (
	"context"
	"testing"
	"time"
)

// creations makes runs in each state by way of the API. The reference cannot make
// one in a state that has data: it answers 500.
func (p *pair) creations(t *testing.T) {
	base, began := time.Now(), time.Now()
	var bodies []object
	var cases []*script
	add := func(k *kind, of labelled, more object) {
		if _, data := of.state["data"]; data {
			return
		}
		s := &script{kind: k, name: "create " + of.name, proposal: proposal{state: of.state, force: true}}
		body := object{"name": s.name, "empirical_policy": object{"retries": 2, "retry_delay": retryDelay}, "tags": []string{"twin"}}
		if of.state != nil {
			body["state"] = of.state
		}
		for key, v := range more {
			body[key] = v
		}
		cases, bodies = append(cases, s), append(bodies, body)
	}
	for _, s := range flowStates(base) {
		add(flowRuns, s, object{"parameters": object{"x": 1}})
	}
	for i, s := range append(taskStates(base), taskProposals(base)...) {
		add(taskRuns, s, object{"task_key": "t", "dynamic_key": stamp(base.Add(time.Duration(i) * time.Minute))})
	}
	refs, ours := make([]*run, len(cases)), make([]*run, len(cases))
	err := p.each(t.Context(), len(cases), func(ctx context.Context, i int) (err error) {
		known := given(cases[i].name, bodies[i])
		if refs[i], err = p.ref.create(ctx, cases[i].kind, bodies[i], known); err == nil {
			ours[i], err = p.ours.create(ctx, cases[i].kind, bodies[i], known)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	p.readAll(t, cases, refs, ours)
	r := &report{}
	for i, c := range cases {
		r.add(c, base, refs[i].seen, ours[i].seen)
	}
	r.finish(t, len(cases), "creations", time.Since(began))
}
