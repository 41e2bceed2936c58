"""What happens to real flows beside running to their end: input, cancellation,
caching, limits, retries of subflows, death. Each is judged by the server's rows."""

from concurrent.futures import ThreadPoolExecutor

from conftest import end, until


def outputs(programs):
    """Waits for several programs at once."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(end, programs))


def announced(server, run, last):
    """The state changes among the run's events, and the ids of their states."""
    events = server.events(f"prefect.flow-run.{run['id']}", f"prefect.flow-run.{last}")
    changes = [e for e in events if not e["event"].endswith(".heartbeat")]
    assert [e["id"] for e in changes] == [s["id"] for s in server.states(run["id"])]
    return [e["event"].removeprefix("prefect.flow-run.") for e in changes]


def test_a_pause_takes_input_that_fits_its_schema(server):
    program = server.start_scenario("asks")
    run = server.in_state("asks", "Paused")
    keyset = run["state"]["state_details"]["run_input_keyset"]
    # The client pauses first and stores what it asks for then.
    schema = server.run_input(run["id"], keyset["schema"])
    assert schema["properties"]["portions"]["minimum"] == 1
    resume = f"/flow_runs/{run['id']}/resume"
    for refused in ({}, {"run_input": {"dish": "soup", "portions": 0}}, {"run_input": {"portions": 2}}):
        reply = server.http.post(resume, json=refused)
        assert reply.status_code == 200 and reply.json()["status"] == "REJECT", reply.text
    assert server.newest_run("asks")["state_type"] == "PAUSED"
    reply = server.http.post(resume, json={"run_input": {"dish": "soup", "portions": 2}})
    assert reply.status_code == 201 and reply.json()["status"] == "ACCEPT", reply.text
    ended, output = server.finish(program, "asks")
    assert "returned 2 x soup" in output
    assert (ended["state_type"], ended["run_count"]) == ("COMPLETED", 1)
    assert server.get(f"/flow_runs/{run['id']}/input/{keyset['response']}") == {"dish": "soup", "portions": 2}
    assert announced(server, run, "Completed") == ["Pending", "Running", "Paused", "Running", "Completed"]


def test_a_flow_that_is_cancelled_where_nothing_can_stop_it_stays_cancelling(server, tmp_path):
    """Without a runner a process goes on to its end, and then says it was
    stopped: the server answers that it is to be cancelled, not completed."""
    file = tmp_path / "steps"
    program = server.start_scenario("told-to-stop", file)
    until("the first task", lambda: file.exists() and "ready" in file.read_text())
    run = server.in_state("told-to-stop", "Running")
    reply = server.post(f"/flow_runs/{run['id']}/set_state", {"state": {"type": "CANCELLING"}})
    assert (reply["status"], reply["state"]["type"]) == ("ACCEPT", "CANCELLING")
    file.with_suffix(".go").touch()
    ended, output = server.finish(program, "told-to-stop")
    assert "Finished in state Cancelling" in output
    assert file.read_text() == "quick 1\nready\nquick 2\n"
    assert announced(server, run, "Cancelling") == ["Pending", "Running", "Cancelling"]
    assert {r["state_type"] for r in server.task_runs(run["id"], 2)} == {"COMPLETED"}
    done = server.post(f"/flow_runs/{run['id']}/set_state", {"state": {"type": "CANCELLED"}})
    assert (done["status"], done["state"]["type"]) == ("ACCEPT", "CANCELLED")


def test_a_second_run_is_answered_from_the_cache(server, tmp_path):
    file = tmp_path / "steps"
    _, output = server.finish(server.start_scenario("caching", file), "caching")
    assert "returned [51, 51]" in output
    runs = server.post("/flow_runs/filter", {"flows": {"name": {"any_": ["caching"]}}, "sort": "START_TIME_ASC"})
    names, results = [], []
    for run in runs:
        rows = server.task_runs(run["id"], 3)
        names.append([r["state_name"] for r in rows])
        results.append({r["state"]["data"]["storage_key"].rpartition("/")[2] for r in rows})
        assert {(r["state_type"], r["run_count"]) for r in rows} == {("COMPLETED", 1)}
        assert {tuple(server.task_states(r["id"])) for r in rows} == {("Pending", "Running", names[-1][0])}
    assert names == [["Completed"] * 3, ["Cached"] * 3]
    assert results[0] == results[1] and "key-of-7" in results[0]
    assert sorted(file.read_text().splitlines()) == ["costly 7", "costly 8", "keyed 7"]


