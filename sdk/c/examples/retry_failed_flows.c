// The built-in rule RetryFailedFlows in C: a failure becomes AwaitingRetry while
// the run has retries left.
#include "../interlock.h"

// A client that does not say which API it speaks is a new one, and knows pauses.
static bool knows_pauses(interlock_value context) {
	interlock_value release = interlock_get(interlock_get(interlock_get(context, "transition"), "client"), "api_release");
	if (interlock_kind(release) != INTERLOCK_ARRAY) return true;
	static const int32_t since[] = {0, 8, 4};
	interlock_value part = interlock_first(release);
	for (int i = 0; i < 3; i++) {
		int32_t n = 0;
		interlock_int(part, &n);
		if (n != since[i]) return n > since[i];
		part = part ? interlock_next(release, part) : 0;
	}
	return true;
}

static bool retry_failed_flows(interlock_value context, interlock_value config) {
	(void)config;
	interlock_value run = interlock_get(context, "run"), policy = interlock_get(run, "empirical_policy");
	int32_t retries, run_count = 0;
	interlock_int(interlock_get(run, "run_count"), &run_count);
	if (!interlock_int(interlock_get(policy, "retries"), &retries) || run_count > retries) {
		interlock_put(",\"decision\":\"ACCEPT\",\"flags\":{\"clear_retry_type\":true}");
		return true;
	}
	int64_t now = 0;
	double delay = 0;
	interlock_time(interlock_get(context, "now"), &now);
	interlock_float(interlock_get(policy, "retry_delay"), &delay);
	interlock_value initial = interlock_get(interlock_get(context, "transition"), "initial_state");
	interlock_put(",\"decision\":\"REJECT\",\"reason\":\"Retrying\",\"state\":{\"type\":\"SCHEDULED\",\"name\":\"AwaitingRetry\","
		"\"message_from\":\"proposed\",\"data_from\":\"proposed\",\"state_details\":{\"scheduled_time\":");
	interlock_put_time(interlock_later(now, delay));
	interlock_put(",\"deployment_concurrency_lease_id\":");
	interlock_put_value(interlock_get(interlock_get(initial, "state_details"), "deployment_concurrency_lease_id"));
	interlock_put("}}");
	if (knows_pauses(context)) {
		interlock_put(",\"flags\":{\"set_retry_type_in_process\":true,\"set_resuming_false\":true,\"clear_pause_keys\":true}");
	}
	return false;
}

static const struct interlock_rule rules[] = {{"RetryFailedFlows", retry_failed_flows}, {0, 0}};

const struct interlock_module interlock_module = {
	"{\"abi\":1,\"name\":\"retry-in-c\",\"version\":\"1.0.0\",\"description\":\"RetryFailedFlows in C\",\"rules\":[{\"name\":\"RetryFailedFlows\","
	"\"run_type\":\"flow_run\",\"from\":[\"RUNNING\"],\"to\":[\"FAILED\"],\"kind\":\"rule\",\"phase\":\"before\"}]}",
	rules,
};
