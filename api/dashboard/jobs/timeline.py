"""The stages of a job along its time: what each one did, where from, and how long it took."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup

from api.dashboard import words
from api.dashboard.jobs.drawings import Span, track_svg
from api.dashboard.jobs.views import LEFT_OFF, stage_kind
from core.database.states import JobState
from core.database.tables import Job, JobStage

WHERE_FROM = {
    "cache": "from the cache",
    "workspace": "done by an earlier attempt",
    "skipped": "nothing to do",
}
STATE_WORDS = {
    "pending": "to come",
    "running": "running",
    "done": "done",
    "reused": "reused",
    "skipped": "skipped",
    "failed": "failed here",
    "stopped": "stopped here",
    "halted": "to be continued",
}
UNTIMED = {"pending", "halted"}
"""Not begun, or left off at a time that no one has noted."""
MOST_FACTS = 4


@dataclass(frozen=True)
class StageLine:
    name: str
    kind: str
    state: str
    track: Markup
    time: str
    note: str
    """How far it is, where its outcome came from, or what it found."""


@dataclass(frozen=True)
class Running:
    """The stage at work, for the large bar."""

    name: str
    position: int
    of: int
    done: int | None
    total: int | None
    percent: str
    count: str
    remaining: str


@dataclass(frozen=True)
class Axis:
    """The job's time, from its first stage's start to its end, or to where it is expected."""

    start: datetime
    end: datetime

    @classmethod
    def of(cls, job: Job, stages: Sequence[JobStage], now: datetime) -> "Axis | None":
        timed = [stage for stage in stages if stage_kind(stage, job.state) not in UNTIMED]
        starts = [stage.started_at for stage in timed if stage.started_at]
        if not starts:
            return None
        end = max(
            _end(stage, now) + _ahead(stage, job.state) for stage in timed if stage.started_at
        )
        return cls(min(starts), max(end, min(starts) + timedelta(milliseconds=1)))

    def share(self, moment: datetime) -> float:
        return min(1.0, max(0.0, (moment - self.start) / (self.end - self.start)))


def stage_lines(job: Job, stages: Sequence[JobStage], now: datetime) -> list[StageLine]:
    reached = job.finished_at or now
    axis = Axis.of(job, stages, reached)
    return [_line(job, stage, axis, reached) for stage in stages]


def running_stage(stages: Sequence[JobStage]) -> Running | None:
    for position, stage in enumerate(stages, start=1):
        if stage.state == "running":
            return _running(stage, position, len(stages))
    return None


def _line(job: Job, stage: JobStage, axis: Axis | None, now: datetime) -> StageLine:
    kind = stage_kind(stage, job.state)
    state = STATE_WORDS[kind]
    begun = None if kind in UNTIMED else stage.started_at
    span = _span(job, stage, axis, begun, now) if axis and begun else None
    return StageLine(
        name=stage.stage,
        kind=kind,
        state=state,
        track=Markup(track_svg(span, f"{stage.stage}: {state}")),
        time=_time(stage, kind, now),
        note=_note(stage, kind),
    )


def _span(job: Job, stage: JobStage, axis: Axis, begun: datetime, now: datetime) -> Span:
    reached = _end(stage, now)
    expected = reached + _ahead(stage, job.state)
    kind = stage_kind(stage, job.state)
    return Span(kind, axis.share(begun), axis.share(reached), axis.share(expected))


def _end(stage: JobStage, now: datetime) -> datetime:
    return stage.finished_at or now


def _ahead(stage: JobStage, state: JobState) -> timedelta:
    running = stage_kind(stage, state) == "running"
    return timedelta(seconds=stage.eta_s or 0 if running else 0)


def _time(stage: JobStage, kind: str, now: datetime) -> str:
    if kind in UNTIMED or kind == "skipped":
        return ""
    if stage.seconds is not None and stage.state != "running":
        return words.duration(stage.seconds)
    return words.duration((now - stage.started_at).total_seconds()) if stage.started_at else ""


def _note(stage: JobStage, kind: str) -> str:
    if kind in {"running", *LEFT_OFF.values()}:
        return _count(stage)
    told = [WHERE_FROM[stage.source]] if stage.source in WHERE_FROM else []
    return ", ".join(told + facts(stage.summary or {}))


def _count(stage: JobStage) -> str:
    if stage.done is None or stage.total is None:
        return ""
    return words.counted(stage.done, stage.total, stage.unit or "")


def facts(summary: dict[str, Any]) -> list[str]:
    """A stage's summary in a few words: rows 1,024, keep ratio 0.2994"""
    plain = {name: value for name, value in summary.items() if value is not None}
    return [f"{name.replace('_', ' ')} {_fact(value)}" for name, value in plain.items()][
        :MOST_FACTS
    ]


def _fact(value: str | int | float | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else value


def _running(stage: JobStage, position: int, of: int) -> Running:
    known = stage.done is not None and bool(stage.total)
    return Running(
        name=stage.stage,
        position=position,
        of=of,
        done=stage.done if known else None,
        total=stage.total if known else None,
        percent=f"{stage.done / stage.total:.0%}".replace("%", " %")
        if stage.done is not None and stage.total
        else "",
        count=_count(stage),
        remaining=words.remaining(stage.eta_s) if stage.eta_s is not None else "",
    )
