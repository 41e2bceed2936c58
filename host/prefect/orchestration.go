package prefect

import "encoding/json"

// Status is the answer to a proposed state.
type Status string

// The statuses.
const (
	Accept Status = "ACCEPT"
	Reject Status = "REJECT"
	Abort  Status = "ABORT"
	Wait   Status = "WAIT"
)

// OrchestrationResult is the reply of the set_state operations.
type OrchestrationResult struct {
	State   *State          `json:"state"` // the run's state after the call; nil only for a run without one
	Status  Status          `json:"status"`
	Details ResponseDetails `json:"details"`
	// Written says whether this proposal wrote a state, now or when it was first
	// received: 201, else 200.
	Written bool `json:"-"`
}

// ResponseDetails is the details object of a reply; which fields go on the wire
// hangs on Type.
type ResponseDetails struct {
	Type         string // accept_details, reject_details, wait_details, abort_details
	Reason       *string
	DelaySeconds int
}

// DetailsFor returns the details of a reply with this status.
func DetailsFor(status Status, reason string, delaySeconds int) ResponseDetails {
	d := ResponseDetails{DelaySeconds: delaySeconds}
	switch status {
	case Accept:
		d.Type = "accept_details"
		return d
	case Reject:
		d.Type = "reject_details"
	case Wait:
		d.Type = "wait_details"
	case Abort:
		d.Type = "abort_details"
	}
	if reason != "" {
		d.Reason = &reason
	}
	return d
}

// MarshalJSON writes the fields that the type of details has.
func (d ResponseDetails) MarshalJSON() ([]byte, error) {
	switch d.Type {
	case "accept_details":
		return []byte(`{"type":"accept_details"}`), nil
	case "wait_details":
		return json.Marshal(struct {
			Type         string  `json:"type"`
			DelaySeconds int     `json:"delay_seconds"`
			Reason       *string `json:"reason"`
		}{d.Type, d.DelaySeconds, d.Reason})
	}
	return json.Marshal(struct {
		Type   string  `json:"type"`
		Reason *string `json:"reason"`
	}{d.Type, d.Reason})
}
