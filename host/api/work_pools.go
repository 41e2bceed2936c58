package api

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/api/bind"
	"github.com/interlock-run/interlock/host/prefect"
)

// workPoolCreate is the schema WorkPoolCreate.
type workPoolCreate struct {
	_                    struct{}             `bind:"forbid"`
	Name                 poolName             `json:"name" bind:"required,pattern=name"`
	Description          *string              `json:"description"`
	Type                 string               `json:"type"`
	BaseJobTemplate      jobTemplate          `json:"base_job_template"`
	IsPaused             bool                 `json:"is_paused"`
	ConcurrencyLimit     *int32               `json:"concurrency_limit" bind:"ge=0"`
	StorageConfiguration storageConfiguration `json:"storage_configuration"`
}

// SetDefaults is called by bind.
func (c *workPoolCreate) SetDefaults() {
	c.Type, c.BaseJobTemplate = prefect.AgentPoolType, jobTemplate("{}")
}

// poolName is a name that is more than blanks and quotes.
type poolName string

// UnmarshalBind is called by bind.
func (n *poolName) UnmarshalBind(raw []byte, r bind.Reporter) {
	var plain struct {
		Name string `json:"name" bind:"pattern=name"`
	}
	var text string
	if json.Unmarshal(raw, &text) == nil && strings.Trim(text, "' \"") == "" {
		r.Fail("value_error", "Value error, a name is more than blanks and quotes", raw)
		return
	}
	if refused := r.Try(append(append([]byte(`{"name":`), raw...), '}'), &plain); len(refused) > 0 {
		for i := range refused {
			refused[i].Loc = refused[i].Loc[:len(refused[i].Loc)-1] // the name that was put around it
		}
		r.Report(refused)
		return
	}
	*n = poolName(plain.Name)
}

// storageConfiguration is the schema WorkPoolStorageConfiguration.
type storageConfiguration struct {
	_                           struct{}        `bind:"forbid"`
	BundleUploadStep            json.RawMessage `json:"bundle_upload_step" bind:"object,null"`
	BundleExecutionStep         json.RawMessage `json:"bundle_execution_step" bind:"object,null"`
	DefaultResultStorageBlockID *uuid.UUID      `json:"default_result_storage_block_id"`
}

// jobTemplate is a base_job_template: an object that is empty, or has variables and
// a configuration that uses no others.
type jobTemplate json.RawMessage

// UnmarshalBind is called by bind.
func (j *jobTemplate) UnmarshalBind(raw []byte, r bind.Reporter) {
	if raw[0] != '{' {
		r.Fail("dict_type", "Input should be a valid dictionary", raw)
		return
	}
	if reason := templateFault(raw); reason != "" {
		r.Fail("value_error", "Value error, "+reason, raw)
		return
	}
	*j = append(jobTemplate(nil), raw...)
}

// maybeTemplate is a jobTemplate or null, which leaves the pool's alone.
type maybeTemplate struct{ jobTemplate }

// UnmarshalBind is called by bind.
func (m *maybeTemplate) UnmarshalBind(raw []byte, r bind.Reporter) {
	if raw[0] != 'n' {
		m.jobTemplate.UnmarshalBind(raw, r)
	}
}

var templateVariable = regexp.MustCompile(`\{\{\s*([\w.$\[\]-]+)\s*\}\}`)

// templateFault returns what is wrong with a template, "" if nothing is.
func templateFault(raw json.RawMessage) string {
	var all map[string]json.RawMessage
	if json.Unmarshal(raw, &all) != nil || len(all) == 0 {
		return ""
	}
	configuration, variables := member(raw, "job_configuration"), member(raw, "variables")
	if configuration == nil || variables == nil {
		return "a template that is not empty has variables and a job_configuration"
	}
	var declared map[string]json.RawMessage
	if properties := member(variables, "properties"); properties != nil && json.Unmarshal(properties, &declared) != nil {
		return "the variables of the template are no object"
	}
	for _, found := range templateVariable.FindAllSubmatch(configuration, -1) {
		name := string(found[1])
		if _, ok := declared[name]; !ok {
			return "the job_configuration uses " + name + ", which is none of the variables"
		}
	}
	return ""
}

const (
	reservedPool = "Names of work pools that begin with Prefect are the system's"
	poolTaken    = "The name is that of another work pool."
)

