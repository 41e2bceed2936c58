//! The built-in rule RetryFailedFlows in Rust: a failure becomes AwaitingRetry
//! while the run has retries left.
#![no_std]

use interlock::{Kind, Value, Writer};

interlock::module! {
    r#"{"abi":1,"name":"retry-in-rust","version":"1.0.0","description":"RetryFailedFlows in Rust","rules":[{"name":"RetryFailedFlows","run_type":"flow_run","from":["RUNNING"],"to":["FAILED"],"kind":"rule","phase":"before"}]}"#,
    "RetryFailedFlows" => retry_failed_flows,
}

fn retry_failed_flows(context: Value, _config: Value, out: &mut Writer) -> bool {
    let run = context.get("run");
    let policy = run.get("empirical_policy");
    let retries = policy.get("retries").int();
    if retries.map_or(true, |n| run.get("run_count").int().unwrap_or(0) > n) {
        out.put(r#","decision":"ACCEPT","flags":{"clear_retry_type":true}"#);
        return true;
    }
    let now = context.get("now").time().unwrap_or(interlock::Time(0));
    let lease = context.get("transition").get("initial_state").get("state_details").get("deployment_concurrency_lease_id");
    out.put(r#","decision":"REJECT","reason":"Retrying","state":{"type":"SCHEDULED","name":"AwaitingRetry","message_from":"proposed","data_from":"proposed","state_details":{"scheduled_time":"#);
    out.put_time(now.later(policy.get("retry_delay").float().unwrap_or(0.0)));
    out.put(r#","deployment_concurrency_lease_id":"#);
    out.put_value(lease);
    out.put("}}");
    if knows_pauses(context) {
        out.put(r#","flags":{"set_retry_type_in_process":true,"set_resuming_false":true,"clear_pause_keys":true}"#);
    }
    false
}

/// A client that does not say which API it speaks is a new one, and knows pauses.
fn knows_pauses(context: Value) -> bool {
    let release = context.get("transition").get("client").get("api_release");
    if release.kind() != Kind::Array {
        return true;
    }
    let mut parts = release.elements().map(|part| part.int().unwrap_or(0));
    for since in [0, 8, 4] {
        let part = parts.next().unwrap_or(0);
        if part != since {
            return part > since;
        }
    }
    true
}
