"""Flows that the tests run, one a call: python flows.py NAME."""

import sys

from prefect import flow, get_run_logger, pause_flow_run, tags, task


@task
def double(x: int) -> int:
    get_run_logger().info("doubling %s", x)
    return 2 * x


@task(retries=2, retry_delay_seconds=0)
def third_time(seen: list) -> int:
    seen.append(1)
    if len(seen) < 3:
        raise ValueError("not yet")
    return len(seen)


@task
def fails() -> None:
    raise ValueError("on purpose")


@flow(persist_result=True)
def tasks(x: int = 3, names: list[str] | None = None) -> int:
    get_run_logger().info("hello from tasks")
    futures = double.map([x, x + 1, x + 2])
    return sum(f.result() for f in futures)


@flow
def grandchild(x: int) -> int:
    return double(x)


@flow
def child(x: int) -> int:
    return grandchild(x) + 1


@flow
def parent() -> int:
    return child(5) + double(1)


@flow
def failing() -> None:
    fails()


@flow
def task_retries() -> int:
    return third_time([])


@flow
def pausing() -> str:
    pause_flow_run(timeout=600, poll_interval=1)
    return "went on"


@flow
def pause_times_out() -> None:
    pause_flow_run(timeout=1, poll_interval=1)


@flow(retries=1, retry_delay_seconds=1)
def retries_are_used_up() -> None:
    raise ValueError("always")


CALLS = {
    "tasks": lambda: tasks(x=3, names=["a", "b"]),
    "parent": parent,
    "failing": failing,
    "task-retries": task_retries,
    "pausing": pausing,
    "pause-times-out": pause_times_out,
    "retries-are-used-up": retries_are_used_up,
}

if __name__ == "__main__":
    with tags("client-test"):
        print("returned", CALLS[sys.argv[1]]())
