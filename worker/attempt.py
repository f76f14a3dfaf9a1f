"""The loop around one runner: hear it, record it, keep the lease, end it when it must end."""

import select
import time
from pathlib import Path
from typing import Protocol

from core.jobs import publishing
from core.jobs.publishing import PublishingError
from core.jobs.recording import Recorder
from core.recipe.events import (
    ArtifactReady,
    Event,
    RunFailed,
    RunStopped,
    RunSucceeded,
    SpectraReady,
    StageProgress,
    StageStarted,
)
from core.settings import Settings
from core.storage.storage import Storage
from worker.lease import DatabaseAway, Lease
from worker.limits import Bounds
from worker.process import ProtocolError, RunnerProcess
from worker.verdict import Crashed, Failed, StoodDown, Succeeded, Verdict
from worker.watchdog import Watchdog

STOP_PATIENCE_S = 10.0
"""A runner that was asked to stop for a cancel or a pause has this long."""
FLUSH_S = 0.2
"""Progress waits at most this long to be recorded; other events do not wait."""


class Place(Protocol):
    """What the loop needs of `worker.supervisor.Workplace`."""

    @property
    def settings(self) -> Settings: ...
    @property
    def storage(self) -> Storage: ...
    @property
    def shutdown_fd(self) -> int: ...
    def is_closing(self) -> bool: ...


class Attempt:
    """`watch` returns a verdict; the caller ends the runner and writes the verdict down."""

    def __init__(
        self,
        runner: RunnerProcess,
        lease: Lease,
        recorder: Recorder,
        *,
        place: Place,
        directory: Path,
        bounds: Bounds,
    ) -> None:
        self._runner = runner
        self._lease = lease
        self._recorder = recorder
        self._place = place
        self._directory = directory
        self._bounds = bounds
        self._kill_at = float("inf")
        self._closing = False
        self._stopping = False
        self._heard: list[Event] = []
        self._flush_at = float("inf")
        self._stage: str | None = None
        self._artifact: ArtifactReady | None = None
        self._last_word: RunSucceeded | RunFailed | RunStopped | None = None

    def watch(self) -> Verdict:
        """Fenced or LeaseLost leave from here too, with nothing more written."""
        watchdog = Watchdog(self._runner.kill)
        watchdog.start()
        try:
            while (verdict := self._step()) is None:
                watchdog.allow_until(self._lease.fence_at)
                self._wait()
        except (ProtocolError, PublishingError) as error:
            return Crashed(str(error))
        finally:
            watchdog.stop()
        return verdict

    def _step(self) -> Verdict | None:
        is_over = self._runner.is_over()  # first: what a dead runner wrote is then all there
        self._hear()
        self._record()
        if self._lease.keep() is not None:
            self._stop_within(STOP_PATIENCE_S)
        if not self._closing and self._place.is_closing():
            self._closing = True
            self._stop_within(self._place.settings.handover_s)
        return self._verdict(is_over)

    def _hear(self) -> None:
        for event in self._runner.read():
            if self._last_word is not None:
                return
            if isinstance(event, RunSucceeded | RunFailed | RunStopped):
                self._last_word = event
            else:
                self._take(event)

    def _take(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self._stage = event.stage
        elif isinstance(event, ArtifactReady):
            self._artifact = event
        elif isinstance(event, SpectraReady):
            publishing.store_spectra(
                self._place.storage, self._recorder.project_id, self._directory, event
            )
        self._heard.append(event)
        patience_s = FLUSH_S if isinstance(event, StageProgress) else 0.0
        self._flush_at = min(self._flush_at, time.monotonic() + patience_s)

    def _record(self) -> None:
        """Write what was heard; while the database is away it is kept."""
        if self._heard and (self._last_word or time.monotonic() >= self._flush_at):
            try:
                self._lease.write(lambda session: self._recorder.record(session, self._heard))
            except DatabaseAway:
                self._flush_at = time.monotonic() + FLUSH_S
            else:
                self._heard = []
                self._flush_at = float("inf")

    def _stop_within(self, patience_s: float) -> None:
        self._kill_at = min(self._kill_at, time.monotonic() + patience_s)
        if not self._stopping:
            self._stopping = True
            self._runner.ask_to_stop()

    def _verdict(self, is_over: bool) -> Verdict | None:
        if self._heard and (self._last_word or is_over):
            return None
        if self._last_word is not None:
            return self._last_verdict(self._last_word)
        if is_over:
            ending = self._runner.ending()
            return StoodDown(ending) if self._stopping else Crashed(ending)
        return self._overdue()

    def _last_verdict(self, word: RunSucceeded | RunFailed | RunStopped) -> Verdict:
        if isinstance(word, RunFailed):
            return Failed(word.model_dump(mode="json", exclude={"type"}))
        if isinstance(word, RunStopped):
            return StoodDown(None) if self._stopping else Crashed("the runner stopped unasked")
        if self._artifact is None:
            return Crashed("the run succeeded without an artifact")
        return Succeeded(self._artifact, word.result)

    def _overdue(self) -> Verdict | None:
        if time.monotonic() >= self._kill_at:
            return StoodDown("the runner did not stop in time and was killed")
        return self._bounds.overrun(self._stage)

    def _wait(self) -> None:
        """Until something can be read or a time has come."""
        wake_at = min(self._lease.wake_at, self._flush_at, self._kill_at, self._bounds.wake_at)
        sources = [] if self._runner.is_silent() else [self._runner.events_fd]
        if not self._closing:
            sources.append(self._place.shutdown_fd)
        if self._runner.is_silent():
            wake_at = min(wake_at, time.monotonic() + FLUSH_S / 4)
        select.select(sources, [], [], max(0.0, wake_at - time.monotonic()))
