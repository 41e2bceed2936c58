"""The real client runs flows against interlock."""

from conftest import FLOWS, ROOT, wait_until

SHAPES = FLOWS / "shapes.py"


def state_names(server, run):
    return [s["name"] for s in server.get(f"/flow_run_states/?flow_run_id={run['id']}")]


def test_nested_flows_with_tasks(server):
    assert "result: 8" in server.run_flow(SHAPES, "nested")
    run = server.flow_run_of("nested")
    assert (run["state_type"], run["run_count"], run["parameters"]) == ("COMPLETED", 1, {"x": 1})
    assert state_names(server, run) == ["Pending", "Running", "Completed"]
    assert server.logs(run, "nested begins") and server.logs(run, "doubling 1")

    tasks = {t["name"].split("-")[0]: t for t in server.task_runs(run, 2)}
    assert set(tasks) == {"branch", "double"}
    assert tasks["double"]["tags"] == ["one", "two"] or set(tasks["double"]["tags"]) == {"one", "two"}

    branch = server.flow_run_of("branch")
    assert branch["parent_task_run_id"] == tasks["branch"]["id"]
    parent = server.get(f"/task_runs/{tasks['branch']['id']}")
    assert parent["state"]["state_details"]["child_flow_run_id"] == branch["id"]
    assert parent["state_type"] == "COMPLETED"
    leaves = server.flow_runs(flows={"name": {"any_": ["leaf"]}})
    assert sorted(r["name"] for r in leaves) == ["leaf-1", "leaf-2"]
    assert server.post("/flow_runs/count", {}) == 4


def test_task_retries_are_recorded(server):
    assert "result: 3" in server.run_flow(SHAPES, "task_retries")
    run = server.flow_run_of("task-retries")
    (task,) = server.task_runs(run, 1)
    assert (task["state_type"], task["run_count"]) == ("COMPLETED", 3)
    names = [s["name"] for s in server.get(f"/task_run_states/?task_run_id={task['id']}")]
    assert names[0] == "Pending" and names[-1] == "Completed" and names.count("Retrying") == 2


def test_a_flow_that_always_fails_ends_failed(server):
    server.run_flow(SHAPES, "always_fails", code=1)
    run = server.flow_run_of("always-fails")
    assert (run["state_type"], run["run_count"]) == ("FAILED", 2)
    assert "attempt 2 breaks" in run["state"]["message"]
    assert run["empirical_policy"]["retry_type"] is None
    names = state_names(server, run)
    assert names == ["Pending", "Running", "AwaitingRetry", "Retrying", "Failed"] or names == [
        "Pending", "Running", "AwaitingRetry", "Running", "Failed",
    ]


def test_pause_and_resume(server):
    process = server.start_flow(SHAPES, "paused")
    run = wait_until(
        lambda: next((r for r in server.flow_runs() if r["state_type"] == "PAUSED"), None), 60, "a paused run"
    )
    assert len(run["empirical_policy"]["pause_keys"]) == 1
    server.run_flow(SHAPES, "resume", run["id"])
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "result: resumed" in out, out
    run = server.flow_run_of("paused")
    assert run["state_type"] == "COMPLETED"
    assert run["empirical_policy"]["resuming"] is False
    names = state_names(server, run)
    assert names[:3] == ["Pending", "Running", "Paused"] and names[-1] == "Completed"


def test_a_pause_that_times_out_fails_the_run(server):
    server.run_flow(SHAPES, "pause_times_out", code=1)
    assert server.flow_run_of("pause-times-out")["state_type"] == "FAILED"


def test_a_named_state_is_kept(server):
    server.run_flow(SHAPES, "custom_state")
    run = server.flow_run_of("custom-state")
    assert (run["state_type"], run["state_name"], run["state"]["message"]) == ("COMPLETED", "Skipped", "nothing to do")


def test_the_example_succeeds_on_its_third_attempt(server):
    server.run_flow(ROOT / "examples" / "flows" / "fails_twice.py")
    run = server.flow_run_of("fails-twice")
    assert (run["state_type"], run["run_count"]) == ("COMPLETED", 3)
    assert len(server.task_runs(run, 6)) == 6
    assert server.logs(run, "on purpose")

    retried = [d for d in server.decisions(run) if d["status"] == "REJECT"]
    assert [(d["reason"], d["final_name"]) for d in retried] == [("Retrying", "AwaitingRetry")] * 2
    last = server.decisions(run)[-1]
    assert (last["status"], last["final_type"]) == ("ACCEPT", "COMPLETED")

    explained = server.command("policy", "explain", run["id"])
    assert explained.count('REJECT "Retrying"') == 2
    assert "RUNNING -> COMPLETED  ACCEPT" in explained
    assert "RetryFailedFlows" in explained and "sha256:" in explained


def test_runs_survive_a_restart(start, database_url):
    first = start(database_url)
    first.run_flow(SHAPES, "custom_state")
    before = first.flow_run_of("custom-state")
    assert first.stop() == 0
    again = start(database_url)
    after = again.flow_run_of("custom-state")
    for key in ("id", "state_id", "state", "start_time", "end_time", "empirical_policy"):
        assert after[key] == before[key]