// reserved returns Forbidden for the names that are the system's.
func reserved(name, consequence string) error {
	if strings.HasPrefix(strings.ToLower(name), "prefect") {
		return prefect.Errorf(prefect.Forbidden, "%s%s", reservedPool, consequence)
	}
	return nil
}

func (s *server) createWorkPool(w http.ResponseWriter, r *http.Request) error {
	var body workPoolCreate
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	if err := reserved(string(body.Name), "."); err != nil {
		return err
	}
	if err := s.checkPoolDefaults(r.Context(), json.RawMessage(body.BaseJobTemplate)); err != nil {
		return err
	}
	storage, err := json.Marshal(body.StorageConfiguration)
	if err != nil {
		return err
	}
	p := &prefect.WorkPool{ID: s.NewID(), Name: string(body.Name), Description: body.Description, Type: body.Type, BaseJobTemplate: json.RawMessage(body.BaseJobTemplate),
		IsPaused: body.IsPaused, ConcurrencyLimit: intOf(body.ConcurrencyLimit), Status: prefect.NotReady, StorageConfiguration: storage}
	if p.IsPaused && p.Type != prefect.AgentPoolType {
		p.Status = prefect.PausedStatus
	}
	if err := s.Store.CreateWorkPool(r.Context(), p); err != nil {
		return taken(err, poolTaken)
	}
	s.encode(w, http.StatusCreated, func(b []byte) []byte { return appendWorkPool(b, p) })
	return nil
}

// taken replaces the message of a Conflict.
func taken(err error, message string) error {
	if prefect.CodeOf(err) == prefect.Conflict {
		return prefect.Errorf(prefect.Conflict, "%s", message)
	}
	return err
}

// checkPoolDefaults returns Invalid for a template whose variables have defaults
// that do not fit them, or a schema that cannot be used.
func (s *server) checkPoolDefaults(ctx context.Context, template json.RawMessage) error {
	schema := member(template, "variables")
	if schema == nil {
		return nil
	}
	_, sound, err := s.poolDefaults(ctx, schema)
	if err == nil && !sound {
		return prefect.Errorf(prefect.Invalid, "The defaults of the template's variables do not fit their schema.")
	}
	return about(err, "The template is refused")
}

// checkTemplate returns Invalid for a template whose variables have a schema that
// cannot be used: every run of the pool would be refused for it. Defaults that do
// not fit are taken from who changes a pool, as in the reference.
func (s *server) checkTemplate(template json.RawMessage) error {
	schema := member(template, "variables")
	if schema == nil {
		return nil
	}
	_, err := s.checker(schema, looseness{})
	return about(err, "The template is refused")
}

func (s *server) readWorkPool(w http.ResponseWriter, r *http.Request) error {
	p, err := s.pool(r, "name")
	if err != nil {
		return err
	}
	s.encode(w, http.StatusOK, func(b []byte) []byte { return appendWorkPool(b, p) })
	return nil
}

// pool reads the pool that a part of the path names. Errors: NotFound.
func (s *server) pool(r *http.Request, part string) (*prefect.WorkPool, error) {
	name := pathText(r, part)
	p, err := s.Store.ReadWorkPool(r.Context(), name)
	return p, poolNotFound(err, name)
}

type filterWorkPools struct {
	_         struct{}                `bind:"embed"`
	WorkPools *prefect.WorkPoolFilter `json:"work_pools" bind:"closed"`
	window
}

func (s *server) filterWorkPools(w http.ResponseWriter, r *http.Request) error {
	var body filterWorkPools
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	page, err := s.page("", body.window)
	if err != nil {
		return err
	}
	pools, err := s.Store.FilterWorkPools(r.Context(), body.WorkPools, page)
	if err != nil {
		return err
	}
	return list(s, w, pools, appendWorkPool)
}

type countWorkPools struct {
	_         struct{}                `bind:"embed"`
	WorkPools *prefect.WorkPoolFilter `json:"work_pools" bind:"closed"`
}

func (s *server) countWorkPools(w http.ResponseWriter, r *http.Request) error {
	var body countWorkPools
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	n, err := s.Store.CountWorkPools(r.Context(), body.WorkPools)
	if err != nil {
		return err
	}
	return s.count(w, n)
}

// workPoolUpdate is the schema WorkPoolUpdate.
type workPoolUpdate struct {
	_                    struct{}                                `bind:"forbid"`
	Description          prefect.Optional[*string]               `json:"description"`
	IsPaused             prefect.Optional[*bool]                 `json:"is_paused"`
	BaseJobTemplate      prefect.Optional[maybeTemplate]         `json:"base_job_template"`
	ConcurrencyLimit     prefect.Optional[*int32]                `json:"concurrency_limit" bind:"ge=0"`
	StorageConfiguration prefect.Optional[*storageConfiguration] `json:"storage_configuration"`
}

