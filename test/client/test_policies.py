"""Policies swapped while real flows run."""

import re
import time
from datetime import datetime

from conftest import EXAMPLES, ROOT, Interlock, until

EXAMPLE = EXAMPLES / "flows" / "fails_twice.py"
BACKOFF = ROOT / "bin" / "policies" / "backoff.wasm"
# Two seconds are the example's own delay.
OWN_DELAY, SWAPPED_DELAY = 2, 5
CONFIG = f'{{"base_seconds": {SWAPPED_DELAY}, "factor": 1, "jitter": 0}}'


def retries(server, run_id):
    """The waits in front of the run's attempts, in seconds, oldest first."""

    def instant(text):
        return datetime.fromisoformat(text.replace("Z", "+00:00"))

    waits = [s for s in server.states(run_id) if s["name"] == "AwaitingRetry"]
    return [round((instant(s["state_details"]["scheduled_time"]) - instant(s["timestamp"])).total_seconds()) for s in waits]


def decisions(server, run_id):
    return server.get("/interlock/decisions", flow_run_id=run_id)


def retry_rule(decision):
    return next((r for r in decision["rules"] if r["name"] == "RetryFailedFlows"), None)


def retry_entry(server):
    policy = server.get("/interlock/policies/CoreFlowPolicy")
    return next(e for e in policy["entries"] if e["name"] == "RetryFailedFlows")


def test_the_example_ends_on_its_third_attempt_and_is_explained(server):
    run, output = server.finish(server.start_program(EXAMPLE), "fails-twice")
    assert (run["state_type"], run["run_count"]) == ("COMPLETED", 3), output
    assert retries(server, run["id"]) == [OWN_DELAY, OWN_DELAY]
    assert {r["state_type"] for r in server.task_runs(run["id"], 6)} == {"COMPLETED"}
    server.logs(run["id"], "attempt 3 succeeds")
    rejects = [d for d in decisions(server, run["id"]) if d["status"] == "REJECT"]
    assert len(rejects) == 2
    for d in rejects:
        assert re.fullmatch("sha256:[0-9a-f]{64}", retry_rule(d)["module"])
    explained = server.interlock("policy", "explain", run["id"])
    digest = rejects[0]["rules"][0]["module"][len("sha256:") :][:12]
    lines = explained.splitlines()
    assert len([line for line in lines if "RUNNING -> FAILED  REJECT" in line or ("-> FAILED" in line and "REJECT" in line)]) == 2, explained
    assert len([line for line in lines if "RetryFailedFlows" in line and "REJECT" in line and digest in line]) == 2, explained
    assert "-> COMPLETED  ACCEPT" in lines_of_decisions(lines)[-1], explained


def lines_of_decisions(lines):
    return [line for line in lines if not line.startswith(" ")]


def test_a_swap_between_two_failures_changes_the_next_delay(server, tmp_path):
    digest = server.interlock("policy", "push", BACKOFF).split()[0]
    file = tmp_path / "steps"
    program = server.start_scenario("fails-when-told", file)
    until("the second attempt", lambda: file.exists() and file.read_text() == "attempt\nattempt\n")
    again = server.newest_run("fails-when-told")
    assert (again["state_type"], again["run_count"]) == ("RUNNING", 2)
    assert retries(server, again["id"]) == [OWN_DELAY]
    assert retry_entry(server)["module"] == "builtin"
    server.interlock("policy", "use", "RetryFailedFlows", digest, "--config", CONFIG)
    swapped = retry_entry(server)
    assert (swapped["rule"], swapped["module"]) == ("BackoffRetry", digest)
    file.with_suffix(".go").touch()
    run, output = server.finish(program, "fails-when-told")
    assert (run["id"], run["state_type"], run["run_count"]) == (again["id"], "COMPLETED", 3), output
    assert retries(server, run["id"]) == [OWN_DELAY, SWAPPED_DELAY]
    rejects = [retry_rule(d) for d in decisions(server, run["id"]) if d["status"] == "REJECT"]
    assert [r["rule"] for r in rejects] == ["RetryFailedFlows", "BackoffRetry"]
    assert rejects[1]["module"] == swapped["module"]

    server.interlock("policy", "rollback")
    assert retry_entry(server)["module"] == "builtin"
    assert fail_once(server) == OWN_DELAY


def fail_once(server):
    """Takes a run to its first failure by requests alone; the wait that follows."""
    flow = server.post("/flows/", {"name": "by-hand"})
    policy = {"retries": 1, "retry_delay": OWN_DELAY}
    run = server.post("/flow_runs/", {"flow_id": flow["id"], "empirical_policy": policy, "state": {"type": "PENDING"}})
    for kind in ("RUNNING", "FAILED"):
        server.post(f"/flow_runs/{run['id']}/set_state", {"state": {"type": kind}})
    return retries(server, run["id"])[0]


def test_a_swap_reaches_the_other_process_on_the_same_database(postgres, tmp_path):
    here, there = (Interlock(tmp_path / name, postgres[1]) for name in ("here", "there"))
    try:
        assert fail_once(there) == OWN_DELAY
        here.interlock("policy", "use", "RetryFailedFlows", BACKOFF, "--config", CONFIG)
        began = time.monotonic()
        until("the other process to decide by the new module", lambda: fail_once(there) == SWAPPED_DELAY)
        print(f"the swap was used by the other process after {time.monotonic() - began:.2f} s")
        here.interlock("policy", "rollback")
        until("the other process to decide by the built-in again", lambda: fail_once(there) == OWN_DELAY)
    finally:
        here.stop()
        there.stop()


def test_a_swap_and_its_runs_survive_a_restart(tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path}/kept.db"
    server = Interlock(tmp_path / "first", url)
    server.interlock("policy", "use", "RetryFailedFlows", BACKOFF, "--config", CONFIG)
    assert fail_once(server) == SWAPPED_DELAY
    entry, run = retry_entry(server), server.newest_run("by-hand")
    server.stop()
    server = Interlock(tmp_path / "second", url)
    try:
        assert retry_entry(server) == entry
        again = server.newest_run("by-hand")
        for key in ("id", "state_id", "state", "start_time", "next_scheduled_start_time", "empirical_policy"):
            assert again[key] == run[key]
        assert fail_once(server) == SWAPPED_DELAY
    finally:
        server.stop()


def test_a_module_in_use_is_kept_and_a_bad_one_refused(server):
    server.interlock("policy", "use", "RetryFailedFlows", BACKOFF, "--config", CONFIG)
    digest = retry_entry(server)["module"]
    assert server.http.delete(f"/interlock/modules/{digest}").status_code == 409
    refused = server.http.post("/interlock/modules", content=b"no wasm", headers={"Content-Type": "application/wasm"})
    assert refused.status_code == 422 and "WebAssembly" in refused.text
    assert retry_entry(server)["module"] == digest
    server.interlock("policy", "rollback")
