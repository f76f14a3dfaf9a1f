"""What a stage is, and how one is performed: done before, taken from the cache, or computed."""

import shutil
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from time import perf_counter, sleep
from typing import ClassVar, Literal

from core.compression.cache import folder_bytes
from core.compression.progress import Checkpointed, Notice, Progress, Structure, Validated
from core.compression.run_state import Run, write_json
from core.recipe.events import (
    CacheUsed,
    Event,
    LogLine,
    StageCheckpoint,
    StageFinished,
    StageProgress,
    StageStarted,
    StructureReported,
    ValidationMeasured,
)

Report = Progress | Checkpointed | Validated | Structure | Notice
Work = Generator[Report | Event, None, None]
Source = Literal["computed", "cache", "workspace", "skipped"]
Summary = dict[str, str | int | float | bool | None]

DONE = "done.json"
LOOK_AGAIN_S = 1.0
"""Whether another job has finished what this one needs too."""


class Stage:
    """A step of a method. Its output is files in one folder, a function of its fingerprint."""

    name: ClassVar[str]
    cached: ClassVar[bool] = False
    """Other jobs of the project may use the output."""

    def nothing_to_do(self, run: Run) -> str | None:
        """Why the recipe gives this stage nothing to do, in a sentence."""
        return None

    def compute(self, run: Run, folder: Path) -> Work:
        """Write the output into `folder`; yields wherever the run may be stopped."""
        raise NotImplementedError

    def facts(self, run: Run) -> Iterator[Event]:
        """What the output says, read from its files: told again after a restart."""
        yield from ()

    def summary(self, run: Run) -> Summary:
        """The output in a few words and numbers."""
        return {}


def perform(stage: Stage, run: Run) -> Iterator[Event]:
    """Bring one stage to its end, whatever an earlier attempt or another job has done of it."""
    started = perf_counter()
    fingerprint = run.fingerprints[stage.name]
    yield StageStarted(stage=stage.name, fingerprint=fingerprint)
    reason = stage.nothing_to_do(run)
    if reason is not None:
        source: Source = "skipped"
        summary: Summary = {"reason": reason}
    else:
        source = yield from obtain(stage, run, stage.name)
        yield from stage.facts(run)
        summary = stage.summary(run)
    yield StageFinished(
        stage=stage.name,
        fingerprint=fingerprint,
        seconds=round(perf_counter() - started, 3),
        source=source,
        summary=summary,
    )


def obtain(stage: Stage, run: Run, reported_as: str) -> Generator[Event, None, Source]:
    """The stage's folder, complete: found in the workspace, in the cache, or computed now. While
    another job is at the same work, its result is waited for."""
    folder, fingerprint = run.folder(stage.name), run.fingerprints[stage.name]
    if (folder / DONE).exists():
        return "workspace"
    if not stage.cached:
        yield from make(stage, run, reported_as)
        return "computed"
    while True:
        with run.cache.turn(stage.name, fingerprint) as is_ours:
            if run.cache.take(stage.name, fingerprint, folder):
                yield _cache_used(stage, run, created=False)
                return "cache"
            if is_ours:
                yield from make(stage, run, reported_as)
                created = run.cache.give(stage.name, fingerprint, folder)
                yield _cache_used(stage, run, created=created)
                return "computed"
        yield StageProgress(stage=reported_as, done=0, total=1, unit="work of another job")
        sleep(LOOK_AGAIN_S)


def make(stage: Stage, run: Run, reported_as: str) -> Iterator[Event]:
    folder = run.folder(stage.name)
    folder.mkdir(parents=True, exist_ok=True)
    yield from narrate(reported_as, stage.compute(run, folder))
    done = {"stage": stage.name, "fingerprint": run.fingerprints[stage.name]}
    write_json(folder / DONE, done)
    shutil.rmtree(run.checkpoints(stage.name), ignore_errors=True)


def _cache_used(stage: Stage, run: Run, created: bool) -> CacheUsed:
    fingerprint = run.fingerprints[stage.name]
    return CacheUsed(
        stage=stage.name,
        fingerprint=fingerprint,
        path=f"{stage.name}/{fingerprint}",
        bytes=folder_bytes(run.folder(stage.name)),
        created=created,
    )


def narrate(stage: str, work: Work) -> Iterator[Event]:
    """The reports of a computation as events of its stage, with the time that is left."""
    pace = Pace()
    with closing(work):
        for report in work:
            yield as_event(stage, report, pace)


def as_event(stage: str, report: Report | Event, pace: "Pace") -> Event:
    match report:
        case Progress():
            return StageProgress(
                stage=stage,
                done=report.done,
                total=report.total,
                unit=report.unit,
                eta_s=pace.seconds_left(report),
                values=report.values,
            )
        case Checkpointed():
            return StageCheckpoint(stage=stage, step=report.step)
        case Validated():
            return ValidationMeasured(stage=stage, **asdict(report))
        case Structure():
            return StructureReported(
                stage=stage, step=report.step, total=report.total, layers=report.layers
            )
        case Notice():
            return LogLine(level=report.level, message=report.message, stage=stage)
        case _:
            return report


class Pace:
    """How fast units of one kind are done, since the first that was seen."""

    def __init__(self) -> None:
        self._unit: str | None = None
        self._first_done = 0
        self._since = 0.0

    def seconds_left(self, progress: Progress) -> float | None:
        """None until two of the same unit were seen."""
        now = perf_counter()
        if progress.unit != self._unit or progress.done < self._first_done:
            self._unit, self._first_done, self._since = progress.unit, progress.done, now
        done = progress.done - self._first_done
        if done == 0:
            return None
        return round((progress.total - progress.done) * (now - self._since) / done, 1)
