package api

import (
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

func (s *server) setFlowRunState(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var body setState
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	result, err := s.Orchestrator.SetFlowRunState(r.Context(), id, body.proposal(client(r)))
	if err != nil {
		return raised(notFound(err, "Flow run with id "+id.String()+" not found"))
	}
	return s.result(w, result)
}

// result answers with 201 if a state was written, else with 200.
func (s *server) result(w http.ResponseWriter, result *prefect.OrchestrationResult) error {
	s.encode(w, createdStatus(result.Written), func(b []byte) []byte { return appendResult(b, result) })
	return nil
}

// client returns what the headers say of the client that proposes a state.
func client(r *http.Request) orchestrate.Client {
	return orchestrate.Client{
		Version:    clientVersion(r.Header.Get("User-Agent")),
		APIVersion: r.Header.Get("X-Prefect-Api-Version"),
	}
}

// clientVersion returns the version in a User-Agent of the form
// "prefect/3.8.8 (API 0.8.4)", "" for any other.
func clientVersion(userAgent string) string {
	rest, ok := strings.CutPrefix(userAgent, "prefect/")
	version, about, spaced := strings.Cut(rest, " (API ")
	about, closed := strings.CutSuffix(about, ")")
	if !ok || !spaced || !closed || about == "" || strings.ContainsAny(about, " \t") {
		return ""
	}
	parts := strings.SplitN(version, ".", 3)
	if len(parts) != 3 || leadingDigits(parts[0]) != len(parts[0]) || leadingDigits(parts[1]) != len(parts[1]) {
		return ""
	}
	n := leadingDigits(parts[2])
	if n <= 0 || parts[0] == "" || parts[1] == "" {
		return ""
	}
	for _, c := range parts[2][n:] {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '+') {
			return ""
		}
	}
	return version
}

func leadingDigits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

type bulkSetFlowRunState struct {
	_        struct{}               `bind:"embed"`
	FlowRuns *prefect.FlowRunFilter `json:"flow_runs" bind:"closed"`
	State    stateCreate            `json:"state" bind:"required"`
	Force    bool                   `json:"force"`
	Limit    int                    `json:"limit" bind:"ge=1,le=50"`
}

// bulkResult is the schema FlowRunOrchestrationResult.
type bulkResult struct {
	id     uuid.UUID
	result *prefect.OrchestrationResult
}

func appendBulkResult(b []byte, r bulkResult) []byte {
	b = appendUUID(append(b, `{"flow_run_id":`...), r.id)
	b = appendString(append(b, `,"status":`...), string(r.result.Status))
	b = appendState(append(b, `,"state":`...), r.result.State)
	b = appendDetails(append(b, `,"details":`...), &r.result.Details)
	return append(b, '}')
}

// bulkSetFlowRunState proposes a state to each matching run in turn, each with a
// copy of its own. A run that fails is reported as ABORT and nothing of it is
// written.
func (s *server) bulkSetFlowRunState(w http.ResponseWriter, r *http.Request) error {
	body := bulkSetFlowRunState{Limit: bulkLimit}
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	ids, err := s.matchingFlowRuns(r, body.FlowRuns, body.Limit)
	if err != nil {
		return err
	}
	results := make([]bulkResult, 0, len(ids))
	for _, id := range ids {
		p := orchestrate.Proposal{State: body.State.state(), Force: body.Force, Client: client(r)}
		result, err := s.Orchestrator.SetFlowRunState(r.Context(), id, p)
		if err != nil {
			s.Logger.WarnContext(r.Context(), "bulk_set_state failed for a flow run", append(s.about(r, err), "flow_run_id", id)...)
			result = aborted(bulkReason(err))
		}
		results = append(results, bulkResult{id, result})
	}
	s.encode(w, http.StatusOK, func(b []byte) []byte {
		return append(appendList(append(b, `{"results":`...), results, appendBulkResult), '}')
	})
	return nil
}

// bulkReason tells a client why a run failed, without what only the log may hold.
func bulkReason(err error) string {
	switch codeOf(err) {
	case prefect.Internal:
		return "Internal Server Error"
	case prefect.Unavailable:
		return "Service Unavailable"
	}
	return err.Error()
}

func aborted(reason string) *prefect.OrchestrationResult {
	return &prefect.OrchestrationResult{Status: prefect.Abort, Details: prefect.DetailsFor(prefect.Abort, reason, 0)}
}
