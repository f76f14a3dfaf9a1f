"""The Celery worker: one pool child per device, which claims and supervises one job at a time.

A message names a queue, never a job; whatever the broker loses or doubles, the rows are the truth.
"""

import os
import signal
from collections.abc import Sequence
from functools import cached_property
from time import monotonic
from typing import Any, ClassVar

import billiard.pool
import structlog
from celery import Celery, signals

from core.database.sessions import make_engine, make_sessions
from core.jobs.claims import claim_next
from core.jobs.doorbell import WORK, Doorbell
from core.jobs.maintenance import Maintenance
from core.settings import Settings, get_settings
from core.storage.opening import open_storage
from worker.process import RUNNER
from worker.supervisor import Supervisor, Workplace
from worker.wear import Wear

log = structlog.get_logger(__name__)

LAST_RESULT_WAITS = 10
"""Tenths of a second that a closing pool child waits for its last result to be read. A main process
that was told to stop may never read it, no result says anything here, and billiard waits 30 s."""


def make_app(settings: Settings) -> Celery:
    """The app, told to hold nothing back: no prefetch, no late acknowledgement, no results."""
    app = Celery("rankwise", broker=settings.resolved_redis_url)
    app.conf.update(
        task_acks_late=False,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        worker_pool="prefork",
        worker_concurrency=1,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_redirect_stdouts=False,
        worker_hijack_root_logger=False,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "socket_timeout": 10.0,
            "socket_connect_timeout": 5.0,
            "socket_keepalive": True,
        },
    )
    return app


class ShutdownPipe:
    """Carries SIGTERM from the main process to the pool child, which Celery leaves untold.

    The reading end becomes readable when the main process was told to stop, and also when it has
    died (on Linux Celery has the kernel kill the child then): it alone keeps the writing end.
    """

    def __init__(self) -> None:
        self.reading, self._writing = os.pipe()

    def enter_child(self) -> None:
        os.close(self._writing)

    def announce(self) -> None:
        """The byte is never read, so that every later child finds it too."""
        os.write(self._writing, b".")


class Worker:
    """The two processes of one worker: the main one, and the pool child that does the work."""

    command: ClassVar[Sequence[str]] = RUNNER

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pipe = ShutdownPipe()
        self._maintenance = Maintenance(settings)
        self._wear = Wear()

    def start_maintenance(self) -> None:
        """In the main process, after the child was forked."""
        self._maintenance.start()

    def announce_shutdown(self) -> None:
        self._pipe.announce()

    def enter_child(self) -> None:
        self._pipe.enter_child()
        billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = LAST_RESULT_WAITS

    def work(self, queue: str) -> None:
        """Claim and supervise while rows wait; a closing worker leaves the rest to others."""
        while not self._place.is_closing() and not self._leave_if_worn():
            claimed_at = monotonic()
            with self._place.sessions.begin() as session:
                job = claim_next(session, queue, self._place.owner, self._settings.lease_s)
            if job is None:
                return
            Supervisor(self._place, job, claimed_at=claimed_at).run()
            self._wear.jobs += 1
        Doorbell(self._settings).ring(queue)

    def _leave_if_worn(self) -> bool:
        """Tell the main process to close, as its keeper would; what waits is for others."""
        reason = self._wear.reason_to_leave(self._settings)
        if reason is None:
            return False
        log.info("worker.leaving", reason=reason)
        os.kill(os.getppid(), signal.SIGTERM)
        return True

    @cached_property
    def _place(self) -> Workplace:
        """Made on first use, in the child: no connection may cross a fork."""
        return Workplace(
            settings=self._settings,
            sessions=make_sessions(make_engine(self._settings)),
            storage=open_storage(self._settings),
            shutdown_fd=self._pipe.reading,
            command=self.command,
        )


app = make_app(get_settings())
_worker: Worker | None = None


def this_worker() -> Worker:
    """The worker of this process, made in the main process and forked into the child."""
    global _worker
    if _worker is None:
        _worker = Worker(get_settings())
    return _worker


def _work(queue: str) -> None:
    this_worker().work(queue)


def _in_main_at_first(**_: Any) -> None:
    this_worker()


def _in_child_at_first(**_: Any) -> None:
    this_worker().enter_child()


def _in_main_when_ready(**_: Any) -> None:
    this_worker().start_maintenance()


def _in_main_on_sigterm(**_: Any) -> None:
    this_worker().announce_shutdown()


work = app.task(name=WORK)(_work)
signals.worker_init.connect(_in_main_at_first)
signals.worker_process_init.connect(_in_child_at_first)
signals.worker_ready.connect(_in_main_when_ready)
signals.worker_shutting_down.connect(_in_main_on_sigterm)


def main() -> None:
    """Run until a signal: `python -m worker`."""
    settings = get_settings()
    app.worker_main(
        [
            "worker",
            f"--queues={','.join(settings.queues)}",
            f"--hostname={settings.device.replace(':', '-')}-{os.getpid()}@%h",
            f"--loglevel={settings.log_level}",
            "--without-gossip",
            "--without-mingle",
        ]
    )
