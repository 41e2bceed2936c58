package api

import (
	"encoding/csv"
	"net/http"
	"net/url"
	"strconv"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// logsPage is how many logs of a download are read at once.
const logsPage = 1000

// downloadLogs streams the logs of a flow run as CSV, oldest first. An error
// after the first page cuts the connection, so that no client takes a part for
// the whole.
func (s *server) downloadLogs(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	run, err := s.Store.ReadFlowRun(r.Context(), id)
	if err != nil {
		return notFound(err, flowRunNotFound)
	}
	filter := &prefect.LogFilter{FlowRunID: &prefect.Any[uuid.UUID]{Any: []uuid.UUID{id}}}
	page := prefect.Page{Sort: defaultLogSort, Limit: logsPage}
	logs, err := s.Store.FilterLogs(r.Context(), filter, page)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="flow-run-logs.csv"; filename*=UTF-8''`+url.PathEscape(run.Name)+"-logs.csv")
	w.WriteHeader(http.StatusOK)
	out := csv.NewWriter(w)
	out.UseCRLF = true
	err = out.Write([]string{"timestamp", "level", "flow_run_id", "task_run_id", "message"})
	for err == nil && len(logs) > 0 {
		if err = writeLogs(out, logs); err != nil || len(logs) < logsPage {
			break
		}
		page.Offset += logsPage
		logs, err = s.Store.FilterLogs(r.Context(), filter, page)
	}
	out.Flush()
	if err == nil {
		err = out.Error()
	}
	if err != nil {
		s.Logger.WarnContext(r.Context(), "log download was cut off", s.about(r, err)...)
		panic(http.ErrAbortHandler)
	}
	return nil
}

func writeLogs(out *csv.Writer, logs []*prefect.Log) error {
	for _, l := range logs {
		row := []string{csvTime(l.Timestamp), strconv.Itoa(l.Level), idText(l.FlowRunID), idText(l.TaskRunID), l.Message}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	return nil
}

// csvTime has six digits of fraction or none.
func csvTime(t prefect.Time) string {
	if t.Nanosecond() == 0 {
		return t.Format("2006-01-02 15:04:05-07:00")
	}
	return t.Format("2006-01-02 15:04:05.000000-07:00")
}

func idText(id *uuid.UUID) string {
	if id == nil {
		return ""
	}
	return id.String()
}
