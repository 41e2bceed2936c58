package query

import "github.com/interlock-run/interlock/host/prefect"

// OrderBy returns " ORDER BY ..." for a sort name of the noun. Ties are broken by
// id, so that pages neither repeat nor lose rows; nulls stand where the database
// puts them by itself, as in the reference. Errors: Invalid for a name that the
// noun does not have.
func OrderBy(noun Noun, sort string) (string, error) {
	by := orders(noun)[sort]
	if by == "" {
		return "", prefect.Errorf(prefect.Invalid, "%q is not a way to sort %ss", sort, noun)
	}
	return " ORDER BY " + by, nil
}

func orders(noun Noun) map[string]string {
	switch noun {
	case Flow, Deployment:
		t := string(noun)
		return map[string]string{
			"CREATED_DESC": t + ".created DESC, " + t + ".id",
			"UPDATED_DESC": t + ".updated DESC, " + t + ".id",
			"NAME_ASC":     t + ".name ASC, " + t + ".id",
			"NAME_DESC":    t + ".name DESC, " + t + ".id",
		}
	case FlowRun:
		byRun := runOrders("flow_run")
		byRun["START_TIME_ASC"] = "coalesce(flow_run.start_time, flow_run.expected_start_time) ASC, flow_run.id"
		byRun["START_TIME_DESC"] = "coalesce(flow_run.start_time, flow_run.expected_start_time) DESC, flow_run.id"
		return byRun
	case TaskRun:
		return runOrders("task_run")
	case Log:
		return map[string]string{
			"TIMESTAMP_ASC":  "log.timestamp ASC",
			"TIMESTAMP_DESC": "log.timestamp DESC",
		}
	}
	return nil
}

func runOrders(t string) map[string]string {
	return map[string]string{
		"ID_DESC":                       t + ".id DESC",
		"EXPECTED_START_TIME_ASC":       t + ".expected_start_time ASC, " + t + ".id",
		"EXPECTED_START_TIME_DESC":      t + ".expected_start_time DESC, " + t + ".id",
		"NAME_ASC":                      t + ".name ASC, " + t + ".id",
		"NAME_DESC":                     t + ".name DESC, " + t + ".id",
		"NEXT_SCHEDULED_START_TIME_ASC": t + ".next_scheduled_start_time ASC, " + t + ".id",
		"END_TIME_DESC":                 t + ".end_time DESC, " + t + ".id",
	}
}
