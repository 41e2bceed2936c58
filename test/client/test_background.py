"""Background tasks: .delay() here, a task worker there, and the server between
them, which may die."""

import signal
from collections import Counter

from conftest import Interlock, end, until


def queue(server, file, count):
    """Delays runs in a program of their own; their ids."""
    program = server.start_scenario("delay", file, count)
    output = end(program)
    ids = [line for line in output.splitlines() if line.startswith("queued ")]
    assert program.returncode == 0 and ids, output
    return ids[0].split()[1:]


def workers(server, keys=None):
    return server.post("/task_workers/filter", {"task_worker_filter": {"task_keys": keys}} if keys else {})


def ended(server, ids):
    rows = [server.get(f"/task_runs/{i}") for i in ids]
    return rows if all(r["state_type"] in ("COMPLETED", "FAILED", "CANCELLED", "CRASHED") for r in rows) else None


def stop(*programs):
    for p in programs:
        p.send_signal(signal.SIGTERM)
    for p in programs:
        end(p)


def test_queued_runs_outlive_the_server_and_run_once(database, tmp_path):
    file, home = tmp_path / "steps", tmp_path / "home"
    server = Interlock(home, database)
    try:
        ids = queue(server, file, 3)
        cancelled, retried = ids[1], ids[-1]
        for i in ids:
            row = server.get(f"/task_runs/{i}")
            assert (row["state_type"], row["state"]["state_details"]["deferred"]) == ("SCHEDULED", True)
        server.post(f"/task_runs/{cancelled}/set_state", {"state": {"type": "CANCELLED"}, "force": True})
        key = server.get(f"/task_runs/{ids[0]}")["task_key"]
        assert workers(server) == []
    finally:
        server.kill()
    server = Interlock(home, database, server.port)  # delayed runs remember its address
    worker = server.start_scenario("work")
    try:
        rows = until("the runs to end", lambda: ended(server, ids))
        assert [r["state_type"] for r in rows] == ["COMPLETED", "CANCELLED", "COMPLETED", "COMPLETED"]
        assert [r["run_count"] for r in rows] == [1, 0, 1, 2]
        assert server.task_states(ids[0]) == ["Scheduled", "Pending", "Running", "Completed"]
        assert server.task_states(retried) == ["Scheduled", "Pending", "Running", "Retrying", "Completed"]
        assert Counter(file.read_text().split("\n")) == {"adds 0": 1, "adds 2": 1, "attempt": 2, "": 1}
        # A worker whose connection broke comes back.
        (known,) = until("the worker", lambda: workers(server, [key]))
        assert key in known["task_keys"] and len(known["task_keys"]) == 2
        assert workers(server, ["nobody's"]) == []
        stop(worker)
        until("the worker to be forgotten", lambda: workers(server) == [])
    finally:
        worker.kill()
        server.stop()


def test_workers_share_the_runs_and_flows_get_results(server, tmp_path):
    file = tmp_path / "steps"
    team = [server.start_scenario("work") for _ in range(2)]
    try:
        until("both workers", lambda: len(workers(server)) == 2)
        program = server.start_scenario("delays", file)
        ids = queue(server, file, 8)
        rows = until("the runs to end", lambda: ended(server, ids))
        assert {r["state_type"] for r in rows} == {"COMPLETED"}
        run, output = server.finish(program, "delays")
        assert "returned 21" in output and run["state_type"] == "COMPLETED"
        (inside,) = server.task_runs(run["id"], 1)
        assert inside["flow_run_id"] == run["id"] and inside["state_type"] == "COMPLETED"
        steps = Counter(file.read_text().split())
        assert steps["attempt"] == 2 and all(steps[str(n)] == 1 for n in [*range(8), 20]), steps
    finally:
        stop(*team)
