"""Flows of every shape that the client runs by itself; the argument says which."""

import sys

from prefect import flow, get_run_logger, pause_flow_run, task
from prefect.flow_runs import resume_flow_run
from prefect.runtime import flow_run
from prefect.states import Completed


@task(tags=["one", "two"])
def double(x: int) -> int:
    get_run_logger().info("doubling %s", x)
    return 2 * x


@task(retries=2, retry_delay_seconds=0)
def flaky(counter: list[int]) -> int:
    counter.append(1)
    if len(counter) < 3:
        raise ValueError("not yet")
    return len(counter)


@flow(flow_run_name="leaf-{x}")
def leaf(x: int) -> int:
    return double(x)


@flow
def branch(x: int) -> int:
    return leaf(x) + leaf(x + 1)


@flow(log_prints=True)
def nested(x: int = 1) -> int:
    print("nested begins")
    return branch(x) + double(x)


@flow
def task_retries() -> int:
    return flaky([])


@flow(retries=1, retry_delay_seconds=0)
def always_fails():
    raise RuntimeError(f"attempt {flow_run.run_count} breaks")


@flow(timeout_seconds=60)
def paused() -> str:
    pause_flow_run(timeout=60, poll_interval=1)
    return "resumed"


@flow
def pause_times_out():
    pause_flow_run(timeout=1, poll_interval=1)


@flow
def custom_state():
    return Completed(name="Skipped", message="nothing to do")


if __name__ == "__main__":
    name = sys.argv[1]
    if name == "resume":
        resume_flow_run(sys.argv[2])
    else:
        result = globals()[name]()
        print("result:", result)
