"""A job's events as they happen, over as many connections as it takes."""

import json
import time
from collections.abc import Iterator

import httpx

from rankwise.connection import Connection, backoff
from rankwise.errors import Json, Refused, Unreachable

LAST = frozenset({"job.succeeded", "job.failed", "job.cancelled"})
"""Nothing comes after these, unless the job is retried."""
LONGEST_SILENCE_S = 300.0
"""Of a service that cannot be reached, before that is an error."""


def follow(connection: Connection, job_id: str, after: int = 0) -> Iterator[Json]:
    """Every event behind `after`, to the job's last. A lost connection is taken up again behind the
    last event that came.

    Raises:
        Unreachable: nothing was to be had for five minutes.
    """
    seen, failures, since = after, 0, time.monotonic()
    while True:
        try:
            for event in one_stream(connection, job_id, seen):
                seen, failures, since = event["seq"], 0, time.monotonic()
                yield event
                if event["type"] in LAST:
                    return
        except (Unreachable, httpx.TransportError, Refused) as error:
            if isinstance(error, Refused) and error.status < 500 and error.status != 429:
                raise
            if time.monotonic() - since > LONGEST_SILENCE_S:
                raise
        time.sleep(backoff(min(failures, 5)))
        failures += 1


def one_stream(connection: Connection, job_id: str, after: int) -> Iterator[Json]:
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
    with connection.stream(f"/v1/jobs/{job_id}/events", headers) as response:
        for line in response.iter_lines():
            if line.startswith("data:"):
                event: Json = json.loads(line.removeprefix("data:"))
                yield event
