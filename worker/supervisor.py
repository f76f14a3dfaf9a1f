"""One attempt of one job: start a runner, keep the lease, record what it reports, end it well.

No torch here: the runner is another program. Every write is guarded by the attempt's epoch; a
supervisor that was fenced, or that could not reach the database for most of its lease, kills its
runner and walks away without a word.
"""

import os
import select
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from core.database.sessions import Sessions
from core.database.states import JobState
from core.jobs import finishing, publishing
from core.jobs.claims import ClaimedJob
from core.jobs.errors import Fenced
from core.jobs.finishing import StoredArtifact
from core.jobs.publishing import PublishingError
from core.jobs.recording import Recorder
from core.jobs.workspaces import WorkspaceBusy, WorkspaceLock
from core.recipe import Limits
from core.recipe.events import ArtifactReady
from core.settings import Settings
from core.storage.storage import Storage, StorageUnavailable
from worker.assignment import Assignment
from worker.attempt import Attempt
from worker.lease import Lease, LeaseLost
from worker.limits import Bounds
from worker.process import RUNNER, RunnerProcess
from worker.sources import Sources
from worker.threads import runner_threads
from worker.verdict import Crashed, Failed, PutOff, StoodDown, Succeeded, Verdict

log = structlog.get_logger(__name__)

Copied = TypeVar("Copied")


@dataclass(frozen=True)
class Workplace:
    """What all attempts of one worker share."""

    settings: Settings
    sessions: Sessions
    storage: Storage
    shutdown_fd: int
    """Readable once the worker was told to stop, or its main process is gone."""
    command: Sequence[str] = RUNNER
    owner: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")

    def is_closing(self) -> bool:
        return bool(select.select([self.shutdown_fd], [], [], 0)[0])


class Supervisor:
    """`run` takes a claimed job to the end of this attempt."""

    def __init__(self, place: Workplace, job: ClaimedJob, *, claimed_at: float) -> None:
        self._place = place
        self._job = job
        self._claim = job.claim
        self._directory = place.settings.workspaces_dir / job.claim.job_id
        self._lease = Lease(place.sessions, job.claim, place.settings, claimed_at=claimed_at)
        self._log = log.bind(job_id=job.claim.job_id, epoch=job.claim.epoch)

    def run(self) -> JobState | None:
        """The state that the job was left in; None when it was no longer this attempt's."""
        self._log.info("attempt.started", owner=self._place.owner)
        try:
            state = self._settle(self._attempt())
        except (Fenced, LeaseLost) as error:
            self._log.warning("attempt.abandoned", reason=type(error).__name__)
            return None
        self._log.info("attempt.ended", state=state)
        return state

    def _attempt(self) -> Verdict:
        """From the first folder to the runner's last word; no runner is left afterwards."""
        try:
            assignment = self._leased(self._assignment)
            if assignment is None:
                return StoodDown("the worker closed before the job's files were there")
            with self._start_runner(assignment) as runner:
                return self._watched(runner)
        except (Fenced, LeaseLost):
            raise
        except WorkspaceBusy as error:
            return Crashed(str(error))
        except StorageUnavailable as error:
            return PutOff(str(error))
        except OSError as error:
            return Crashed(f"the worker could not run it: {error.strerror}")
        except Exception as error:
            self._log.exception("attempt.broke")
            return Crashed(f"the worker broke with {type(error).__name__}")

    def _start_runner(self, assignment: Assignment) -> RunnerProcess:
        patience_s = min(10.0, self._place.settings.lease_s / 2)
        with WorkspaceLock(self._directory, patience_s=patience_s) as lock:
            runner = RunnerProcess(
                self._place.command,
                assignment,
                log=self._directory / "runner.log",
                lock=lock.descriptor,
            )
            lock.name_holder(runner.process_group)
        return runner

    def _watched(self, runner: RunnerProcess) -> Verdict:
        recorder = Recorder(self._claim, self._job.project_id, time.monotonic)
        bounds = Bounds(
            Limits.model_validate(self._job.recipe["limits"]),
            self._place.settings,
            process_group=runner.process_group,
            workspace=self._directory,
        )
        return Attempt(
            runner,
            self._lease,
            recorder,
            place=self._place,
            directory=self._directory,
            bounds=bounds,
        ).watch()

    def _assignment(self) -> Assignment:
        """The job's files are brought to this disk, which may take long."""
        settings = self._place.settings
        cache = settings.cache_dir / self._job.project_id
        for folder in (self._directory, cache):
            folder.mkdir(parents=True, exist_ok=True)
        sources = Sources(
            self._job, self._place.storage, settings, self._place.sessions, self._directory
        )
        return Assignment(
            job_id=self._claim.job_id,
            epoch=self._claim.epoch,
            recipe=self._job.recipe,
            directory=self._directory,
            cache=cache,
            model=sources.model(),
            dataset=sources.dataset(),
            device=settings.device,
            threads=runner_threads(settings.threads),
            events_fd=-1,
        )

    def _settle(self, verdict: Verdict) -> JobState:
        """Write the end of the attempt, insisting while the lease lasts."""
        claim = self._claim
        match verdict:
            case Succeeded(artifact, result):
                return self._publish(artifact, result)
            case Failed(error):
                return self._lease.insist(lambda s: finishing.fail(s, claim, error))
            case StoodDown(detail):
                return self._lease.insist(lambda s: finishing.stand_down(s, claim, detail))
            case Crashed(detail):
                return self._lease.insist(lambda s: finishing.crash(s, claim, detail))
            case PutOff(reason):
                return self._lease.insist(lambda s: finishing.put_off(s, claim, reason))

    def _publish(self, artifact: ArtifactReady, result: dict[str, Any]) -> JobState:
        """Store first, which may take long, then show: the pointer moves in one transaction."""
        claim = self._claim
        try:
            stored = self._stored(artifact)
        except PublishingError as error:
            return self._settle(Crashed(str(error)))
        except StorageUnavailable as error:
            return self._settle(PutOff(f"the artifact could not be stored: {error}"))
        except OSError as error:
            return self._settle(Crashed(f"the artifact could not be stored: {error.strerror}"))
        if stored is None:
            return self._settle(StoodDown("the worker closed before the artifact was stored"))
        return self._lease.insist(lambda s: finishing.succeed(s, claim, stored, result))

    def _stored(self, artifact: ArtifactReady) -> StoredArtifact | None:
        storage, claim, folder = self._place.storage, self._claim, self._directory
        return self._leased(lambda: publishing.store(storage, claim, folder, artifact))

    def _leased(self, copy: Callable[[], Copied]) -> Copied | None:
        """Copy in a thread and keep the lease. None: the worker had to close before the end."""
        give_up_at = float("inf")
        executor = ThreadPoolExecutor(1)
        try:
            copying = executor.submit(copy)
            while not wait([copying], self._lease.wake_at - time.monotonic()).done:
                self._lease.keep()
                if self._place.is_closing():
                    handover_s = self._place.settings.handover_s
                    give_up_at = min(give_up_at, time.monotonic() + handover_s)
                if time.monotonic() >= give_up_at:
                    return None
            return copying.result()
        finally:
            executor.shutdown(wait=False)
