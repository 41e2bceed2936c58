"""Runs of deployments that a runner of the real client executes."""

import os
import signal

import pytest

from conftest import end, until


@pytest.fixture(scope="module")
def runner(server):
    program = server.start_scenario("serve-flows")
    until("the runner", lambda: server.http.get("/deployments/name/endless/here").status_code == 200)
    yield program
    program.send_signal(signal.SIGTERM)
    print(end(program))


def start(server, flow, file):
    deployment = server.get(f"/deployments/name/{flow}/here")
    return server.post(f"/deployments/{deployment['id']}/create_flow_run", {"parameters": {"file": str(file)}})["id"]


def reach(server, run, name):
    return until(f"{name}", lambda: (r := server.get(f"/flow_runs/{run}"))["state_name"] == name and r)


def names(server, run):
    return [s["name"] for s in server.states(run)]


def test_a_suspended_run_goes_on_in_another_process(server, runner, tmp_path):
    file = tmp_path / "steps"
    run = start(server, "suspends", file)
    suspended = reach(server, run, "Suspended")
    assert suspended["state_type"] == "PAUSED" and suspended["state"]["state_details"]["pause_reschedule"] is True
    reply = server.http.post(f"/flow_runs/{run}/resume")
    assert reply.status_code == 201 and reply.json()["status"] == "ACCEPT", reply.text
    ended = reach(server, run, "Completed")
    assert ended["run_count"] == 1, "a resume is no run"
    assert ended["empirical_policy"]["pause_keys"] and ended["empirical_policy"]["resuming"] is False
    once = ["Pending", "Submitting", "Running"]
    assert names(server, run) == ["Scheduled", *once, "Suspended", "Resuming", *once, "Completed"]
    # What had run before the pause came from the cache of the run.
    assert sorted(r["state_name"] for r in server.task_runs(run, 3)) == ["Cached", "Completed", "Completed"]
    assert file.read_text() == "quick 1\nquick 2\n"


def test_a_run_is_cancelled_from_outside(server, runner, tmp_path):
    file = tmp_path / "steps"
    run = start(server, "endless", file)
    pid = int(until("the task", lambda: file.exists() and file.read_text().strip()))
    server.prefect("flow-run", "cancel", run)
    reach(server, run, "Cancelled")
    assert names(server, run)[-3:] == ["Running", "Cancelling", "Cancelled"]
    until("the process to end", lambda: not os.path.exists(f"/proc/{pid}"))


def test_a_run_whose_process_is_killed_has_crashed(server, runner, tmp_path):
    file = tmp_path / "steps"
    run = start(server, "endless", file)
    pid = int(until("the task", lambda: file.exists() and file.read_text().strip()))
    os.kill(pid, signal.SIGKILL)
    assert reach(server, run, "Crashed")["state_type"] == "CRASHED"
    assert names(server, run)[-2:] == ["Running", "Crashed"]
