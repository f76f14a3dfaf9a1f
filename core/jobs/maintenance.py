"""The reaper and the dispatcher: they run in every process and need no leader.

Each looks by a plain read and acts by statements that are conditional on what it saw.
"""

import os
import threading
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import count

import structlog
from sqlalchemy import or_, select, update

from core.database.clock import database_now
from core.database.sessions import Sessions, make_engine, make_sessions, read_only
from core.database.states import JobState
from core.database.tables import Job
from core.jobs.claims import Claim, waiting
from core.jobs.collection import (
    drop_unused_cache,
    evict_cache,
    forget_answers,
    remove_stale_workspaces,
)
from core.jobs.doorbell import ENOUGH_RINGS, Doorbell
from core.jobs.dropping import drop_artifacts, drop_events
from core.jobs.errors import Fenced
from core.jobs.finishing import RunningJob, after_crash
from core.jobs.orphans import remove_orphans
from core.settings import Settings
from core.storage.opening import open_storage
from core.storage.storage import Storage
from core.webhooks.delivering import forget_deliveries

log = structlog.get_logger(__name__)

COLLECT_EVERY_ROUNDS = 6
"""What can be dropped is looked for in each sixth round."""
LIST_STORAGE_EVERY_ROUNDS = 360
"""All of storage is listed for orphans in the first round and each 360th."""

_ROUND = threading.Lock()
"""Held during a round: a worker's main process forks, and a child that inherits SQLite in the
middle of something finds the database locked by itself for ever."""
os.register_at_fork(
    before=_ROUND.acquire, after_in_parent=_ROUND.release, after_in_child=_ROUND.release
)


def reap(sessions: Sessions) -> dict[str, JobState]:
    """Take jobs from workers that went silent past their lease; where each job went, by id."""
    reaped = {}
    for claim, job in _expired(sessions):
        try:
            with sessions.begin() as session:
                reaped[claim.job_id] = after_crash(
                    session,
                    claim,
                    job,
                    "lease_lost",
                    "the worker went silent",
                    Job.lease_until < database_now(),
                    Job.requested.is_not_distinct_from(job.requested),
                )
        except Fenced:
            continue
        log.warning("job.reaped", job_id=claim.job_id, epoch=claim.epoch)
    return reaped


def dispatch(sessions: Sessions, doorbell: Doorbell, ring_again_s: float) -> int:
    """Ring for waiting rows that were not rung for lately; how many rings were taken."""
    unrung = or_(Job.rung_at.is_(None), Job.rung_at < database_now(-ring_again_s))
    with read_only(sessions)() as session:
        due = session.execute(
            select(Job.id, Job.queue)
            .where(waiting(), unrung)
            .order_by(Job.priority.desc(), Job.created_at)
            .limit(ENOUGH_RINGS)
        ).all()
    rung = [job.id for job in due if doorbell.ring(job.queue)]
    if rung:
        with sessions.begin() as session:
            session.execute(
                update(Job)
                .where(Job.id.in_(rung), Job.state == JobState.QUEUED)
                .values(rung_at=database_now())
            )
    return len(rung)


class Maintenance(threading.Thread):
    """Reaps, dispatches and collects every `reaper_s`, until stopped."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="maintenance", daemon=True)
        self._settings = settings
        self._engine = make_engine(settings)
        self._sessions = make_sessions(self._engine)
        self._doorbell = Doorbell(settings)
        self._stopping = threading.Event()

    def run(self) -> None:
        for number in count():
            with _ROUND:
                for chore in self._chores(number):
                    self._try(chore)
                self._engine.dispose()
            if self._stopping.wait(self._settings.reaper_s):
                return

    def stop(self) -> None:
        """Returns when the round under way is over."""
        self._stopping.set()
        self.join()

    def _chores(self, number: int) -> Iterator[Callable[[], object]]:
        yield lambda: reap(self._sessions)
        yield lambda: dispatch(self._sessions, self._doorbell, self._settings.ring_again_s)
        if number % COLLECT_EVERY_ROUNDS == 0:
            yield lambda: drop_artifacts(self._sessions, self._storage)
            yield lambda: drop_events(self._sessions)
            yield lambda: drop_unused_cache(self._sessions, self._settings)
            yield lambda: evict_cache(self._sessions, self._settings)
            yield lambda: remove_stale_workspaces(self._sessions, self._settings)
            yield lambda: forget_answers(self._sessions)
            yield lambda: forget_deliveries(self._sessions)
        if number % LIST_STORAGE_EVERY_ROUNDS == 0:
            yield lambda: remove_orphans(self._sessions, self._storage)

    @cached_property
    def _storage(self) -> Storage:
        return open_storage(self._settings)

    def _try(self, chore: Callable[[], object]) -> None:
        """The database may be away for a while; the next round comes."""
        try:
            chore()
        except Exception as error:
            log.warning("maintenance.failed", error=str(error))


def _expired(sessions: Sessions) -> list[tuple[Claim, RunningJob]]:
    """Running jobs whose lease has run out, as they are now."""
    with read_only(sessions)() as session:
        jobs = session.scalars(
            select(Job).where(Job.state == JobState.RUNNING, Job.lease_until < database_now())
        ).all()
    return [
        (
            Claim(job.id, job.epoch),
            RunningJob(job.requested, job.crashes, job.max_crashes, job.stage),
        )
        for job in jobs
    ]
