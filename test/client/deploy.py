"""A flow that workers and runners run from this file, and what deploys it and asks for a run."""

import sys
from pathlib import Path

from prefect import flow, serve
from prefect.deployments import run_deployment

HERE = Path(__file__).parent


@flow
def deployed(name: str, times: int = 1) -> str:
    print("hello " * times + name)
    return name


def to_pool():
    source = flow.from_source(source=str(HERE), entrypoint="deploy.py:deployed")
    made = source.deploy(
        name="in-pool",
        work_pool_name="client-pool",
        parameters={"times": 2},
        tags=["deployed"],
        concurrency_limit=1,
        print_next_steps=False,
        ignore_warnings=True,
    )
    print("deployed", made)


def run():
    run = run_deployment("deployed/in-pool", parameters={"name": "world"}, timeout=0, as_subflow=False)
    print("created", run.id)


def serving():
    serve(deployed.to_deployment("served", parameters={"name": "runner"}), limit=1, pause_on_shutdown=False)


if __name__ == "__main__":
    {"to-pool": to_pool, "run": run, "serve": serving}[sys.argv[1]]()
