"""Talks to a server as the real client does. Usage: client.py API_URL COUNT

Prints a line for each step; the test that runs it looks at them and at what the
server got.
"""

import asyncio
import sys
from datetime import datetime, timedelta, timezone
from uuid import uuid4

from prefect.client.schemas.objects import TaskRun, TaskRunPolicy
from prefect.events import Event
from prefect.events.clients import PrefectEventsClient, PrefectEventSubscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.events.worker import EventsWorker
from prefect.states import Completed, Pending, Running
from prefect.utilities.engine import emit_task_run_state_change_event

url, count = sys.argv[1], int(sys.argv[2])


def event(name, n):
    return Event(
        event=name,
        resource={"prefect.resource.id": f"test.{n}", "text": "ü\u2028\"\\\n"},
        related=[{"prefect.resource.id": "x", "prefect.resource.role": "y"}],
        payload={"n": n, "list": [1.5, None, {"a": "é"}]},
    )


async def stream():
    wanted = EventFilter(event=EventNameFilter(prefix=["wanted."]))
    async with PrefectEventSubscriber(url, wanted) as subscriber:
        async with PrefectEventsClient(url, checkpoint_every=100) as client:
            sent = []
            for n in range(count):
                e = event(f"wanted.{n}" if n % 2 == 0 else "unwanted", n)
                await client.emit(e)
                if n % 2 == 0:
                    sent.append(e)
            await client._force_checkpoint()
            assert client._unconfirmed_events == [], "some events were not confirmed"
            print("CONFIRMED", flush=True)
        for e in sent:
            got = await asyncio.wait_for(subscriber.__anext__(), 300)
            assert got.id == e.id and got.event == e.event, (got, e)
            assert got.payload == e.payload and got.resource == e.resource, got
            assert got.related == e.related and got.occurred == e.occurred, got
    async with PrefectEventSubscriber(url, wanted) as late:
        for e in sent:
            got = await asyncio.wait_for(late.__anext__(), 300)
            assert got.id == e.id, "the past came in another order"
    print("STREAMED", flush=True)


async def reconnect():
    async with PrefectEventsClient(url) as client:
        for n in range(5):
            await client.emit(event(f"before.{n}", n))
        print("RESTART", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        for n in range(5):
            await client.emit(event(f"after.{n}", n))
        await client._force_checkpoint()
    print("RECONNECTED", flush=True)


def task_run():
    run = TaskRun(
        id=uuid4(),
        flow_run_id=None,
        task_key="hello-abc",
        dynamic_key="0",
        name="hello-0",
        tags=["b", "a"],
        empirical_policy=TaskRunPolicy(retries=2, retry_delay=[1, 2]),
        task_inputs={"x": []},
        run_count=1,
        total_run_time=timedelta(seconds=2.5),
        start_time=datetime.now(timezone.utc),
        expected_start_time=datetime.now(timezone.utc),
    )
    previous, follows = None, None
    for state in (Pending(), Running(), Completed(message="done")):
        follows = emit_task_run_state_change_event(run, previous, state, follows)
        previous = state
    EventsWorker.drain_all()
    print("RECORDED", run.id, flush=True)


asyncio.run(stream())
asyncio.run(reconnect())
task_run()
