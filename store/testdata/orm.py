"""Writes to a database, or reads from it, through the reference's own models.

orm.py write         makes a flow run with states, a task run and a log; prints what it is
orm.py read ID       prints what the flow run is, then completes it
"""

import asyncio
import json
import sys
import uuid
from datetime import datetime, timedelta, timezone

from prefect.server import models, schemas
from prefect.server.database import provide_database_interface
from prefect.server.schemas.sorting import LogSort

START = datetime(2026, 11, 23, 18, 0, 0, 123456, tzinfo=timezone.utc)


def at(t):
    return t and t.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def state(s):
    return s and {
        "id": str(s.id),
        "type": s.type.value,
        "name": s.name,
        "message": s.message,
        "timestamp": at(s.timestamp),
        "transition_id": str(s.state_details.transition_id),
        "data": s.data,
    }


async def summary(session, run_id):
    row = await models.flow_runs.read_flow_run(session, run_id)
    run = schemas.core.FlowRun.model_validate(row, from_attributes=True)
    flow = await models.flows.read_flow(session, run.flow_id)
    tasks = await models.task_runs.read_task_runs(
        session, flow_run_filter=schemas.filters.FlowRunFilter(id={"any_": [run_id]})
    )
    logs = await models.logs.read_logs(
        session,
        log_filter=schemas.filters.LogFilter(flow_run_id={"any_": [run_id]}),
        sort=LogSort.TIMESTAMP_ASC,
    )
    states = await models.flow_run_states.read_flow_run_states(session, run_id)
    return {
        "flow": {"id": str(flow.id), "name": flow.name, "tags": flow.tags},
        "run": {
            "id": str(run.id),
            "created": at(run.created),
            "updated": at(run.updated),
            "name": run.name,
            "tags": run.tags,
            "parameters": run.parameters,
            "idempotency_key": run.idempotency_key,
            "retries": run.empirical_policy.retries,
            "pause_keys": sorted(run.empirical_policy.pause_keys or []),
            "state_type": run.state_type.value,
            "state_name": run.state_name,
            "run_count": run.run_count,
            "expected_start_time": at(run.expected_start_time),
            "start_time": at(run.start_time),
            "end_time": at(run.end_time),
            "total_run_time": run.total_run_time.total_seconds(),
            "auto_scheduled": run.auto_scheduled,
        },
        "state": state(run.state),
        "states": [s.name for s in sorted(states, key=lambda s: s.timestamp)],
        "task_runs": [
            {
                "id": str(t.id),
                "task_key": t.task_key,
                "dynamic_key": t.dynamic_key,
                "inputs": {k: [i.model_dump(mode="json") for i in v] for k, v in t.task_inputs.items()},
                "retry_delay": t.empirical_policy.retry_delay,
                "state_name": t.state_name,
                "total_run_time": t.total_run_time.total_seconds(),
            }
            for t in tasks
        ],
        "logs": [{"name": e.name, "level": e.level, "message": e.message, "timestamp": at(e.timestamp)} for e in logs],
    }


def proposal(type_, seconds, **more):
    more.setdefault("name", type_.capitalize())
    return schemas.states.State(
        type=type_,
        timestamp=START + timedelta(seconds=seconds),
        state_details={"transition_id": uuid.uuid4()},
        **more,
    )


async def write(session):
    flow = await models.flows.create_flow(session, schemas.core.Flow(name="from-python", tags=["a", "ü"]))
    run = await models.flow_runs.create_flow_run(
        session,
        schemas.core.FlowRun(
            flow_id=flow.id,
            name="über-run",
            tags=["x", "y"],
            parameters={"n": 1.5, "text": 'quote " and \u2028'},
            idempotency_key="once",
            empirical_policy={"retries": 2, "pause_keys": ["k2", "k1"]},
            state=proposal("PENDING", 0),
        ),
    )
    for s in (proposal("RUNNING", 1), proposal("FAILED", 2.25, message="broke: ä", data={"type": "reference", "storage_key": "ä"})):
        await models.flow_runs.set_flow_run_state(session, run.id, s, force=True)
    task = await models.task_runs.create_task_run(
        session,
        schemas.core.TaskRun(
            flow_run_id=run.id,
            task_key="t",
            dynamic_key="0",
            task_inputs={"x": [{"input_type": "parameter", "name": "p"}]},
            empirical_policy={"retries": 1, "retry_delay": [1, 2]},
        ),
    )
    await models.task_runs.set_task_run_state(session, task.id, proposal("RUNNING", 1), force=True)
    await models.task_runs.set_task_run_state(session, task.id, proposal("COMPLETED", 3.5), force=True)
    log = schemas.core.Log(name="prefect", level=20, message="done ✓", timestamp=START, flow_run_id=run.id)
    await models.logs.create_logs(session, [log])
    return run.id


async def main(command, *arguments):
    db = provide_database_interface()
    await db.create_db()
    async with db.session_context(begin_transaction=True) as session:
        run_id = await write(session) if command == "write" else uuid.UUID(arguments[0])
    async with db.session_context() as session:
        print(json.dumps(await summary(session, run_id)))
    if command == "read":
        async with db.session_context(begin_transaction=True) as session:
            await models.flow_runs.set_flow_run_state(session, run_id, proposal("COMPLETED", 60), force=True)


asyncio.run(main(*sys.argv[1:]))
