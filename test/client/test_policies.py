"""Policies are swapped while the real client's flows run."""

import threading

from conftest import ROOT, wait_until

EXAMPLE = ROOT / "examples" / "flows" / "fails_twice.py"
BACKOFF = ROOT / "bin" / "policies" / "backoff.wasm"


def entry(server, name="RetryFailedFlows"):
    entries = server.get("/interlock/policies/CoreFlowPolicy")["entries"]
    return next(e for e in entries if e["name"] == name)


def use_backoff(server, base_seconds: int) -> str:
    config = '{"base_seconds": %d, "factor": 1, "jitter": 0}' % base_seconds
    return server.command("policy", "use", "RetryFailedFlows", str(BACKOFF), "--config", config)


def test_a_swap_while_a_run_waits_changes_its_next_delay(server):
    process = server.start_flow(EXAMPLE)

    def retried(times: int):
        runs = server.flow_runs()
        found = [d for d in server.decisions(runs[0]) if d["reason"]] if runs else []
        rejects = [d for d in found if d["status"] == "REJECT"]
        return rejects if len(rejects) >= times else None

    wait_until(lambda: retried(1), 60, "the first retry")
    assert "CoreFlowPolicy is at version 2" in use_backoff(server, 4)
    digest = entry(server)["module"]
    first, second = wait_until(lambda: retried(2), 60, "the second retry")[:2]
    assert "CoreFlowPolicy is at version 3" in server.command("policy", "rollback")
    assert entry(server)["module"] == "builtin"
    assert process.wait(timeout=60) == 0

    run = server.flow_run_of("fails-twice")
    assert (run["state_type"], run["run_count"]) == ("COMPLETED", 3)
    decided = {}
    for d in (first, second):
        (rule,) = [r for r in d["rules"] if r["name"] == "RetryFailedFlows"]
        state = server.get(f"/flow_run_states/{d['state_id']}")
        decided[rule["rule"]] = (rule["module"], delay(d, state))
    assert decided["RetryFailedFlows"][1] == 2
    assert decided["BackoffRetry"] == (digest, 4)
    assert "rule BackoffRetry" in server.command("policy", "explain", run["id"])


def delay(decision, state) -> float:
    from datetime import datetime

    scheduled = datetime.fromisoformat(state["state_details"]["scheduled_time"])
    return round((scheduled - datetime.fromisoformat(decision["created"])).total_seconds(), 3)


def test_a_swap_survives_a_restart(start, database_url):
    first = start(database_url)
    use_backoff(first, 7)
    want = entry(first)
    assert first.stop() == 0
    assert entry(start(database_url)) == want


def test_two_servers_on_one_postgres_share_their_policies(start, postgres):
    url = postgres()
    here, there = start(url), start(url)
    use_backoff(here, 1)
    want = entry(here)
    flow = there.post("/flows/", {"name": "shared"})

    def decided_there() -> bool:
        """A retry at the other server, and whose module decided it."""
        body = {"flow_id": flow["id"], "state": {"type": "RUNNING"}, "empirical_policy": {"retries": 3}}
        run = there.post("/flow_runs/", body)
        there.post(f"/flow_runs/{run['id']}/set_state", {"state": {"type": "FAILED"}})
        rules = [r for d in there.decisions(run) for r in d["rules"] if r["name"] == "RetryFailedFlows"]
        return rules[0]["module"] == want["module"]

    wait_until(decided_there, 30, "the other server to use the module")


def test_a_module_in_use_is_kept_and_a_bad_one_refused(server, tmp_path):
    use_backoff(server, 1)
    digest = entry(server)["module"]
    for args, expected in [
        (("policy", "remove", digest), "use"),
        (("policy", "push", str(EXAMPLE)), "not webassembly"),
    ]:
        try:
            server.command(*args)
        except AssertionError as refused:
            assert expected in str(refused).lower()
        else:
            raise AssertionError(f"{args} was not refused")
    assert entry(server)["module"] == digest


def test_swaps_under_load_fail_no_request(server):
    flow = server.post("/flows/", {"name": "load"})
    stop, failures, done = threading.Event(), [], []

    def client():
        while not stop.is_set():
            try:
                body = {"flow_id": flow["id"], "state": {"type": "RUNNING"}, "empirical_policy": {"retries": 1}}
                run = server.post("/flow_runs/", body)
                reply = server.post(f"/flow_runs/{run['id']}/set_state", {"state": {"type": "FAILED"}})
                assert reply["status"] == "REJECT", reply
                done.append(run["id"])
            except Exception as error:  # any is a failed request
                failures.append(repr(error))

    threads = [threading.Thread(target=client) for _ in range(4)]
    for t in threads:
        t.start()
    use_backoff(server, 1)
    backoff = entry(server)["module"]
    for _ in range(10):
        server.command("policy", "rollback")
        server.command("policy", "use", "RetryFailedFlows", backoff)
    stop.set()
    for t in threads:
        t.join()
    assert not failures and done
    modules = set()
    for run in done:
        rules = [r for d in server.decisions({"id": run}) for r in d["rules"] if r["name"] == "RetryFailedFlows"]
        assert len(rules) == 1 and not rules[0].get("error")
        modules.add(rules[0]["rule"])
    assert modules <= {"RetryFailedFlows", "BackoffRetry"} and modules