func (s *server) updateWorkPool(w http.ResponseWriter, r *http.Request) error {
	var body workPoolUpdate
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	name := pathText(r, "name")
	if body.Description.Set || body.BaseJobTemplate.Set || body.StorageConfiguration.Set {
		if err := reserved(name, ": such a pool can be paused and limited, and nothing else of it changes."); err != nil {
			return err
		}
	}
	if template := body.BaseJobTemplate.Value.jobTemplate; template != nil {
		if err := s.checkTemplate(json.RawMessage(template)); err != nil {
			return err
		}
	}
	if err := s.Store.UpdateWorkPool(r.Context(), name, body.apply); err != nil {
		return poolNotFound(err, name)
	}
	return noContent(w)
}

// apply changes what was sent. A pool that is not paused any more is ready if it has
// workers.
func (u *workPoolUpdate) apply(p *prefect.WorkPool, online bool) error {
	u.Description.Apply(&p.Description)
	if u.ConcurrencyLimit.Set {
		p.ConcurrencyLimit = intOf(u.ConcurrencyLimit.Value)
	}
	if template := u.BaseJobTemplate.Value.jobTemplate; template != nil {
		p.BaseJobTemplate = json.RawMessage(template)
	}
	if u.StorageConfiguration.Value != nil {
		storage, err := json.Marshal(u.StorageConfiguration.Value)
		if err != nil {
			return err
		}
		p.StorageConfiguration = storage
	}
	if u.IsPaused.Value == nil {
		return nil
	}
	p.IsPaused = *u.IsPaused.Value
	switch {
	case p.Type == prefect.AgentPoolType:
	case p.IsPaused:
		p.Status = prefect.PausedStatus
	case online:
		p.Status = prefect.Ready
	default:
		p.Status = prefect.NotReady
	}
	return nil
}

func (s *server) deleteWorkPool(w http.ResponseWriter, r *http.Request) error {
	name := pathText(r, "name")
	if err := reserved(name, ": such a pool stays."); err != nil {
		return err
	}
	if err := s.Store.DeleteWorkPool(r.Context(), name); err != nil {
		return poolNotFound(err, name)
	}
	return noContent(w)
}

// appendWorkPool appends the schema WorkPoolResponse.
func appendWorkPool(b []byte, p *prefect.WorkPool) []byte {
	b = appendUUID(append(b, `{"id":`...), p.ID)
	b = appendTime(append(b, `,"created":`...), p.Created)
	b = appendTime(append(b, `,"updated":`...), p.Updated)
	b = appendString(append(b, `,"name":`...), p.Name)
	b = appendStringPtr(append(b, `,"description":`...), p.Description)
	b = appendString(append(b, `,"type":`...), p.Type)
	b = appendRaw(append(b, `,"base_job_template":`...), p.BaseJobTemplate, "{}")
	b = appendBool(append(b, `,"is_paused":`...), p.IsPaused)
	b = appendIntPtr(append(b, `,"concurrency_limit":`...), p.ConcurrencyLimit)
	status := &p.Status
	if p.Type == prefect.AgentPoolType {
		status = nil
	}
	b = appendStringPtr(append(b, `,"status":`...), status)
	b = appendUUIDPtr(append(b, `,"default_queue_id":`...), p.DefaultQueueID)
	b = appendStorage(append(b, `,"storage_configuration":`...), p.StorageConfiguration)
	b = appendIntPtr(append(b, `,"active_slots":`...), p.ActiveSlots)
	return append(b, '}')
}

// appendStorage appends a storage configuration with all of its fields.
func appendStorage(b []byte, raw json.RawMessage) []byte {
	var c storageConfiguration
	if json.Unmarshal(raw, &c) != nil {
		c = storageConfiguration{} // what no client could have written
	}
	b = appendRaw(append(b, `{"bundle_upload_step":`...), c.BundleUploadStep, "null")
	b = appendRaw(append(b, `,"bundle_execution_step":`...), c.BundleExecutionStep, "null")
	b = appendUUIDPtr(append(b, `,"default_result_storage_block_id":`...), c.DefaultResultStorageBlockID)
	return append(b, '}')
}
