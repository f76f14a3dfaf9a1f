"""Live events: one thread a process polls the database for all who watch."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.jobs.schemas import Event
from api.problems import Problem
from core.database.sessions import Sessions
from core.database.states import FINISHED
from core.database.tables import Job, JobEvent

POLL_S = 0.2
HEARTBEAT_S = 15.0
EVENTS_AT_ONCE = 500
MAX_WATCHERS = 1000
MAX_WAITING = 1000
"""A watcher with so many unread events is given no more until it has read some."""

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Watcher:
    """One open stream. A None in its queue says that there will be no more."""

    job_id: str
    seq: int
    """Of the last event that was put into the queue."""
    loop: asyncio.AbstractEventLoop
    queue: asyncio.Queue[Event | None] = field(default_factory=asyncio.Queue)
    ended: bool = False

    def put(self, events: Sequence[Event], finished: bool) -> None:
        for event in events:
            self.queue.put_nowait(event)
        if finished:
            self.queue.put_nowait(None)


class EventPoller:
    """Started and stopped with the app; `watch` is called on its event loop."""

    def __init__(self, read_sessions: Sessions):
        self._read_sessions = read_sessions
        self._watchers: set[Watcher] = set()
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="event-poller", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End every stream, then the thread."""
        self._stopped.set()
        self._wanted.set()
        self._thread.join()

    async def watch(self, job_id: str, after: int) -> AsyncIterator[bytes]:
        """The job's events beyond `after` as SSE frames, until it has finished."""
        watcher = self._added(Watcher(job_id, after, asyncio.get_running_loop()))
        try:
            while True:
                try:
                    event = await asyncio.wait_for(watcher.queue.get(), HEARTBEAT_S)
                except TimeoutError:
                    yield KEEPALIVE_COMMENT
                    continue
                if event is None:
                    return
                yield frame(event)
        finally:
            with self._lock:
                self._watchers.discard(watcher)

    def refuse_if_full(self) -> None:
        if len(self._watchers) >= MAX_WATCHERS:
            raise Problem("too_many_watchers", "try again later", headers={"Retry-After": "30"})

    def _added(self, watcher: Watcher) -> Watcher:
        with self._lock:
            self._watchers.add(watcher)
        self._wanted.set()
        return watcher

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wanted.wait()
            try:
                self._poll()
            except Exception as error:
                log.warning("events not read", error=str(error))
            self._stopped.wait(POLL_S)
            self._rest_if_unwatched()
        self._end_all()

    def _rest_if_unwatched(self) -> None:
        with self._lock:
            if not self._watchers and not self._stopped.is_set():
                self._wanted.clear()

    def _poll(self) -> None:
        with self._lock:
            ready = [w for w in self._watchers if not w.ended and w.queue.qsize() < MAX_WAITING]
        if not ready:
            return
        with self._read_sessions() as session:
            newest = _newest(session, {watcher.job_id for watcher in ready})
            for (job_id, seq), group in _in_step(ready).items():
                _feed(session, group, seq, newest.get(job_id, Newest(0, finished=True)))

    def _end_all(self) -> None:
        with self._lock:
            watchers = list(self._watchers)
        for watcher in watchers:
            _give(watcher, [], finished=True)


class Newest(NamedTuple):
    """How far a job's history goes, and whether it may still grow."""

    seq: int
    finished: bool


def _newest(session: Session, job_ids: set[str]) -> dict[str, Newest]:
    rows = session.execute(select(Job.id, Job.last_seq, Job.state).where(Job.id.in_(job_ids)))
    return {row.id: Newest(row.last_seq, row.state in FINISHED) for row in rows}


def _in_step(watchers: list[Watcher]) -> dict[tuple[str, int], list[Watcher]]:
    """Watchers that want the same events next; live ones of one job are all in step."""
    groups: dict[tuple[str, int], list[Watcher]] = {}
    for watcher in watchers:
        groups.setdefault((watcher.job_id, watcher.seq), []).append(watcher)
    return groups


def _feed(session: Session, watchers: list[Watcher], seq: int, newest: Newest) -> None:
    events = _events(session, watchers[0].job_id, seq) if seq < newest.seq else []
    reached = events[-1].seq if events else seq
    for watcher in watchers:
        _give(watcher, events, newest.finished and reached >= newest.seq)


def _events(session: Session, job_id: str, after: int) -> list[Event]:
    query = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.seq > after)
    rows = session.scalars(query.order_by(JobEvent.seq).limit(EVENTS_AT_ONCE))
    return [Event.of(row) for row in rows]


def _give(watcher: Watcher, events: list[Event], finished: bool) -> None:
    if not events and not finished:
        return
    watcher.seq = events[-1].seq if events else watcher.seq
    watcher.ended = watcher.ended or finished
    watcher.loop.call_soon_threadsafe(watcher.put, events, finished)


def frame(event: Event) -> bytes:
    """One event on the wire; its seq is the id that a client resumes after."""
    return format_sse_event(data_str=event.model_dump_json(), event=event.type, id=str(event.seq))
