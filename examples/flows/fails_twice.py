"""A flow that fails twice and then succeeds: retries=2 is just enough.

Run it against a server with

    PREFECT_API_URL=http://127.0.0.1:4200/api python examples/flows/fails_twice.py
"""

from prefect import flow, get_run_logger, task
from prefect.runtime import flow_run


@task
def fetch(attempt: int) -> list[int]:
    get_run_logger().info("Fetching, attempt %s", attempt)
    return [attempt, attempt + 1]


@task
def add_up(numbers: list[int]) -> int:
    total = sum(numbers)
    get_run_logger().info("%s add up to %s", numbers, total)
    return total


@flow(retries=2, retry_delay_seconds=2, log_prints=True)
def fails_twice() -> int:
    attempt = flow_run.run_count
    total = add_up(fetch(attempt))
    if attempt < 3:
        raise ValueError(f"attempt {attempt} fails on purpose")
    print(f"attempt {attempt} succeeds")
    return total


if __name__ == "__main__":
    assert fails_twice() == 7
