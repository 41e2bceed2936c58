"""Flows run by the real client."""

from conftest import until


def test_tasks_parameters_tags_results_and_logs(server):
    run, output = server.run_flow("tasks")
    assert "returned 24" in output
    assert (run["state_type"], run["state_name"], run["run_count"]) == ("COMPLETED", "Completed", 1)
    assert run["parameters"] == {"x": 3, "names": ["a", "b"]}
    assert run["tags"] == ["client-test"]
    assert run["state"]["data"], "the result's reference is in the state"
    assert [s["type"] for s in server.states(run["id"])] == ["PENDING", "RUNNING", "COMPLETED"]
    rows = server.task_runs(run["id"], 3)
    assert {r["state_type"] for r in rows} == {"COMPLETED"}
    assert {r["run_count"] for r in rows} == {1}
    assert all("client-test" in r["tags"] and r["start_time"] and r["end_time"] for r in rows)
    logs = server.logs(run["id"], "hello from tasks")
    of_tasks = until("the logs of the tasks", lambda: [r for r in server.logs(run["id"], "doubling") if r["task_run_id"] and "doubling" in r["message"]])
    assert {r["task_run_id"] for r in of_tasks} <= {r["id"] for r in rows}
    assert all(r["flow_run_id"] == run["id"] for r in logs)


def test_subflows_stand_as_task_runs_of_their_parents(server):
    run, output = server.run_flow("parent")
    assert "returned 13" in output
    assert run["state_type"] == "COMPLETED"
    for flow, parent in (("child", run["id"]), ("grandchild", None)):
        sub = server.newest_run(flow)
        parent = parent or server.newest_run("child")["id"]
        assert sub["state_type"] == "COMPLETED"
        dummy = server.get(f"/task_runs/{sub['parent_task_run_id']}")
        assert dummy["flow_run_id"] == parent
        assert dummy["state_type"] == "COMPLETED"
        assert dummy["state"]["state_details"]["child_flow_run_id"] == sub["id"]
        assert sub["state"]["state_details"]["task_run_id"] == dummy["id"]
    assert len(server.task_runs(run["id"], 2)) == 2


def test_a_failing_task_fails_its_flow(server):
    run, output = server.run_flow("failing")
    assert "on purpose" in output
    assert run["state_type"] == "FAILED"
    assert "on purpose" in run["state"]["message"]
    (row,) = server.task_runs(run["id"], 1)
    assert row["state_type"] == "FAILED"
    assert "on purpose" in row["state"]["message"]


def test_tasks_retry_on_the_client(server):
    run, output = server.run_flow("task-retries")
    assert "returned 3" in output
    (row,) = server.task_runs(run["id"], 1)
    assert (row["state_type"], row["run_count"]) == ("COMPLETED", 3)
    names = [s["name"] for s in server.get("/task_run_states/", task_run_id=row["id"])]
    assert names.count("Retrying") == 2


def test_a_paused_flow_goes_on_when_it_is_resumed(server):
    program = server.start_program(__file__.replace("test_flows.py", "flows.py"), "pausing")
    paused = until("the pause", lambda: (r := server.newest_run("pausing")) and r["state_type"] == "PAUSED" and r)
    reply = server.http.post(f"/flow_runs/{paused['id']}/resume")
    assert reply.status_code in (200, 201) and reply.json()["status"] == "ACCEPT", reply.text
    run, output = server.finish(program, "pausing")
    assert "returned went on" in output
    assert run["state_type"] == "COMPLETED"
    assert run["run_count"] == 1, "a resume is no run"
    assert [s["type"] for s in server.states(run["id"])] == ["PENDING", "RUNNING", "PAUSED", "RUNNING", "COMPLETED"]


def test_a_pause_that_nobody_resumes_fails(server):
    run, output = server.run_flow("pause-times-out")
    assert run["state_type"] == "FAILED", output


def test_retries_are_used_up(server):
    run, output = server.run_flow("retries-are-used-up")
    assert "always" in output
    assert (run["state_type"], run["run_count"]) == ("FAILED", 2)
    assert run["empirical_policy"]["retry_type"] is None
    assert [s["name"] for s in server.states(run["id"])] == ["Pending", "Running", "AwaitingRetry", "Running", "Failed"]
