"""Deployments made, asked for and run by the real client, worker and runner."""

import signal

from conftest import FLOWS, end, until

DEPLOY = FLOWS.with_name("deploy.py")


def run_program(server, *args) -> str:
    program = server.start_program(*args)
    output = end(program)
    assert program.returncode == 0, output
    return output


def poll_once(server) -> str:
    return run_program(server, "-m", "prefect", "worker", "start", "--pool", "client-pool", "--type", "process", "--run-once")


def test_a_worker_runs_what_was_deployed(server):
    poll_once(server)
    pool = server.get("/work_pools/client-pool")
    assert (pool["type"], pool["status"]) == ("process", "READY"), "the worker made the pool"
    assert "command" in pool["base_job_template"]["variables"]["properties"]

    run_program(server, DEPLOY, "to-pool")
    deployment = server.get("/deployments/name/deployed/in-pool")
    assert (deployment["work_pool_name"], deployment["work_queue_name"], deployment["parameters"]) == ("client-pool", "default", {"times": 2})
    assert deployment["global_concurrency_limit"]["limit"] == 1
    assert deployment["parameter_openapi_schema"]["required"] == ["name"]

    (created,) = (line.split()[1] for line in run_program(server, DEPLOY, "run").splitlines() if line.startswith("created "))
    run = server.get(f"/flow_runs/{created}")
    assert (run["state_type"], run["deployment_id"], run["work_pool_name"]) == ("SCHEDULED", deployment["id"], "client-pool")
    output = poll_once(server)
    assert "hello hello world" in output
    run = server.get(f"/flow_runs/{run['id']}")
    assert (run["state_type"], run["parameters"], run["run_count"]) == ("COMPLETED", {"name": "world", "times": 2}, 1)
    assert "deployed" in run["tags"] and run["infrastructure_pid"]
    assert [s["type"] for s in server.states(run["id"])] == ["SCHEDULED", "PENDING", "PENDING", "RUNNING", "COMPLETED"], "the worker submits it"
    limit = server.get(f"/v2/concurrency_limits/deployment:{deployment['id']}")
    assert limit["active_slots"] == 0, "the run gave its slot back"

    refused = server.http.post(f"/deployments/{deployment['id']}/create_flow_run", json={"parameters": {"name": 5}})
    assert refused.status_code == 409, refused.text


def test_a_runner_serves_its_flow(server):
    program = server.start_program(DEPLOY, "serve")
    try:
        served = until("the runner to ask for work", lambda: ready(server, "served"))
        run = server.post(f"/deployments/{served['id']}/create_flow_run", {"parameters": {"times": 3}})
        until("the run to end", lambda: server.get(f"/flow_runs/{run['id']}")["state_type"] == "COMPLETED")
        server.logs(run["id"], "Finished in state Completed()")
    finally:
        program.send_signal(signal.SIGTERM)
        end(program)


def ready(server, name: str) -> dict | None:
    found = server.post("/deployments/filter", {"deployments": {"name": {"any_": [name]}}})
    return found[0] if found and found[0]["status"] == "READY" else None
