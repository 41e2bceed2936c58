"""Flows and tasks of the scenarios, one a call: python scenarios.py NAME [ARGUMENT ...].

What they do is written down in files, a line a step, so that a test can tell
what ran, and how often, without believing the server.
"""

import os
import sys
import time
from pathlib import Path

from pydantic import Field

from prefect import flow, pause_flow_run, suspend_flow_run, task
from prefect.cache_policies import INPUTS
from prefect.concurrency.sync import concurrency, rate_limit
from prefect.input import RunInput


def note(file: Path, line: str) -> int:
    """Appends a line at once, whoever else does, and returns how often it stands there."""
    fd = os.open(file, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.write(fd, (line + "\n").encode())
    os.close(fd)
    return file.read_text().splitlines().count(line)


def wait_for(file: Path) -> None:
    end = time.monotonic() + 60
    while not file.exists():
        if time.monotonic() > end:
            raise TimeoutError(f"{file} never came")
        time.sleep(0.02)


# Pauses


class Order(RunInput):
    dish: str
    portions: int = Field(ge=1)


@flow
def asks() -> str:
    order = pause_flow_run(wait_for_input=Order, timeout=60, poll_interval=1)
    return f"{order.portions} x {order.dish}"


@flow(persist_result=True)
def suspends(file: Path) -> str:
    quick(file, 1)
    suspend_flow_run(timeout=60)
    quick(file, 2)
    return "went on"


# Cancellation and death


@task
def hangs(file: Path) -> None:
    note(file, str(os.getpid()))
    time.sleep(120)


@flow
def endless(file: Path) -> None:
    hangs(file)


@flow
def told_to_stop(file: Path) -> None:
    """Runs a task, and another after the test let it."""
    quick(file, 1)
    note(file, "ready")
    wait_for(file.with_suffix(".go"))
    quick(file, 2)


@task
def quick(file: Path, n: int) -> None:
    note(file, f"quick {n}")


# Caching


@task(cache_policy=INPUTS, persist_result=True)
def costly(x: int, file: Path) -> int:
    note(file, f"costly {x}")
    return 2 * x


@task(cache_key_fn=lambda context, arguments: f"key-of-{arguments['x']}", persist_result=True)
def keyed(x: int, file: Path) -> int:
    note(file, f"keyed {x}")
    return 3 * x


@flow
def caching(file: Path) -> int:
    return costly(7, file) + costly(8, file) + keyed(7, file)


# Concurrency


@flow
def takes_turns(name: str, file: Path) -> None:
    for _ in range(2):
        with concurrency("turns", occupy=1):
            note(file, f"{name} enters")
            time.sleep(0.3)
            note(file, f"{name} leaves")


@flow
def is_rationed(file: Path) -> None:
    for _ in range(3):
        try:
            rate_limit("ration", timeout_seconds=1)
            note(file, "permitted")
        except TimeoutError:
            note(file, "refused")


def competes(name: str, file: Path) -> None:
    """Two such programs, one and two, begin together."""
    note(file.with_suffix(f".{name}"), "ready")
    for other in ("one", "two"):
        wait_for(file.with_suffix(f".{other}"))
    takes_turns(name, file.with_suffix(".turns"))
    is_rationed(file.with_suffix(".ration"))


# Subflows


@flow
def fails_once(file: Path) -> str:
    quick(file, 1)
    if note(file, "attempt") == 1:
        raise ValueError("the first attempt")
    return "done"


@flow(retries=1, retry_delay_seconds=0)
def parent_retries(file: Path) -> str:
    return "parent " + fails_once(file)


@flow(retries=1, retry_delay_seconds=0)
def retried_child(file: Path) -> str:
    if note(file, "attempt") == 1:
        raise ValueError("the first attempt")
    return "done"


@flow
def child_retries(file: Path) -> str:
    return "child " + retried_child(file)


# Background tasks


@task
def adds(x: int, y: int, file: Path) -> int:
    note(file, f"adds {x}")
    return x + y


@task(retries=1, retry_delay_seconds=0)
def background_retries(file: Path) -> str:
    if note(file, "attempt") == 1:
        raise ValueError("the first attempt")
    return "done"


def delay(file: Path, count: int) -> None:
    """Queues count runs of adds and one of background_retries, outside of any flow."""
    futures = [adds.delay(n, 1, file=file) for n in range(count)] + [background_retries.delay(file)]
    print("queued", *(f.task_run_id for f in futures))


@flow
def delays(file: Path) -> int:
    """Queues a run from inside a flow and waits for its result."""
    return adds.delay(20, 1, file=file).result(timeout=60)


def work() -> None:
    from prefect.task_worker import serve

    serve(adds, background_retries, limit=2)


def serve_flows() -> None:
    """A runner that serves deployments until it is told to stop."""
    from prefect import serve

    serve(suspends.to_deployment("here"), endless.to_deployment("here"))


CALLS = {
    "asks": asks,
    "endless": lambda f: endless(Path(f)),
    "told-to-stop": lambda f: told_to_stop(Path(f)),
    "caching": lambda f: [caching(Path(f)) for _ in range(2)],
    "competes": lambda name, f: competes(name, Path(f)),
    "subflow-retries": lambda f: (parent_retries(Path(f, "parent")), child_retries(Path(f, "child"))),
    "delay": lambda f, count: delay(Path(f), int(count)),
    "delays": lambda f: delays(Path(f)),
    "work": work,
    "serve-flows": serve_flows,
}

if __name__ == "__main__":
    print("returned", CALLS[sys.argv[1]](*sys.argv[2:]))
