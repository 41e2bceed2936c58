package api

import (
	"net/http"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// logCreate is the schema LogCreate.
type logCreate struct {
	_         struct{}     `bind:"forbid"`
	Name      string       `json:"name" bind:"required"`
	Level     int32        `json:"level" bind:"required"` // the column has 32 bits on Postgres
	Message   string       `json:"message" bind:"required"`
	Timestamp prefect.Time `json:"timestamp" bind:"required"`
	FlowRunID *uuid.UUID   `json:"flow_run_id"`
	TaskRunID *uuid.UUID   `json:"task_run_id"`
}

func (s *server) createLogs(w http.ResponseWriter, r *http.Request) error {
	var body []logCreate
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	now := s.Now()
	rows := make([]prefect.Log, len(body))
	logs := make([]*prefect.Log, len(body))
	for i := range body {
		l := &body[i]
		rows[i] = prefect.Log{ID: s.NewID(), Created: now, Updated: now, Name: l.Name, Level: int(l.Level),
			Message: l.Message, Timestamp: l.Timestamp, FlowRunID: l.FlowRunID, TaskRunID: l.TaskRunID}
		logs[i] = &rows[i]
	}
	if len(logs) > 0 {
		if err := s.Store.CreateLogs(r.Context(), logs); err != nil {
			return err
		}
		if s.PublishLogs != nil {
			s.PublishLogs(logs)
		}
	}
	s.encode(w, http.StatusCreated, func(b []byte) []byte { return append(b, "null"...) })
	return nil
}

type filterLogs struct {
	_ struct{} `bind:"embed"`
	window
	Logs *prefect.LogFilter `json:"logs" bind:"closed"`
	Sort string             `json:"sort" bind:"enum=TIMESTAMP_ASC|TIMESTAMP_DESC"`
}

const defaultLogSort = "TIMESTAMP_ASC"

func (s *server) filterLogs(w http.ResponseWriter, r *http.Request) error {
	body := filterLogs{Sort: defaultLogSort}
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	page, err := s.page(body.Sort, body.window)
	if err != nil {
		return err
	}
	logs, err := s.Store.FilterLogs(r.Context(), body.Logs, page)
	if err != nil {
		return err
	}
	return list(s, w, logs, appendLog)
}
