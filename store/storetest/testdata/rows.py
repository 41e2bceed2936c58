"""Reads rows as the reference sees them, or has it write some first.

usage: rows.py read|write
"""

import asyncio
import datetime
import json
import sys
import uuid

import sqlalchemy as sa
from prefect.server import models, schemas
from prefect.server.database import provide_database_interface
from prefect.server.schemas import states
from prefect.types._datetime import now


def plain(model):
    return json.loads(model.model_dump_json())


def stamp(value):
    if value is None:
        return None
    value = value.astimezone(datetime.timezone.utc)
    text = value.strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{value.microsecond:06d}" if value.microsecond else "") + "Z"


def value(v):
    if isinstance(v, datetime.datetime):
        return stamp(v)
    if isinstance(v, datetime.timedelta):
        return v.total_seconds()
    if isinstance(v, uuid.UUID):
        return str(v)
    if isinstance(v, states.StateType):
        return v.value
    if hasattr(v, "model_dump_json"):
        return plain(v)
    return v


def state(s):
    if s is None:
        return None
    d = plain(s.as_state())
    return {k: d[k] for k in ("id", "type", "name", "timestamp", "message", "data", "state_details")}


TIMES = """state_id state_type state_name state_timestamp run_count expected_start_time next_scheduled_start_time
    start_time end_time total_run_time""".split()
COLUMNS = {
    "Flow": "id created updated name tags labels".split(),
    "FlowRun": TIMES
    + """id created updated name flow_id deployment_id deployment_version work_queue_id work_queue_name flow_version parameters
        idempotency_key context empirical_policy tags labels parent_task_run_id auto_scheduled infrastructure_document_id
        infrastructure_pid created_by job_variables""".split(),
    "TaskRun": TIMES
    + """id created updated name flow_run_id task_key dynamic_key cache_key cache_expiration task_version flow_run_run_count
        empirical_policy tags labels task_inputs""".split(),
    "Log": "id created updated name level message timestamp flow_run_id task_run_id".split(),
}


async def dump(session, db):
    out = {}
    for name, columns in COLUMNS.items():
        model = getattr(db, name)
        rows = (await session.execute(sa.select(model).order_by(model.id))).scalars().unique().all()
        out[name] = []
        for row in rows:
            d = {c: value(getattr(row, c)) for c in columns}
            if name == "TaskRun":
                d["task_inputs"] = {k: [plain(i) for i in v] for k, v in row.task_inputs.items()}
            if name in ("FlowRun", "TaskRun"):
                d["state"] = state(row.state)
            out[name].append(d)
    print(json.dumps(out))


async def write(session):
    core = schemas.core
    flow = await models.flows.create_flow(session=session, flow=core.Flow(name="Flöw", tags=["a", "ü"], labels={"k": "v"}))
    await models.flows.create_flow(session=session, flow=core.Flow(name="plain"))
    run = await models.flow_runs.create_flow_run(
        session=session,
        flow_run=core.FlowRun(
            flow_id=flow.id, name="r", parameters={"x": [1, None, "é"], "y": {"z": 1.5}}, tags=["t"], idempotency_key="k",
            context={"c": True}, created_by={"id": uuid.uuid4(), "type": "DEPLOYMENT", "display_value": "d"},
            empirical_policy={"retries": 2, "retry_delay": 3, "pause_keys": {"p"}}, job_variables={"env": {}},
            state=states.Scheduled(scheduled_time=now("UTC")),
        ),
    )
    await models.flow_runs.create_flow_run(session=session, flow_run=core.FlowRun(flow_id=flow.id, name="bare"))
    await models.flow_runs.set_flow_run_state(session=session, flow_run_id=run.id, state=states.Running(), force=True)
    await models.flow_runs.set_flow_run_state(
        session=session, flow_run_id=run.id, force=True,
        state=states.Completed(message="dône %_", data={"type": "reference", "artifact_key": "key", "v": [1.5, "ü"]}),
    )
    task = await models.task_runs.create_task_run(
        session=session,
        task_run=core.TaskRun(
            flow_run_id=run.id, task_key="t", dynamic_key="0", name="task", tags=["z"],
            empirical_policy={"retries": 1, "retry_delay": [1, 2], "retry_jitter_factor": 0.5},
            task_inputs={"x": [core.TaskRunResult(id=uuid.uuid4()), core.Constant(type="int")]},
            state=states.Pending(),
        ),
    )
    await models.task_runs.set_task_run_state(session=session, task_run_id=task.id, state=states.Running(), force=True)
    await models.logs.create_logs(
        session=session,
        logs=[schemas.actions.LogCreate(name="n", level=20, message="m ü", timestamp=now("UTC"), flow_run_id=run.id, task_run_id=task.id)],
    )


async def main():
    db = provide_database_interface()
    if sys.argv[1] == "write":
        async with db.session_context(begin_transaction=True) as session:
            await write(session)
    async with db.session_context() as session:
        await dump(session, db)


asyncio.run(main())