def test_limits_are_shared_by_processes(server, tmp_path):
    server.post("/v2/concurrency_limits/", {"name": "turns", "limit": 1})
    # One slot comes back in a day: of six requests two pass.
    server.post("/v2/concurrency_limits/", {"name": "ration", "limit": 2, "slot_decay_per_second": 0.00001})
    file = tmp_path / "steps"
    both = outputs([server.start_scenario("competes", name, file) for name in ("one", "two")])
    steps = [step.split() for step in file.with_suffix(".turns").read_text().splitlines()]
    assert len(steps) == 8, both
    for (entered, enters), (left, leaves) in zip(steps[::2], steps[1::2]):
        assert (enters, leaves) == ("enters", "leaves") and entered == left, steps
    limit = server.get("/v2/concurrency_limits/turns")
    assert limit["active_slots"] == 0
    # The clients tell of their slots, each in its own time.
    events = server.events(f"prefect.concurrency-limit.{limit['id']}", "prefect.concurrency-limit.released", count=4)
    kinds = [e["event"].rpartition(".")[2] for e in events]
    assert sorted(kinds) == ["acquired"] * 4 + ["released"] * 4
    permits = file.with_suffix(".ration").read_text().splitlines()
    assert sorted(permits) == ["permitted"] * 2 + ["refused"] * 4, both
    assert server.get("/v2/concurrency_limits/ration")["active_slots"] == 2
    runs = server.post("/flow_runs/filter", {"flows": {"name": {"any_": ["takes-turns", "is-rationed"]}}})
    assert [r["state_type"] for r in runs] == ["COMPLETED"] * 4


def subflows(server, flow):
    rows = server.post("/flow_runs/filter", {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_ASC"})
    return rows, [[s["name"] for s in server.states(r["id"])] for r in rows]


def test_subflows_and_retries(server, tmp_path):
    program = server.start_scenario("subflow-retries", tmp_path)
    run, output = server.finish(program, "parent-retries")
    assert "returned ('parent done', 'child done')" in output
    # A parent that retries runs its failed subflow again.
    assert (run["state_type"], run["run_count"]) == ("COMPLETED", 2)
    assert announced(server, run, "Completed") == ["Pending", "Running", "AwaitingRetry", "Running", "Completed"]
    rows, states = subflows(server, "fails-once")
    assert states == [["Pending", "Running", "Failed"], ["Pending", "Running", "Completed"]]
    # Both subflow runs stand as the one task run of their place in the parent.
    (dummy,) = {r["parent_task_run_id"] for r in rows}
    assert server.task_states(dummy) == ["Pending", "Pending", "Running", "Failed", "Pending", "Running", "Completed"]
    shown = server.get(f"/task_runs/{dummy}")
    assert (shown["state_type"], shown["flow_run_id"]) == ("COMPLETED", run["id"])
    assert shown["state"]["state_details"]["child_flow_run_id"] == rows[-1]["id"]
    assert (tmp_path / "parent").read_text() == "quick 1\nattempt\n" * 2
    # A subflow that retries is for its parent one that takes longer.
    run = server.newest_run("child-retries")
    assert (run["state_type"], run["run_count"]) == ("COMPLETED", 1)
    (child,), (states,) = subflows(server, "retried-child")
    assert (child["state_type"], child["run_count"]) == ("COMPLETED", 2)
    assert states == ["Pending", "Running", "AwaitingRetry", "Running", "Completed"]
    assert server.task_states(child["parent_task_run_id"]) == ["Pending", *states]


def test_a_client_that_is_killed_leaves_its_runs_as_they_were(server, tmp_path):
    """As with the reference: who is to tell that a process without a runner died?
    What is left can be ended by others."""
    file = tmp_path / "steps"
    program = server.start_scenario("endless", file)
    until("the task", lambda: file.exists())
    run = server.in_state("endless", "Running")
    # What the client tells of its task runs comes later, a state at a time.
    (task_run,) = until("the task run to be running", lambda: [r for r in server.task_runs_of(run["id"]) if r["state_type"] == "RUNNING"])
    program.kill()
    program.communicate()
    assert server.get(f"/flow_runs/{run['id']}")["state_id"] == run["state_id"]
    assert server.get(f"/task_runs/{task_run['id']}")["state_type"] == "RUNNING"
    crashed = server.post(f"/flow_runs/{run['id']}/set_state", {"state": {"type": "CRASHED"}})
    assert (crashed["status"], crashed["state"]["type"]) == ("ACCEPT", "CRASHED")
    assert announced(server, run, "Crashed") == ["Pending", "Running", "Crashed"]
