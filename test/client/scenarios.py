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


# Seconds: far more than a slow machine needs, as in conftest.py.
DEADLINE = 600


def wait_until(what: str, condition) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} never came")
        time.sleep(0.02)


def wait_for(file: Path) -> None:
    wait_until(str(file), file.exists)


# Pauses


class Order(RunInput):
    dish: str
    portions: int = Field(ge=1)


@flow
def asks() -> str:
    order = pause_flow_run(wait_for_input=Order, timeout=DEADLINE, poll_interval=1)
    return f"{order.portions} x {order.dish}"


@flow(persist_result=True)
def suspends(file: Path) -> str:
    quick(file, 1)
    suspend_flow_run(timeout=DEADLINE)
    quick(file, 2)
    return "went on"


# Cancellation and death


@task
def hangs(file: Path) -> None:
    note(file, str(os.getpid()))
    time.sleep(DEADLINE)


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
    """Takes one of two permits, and asks for more when the other is gone too: a
    request that is given up in time would have been granted by nobody."""
    rate_limit("ration")
    note(file, "permitted")
    wait_until("the other's permit", lambda: file.read_text().splitlines().count("permitted") == 2)
    for _ in range(2):
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


# Retries


@flow(retries=2, retry_delay_seconds=2)
def fails_when_told(file: Path) -> None:
    """Fails twice, the second time after the test let it."""
    attempt = note(file, "attempt")
    if attempt == 2:
        wait_for(file.with_suffix(".go"))
    if attempt < 3:
        raise ValueError(f"attempt {attempt}")


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
    """Queues a run from inside a flow and waits for its result. The client begins
    to listen for the end of a run beside asking for its state, and may miss it: it
    asks again when it has waited in vain."""
    future = adds.delay(20, 1, file=file)
    end = time.monotonic() + DEADLINE
    while True:
        try:
            return future.result(timeout=30)
        except TimeoutError:
            if time.monotonic() > end:
                raise


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
    "fails-when-told": lambda f: fails_when_told(Path(f)),
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
