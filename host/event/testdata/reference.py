"""Answers what the reference makes of events and filters.

Reads {"events": [...], "filters": [...]} and prints {"events": [true if it is
valid, ...], "filters": [null if it is not valid, else [true if it includes the
valid event, ...], ...]}.
"""

import json
import sys

from prefect.server.events.filters import EventFilter
from prefect.server.events.schemas.events import Event


def parsed(model, value):
    try:
        return model.model_validate_json(json.dumps(value))
    except Exception:
        return None


asked = json.load(sys.stdin)
events = [parsed(Event, e) for e in asked["events"]]
valid = [e for e in events if e is not None]
filters = [parsed(EventFilter, f) for f in asked["filters"]]
print(
    json.dumps(
        {
            "events": [e is not None for e in events],
            "filters": [f and [f.includes(e) for e in valid] for f in filters],
        }
    )
)
